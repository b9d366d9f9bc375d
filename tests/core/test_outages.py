"""A provider's outage is found by one worker, probed by one at a time, and over for all at once."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from redis.exceptions import RedisError

from tests.core.rig import Core, Worker
from tests.fakes.life import Life
from tests.fakes.provider import FakeProvider
from worker.errors import AssistantPaused, ModelDown, ProviderAway, ProviderPaused, WorkerError
from worker.loop.breakers import ALONE_SECONDS, LOOK_SECONDS

LEASE, LIFE = 10.0, 30.0
"""How long a dead worker keeps others from probing, and how long an outage is believed that nobody probes."""


class Provider:
    """What the core's provider says, and who probes it."""

    def __init__(self, core: Core) -> None:
        self.error: WorkerError | None = None
        self.probes: list[float] = []
        self.running = self.most = 0
        core.provider.script.always("ask", self._refuse)
        core.provider.script.always("ping", self._probed)

    async def _refuse(self) -> None:
        await asyncio.sleep(0.5)
        if self.error is not None:
            raise self.error

    async def _probed(self) -> None:
        self.probes.append(now())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._refuse()
        finally:
            self.running -= 1

    def goes(self, error: WorkerError | None) -> None:
        """From now on it says this. Probes that are on their way hear it, too, and count."""
        self.error = error
        del self.probes[: len(self.probes) - self.running]
        self.most = 0


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def provider(core: Core) -> Provider:
    core.tells_outages = True
    return Provider(core)


@pytest.fixture
async def crew(core: Core, provider: Provider) -> list[Worker]:
    """Three workers that poll, and know that all is well."""
    workers = [await core.worker(slots=2) for _ in range(3)]
    for each in workers:
        await each.dependencies.all_up()
        each.start()
    provider.goes(None)
    return workers


def down(worker: Worker) -> bool:
    return bool(worker.dependencies.reasons())


AWAY, PAUSED = ProviderAway("no connection"), ProviderPaused("quota")


@pytest.mark.parametrize("error", [AWAY, PAUSED])
async def test_one_worker_finds_it_all_stop_and_one_at_a_time_probes(
    core: Core, crew: list[Worker], provider: Provider, error: WorkerError
) -> None:
    provider.goes(error)
    jobs = [core.world.start()]
    await core.until(lambda: all(map(down, crew)))
    asked = len(core.provider.asked)
    jobs += [core.world.start() for _ in range(20)]
    polls = [len(each.engine.script.named("fetch")) for each in crew]
    await asyncio.sleep(600)

    assert (asked <= 3, len(core.provider.asked)) == (True, asked), "who has heard of it starts no call"
    assert [len(each.engine.script.named("fetch")) - before for each, before in zip(crew, polls, strict=True)] <= [
        1
    ] * 3
    assert provider.most == 1
    assert 600 / 40 <= len(provider.probes) <= 600 / 15 + 8, "as often as one worker alone would"
    assert [(job.retries, job.message) for job in jobs] == [(None, "")] * 21
    reasons = {reason for each in crew for reason in each.dependencies.reasons()}
    assert all(reason.startswith(f"provider: {error}") for reason in reasons)


async def test_of_several_tasks_only_those_that_ran_already_meet_it(
    core: Core, crew: list[Worker], provider: Provider
) -> None:
    provider.goes(AWAY)
    for _ in range(30):
        core.world.start()
    await core.until(lambda: all(map(down, crew)))
    await asyncio.sleep(60)

    assert len(core.provider.asked) <= 6


async def test_when_it_is_up_again_all_go_on_within_seconds(core: Core, crew: list[Worker], provider: Provider) -> None:
    provider.goes(AWAY)
    job = core.world.start()
    await core.until(lambda: all(map(down, crew)))
    await asyncio.sleep(100)
    polls = [len(each.engine.script.named("fetch")) for each in crew]
    provider.goes(None)
    await core.until(lambda: not any(map(down, crew[:1])) or not any(map(down, crew[1:])))
    first = now()
    await core.until(lambda: not any(map(down, crew)))

    assert now() - first <= 2 * LOOK_SECONDS + 1
    assert len(provider.probes) == 1
    await core.until_over([job])
    await asyncio.sleep(60)
    first_polls = [each.engine.script.named("fetch")[before][1] for each, before in zip(crew, polls, strict=True)]
    assert first_polls == [1, 1, 1], "each tries with a single task"


async def test_another_worker_probes_when_the_lease_of_one_that_died_has_ended(core: Core, provider: Provider) -> None:
    lives = [Life("before:provider.ping", nth=3), Life(), Life()]
    crew = [await core.worker(life=each) for each in lives]
    for each in crew:
        await each.dependencies.all_up()
    provider.goes(AWAY)
    crew[0].start()
    core.world.start()
    await core.until(lambda: lives[0].is_over)
    died = now()
    assert down(crew[1])
    before = len(provider.probes)
    await core.until(lambda: len(provider.probes) > before)

    assert LEASE / 2 < now() - died < LEASE + 2 * LOOK_SECONDS + 30
    provider.goes(None)
    await core.until(lambda: not down(crew[1]) and not down(crew[2]))


async def test_an_outage_that_no_worker_probes_any_more_ends_by_itself(core: Core, provider: Provider) -> None:
    life = Life("before:provider.ping", nth=2)
    doomed = await core.worker(life=life)
    await doomed.dependencies.all_up()
    provider.goes(AWAY)
    doomed.start()
    core.world.start()
    await core.until(lambda: life.is_over)
    assert await core.redis.keys("aw:{outage:*")
    await asyncio.sleep(LIFE + 1)

    assert await core.redis.keys("aw:{outage:*") == []


async def test_while_redis_is_away_what_was_known_holds_and_each_worker_probes_for_itself(
    core: Core, crew: list[Worker], provider: Provider
) -> None:
    provider.goes(AWAY)
    core.world.start()
    await core.until(lambda: all(map(down, crew)))
    await asyncio.sleep(30)
    provider.goes(AWAY)
    core.redis.trouble += [RedisError("away")] * 10_000
    await asyncio.sleep(200)
    assert all("provider" in " ".join(each.dependencies.reasons()) for each in crew)
    assert len(provider.probes) > 12
    provider.goes(None)
    await core.until(lambda: not any("provider" in " ".join(each.dependencies.reasons()) for each in crew))
    core.redis.trouble.clear()
    await core.until(lambda: not any(map(down, crew)))


async def test_a_worker_with_another_key_is_not_concerned(core: Core, crew: list[Worker], provider: Provider) -> None:
    other = FakeProvider()
    other.conversations, other.anchors = core.provider.conversations, core.provider.anchors
    rotated = await core.worker(key="sk-new", provider=other)
    await rotated.dependencies.all_up()
    provider.goes(PAUSED)
    core.world.start()
    await core.until(lambda: all(map(down, crew)))
    rotated.start()
    await core.until_over(list(core.world.jobs.values()))
    await asyncio.sleep(60)

    assert not down(rotated)
    assert all(map(down, crew))


async def test_a_worker_that_starts_in_an_outage_leaves_the_probe_to_others(
    core: Core, crew: list[Worker], provider: Provider
) -> None:
    core.several = False
    provider.goes(AWAY)
    core.world.start()
    await core.until(lambda: all(map(down, crew)))
    late = await core.worker()
    late.start()
    await asyncio.sleep(300)
    assert provider.most == 1
    assert late.engine.script.named("fetch") == []
    provider.goes(None)
    await core.until(lambda: not down(late))


async def test_of_several_providers_one_that_is_away_stops_its_own_tasks_alone_at_every_worker(
    core: Core, provider: Provider
) -> None:
    core.several = True
    core.assistants.add("critic", provider="local")
    core.world.activity("other", properties={"service.type": "assistant", "service.name": "critic"})
    crew = [await core.worker() for _ in range(2)]
    for each in crew:
        await each.dependencies.all_up()
        each.start()
    provider.goes(AWAY)
    held = core.world.start()
    await core.until(lambda: all(each.dependencies.partly() for each in crew))
    late = await core.worker()
    late.start()
    await core.until_over([core.world.start("other") for _ in range(6)])

    assert not held.gone
    await core.until(lambda: late.engine.script.named("fetch"), within=timedelta(seconds=10))


@pytest.mark.parametrize(
    "refusal", [AssistantPaused("the key has no right to ask model m"), ModelDown("too many requests")]
)
async def test_a_refusal_of_one_task_or_one_assistant_is_told_to_nobody(
    core: Core, crew: list[Worker], refusal: WorkerError
) -> None:
    core.provider.script.next("ask", refusal)
    core.world.start()
    await core.until(lambda: core.provider.asked)
    await asyncio.sleep(10)

    assert await core.redis.keys("aw:{outage:*") == []
    assert not any(map(down, crew))


@pytest.mark.parametrize("how_many", [1, 2])
async def test_workers_whose_own_way_is_shut_stop_the_others_once_and_not_for_long(
    core: Core, crew: list[Worker], how_many: int
) -> None:
    cut_off = FakeProvider()
    async with AsyncExitStack() as stack:
        lost = [await stack.enter_async_context(core.working(slots=1, provider=cut_off)) for _ in range(how_many)]
        for each in lost:
            await each.dependencies.all_up()
        for call in ("ping", "ask", "look", "create_thread"):
            cut_off.script.always(call, AWAY)
        stopped = 0.0
        began = now()
        while now() - began < 3 * ALONE_SECONDS:
            core.world.start()
            for _ in range(6):
                await asyncio.sleep(0.5)
                stopped += 0.5 * any(map(down, crew))
        assert all(map(down, lost))

    assert 0 < stopped < 30 * how_many
    assert all(not down(each) for each in crew)


@pytest.mark.usefixtures("crew")
async def test_while_a_quota_is_used_up_pauses_grow_at_all_workers(core: Core, provider: Provider) -> None:
    """The probe works, and every call is refused."""
    core.provider.script.always("ask", PAUSED)
    for _ in range(40):
        core.world.start()
    await asyncio.sleep(900)

    assert len(core.provider.asked) <= 6 + 3 * (900 / 15 + 7)
    late = [each for each in provider.probes if each > provider.probes[0] + 300]
    assert len(late) <= 600 / 15 + 3
