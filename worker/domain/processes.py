"""What an engine tells of process instances to whoever reads a transcript."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.domain.conversations import Limits

LONGEST_VERSION = 10


StepState = Literal["waiting", "asking", "again", "failed", "suspended"]
"""What a task that is not done waits for: a worker, an answer, an answer after a failure, or a person."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process instance by its engine's word. `started_at` is None where the engine keeps no history."""

    id: str
    definition_id: str
    definition_key: str
    definition_version: int | None
    business_key: str | None
    tenant: str | None
    started_at: datetime | None
    is_active: bool

    def is_within(self, limits: Limits) -> bool:
        """Whether a reader with these limits may see it."""
        if not limits.has_instance(self.id) or (limits.tenants is not None and self.tenant not in limits.tenants):
            return False
        return limits.definitions is None or limits.definitions.has(self.definition_key, self.id, runs=self.is_active)


@dataclass(frozen=True, slots=True)
class Moved:
    """When a modification last moved an instance.

    `by_batch`: it was one of many instances at once, and the engine does not tell of which: perhaps not of this one.
    """

    at: datetime
    by_batch: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A task of an instance that is not done, or an incident at an activity.

    `message` is why it failed, in the words that the engine has. `retries` are those that are left, None before the
    first failure. `kind` is the engine's word for an incident: `failedExternalTask`, `failedJob` … `task_id` is the
    external task's, empty where it is none.
    """

    activity_id: str
    state: StepState
    message: str = ""
    retries: int | None = None
    kind: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Why an instance does not go on. `message` is the engine's."""

    instance: str
    activity_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """A process variable that an assistant's answer was put into.

    `text` is None for a file; numbers and so on are JSON. `at` is when it was first written, None where the engine has
    no history.
    """

    name: str
    text: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Called:
    """A process instance that a call activity started, under its own name. `called_by` is the instance that did."""

    id: str
    definition_key: str
    name: str
    called_by: str
    definition_id: str = ""


@dataclass(frozen=True, slots=True)
class Calls:
    """The instances that one called, and those that they called, callers first.

    `lacking` says to people why there may be more; empty where these are all.
    """

    called: Sequence[Called]
    lacking: str = ""


def definition(definition_id: str) -> tuple[str, int] | None:
    """Read key and version from a definition's id, `key:version:number`; engines leave them out of long ones."""
    match definition_id.split(":"):
        case [key, version, _] if key and version.isascii() and version.isdecimal() and len(version) < LONGEST_VERSION:
            return key, int(version)
    return None
