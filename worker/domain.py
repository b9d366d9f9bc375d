"""What the worker talks about: tasks, threads, questions and answers. Plain data, standard library only."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from worker.refs import ref_line


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
    """One entry of a poll; a topic name may appear only once.

    `definitions` empty means every definition, `variables` None every variable of a task.
    """

    name: str
    definitions: tuple[str, ...] = ()
    variables: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A definition on a topic whose tasks are not fetched, because the engine refuses polls that would bring them.

    `definition` is empty where that cannot be narrowed down.
    """

    topic: str
    definition: str
    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        whose = f"tasks of {self.definition} on topic" if self.definition else "tasks on topic"
        return f"{whose} {self.topic} are left out: {self.reason}"


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
    variables: Mapping[str, Variable] = field(default_factory=dict)

    @property
    def definition_version(self) -> int | None:
        """The definition's version, as far as its id tells: `key:version:number`, a mere number where that is long."""
        parts = self.process_definition_id.rsplit(":", 2)
        return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None  # noqa: PLR2004 - the parts above


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the engine says of a task right now. `worker_id` is None for a task that nobody has locked."""

    worker_id: str | None
    suspended: bool


@dataclass(frozen=True, slots=True)
class Activity:
    """An external service task of a definition. `topic` may be an expression such as `${topic}`.

    `properties` come from the model, never with the task: engines refuse a whole poll that asks for them and would
    bring one without a name. One without a value is empty; `nameless` counts those without a name. `parameters` names
    its input parameters, whose values come evaluated among the task's variables. `loops` counts the multi-instance
    activities it runs in: itself and the sub-processes around it.
    """

    id: str
    name: str
    topic: str
    documentation: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    nameless: int = 0
    parameters: frozenset[str] = frozenset()
    async_after: bool = False
    loops: int = 0

    @property
    def title(self) -> str:
        """Its name on one line."""
        return " ".join(self.name.split())

    @property
    def is_ours(self) -> bool:
        """Whether the model asks for an assistant here."""
        return self.properties.get("service.type") == "assistant"

    @property
    def needs(self) -> frozenset[str] | None:
        """Names of the variables that its question and its thread need; None if that may be any."""
        inputs = declared_inputs(self.properties)
        if inputs is None or "assistant" in self.parameters:
            return None
        assistant = self.properties.get("service.name", "").strip()
        own = {thread_variable_name(assistant), thread_variable_name(assistant, by_business_key=True), LOOP_COUNTER}
        return frozenset(inputs) | own | (self.parameters & {"prompt"})


LOOP_COUNTER = "loopCounter"
"""The engine's variable with the number of an iteration, from 0; of loops within loops only the innermost is seen."""
THREAD_VARIABLE = "assistant_thread_"
META_SUFFIX = "_meta"
"""Ends the name of the variable beside a result."""
SHARED_SCOPE = "business-key:"
"""Begins the scope of threads that instances share by business key."""
TASK_SCOPE = "task:"
"""Begins the scope of threads that one task has for itself."""
BYTES_PER_TOKEN = 4
"""What a token is taken for: about right for English, too little for most other languages, so budgets err high."""


def declared_inputs(properties: Mapping[str, str]) -> tuple[str, ...] | None:
    """Read the names in `data.input`, none for a dash; None where the task does not say."""
    names = tuple(filter(None, map(str.strip, properties.get("data.input", "").split(","))))
    return () if names == ("-",) else names or None


def thread_variable_name(assistant: str, *, by_business_key: bool = False) -> str:
    """Name the process variable that keeps the thread's id for the day Redis has lost it."""
    return THREAD_VARIABLE + re.sub(r"\W", "_", assistant) + ("_by_business_key" if by_business_key else "")


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
    """Whose conversation: what one scope and one assistant share, and nobody else.

    The scope is the id of a process instance, the task's own or its root's; or `business-key:<key>`, or `task:<id>`.
    """

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
    """A conversation at the provider. The generation counts how often it had to be made anew, from 1.

    `anchor` names the account that it is in, see `Anchor`; None where nobody noted that. It says nothing about which
    conversation this is.
    """

    id: str
    generation: int
    anchor: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A small conversation that is never erased, by which an account at the provider is known again.

    Providers answer 404 for what another account has as they do for what is gone. Only a key that reads the anchor
    sees the account's threads, so only to it a 404 says that one of them is gone. `left`: a person has said that this
    account is used no more.
    """

    id: str
    made_at: datetime
    left: bool = False


BEFORE = "-"
"""In the place of an anchor's id: the account of threads from before anchors were noted."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message that a thread is told when it is made, in the provider's words for who speaks."""

    role: Literal["user", "assistant", "developer"]
    text: str


@dataclass(frozen=True, slots=True)
class Seed:
    """What a recreated thread is told of its forerunner: so many turns, and so many older ones left out."""

    said: tuple[Said, ...] = ()
    turns: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn puts on the thread. The ref is its last line, so that it can be found there again."""

    text: str
    ref: str

    @property
    def with_ref(self) -> str:
        """The text as sent."""
        return f"{self.text}\n\n{ref_line(self.ref)}"


def ref(key: ThreadKey, task_id: str, attempt: int) -> str:
    """12 hex digits that name one attempt of one task on one thread.

    The thread is part of it because ids of tasks may be mere numbers, which another engine has as well.
    """
    named = json.dumps([key.engine, key.tenant, key.scope, key.assistant, task_id, attempt])
    return hashlib.sha256(named.encode()).hexdigest()[:12]


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
    """This task has an answer already; nothing is asked. `repair` as in Entered."""

    answer: Answer
    attempt: int
    repair: str = ""


@dataclass(frozen=True, slots=True)
class Entered:
    """We hold the thread. `thread` is what the map says; `published` whether the engine knows it too.

    `trouble_for` is how long this task has been failing for reasons that are not its own, `deaths` how many workers in
    a row took it and were not heard of again. `repair` is what was wrong with the attempt before, if this one is to
    put it right.
    """

    hold: Hold
    attempt: int
    thread: Thread | None = None
    published: bool = False
    asked: Asked | None = None
    trouble_for: timedelta = timedelta(0)
    deaths: int = 0
    repair: str = ""


Entry = Busy | Answered | Entered
