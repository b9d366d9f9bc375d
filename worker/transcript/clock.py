"""The clock that all who share a database go by."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection


def own_clock() -> datetime:
    """Read the clock of who has a file alone."""
    return datetime.now(UTC)


async def read_clock(connection: AsyncConnection, own: Callable[[], datetime]) -> datetime:
    """Read the clock by which leases go: the server's, which all workers share; of a file it is ours."""
    if connection.dialect.name == "sqlite":
        return own()
    # Not now(), which stands still from the transaction's beginning: it may have waited for a lock since.
    told: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return told.astimezone(UTC)
