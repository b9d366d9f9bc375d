"""What operators stop: no call of it starts, no retry is spent, and it goes on by itself once it is lifted."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.core.operating import lifted, seen, stop, switched
from tests.core.rig import Core
from tests.fakes.engine import FakeTopics
from worker.domain.stops import KINDS, Kind
from worker.domain.tasks import Topic
from worker.errors import EngineDown, StoreDown
from worker.loop.open_topics import OpenTopics
from worker.telemetry.logs import Event
from worker.turn.stops import Stopped


def stopped(kind: str) -> float | None:
    return REGISTRY.get_sample_value("worker_stopped", {"kind": kind})


@pytest.mark.parametrize("kind", KINDS)
async def test_no_call_of_what_is_stopped_starts_and_it_goes_on_when_that_is_lifted(core: Core, kind: Kind) -> None:
    async with switched(core) as worker:
        await asyncio.sleep(1)  # a poll is parked at the engine, and brings the task
        await seen(core, worker, stop(kind))
        job = core.world.start(tenant_id="north")
        await asyncio.sleep(3600)
        assert core.provider.asked == []
        assert core.provider.conversations == {}
        await lifted(core, job)


@pytest.mark.parametrize("kind", ["assistant", "tenant", "topic"])
async def test_what_is_not_stopped_goes_on_beside_it(core: Core, kind: Kind) -> None:
    core.assistants.add("critic")
    core.world.activity("other", topic="second", properties={"service.type": "assistant", "service.name": "critic"})
    topics = FakeTopics(Topic("topic"), Topic("second"))
    await core.stops.stop(stop(kind))
    async with core.working(topics=topics):
        held = core.world.start(tenant_id="north")
        free = core.world.start("other", tenant_id="south")
        await core.until_over([free])
        await asyncio.sleep(100)

    assert (held.completed_by, held.retries, held.message) == ([], None, "")


async def test_of_several_providers_the_others_go_on(core: Core) -> None:
    core.several = True
    core.assistants.add("critic", provider="local")
    core.world.activity("other", properties={"service.type": "assistant", "service.name": "critic"})
    await core.stops.stop(stop("provider"))
    async with core.working():
        held = core.world.start()
        await core.until_over([core.world.start("other")])

    assert held.completed_by == []


async def test_while_everything_is_stopped_nothing_is_fetched_and_it_is_said(core: Core) -> None:
    await core.stops.stop(stop("all"))
    async with core.working() as worker:
        core.world.start()
        await asyncio.sleep(600)
        assert worker.engine.script.named("fetch") == []
        assert worker.stopped.reasons() == ["everything is stopped since 2026-05-04 12:00:00Z"]


async def test_nothing_is_fetched_until_it_is_known_what_is_stopped(core: Core) -> None:
    job = core.world.start()
    worker = await core.worker()
    worker.stopped._stops = None  # as if its first look were still to come
    worker.stopped._open.clear()
    worker.start()
    await asyncio.sleep(100)
    assert worker.engine.script.named("fetch") == []
    assert worker.stopped.reasons() == ["what operators have stopped was not read yet"]
    await worker.stopped.look()
    await core.until_over([job])


async def test_a_stopped_topic_is_not_polled_for(core: Core) -> None:
    await core.stops.stop(stop("topic"))
    async with core.working(topics=FakeTopics(Topic("topic"), Topic("second"))) as worker:
        core.world.start()
        await asyncio.sleep(60)
        polls = worker.engine.script.named("fetch")

    assert {topics for topics, _, _ in polls} == {(Topic("second"),)}


async def test_a_call_that_runs_ends_and_is_delivered(core: Core) -> None:
    core.provider.script.next("ask", 50)
    async with switched(core) as worker:
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        await seen(core, worker, stop("all"))
        await core.until_over([job])

    assert (job.completed_by, len(core.provider.asked)) == (["worker-1"], 1)


async def test_an_answer_that_is_there_is_delivered_under_a_stop(core: Core) -> None:
    async with switched(core) as worker:
        worker.engine.script.next("complete", EngineDown("away"), EngineDown("away"))
        worker.engine.script.next("was_completed", EngineDown("away"))
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        await seen(core, worker, stop())
        await core.until_over([job])

    assert len(core.provider.asked) == 1


async def test_an_answer_in_the_journal_is_delivered_by_another_worker_under_a_stop(core: Core) -> None:
    first = await core.worker()
    first.engine.script.always("complete", EngineDown("away for good"))
    first.start()
    job = core.world.start()
    await core.until(lambda: first.engine.script.named("complete"))
    await core.stops.stop(stop())
    await first.stop(hurry=True)
    async with core.working():
        await core.until_over([job])

    assert (job.completed_by, len(core.provider.asked)) == (["worker-2"], 1)


async def test_tasks_that_wait_for_their_thread_are_sent_back_by_a_stop(core: Core) -> None:
    core.provider.script.next("ask", 50)
    async with switched(core) as worker:
        first = core.world.start(instance="a")
        await core.until(lambda: core.provider.asked)
        others = [core.world.start("other", instance="a"), core.world.start("third", instance="a")]
        await asyncio.sleep(2)
        await seen(core, worker, stop())
        await core.until(lambda: len([1 for _, parked in worker.engine.script.named("extend") if parked]) == 2)
        assert not first.gone
        await core.until_over([first])
        await asyncio.sleep(100)
        assert len(core.provider.asked) == 1
        await lifted(core, *others)


async def test_while_redis_is_away_the_last_known_stops_hold(core: Core) -> None:
    class Book:
        down = False

        async def read(self) -> object:
            if self.down:
                raise StoreDown("away")
            return await core.stops.read()

    book = Book()
    await core.stops.stop(stop())
    known = Stopped(book)  # type: ignore[arg-type]  # as far as it is needed
    await known.look()
    book.down = True
    await core.stops.lift("assistant", "analyst")
    await known.look()
    assert known.known() == (stop(),)
    book.down = False
    await known.look()
    assert known.known() == ()

    unread = Stopped(book)  # type: ignore[arg-type]  # as above
    book.down = True
    await unread.look()
    assert unread.reasons() == ["what operators have stopped cannot be read: away"]


async def test_stops_are_in_the_log_once_and_in_the_metric(core: Core) -> None:
    worker = await core.worker()
    with capture_logs() as lines:
        await core.stops.stop(stop())
        await core.redis.hset("aw:default:stops", "region:eu", '{"schema": 1}')
        for _ in range(3):
            await worker.stopped.look()
        assert stopped("assistant") == 1
        await core.stops.stop(stop(now=True))
        await worker.stopped.look()
        await worker.stopped.lift("assistant", "analyst")
        assert stopped("assistant") == 0

    told = [{name: line[name] for name in line if name != "log_level"} for line in lines]
    said = {"kind": "assistant", "name": "analyst", "by": "ann", "reason": "too dear"}
    ignored = "the stop 'region:eu' is a newer worker's, and not obeyed by this one: update it"
    assert told == [
        {"event": Event.STOP_SEEN, **said, "now": False},
        {"event": Event.STOP_IGNORED, "reason": ignored},
        {"event": Event.STOP_SEEN, **said, "now": True},
        {"event": Event.STOP_LIFTED, "kind": "assistant", "name": "analyst"},
    ]
    assert worker.stopped.lines() == ["stops that this worker cannot read, and does not obey: 1"]


async def test_whoever_reaches_a_port_is_told_neither_by_whom_nor_why_nor_of_which_tenant(core: Core) -> None:
    worker = await core.worker()
    for kind in KINDS:
        await core.stops.stop(stop(kind))
    await worker.stopped.look()
    since = "is stopped since 2026-05-04 12:00:00Z"
    assert worker.stopped.lines() == [
        f"{what} {since}" for what in ("everything", "assistant analyst", "provider openai", "a tenant", "topic topic")
    ]


async def test_a_stopped_topic_is_not_polled_and_still_known(core: Core) -> None:
    stops = Stopped(core.stops)
    topics = OpenTopics(FakeTopics(Topic("topic"), Topic("second")), stops)
    await core.stops.stop(stop("topic"))
    await stops.look()
    assert topics.every() == ()
    assert await topics.current() == topics.known() == (Topic("second"),)
    assert topics.every() == (Topic("topic"), Topic("second"))
