"""Threads that are left for new ones which end before a step: what these are told, and what stays so."""

import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.core.test_memory import meta
from tests.fakes.engine import Job
from worker.domain.threads import Answer, Cut, Decision, Said, Seed, Thread, ThreadKey
from worker.errors import BadRequest, ModelDown
from worker.redis import RedisThreadIndex
from worker.redis.keys import Keys
from worker.telemetry.logs import Event

KEY = ThreadKey("default", "a", "analyst")
TOLD = Seed((Said("user", "q1"), Said("assistant", "a1")), turns=1)


@pytest.fixture(autouse=True)
def told(core: Core) -> None:
    core.history.told = TOLD


async def step(core: Core, activity: str, *, until_over: bool = True) -> Job:
    job = core.world.start(activity, instance="a")
    if until_over:
        await core.until_over([job])
    return job


async def rewind(core: Core, thread: str = "conv_1", before: int = 40) -> None:
    """Give the order."""
    index = RedisThreadIndex(core.redis, prefix="aw", engine="default", lease=timedelta(1), keep=timedelta(30))
    assert await index.replace(KEY, Thread(thread, 1), Decision("back", "ada on desk", before))


async def recorded(core: Core, job: Job) -> Any:
    """What the record is to have of this task's answer."""
    turn = Keys.of("aw", KEY).turn(job.task.id)
    return json.loads(str(await core.redis.hget(turn, "exchange:1")))


async def test_the_next_turn_begins_a_thread_that_is_told_what_was_said_before_that_step(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        await rewind(core)  # ordered twice is ordered once
        with capture_logs() as lines:
            second = await step(core, "second")
        third = await step(core, "third")

    assert core.history.cuts == (Cut(40, 2),)
    assert (meta(second)["generation"], meta(second)["use"], meta(second)["seeded"]) == (2, "recreated", 1)
    assert [meta(job).get("rewound") for job in (second, third)] == ["back", "back"], (
        "which order the thread is made for"
    )
    assert [thread for thread, _ in core.provider.asked] == ["conv_1", "conv_2", "conv_2"]
    assert [(each["reason"], each["by"]) for each in lines if each["event"] == Event.THREAD_RENEWED] == [
        ("back", "ada on desk")
    ]
    assert [(await recorded(core, job))["cuts"] for job in (second, third)] == [[[40, 2]]] * 2
    assert "conv_1" in core.provider.conversations, "it is erased with the new one"


@pytest.mark.parametrize("ours", [False, True])
async def test_an_order_that_comes_while_a_turn_leaves_the_thread_for_another_reason_is_carried_out(
    core: Core, ours: bool
) -> None:
    if ours:
        core.several = True
        core.assistants.add("analyst", provider="local")
    async with core.working():
        await step(core, "first")
        thread = str(core.world.variables["a"]["assistant_thread_analyst"].value).partition("#")[0]
        if ours:
            await core.redis.delete(Keys.of("aw", KEY).said)
        else:
            del core.provider.conversations[thread]
        core.history.meanwhile = lambda: rewind(core, thread)
        second = await step(core, "second")

    assert core.history.cuts == (Cut(40, 2),)
    assert (meta(second)["generation"], meta(second).get("rewound")) == (2, "back")
    assert (await recorded(core, second))["cuts"] == [[40, 2]]
    assert len(core.provider.conversations) == (0 if ours else 1), "the one that was told all is deleted"


async def test_a_history_that_we_keep_is_begun_anew(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", provider="local")
    async with core.working():
        await step(core, "first")
        await rewind(core, str(core.world.variables["a"]["assistant_thread_analyst"].value).partition("#")[0])
        await step(core, "second")

    assert core.history.cuts == (Cut(40, 2),)
    assert [each.text for each in core.model.told[-1][0]] == ["q1", "a1"]


async def test_one_that_ends_before_the_first_step_begins_with_nothing_and_lacks_nothing(core: Core) -> None:
    core.provider.answer = lambda question: Answer(question.ref, input_tokens=10, output_tokens=5)
    properties = {"service.type": "assistant", "service.name": "analyst", "service.thread.required": "true"}
    core.world.activity("second", properties=properties)
    core.history.told = Seed()
    async with core.working():
        await step(core, "first")
        await rewind(core)
        with capture_logs() as lines:
            second = await step(core, "second")

    assert (meta(second)["thread"], meta(second)["memory"]) == ("conv_2", "whole")
    assert not [line for line in lines if line["event"] == Event.THREAD_EMPTY]


async def test_what_was_cut_off_stays_so_whatever_the_next_thread_is_made_for(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        await step(core, "second")
        del core.provider.conversations["conv_2"]
        third = await step(core, "third")
        assert list(core.history.cuts) == [(40, 2)]
        await rewind(core, "conv_3", 20)
        fourth = await step(core, "fourth")

    assert list(core.history.cuts) == [(40, 2), (20, 4)]
    assert [meta(job).get("rewound") for job in (third, fourth)] == [None, "back"], (
        "the third was made for another reason"
    )
    assert (await recorded(core, fourth))["cuts"] == [[40, 2], [20, 4]]


async def test_a_thread_that_is_gone_by_then_is_made_anew_up_to_that_step(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        del core.provider.conversations["conv_1"]
        second = await step(core, "second")

    assert core.history.cuts == (Cut(40, 2),)
    assert meta(second)["generation"] == 2


async def test_a_turn_that_runs_ends_on_the_thread_that_it_has_and_the_next_one_leaves_it(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.script.next("ask", 20.0)
        second = await step(core, "second", until_over=False)
        await core.until(lambda: len(core.provider.asked) == 2)
        await rewind(core)
        await core.until_over([second])
        third = await step(core, "third")

    assert (meta(second)["thread"], meta(third)["thread"]) == ("conv_1", "conv_2")


async def test_it_is_carried_out_once_although_the_first_call_on_the_new_thread_failed(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        core.provider.script.next("ask", ModelDown("503"))
        second = await step(core, "second")

    assert list(core.provider.conversations) == ["conv_1", "conv_2"]
    assert (await recorded(core, second))["cuts"] == [[40, 2]]
    assert meta(second)["rewound"] == "back"


async def test_while_the_transcript_cannot_be_read_it_waits(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        core.history.is_down = True
        second = await step(core, "second", until_over=False)
        await core.until(lambda: second.message)
        assert list(core.provider.conversations) == ["conv_1"]
        core.history.is_down = False
        await core.until_over([second])

    assert meta(second)["thread"] == "conv_2"


async def test_without_a_transcript_nobody_can_tell_what_was_said_before_and_the_task_says_so(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
    core.records = False
    async with core.working():
        second = await step(core, "second", until_over=False)
        await core.until(lambda: second.has_incident)

    assert "set TRANSCRIPT_URL" in second.message
    assert list(core.provider.conversations) == ["conv_1"]


async def test_no_thread_is_left_for_one_that_does_not_take_what_was_said_before(core: Core) -> None:
    async with core.working():
        await step(core, "first")
        await rewind(core)
        core.provider.script.next("create_thread", BadRequest("no such role"))
        second = await step(core, "second", until_over=False)
        await core.until(lambda: second.has_incident)

    assert list(core.provider.conversations) == ["conv_1"]


async def test_an_older_worker_does_not_take_it_for_an_order_to_tell_all(core: Core) -> None:
    async with core.working():
        await step(core, "first")
    await rewind(core)
    fields = await core.redis.hgetall(Keys.of("aw", KEY).thread)
    assert [name for name in map(str, fields) if name.endswith(":conv_1")] == ["rewind:conv_1"]
