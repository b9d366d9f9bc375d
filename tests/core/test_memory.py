"""What a task is told, and says, where its thread should know what was said before, and knows nothing."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.tasks import Origin
from worker.domain.threads import Said, Seed, Thread
from worker.errors import BadRequest, ModelDown
from worker.modelling.result import thread_variable

NAME = "assistant_thread_analyst"
NEEDED = {"service.type": "assistant", "service.name": "analyst", "service.thread.required": "true"}
TOLD = Seed((Said("user", "q"), Said("assistant", "a")), turns=1)


def meta(job: Job) -> dict[str, Any]:
    [found] = [json.loads(each.value) for name, each in job.results.items() if name.endswith("_meta")]
    return dict(found)


async def done(core: Core, instance: str = "b", **options: Any) -> Job:
    """A later task of an instance."""
    async with core.working():
        job = core.world.start("second", instance=instance, **options)
        await core.until(lambda: job.gone or job.has_incident)
    return job


async def forgotten(core: Core) -> Thread:
    """The thread of instance b, which its provider has lost."""
    async with core.working():
        await core.until_over([core.world.start("first", instance="b")])
    thread = Thread(core.provider.asked[-1][0], 1)
    del core.provider.conversations[thread.id]
    return thread


SITUATIONS = [
    (Origin(skipped_to="second"), Seed(), "empty", "the instance was started at second"),
    (Origin(("a",), "second"), Seed(is_absent=True), "unknown", "restarted from a"),
    (None, Seed(), "unknown", "history does not tell where the instance came from"),
]


@pytest.mark.parametrize(("origin", "told", "memory", "said"), SITUATIONS)
async def test_an_empty_memory_is_said_in_meta_and_record_and_where_one_was_expected_in_the_log(
    core: Core, origin: Origin | None, told: Seed, memory: str, said: str
) -> None:
    core.world.origins["b"], core.history.handed_down = origin, told
    with capture_logs() as lines:
        job = await done(core)

    assert meta(job)["memory"] == memory
    kept = await core.redis.hget("aw:default:{b:analyst}:turn:task-1", "exchange:1")
    assert json.loads(str(kept))["memory"] == memory
    logged = [(each["memory"], said in each["reason"]) for each in lines if each["event"] == "thread_empty"]
    assert logged == ([(memory, True)] if origin else [])
    assert [each["memory"] for each in lines if each["event"] == "turn"] == [memory]


@pytest.mark.parametrize(("origin", "told", "memory", "said"), SITUATIONS)
async def test_a_task_that_needs_its_thread_is_not_asked_without_and_says_what_to_do(
    core: Core, origin: Origin | None, told: Seed, memory: str, said: str
) -> None:
    core.world.origins["b"], core.history.handed_down = origin, told
    core.world.activity("second", properties=NEEDED)
    job = await done(core)

    assert job.has_incident
    assert "service.thread.required" in job.message
    assert said in job.message
    assert "Start the instance anew from an earlier activity" in job.message
    assert core.provider.conversations == {}
    assert memory != "whole"


async def test_a_task_that_needs_its_thread_is_not_asked_where_what_was_said_on_it_is_lost(core: Core) -> None:
    thread = await forgotten(core)
    core.world.activity("second", properties=NEEDED)
    job = await done(core)

    assert job.has_incident
    assert f"the thread {thread.id} is there no more" in job.message


async def test_a_task_that_needs_its_thread_waits_while_the_transcript_cannot_be_read(core: Core) -> None:
    await forgotten(core)
    core.world.activity("second", properties=NEEDED)
    core.history.is_down = True
    async with core.working():
        job = core.world.start("second", instance="b")
        await core.until(lambda: job.message)
        assert not job.has_incident
        assert "cannot be read now" in job.message
        core.history.is_down, core.history.told = False, TOLD
        await core.until_over([job])

    assert meta(job)["memory"] == "whole"


async def test_a_task_that_needs_its_thread_is_not_asked_on_one_that_was_not_told(core: Core) -> None:
    await forgotten(core)
    core.world.activity("second", properties=NEEDED)
    core.history.told = TOLD
    core.provider.script.next("create_thread", BadRequest("no such role"))
    job = await done(core)

    assert job.has_incident
    assert "no such role" in job.message


async def test_a_task_that_needs_its_thread_goes_on_where_that_is_there_or_nothing_was_said_before(core: Core) -> None:
    core.world.activity("second", properties=NEEDED)
    first = await done(core)
    assert (meta(first)["use"], meta(first)["memory"]) == ("created", "whole")
    second = await done(core)
    assert (meta(second)["use"], meta(second)["memory"]) == ("reused", None)
    core.world.origins["c"], core.history.handed_down = Origin(("b",), "second"), TOLD
    third = await done(core, "c")
    assert (meta(third)["memory"], meta(third)["seeded"]) == ("whole", 1)


async def test_a_called_process_that_was_handed_a_strange_thread_is_not_expected_to_know_it(core: Core) -> None:
    thread = await forgotten(core)
    core.provider.conversations[thread.id] = core.provider.conversations.get(thread.id) or await _of(core)
    core.world.activity("second", properties=NEEDED)
    job = await done(core, "called", variables={NAME: thread_variable(thread)})

    assert meta(job)["memory"] == "whole"


async def _of(core: Core) -> Any:
    """A conversation that belongs to another instance."""
    await done(core, "a", id="other")
    return core.provider.conversations[core.provider.asked[-1][0]]


async def test_an_empty_memory_is_said_although_the_first_call_failed(core: Core) -> None:
    core.world.origins["b"] = Origin(skipped_to="second")
    core.provider.script.next("ask", ModelDown("503"))
    job = await done(core)
    assert (meta(job)["use"], meta(job)["memory"]) == ("reused", "empty")

    async with core.working():
        later = core.world.start("third", instance="b")
        await core.until_over([later])
    assert meta(later)["memory"] is None


async def test_an_empty_memory_is_said_by_the_next_task_where_the_first_one_never_was_answered(core: Core) -> None:
    core.world.origins["b"] = Origin(skipped_to="second")
    async with core.working():
        core.provider.script.next("ask", ModelDown("503"))
        job = core.world.start("second", instance="b")
        await core.until(lambda: job.message)
        job.gone = True  # cancelled by its process
        later = core.world.start("third", instance="b")
        await core.until_over([later])

    assert meta(later)["memory"] == "empty"


@pytest.mark.parametrize("forerunners", [("a",), ()])
async def test_a_thread_that_is_made_anew_knows_also_what_its_instance_was_restarted_with(
    core: Core, forerunners: tuple[str, ...]
) -> None:
    await forgotten(core)
    core.world.origins["b"], core.history.handed_down = Origin(forerunners), TOLD
    core.history.told = Seed((Said("user", "q2"), Said("assistant", "a2")), turns=1)
    job = await done(core)

    assert (meta(job)["use"], meta(job)["memory"]) == ("recreated", "whole")
    items = core.provider.conversations[meta(job)["thread"]].items
    assert [text for role, text in items if text.startswith("q")] == (["q", "q2"] if forerunners else ["q2"])


async def test_a_thread_that_is_made_anew_says_where_nobody_can_read_what_its_instance_was_restarted_with(
    core: Core,
) -> None:
    await forgotten(core)
    core.world.origins["b"], core.history.handed_down = Origin(("a",)), Seed(is_known=False)
    core.history.told = TOLD
    job = await done(core)

    assert (meta(job)["memory"], meta(job)["seeded"]) == ("part", 1)


async def test_the_engine_is_not_asked_where_the_newest_turns_have_no_room_for_more(core: Core) -> None:
    await forgotten(core)
    core.world.origins["b"] = Origin(("a",))
    core.history.told = Seed(TOLD.said, turns=1, left_out=3)
    job = await done(core)

    assert meta(job)["memory"] == "part"
    assert core.history.restarted == []


async def test_a_thread_of_its_own_is_made_anew_as_ever_where_nobody_can_tell_where_its_instance_came_from(
    core: Core,
) -> None:
    await forgotten(core)
    core.world.origins["b"], core.history.told = None, TOLD
    assert meta(await done(core))["memory"] == "whole"
