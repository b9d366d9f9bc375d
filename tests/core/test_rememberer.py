"""What exchanges leave comes to the memory: redacted, in order, once, whatever is away meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.core.remembering import FakeMemory, FakeMemos
from tests.core.rig import Core
from worker.domain.memory import Backlog, Memo, Settled, Waiting
from worker.errors import MemoryDown, MemoryRefused, NotRedacted, TranscriptDown
from worker.turn.recalling import LONGEST_ASKED, SPARE
from worker.turn.rememberer import ASIDE_FOR, LONGEST_SAID, Rememberer

A, B = "a" * 32, "b" * 32


@pytest.fixture
def memory(core: Core) -> FakeMemory:  # noqa: ARG001 - for its clock
    return FakeMemory()


@pytest.fixture
def memos() -> FakeMemos:
    return FakeMemos()


def plainly(text: str) -> str:
    return text.replace("secret", "[word]")


def remembered(memory: FakeMemory) -> list[str]:
    return [memo.answer for (memo,) in memory.script.named("remember")]


async def through(
    memory: FakeMemory, memos: FakeMemos, redacted: Callable[[str], str] = plainly, for_: float = 60
) -> None:
    async with Rememberer(memory, memos, redacted):
        await asyncio.sleep(for_)


async def test_what_waits_is_remembered_redacted_and_waits_no_more(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1, answer="A secret.")
    await through(memory, memos)
    [(memo,)] = memory.script.named("remember")
    assert isinstance(memo, Memo)
    assert (memo.answer, memo.question, memo.number, memo.ref) == ("A [word].", "Question 1?", 1, "ref1")
    assert memos.done == [("Question 1?", "A [word].")]
    assert not memos.rows


async def test_each_subject_has_its_order_while_the_memory_is_away(memory: FakeMemory, memos: FakeMemos) -> None:
    for number in range(1, 1001):
        memos.add(number, A if number % 2 else B)
    memory.script.next("check", *[MemoryDown("away")] * 3)
    memory.script.next("remember", *[None] * 11, MemoryDown("away"), MemoryDown("away"))
    with capture_logs() as lines:
        await through(memory, memos, for_=600)
    assert not memos.rows
    for subject in (A, B):
        known = [each.text for each in reversed(memory.facts[subject])]
        assert known == sorted(known, key=lambda text: int(text[7:-1]))
        assert len(known) == 500
    assert [each["event"] for each in lines] == ["memory_down", "memory_up"]


async def test_what_persons_have_to_approve_is_proposed_while_the_memory_is_away(
    memory: FakeMemory, memos: FakeMemos
) -> None:
    for number in range(1, 5):
        memos.add(number, answer="A secret.", approve=number % 2 == 0)
    memory.script.always("check", MemoryDown("away"))
    await through(memory, memos)
    assert set(memos.rows) == {1, 3}
    assert memos.done == [("Question 2?", "A [word]."), ("Question 4?", "A [word].")]
    assert memory.script.named("remember") == []


async def test_while_the_memory_is_away_what_waits_says_why(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1)
    memory.script.next("check", MemoryDown("no answer"))
    await through(memory, memos)
    assert memos.script.named("delay") == [("no answer",)]
    assert not memos.rows


async def test_one_that_always_fails_holds_up_its_own_subject_for_an_hour_and_no_other(memos: FakeMemos) -> None:
    memos.add(1)
    memos.add(2, B)

    class Picky(FakeMemory):
        async def remember(self, memo: Memo) -> None:
            if memo.answer == "Answer 1.":
                raise MemoryDown("500")
            await super().remember(memo)

    memory = Picky()
    async with Rememberer(memory, memos, plainly):
        await asyncio.sleep(30)
        assert (list(memos.rows), [each.text for each in memory.facts[B]]) == ([1], ["Answer 2."])
        assert not memos.rows[1].late
        await asyncio.sleep(ASIDE_FOR.total_seconds() + 120)
        assert memos.rows[1].late


async def test_one_that_is_refused_steps_aside_for_an_hour_and_is_late(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1)
    memos.add(2)
    memory.script.next("remember", MemoryRefused("too odd"))
    with capture_logs() as lines:
        async with Rememberer(memory, memos, plainly):
            await asyncio.sleep(60)
            assert (remembered(memory), memos.rows[1].late, memos.why) == (["Answer 1.", "Answer 2."], True, "too odd")
            await asyncio.sleep(ASIDE_FOR.total_seconds())
    assert remembered(memory)[2:] == ["Answer 1."]
    assert [each["event"] for each in lines] == ["memo_late"]


async def test_of_a_very_long_answer_the_beginning_is_remembered_and_nothing_that_was_cut_in_two(
    memory: FakeMemory, memos: FakeMemos
) -> None:
    memos.add(1)
    secret = "ada@example.org"
    answer = "x" * (LONGEST_SAID - 9) + f" {secret} " + "y" * 10**6
    question = "x" * (LONGEST_ASKED - 9) + f" {secret} " + "y" * SPARE
    memos.rows[1] = replace(memos.rows[1], question=question, answer=answer)
    async with Rememberer(memory, memos, lambda text: text.replace(secret, "[email]")):
        await asyncio.sleep(30)
    [said] = remembered(memory)
    assert (len(said), "ada@" in said, said.count("y")) == (LONGEST_SAID, False, 0)
    [(asked, _)] = memos.done
    assert (len(asked), "ada@" in asked, asked.count("y")) == (LONGEST_ASKED, False, 0)


async def test_where_everything_is_refused_nothing_steps_aside(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1)
    memory.script.next("check", None, *[MemoryRefused("the key")] * 5)
    memory.script.next("remember", MemoryRefused("the key"))
    await through(memory, memos, for_=300)
    assert remembered(memory) == ["Answer 1.", "Answer 1."]
    assert not memos.rows


async def test_what_cannot_be_redacted_is_not_remembered_and_is_said(memory: FakeMemory, memos: FakeMemos) -> None:
    def cannot(text: str) -> str:
        if "1" in text:
            raise NotRedacted("the pattern x takes too long on it")
        return text

    memos.add(1)
    memos.add(2)
    with capture_logs() as lines:
        await through(memory, memos, cannot)
    assert remembered(memory) == ["Answer 2."]
    assert [(each["event"], each["reason"]) for each in lines] == [("memo_late", "the pattern x takes too long on it")]


async def test_an_error_of_the_redaction_that_nobody_foresaw_remembers_nothing_and_quotes_nothing(
    memory: FakeMemory, memos: FakeMemos
) -> None:
    def broken(text: str) -> str:
        raise ValueError(text)

    memos.add(1)
    with capture_logs() as lines:
        await through(memory, memos, broken)
    assert remembered(memory) == []
    assert memos.rows[1].late
    assert "Answer" not in str(lines)


def counted() -> dict[str, float]:
    """Answers so far by what became of their being remembered."""
    name, results = "worker_memory_remembered_total", ("remembered", "proposed", "dropped", "refused", "unredacted")
    return {each: REGISTRY.get_sample_value(name, {"result": each}) or 0.0 for each in (*results, "delayed")}


@pytest.mark.usefixtures("core")
async def test_each_answer_counts_by_what_became_of_it() -> None:
    def cannot(text: str) -> str:
        if "secret" in text:
            raise NotRedacted("too slow")
        return text

    class Forgetful(FakeMemos):
        async def settle(self, done: Waiting, question: str, answer: str) -> Settled:
            if done.subject.digest == B:
                self.rows.pop(done.number)  # forgotten meanwhile
            return await super().settle(done, question, answer)

    class Picky(FakeMemory):
        async def remember(self, memo: Memo) -> None:
            if memo.subject.digest == "c" * 32:
                raise MemoryRefused("too odd")
            await super().remember(memo)

    memory, memos = Picky(), Forgetful()
    memos.add(1)
    memos.add(2, approve=True)
    memos.add(3, B)
    memos.add(4, "c" * 32)
    memos.add(5, "d" * 32, answer="A secret.")
    memory.script.next("check", MemoryDown("away"))
    before = counted()
    await through(memory, memos, cannot)
    assert {each: count - before[each] for each, count in counted().items()} == {
        "remembered": 1,
        "proposed": 1,
        "dropped": 1,
        "refused": 1,
        "unredacted": 1,
        "delayed": 1,
    }


async def test_what_waits_is_told_as_a_metric(memory: FakeMemory) -> None:
    class Full(FakeMemos):
        async def backlog(self) -> Backlog:
            return Backlog(7, 2, 3)

    await through(memory, Full())
    told = {
        each: REGISTRY.get_sample_value("worker_memory_waiting", {"state": each})
        for each in ("waiting", "late", "proposed")
    }
    assert told == {"waiting": 7, "late": 2, "proposed": 3}


async def test_a_proposal_is_kept_for_persons_and_not_given_to_the_memory(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1, answer="A secret.", approve=True)
    await through(memory, memos)
    assert remembered(memory) == []
    assert memos.done == [("Question 1?", "A [word].")]


async def test_a_death_behind_the_memorys_answer_remembers_it_once(memory: FakeMemory, memos: FakeMemos) -> None:
    memos.add(1)
    memory.script.always("remember", None)
    memos.script.next("settle", TranscriptDown("away"))
    await through(memory, memos)
    assert remembered(memory) == ["Answer 1.", "Answer 1."]
    assert [each.text for each in memory.facts[A]] == ["Answer 1."]
