"""A task that names an assistant which this worker lacks: another worker's, one of a worker to come, or nobody's."""

import asyncio
from datetime import timedelta

import pytest
from redis.exceptions import ConnectionError as RedisAway

from tests.core.rig import Core, FakeAssistants
from tests.fakes.engine import Job
from worker.ports.fleet import REMEMBERED
from worker.redis import RedisFleet
from worker.runtime import background

MINUTE = timedelta(minutes=1)


def started(core: Core, name: str = "analyst", version: str = "2.0") -> Job:
    """A task for this assistant."""
    properties = {"service.type": "assistant", "service.name": name, "service.version": version}
    core.world.activity(properties={key: value for key, value in properties.items() if value})
    return core.world.start()


def newer() -> FakeAssistants:
    """What a worker after the roll-out has."""
    specs = FakeAssistants()
    specs.add("analyst", version="2.0")
    return specs


def seen_by(core: Core, worker: str = "worker-9") -> RedisFleet:
    return RedisFleet(core.redis, prefix="aw", engine="default", worker=worker)


async def test_a_version_that_another_worker_has_is_left_to_it_without_a_retry(core: Core) -> None:
    new = await core.worker(specs=newer())
    async with background.running(new.fleet.watch(), "fleet"), core.working():
        job = started(core)
        await asyncio.sleep(3600)
        assert (job.completed_by, job.retries, job.message) == ([], None, "")

        new.start()
        await core.until_over([job])

    assert job.completed_by == ["worker-1"]


async def test_a_name_that_another_worker_has_is_left_to_it(core: Core) -> None:
    specs = FakeAssistants()
    specs.add("critic")
    new = await core.worker(specs=specs)
    async with background.running(new.fleet.watch(), "fleet"), core.working():
        job = started(core, "critic", "")
        await asyncio.sleep(3600)
        assert (job.retries, job.message) == (None, "")


async def test_a_version_that_no_worker_has_is_waited_for_and_done_by_the_worker_that_brings_it(core: Core) -> None:
    async with core.working():
        job = started(core)
        await asyncio.sleep((REMEMBERED - MINUTE).total_seconds())
        assert (job.retries, job.message) == (None, "")

        async with core.working(specs=newer()) as new, background.running(new.fleet.watch(), "fleet"):
            await core.until_over([job])


async def test_a_version_that_no_worker_has_had_for_ten_minutes_is_an_incident(core: Core) -> None:
    async with core.working():
        job = started(core)
        await asyncio.sleep((REMEMBERED - MINUTE).total_seconds())
        assert job.message == ""
        await core.until(lambda: job.has_incident, within=4 * MINUTE)

    assert "analyst" in job.message


async def test_a_worker_that_ended_counts_for_ten_minutes_more(core: Core) -> None:
    gone = await core.worker(specs=newer())
    async with background.running(gone.fleet.watch(), "fleet"):
        await asyncio.sleep(3600)
    async with core.working():
        job = started(core)
        await asyncio.sleep((REMEMBERED - MINUTE).total_seconds())
        assert job.message == ""
        await core.until(lambda: job.has_incident, within=14 * MINUTE)


async def test_a_name_that_no_worker_knows_is_an_incident_soon(core: Core) -> None:
    async with core.working():
        job = started(core, "analist")
        await core.until(lambda: job.has_incident, within=2 * MINUTE)


@pytest.mark.parametrize("told", ['{"schema": 2, "everything": "changed"}', "no JSON"])
async def test_what_a_newer_worker_has_may_be_anything_and_what_nobody_wrote_is_nothing(core: Core, told: str) -> None:
    await core.redis.hset("aw:default:workers", "other", f"{10**15} {told}")

    [member] = await seen_by(core).workers()
    assert member.has("critic", None) == told.startswith("{")


async def test_workers_are_known_with_what_they_have_until_they_are_forgotten(core: Core) -> None:
    first, second = seen_by(core, "first"), seen_by(core, "second")
    await first.show("1.0", [("analyst", "1.0"), ("analyst", "2.0")])
    await asyncio.sleep(400)
    await second.show("1.1", [])

    known = {each.worker: each for each in await second.workers()}
    assert known.keys() == {"first", "second"}
    assert (known["first"].version, known["first"].has("analyst", "2.0"), known["second"].has("analyst", None)) == (
        "1.0",
        True,
        False,
    )
    assert [each.worker for each in await second.workers(timedelta(seconds=30))] == ["second"]
    await asyncio.sleep(400)
    await second.show("1.1", [])
    assert await core.redis.hkeys("aw:default:workers") == ["second"]
    await asyncio.sleep(601)
    assert await core.redis.keys("aw:default:workers") == []


async def test_while_redis_is_away_a_worker_goes_on_showing_itself(core: Core) -> None:
    worker = await core.worker()
    core.redis.trouble = [RedisAway()] * 3
    async with background.running(worker.fleet.watch(), "fleet"):
        await asyncio.sleep(60)
        assert [each.worker for each in await seen_by(core).workers()] == ["worker-1"]
