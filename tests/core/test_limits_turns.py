"""What a turn does about its provider's limits: when it waits, what it counts, and what it gives back."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from tests.core.limiting import (
    BURST,
    HORIZON,
    PLANNED,
    SCARCE,
    Watch,
    crew,
    ends,
    key_of,
    meters,
    now,
    parks,
)
from tests.core.operating import stop
from tests.core.rig import Core
from tests.fakes.life import Life
from worker.domain.providers import Limits
from worker.domain.threads import Answer, Entered
from worker.errors import ModelDown, ProviderAway
from worker.telemetry.logs import Event


async def nothing_used(core: Core) -> bool:
    """Whether the seats are as if nobody had taken one."""
    [taken] = await core.redis.keys("aw:{limits:openai:*}:taken") or [""]
    return not taken and (await meters(core))[0] <= PLANNED


async def settled(core: Core) -> None:
    async with asyncio.timeout(10):
        while not await nothing_used(core):  # noqa: ASYNC110 - nothing tells when it is so
            await asyncio.sleep(0.1)


async def test_a_task_that_is_answered_gives_its_seat_back(core: Core) -> None:
    core.limits["openai"] = SCARCE
    job = core.world.start()
    entry = await core.threads.enter(key_of(job), job.task.id)
    assert isinstance(entry, Entered)
    await core.threads.keep_answer(entry.hold, 1, Answer("well"), published=False)
    async with core.working():
        await core.until_over([job])
        await settled(core)

    assert core.provider.asked == []


async def test_a_task_that_is_found_on_its_thread_gives_its_seat_back(core: Core) -> None:
    core.limits["openai"] = SCARCE
    doomed = await core.worker(life=Life("before:threads.keep_answer"))
    doomed.start()
    job = core.world.start()
    await core.until(lambda: doomed.life.is_over)
    async with core.working():
        await core.until_over([job])
        await settled(core)

    assert len(core.provider.asked) == 1


async def test_a_task_whose_thread_is_busy_gives_its_seat_back_each_time(core: Core) -> None:
    core.limits["openai"] = SCARCE
    job = core.world.start()
    await core.threads.enter(key_of(job), "another task")
    async with core.working() as worker:
        await core.until(lambda: len(worker.engine.script.named("extend")) > 0)
    await settled(core)
    assert not job.gone


@pytest.mark.parametrize("cause", ["invalid", "stopped", "away"])
async def test_a_task_that_asks_nothing_gives_its_seat_back(core: Core, cause: str) -> None:
    core.limits["openai"] = SCARCE
    worker = await core.worker()
    match cause:
        case "invalid":
            core.world.activity(documentation="")
        case "stopped":
            await core.stops.stop(stop())
            await worker.stopped.look()
        case "away":
            core.provider.script.always("ask", ProviderAway("no connection"))
            core.provider.script.always("ping", ProviderAway("no connection"))
    worker.start()
    core.world.start()
    await core.until(lambda: worker.engine.script.named("definition"))
    await settled(core)


def waits() -> float:
    return REGISTRY.get_sample_value("worker_limit_wait_seconds_count", {"provider": "openai"}) or 0.0


async def test_sending_a_task_away_costs_no_retry_and_is_in_log_and_metric(core: Core) -> None:
    core.limits["openai"] = Limits(requests_per_minute=1)
    before = waits()
    with capture_logs() as lines:
        async with crew(core, 1):
            first, second = core.world.start(), core.world.start()
            await ends(core, [first, second])

    sent_away = [line for line in lines if line["event"] == Event.TURN and line.get("reason") == "rate limit"]
    assert [line["verdict"] for line in sent_away] == ["park"]
    assert "the provider openai is at its limits; to be tried again in 5" in sent_away[0]["error"]
    assert waits() - before == 1
    assert (second.retries, second.message) == (None, "")


async def test_without_limits_not_one_script_more_runs_and_with_them_one_before_enter(core: Core) -> None:
    def named(before: int) -> int:
        return core.redis.scripts - before

    counts = []
    for limits in ({}, {"openai": Limits(at_once=9, requests_per_minute=999, tokens_per_minute=10**6)}):
        core.limits = limits
        async with core.working():
            await core.until_over([core.world.start("warm")])
            await asyncio.sleep(1)
            before = core.redis.scripts
            await core.until_over([core.world.start("measured")])
            await asyncio.sleep(1)
            counts.append(named(before))

    usual = ["enter", "bind", "intend", "list", "keep_answer", "close"]
    assert counts == [len(usual), len(usual) + 2], "take before enter, and settle beside the work"


async def test_while_redis_is_away_a_task_goes_back_as_ever(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=1)
    worker = await core.worker()
    core.redis.trouble.append(RedisError("away"))
    worker.start()
    job = core.world.start()
    await core.until_over([job])

    assert worker.engine.script.named("unlock") == [(job.task.id,)]
    assert (job.retries, job.message, len(core.provider.asked)) == (None, "", 1)


async def test_a_seat_that_redis_does_not_hear_of_ends_with_its_lease(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=1)
    async with core.working():
        first = core.world.start()
        await core.until(lambda: core.provider.asked)
        core.redis.trouble += [RedisError("away")] * 2
        second = core.world.start()
        await core.until_over([first, second])

    assert [job.message for job in (first, second)] == ["", ""]


async def test_a_provider_at_its_limits_is_not_away_and_nobody_falls_back_from_it(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", fallback=(("local", "small"),))
    core.limits["openai"] = Limits(requests_per_minute=6)
    async with core.working():
        await core.until_over([core.world.start() for _ in range(5)])

    assert (len(core.provider.asked), core.model.told) == (5, [])


async def test_while_a_provider_is_away_its_limits_hold_up_nobody_who_falls_back(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", fallback=(("local", "small"),))
    core.limits = {"openai": Limits(requests_per_minute=1), "local": Limits(at_once=1)}
    async with core.working() as worker:
        core.provider.script.always("ask", ProviderAway("no connection"))
        core.provider.script.always("ping", ProviderAway("no connection"))
        jobs = [core.world.start() for _ in range(5)]
        took = await ends(core, jobs)
        assert worker.dependencies.partly()

    assert (len(core.model.told), max(took.values()) < 60) == (5, True)


async def test_a_thread_that_stays_at_its_fallback_takes_the_seat_there(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", fallback=(("local", "small"),), stays=True)
    core.limits = {"openai": Limits(requests_per_minute=1), "local": Limits(at_once=1)}
    async with core.working() as worker:
        core.provider.script.always("ask", ProviderAway("no connection"))
        core.provider.script.always("ping", ProviderAway("no connection"))
        await core.until_over([core.world.start("first", instance="a")])
        core.provider.script.always("ask", None)
        core.provider.script.always("ping", None)
        await core.until(lambda: not worker.dependencies.partly())
        seats = worker.turn._ground.seats
        taken = [await seats["local"].take("other", "b", "token", 0)]
        second = core.world.start("second", instance="a")
        await core.until(lambda: parks(core)[second.task.id])
        await seats["local"].settle("token", 0, None)
        await core.until_over([second])

    assert (taken, len(core.model.told)) == ([None], 2)
    assert (await meters(core))[0] <= PLANNED, "the seat at the own provider was given back"


async def test_a_429_that_says_when_to_come_again_is_heard_by_all_workers(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=9)
    core.provider.script.next("ask", ModelDown("too many requests", retry_after=timedelta(seconds=40)))
    async with crew(core, 2):
        refused = core.world.start()
        await core.until(lambda: refused.message)
        began = now()
        await asyncio.sleep(1)
        others = [core.world.start() for _ in range(6)]
        took = await ends(core, others)

    assert min(took.values()) > 35, took
    assert max(took.values()) < 40 + HORIZON * 1.25 + 10
    assert (len(core.provider.asked), now() - began > 39) == (8, True)


async def test_no_word_of_a_provider_closes_it_for_more_than_a_minute(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=9)
    core.provider.script.next("ask", ModelDown("too many requests", retry_after=timedelta(hours=1)))
    async with crew(core, 2):
        refused = core.world.start()
        await core.until(lambda: refused.message)
        await asyncio.sleep(1)
        took = await ends(core, [core.world.start()])

    assert 55 < max(took.values()) < 90


async def test_a_repair_is_a_call_that_needs_a_seat_of_its_own(core: Core) -> None:
    usual = core.world.activity().properties
    core.world.activity(properties={**usual, "data.output.fields": "choice"})
    core.limits["openai"] = Limits(at_once=1, requests_per_minute=2)
    answers = iter(["no JSON", '{"choice": "a"}', "no JSON", '{"choice": "b"}'])
    core.provider.answer = lambda _: Answer(next(answers))
    watch = Watch(core)
    async with crew(core, 1):
        await ends(core, [core.world.start(), core.world.start()])

    gaps = [later.began - first.began for first, later in pairwise(watch.calls)]
    assert len(gaps) == 3
    assert min(gaps) >= 30 - BURST


async def test_a_run_in_the_background_is_counted_with_what_it_took(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.limits["openai"] = Limits(tokens_per_minute=60_000)
    core.provider.answer = lambda _: Answer("well", input_tokens=19_000, output_tokens=1000)
    core.provider.script.always("follow", 5.0)
    async with crew(core, 1):
        await ends(core, [core.world.start()])
        await asyncio.sleep(0.2)

    assert 5 < (await meters(core))[1] < 20
