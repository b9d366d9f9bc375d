"""Stops while a call is about to start or runs: none starts, and with `now` those that run are broken off."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from structlog.testing import capture_logs

from tests.core.operating import lifted, seen, stop, switched
from tests.core.rig import Core
from worker.domain.stops import Work
from worker.domain.threads import Question, Thread, ThreadKey
from worker.errors import ModelDown, ModelUnknown
from worker.telemetry.logs import Event
from worker.turn.charging import Bill
from worker.turn.stoppable import stoppable


async def test_a_turn_that_gets_ready_when_the_stop_comes_makes_no_call_and_none_counts(core: Core) -> None:
    core.provider.script.next("create_thread", 10)
    async with switched(core) as worker:
        job = core.world.start()
        await core.until(lambda: core.provider.script.named("create_thread"))
        await seen(core, worker, stop())
        await asyncio.sleep(100)
        assert core.provider.asked == []
        [turn] = [name async for name in core.redis.scan_iter("*:turn:*")]
        assert await core.redis.hget(turn, "calls") in (None, "0")
        await lifted(core, job)

    assert len(core.provider.conversations) == 1


async def test_a_call_that_is_broken_off_is_looked_for_before_it_is_asked_again(core: Core) -> None:
    async with switched(core) as worker:
        core.provider.script.next("ask", 50)
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        [(thread, question)] = core.provider.asked
        await seen(core, worker, stop(now=True))
        await core.until(lambda: worker.slots.free == 4, within=timedelta(seconds=5))
        core.provider._land(thread, question)  # it ran on over there
        await asyncio.sleep(60)
        await lifted(core, job)

    assert len(core.provider.asked) == 1
    assert job.results["frame"].value == f"answer to {question.ref}"


async def test_a_call_that_was_broken_off_and_left_nothing_is_asked_again_and_counts(core: Core) -> None:
    async with switched(core) as worker:
        core.provider.script.next("ask", 50)
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        await seen(core, worker, stop(now=True))
        await core.until(lambda: worker.slots.free == 4, within=timedelta(seconds=5))
        with capture_logs() as lines:
            await lifted(core, job)

    assert len(core.provider.asked) == 2
    assert [line["calls"] for line in lines if line["event"] == Event.TURN and line["verdict"] == "complete"] == [2]


async def test_a_run_in_the_background_is_cancelled_and_asked_again_without_a_failure(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    async with switched(core) as worker:
        core.provider.script.next("follow", 500, ModelDown("the run was cancelled"))
        job = core.world.start()
        await core.until(lambda: core.provider.script.named("follow"))
        await seen(core, worker, stop(now=True))
        await core.until(lambda: worker.slots.free == 4, within=timedelta(seconds=5))
        assert core.provider.script.named("cancel") == [("resp_2",)]
        await lifted(core, job)

    assert len(core.provider.asked) == 2


async def test_a_run_that_was_over_before_it_could_be_cancelled_is_delivered(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    async with switched(core) as worker:
        runs: dict[str, tuple[str, Question]] = {}
        core.provider.script.next("follow", 500, lambda: core.provider.runs.update(runs))
        job = core.world.start()
        await core.until(lambda: core.provider.script.named("follow"))
        runs |= core.provider.runs
        await seen(core, worker, stop(now=True))
        await core.until_over([job])

    assert (len(core.provider.asked), len(core.provider.script.named("cancel"))) == (1, 1)


async def test_a_run_of_which_nobody_can_tell_whether_it_goes_on_is_resumed_after_the_stop(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    async with switched(core) as worker:
        core.provider.script.next("follow", 500)
        core.provider.script.next("cancel", ModelUnknown("no answer"))
        job = core.world.start()
        await core.until(lambda: core.provider.script.named("follow"))
        await seen(core, worker, stop(now=True))
        await core.until(lambda: worker.slots.free == 4, within=timedelta(seconds=5))
        await lifted(core, job)

    assert len(core.provider.asked) == 1


async def test_a_stop_of_others_breaks_nothing_off(core: Core) -> None:
    core.provider.script.next("ask", 50)
    async with switched(core) as worker:
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        await seen(core, worker, replace(stop(now=True), name="critic"))
        await core.until_over([job])

    assert len(core.provider.asked) == 1


async def test_no_history_is_folded_under_a_stop_as_that_is_a_call_too(core: Core) -> None:
    worker, key = await core.worker(), ThreadKey("default", "a", "analyst")
    tidied = asyncio.Event()

    class Tidying:
        async def tidy(self, *_: object) -> None:
            tidied.set()

    work = Work("topic", None, "analyst", "local")
    provider = stoppable(Tidying(), worker.stopped, work)  # type: ignore[arg-type]  # as far as it is needed
    tidying = key, Thread("own_1", 1, provider="local"), core.assistants.find("analyst", None), Bill(None, (), {})
    await worker.stopped.stop(stop())
    await provider.tidy(*tidying)
    assert not tidied.is_set()
    await worker.stopped.lift("assistant", "analyst")
    await provider.tidy(*tidying)
    assert tidied.is_set()
