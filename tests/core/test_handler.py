"""One task in hand: it never raises, and one line tells of it."""

import asyncio

import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.core.rig import Core
from worker.domain.threads import Answer, Outcome
from worker.errors import EngineDown, ModelDown
from worker.turn.verdict import Abandon, Unlock


async def test_one_line_tells_of_a_turn_without_what_was_said(core: Core) -> None:
    core.provider.answer = lambda _: Answer("secret answer", input_tokens=7, output_tokens=9)
    structlog.contextvars.clear_contextvars()
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with core.working():
            job = core.world.start()
            await core.until_over([job])

    [line] = [line for line in lines if line["event"] == "turn"]
    assert line["task_id"] == job.task.id
    assert (line["assistant"], line["use"], line["outcome"], line["verdict"]) == (
        "analyst",
        "created",
        "ok",
        "complete",
    )
    assert (line["input_tokens"], line["output_tokens"]) == (7, 9)
    assert "secret" not in str(lines)
    assert "Please do" not in str(lines)


async def test_the_line_of_a_failure_says_why_and_how_many_retries_are_left(core: Core) -> None:
    core.provider.answer = lambda _: Answer("secret", outcome=Outcome.REFUSED)
    with capture_logs() as lines:
        async with core.working():
            job = core.world.start()
            await core.until(lambda: job.message)

    [line] = [line for line in lines if line["event"] == "turn"]
    assert (line["verdict"], line["reason"], line["retries"]) == ("fail", "refused", 2)


async def test_only_a_failure_without_a_retry_left_counts_as_an_incident(core: Core) -> None:
    def incidents() -> float:
        return REGISTRY.get_sample_value("worker_incidents_total") or 0

    core.provider.answer = lambda _: Answer("", outcome=Outcome.REFUSED)
    before = incidents()
    async with core.working():
        tried = core.world.start()
        await core.until(lambda: tried.message)
        assert incidents() == before
        last = core.world.start(retries=1)
        await core.until(lambda: last.message)

    assert incidents() == before + 1


async def test_trouble_is_told_to_the_dependency_that_it_concerns(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("has_spin", EngineDown("away"))
        job = core.world.start()
        await core.until(worker.dependencies.reasons)
        assert worker.dependencies.reasons() == ["engine: away"]
        await core.until_over([job])

    assert len(core.provider.asked) == 1, "the answer was kept"


async def test_trouble_of_one_call_is_no_outage(core: Core) -> None:
    core.provider.script.next("ask", ModelDown("429"))
    async with core.working() as worker:
        job = core.world.start()
        await core.until(lambda: job.message)
        assert worker.dependencies.reasons() == []


async def test_a_fault_of_our_own_ends_neither_the_worker_nor_its_other_tasks(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("complete", ZeroDivisionError("secret"))
        with capture_logs() as lines:
            bad = core.world.start()
            good = core.world.start()
            await core.until_over([good])
            await core.until_over([bad])

    assert "ZeroDivisionError" in str(lines)
    assert "secret" not in str(lines)


async def test_a_task_that_is_given_back_is_unlocked(core: Core) -> None:
    worker = await core.worker()
    job = core.world.start()
    [task] = await worker.engine.fetch(worker.topics.topics, 1)

    assert await worker.handler.give_back(task, "not ours") == Unlock("not ours")
    assert job.worker is None


async def test_who_waits_for_a_thread_is_sent_away_at_a_stop(core: Core) -> None:
    core.provider.script.always("ask", 20)
    worker = await core.worker()
    jobs = [core.world.start(instance="a") for _ in range(3)]
    worker.start()
    await core.until(lambda: core.provider.asked)
    await asyncio.sleep(1)
    await worker.stop()

    assert sum(job.gone for job in jobs) == 1
    assert {job.worker for job in jobs if not job.gone} == {None}


async def test_a_task_that_is_lost_while_it_is_told_is_abandoned(core: Core) -> None:
    worker = await core.worker()
    job = core.world.start()
    [task] = await worker.engine.fetch(worker.topics.topics, 1)

    def go() -> None:
        job.gone = True

    worker.engine.script.next("complete", go)

    assert isinstance(await worker.handler.handle(task), Abandon)
