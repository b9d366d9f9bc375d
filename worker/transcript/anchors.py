"""Anchors of accounts at a provider, as the transcript's database knows them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.threads import Anchor
from worker.transcript.database import Database
from worker.transcript.tables import anchors


class SqlAnchors:
    """Implements `ports.accounts.Book` for one engine and one provider. Raises TranscriptDown."""

    def __init__(self, database: Database, *, engine: str, provider: str) -> None:
        self._database = database
        self._whose = {"engine": engine, "provider": provider}

    async def anchors(self) -> Mapping[str, Anchor]:
        """See `ports.accounts.Book.anchors`."""
        query = select(anchors.c.id, anchors.c.made_at, anchors.c.is_left).filter_by(**self._whose)
        async with self._database.reading() as connection:
            return {row.id: Anchor(row.id, row.made_at, row.is_left) for row in await connection.execute(query)}

    async def note(self, noted: Sequence[Anchor]) -> None:
        """See `ports.accounts.Book.note`."""
        rows = [self._whose | {"id": each.id, "made_at": each.made_at, "is_left": each.left} for each in noted]
        insert = self._database.insert(anchors)
        # Once left it stays so, whichever worker's list comes last.
        left = anchors.c.is_left | insert.excluded.is_left
        statement = insert.on_conflict_do_update(index_elements=[*anchors.primary_key], set_={"is_left": left})

        async def work(connection: AsyncConnection) -> None:
            for row in rows:
                await connection.execute(statement, row)

        await self._database.write(work)
