"""A memory on fakes of its ports."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.fakes.script import Script
from tests.samples import ACTIVITY, task
from worker.domain.memory import Backlog, Fact, Forgotten, Memo, MemorySubject, MemoryWish, Settled, Waiting
from worker.domain.tasks import Variable
from worker.errors import BadRequest
from worker.turn.recalling import Known, Recalling

AT = datetime(2026, 11, 1, tzinfo=UTC)


ASKED = "Please settle the crane."


async def known_of(recalling: Recalling, customer: str, number: int = 1, wish: MemoryWish | None = None) -> Known:
    """What a turn of a task for a customer is shown."""
    of = replace(task(customer=Variable(customer, "String")), id=f"task-{number}")
    return await recalling.of(
        of, replace(ACTIVITY, documentation=ASKED), wish or MemoryWish("variable:customer", remember=True)
    )


@dataclass(slots=True)
class FakeMemory:
    """`ports.memory.Memory` and `Subjects`, which meet what a test says."""

    name: str = "embedded"
    script: Script = field(default_factory=Script)
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    seconds: float = 0.0
    generation: int = 3
    meanings: list[Sequence[float] | None] = field(default_factory=list)

    async def known(self, subject: MemorySubject) -> MemorySubject | None:
        return replace(subject, generation=self.generation)

    async def recall(
        self, subject: MemorySubject, question: str, most: int, *, meaning: Sequence[float] | None = None
    ) -> list[Fact]:
        self.meanings.append(meaning)
        await self.script.reach("recall", subject, question, most)
        await asyncio.sleep(self.seconds)
        return self.facts.get(subject.digest, [])[:most]

    async def remember(self, memo: Memo) -> None:
        await self.script.reach("remember", memo)
        known = self.facts.setdefault(memo.subject.digest, [])
        if memo.ref not in {each.ref for each in known}:
            known.insert(0, Fact(memo.ref, memo.answer, memo.at, memo.instance, memo.ref))

    async def forget(self, subject: MemorySubject) -> Forgotten:
        await self.script.reach("forget", subject)
        return Forgotten(len(self.facts.pop(subject.digest, [])))

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        await self.script.reach("forget_instance", subject, instance)
        known = self.facts.get(subject.digest, [])
        self.facts[subject.digest] = [each for each in known if each.instance != instance]
        return Forgotten(len(known) - len(self.facts[subject.digest]))

    async def check(self) -> None:
        await self.script.reach("check")


@dataclass(slots=True)
class FakeMemos:
    """`ports.memory.Memos` in a list, by the loop's clock."""

    script: Script = field(default_factory=Script)
    rows: dict[int, Waiting] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    why: str = ""

    def add(self, number: int, subject: str = "a" * 32, answer: str = "", *, approve: bool = False) -> None:
        said = (f"ref{number}", "analyst", f"Question {number}?", answer or f"Answer {number}.", AT, None)
        self.rows[number] = Waiting(number, MemorySubject(subject, None), number, "instance", *said, approve)
        self.due[number] = 0.0

    async def claim(self, most: int, *, only_proposed: bool = False) -> list[Waiting]:
        await self.script.reach("claim")
        now = asyncio.get_running_loop().time()
        first: dict[str, int] = {}
        for each in self.rows.values():
            if not (each.late or each.approve):
                first.setdefault(each.subject.digest, each.number)
        found = [
            each
            for each in self.rows.values()
            if each.approve or (not only_proposed and (each.late or first[each.subject.digest] == each.number))
        ]
        found = [each for each in found if self.due[each.number] <= now][:most]
        self.due |= {each.number: now + 30 for each in found}
        return found

    async def settle(self, done: Waiting, question: str, answer: str) -> Settled:
        await self.script.reach("settle", done)
        self.done.append((question, answer))
        return "gone" if self.rows.pop(done.number, None) is None else "kept"

    async def postpone(self, waiting: Waiting, by: timedelta, *, late: bool = False, why: str = "") -> None:
        self.due[waiting.number] = asyncio.get_running_loop().time() + by.total_seconds()
        self.rows[waiting.number] = replace(waiting, late=waiting.late or late)
        self.why = why

    async def delay(self, why: str) -> None:
        await self.script.reach("delay", why)

    async def backlog(self) -> Backlog:
        return Backlog(len(self.rows))


@dataclass(slots=True)
class FakeEmbedder:
    """`ports.memory.Embedder`: what a text means is how long it is."""

    model: str = "m"
    provider: str = "openai"
    script: Script = field(default_factory=Script)
    bad: str = ""

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        await self.script.reach("embed", list(texts))
        if self.bad in texts:
            raise BadRequest("too long")
        return [[float(len(each))] for each in texts]


@dataclass(slots=True)
class FakeVectors:
    """`ports.memory.Vectors` in dicts."""

    is_ready: bool = True
    script: Script = field(default_factory=Script)
    texts: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Sequence[float]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    async def is_installed(self) -> bool:
        return self.is_ready

    async def ready(self) -> bool:
        await self.script.reach("ready")
        return self.is_ready

    async def claim(self, most: int) -> Mapping[str, str]:
        await self.script.reach("claim")
        due = {name: text for name, text in self.texts.items() if name not in {*self.kept, *self.left}}
        return dict([*due.items()][:most])

    async def keep(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.kept |= vectors

    async def aside(self, fact: str) -> None:
        self.left.append(fact)
