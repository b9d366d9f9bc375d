"""Why a provider cannot be asked, as all workers know it that ask it at the same address with the same key."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Found = Literal["away", "paused"]
"""Nobody can be reached there; or every call is refused until a person acts."""


@dataclass(frozen=True, slots=True)
class Outage:
    """`by` is the worker that found it. `tries`: how often it was probed in vain. `ours`: this worker is to probe."""

    found: Found
    reason: str
    by: str
    since: datetime
    tries: int
    ours: bool
