"""What a process asks for: external tasks, the activities they are of, and process variables."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from worker.domain import deployed
from worker.errors import BadDefinition


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
    clock in seconds; `created_at` is the engine's clock. `is_bare`: it came without its variables, which have more
    bytes than are taken in. `size`: about how many bytes came with it. `activity_instance` names this passage through
    the activity, empty if the engine does not say.
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
    is_bare: bool = False
    size: int = 0
    activity_instance: str = ""

    @property
    def definition_version(self) -> int | None:
        """The definition's version, as far as its id tells: `key:version:number`, a mere number where that is long."""
        parts = self.process_definition_id.rsplit(":", 2)
        return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None  # noqa: PLR2004 - the parts above


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the engine says of a task right now. `worker_id` is None for a task that nobody has locked.

    `retries` is None as long as nobody has set them.
    """

    worker_id: str | None
    suspended: bool
    retries: int | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """An external service task of a definition. `topic` may be an expression such as `${topic}`.

    `properties` come from the model, never with the task: engines refuse a whole poll that asks for them and would
    bring one without a name. One without a value is empty; `nameless` counts those without a name. `parameters` names
    its input parameters, whose values come evaluated among the task's variables. `loops` counts the multi-instance
    activities it runs in: itself and the sub-processes around it. `caught` has the codes of the BPMN errors that an
    event of its process would catch, an empty one where every code is. `begins`: in its model no assistant can have
    spoken before it. `process` is the key of its process.
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
    caught: frozenset[str] = frozenset()
    begins: bool = False
    process: str = ""

    def said(self, name: str) -> str:
        """Return what stands in a property, without blanks around it; empty where nothing does."""
        return self.properties.get(name, "").strip()

    @property
    def title(self) -> str:
        """Its name on one line."""
        return " ".join(self.name.split())

    @property
    def label(self) -> str:
        """Its name and id for people."""
        return f'"{self.title}" ({self.id})' if self.title else self.id

    @property
    def is_ours(self) -> bool:
        """Whether the model asks for this worker here."""
        return self.is_for_assistant or self.is_record or self.is_approval

    @property
    def is_for_assistant(self) -> bool:
        """Whether the model asks for an assistant here."""
        return self.properties.get("service.type") == ASSISTANT

    @property
    def is_record(self) -> bool:
        """Whether a decision's record is made here, for which no model is asked."""
        return self.properties.get("service.type") == DECISION_RECORD

    @property
    def is_approval(self) -> bool:
        """Whether persons' word on what is proposed to be remembered is carried out here; no model is asked."""
        return self.properties.get("service.type") == MEMORY_APPROVAL

    @property
    def needs(self) -> frozenset[str] | None:
        """Names of the variables that its question and its thread need; None if that may be any."""
        if self.is_record or self.is_approval:  # they read for themselves what was said
            return frozenset({LOOP_COUNTER})
        inputs = declared_inputs(self.properties)
        if inputs is None or "assistant" in self.parameters:
            return None
        said = self.said("service.name")
        assistant = deployed.named(said, self.process) or said
        own = {thread_variable_name(assistant), thread_variable_name(assistant, by_business_key=True), LOOP_COUNTER}
        own.update(filter(None, [subject_variable(self.said("memory.subject"))]))
        return frozenset(inputs) | own | (self.parameters & {"prompt"})


SUBJECT_VARIABLE = "variable:"


def subject_variable(said: str) -> str | None:
    """Name the variable that says whom something is remembered of; None where it is something else."""
    return said.removeprefix(SUBJECT_VARIABLE).strip() if said.startswith(SUBJECT_VARIABLE) else None


ASSISTANT = "assistant"
DECISION_RECORD = "decision-record"
MEMORY_APPROVAL = "memory-approval"
"""What a task is for, in its property `service.type`."""

LOOP_COUNTER = "loopCounter"
"""The engine's variable with the number of an iteration, from 0; of loops within loops only the innermost is seen."""

TRACE_VARIABLES = ("traceparent", "tracestate")
"""Process variables that say which trace an instance belongs to, as W3C's headers of these names do."""

LONGEST_MESSAGE = 666
"""Characters of an error's message that engines keep; the column behind it has no more."""

THREAD_VARIABLE = "assistant_thread_"

META_SUFFIX = "_meta"
"""Ends the name of the variable beside a result."""


def java_length(text: str) -> int:
    """Count characters as Java and most databases do: an emoji is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def has_expression(text: str) -> bool:
    """Whether engines would evaluate something in a text of a model."""
    return "${" in text or "#{" in text


def declared_inputs(properties: Mapping[str, str]) -> Mapping[str, bool] | None:
    """Read the names in `data.input`, none for a dash; None where the task does not say.

    Each has to be there, unless it ends in a question mark.
    """
    said = [each.strip() for each in properties.get("data.input", "").split(",")]
    if said == ["-"]:
        return {}
    needed: dict[str, bool] = {}
    for each in said:
        if name := each.removesuffix("?").rstrip():
            needed[name] = needed.get(name, False) or name == each
    return needed or None


def thread_variable_name(assistant: str, *, by_business_key: bool = False) -> str:
    """Name the process variable that keeps the thread's id for the day Redis has lost it.

    Of assistants that are deployed nobody sees to it that their names stay apart where `_` takes the place of the rest.
    """
    apart = f"_{sha256(assistant.encode()).hexdigest()[:8]}" if deployed.is_deployed(assistant) else ""
    return THREAD_VARIABLE + as_name(assistant) + apart + ("_by_business_key" if by_business_key else "")


@dataclass(frozen=True, slots=True)
class Definition:
    """A deployed process definition's external tasks, by activity id. It never changes once deployed.

    `calls` has the keys of the processes that it calls, and for each the codes of errors that are caught around a call.
    `inner` has the ids of all elements that instances reach behind their start: one that begins there has left it out.
    `names` counts how many of our tasks have an id that comes to this name of a variable.
    """

    id: str
    activities: Mapping[str, Activity]
    calls: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inner: frozenset[str] = frozenset()
    names: Mapping[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        names = Counter(as_name(each.id) for each in self.activities.values() if each.is_ours)
        object.__setattr__(self, "names", names)  # frozen, and made of the others

    def of(self, task: Task) -> Activity:
        """Return the activity that a task is of. Raises BadDefinition."""
        found = self.activities.get(task.activity_id)
        if found is None:
            raise BadDefinition(f"definition {self.id} has no external task {task.activity_id}")
        return found


def as_name(id_: str) -> str:
    """Make an id a variable's name, which is used in expressions, where an id's `-` would be a minus."""
    return re.sub(r"\W", "_", id_)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a process instance came from.

    `forerunners` are the instances that it was restarted from, the latest first. `skipped_to` is the element that it
    was started at behind its start, None where it was not, or nobody can tell.
    """

    forerunners: tuple[str, ...] = ()
    skipped_to: str | None = None
