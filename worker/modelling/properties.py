"""What a task says it wants: its extension properties, defined in one table and checked. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Literal, cast, get_args

from worker.decisions import schemas
from worker.domain import deployed, foreign
from worker.domain.memory import MOST_RECALLED, NO_WISH, RECALLED, MemoryWish
from worker.domain.questions import DecisionQuestion
from worker.domain.tasks import (
    ASSISTANT,
    DECISION_RECORD,
    LOOP_COUNTER,
    MEMORY_APPROVAL,
    META_SUFFIX,
    Activity,
    Definition,
    Task,
    as_name,
    declared_inputs,
    has_expression,
    java_length,
    thread_variable_name,
)
from worker.domain.threads import Outcome
from worker.errors import BadDefinition
from worker.modelling import questions, rendering, schema
from worker.modelling.forms import FORMS, ResultType, Sharing, Stage, check_clashes, checked, duration, entries
from worker.modelling.orders import MOST_ORDERS

STATUS: Mapping[Stage, Literal["computed", "proposed"]] = {
    "compute": "computed",
    "propose": "proposed",
    "close": "proposed",
}
"""What a stage makes of a record; `close` closes what is proposed then."""
BAD_OUTCOMES = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.OK)
CALLS = 3
LONGEST_NAME = 255
"""Characters of a variable's name that engines keep."""


@dataclass(frozen=True, slots=True)
class Property:
    """One extension property: what it may hold and what holds without it, in words for people."""

    name: str
    values: str
    absent: str


PROPERTIES = (
    Property(
        "service.type",
        "this task is for this worker: `assistant`; `decision-record`, which puts together what was decided; or "
        "`memory-approval`, by which persons approve what is remembered",
        "the task is not this worker's",
    ),
    Property(
        "service.name",
        "name of the assistant; or `deployment:<name>.md`, whose spec is that file of the same deployment",
        "needed, unless the input parameter `assistant` is there",
    ),
    Property(
        "service.version",
        "version of the assistant, such as `1.0`; one that no worker has is waited for, ten minutes",
        "the highest there is",
    ),
    Property(
        "service.thread",
        "whose conversation it is: `instance`, `root` (shared with the calling processes), `business-key` (shared by "
        "all instances with the same one) or `activity` (this task's alone: no memory)",
        "`instance`",
    ),
    Property(
        "service.thread.required",
        "`true`: the task fails where its conversation should know what was said before, and knows nothing",
        "it is answered all the same, and `memory` in `<output>_meta` says so",
    ),
    Property("service.timeout", "how long an answer may take, up to `PT1H`", "the assistant's `timeout_seconds`"),
    Property("service.retries", "tries before the incident, 1 to 100", "the worker's setting `RETRIES`"),
    Property("service.retries.delay", "pause between two tries, up to `P1D`", "5 seconds to 5 minutes, at random"),
    Property(
        "service.calls",
        "calls of the model that may be paid for before the incident, repairs included, 1 to 100",
        f"{CALLS}, for each of `data.questions.orders`",
    ),
    Property(
        "data.input",
        "names of process variables, separated by commas; with `?` behind one that may be absent; `-` for none",
        "every variable that can be read",
    ),
    Property(
        "data.output", "name of the result variable", "the activity's ID, `_` for all but letters, digits and `_`"
    ),
    Property("data.output.type", "`Text`, `Json` or `File`", "`Text`; `Json` where there is a schema or a field"),
    Property("data.output.scope", "`local`: results belong to the activity", "they belong to the process instance"),
    Property(
        "data.output.schema",
        "a JSON Schema that the answer has to fit: the name of a file in the same deployment, or the schema itself",
        "the assistant's `output_schema`, if it has one",
    ),
    Property(
        "data.questions",
        "decision questions: the name of a file in the same deployment, or the questions themselves as JSON",
        "the answer is a text, or what its schema says",
    ),
    Property(
        "data.questions.orders",
        f"in how many orders their choices are asked, 1 to {MOST_ORDERS}, each by a call of its own; answers are means",
        "they are asked once",
    ),
    Property(
        "data.input.answers",
        "beside `data.questions`: assistants, separated by commas, whose answers on the instance's own conversations "
        "so far are shown with the inputs",
        "no answer is shown that is no input",
    ),
    Property(
        "service.confidence",
        "the confidence, from 0 to 1, below which an answer to one of `data.questions` is `unsure`",
        "none is too low",
    ),
    Property(
        "service.confidence.uncalibrated",
        "`allow`: answers of a provider that tells no confidence are sure enough",
        "an incident, where they have to have one",
    ),
    Property(
        "data.output.fields",
        "parts of a `Json` answer that become variables of their own, such as `choice, cost=budget.total`",
        "none",
    ),
    Property(
        "record.part",
        "the answer is a part of a decision's record: `frame`, `objectives`, `alternatives`, `weights`, `scores`, "
        "`recommendation`, `dissent` or `pre_mortem`",
        "the answer stands in no record",
    ),
    Property(
        "record.stage",
        "of a `decision-record`: `compute` what its parts come to, `propose` what is to be signed, or `close` it by "
        "what persons did",
        "needed there",
    ),
    Property("record.id", "which record it is, where a process has several: letters, digits and `_`", "the only one"),
    Property(
        "record.scope",
        "`root`: the record is of the process at the top of the callers, with all that it called",
        "of this process instance, with what it called",
    ),
    Property(
        "record.given",
        "of a `decision-record`: parts that persons or the process write into variables, such as "
        "`weights=agreed_weights`, in the form of the part",
        "each part is an assistant's answer",
    ),
    Property(
        "record.signed",
        "of `close`: ids of the persons' tasks that sign, separated by commas",
        "every person's task since the proposal",
    ),
    Property("record.accepted", "of `close`: the variable by which a form says yes, a Boolean", "`accepted`"),
    Property("record.answer", "of `close`: the variable with what else a form says, in a few words", "nothing else"),
    Property(
        "record.text",
        "of a `decision-record`: `true` puts the record as it is read into `<output>_text`, for forms and assistants",
        "the engine is given no words of it",
    ),
    Property(
        "memory.subject",
        "whom something is remembered of beyond the instance: `variable:<name>`, `business-key`, `tenant`, or `-` for "
        "nobody",
        "the assistant's `memory`, else nothing is recalled or remembered",
    ),
    Property(
        "memory.recall",
        f"how many facts about the subject the question shows at most, up to {MOST_RECALLED}; or `off`",
        f"the assistant's, else {RECALLED}",
    ),
    Property("memory.remember", "`false`: the answer is not remembered", "the assistant's, else it is"),
    Property(
        "memory.approve",
        "`true`: a person has to approve what is remembered before it is recalled",
        "the assistant's, else nobody has to",
    ),
    Property(
        "memory.signed",
        "of a `memory-approval`: ids of the persons' tasks whose forms approve, separated by commas; all have to say "
        "yes",
        "needed there",
    ),
    Property(
        "memory.accepted", "of a `memory-approval`: the variable by which a form says yes, a Boolean", "`accepted`"
    ),
    Property(
        "error.<outcome>", "code of the BPMN error to throw for this outcome", "a failure, and in the end an incident"
    ),
)
"""Every property there is. Durations are written as in BPMN timers: `PT90S`, `PT5M`, `P1D`."""

_ERROR = "error."


@dataclass(frozen=True, slots=True)
class TaskProperties:
    """The wishes of one task. None is what the task leaves to the assistant or the settings.

    `inputs` says by name whether a variable has to be there. `schema` is a JSON Schema, or the name of a resource that
    holds one. `fields` maps names of variables to paths in
    the answer; `errors` maps bad outcomes to BPMN error codes. `questions` are decision questions, in place of any
    other form, or the name of a resource that holds them, and `confidence` is what their answers have to have, unless
    nobody weighs those and `uncalibrated` allows it. `suffix` ends the names of an iteration's results. `part` is the
    part of a decision's record that the answer is, empty if it is none. `orders` is how often questions are asked,
    and `heard` names assistants whose earlier answers are shown. `memory` is what it wants of the memory.
    """

    assistant: str
    version: str | None
    sharing: Sharing
    needs_memory: bool
    timeout: timedelta | None
    retries: int | None
    retry_delay: timedelta | None
    calls: int
    inputs: Mapping[str, bool] | None
    output: str
    output_type: ResultType | None
    local: bool
    schema: Mapping[str, Any] | str | None
    fields: Mapping[str, str]
    errors: Mapping[Outcome, str]
    questions: Sequence[DecisionQuestion] | str | None = None
    confidence: float | None = None
    uncalibrated: bool = False
    suffix: str = ""
    part: str = ""
    orders: int = 1
    heard: tuple[str, ...] = ()
    memory: MemoryWish = NO_WISH

    @property
    def own_questions(self) -> Sequence[DecisionQuestion]:
        """The questions that stand in the property itself, as far as they were read; none that stand in a file."""
        return () if self.questions is None or isinstance(self.questions, str) else self.questions


@dataclass(frozen=True, slots=True)
class RecordProperties:
    """The wishes of one task that makes a decision's record.

    `name` tells one record of several, empty for the only one. `given` maps parts to variables that others write.
    `signed` names the persons' tasks that sign it, none for all. `accepted` and `answer` are variables of their forms;
    an empty one is not asked for. `has_text`: the engine is given the record's words.
    """

    stage: Stage
    name: str
    is_of_root: bool
    given: Mapping[str, str]
    signed: frozenset[str]
    accepted: str
    answer: str
    output: str
    fields: Mapping[str, str]
    has_text: bool = False
    retries: int | None = None
    retry_delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ApprovalProperties:
    """The wishes of one task by which persons approve what is remembered.

    `signed` names the persons' tasks whose forms say so, `accepted` the variable by which they do.
    """

    signed: tuple[str, ...]
    accepted: str
    output: str
    fields: Mapping[str, str]
    retries: int | None = None
    retry_delay: timedelta | None = None


def read(
    task: Task, activity: Activity, definition: Definition | None = None, *, with_schema: bool = True
) -> TaskProperties:
    """Read the properties of the fetched task. Raises BadDefinition, which names property and allowed values.

    The definition tells whether another activity would name its result alike. `with_schema`: a schema, or questions,
    that stand in the property are read and checked, which may take seconds; otherwise they stay the text that they are.
    """
    said = {name: value.strip() for name, value in activity.properties.items()}
    _check_fixed(said)
    assistant = _parameter(task, activity, "assistant") or said.get("service.name", "")
    if not assistant:
        raise BadDefinition(
            "the task names no assistant: set the property service.name, or the input parameter assistant"
        )
    assistant = _whole_name(assistant, activity, "service.name")
    local = checked(said, "data.output.scope") == "local"
    iteration = "" if local else _iteration(task, activity)
    part = checked(said, "record.part") or ""
    record_name(said)
    orders = _number(said, "data.questions.orders") or 1
    wanted = TaskProperties(
        assistant=assistant,
        version=said.get("service.version") or None,
        sharing=_sharing(said),
        needs_memory=checked(said, "service.thread.required") == "true",
        timeout=_duration(said, "service.timeout"),
        retries=_number(said, "service.retries"),
        retry_delay=_duration(said, "service.retries.delay"),
        calls=_number(said, "service.calls") or CALLS * orders,
        inputs=declared_inputs(said),
        output=output_name(task.activity_id, said, definition) + iteration,
        output_type=cast("ResultType | None", checked(said, "data.output.type")),
        local=local,
        schema=_schema(said.get("data.output.schema", ""), parsed=with_schema) or _schema_of(part),
        fields={f"{name}{iteration}": path for name, path in _fields(said).items()},
        errors=_errors(said),
        questions=_questions(said.get("data.questions", ""), parsed=with_schema),
        confidence=_share(said, "service.confidence"),
        uncalibrated=checked(said, "service.confidence.uncalibrated") is not None,
        suffix=iteration,
        part=part,
        orders=orders,
        heard=tuple(
            _whole_name(each, activity, "data.input.answers") for each in entries(said.get("data.input.answers", ""))
        ),
        memory=_memory(said),
    )
    check_clashes({**said, "service.name": assistant}, ASSISTANT)
    _check(wanted, activity)
    _check_questions(wanted)
    return wanted


def read_record(task: Task, activity: Activity, definition: Definition | None = None) -> RecordProperties:
    """Read the properties of a fetched task that makes a decision's record. Raises BadDefinition as `read` does."""
    said = {name: value.strip() for name, value in activity.properties.items()}
    _check_fixed(said)
    stage = checked(said, "record.stage")
    if stage is None:
        raise BadDefinition(f"the task says no record.stage; allowed are {', '.join(get_args(Stage))}")
    check_clashes(said, DECISION_RECORD)
    return RecordProperties(
        stage=cast("Stage", stage),
        name=record_name(said),
        is_of_root=checked(said, "record.scope") == "root",
        given=_given(said),
        signed=frozenset(entries(said.get("record.signed", ""))),
        accepted=said.get("record.accepted") or "accepted",
        answer=said.get("record.answer", ""),
        output=output_name(task.activity_id, said, definition) + _iteration(task, activity),
        fields=_fields(said),
        has_text=checked(said, "record.text") == "true",
        retries=_number(said, "service.retries"),
        retry_delay=_duration(said, "service.retries.delay"),
    )


def read_approval(task: Task, activity: Activity, definition: Definition | None = None) -> ApprovalProperties:
    """Read the properties of a fetched task by which persons approve. Raises BadDefinition as `read` does."""
    said = {name: value.strip() for name, value in activity.properties.items()}
    _check_fixed(said)
    check_clashes(said, MEMORY_APPROVAL)
    return ApprovalProperties(
        signed=tuple(dict.fromkeys(entries(said["memory.signed"]))),
        accepted=said.get("memory.accepted") or "accepted",
        output=output_name(task.activity_id, said, definition) + _iteration(task, activity),
        fields=_fields(said),
        retries=_number(said, "service.retries"),
        retry_delay=_duration(said, "service.retries.delay"),
    )


def record_name(said: Mapping[str, str]) -> str:
    """Say which record a task is about, empty for the only one. Raises BadDefinition."""
    return checked(said, "record.id") or ""


def output_name(activity_id: str, said: Mapping[str, str], definition: Definition | None = None) -> str:
    """Name the result variable of an activity; in a loop its iterations' names end in `_` and their number."""
    return said.get("data.output", "").strip() or _result_name(activity_id, definition)


def prompt_parameter(task: Task, activity: Activity) -> str | None:
    """Return the evaluated input parameter `prompt`, None if the task has none.

    A process variable that happens to be called so does not count: the model has to declare the parameter.
    """
    return _parameter(task, activity, "prompt")


def _result_name(activity_id: str, definition: Definition | None) -> str:
    """Name the result after the activity. Of ids that would come to one name, the changed ones get a digest."""
    name = as_name(activity_id)
    if definition is None:
        return name
    own = definition.activities.get(activity_id)
    is_shared = definition.names.get(name, 0) > (own is not None and own.is_ours)
    base = name.removesuffix(META_SUFFIX)
    if (is_shared and name != activity_id) or (base != name and base in definition.names):
        return f"{name}_{sha256(activity_id.encode()).hexdigest()[:6]}"
    return name


def is_of_errors(name: str) -> bool:
    """Whether this property, or row of the table, says what becomes of an outcome."""
    return name.startswith(_ERROR)


def is_named_by(name: str) -> bool:
    """Whether this property names what an answer becomes: variables, or errors."""
    return name in {"data.output", "data.output.fields"} or name.startswith(_ERROR)


def _check_fixed(said: Mapping[str, str]) -> None:
    """Refuse names that were meant to be evaluated: an answer that was paid for would go where nobody looks for it."""
    for name, value in said.items():
        if is_named_by(name) and has_expression(value):
            raise BadDefinition(f"property {name} is {value!r}: it is fixed text, in which no expression is evaluated")


def _check(wanted: TaskProperties, activity: Activity) -> None:
    """Refuse what contradicts itself, and what no engine keeps."""
    for name in (wanted.output + META_SUFFIX, *wanted.fields):
        if java_length(name) > LONGEST_NAME:
            raise BadDefinition(
                f"property data.output: {name[:40]}… has more than the {LONGEST_NAME} characters that engines keep of "
                "a variable's name; take a shorter one"
            )
    taken = {wanted.output, wanted.output + META_SUFFIX} & set(wanted.fields)
    if taken:
        raise BadDefinition(f"property data.output.fields: {min(taken)} is the name of the result itself; take another")
    if activity.loops > 1 and not wanted.local:
        raise BadDefinition(
            "the task is in a loop within a loop, where results at the instance would overwrite each other: make the "
            "inner loop a called process; or, unless the task itself is the inner loop, set the property "
            "data.output.scope to local and take the result over by an output mapping of the task"
        )


def _check_questions(wanted: TaskProperties) -> None:
    """Refuse decision questions that would go into one variable, and orders that cannot be meant so."""
    if wanted.questions is None:
        return
    questions.check_names(wanted.own_questions, wanted.output, wanted.suffix)
    if wanted.calls < wanted.orders:
        raise BadDefinition(
            f"property data.questions.orders is {wanted.orders}, each by a call of its own, and service.calls is "
            f"{wanted.calls}: raise that, or take it out"
        )
    if wanted.own_questions:
        check_orders(wanted.orders, wanted.own_questions)


def check_orders(orders: int, asked: Sequence[DecisionQuestion]) -> None:
    """Refuse orders where there is nothing to put in another one. Raises BadDefinition."""
    if orders > 1 and not any(each.kind == "choice" for each in asked):
        raise BadDefinition(
            f"property data.questions.orders is {orders}, and no question has choices to be put in order: take it out"
        )


def _sharing(said: Mapping[str, str]) -> Sharing:
    """Say whose conversation it is. The answer to questions has no place in any that others go on with."""
    usual = "activity" if said.get("data.questions") else "instance"
    return cast("Sharing", checked(said, "service.thread") or usual)


def _whole_name(said: str, activity: Activity, where: str) -> str:
    """Name an assistant that a task names: one of its deployment has its process in its name. Raises BadDefinition."""
    if not deployed.is_deployed(said):
        return said
    name = deployed.named(said, activity.process)
    if name is None:
        raise BadDefinition(
            f"property {where} is {said[:80]!r}; an assistant of the deployment is named deployment:<name>.md, by "
            "letters, digits, '.', '_' and '-'"
        )
    if java_length(thread_variable_name(name, by_business_key=True)) > LONGEST_NAME:
        raise BadDefinition(
            f"property {where}: {said[:80]!r} and the process's key are together too long for a variable's name; "
            "shorten one"
        )
    return name


def _parameter(task: Task, activity: Activity, name: str) -> str | None:
    if name not in activity.parameters or name not in task.variables:
        return None
    text = rendering.plain(task.variables[name])
    if text is None:
        what = rendering.kind(task.variables[name])
        raise BadDefinition(
            f"the input parameter {name} has to be evaluated to a text, and its value is of type {what}"
        )
    return text.strip()


def _iteration(task: Task, activity: Activity) -> str:
    """Return what keeps the results of a loop's iterations apart at the instance: each of them ends so."""
    looped = activity.loops and LOOP_COUNTER in task.variables
    return f"_{task.variables[LOOP_COUNTER].value}" if looped else ""


def _number(said: Mapping[str, str], name: str) -> int | None:
    value = checked(said, name)
    return None if value is None else int(value)


def _memory(said: Mapping[str, str]) -> MemoryWish:
    """Read what a task wants of the memory."""
    subject, recall = checked(said, "memory.subject"), checked(said, "memory.recall")
    return MemoryWish(
        None if subject is None else subject.removeprefix("-"),
        None if recall is None else int(recall.replace("off", "0")),
        _truth(said, "memory.remember"),
        _truth(said, "memory.approve"),
    )


def subject_flaw(said: str) -> str:
    """Say what is wrong with whom something is to be remembered of; empty if nothing is."""
    form = FORMS["memory.subject"]
    return "" if form.fits(said) else f"allowed are {form.allowed}"


def check_memory(wanted: TaskProperties, usual: MemoryWish) -> MemoryWish:
    """Join it with what is usual for the assistant. Raises BadDefinition for what would mean nothing."""
    own, wish = wanted.memory, wanted.memory.over(usual)
    if not wish.subject:
        parts = {"memory.recall": own.recall, "memory.remember": own.remember, "memory.approve": own.approve}
        for name in (name for name, value in parts.items() if value is not None):
            raise BadDefinition(f"property {name} means nothing without memory.subject: set that, or take it out")
        return NO_WISH
    if wanted.questions is not None and own.remember:
        raise BadDefinition(
            "property memory.remember is 'true', but answers to data.questions are not remembered: take it out"
        )
    if own.approve and wish.remember is False:
        raise BadDefinition("property memory.approve means nothing where memory.remember is 'false': take one out")
    if wish.remember is None:
        wish = replace(wish, remember=True)
    return replace(wish, remember=wish.remember and wanted.questions is None)


def _truth(said: Mapping[str, str], name: str) -> bool | None:
    value = checked(said, name)
    return None if value is None else value == "true"


def _share(said: Mapping[str, str], name: str) -> float | None:
    value = checked(said, name)
    return None if value is None else float(value)


def _duration(said: Mapping[str, str], name: str) -> timedelta | None:
    value = checked(said, name)
    return None if value is None else duration(value)


def _schema(value: str, *, parsed: bool) -> Mapping[str, Any] | str | None:
    if not (parsed and is_inline(value)):
        return value or None
    return parsed_schema(value, "property data.output.schema")


def _questions(value: str, *, parsed: bool) -> Sequence[DecisionQuestion] | str | None:
    if not (parsed and questions.is_inline(value)):
        return value or None
    return questions.read(value, "property data.questions")


@cache
def _schema_of(part: str) -> Mapping[str, Any] | None:
    """Return the published schema of a record's part, which nobody may change; None without a part."""
    return schemas.part(part) if part else None


def is_inline(schema: str) -> bool:
    """Whether this is a schema itself, and not the name of a resource that holds one."""
    return schema.startswith("{")


def parsed_schema(text: str, place: str) -> Mapping[str, Any]:
    """Read a JSON Schema, which nobody may change then. Raises BadDefinition, which names the place.

    Not for the loop.
    """
    read, wrong = _schema_or_flaw(text)
    if wrong:
        raise BadDefinition(f"{place} {wrong}")
    return read


@lru_cache(maxsize=64)  # to check one takes 6 ms to some seconds, and every task brings it
def _schema_or_flaw(text: str) -> tuple[Mapping[str, Any], str]:
    try:
        read = foreign.read(text)
    except ValueError as exc:
        return {}, f"is no JSON: {exc}"
    if flaw := schema.flaw(read):
        return {}, f"is no usable JSON Schema: {flaw}"
    return read, ""


def _fields(said: Mapping[str, str]) -> dict[str, str]:
    """Read `name` and `name=path` entries."""
    return {name: path or name for name, path in _pairs(said, "data.output.fields")}


def _given(said: Mapping[str, str]) -> dict[str, str]:
    """Read `part=variable` entries."""
    return dict(_pairs(said, "record.given"))


def _pairs(said: Mapping[str, str], name: str) -> Iterator[tuple[str, str]]:
    for entry in entries(checked(said, name) or ""):
        first, _, second = entry.partition("=")
        yield first.strip(), second.strip()


def _errors(said: Mapping[str, str]) -> dict[Outcome, str]:
    """Read `error.<outcome>=<BPMN error code>`."""
    codes: dict[Outcome, str] = {}
    for name, code in said.items():
        if not name.startswith(_ERROR):
            continue
        outcome = name.removeprefix(_ERROR)
        if outcome not in BAD_OUTCOMES:
            raise BadDefinition(f"property {name}: unknown outcome; allowed are {', '.join(BAD_OUTCOMES)}")
        if code:
            codes[Outcome(outcome)] = code
    return codes
