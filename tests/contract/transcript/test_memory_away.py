"""A memory that is away for a thousand turns: none of them waits for it, and it has all of them once it is back."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.contract.transcript.conftest import Place
from tests.core.remembering import known_of
from tests.records import exchange, key
from worker.domain.exchanges import Exchange
from worker.domain.memory import Fact, Forgotten, Memo, MemorySubject
from worker.domain.threads import ref
from worker.errors import MemoryDown
from worker.modelling.subjects import named
from worker.transcript import Database, SqlFacts, SqlMemos, SqlTranscriptWriter
from worker.turn.recalling import DEADLINE_SECONDS, Recalling
from worker.turn.rememberer import Rememberer

TURNS, AT_ONCE = 1000, 100
CUSTOMERS = [f"customer-{number}" for number in range(25)]
LATE, PAUSED = f"no answer within {DEADLINE_SECONDS} s", "the memory was away, and is left alone for a while"


@dataclass
class Service:
    """`ports.memory.Memory`, which answers `answers` more requests and is then away: nobody who asks hears anything.

    `lost` replies more get lost of what it has remembered.
    """

    name: str = "zep"
    answers: int = 10**9
    lost: int = 0
    known: dict[str, list[str]] = field(default_factory=dict)
    asked: int = 0
    given_up: int = 0

    async def _answer(self) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise MemoryDown("the memory gives no answer")

    async def recall(self, subject: MemorySubject, question: str, most: int, **_: object) -> list[Fact]:  # noqa: ARG002 - of the port
        if self.answers > 0:
            return []
        self.asked += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        return []

    async def remember(self, memo: Memo) -> None:
        await self._answer()
        self.known.setdefault(memo.subject.digest, []).append(memo.ref)
        if self.lost > 0:
            self.lost -= 1
            raise MemoryDown("its reply was lost")

    async def check(self) -> None:
        await self._answer()

    async def forget(self, subject: MemorySubject) -> Forgotten:
        raise NotImplementedError

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        raise NotImplementedError


@dataclass
class Turns:
    """Turns of many customers, each of which recalls, and leaves an exchange in the record."""

    recalling: Recalling
    transcript: SqlTranscriptWriter
    refs: dict[str, list[str]] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    number: int = 0

    async def take(self, count: int) -> None:
        """Take so many, and record them, as a recorder does, together."""
        await self.transcript.record(*[await self._one() for _ in range(count)])

    async def _one(self) -> Exchange:
        self.number += 1
        customer = CUSTOMERS[self.number % len(CUSTOMERS)]
        known = await known_of(self.recalling, customer, self.number)
        assert known.recalled is not None
        self.said[known.recalled.why] += 1
        said = exchange(self.number, key(f"instance-{self.number % 40}"), remember=known.remember)
        self.refs.setdefault(digest(customer), []).append(ref(said.key, said.task_id, said.attempt))
        return said


def digest(customer: str) -> str:
    return named("variable:customer", customer, None, "default").digest


@pytest.mark.sweep
@pytest.mark.timeout(600)  # a thousand turns are as many transactions, and the machine may be busy
async def test_a_thousand_turns_go_on_without_their_memory_which_has_all_of_them_once_and_in_order_afterwards(
    database: Database, transcript: SqlTranscriptWriter, place: Place
) -> None:
    # Given a memory that goes away while it is given something
    service, memos = Service(), SqlMemos(database, engine="default")
    facts = SqlFacts(database, database.hurried(), engine="default")
    turns = Turns(Recalling(service, facts, "default"), transcript)
    rememberer = Rememberer(service, memos, str)
    await turns.take(AT_ONCE)
    assert await rememberer.drain()
    await turns.take(AT_ONCE)
    service.answers = 7
    assert not await rememberer.drain()
    before = turns.said.copy()

    # When a thousand turns go on meanwhile
    for _ in range(TURNS // AT_ONCE):
        await turns.take(AT_ONCE)
        assert not await rememberer.drain()

    # Then each was told at the deadline, or at once, that it knows nothing
    said = turns.said - before
    assert said.total() == TURNS
    assert set(said) == {LATE, PAUSED}
    assert said[PAUSED] > said[LATE]
    assert service.given_up == service.asked > 0
    known = sum(map(len, service.known.values()))
    assert (await memos.backlog()).waiting == TURNS + 2 * AT_ONCE - known

    # And once it is back all is there, though replies of it get lost
    service.answers, service.lost = 10**9, 5
    for _ in range(3):
        assert await rememberer.drain()
        place.sql("UPDATE memory_waiting SET due_at = '2026-01-01T00:00:00.000000+00:00'")
    assert (await memos.backlog()).waiting == 0
    for subject, refs in turns.refs.items():
        kept = await facts.facts(subject, limit=TURNS)
        assert [each.ref for each in reversed(kept)] == refs
        assert list(dict.fromkeys(service.known[subject])) == refs
    twice = [name for refs in service.known.values() for name, count in Counter(refs).items() if count > 1]
    assert len(twice) == 5
