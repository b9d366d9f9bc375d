"""Turns that are stuck are listed, and their runs cancelled where that is wanted."""

import asyncio
from datetime import timedelta

import pytest

from tests.core.closing import Closing
from worker.domain.threads import Question
from worker.ending import Stuck, overdue
from worker.errors import ModelDown


async def run(closing: Closing, response_id: str, *, queued: bool = False) -> None:
    """Have a call in the background that the provider runs, or still queues."""
    await closing.running_call("instance", response_id)
    closing.provider.runs[response_id] = ("conv_1", Question("what?", "0" * 12))
    if queued:
        closing.provider.queued.add(response_id)


async def test_a_call_is_stuck_when_its_deadline_has_passed(closing: Closing) -> None:
    await closing.running_call("instance", limit=60)
    assert await overdue(closing.ports) == []
    await asyncio.sleep(90)
    late = timedelta(seconds=30)
    [stuck] = await overdue(closing.ports)
    assert stuck.overdue is not None
    assert abs(stuck.overdue - late) < timedelta(seconds=1)
    assert (stuck.scope, stuck.assistant, stuck.task_id, stuck.attempt) == (
        "instance",
        "analyst",
        "task of instance",
        1,
    )
    [cancelled] = await overdue(closing.ports, cancel=True)
    assert (cancelled.done, closing.provider.script.named("cancel")) == ("nothing to cancel", [])


async def test_what_was_answered_is_not_stuck(closing: Closing) -> None:
    await closing.speak("instance")
    await asyncio.sleep(3600)
    assert await overdue(closing.ports, cancel=True) == []


async def test_a_run_that_is_queued_is_stuck_before_its_deadline_and_one_that_goes_is_not(closing: Closing) -> None:
    await run(closing, "resp_run")
    assert await overdue(closing.ports, cancel=True) == []
    closing.provider.queued.add("resp_run")
    [stuck] = await overdue(closing.ports)
    assert (stuck.status, stuck.overdue, stuck.response_id, stuck.done) == ("queued", None, "resp_run", "")
    assert "resp_run" in closing.provider.runs

    [stuck] = await overdue(closing.ports, cancel=True)
    assert (stuck.done, closing.provider.runs) == ("cancelled", {})


async def test_a_run_that_the_provider_does_not_know_has_nothing_to_cancel(closing: Closing) -> None:
    await closing.running_call("instance", "resp_run")
    await asyncio.sleep(61)
    [stuck] = await overdue(closing.ports, cancel=True)
    assert (stuck.status, stuck.done, closing.provider.script.named("cancel")) == ("not known", "nothing to cancel", [])


@pytest.mark.parametrize("method", ["run_status", "cancel"])
async def test_a_provider_that_does_not_answer_is_said(closing: Closing, method: str) -> None:
    await run(closing, "resp_run", queued=True)
    await asyncio.sleep(61)
    closing.provider.script.next(method, ModelDown("busy"))
    [stuck] = await overdue(closing.ports, cancel=True)
    expected = ("cannot be asked: busy", "cancelled") if method == "run_status" else ("queued", "not cancelled: busy")
    assert (stuck.status, stuck.done) == expected


async def test_what_a_newer_worker_wrote_is_left_to_it(closing: Closing) -> None:
    await run(closing, "resp_run", queued=True)
    [turn] = await closing.keys("instance:analyst}:turn")
    await closing.redis.hset(turn, "schema", "2")
    said = "left to the newer worker that wrote it"
    assert await overdue(closing.ports, cancel=True) == [
        Stuck("instance", "analyst", "task of instance", 1, None, None, done=said)
    ]
    assert "resp_run" in closing.provider.runs
