"""Where an order looks for what its subject has: in every place, whatever one of them lacks."""

from collections.abc import Awaitable
from itertools import groupby

import pytest

from tests.core.closing import Closing, open_in
from tests.records import BETWEEN
from worker.domain.conversations import Subject
from worker.domain.endings import Receipt, Status, Store
from worker.domain.threads import TASK_SCOPE
from worker.ending.case import LOOK
from worker.ending.erasing import NAMES
from worker.ending.stores import Responses
from worker.errors import EngineDown, ModelDown, TranscriptDown


@pytest.mark.parametrize("place", ["transcript", "engine", "history"])
async def test_a_place_that_cannot_be_looked_into_is_open_and_the_others_go(
    closing: Closing, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    closing.begin("instance", business_key="order 7")
    thread = await closing.speak("instance")
    closing.finish("instance")

    async def down(*_: object, **__: object) -> Awaitable[object]:
        raise TranscriptDown("away")

    with monkeypatch.context() as patch:
        if place == "transcript":
            patch.setattr(closing.conversations, "sessions", down)
        closing.instances.script.next({"engine": "traces", "history": "ran_with"}.get(place, "-"), EngineDown("away"))
        wanted = Subject("default", business_key="order 7") if place == "history" else closing.of("instance")
        receipt = await closing.eraser.erase(wanted)

    store = Store.TRANSCRIPT if place == "transcript" else Store.ENGINE
    assert open_in(receipt)[store, LOOK] == "away"
    assert (thread.id in closing.provider.conversations, receipt.completed_at) == (False, None)
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.texts("instance")) == (True, [])
    assert closing.begin("instance").variables.keys() == {"frame"}


async def test_what_only_the_transcript_knows_is_erased(closing: Closing) -> None:
    first = await closing.speak("instance", stored=True)
    await closing.redis.flushall()
    second = await closing.speak("instance")
    closing.finish("instance")
    await closing.redis.flushall()
    closing.begin("instance").variables.clear()
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, closing.provider.conversations) == (True, {})
    assert closing.provider.responses == {}
    assert first.id != second.id


@pytest.mark.parametrize("recorded", [True, False])
async def test_messages_between_question_and_answer_are_erased_from_every_store(
    closing: Closing, *, recorded: bool
) -> None:
    await closing.speak("instance", between=BETWEEN, recorded=recorded)
    await closing.speak("stays", between=BETWEEN)
    closing.finish("instance")

    receipt = await closing.erase("instance")

    assert receipt.open == ()
    assert await closing.texts("instance") == []
    assert await closing.keys("instance:") == []
    assert await closing.texts("stays") == ["question", *(each.text for each in BETWEEN), "answer"]


async def test_what_an_instance_said_on_a_thread_of_another_goes_and_the_thread_stays(closing: Closing) -> None:
    closing.begin("a", business_key="order 7")
    closing.begin("b", business_key="order 7")
    await closing.speak("a", scope="business-key:order 7", stored=True)
    await closing.speak("b", scope="business-key:order 7", stored=True)
    closing.finish("a")
    [thread] = closing.provider.conversations
    receipt = await closing.erase("a")

    assert receipt.completed_at is not None
    assert (await closing.texts("a"), len(await closing.texts("b"))) == ([], 2)
    assert (thread in closing.provider.conversations, len(closing.provider.responses)) == (True, 1)


async def test_a_thread_of_one_task_is_found_by_who_bound_it(closing: Closing) -> None:
    mine = await closing.speak("instance", scope=f"{TASK_SCOPE}task-1")
    closing.begin("other")
    other = await closing.speak("other", scope=f"{TASK_SCOPE}task-2")
    closing.finish("instance", "other")
    await closing.erase("instance")
    assert closing.provider.conversations.keys() == {other.id}
    assert mine.id != other.id


async def test_a_turn_whose_map_has_run_out_is_found(closing: Closing) -> None:
    await closing.running_call("instance", "resp_run")
    await closing.redis.delete("aw:default:{instance:analyst}:thread")
    closing.finish("instance")
    closing.provider.responses["resp_run"] = "conv_1"
    receipt = await closing.erase("instance")
    assert receipt.named[Store.PROVIDER, "response resp_run"].status is Status.REMOVED
    assert (await closing.keys(), closing.provider.responses) == ([], {})


async def test_a_shared_session_that_names_no_thread_has_none_to_speak_of(closing: Closing) -> None:
    closing.begin("instance", business_key="order 7")
    await closing.land("instance", None, scope="business-key:order 7")
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert ([step.store for step in receipt.steps], await closing.texts("instance")) == ([Store.TRANSCRIPT], [])


async def test_what_nobody_can_read_goes_with_its_thread_as_does_what_a_newer_worker_keeps(
    closing: Closing,
) -> None:
    await closing.ran("instance")
    await closing.redis.set("aw:default:{instance:analyst}:turn:odd", "no hash")
    await closing.redis.set("aw:default:{instance:analyst}:plans", "a newer worker's")
    await closing.redis.set("aw:default:{:}:thread", "no name of ours")
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, await closing.keys()) == (True, ["aw:default:{:}:thread"])


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_thread_of_one_task_that_the_transcript_lacks_is_found_by_who_bound_it(
    closing: Closing, by_key: bool
) -> None:
    closing.begin("instance", business_key="order 7")
    await closing.speak("instance")
    await closing.speak("instance", scope=f"{TASK_SCOPE}task-1", recorded=False)
    closing.instances.processes.clear()  # no history knows the instance any more
    await closing.eraser.erase(Subject("default", business_key="order 7") if by_key else closing.of("instance"))
    assert (closing.provider.conversations, await closing.keys()) == ({}, [])


async def test_many_responses_are_noted_some_at_a_time(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(Responses.at_once + 1):
        await closing.speak("instance", stored=True)
    closing.finish("instance")
    closing.provider.script.next("erase_response", None, ModelDown("busy"))
    keep, noted = closing.orders.keep, list[int]()

    async def counted(receipt: Receipt) -> None:
        noted.append(sum(step.what.startswith("response") for step in receipt.open))
        await keep(receipt)

    monkeypatch.setattr(closing.orders, "keep", counted)
    receipt = await closing.erase("instance")
    assert [left for left, _ in groupby(noted)] == [0, Responses.at_once + 1, 2, 1]
    assert ([step.why for step in receipt.open], len(closing.provider.responses)) == (["busy", NAMES], 1)
    [final] = await closing.resume()
    assert (final.completed_at is not None, closing.provider.responses) == (True, {})


async def test_a_run_of_a_newer_worker_is_left_to_it(closing: Closing) -> None:
    await closing.running_call("instance", "resp_run")
    [turn] = await closing.keys("instance:analyst}:turn")
    await closing.redis.hset(turn, "schema", "2")
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert {"newer worker" in step.why for step in receipt.open if step.store is not Store.ENGINE} == {True}
    assert "resp_run" not in str(receipt)
    assert closing.provider.script.named("cancel") == []
