"""Fetching: as many as slots are free, nothing while something is away, nothing locked after the end."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.rig import Core, Worker
from tests.fakes.engine import LOCK, FakeTopics
from worker.domain.tasks import Topic
from worker.domain.threads import Answer, Outcome, ThreadKey
from worker.errors import EngineDown, ProviderPaused, ReadRefused
from worker.loop import poller, slots
from worker.loop.dependencies import Dependencies
from worker.loop.handler import LAST_WORD_SECONDS
from worker.loop.poller import KNOWN, LAST_LOOK_SECONDS, LAST_POLL_SECONDS, Until
from worker.turn.verdict import PARKED_FOR


def fetched(worker: Worker) -> list[int]:
    """How many tasks each poll asked for."""
    return [most for _, most, _ in worker.engine.script.named("fetch")]


async def test_a_poll_asks_for_as_many_tasks_as_slots_are_free(core: Core) -> None:
    core.provider.script.always("ask", 30)
    async with core.working(slots=3) as worker:
        await asyncio.sleep(1)
        core.world.start()
        await asyncio.sleep(15)

    assert fetched(worker)[:2] == [3, 2]


async def test_one_poll_asks_for_no_more_than_an_engine_hands_over_in_time_and_all_slots_are_filled(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "MOST_FETCHED", 20)
    core.provider.script.always("ask", 60)
    for _ in range(60):
        core.world.start()
    async with core.working(slots=60) as worker:
        await core.until(lambda: len(core.provider.script.named("ask")) == 60, within=timedelta(seconds=10))

    assert fetched(worker)[:3] == [20] * 3


async def test_nothing_is_fetched_while_all_slots_are_taken(core: Core) -> None:
    core.provider.script.always("ask", 50)
    async with core.working(slots=1) as worker:
        jobs = [core.world.start(), core.world.start()]
        await core.until(lambda: core.provider.asked)
        polls = len(fetched(worker))
        await asyncio.sleep(40)
        assert len(fetched(worker)) == polls
        await core.until_over(jobs)


async def test_no_more_is_fetched_than_there_is_room_for_and_all_of_it_in_the_end(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "MOST_HELD", 1_000_000)
    core.provider.script.always("ask", 50)
    jobs = [core.world.start() for _ in range(8)]
    for job in jobs:
        job.bytes = 500_000
    core.world.most_bytes = 600_000
    async with core.working(slots=8) as worker:
        await core.until(lambda: len(core.provider.script.named("ask")) == 2, within=timedelta(seconds=10))
        polls = len(fetched(worker))
        await asyncio.sleep(40)
        assert len(fetched(worker)) == polls
        await core.until_over(jobs)


async def test_in_a_backlog_one_request_fetches_several_tasks(core: Core) -> None:
    core.provider.script.always("ask", 1)
    jobs = [core.world.start() for _ in range(60)]
    async with core.working(slots=10) as worker:
        await core.until_over(jobs)

    assert len(fetched(worker)) <= 30


async def test_in_a_backlog_a_few_tasks_wait_here_so_that_a_free_slot_has_its_next_one_at_once(core: Core) -> None:
    core.provider.script.always("ask", 1)
    jobs = [core.world.start() for _ in range(60)]
    most = 0
    async with core.working(slots=10) as worker:
        began = asyncio.get_running_loop().time()
        while not all(job.gone for job in jobs):
            running = len(core.provider.script.named("ask")) - sum(job.gone for job in jobs)
            most = max(most, len(await worker.engine.locked()))
            assert running <= 10, "those that wait start nothing"
            await asyncio.sleep(0.01)
        took = asyncio.get_running_loop().time() - began

    assert 10 < most <= 12
    assert took < 6.2, "without any it is 20 ms more for each task of a slot"


async def test_without_a_backlog_no_task_is_taken_that_has_to_wait_for_a_slot(core: Core) -> None:
    """Another worker may have one for it."""
    core.provider.script.always("ask", 20)
    jobs = [core.world.start() for _ in range(10)]
    async with core.working(slots=10) as worker:
        await core.until(lambda: len(core.provider.script.named("ask")) == 10)
        await asyncio.sleep(1)
        jobs += [core.world.start() for _ in range(9)]
        await asyncio.sleep(5)
        assert len(await worker.engine.locked()) == 10
        await core.until_over(jobs)


async def test_a_stop_gives_back_at_once_what_waits_for_a_slot(core: Core) -> None:
    core.provider.script.always("ask", 10)
    for _ in range(60):
        core.world.start()
    async with core.working(slots=10) as worker:
        await core.until(lambda: len(core.provider.script.named("ask")) == 10)
        await asyncio.sleep(1)
        assert len(await worker.engine.locked()) == 12
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(1)
        assert len(await worker.engine.locked()) == 10
        await stopping

    assert sum(job.gone for job in core.world.jobs.values()) == 10
    assert len(core.provider.script.named("ask")) == 10


async def test_without_topics_nothing_is_fetched_until_there_are_some(core: Core) -> None:
    topics = FakeTopics()
    topics.topics = ()
    job = core.world.start()
    async with core.working(topics=topics) as worker:
        await asyncio.sleep(100)
        assert fetched(worker) == []
        topics.topics = (Topic("topic"),)
        await core.until_over([job])


async def test_empty_polls_that_return_at_once_are_five_a_second_at_most(core: Core) -> None:
    class Impatient(FakeTopics):
        def next_look(self) -> timedelta:
            return timedelta(0)

    async with core.working(topics=Impatient()) as worker:
        await asyncio.sleep(10)

    assert 40 <= len(fetched(worker)) <= 52


async def test_a_task_that_is_not_ours_is_given_back_and_looked_into(core: Core) -> None:
    topics = FakeTopics()
    strange = core.world.start()
    topics.strange.add(strange.task.id)
    async with core.working(topics=topics) as worker:
        await core.until(lambda: worker.engine.script.named("unlock"))
        topics.strange.clear()
        await core.until_over([strange])

    assert topics.suspected >= 1
    assert strange.completed_by == ["worker-1"]


async def test_after_a_failed_poll_nothing_is_fetched_until_the_probe_works(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("fetch", EngineDown("away"))
        worker.engine.script.next("ping", *[EngineDown("away")] * 4)
        job = core.world.start()
        await core.until(worker.dependencies.reasons)
        polls, probes = len(fetched(worker)), len(worker.engine.script.named("ping"))
        await core.until(lambda: len(worker.engine.script.named("ping")) == probes + 4)
        assert len(fetched(worker)) == polls
        await core.until_over([job])

    assert len(job.completed_by) == 1


async def test_what_a_lost_poll_has_locked_is_given_back(core: Core) -> None:
    async with core.working() as worker:
        await asyncio.sleep(1)  # a first poll is parked
        job = core.world.start("frame", topic="not yet")

        def lock_and_hang_up() -> None:
            job.task = replace(job.task, topic="topic")
            job.worker, job.locked_until = "worker-1", asyncio.get_running_loop().time() + LOCK.total_seconds()
            raise EngineDown("the reply was lost")

        worker.engine.script.next("fetch", lock_and_hang_up)
        await core.until(lambda: job.worker)
        began = asyncio.get_running_loop().time()
        await core.until_over([job])

    assert asyncio.get_running_loop().time() - began < LOCK.total_seconds() / 2


async def test_a_list_of_locked_tasks_that_cannot_be_had_is_an_outage_and_no_end(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("fetch", EngineDown("away"))
        worker.engine.script.next("locked", EngineDown("away"))
        await asyncio.sleep(30)
        job = core.world.start()
        await core.until_over([job])


async def test_after_an_outage_one_task_goes_first(core: Core) -> None:
    def refuse() -> None:
        raise ProviderPaused("the quota is used up")

    async with core.working(slots=5) as worker:
        core.provider.script.always("ask", refuse)
        jobs = [core.world.start() for _ in range(5)]
        await core.until(worker.dependencies.reasons)
        first = len(core.provider.asked)
        await asyncio.sleep(600)
        probes = len(core.provider.script.named("ping"))
        assert len(core.provider.asked) <= first + probes, "one question for each probe that worked"
        core.provider.script.always("ask", None)
        await core.until_over(jobs)

    assert {len(job.completed_by) for job in jobs} == {1}


async def test_one_that_takes_long_on_trial_does_not_keep_the_others_waiting_for_ever(core: Core) -> None:
    async with core.working(slots=5) as worker:
        worker.dependencies.down("provider", ProviderPaused("quota"))
        core.provider.script.always("ask", 500)
        jobs = [core.world.start() for _ in range(5)]
        await core.until(lambda: len(core.provider.asked) == 5)
        assert not any(job.gone for job in jobs)
        await core.until_over(jobs)


async def test_a_stop_lets_turns_finish_and_leaves_nothing_locked(core: Core) -> None:
    core.provider.script.always("ask", 10)
    worker = await core.worker(slots=2)
    jobs = [core.world.start() for _ in range(2)]
    worker.start()
    await core.until(lambda: len(core.provider.asked) == 2)
    await worker.stop()

    assert all(job.completed_by for job in jobs)
    assert await worker.engine.locked() == []


async def test_what_is_not_done_in_the_grace_time_is_given_back_with_its_retries(core: Core) -> None:
    core.provider.script.always("ask", 600)
    worker = await core.worker()
    job = core.world.start()
    worker.start()
    await core.until(lambda: core.provider.asked)
    await worker.stop()

    assert (job.worker, job.retries) == (None, None)
    assert not job.completed_by


async def test_a_second_signal_ends_the_grace_time(core: Core) -> None:
    core.provider.script.always("ask", 600)
    worker = await core.worker()
    job = core.world.start()
    worker.start()
    await core.until(lambda: core.provider.asked)
    began = asyncio.get_running_loop().time()
    await worker.stop(hurry=True)

    assert asyncio.get_running_loop().time() - began <= LAST_POLL_SECONDS + 1
    assert job.worker is None


async def test_what_stays_locked_at_the_end_is_unlocked_but_not_what_waits_for_its_next_try(core: Core) -> None:
    core.provider.answer = lambda _: Answer("", outcome=Outcome.REFUSED)
    patient = {**core.world.activity().properties, "service.retries.delay": "PT10M"}
    core.world.activity(properties=patient)
    async with core.working() as worker:
        failed = core.world.start()
        await core.until(lambda: failed.message)
        until = failed.locked_until
        ghost = core.world.start("alternatives", instance="ghost")
        ghost.worker, ghost.locked_until = worker.engine.worker_id, asyncio.get_running_loop().time() + 500
    assert ghost.worker is None
    assert (failed.worker, failed.locked_until) == ("worker-1", until)


async def test_an_engine_that_is_dead_at_the_end_does_not_keep_the_worker(core: Core) -> None:
    worker = await core.worker()
    worker.start()
    await asyncio.sleep(1)
    worker.engine.script.always("locked", 600)
    began = asyncio.get_running_loop().time()
    await worker.stop()

    assert asyncio.get_running_loop().time() - began <= 10 + LAST_WORD_SECONDS + LAST_LOOK_SECONDS + 1


async def test_a_task_that_comes_twice_is_handled_once(core: Core) -> None:
    core.provider.script.always("ask", 40)
    async with core.working() as worker:
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        job.locked_until = 0.0  # as after an engine that was away for longer than the lock
        core.world.news.set()
        await core.until_over([job])
        await asyncio.sleep(60)

    assert len(core.provider.asked) == 1
    assert job.completed_by == ["worker-1"]
    assert len(worker.engine.script.named("complete")) == 1


async def test_a_task_that_comes_again_after_it_was_given_up_is_handled(core: Core) -> None:
    core.provider.script.next("ask", EngineDown("any error will do"))
    async with core.working():
        job = core.world.start()
        await core.until_over([job])


async def test_who_waits_is_remembered_for_its_time_only() -> None:
    until = Until()
    until.note("a", timedelta(seconds=5))
    assert until.now() == {"a"}
    await asyncio.sleep(6)
    for number in range(KNOWN + 1):
        until.note(str(number), timedelta(seconds=5))
    assert "a" not in until.now()


async def test_trouble_that_nobody_foresaw_in_a_probe_ends_nothing() -> None:
    calls = 0

    async def probe() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError("secret")

    async with Dependencies({"engine": probe}) as dependencies:
        await dependencies.all_up()
    assert calls == 3


async def test_a_poll_is_over_when_the_first_parked_task_can_be_had_again(core: Core) -> None:
    """A lock that runs out wakes no parked poll."""
    core.world.start()
    worker = await core.worker()
    for job in core.world.jobs.values():
        await core.threads.enter(ThreadKey("default", job.task.process_instance_id, "analyst"), "another task")
    worker.handler._waiting._places = 0  # so that it is parked at once
    worker.start()
    await core.until(lambda: worker.engine.script.named("extend"))
    await asyncio.sleep(1)

    first, second = [wait for _, _, wait in worker.engine.script.named("fetch")]
    assert first == timedelta.max
    assert PARKED_FOR - timedelta(seconds=1) < second <= PARKED_FOR


async def test_tasks_that_are_too_much_for_one_reply_are_fetched_by_fewer_and_none_is_lost(core: Core) -> None:
    jobs = [core.world.start() for _ in range(60)]
    for job in jobs:
        job.bytes = 300_000
    async with core.working(slots=20) as worker:
        began = asyncio.get_running_loop().time()
        await core.until_over(jobs)
        took = asyncio.get_running_loop().time() - began

    assert took < LOCK.total_seconds() / 2, "what a poll has locked in vain is given back at once"
    assert fetched(worker)[:4] == [20, 10, 5, 2]
    assert all(len(job.completed_by) == 1 for job in jobs)
    assert not worker.engine.script.named("bare")


async def test_a_task_that_is_too_much_alone_is_an_incident_that_says_what_to_do_and_others_go_on(core: Core) -> None:
    before = [core.world.start() for _ in range(10)]
    huge = [core.world.start() for _ in range(2)]
    for job in huge:
        job.bytes = 2_000_000
    behind = [core.world.start() for _ in range(50)]
    async with core.working(slots=20) as worker:
        began = asyncio.get_running_loop().time()
        await core.until_over([*before, *behind])
        await core.until(lambda: all(job.has_incident for job in huge))
        took = asyncio.get_running_loop().time() - began
        await asyncio.sleep(60)  # until its outages, if it saw any, and what it left out are over
        more = [core.world.start() for _ in range(20)]
        await core.until_over(more)

    assert took < LOCK.total_seconds() / 2
    assert not worker.dependencies.reasons()
    for job in huge:
        assert '"Frame" (frame)' in job.message
        assert "name in data.input what is needed" in job.message
        assert job.message.endswith("set the retries again.")
    assert len(core.provider.asked) == 80


async def test_after_a_reply_that_was_too_much_polls_grow_again(core: Core) -> None:
    huge = core.world.start()
    huge.bytes = 2_000_000
    async with core.working(slots=10) as worker:
        await core.until(lambda: huge.has_incident)
        await core.until_over([core.world.start() for _ in range(200)])
        core.world.start()
        await asyncio.sleep(60)

    assert fetched(worker)[-1] == 10


async def test_a_task_that_is_too_much_and_cannot_be_found_keeps_no_other_topic_waiting(core: Core) -> None:
    huge = core.world.start()
    huge.bytes = 2_000_000
    core.world.activity("other", definition="other:1:d", topic="other")
    topics = FakeTopics(Topic("topic"), Topic("other"))
    async with core.working(topics=topics) as worker:
        worker.engine.script.always("bare", ReadRefused("no right"))
        others = [core.world.start("other", definition="other:1:d") for _ in range(10)]
        await core.until_over(others)

    assert not huge.gone
    assert not huge.has_incident


async def test_a_healthy_poll_costs_no_other_request(core: Core) -> None:
    async with core.working() as worker:
        await core.until_over([core.world.start() for _ in range(10)])
        assert not worker.engine.script.named("bare")
        assert not worker.engine.script.named("locked")
