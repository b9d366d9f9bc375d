"""A worker that answers persons dies at each of its port calls; another one finishes, and one call was paid."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.asks import ADA
from tests.core.chatting import Chatting, key
from tests.fakes.life import Life
from worker.chat.desk import Wish
from worker.domain.asks import State
from worker.domain.conversations import session_id

FIRST = (
    "asks.claim",
    "threads.enter",
    "provider.create_thread",
    "threads.bind",
    "threads.intend",
    "provider.ask",
    "threads.keep_answer",
    "asks.settle",
    "threads.close",
)
"""The calls of a turn that begins a branch."""
NEXT = ("provider.look",)
"""Those that only one on a thread that is known makes."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a worker dies: at its first ask, or at one whose branch is there."""

    point: str
    is_first: bool = True

    def __str__(self) -> str:
        return self.point


def crashes() -> Iterator[Crash]:
    for when in ("before", "after"):
        yield from (Crash(f"{when}:{call}") for call in FIRST)
        yield from (Crash(f"{when}:{call}", is_first=False) for call in NEXT)


@pytest.mark.parametrize("crash", [*crashes()], ids=str)
async def test_whoever_dies_where_one_call_is_paid_and_one_answer_kept(chatting: Chatting, crash: Crash) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        if not crash.is_first:
            await chatting.answered("a", "Before?")
    calls = len(chatting.provider.asked)
    asked = await chatting.ask("a", "Why so?")
    life = Life(crash.point)
    async with chatting.answering(life=life):
        await chatting.core.until(lambda: life.is_over)
    async with chatting.answering():
        over = await chatting.over(asked)

    assert (over.state, over.failure) == (State.ANSWERED, "")
    assert len(chatting.provider.asked) == calls + 1
    said = [each.content for each in await chatting.messages(session_id(key("a").branch))]
    assert said.count("Why so?") == 1
    assert over.answer in {each.id for each in await chatting.messages()}
    told = chatting.texts(await chatting.conversation(key("a").branch))
    assert ["Why so?" in text for text in told].count(True) == 1


@pytest.mark.parametrize("crash", [*crashes()], ids=str)
async def test_nor_does_a_death_cost_anything_in_a_conversation_beside_all_processes(
    chatting: Chatting, crash: Crash
) -> None:
    talk = await chatting.begin()
    if not crash.is_first:
        async with chatting.answering():
            await chatting.said(talk, "Before?")
    calls = len(chatting.provider.asked)
    asked = await chatting.desk.ask(talk, ADA, Wish("why", "Why so?"))
    life = Life(crash.point)
    async with chatting.answering(life=life):
        await chatting.core.until(lambda: life.is_over)
    async with chatting.answering():
        over = await chatting.over(asked)

    assert (over.state, over.failure) == (State.ANSWERED, "")
    assert len(chatting.provider.asked) == calls + 1
    said = [each.content for each in await chatting.messages(talk.id)]
    assert said.count("Why so?") == 1
    told = chatting.texts(await chatting.conversation(talk.key))
    assert ["Why so?" in text for text in told].count(True) == 1
