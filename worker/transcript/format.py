"""The format of what the transcript's database keeps for one engine."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.formats import FORMAT, newer
from worker.errors import NewerFormat
from worker.transcript.database import Database
from worker.transcript.failures import NEWER
from worker.transcript.tables import formats


class SqlFormat:
    """Implements `ports.formats.Format`. A `format` higher than this version's is for tests."""

    def __init__(self, database: Database, *, engine: str, format: int = FORMAT) -> None:  # noqa: A002 - its name
        self._database = database
        self._engine = engine
        self._format = format
        self._newer: NewerFormat | None = None

    async def check(self) -> None:
        """See `ports.formats.Format.check`. Raises TranscriptDown as well.

        After a newer format nothing is written here any more, not even what is in hand.
        """
        if self._newer is not None:
            raise self._newer
        query = select(formats.c.number).where(formats.c.engine == self._engine)
        async with self._database.reading() as connection:
            noted = (await connection.execute(query)).scalar_one_or_none()
        if noted is None or noted < self._format:
            await self._database.write(self._note)
        elif noted > self._format:
            self._database.refuse(NEWER)
            self._newer = newer("the transcript", noted, self._format)
            raise self._newer

    async def _note(self, connection: AsyncConnection) -> None:
        """Note ours, unless a newer worker has been faster."""
        insert = self._database.insert(formats)
        row = {"engine": self._engine, "number": self._format}
        lower = formats.c.number < insert.excluded.number
        statement = insert.on_conflict_do_update(
            index_elements=[formats.c.engine], set_={"number": insert.excluded.number}, where=lower
        )
        await connection.execute(statement, row)
