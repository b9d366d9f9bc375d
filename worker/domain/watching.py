"""What people who read along see of a turn while it goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer that is being written: its text, and before how many characters of it this begins.

    A `run` is one request to a model. Another run means that what was said before it is void. `is_last`: the call is
    over, and its answer is on its way to the record, if it brought one.
    """

    run: str
    task_id: str
    attempt: int
    offset: int
    text: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who has an assistant speak: a process instance, and its process by the definition's key."""

    definition_key: str
    instance: str


@dataclass(frozen=True, slots=True)
class TurnSeen:
    """How far a turn is, as the journal has it. `state` is open, intent, answered or done, in the journal's words.

    `is_held`: a worker has the thread for it now. `is_repair`: the attempt has to put an earlier answer right. `whose`
    is None before its first call, and where an older worker has it.
    """

    task_id: str
    state: str
    attempt: int
    is_held: bool
    is_repair: bool
    whose: Speaker | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a thread has found. The next one begins behind it.

    `pieces` are those that are new, and `place` where they end. `silent_for` is how long ago the newest of all came, by
    Redis' clock; None where there is none. `turn` is the one that has the thread, or had it last.
    """

    pieces: Sequence[Piece] = ()
    place: str = ""
    silent_for: timedelta | None = None
    turn: TurnSeen | None = None


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task as the engine has it. `retries` is None before its first failure.

    With none left there is an incident, whose text is `problem`. `definition_key` is of its process.
    """

    id: str
    activity_id: str
    tenant: str | None
    retries: int | None
    problem: str
    definition_key: str = ""


StepState = Literal["waiting", "preparing", "asking", "repairing", "paused", "delivering", "delivered", "incident"]
"""waiting: for a worker, or for its thread. paused: the provider cannot be asked. delivering: the answer is there."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one task is, as far as that is known. `text` says of an incident or a pause what it is about.

    `session_id` and `assistant` are None where nobody can tell by now whose thread it wants, and `activity_id` where it
    stands.
    """

    task_id: str
    state: StepState
    attempt: int | None = None
    session_id: str | None = None
    activity_id: str | None = None
    text: str = ""
    assistant: str | None = None
