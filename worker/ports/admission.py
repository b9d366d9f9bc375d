"""How many feeds persons have open, counted for all workers together."""

from datetime import timedelta
from typing import Final, Protocol

TOLD_WITHIN: Final = timedelta(seconds=30)
"""How long a worker's word counts; a worker that lives gives it again in time."""


class FeedCounts(Protocol):
    """Counts one worker's feeds beside those of all others."""

    async def tell(self, person: str, count: int, most: int | None = None) -> bool:
        """Say how many feeds of a person are open at this worker, in place of what it said before.

        False if there would be more than `most` at all workers: then nothing is changed. Raises StoreDown.
        """
        ...
