"""What facts mean, as numbers, in a PostgreSQL that has pgvector: a table of its own, which no migration makes.

The extension may come later than the tables, and go with a database that is restored elsewhere. Older workers know
nothing of it: what they delete of facts takes its numbers along.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.transcript.database import Database
from worker.transcript.words import clean

MAKING: Final = 7_214_160_903_551_418
"""PostgreSQL's name for our right to make the table: any number that nobody else uses there."""
CLAIMED_FOR: Final = timedelta(minutes=1)
"""What a worker has taken and not kept may be tried by another one then."""
ASIDE_FOR: Final = timedelta(days=1)

_IS_THERE: Final = "SELECT 1 FROM pg_extension WHERE extname = 'vector'"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS memory_vectors (
    fact_id VARCHAR(32) NOT NULL REFERENCES memory_facts (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    embedding vector,
    PRIMARY KEY (fact_id, model))
"""
# An extension that goes takes its column along.
_COLUMN: Final = "ALTER TABLE memory_vectors ADD COLUMN IF NOT EXISTS embedding vector"
_CLAIM: Final = """
INSERT INTO memory_vectors AS v (fact_id, model, due_at)
SELECT f.id, :model, now() + :claimed FROM memory_facts f
    LEFT JOIN memory_vectors known ON known.fact_id = f.id AND known.model = :model
    WHERE f.engine = :engine AND f.state = 'approved'
    AND (known.fact_id IS NULL OR (known.embedding IS NULL AND known.due_at < now()))
    ORDER BY f.number DESC LIMIT :most
ON CONFLICT (fact_id, model) DO UPDATE SET due_at = excluded.due_at WHERE v.embedding IS NULL AND v.due_at < now()
RETURNING v.fact_id
"""
_TEXTS: Final = "SELECT id, text FROM memory_facts WHERE id = ANY(:ids)"
_KEEP: Final = """
UPDATE memory_vectors SET embedding = CAST(CAST(:numbers AS text) AS vector) WHERE fact_id = :fact AND model = :model
"""
_ASIDE: Final = "UPDATE memory_vectors SET due_at = now() + :by WHERE fact_id = :fact AND model = :model"
_DISTANCE: Final = """
(SELECT CASE WHEN vector_dims(v.embedding) = {count} THEN v.embedding <=> CAST(CAST(:numbers AS text) AS vector) END
    FROM memory_vectors v WHERE v.fact_id = memory_facts.id AND v.model = :model)
"""


@lru_cache(maxsize=8)
def distance(count: int) -> TextClause:
    """Tell how far a fact is from so many numbers, as a column beside facts; null where nobody knows."""
    return text(_DISTANCE.format(count=count))


class SqlVectors:
    """Implements `ports.memory.Vectors` for one engine's facts, by one `model`."""

    def __init__(self, database: Database, *, engine: str, model: str) -> None:
        self._database = database
        self._engine = clean(engine)
        self.model = model
        self.is_ready = False

    async def is_installed(self) -> bool:
        """See `ports.memory.Vectors.is_installed`."""
        async with self._database.reading() as connection:
            return (await connection.execute(text(_IS_THERE))).first() is not None

    async def ready(self) -> bool:
        """See `ports.memory.Vectors.ready`."""
        if not self.is_ready and not self._database.is_sqlite:
            self.is_ready = await self._database.write(_made)
        return self.is_ready

    async def claim(self, most: int) -> Mapping[str, str]:
        """See `ports.memory.Vectors.claim`."""

        async def work(connection: AsyncConnection) -> Mapping[str, str]:
            named = {"model": self.model, "engine": self._engine, "claimed": CLAIMED_FOR, "most": most}
            taken = (await connection.execute(text(_CLAIM), named)).scalars().all()
            found = await connection.execute(text(_TEXTS), {"ids": list(taken)})
            return {row.id: row.text for row in found}

        return await self._database.write(work)

    async def keep(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """See `ports.memory.Vectors.keep`."""
        rows = [{"fact": name, "numbers": _written(each), "model": self.model} for name, each in vectors.items()]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(text(_KEEP), rows)

        await self._database.write(work)

    async def aside(self, fact: str) -> None:
        """See `ports.memory.Vectors.aside`."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(text(_ASIDE), {"fact": fact, "by": ASIDE_FOR, "model": self.model})

        await self._database.write(work)

    def asked(self, numbers: Sequence[float]) -> Mapping[str, str]:
        """Return the values of `distance` for these numbers."""
        return {"numbers": _written(numbers), "model": self.model}


async def _made(connection: AsyncConnection) -> bool:
    if (await connection.execute(text(_IS_THERE))).first() is None:
        return False
    await connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": MAKING})
    for each in (_TABLE, _COLUMN):
        await connection.execute(text(each))
    return True


def _written(numbers: Sequence[float]) -> str:
    return f"[{','.join(map(repr, numbers))}]"
