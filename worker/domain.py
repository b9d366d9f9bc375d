"""What the worker talks about: tasks, threads, questions and answers. Plain data, standard library only."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Variable:
    """One process variable as the engine's REST API speaks it.

    `type` is the engine's name (`String`, `Long`, `Json`, `Object`, `File` …); None lets the engine infer it.
    `info` is REST's `valueInfo`. Values of `Json` and serialised `Object` variables are JSON text.
    """

    value: Any
    type: str | None = None
    info: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topic:
    """One entry of a poll. `definitions` empty means every definition; a topic name may appear only once."""

    name: str
    definitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One external task that we hold the lock of.

    `id` stays the same over retries. `retries` is None on the first attempt. `fetched_at` is the local monotonic
    clock in seconds; `created_at` is the engine's clock.
    """

    id: str
    topic: str
    activity_id: str
    process_instance_id: str
    process_definition_id: str
    process_definition_key: str
    execution_id: str
    created_at: datetime
    fetched_at: float
    business_key: str | None = None
    tenant_id: str | None = None
    retries: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the engine says of a task right now. `worker_id` is None for a task that nobody has locked."""

    worker_id: str | None
    suspended: bool


@dataclass(frozen=True, slots=True)
class Activity:
    """An external service task of a definition. `topic` may be an expression such as `${topic}`.

    `parameters` names its input parameters, whose values come evaluated among the task's variables.
    """

    id: str
    name: str
    topic: str
    documentation: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    async_after: bool = False
    multi_instance: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the model asks for an assistant here."""
        return self.properties.get("service.type") == "assistant"


@dataclass(frozen=True, slots=True)
class Definition:
    """A deployed process definition's external tasks, by activity id. It never changes once deployed."""

    id: str
    activities: Mapping[str, Activity]


@dataclass(frozen=True, slots=True)
class Assistant:
    """A versioned spec: who answers, with which model, by which instructions.

    `timeout` bounds one model call from the outside. `output_schema` is a JSON Schema or None. With `background` the
    provider runs the call by itself and outlives us: whoever has its response id can fetch the answer.
    """

    name: str
    version: str
    model: str
    provider: str
    instructions: str
    timeout: timedelta
    temperature: float | None = None
    max_output_tokens: int | None = None
    output_schema: Mapping[str, Any] | None = None
    background: bool = False


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """Whose conversation: what one process instance (the scope) and one assistant share, and nobody else."""

    engine: str
    scope: str
    assistant: str
    tenant: str | None = None

    def metadata(self) -> dict[str, str]:
        """The same as conversation metadata: values of at most 512 characters, as OpenAI accepts them."""
        values = {
            "engine": self.engine,
            "tenant": self.tenant or "",
            "scope": self.scope,
            "assistant": self.assistant,
        }
        return {name: _short(value) for name, value in values.items()}


def _short(value: str, limit: int = 512) -> str:
    """Keep a long value recognisable: its beginning and a digest of the whole."""
    if len(value) <= limit:
        return value
    return value[: limit - 65] + "#" + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation at the provider. The generation counts how often it had to be made anew, from 1."""

    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn puts on the thread. The ref is its last line, so that it can be found there again."""

    text: str
    ref: str

    @property
    def with_ref(self) -> str:
        """The text as sent."""
        return f"{self.text}\n\n{ref_line(self.ref)}"


def ref(task_id: str, attempt: int) -> str:
    """12 hex digits that name one attempt of one task."""
    return hashlib.sha256(f"{task_id}\n{attempt}".encode(errors="surrogatepass")).hexdigest()[:12]


def ref_line(ref: str) -> str:
    """The line that marks a question."""
    return f"(ref {ref})"


class Outcome(StrEnum):
    """What an answer is worth. The names are those of the `error.<outcome>` task properties."""

    OK = "ok"
    REFUSED = "refused"
    FILTERED = "filtered"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    EMPTY = "empty"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one question. An answer found on the thread knows no response id and no tokens.

    `detail` says more about a bad outcome in the provider's code words, never in message text.
    """

    text: str
    outcome: Outcome = Outcome.OK
    detail: str = ""
    response_id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    recovered: bool = False
    thread: Thread | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to start a turn on a thread, for one task. The token tells it from every other hold."""

    key: ThreadKey
    task_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An earlier attempt may have put this question; its call can run for `running_for` more at most.

    `response_id` is where the answer of a background run can be fetched.
    """

    running_for: timedelta
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Another task holds the thread."""


@dataclass(frozen=True, slots=True)
class Answered:
    """This task has an answer already; nothing is asked."""

    answer: Answer
    attempt: int


@dataclass(frozen=True, slots=True)
class Entered:
    """We hold the thread. `thread` is what the map says; `published` whether the engine knows it too.

    `trouble_for` is how long this task has been failing for reasons that are not its own, `deaths` how many workers in
    a row took it and were not heard of again.
    """

    hold: Hold
    attempt: int
    thread: Thread | None = None
    published: bool = False
    asked: Asked | None = None
    trouble_for: timedelta = timedelta(0)
    deaths: int = 0


Entry = Busy | Answered | Entered
