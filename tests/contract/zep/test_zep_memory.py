"""What the adapter for Zep does where all is well."""

from tests.contract.zep.rig import ANN, BEN, Rig, memo


async def test_what_was_remembered_is_recalled_of_its_subject_alone(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.remember(memo("2" * 12, BEN, "i-2", answer="The red pump."))

    [fact] = await rig.memory.recall(ANN, "Which pump?", 10)

    assert (fact.text, fact.instance, fact.ref) == (f"The site wants the blue pump {'1' * 12}.", "i-1", "1" * 12)
    assert [each.text for each in await rig.memory.recall(BEN, "Which pump?", 10)] == ["The red pump."]
