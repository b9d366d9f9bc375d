"""What only process variables name, which anybody may write, and how ours are taken away."""

import json

import pytest

from tests.asks import ADA
from tests.core.closing import Closing, open_in
from worker.domain.conversations import Subject
from worker.domain.endings import Status, Store
from worker.domain.handovers import Marker, marker_name, text_hash
from worker.ending.case import LOOK
from worker.ending.erasing import NAMES
from worker.ending.stores import FOREIGN, LONGEST_ID, SHARED
from worker.errors import BadRequest, EngineDown, ModelDown, ThreadGone

VARIABLES = (Store.ENGINE, "variables of instance")


def meta(thread: object, response: object = None) -> str:
    return json.dumps({"assistant": "analyst", "version": "1.0", "thread": thread, "response": response})


async def forgotten(closing: Closing, instance: str, *, stored: bool = False) -> str:
    """A thread that nobody knows any more but the variables of its instance, which is over."""
    thread = await closing.speak(instance, stored=stored)
    closing.finish(instance)
    await closing.rest()
    await closing.redis.delete(*await closing.keys(instance))
    await closing.transcript.remove([closing.of(instance)])
    return thread.id


async def test_what_the_provider_says_is_the_subjects_goes_though_only_variables_name_it(closing: Closing) -> None:
    await forgotten(closing, "instance", stored=True)
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, closing.provider.conversations) == (True, {})
    assert closing.provider.responses == {}
    assert {step.status for step in receipt.steps} == {Status.REMOVED}


async def test_a_forged_variable_leads_no_order_to_what_another_instance_has(closing: Closing) -> None:
    victim = await closing.speak("victim", stored=True)
    await closing.ran("attacker")
    [response] = closing.provider.responses
    closing.begin("attacker").variables |= {
        "x_meta": meta("conv_2", response),
        "assistant_thread_critic": f"{victim.id}#1",
    }
    receipt = await closing.erase("attacker")

    assert receipt.completed_at is not None
    stays = {step.what: step.why for step in receipt.steps if step.status is Status.STAYS}
    assert stays == {f"conversation {victim.id}": FOREIGN, f"response {response}": FOREIGN}
    assert (list(closing.provider.conversations), list(closing.provider.responses)) == ([victim.id], [response])


async def test_what_another_engine_has_is_left_alone(closing: Closing) -> None:
    theirs = await closing.provider.create_thread(
        {"engine": "south", "scope": "business-key:7", "assistant": "analyst"}
    )
    closing.begin("instance").variables["x_meta"] = meta(theirs)
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert receipt.named[Store.PROVIDER, f"conversation {theirs}"].why == FOREIGN


async def test_a_shared_conversation_that_only_a_variable_names_is_said_to_stay(closing: Closing) -> None:
    closing.begin("instance", business_key="order 7")
    thread = await closing.speak("instance", scope="business-key:order 7")
    closing.finish("instance")
    await closing.redis.flushall()
    closing.without_transcript()
    receipt = await closing.erase("instance")
    step = receipt.named[Store.PROVIDER, f"conversation {thread.id}"]
    assert (step.status, step.why, receipt.completed_at is not None) == (Status.STAYS, SHARED, True)
    assert thread.id in closing.provider.conversations


@pytest.mark.parametrize(
    "value",
    [
        meta(""),
        meta("x" * (LONGEST_ID + 1), "y" * (LONGEST_ID + 1)),
        meta([[]], {}),
        meta("\ud800", "\udfff"),
        meta("..", "."),
        meta("\0", "a\nb"),
        '{"thread": null, "too_long": 1e999, "fields": [1, null]}',
        "[" * 3999,
        '{"assistant": "analyst", "thread": ',
        "conv_7",
    ],
)
async def test_hostile_variables_keep_nothing_from_being_erased(closing: Closing, value: str) -> None:
    thread = await closing.ran("instance")
    closing.begin("instance").variables |= {"x_meta": value, "assistant_thread_critic": value}
    before = len(closing.provider.script.named("metadata"))
    receipt = await closing.erase("instance", results=True)

    assert (receipt.completed_at is not None, thread.id in closing.provider.conversations) == (True, False)
    assert len(closing.provider.script.named("metadata")) == before, "nobody asks for what is no id"


@pytest.mark.parametrize("answer", [ThreadGone("no such response"), BadRequest("no id of ours")])
async def test_a_response_that_a_variable_names_and_nobody_has_is_not_spoken_of(
    closing: Closing, answer: Exception
) -> None:
    await closing.ran("instance")
    closing.begin("instance").variables["x_meta"] = meta("", "resp_x")
    closing.provider.script.next("conversation_of", answer)
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, "resp_x" in str(receipt)) == (True, False)


@pytest.mark.parametrize("answer", [ThreadGone("no such conversation"), BadRequest("no id of ours")])
async def test_a_conversation_that_a_variable_names_and_no_account_has_is_not_spoken_of(
    closing: Closing, answer: Exception
) -> None:
    await closing.ran("instance")
    closing.begin("instance").variables["x_meta"] = meta("conv_x")
    closing.provider.script.next("metadata", answer)
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, "conv_x" in str(receipt)) == (True, False)


async def test_a_refused_id_is_none_only_for_a_key_that_sees_the_account(closing: Closing) -> None:
    thread = await forgotten(closing, "instance")
    closing.provider.script.next("metadata", BadRequest("no id of ours"))
    with closing.provider.another_account():
        receipt = await closing.erase("instance")
    assert (receipt.completed_at, thread in closing.provider.conversations) == (None, True)


async def test_what_cannot_be_asked_about_now_is_open_and_the_variables_stay(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.begin("instance").variables["x_meta"] = meta("conv_x", "resp_x")
    closing.provider.script.next("metadata", ModelDown("busy"))
    closing.provider.script.next("conversation_of", ModelDown("busy"))
    receipt = await closing.erase("instance")

    assert open_in(receipt) == {
        (Store.PROVIDER, "conversation conv_x"): "busy",
        (Store.PROVIDER, LOOK): "response resp_x: busy",
        VARIABLES: NAMES,
    }
    assert thread.id not in closing.provider.conversations
    [final] = await closing.resume()
    assert (final.completed_at is not None, set(closing.begin("instance").variables)) == (True, {"frame"})


async def test_a_response_is_not_erased_while_nobody_can_tell_whose_it_is(closing: Closing) -> None:
    await closing.speak("victim", stored=True)
    await closing.ran("attacker")
    [response] = closing.provider.responses
    closing.begin("attacker").variables["x_meta"] = meta("", response)
    closing.provider.script.next("conversation_of", ModelDown("busy"))
    receipt = await closing.erase("attacker")
    assert (receipt.completed_at, list(closing.provider.responses)) == (None, [response])

    [final] = await closing.resume()
    assert final.named[Store.PROVIDER, f"response {response}"].why == FOREIGN
    assert (final.completed_at is not None, list(closing.provider.responses)) == (True, [response])


async def test_a_guess_that_turns_out_to_be_nothing_is_open_no_more(closing: Closing) -> None:
    await closing.ran("instance")
    closing.begin("instance").variables["x_meta"] = meta("conv_x")
    closing.provider.script.next("metadata", ModelDown("busy"))
    assert len((await closing.erase("instance")).open) == 2
    [final] = await closing.resume()
    assert (final.completed_at is not None, "conv_x" in str(final)) == (True, False)


@pytest.mark.parametrize("absent", [False, True])
async def test_what_only_a_variable_names_and_this_key_cannot_see(closing: Closing, absent: bool) -> None:
    thread = await forgotten(closing, "instance")
    with closing.provider.another_account():
        receipt = await closing.erase("instance", absent=absent)
        step = receipt.named[Store.PROVIDER, f"conversation {thread}"]
        assert step.status is (Status.ACCEPTED if absent else Status.OPEN)
        assert (receipt.completed_at is not None) is absent
    assert (closing.begin("instance").variables.keys() == {"frame"}) is absent


# Taking them away


async def test_variables_that_one_instance_keeps_are_no_others_trouble(closing: Closing) -> None:
    for name in ("a", "b"):
        closing.begin(name, business_key="order 7")
        await closing.ran(name, business_key="order 7")
    closing.instances.script.next("wipe", None, EngineDown("away"))
    receipt = await closing.eraser.erase(Subject("default", business_key="order 7"))
    [step] = receipt.open
    assert (step.what, step.why, step.count) == ("variables of a", "away", 1)
    assert closing.begin("b").variables.keys() == {"frame"}

    [final] = await closing.resume()
    assert final.named[Store.ENGINE, "variables of a"].count == 2
    assert (final.completed_at is not None, set(closing.begin("a").variables)) == (True, {"frame"})


async def test_what_was_handed_over_keeps_its_text_unless_results_go_too(closing: Closing) -> None:
    marker = {marker_name("0" * 32): Marker(ADA, "note", text_hash("Yes.")).text, "note": "Yes."}
    for name in ("a", "b"):
        await closing.ran(name)
        closing.begin(name).variables |= marker
    await closing.erase("a")
    await closing.erase("b", results=True)
    assert closing.begin("a").variables.keys() == {"frame", "note"}
    assert closing.begin("b").variables == {}


async def test_variables_that_went_with_their_instance_are_done_with(closing: Closing) -> None:
    await closing.ran("instance")
    closing.instances.script.next("wipe", EngineDown("away"))
    assert [step.name for step in (await closing.erase("instance")).open] == [VARIABLES]
    closing.begin("instance").variables.clear()
    [final] = await closing.resume()
    assert (final.completed_at is not None, final.named[VARIABLES].count) == (True, 0)


async def test_what_is_there_again_although_it_was_removed_is_removed_again(closing: Closing) -> None:
    await closing.ran("instance")
    kept = dict(closing.begin("instance").variables)
    closing.instances.script.next("wipe", None, EngineDown("away"))
    await closing.speak("instance", assistant="critic")
    closing.finish("instance")
    first = await closing.erase("instance")
    assert first.completed_at is None
    closing.begin("instance").variables |= kept
    await closing.speak("instance")
    closing.finish("instance")
    [final] = await closing.resume()

    assert final.completed_at is not None
    assert final.named[Store.REDIS, "instance analyst"].count == 4, "twice a map and a turn"
    assert (closing.provider.conversations, await closing.keys()) == ({}, [])
    assert await closing.texts("instance") == []
