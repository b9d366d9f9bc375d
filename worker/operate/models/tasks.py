"""What is wrong with a deployed task for an assistant, as far as the model shows it. Pure."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.domain.tasks import META_SUFFIX, Activity, Task, Variable, has_expression
from worker.errors import BadDefinition, UnknownAssistant
from worker.modelling import properties, questions
from worker.modelling.properties import TaskProperties
from worker.operate.doctor.checks import Level
from worker.specs.assistants import Specs

_NAMES = [each.name for each in properties.PROPERTIES]
_NAMESPACES = ("service.", "data.", "record.", "error.")
DEPLOY = "Correct the model and deploy it; migrate or restart the instances of this version that get there."


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one task. Equal for every task that is wrong in the same way."""

    level: Level
    said: str
    advice: str


def faults(
    activity: Activity,
    specs: Specs | None,
    caught_outside: frozenset[str] = frozenset(),
    weighing: frozenset[str] = frozenset(),
) -> Iterator[Fault]:
    """Name everything that is wrong with a task of ours. Without specs, nothing is said of the assistant.

    `caught_outside` are the codes of errors that calling processes catch, `weighing` the providers that answer decision
    questions alone.
    """
    # Only whether there is a prompt: its value may be an expression, and comes when the task is reached.
    if not activity.documentation and "prompt" not in activity.parameters:
        said = "nothing to ask: neither documentation nor an input parameter prompt; an incident when it is reached"
        yield Fault(Level.PROBLEM, said, DEPLOY)
    try:
        wanted = properties.read(as_fetched(activity), activity)
    except BadDefinition as exc:
        yield Fault(Level.PROBLEM, f"{exc}; an incident when it is reached", DEPLOY)
    else:
        if specs is not None and "assistant" not in activity.parameters:
            yield from _unknown(wanted.assistant, wanted.version, specs)
            yield from _unweighed(wanted, specs, weighing)
        yield from _uncaught(wanted, activity.caught | caught_outside)
        if not activity.loops and not wanted.local:  # loops number their results
            yield from _overwritten(wanted)
    yield from odd_properties(activity)
    yield from without_async_after(activity)


def _uncaught(wanted: TaskProperties, caught: frozenset[str]) -> Iterator[Fault]:
    codes = sorted(set(wanted.errors.values()) - caught)
    if codes and "" not in caught:
        said = (
            f"no event catches the BPMN error {', '.join(codes)}: it would end its path silently, without an incident"
        )
        yield Fault(Level.WARNING, said, f"Catch it, here or in the process that calls this one. {DEPLOY}")


def _unweighed(wanted: TaskProperties, specs: Specs, weighing: frozenset[str]) -> Iterator[Fault]:
    """Name a task whose assistant is at a provider of the wrong kind."""
    try:
        provider = specs.find(wanted.assistant, wanted.version).provider
    except UnknownAssistant:
        return
    if wanted.questions is None and provider in weighing:
        said = (
            f"the provider {provider} of its assistant answers decision questions alone; an incident when it is reached"
        )
        yield Fault(Level.PROBLEM, said, f"Set data.questions, or let another assistant answer. {DEPLOY}")
    if wanted.orders > 1 and provider not in weighing:
        said = f"the provider {provider} of its assistant tells no probabilities; an incident when it is reached"
        advice = "Let its assistant ask a provider of api decisions or systemone, or take data.questions.orders out."
        yield Fault(Level.PROBLEM, said, f"{advice} {DEPLOY}")
    has_bar = wanted.confidence is not None or any(each.confidence is not None for each in wanted.own_questions)
    if has_bar and not wanted.uncalibrated and provider not in weighing:
        said = f"the provider {provider} of its assistant tells no confidence; an incident when it is reached"
        advice = "Let its assistant ask a provider of api decisions or systemone, or take service.confidence out."
        yield Fault(Level.PROBLEM, said, f"{advice} {DEPLOY}")


def _overwritten(wanted: TaskProperties) -> Iterator[Fault]:
    answers = {name for each in wanted.own_questions for name in questions.names(each, wanted.suffix)}
    results = {wanted.output, wanted.output + META_SUFFIX, *wanted.fields, *answers}
    if names := sorted(results & set(wanted.inputs or ())):
        said = f"its result overwrites its own input {', '.join(names)}, which nobody can look up then"
        yield Fault(Level.WARNING, said, "Give the result a name of its own (data.output), unless this is meant.")


def of_file(said: str, *, is_known: bool) -> Fault:
    """Name what is wrong with a deployed file that a property names, or why it cannot be looked at."""
    if is_known:
        return Fault(Level.PROBLEM, f"{said}; an incident when it is reached", DEPLOY)
    return Fault(Level.UNKNOWN, said, "")


def strange(activity: Activity, specs: Specs | None) -> Iterator[Fault]:
    """Name what makes a task that is not ours look as if it was meant to be."""
    name = activity.said("service.name")
    if specs is None or name not in {each.name for each in specs.assistants}:
        return
    kind = activity.properties.get("service.type")
    found = "no service.type" if kind is None else f"the service.type {kind!r}"
    said = f"it names the assistant {name}, but has {found}: this worker leaves it to others"
    yield Fault(Level.WARNING, said, f"If it is for the assistant, set service.type to assistant. {DEPLOY}")


def as_fetched(activity: Activity) -> Task:
    """Make the task as it would come, every input parameter with some value."""
    return Task(
        id="",
        topic=activity.topic,
        activity_id=activity.id,
        process_instance_id="",
        process_definition_id="",
        process_definition_key="",
        execution_id="",
        created_at=datetime.fromtimestamp(0, UTC),
        fetched_at=0.0,
        variables={name: Variable("evaluated when the task is reached") for name in activity.parameters},
    )


def _unknown(name: str, version: str | None, specs: Specs) -> Iterator[Fault]:
    try:
        specs.find(name, version)
    except UnknownAssistant as exc:
        advice = f"Add its spec to ASSISTANTS_DIR; or: {DEPLOY[0].lower()}{DEPLOY[1:]}"
        yield Fault(Level.PROBLEM, str(exc), advice)


def without_async_after(activity: Activity) -> Iterator[Fault]:
    """Name what makes a completion depend on the step behind it."""
    if not activity.async_after:
        said = (
            "no asyncAfter: if the step behind it is broken, completing this task fails, though its answer is fine; "
            "and where branches join, completions collide and have to be repeated"
        )
        advice = 'Tick "Asynchronous continuations: After" in Camunda Modeler (camunda:asyncAfter="true") and deploy.'
        yield Fault(Level.WARNING, said, advice)


def nameless(activity: Activity) -> Iterator[Fault]:
    """Name a property without a name, whosever task it is: it is an obstacle to other kinds of workers."""
    if activity.nameless:
        said = (
            "a property without a name, which nobody can read. This worker does not mind; others that fetch extension "
            "properties get no task at all while one of these waits on their topics"
        )
        yield Fault(Level.WARNING, said, f"Name the property, or take it out. {DEPLOY}")


def odd_properties(activity: Activity) -> Iterator[Fault]:
    """Name properties that nobody reads, and values that nobody evaluates."""
    for name, value in activity.properties.items():
        if not name.startswith(_NAMESPACES):
            continue
        if not name.startswith("error.") and name not in _NAMES:
            close = difflib.get_close_matches(name, _NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"those that are: {', '.join(_NAMES)}."
            yield Fault(Level.WARNING, f"property {name} is not one that is read", f"Correct its name; {hint}")
        elif not properties.is_named_by(name) and has_expression(value):
            said = f"property {name} holds an expression, which nobody evaluates"
            advice = "Write fixed text; what is to be evaluated goes into the input parameters prompt and assistant."
            yield Fault(Level.WARNING, said, advice)
