"""What persons ask assistants, from the moment at which it is accepted to its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from worker.domain.conversations import digest, session_id
from worker.domain.people import Person
from worker.domain.threads import PERSON_SCOPE, ThreadKey

DEADLY: Final = 3
"""After so many workers in a row that ended under an ask nobody takes it any more."""


class State(StrEnum):
    """How it stands with an ask. The last four are for good.

    `gone`: what it was about was erased before it was its turn.
    """

    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    GONE = "gone"


UNFINISHED: Final = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Ask:
    """One message of a person's that an assistant is to answer.

    `about` is the thread that the person reads, `target` the one that it is answered on: the same, or its branch. The
    client names the message by `client_id`, so that it may send it again. `instance` is the process instance that it is
    of, with what is known of that; empty if the person has the conversation beside all processes. `on_thread`: later
    steps of the process are to hear it. `as_of` is how many answers the person knew on the target, None where that does
    not matter. Whoever answers it has it until `due_at`, as its `holder`; a queued one may be had from then on.
    `deaths` counts workers in a row that had it and were not heard of again. `answer` is the id of the message that
    answers it. Attachments are links for people, of which the assistant is not told.
    """

    id: str
    about: ThreadKey
    target: ThreadKey
    person: Person
    client_id: str
    text: str
    instance: str
    definition_id: str
    definition_key: str
    created_at: datetime
    due_at: datetime
    definition_version: int | None = None
    business_key: str | None = None
    on_thread: bool = False
    as_of: int | None = None
    state: State = State.QUEUED
    holder: str | None = None
    deaths: int = 0
    failure: str = ""
    answer: str | None = None
    finished_at: datetime | None = None
    attachments: Sequence[str] = ()

    @property
    def session_id(self) -> str:
        """The session of the thread that it is about."""
        return session_id(self.about)


def ask_id(about: ThreadKey, person: Person, client_id: str) -> str:
    """Name an ask: 32 hex digits, the same whenever this person sends this message of theirs again."""
    key = (about.engine, about.tenant, about.scope, about.assistant)
    return digest("ask", *key, person.id, client_id)


def chat_key(engine: str, tenant: str | None, person: Person, assistant: str, client_id: str) -> ThreadKey:
    """Name the thread of a conversation that a person has beside all processes, by the name that the client gave it."""
    name = digest("chat", tenant, assistant, client_id)
    return ThreadKey(engine, f"{PERSON_SCOPE}{person.id}:{name}", assistant, tenant)


@dataclass(frozen=True, slots=True)
class Running:
    """What keeps an ask from being answered at once: a step of the process, or another ask, with whose it is."""

    what: str
    since: datetime | None = None
    whose: str | None = None

    def __str__(self) -> str:
        """Say it to a person."""
        whose = f" of {self.whose}" if self.whose else ""
        since = f", since {self.since:%Y-%m-%d %H:%M:%SZ}" if self.since else ""
        return f"{self.what}{whose}{since}"


@dataclass(frozen=True, slots=True)
class Talk:
    """What is known of talking about one thread: the newest asks first, and how many answers their target has.

    `as_of` is None while nobody can tell.
    """

    asks: Sequence[Ask]
    as_of: int | None
