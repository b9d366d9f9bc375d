"""What is recalled from Zep, and where it says that it is from."""

from tests.contract.zep.rig import ANN, AT, Rig, memo
from tests.zep.stand_in import Fault


async def test_what_was_derived_comes_first_and_then_what_was_said(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12, question="Which valve?", answer="No idea, ask the valve maker"))
    await rig.memory.remember(memo("2" * 12, instance="i-2", question="Which pump?", answer="The pump is blue."))

    found = await rig.memory.recall(ANN, "Which valve or pump?", 10)
    assert [(each.text, each.ref, each.instance, each.at) for each in found] == [
        ("The pump is blue.", "2" * 12, "i-2", AT),
        ("Which valve?\nNo idea, ask the valve maker", "1" * 12, "i-1", AT),
    ]
    assert len({each.id for each in found}) == 2
    assert len(await rig.memory.recall(ANN, "Which valve or pump?", 1)) == 1


async def test_a_fact_whose_message_is_not_among_the_finds_is_led_to_it_all_the_same(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12, question="Which?", answer="The pump is blue. Nothing else matters here."))
    empty: dict[str, list[object]] = {"episodes": [], "items": []}
    rig.zep.faults.append(Fault("search/episodes$|search/episodes.page", 200, empty))
    if rig.dialect == "v2":
        rig.zep.faults.append(Fault("graph/search", 200, {"edges": [edge(rig)]}))
        rig.zep.faults.append(Fault("graph/search", 200, empty))
    [fact] = await rig.memory.recall(ANN, "pump", 5)

    assert (fact.text, fact.ref, fact.instance) == ("The pump is blue.", "1" * 12, "i-1")


def edge(rig: Rig) -> dict[str, object]:
    [episode] = [each for each in rig.zep.users[0].episodes if each.facts]
    name, text = episode.facts[0]
    return {"uuid": name, "fact": text, "episodes": [episode.message.uuid]}


async def test_what_is_not_from_an_exchange_of_ours_is_not_recalled(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    for each in rig.zep.messages:
        each.metadata = {}

    assert await rig.memory.recall(ANN, "Which pump?", 5) == []


async def test_nothing_is_known_of_a_subject_that_zep_has_not(rig: Rig) -> None:
    assert await rig.memory.recall(ANN, "Which pump?", 5) == []
    assert rig.zep.users == []


async def test_a_question_may_be_longer_than_what_zep_searches_by(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))

    assert len(await rig.memory.recall(ANN, "Which pump? " + "please " * 500, 5)) == 1


async def test_a_user_that_is_gone_since_it_was_last_seen_is_no_failure(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    rig.zep.store.drop_user(rig.zep.users[0])

    assert await rig.memory.recall(ANN, "Which pump?", 5) == []


async def test_a_second_recall_costs_two_requests(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.recall(ANN, "Which pump?", 5)
    before = len(rig.zep.requests)
    await rig.memory.recall(ANN, "Which pump?", 5)

    assert len(rig.zep.requests) - before == 2
