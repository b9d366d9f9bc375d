"""What is said in one attempt, on its way to the places that keep it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from worker.domain.conversations import Role, owner, role_of
from worker.domain.memory import Recalled, ToRemember
from worker.domain.money import Money
from worker.domain.threads import OPENAI, Cut, Outcome, ThreadKey

TRANSCRIPT = "transcript"
"""The name of the transcript among the places that exchanges go to."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One message of an exchange. `said_as` is the provider's role, `user` the person who speaks, else None."""

    text: str
    said_as: str
    user: str | None = None

    @property
    def role(self) -> Role:
        """Who speaks, in the transcript's words. Raises Unstorable where nobody knows the provider's."""
        return role_of(self.said_as)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is said in one attempt, as handed to the transcript: a question, its answer, and what stands between them.

    `engine`, task id and attempt name it: what comes again under the same name is not written again. `messages` are in
    the order in which they were said; all other facts are of the attempt or of its answer. `use` and `recovered` as in
    the turn's record. `seconds` is how long the answer took. `anchor` names the account that the thread is in, and
    `untold` is as in `Answer`; `heard` counts the persons' messages that were answered on the thread before, and
    `memory` is what the thread knew of before where it was made for this, unless that is all; `cuts` as in `Entered`.
    What spoke: the assistant's version, digests of its instructions and of the schema that held, as `digest` makes
    them, and the worker's version. `remember` says of whom it is to be remembered, `recalled` what the question was
    shown of the memory; None where the task wants none. Raises ValueError for fewer messages than two.
    """

    key: ThreadKey
    task_id: str
    attempt: int
    process_instance_id: str
    activity_id: str
    definition_id: str
    definition_key: str
    messages: tuple[Utterance, ...]
    asked_at: datetime
    answered_at: datetime
    activity_name: str = ""
    definition_version: int | None = None
    business_key: str | None = None
    assistant_version: str | None = None
    thread_id: str | None = None
    generation: int | None = None
    anchor: str | None = None
    outcome: Outcome = Outcome.OK
    detail: str = ""
    response_id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Money | None = None
    use: str = "reused"
    recovered: str | None = None
    repaired: bool = False
    seconds: float | None = None
    provider: str = OPENAI
    untold: int = 0
    instructions: str | None = None
    output_schema: str | None = None
    worker: str | None = None
    heard: int = 0
    memory: str | None = None
    cuts: tuple[Cut, ...] = ()
    remember: ToRemember | None = None
    recalled: Recalled | None = None

    def __post_init__(self) -> None:
        """Refuse what has no question or no answer."""
        if not self.messages[1:]:
            raise ValueError("an exchange is a question and an answer at least")

    @property
    def is_talk(self) -> bool:
        """Whether it is a person's, beside the process: no step of that goes on by it."""
        return not self.activity_id

    @property
    def question(self) -> Utterance:
        """What was asked: the first message."""
        return self.messages[0]

    @property
    def between(self) -> tuple[Utterance, ...]:
        """What was said on the way from one to the other."""
        return self.messages[1:-1]

    @property
    def answer(self) -> Utterance:
        """What came of it: the last message."""
        return self.messages[-1]

    @property
    def leaves(self) -> ToRemember | None:
        """What of it is to be remembered: of an answer that is none nothing is."""
        is_answer = self.outcome is Outcome.OK and bool(self.answer.text and self.answer.text.strip())
        return self.remember if is_answer else None

    @property
    def owner_id(self) -> str | None:
        """The instance that the session belongs to and ends with; None if instances share it by business key."""
        subject = owner(self.key, self.process_instance_id)
        return subject.instance if subject else None


@dataclass(frozen=True, slots=True)
class Pending:
    """A turn with exchanges that a sink may not have, by attempt. The ticket tells one claim from another.

    `unreadable` are attempts of which nobody can read what stands there. `newer`: some of it only a newer worker can
    read, to which it is left.
    """

    sink: str
    turn: str
    ticket: str
    exchanges: Mapping[int, Exchange]
    unreadable: frozenset[int] = frozenset()
    newer: bool = False


def digest(content: str | Mapping[str, Any]) -> str:
    """Tell one version of instructions or of a schema from another: 12 hex digits of SHA-256."""
    return _digest(content if isinstance(content, str) else json.dumps(content, sort_keys=True))


@lru_cache(maxsize=256)  # each turn asks for its assistant's, twice
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
