"""What all workers together ask of a provider stays within its limits, and everybody gets a turn."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.core.limiting import (
    BURST,
    HORIZON,
    PLANNED,
    Watch,
    crew,
    each_on_its_own,
    ends,
    meters,
    now,
    parks,
)
from tests.core.rig import Core
from tests.fakes.engine import LOCK, POLL
from tests.fakes.life import Life
from worker.domain.providers import Limits
from worker.domain.threads import Answer, Question


async def test_no_minute_has_more_calls_than_allowed_and_a_burst_and_a_backlog_parks_its_tasks_seldom(
    core: Core,
) -> None:
    core.limits["openai"] = Limits(requests_per_minute=20)
    watch = Watch(core)
    async with crew(core, 3):
        took = await ends(core, [core.world.start() for _ in range(60)])

    assert watch.busiest() <= 20 + 1 + BURST / 3
    assert max(took.values()) <= 180 + 5, "the pace is used"
    assert all(count <= took[task_id] / HORIZON + 2 for task_id, count in parks(core).items())


async def test_after_a_quiet_time_no_more_begin_at_once_than_the_burst(core: Core) -> None:
    core.limits["openai"] = Limits(requests_per_minute=60)
    watch = Watch(core)
    async with crew(core, 2, slots=20):
        await asyncio.sleep(600)
        began = now()
        await ends(core, [core.world.start() for _ in range(20)])

    assert sum(call.began < began + 0.5 for call in watch.calls) == PLANNED + 1


async def test_calls_at_once_are_bounded_over_all_workers_and_the_places_are_used(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=2)
    dice = random.Random(1)  # noqa: S311 - as each time
    watch = Watch(core, lambda: dice.uniform(5, 15))
    async with crew(core, 3):
        took = await ends(core, [core.world.start() for _ in range(40)])

    assert watch.most == 2
    assert max(took.values()) <= 1.25 * 40 * 10 / 2
    assert all(count <= 2.5 * (took[task_id] / HORIZON + 2) for task_id, count in parks(core).items())


async def test_tokens_a_minute_are_kept_to_by_what_the_last_calls_took(core: Core) -> None:
    core.limits["openai"] = Limits(tokens_per_minute=60_000)
    dice = random.Random(2)  # noqa: S311 - as each time
    watch = Watch(core)

    def answer(_: Question) -> Answer:
        tokens = watch.calls[-1].tokens = dice.randint(2000, 6000)
        return Answer("well", input_tokens=tokens - 500, output_tokens=500)

    core.provider.answer = answer
    watch._seconds = lambda: 0.0
    async with crew(core, 2):
        took = await ends(core, [core.world.start() for _ in range(40)])
    spent = sum(call.tokens for call in watch.calls)

    learnt = watch.calls[0].began + 10
    assert watch.dearest(after=learnt) <= 60_000 + 1000 * BURST + 6000
    assert spent / 1000 - 15 <= max(took.values()) <= 1.2 * spent / 1000


async def test_what_a_call_took_more_or_less_than_was_thought_is_put_right(core: Core) -> None:
    core.limits["openai"] = Limits(tokens_per_minute=60_000)
    worker = await core.worker()
    seats = core.seats()
    thought = worker.answering.limits.thought(core.assistants.known["analyst"], 0)
    for token, took in (("dear", 9 * thought), ("cheap", 0), ("unknown", None)):
        before = max(0.0, (await meters(core))[1]) if token != "dear" else 0.0
        while wait := await seats.take(f"of {token}", "instance", token, thought):
            await asyncio.sleep(wait.total_seconds())
            before = max(0.0, (await meters(core))[1])
        await seats.settle(token, 1, took)
        used = thought if took is None else took
        assert (await meters(core))[1] == pytest.approx(before + used / 1000, abs=0.01)
        await seats.settle(token, 1, 100_000)
        assert (await meters(core))[1] == pytest.approx(before + used / 1000, abs=0.01), "a repeat"


async def test_an_instance_with_many_tasks_does_not_shut_out_one_with_a_single_task(core: Core) -> None:
    core.limits["openai"] = Limits(requests_per_minute=20)
    Watch(core)
    each_on_its_own(core)
    async with crew(core, 2):
        many = [core.world.start(instance="crowd") for _ in range(100)]
        await asyncio.sleep(45)
        took = await ends(core, [core.world.start(instance="single")])
        left = sum(not job.gone for job in many)

    assert left > 50
    assert max(took.values()) <= 2 * HORIZON + POLL.total_seconds()


async def test_two_instances_that_both_wait_get_the_same(core: Core) -> None:
    core.limits["openai"] = Limits(requests_per_minute=20)
    Watch(core)
    each_on_its_own(core)
    async with crew(core, 2):
        both = [[core.world.start(instance="large") for _ in range(90)]]
        await asyncio.sleep(40)
        both.append([core.world.start(instance="small") for _ in range(30)])
        await asyncio.sleep(60)  # until what was kept for the large one before is used up
        before = [sum(job.gone for job in jobs) for jobs in both]
        await asyncio.sleep(60)
        after = [sum(job.gone for job in jobs) for jobs in both]

    got = [new - old for new, old in zip(after, before, strict=True)]
    assert min(got) >= 7, got


@pytest.mark.parametrize("limits", [Limits(at_once=1), Limits(requests_per_minute=6)])
async def test_tasks_of_other_providers_never_wait_for_one_that_is_at_its_limits(core: Core, limits: Limits) -> None:
    core.several = True
    core.assistants.add("critic", provider="local")
    core.world.activity("other", properties={"service.type": "assistant", "service.name": "critic"})
    core.limits["openai"] = limits
    Watch(core, lambda: 20.0)
    async with crew(core, 1, slots=2):
        for _ in range(30):
            core.world.start()
        await asyncio.sleep(1)
        took = await ends(core, [core.world.start("other") for _ in range(10)])

    assert max(took.values()) < 2 + POLL.total_seconds()


async def test_who_comes_late_as_all_slots_are_taken_by_neighbours_is_not_sent_away_again(core: Core) -> None:
    core.several = True
    core.assistants.add("critic", provider="local")
    core.world.activity("other", properties={"service.type": "assistant", "service.name": "critic"})
    core.limits["openai"] = Limits(requests_per_minute=60)
    watch = Watch(core)
    core.model.script.always("ask", 50.0)
    async with crew(core, 1, slots=2):
        jobs = [core.world.start() for _ in range(12)]
        await asyncio.sleep(1)
        for _ in range(60):  # younger, so that the engine hands them out last, when there is room
            core.world.start("other")
        await ends(core, jobs)

    assert watch.busiest() <= 60
    assert max(parks(core).values()) <= 2


async def test_the_place_of_a_dead_worker_is_free_when_its_lease_has_ended(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=1)
    watch = Watch(core, lambda: 5.0)
    doomed = await core.worker(life=Life("after:threads.intend"))
    doomed.start()
    core.world.start()
    await core.until(lambda: doomed.life.is_over)
    async with crew(core, 1):
        took = await ends(core, [core.world.start()])

    assert watch.most == 1
    assert LOCK.total_seconds() / 3 < max(took.values()) < LOCK.total_seconds() + 20


async def test_a_long_call_keeps_its_place(core: Core) -> None:
    core.limits["openai"] = Limits(at_once=1)
    core.assistants.known["analyst"] = replace(core.assistants.known["analyst"], timeout=10 * LOCK)
    watch = Watch(core, lambda: 5 * LOCK.total_seconds())
    async with crew(core, 2):
        await ends(core, [core.world.start(), core.world.start()])

    assert watch.most == 1
