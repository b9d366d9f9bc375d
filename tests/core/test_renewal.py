"""Threads that are left for new ones although they are still there: by order, or as their provider refuses them."""

import asyncio
import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.threads import Decision, Entered, Question, Said, Seed, Thread, ThreadKey, ref
from worker.errors import BadRequest, ModelDown, ModelUnknown, ProviderAway, ThreadBroken, ThreadLocked
from worker.redis import RedisThreadIndex
from worker.redis.keys import Keys
from worker.telemetry.logs import Event

NAME = "assistant_thread_analyst"
KEY = ThreadKey("default", "a", "analyst")
WHY = Decision("the provider refuses it", "ada on desk")
BROKEN = ThreadBroken("reasoning alone")


@pytest.fixture(autouse=True)
def told(core: Core) -> None:
    """What the transcript knows of every thread."""
    core.history.told = Seed((Said("user", "q1"), Said("assistant", "a1")), turns=1)


async def step(core: Core, activity: str) -> Job:
    job = core.world.start(activity, instance="a")
    await core.until_over([job])
    return job


async def order(core: Core, thread: str = "conv_1") -> None:
    """What `threads renew` does."""
    index = RedisThreadIndex(core.redis, prefix="aw", engine="default", lease=timedelta(1), keep=timedelta(30))
    assert await index.replace(KEY, Thread(thread, 1), WHY)


async def asked_before(core: Core, job: Job, limit: float) -> Entered:
    """Ask for this task as a worker that dies under the call."""
    entry = await core.threads.enter(KEY, job.task.id)
    assert isinstance(entry, Entered)
    assert await core.threads.intend(entry.hold, 1, timedelta(seconds=limit))
    return entry


def is_told(core: Core, thread: str) -> bool:
    return core.provider.conversations[thread].items[:2] == [("user", "q1"), ("assistant", "a1")]


async def test_an_order_has_the_next_turn_begin_a_new_thread_that_is_told_what_was_said(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await order(core)
        with capture_logs() as lines:
            job = await step(core, "second")
        await step(core, "third")

    assert core.world.variables["a"][NAME].value == "conv_2#2"
    assert is_told(core, "conv_2")
    assert [thread for thread, _ in core.provider.asked] == ["conv_1", "conv_2", "conv_2"]
    assert [thread for thread, *_ in core.provider.script.named("look")] == ["conv_2"], "the old one is not touched"
    [line] = [line for line in lines if line["event"] == Event.THREAD_RENEWED]
    assert (line["thread_id"], line["reason"], line["by"]) == ("conv_1", WHY.reason, WHY.by)
    assert json.loads(str(job.results["second_meta"].value))["use"] == "recreated"
    assert "conv_1" in core.provider.conversations, "it is erased with the new one"
    assert await core.redis.hget(Keys.of("aw", KEY).thread, "former:conv_1")


async def test_a_history_that_we_keep_is_begun_anew_by_order(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", provider="local")
    async with core.working():
        await step(core, "first")
        old = str(core.world.variables["a"][NAME].value).partition("#")[0]
        await order(core, old)
        await step(core, "second")

    assert str(core.world.variables["a"][NAME].value).endswith("#2@local")
    assert old not in str(core.world.variables["a"][NAME].value)
    assert [each.text for each in core.model.told[-1][0]] == ["q1", "a1"]


async def test_no_thread_is_left_while_a_call_for_another_task_may_run_on_it(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        entry = await core.threads.enter(KEY, "another task")
        assert isinstance(entry, Entered)
        assert await core.threads.intend(entry.hold, 1, timedelta(seconds=200))
        await core.threads.leave(entry.hold, asked=True, trouble=False)
        await order(core)
        job = core.world.start("second", instance="a")
        await asyncio.sleep(150)
        assert list(core.provider.conversations) == ["conv_1"]
        await core.until_over([job])

    assert not job.message
    assert core.world.variables["a"][NAME].value == "conv_2#2"


async def test_an_answer_that_is_on_the_old_thread_counts_and_the_next_turn_leaves_it(core: Core) -> None:
    async with core.working():
        await step(core, "first")
    job = core.world.start("second", instance="a")
    entry = await asked_before(core, job, 0.001)
    core.provider._land("conv_1", Question("?", ref(KEY, job.task.id, entry.attempt)))
    await order(core)
    async with core.working():
        await core.until_over([job])
        assert len(core.provider.asked) == 1
        await step(core, "third")

    assert core.world.variables["a"][NAME].value == "conv_2#2"


@pytest.mark.parametrize(
    ("said", "looks"),
    [(BadRequest("unreadable"), 1), (None, 1), (ProviderAway("refused"), 2), (ModelDown("503"), 2)],
    ids=["refused", "nothing there", "away", "down"],
)
async def test_an_answer_on_the_old_thread_is_looked_for_until_that_is_known_to_be_in_vain(
    core: Core, said: ModelDown | BadRequest | None, looks: int
) -> None:
    async with core.working():
        await step(core, "first")
    before = len(core.provider.script.named("look"))
    job = core.world.start("second", instance="a")
    await asked_before(core, job, 0.001)
    await order(core)
    core.provider.script.next("look", said)
    async with core.working():
        await core.until_over([job])

    assert len(core.provider.script.named("look")) - before == looks
    assert [thread for thread, _ in core.provider.asked] == ["conv_1", "conv_2"]


async def test_a_thread_that_cannot_be_looked_at_for_long_is_left_by_order(core: Core) -> None:
    async with core.working():
        await step(core, "first")
    job = core.world.start("second", instance="a")
    await asked_before(core, job, 0.001)
    await order(core)
    core.provider.script.always("look", ModelDown("500"))
    async with core.working():
        await core.until(lambda: job.gone, within=timedelta(hours=3))

    assert [thread for thread, _ in core.provider.asked] == ["conv_1", "conv_2"]


async def test_a_thread_that_its_provider_refuses_for_good_is_left_by_itself(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.script.next("ask", BROKEN)
        with capture_logs() as lines:
            job = await step(core, "second")

    assert not job.message
    assert core.world.variables["a"][NAME].value == "conv_2#2"
    assert is_told(core, "conv_2")
    assert [line["by"] for line in lines if line["event"] == Event.THREAD_RENEWED] == ["worker"]


async def test_a_new_thread_that_is_refused_too_is_an_incident(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.script.always("ask", BROKEN)
        job = core.world.start("second", instance="a")
        await core.until(lambda: job.has_incident)

    assert len(core.provider.asked) == 3


async def test_without_a_transcript_no_thread_is_left_by_itself(core: Core) -> None:
    core.history = None  # type: ignore[assignment]  # as with TRANSCRIPT_URL=off
    async with core.working():
        await step(core, "first")
        core.provider.script.next("ask", BROKEN)
        job = core.world.start("second", instance="a")
        await core.until(lambda: job.has_incident)

    assert list(core.provider.conversations) == ["conv_1"]


async def test_a_lock_that_stays_for_too_long_is_left_and_one_that_passes_is_not(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.script.next("ask", *[ThreadLocked("busy")] * 12)
        await step(core, "second")
        assert core.world.variables["a"][NAME].value == "conv_1#1"

        def locked() -> None:
            if core.provider.script.named("ask")[-1][0] == "conv_1":
                raise ThreadLocked("busy")

        core.provider.script.always("ask", locked)
        job = core.world.start("third", instance="a")
        await core.until(lambda: job.gone, within=timedelta(hours=3))

    assert not job.message
    assert core.world.variables["a"][NAME].value == "conv_2#2"


async def test_a_lock_that_a_lost_call_left_behind_holds_a_thread_no_longer_than_trouble_may_last(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        lost = [ModelUnknown("cut")]

        def locked() -> None:
            if lost:
                raise lost.pop()
            if core.provider.script.named("ask")[-1][0] == "conv_1":
                raise ThreadLocked("busy")

        core.provider.script.always("ask", locked)
        job = core.world.start("second", instance="a")
        await core.until(lambda: job.gone, within=timedelta(hours=3))

    assert core.world.variables["a"][NAME].value == "conv_2#2"
    assert job.task.retries in {None, 3}, "no retry is spent"
