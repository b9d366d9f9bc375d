"""What a function of others made of an external task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from worker.domain.tasks import Variable


@dataclass(frozen=True, slots=True)
class Completed:
    """It is done; `local` are variables of the activity only."""

    variables: Mapping[str, Variable]
    local: Mapping[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """It says that it failed, and how many tries are left after which pause."""

    message: str
    details: str
    retries: int
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Thrown:
    """A BPMN error."""

    code: str
    message: str
    variables: Mapping[str, Variable]


@dataclass(frozen=True, slots=True)
class Raised:
    """It raised an exception, or returned what cannot be told to an engine; `reason` is one word for the log."""

    message: str
    details: str
    reason: str


Handled = Completed | Failed | Thrown | Raised
