"""The embedded memory: facts in the transcript's database, found by their subject and ordered by their words."""

import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, TextClause, bindparam, delete, literal, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.memory import EMBEDDED, NEWEST, Fact, Forgotten, Memo, MemorySubject
from worker.errors import MemoryDown, MemoryRefused, TranscriptDown, Unstorable
from worker.runtime.beside import beside_if
from worker.transcript.database import Database
from worker.transcript.hurried import Hurried, Rows
from worker.transcript.tables import memory_facts, memory_subjects
from worker.transcript.vectors import SqlVectors, distance
from worker.transcript.words import clean, words
from worker.transcript.writing import forget

T = TypeVar("T")
RANKS = 60
"""Added to a rank before ranks are compared, so that the first of one order does not outweigh all of another."""
NONE: ColumnElement[Any] = null()
LARGE = 200_000
"""Characters of words from which on to compare them may take 5 ms: for less no thread makes way for the loop."""


class EmbeddedMemory:
    """Implements `ports.memory.Memory` and `Recollection`."""

    name = EMBEDDED

    def __init__(self, database: Database, hurried: Hurried, *, engine: str, vectors: SqlVectors | None = None) -> None:
        self._database = database
        self._hurried = hurried
        self._vectors = vectors
        self._engine = clean(engine)

    async def recall(
        self, subject: MemorySubject, question: str, most: int, *, meaning: Sequence[float] | None = None
    ) -> list[Fact]:
        """See `ports.memory.Memory.recall`.

        Of its newest facts those that share the rarest words with the question, and those that are closest to what it
        means, where both are known.
        """
        vectors = self._vectors
        try:
            if meaning is None or vectors is None or not vectors.is_ready:
                rows = await self._hurried.rows(_BY_WORDS, subject=subject.digest)
            else:
                rows = await self._with_distances(vectors, subject, meaning)
        except (TranscriptDown, Unstorable) as exc:
            raise MemoryDown(f"what is remembered cannot be read: {exc}") from exc
        return await self._fitting(rows, question, most)

    async def recollect(self, subject: MemorySubject, question: str, most: int) -> tuple[int | None, list[Fact]]:
        """See `ports.memory.Recollection.recollect`."""
        try:
            rows = await self._hurried.rows(_WITH_GENERATION, subject=subject.digest)
        except (TranscriptDown, Unstorable) as exc:
            raise MemoryDown(f"what is remembered cannot be read: {exc}") from exc
        if not rows:
            return None, []
        return rows[0][GENERATION], await self._fitting(rows, question, most)

    async def _fitting(self, rows: Rows, question: str, most: int) -> list[Fact]:
        is_large = sum(len(row[-2]) for row in rows) > LARGE
        return [self._fact(row) for row in await beside_if(is_large, fitting, rows, question, most)]

    async def _with_distances(self, vectors: SqlVectors, subject: MemorySubject, meaning: Sequence[float]) -> Rows:
        try:
            query = _newest_by_meaning(len(meaning))
            return await self._hurried.rows(query, subject=subject.digest, **vectors.asked(meaning))
        except (TranscriptDown, Unstorable):
            # Table or extension may have gone, as with a database that was restored: it is looked for again.
            vectors.is_ready = False
            return await self._hurried.rows(_BY_WORDS, subject=subject.digest)

    def _fact(self, row: Sequence[Any]) -> Fact:
        name, text, at, instance, ref, *_ = row
        # SQLite's driver hands over what it has: a text.
        at = datetime.fromisoformat(at) if isinstance(at, str) else at
        return Fact(name, text, at.astimezone(UTC), instance, ref)

    async def remember(self, memo: Memo) -> None:
        """See `ports.memory.Memory.remember`. It becomes a fact when it is settled, in one transaction with that.

        So nothing that is forgotten meanwhile comes back.
        """

    async def forget(self, subject: MemorySubject) -> Forgotten:
        """See `ports.memory.Memory.forget`."""
        # What has come since is of the next generation, and was not meant.
        now = select(memory_subjects.c.generation).where(memory_subjects.c.digest == subject.digest).scalar_subquery()
        return await self._forget((memory_facts.c.subject == subject.digest) & (now == subject.generation))

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        """See `ports.memory.Memory.forget_instance`."""
        of_instance = (memory_facts.c.process_instance_id == clean(instance)) & (memory_facts.c.engine == self._engine)
        return await self._forget((memory_facts.c.subject == subject.digest) & of_instance)

    async def _forget(self, own: ColumnElement[bool]) -> Forgotten:
        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(delete(memory_facts).where(own))).rowcount

        removed = await self._write(work)
        if removed:
            await forget(self._database)
        return Forgotten(removed)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            return await self._database.write(work)
        except TranscriptDown as exc:
            raise MemoryDown(str(exc)) from exc
        except Unstorable as exc:
            raise MemoryRefused(str(exc)) from exc

    async def check(self) -> None:
        """See `ports.memory.Memory.check`."""
        try:
            await self._hurried.rows(_ANY)
        except (TranscriptDown, Unstorable) as exc:
            raise MemoryDown(f"what is remembered cannot be read: {exc}") from exc


_COLUMNS = ("id", "text", "said_at", "process_instance_id", "ref")
GENERATION = len(_COLUMNS)
"""Where the subject's generation stands in a row."""


def _newest(how_far: ColumnElement[Any] | TextClause, generation: ColumnElement[Any] = NONE) -> Select[Any]:
    return (
        select(*(memory_facts.c[name] for name in _COLUMNS), generation, memory_facts.c.words, how_far)
        .where(memory_facts.c.subject == bindparam("subject"), memory_facts.c.state == literal("approved"))
        .order_by(memory_facts.c.number.desc())
        .limit(NEWEST)
    )


@lru_cache(maxsize=8)
def _newest_by_meaning(count: int) -> Select[Any]:
    return _newest(distance(count))


_BY_WORDS = _newest(null())
_OWN = memory_subjects.c.digest == bindparam("subject")
_WITH_GENERATION = _newest(null(), select(memory_subjects.c.generation).where(_OWN).scalar_subquery())
_ANY = select(memory_facts.c.id).limit(1)


def fitting(rows: Sequence[Sequence[Any]], question: str, most: int) -> list[Sequence[Any]]:
    """Take those that fit a question best, the newest first among equals.

    The last two columns have a row's words, and how far it is from what the question means, None where nobody knows. A
    word counts the more the fewer facts have it; what every fact has tells nothing. Of words and meaning neither has
    the say: what comes early by either comes early.
    """
    if len(rows) <= most:
        return list(rows)
    asked = set(words(question).split())
    shared = [asked.intersection(row[-2].split()) for row in rows]
    known = Counter(chain.from_iterable(shared))
    weights = {word: math.log(len(rows) / count) for word, count in known.items()}
    # Whatever order a set has its words in: those who share the same are equal.
    scores = [math.fsum(map(weights.__getitem__, each)) for each in shared]
    # Sorted is stable: the newest comes first already.
    order = sorted(range(len(rows)), key=scores.__getitem__, reverse=True)
    near = {place: row[-1] for place, row in enumerate(rows) if row[-1] is not None and not math.isnan(row[-1])}
    if near:
        by_words = [place for place in order if scores[place] > 0]
        fused = defaultdict[int, float](float)
        for places in (by_words, sorted(near, key=near.__getitem__)):
            for rank, place in enumerate(places):
                fused[place] += 1 / (RANKS + rank)
        order = sorted(range(len(rows)), key=lambda place: -fused[place])
    return [rows[place] for place in order[:most]]
