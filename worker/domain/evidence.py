"""What an engine knows of how a decision came about: answers that it took, values that it was given, persons' acts."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.domain.tasks import META_SUFFIX


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion of an external task that the engine took.

    `activity_instance` is one passage through the activity; in a loop every iteration has its own.
    """

    task: str
    instance: str
    activity: str
    activity_instance: str
    definition: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Value:
    """A value that a process variable was given.

    `value` is as REST tells it, JSON as text, and None for a File, whose content is read by `id`. `operation` names the
    command that wrote it, `activity_instance` where the instance was then; without a history both are empty, and `at`
    is None. Then `scope` is the activity instance that the variable is of, as far as the engine tells: the process
    instance's own id for one that is no activity's.
    """

    id: str
    instance: str
    name: str
    value: Any
    type: str
    at: datetime | None = None
    activity_instance: str = ""
    operation: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class PersonsTask:
    """A user task that was completed. `assignee` is who it was given to, which says nothing of who did it.

    `began` is when it came to be; None where the engine does not say.
    """

    id: str
    instance: str
    activity: str
    name: str
    activity_instance: str
    assignee: str
    at: datetime
    began: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody who had shown who they are told the engine. `id` is that of the values that came with it.

    `kind` is the engine's word, `task` the user task that it was about, empty for none.
    """

    id: str
    user: str
    kind: str
    task: str


COMPLETE: Final = "Complete"
"""The kind of operation by which a person's task is over."""


def is_called(variable: str, name: str) -> bool:
    """Whether a variable is the result of this name, one of a loop's iterations, or the meta of one of them."""
    return re.fullmatch(rf"{re.escape(name)}(_\d+)?({META_SUFFIX})?", variable) is not None
