"""What a conversation promises, with the provider's memory and with ours: one thread per instance and assistant."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.core.rig import Core, Worker
from tests.fakes.engine import LOCK, POLL, Job
from tests.fakes.life import Life
from tests.fakes.script import Script
from worker.domain.threads import Answer, Entered, Said, Seed, Thread, ThreadKey
from worker.loop.waiting import RETRY_SECONDS
from worker.redis.keys import Keys

KEY = ThreadKey("default", "a", "analyst")


class Memory:
    """How the analyst's threads are kept: as conversations of the provider's, or by us for a model without any."""

    def __init__(self, core: Core, *, is_ours: bool) -> None:
        self.is_ours = is_ours
        self._core = core
        core.several = is_ours
        core.model.answer = lambda _: Answer("yes")  # else it quotes its question
        if is_ours:
            core.assistants.add("analyst", provider="local")

    @property
    def calls(self) -> list[str]:
        """Every question, as it was put."""
        if self.is_ours:
            return [question for _, question in self._core.model.told]
        return [question.text for _, question in self._core.provider.asked]

    @property
    def script(self) -> Script:
        """What the next calls meet."""
        return self._core.model.script if self.is_ours else self._core.provider.script

    def threads(self) -> list[str]:
        """What all instances' thread variables name, in the order of the instances."""
        known = self._core.world.variables
        return [str(known[each]["assistant_thread_analyst"].value) for each in sorted(known)]

    def said(self) -> list[str]:
        """All that the model had before it with the newest question, that one included."""
        if self.is_ours:
            said, question = self._core.model.told[-1]
            return [each.text for each in said] + [question]
        thread, _ = self._core.provider.asked[-1]
        return [text for _, text in self._core.provider.conversations[thread].items]

    async def lose(self) -> None:
        """Have the thread of instance a be gone for good."""
        if self.is_ours:
            await self._core.redis.delete(Keys.of("aw", KEY).said)
        else:
            self._core.provider.conversations.clear()


@pytest.fixture(params=["theirs", "ours"])
def memory(core: Core, request: pytest.FixtureRequest) -> Memory:
    return Memory(core, is_ours=request.param == "ours")


async def step(core: Core, activity: str, instance: str = "a") -> Job:
    job = core.world.start(activity, instance=instance)
    await core.until_over([job])
    return job


async def test_four_steps_share_one_thread_and_another_instance_has_its_own(core: Core, memory: Memory) -> None:
    async with core.working():
        for activity in ("frame", "alternatives", "evaluate", "recommend"):
            await step(core, activity)
        said = memory.said()
        await step(core, "frame", "b")

    assert [sum(name in text for text in said) for name in ("do frame", "do alternatives", "do evaluate")] == [1, 1, 1]
    assert not [text for text in memory.said() if "do recommend" in text or "do evaluate" in text]
    assert len(set(memory.threads())) == 2
    assert {len(job.completed_by) for job in core.world.jobs.values()} == {1}


async def test_workers_that_begin_at_once_make_one_thread_and_take_turns(core: Core, memory: Memory) -> None:
    script = core.model.script if memory.is_ours else core.provider.script
    script.always("ask", 3.0)
    workers = [await core.worker(slots=2) for _ in range(3)]
    jobs = [core.world.start(f"branch_{number}", instance="a") for number in range(6)]
    for worker in workers:
        worker.start()
    await core.until_over(jobs)
    last = await step(core, "last")

    said = memory.said()
    assert [sum(f"do branch_{number}." in text for text in said) for number in range(6)] == [1] * 6
    assert len(memory.calls) == 7
    assert len(core.provider.conversations) == (0 if memory.is_ours else 1)
    assert last.completed_by


async def test_a_thread_that_is_gone_for_good_is_made_anew_and_told_what_was_said(core: Core, memory: Memory) -> None:
    core.history.told = Seed((Said("user", "the question of before"), Said("assistant", "its answer")), turns=1)
    async with core.working():
        await step(core, "first")
        [before] = memory.threads()
        await memory.lose()
        await step(core, "second")

    [after] = memory.threads()
    assert "#1" in before
    assert "#2" in after
    assert memory.said()[:2] == ["the question of before", "its answer"]


async def test_an_answer_that_is_in_the_journal_is_completed_without_asking(core: Core, memory: Memory) -> None:
    job = core.world.start(instance="a")
    entry = await core.threads.enter(KEY, job.task.id)
    assert isinstance(entry, Entered)
    thread = Thread("own_1", 1, provider="local") if memory.is_ours else Thread("conv_1", 1)
    await core.threads.bind(entry.hold, thread, 0)
    await core.threads.intend(entry.hold, 1, timedelta(seconds=90))
    await core.threads.keep_answer(entry.hold, 1, Answer("kept", thread=thread), published=False)
    async with core.working():
        await core.until_over([job])

    assert job.results["frame"].value == "kept"
    assert memory.calls == []


async def asking(core: Core, memory: Memory) -> tuple[Worker, Job]:
    """Have a worker ask for 100 s, and fetch nothing more meanwhile."""
    memory.script.next("ask", 100)
    worker = await core.worker()
    worker.start()
    job = core.world.start(instance="a")
    await core.until(lambda: memory.calls)
    worker.engine.script.always("fetch", 1000)
    return worker, job


async def test_a_task_that_comes_to_another_worker_under_its_call_is_asked_once(core: Core, memory: Memory) -> None:
    """As after a suspension that outlasts the lock: the worker that asks lives, and is about to bring the answer."""
    first, job = await asking(core, memory)
    job.suspended = True
    await asyncio.sleep(1.5 * LOCK.total_seconds())
    async with core.working() as second:
        job.suspended = False
        core.world.news.set()
        await core.until_over([job])

    assert len(memory.calls) == 1
    assert job.completed_by == [second.engine.worker_id]
    assert not first.engine.script.named("complete"), "it is told nothing"


async def test_an_answer_to_be_put_right_is_left_to_the_worker_that_has_the_task(core: Core, memory: Memory) -> None:
    core.world.activity(properties={**core.world.activity().properties, "data.output.fields": "choice"})
    answers = iter(["no JSON", '{"choice": "a"}'])
    core.provider.answer = lambda _: Answer(next(answers))
    core.model.answer = lambda _: Answer(next(answers))
    first, job = await asking(core, memory)
    await asyncio.sleep(POLL.total_seconds())
    job.worker, job.locked_until = None, 0.0  # as somebody unlocks it
    async with core.working() as second:
        core.world.news.set()
        await core.until_over([job])

    assert len(memory.calls) == 2
    assert job.completed_by == [second.engine.worker_id]
    assert len(first.engine.script.named("complete")) == 0


@pytest.mark.parametrize("after", [1, 10, 19, 21, 39, 41, 59])
async def test_the_task_of_a_dead_worker_is_asked_again_within_the_length_of_a_lock(
    core: Core, memory: Memory, after: int
) -> None:
    """However long the call had run: its lock and its hold were both renewed meanwhile."""
    memory.script.next("ask", 1000)
    life = Life()
    doomed = await core.worker(life=life)
    doomed.start()
    job = core.world.start(instance="a")
    await core.until(lambda: memory.calls)
    await asyncio.sleep(after)
    life.is_over, died = True, asyncio.get_running_loop().time()
    async with core.working():
        await core.until(lambda: len(memory.calls) == 2)
        taken = asyncio.get_running_loop().time() - died
        await core.until_over([job])

    assert taken <= LOCK.total_seconds() + 2 * RETRY_SECONDS


EACH_TURN = (
    "engine.definition",
    "threads.enter",
    "threads.intend",
    "ask",
    "threads.keep_answer",
    "engine.complete",
    "threads.close",
)
"""The calls of a turn."""
FIRST_TURN = ("threads.bind", "engine.set_variable")
"""Those that only one on a new thread makes, `create_thread` included, where threads are the provider's."""
LATER_TURN = ("look",)
"""What only one on a known thread makes: it looks there, or reads what we keep."""


def deaths() -> Iterator[tuple[str, int]]:
    for when in ("before", "after"):
        yield from ((f"{when}:{call}", 1) for call in (*EACH_TURN, *FIRST_TURN, "create_thread"))
        yield from ((f"{when}:{call}", 2) for call in EACH_TURN if call != "engine.definition")
        yield from ((f"{when}:{call}", 1) for call in LATER_TURN)


@pytest.mark.parametrize(("point", "nth"), [*deaths()])
async def test_a_death_at_any_call_loses_repeats_and_mixes_up_nothing(
    core: Core, memory: Memory, point: str, nth: int
) -> None:
    when, call = point.split(":")
    named = {
        "ask": "model.ask" if memory.is_ours else "provider.ask",
        "look": "threads.history" if memory.is_ours else "provider.look",
        "create_thread": "threads.bind" if memory.is_ours else "provider.create_thread",
    }.get(call, call)
    life = Life(f"{when}:{named}", nth)
    jobs = [core.world.start("first", instance="a")]
    doomed = await core.worker(life=life)
    doomed.start()
    await core.until(lambda: life.is_over or jobs[0].gone)
    jobs.append(core.world.start("second", instance="a"))
    await core.until(lambda: life.is_over)
    async with core.working():
        await core.until_over(jobs)
        third = await step(core, "third")

    assert life.is_over
    assert [len(job.completed_by) for job in (*jobs, third)] == [1, 1, 1]
    said = memory.said()
    assert [sum(f"do {name}." in text for text in said) for name in ("first", "second", "third")] == [1, 1, 1]
    # What was not kept of an answer cannot be looked for where nobody but us remembers.
    paid_twice = memory.is_ours and point in {"after:ask", "before:threads.keep_answer"}
    assert len(memory.calls) == 3 + paid_twice
    assert len(set(memory.threads())) == 1
