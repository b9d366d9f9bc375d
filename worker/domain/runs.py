"""How one process instance gets on, for whoever has started it and waits for its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Stand = Literal["waiting", "running", "again", "suspended", "incident", "done", "cancelled"]
"""Of an activity: waits for whoever does it, is done by a worker, failed and is tried again …"""
End = Literal["completed", "error", "terminated", "unknown"]


@dataclass(frozen=True, slots=True)
class At:
    """One time that an instance, or one that it called, was at an activity. `kind` is the engine's word, as `userTask`.

    `message` is why it failed, in the engine's words. `worker` has it now.
    """

    id: str
    activity: str
    name: str
    kind: str
    stand: Stand
    message: str = ""
    worker: str = ""
    definition_id: str = ""
    began: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """An instance at one moment. `end` is None while it runs, `why` says of an end what brought it about."""

    activities: Sequence[At]
    end: End | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A variable of an instance as its history has it; a file's value is None."""

    name: str
    type: str
    value: Any
