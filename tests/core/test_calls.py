"""What a task may cost: its calls are counted, bounded, and allowed again by who sets its retries anew."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.core.rig import Core
from tests.fakes.engine import LOCK, Job
from worker.domain.threads import Answer, Entered, ThreadKey
from worker.errors import EngineDown, ModelDown, ModelUnknown, ThreadGone, ThreadLocked, TurnedAway

TIMEOUT = ModelUnknown("no whole reply within 60 s")
MINUTE = timedelta(minutes=1)


def allowing(core: Core, **properties: str) -> None:
    """Have an activity with such properties; `_` stands for `.`."""
    usual = core.world.activity().properties
    core.world.activity(properties={**usual, **{name.replace("_", "."): value for name, value in properties.items()}})


async def entered(core: Core, job: Job) -> Entered:
    """The task in the hands of a worker that is not heard of again."""
    key = ThreadKey("default", job.task.process_instance_id, "analyst")
    entry = await core.threads.enter(key, job.task.id, job.retries)
    assert isinstance(entry, Entered)
    return entry


def set_retries(core: Core, job: Job, retries: int) -> None:
    """Do what a person does in Cockpit."""
    job.retries = retries
    core.world.news.set()


async def test_calls_that_nobody_saw_ending_are_an_incident_that_says_what_to_raise(core: Core) -> None:
    core.provider.script.always("ask", TIMEOUT)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident)
        await asyncio.sleep(3600)

    assert len(core.provider.asked) == 3
    assert (
        "3 calls of the model may have been paid; service.calls allows no more until the retries are set again"
        in job.message
    )
    assert "3 ended without an answer: raise timeout_seconds" in job.message
    assert "above 60 s" in job.message
    assert "or whether an operator broke calls off (stop --now)" in job.message
    assert "schema" not in job.message


@pytest.mark.parametrize("calls", [1, 5])
async def test_a_task_says_how_many_calls_it_may_cost(core: Core, calls: int) -> None:
    allowing(core, service_calls=str(calls))
    core.provider.script.always("ask", TIMEOUT)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == calls


async def test_whoever_sets_the_retries_anew_allows_as_many_calls_again(core: Core) -> None:
    core.provider.script.always("ask", TIMEOUT)
    async with core.working():
        job = core.world.start()
        for spent in (3, 6):
            await core.until(lambda: job.has_incident, within=timedelta(hours=3))
            assert len(core.provider.asked) == spent
            await asyncio.sleep(3 * 3600)  # trouble is as old as the incident before
            set_retries(core, job, 1)
        await core.until(lambda: len(core.provider.asked) == 8)
        core.provider.script.always("ask", None)
        await core.until_over([job])

    assert len(core.provider.asked) == 9


async def test_retries_that_are_raised_between_two_tries_allow_as_many_calls_again(core: Core) -> None:
    core.provider.script.always("ask", TIMEOUT)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: len(core.provider.asked) == 2 and job.message)
        set_retries(core, job, 10)
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == 5


async def test_retries_that_are_lowered_between_two_tries_allow_nothing(core: Core) -> None:
    core.provider.script.always("ask", TIMEOUT)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: len(core.provider.asked) == 2 and job.message)
        set_retries(core, job, 1)
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == 3


@pytest.mark.parametrize("refusal", [ModelDown("429"), ThreadLocked("busy"), TurnedAway("a page")])
async def test_calls_that_were_refused_cost_nothing_even_behind_one_that_may_have_run(
    core: Core, refusal: Exception
) -> None:
    allowing(core, service_calls="2", service_retries="30")
    core.provider.script.next("ask", TIMEOUT, *[refusal] * 20)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.gone, within=timedelta(hours=3))

    assert len(core.provider.asked) == 22
    assert job.completed_by


async def test_answers_of_the_wrong_form_count_with_their_repairs_and_the_incident_names_the_schema(core: Core) -> None:
    allowing(core, data_output_type="Json")
    core.provider.answer = lambda _: Answer("no JSON")
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == 3
    assert "3 brought an answer of no use: look at the question and its schema" in job.message
    assert "timeout_seconds" not in job.message


async def test_an_answer_whose_repair_may_not_be_asked_for_is_the_outcome(core: Core) -> None:
    allowing(core, data_output_type="Json", error_invalid="BAD", service_calls="1")
    core.provider.answer = lambda _: Answer("no JSON")
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.error_code == "BAD"
    assert len(core.provider.asked) == 1


async def test_calls_under_which_workers_died_count(core: Core) -> None:
    job = core.world.start()
    for _ in range(3):
        assert await core.threads.intend((await entered(core, job)).hold, 1, MINUTE)
        await asyncio.sleep(LOCK.total_seconds() + 1)
    async with core.working():
        await core.until(lambda: job.has_incident)

    assert core.provider.asked == []
    assert "3 ended without an answer" in job.message
    assert "what ended workers" in job.message


async def test_a_run_in_the_background_that_was_begun_counts_though_it_is_over_without_an_answer(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.always("follow", ModelDown("the run was cancelled after its deadline"))
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident)

    assert len(core.provider.script.named("start")) == 3


async def spent(core: Core, ending: Callable[[], None]) -> Job:
    """A task whose only call was lost by two hands, the second of which sees what became of it."""
    allowing(core, service_calls="1")

    def cut() -> None:
        ending()
        raise TIMEOUT

    core.provider.script.next("ask", cut)
    return core.world.start()


async def test_the_answer_of_the_last_call_is_found_and_costs_nothing(core: Core) -> None:
    job = await spent(core, lambda: land(core))
    async with core.working():
        await core.until_over([job])

    assert job.completed_by
    assert len(core.provider.asked) == 1


async def test_the_last_call_is_waited_for_as_long_as_it_may_run(core: Core) -> None:
    def land_later() -> None:
        asyncio.get_running_loop().call_later(45, land, core)

    job = await spent(core, land_later)
    async with core.working():
        await core.until_over([job])

    assert job.completed_by
    assert len(core.provider.asked) == 1


def land(core: Core) -> None:
    core.provider._land(*core.provider.asked[-1])


async def test_an_answer_that_comes_after_the_incident_is_found_by_the_retry(core: Core) -> None:
    job = await spent(core, lambda: None)
    async with core.working():
        await core.until(lambda: job.has_incident)
        land(core)
        set_retries(core, job, 1)
        await core.until_over([job])

    assert len(core.provider.asked) == 1


async def test_no_thread_is_made_for_a_call_that_may_not_be_started(core: Core) -> None:
    job = await spent(core, core.provider.conversations.clear)
    async with core.working():
        await core.until(lambda: job.has_incident)

    assert core.provider.conversations == {}


@pytest.mark.parametrize("creation", [None, TIMEOUT])
async def test_a_thread_that_goes_between_look_and_call_costs_no_call(core: Core, creation: Exception | None) -> None:
    allowing(core, service_calls="1")
    core.provider.script.next("create_thread", None, creation)
    core.provider.script.next("ask", None, ThreadGone("gone"))
    async with core.working():
        await core.until_over([core.world.start(instance="a")])
        job = core.world.start(instance="a")
        await core.until_over([job])

    assert len(core.provider.script.named("create_thread")) == 2
    assert len(core.provider.asked) == 3


async def test_what_the_engine_was_not_told_is_not_taken_for_a_persons_doing(core: Core) -> None:
    core.provider.script.always("ask", ValueError("odd"))
    async with core.working() as worker:
        worker.engine.script.next("fail", None, *[EngineDown("away")] * 4)
        job = core.world.start()
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == 3
