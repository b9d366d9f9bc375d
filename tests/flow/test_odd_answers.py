"""Answers that providers give and parsers stumble over: each is the task's result, and is paid for once."""

from tests.flow.rig import Rig

HALF = "Half an emoji: \ud83d, and on."
WHOLE = "Half an emoji: \ufffd, and on."


async def test_half_an_emoji_in_an_answer_costs_neither_the_answer_nor_the_thread(rig: Rig) -> None:
    rig.provider.answer("Please do one", HALF)
    model = await rig.deploy(rig.step("one", data_output="first"), rig.step("two", data_output="second"))
    await rig.start_worker()

    instance = await rig.run(model)

    assert (await rig.rest.variables(instance))["first"] == WHOLE
    assert rig.calls("responses.create") == 2
    assert len(rig.provider.conversations()) == 1


async def test_an_answer_with_half_an_emoji_is_found_on_its_thread_when_the_reply_was_lost(rig: Rig) -> None:
    rig.provider.answer("Please do one", HALF)
    rig.provider.fault("responses.create", cut=True)
    model = await rig.deploy(rig.step("one", data_output="first"))
    await rig.start_worker()

    instance = await rig.run(model)

    assert (await rig.rest.variables(instance))["first"] == WHOLE
    assert (await rig.meta(instance, "first"))["recovered"] == "thread"
    assert rig.calls("responses.create") == 1


async def test_what_a_model_says_on_the_way_to_its_answer_is_not_the_answer(rig: Rig) -> None:
    rig.provider.answer("Please do", "Forty.")
    rig.provider.fault("responses.create", text="do two", cut=True, outcome="phased")
    rig.provider.fault("responses.create", times=None, outcome="phased")
    model = await rig.deploy(rig.step("one", data_output="first"), rig.step("two", data_output="second"))
    await rig.start_worker()

    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert (variables["first"], variables["second"]) == ("Forty.", "Forty.")
