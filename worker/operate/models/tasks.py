"""What is wrong with a task for an assistant, as far as its model shows it. Pure."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

from worker.domain.deployed import is_deployed
from worker.domain.tasks import (
    ASSISTANT,
    DECISION_RECORD,
    MEMORY_APPROVAL,
    META_SUFFIX,
    Activity,
    Task,
    Variable,
    has_expression,
)
from worker.errors import BadDefinition, UnknownAssistant
from worker.modelling import properties, questions
from worker.modelling.properties import TaskProperties
from worker.operate.models.rules import DEPLOY, Fault, Rule
from worker.specs.assistants import Specs

_NAMES: Final = [each.name for each in properties.PROPERTIES]
_NAMESPACES: Final = tuple({f"{name.partition('.')[0]}." for name in _NAMES})
NEAR: Final = 0.85
"""Share of letters from which on a name outside of our namespaces is taken for one of ours, such as date.input."""
_KNOWN: Final = f"those that are: {', '.join(_NAMES)}."
_ERRORS: Final = "error."
_KIND: Final = "service.type"
_NAME: Final = "service.name"
_KINDS: Final = (ASSISTANT, DECISION_RECORD, MEMORY_APPROVAL)

MOST_WRONG: Final = 20
"""Values of one task that are named: a model may have any number of properties."""

Wanted = TypeVar("Wanted")


def faults(
    activity: Activity,
    specs: Specs | None,
    caught_outside: frozenset[str] = frozenset(),
    weighing: frozenset[str] | None = frozenset(),
    files: Mapping[str, str] | None = None,
) -> Iterator[Fault]:
    """Name everything that is wrong with a task of ours. Without specs, nothing is said of the assistant.

    `caught_outside` are the codes of errors that calling processes catch, `weighing` the providers that answer decision
    questions alone, None where nobody knows them. `files` are the texts of files that properties name.
    """
    # Only whether there is a prompt: its value may be an expression, and comes when the task is reached.
    if not activity.documentation and "prompt" not in activity.parameters:
        said = "nothing to ask: neither documentation nor an input parameter prompt; an incident when it is reached"
        yield Fault(Rule.NO_QUESTION, said, DEPLOY)
    wanted, wrong = wishes(properties.read, replace(activity, properties={**activity.properties, **(files or {})}))
    yield from wrong
    if wanted is not None:
        is_named = activity.said(_NAME) and "assistant" not in activity.parameters and not is_deployed(wanted.assistant)
        if specs is not None and is_named:
            yield from _unknown(wanted.assistant, wanted.version, specs)
            # What is wrong was left out of what is wanted.
            yield from () if wrong else _unweighed(wanted, specs, weighing)
            yield from () if wrong else _unremembered(wanted, specs)
        yield from _uncaught(wanted, activity.caught | caught_outside)
        if not wrong and not activity.loops and not wanted.local:  # loops number their results
            yield from _overwritten(wanted)
    yield from odd_properties(activity)
    yield from _unevaluated(activity)
    yield from without_async_after(activity)


def wishes(read: Callable[[Task, Activity], Wanted], activity: Activity) -> tuple[Wanted | None, list[Fault]]:
    """Read the properties of a task, and name all that are wrong: what is, is left out of what is read then.

    So many at most: each is found by reading all of them again. None where nothing can be read whatever is left out.
    """
    found: list[Fault] = []
    left_out = set[str]()
    while True:
        try:
            return read(as_fetched(activity), activity), found
        except BadDefinition as exc:
            said = str(exc)
            if left_out & {*re.findall(r"[\w.]+\w", said)}:
                return None, found  # it only follows from what was left out
            named = re.match(r"property ([\w.]+?):? ", said)
            name = named[1] if named else ""
            rule = _rule(said)
            about = _NAME if rule is Rule.NO_ASSISTANT else name
            found.append(Fault(rule, f"{said}; an incident when it is reached", DEPLOY, about))
            if rule is Rule.NO_ASSISTANT and not activity.said(_NAME):
                # So that the rest is looked at as well; nobody asks who this is.
                activity = replace(activity, properties={**activity.properties, _NAME: "nobody"})
                continue
            if name not in activity.properties or len(found) >= MOST_WRONG:
                return None, found
            left_out.add(name)
            kept = {known: value for known, value in activity.properties.items() if known != name}
            activity = replace(activity, properties=kept)


def _rule(said: str) -> Rule:
    """Tell apart what the reader of properties refuses, by the words that it begins with."""
    beginnings = {"the task names no assistant": Rule.NO_ASSISTANT, "the task is in a loop": Rule.LOOP_IN_LOOP}
    return next((rule for words, rule in beginnings.items() if said.startswith(words)), Rule.WRONG_VALUE)


def _uncaught(wanted: TaskProperties, caught: frozenset[str]) -> Iterator[Fault]:
    codes = sorted(set(wanted.errors.values()) - caught)
    if codes and "" not in caught:
        said = (
            f"no event catches the BPMN error {', '.join(codes)}: it would end its path silently, without an incident"
        )
        advice = f"Catch it, here or in the process that calls this one. {DEPLOY}"
        about = next(f"error.{outcome}" for outcome, code in wanted.errors.items() if code == codes[0])
        yield Fault(Rule.UNCAUGHT_ERROR, said, advice, about)


def _unweighed(wanted: TaskProperties, specs: Specs, weighing: frozenset[str] | None) -> Iterator[Fault]:
    """Name a task whose assistant is at a provider of the wrong kind."""
    if weighing is None:
        return
    try:
        provider = specs.find(wanted.assistant, wanted.version).provider
    except UnknownAssistant:
        return
    if wanted.questions is None and provider in weighing:
        said = (
            f"the provider {provider} of its assistant answers decision questions alone; an incident when it is reached"
        )
        yield Fault(Rule.WRONG_PROVIDER, said, f"Set data.questions, or let another assistant answer. {DEPLOY}")
    if wanted.orders > 1 and provider not in weighing:
        said = f"the provider {provider} of its assistant tells no probabilities; an incident when it is reached"
        advice = "Let its assistant ask a provider of api decisions or systemone, or take data.questions.orders out."
        yield Fault(Rule.WRONG_PROVIDER, said, f"{advice} {DEPLOY}")
    has_bar = wanted.confidence is not None or any(each.confidence is not None for each in wanted.own_questions)
    if has_bar and not wanted.uncalibrated and provider not in weighing:
        said = f"the provider {provider} of its assistant tells no confidence; an incident when it is reached"
        advice = "Let its assistant ask a provider of api decisions or systemone, or take service.confidence out."
        yield Fault(Rule.WRONG_PROVIDER, said, f"{advice} {DEPLOY}")


def _unremembered(wanted: TaskProperties, specs: Specs) -> Iterator[Fault]:
    """Name wishes for the memory that mean nothing."""
    try:
        properties.check_memory(wanted, specs.find(wanted.assistant, wanted.version).memory)
    except UnknownAssistant:
        return
    except BadDefinition as exc:
        yield Fault(Rule.WRONG_VALUE, f"{exc}; an incident when it is reached", DEPLOY, "memory.subject")


def _overwritten(wanted: TaskProperties) -> Iterator[Fault]:
    answers = {name for each in wanted.own_questions for name in questions.names(each, wanted.suffix)}
    results = {wanted.output, wanted.output + META_SUFFIX, *wanted.fields, *answers}
    if names := sorted(results & set(wanted.inputs or ())):
        said = f"its result overwrites its own input {', '.join(names)}, which nobody can look up then"
        advice = "Give the result a name of its own (data.output), unless this is meant."
        yield Fault(Rule.OVERWRITTEN_INPUT, said, advice, "data.input")


def of_file(said: str, kind: str, rule: Rule) -> Fault:
    """Name what is wrong with a file that the property `kind` names."""
    return Fault(rule, f"{said}; an incident when it is reached", DEPLOY, kind)


def strange(activity: Activity, specs: Specs | None) -> Iterator[Fault]:
    """Name what makes a task that is not ours look as if it was meant to be."""
    name = activity.said("service.name")
    kind = activity.properties.get(_KIND)
    misspelt = _misspelt_kind(activity)
    if kind is None and misspelt:
        yield misspelt
    elif specs is not None and name in {each.name for each in specs.assistants}:
        found = "no service.type" if kind is None else f"the service.type {kind!r}"
        said = f"it names the assistant {name}, but has {found}: this worker leaves it to others"
        yield _left_alone(said, _NAME if kind is None else _KIND)
    elif misspelt:
        yield misspelt
    elif kind is None and _KIND in activity.parameters:
        said = f"its {_KIND} is an input parameter, and only extension properties are read: this worker leaves it alone"
        yield _left_alone(said, _KIND)
    # Others may call a property so. Two such names are hardly a chance.
    elif specs is None and name and kind is None and any(each in _NAMES for each in {*activity.properties} - {_NAME}):
        said = f"it names an assistant, {name}, but has no service.type: this worker leaves it to others"
        yield _left_alone(said, _NAME)


def _misspelt_kind(activity: Activity) -> Fault | None:
    """Name a property that was meant to say whose task this is, by its name or its value."""
    for name, value in activity.properties.items():
        if not difflib.get_close_matches(value.strip().lower(), _KINDS, n=1, cutoff=NEAR):
            continue
        if name == _KIND:
            return _left_alone(f"its service.type is {value!r}, which nobody knows: this worker leaves it alone", name)
        if difflib.get_close_matches(name.strip().lower(), (_KIND,), cutoff=NEAR):
            said = f"its property {name!r} is not one that is read, and was meant for service.type"
            return _left_alone(f"{said}: this worker leaves it alone", name)
    return None


def _left_alone(said: str, about: str) -> Fault:
    advice = f"If it is for the assistant, set service.type to assistant. {DEPLOY}"
    return Fault(Rule.LEFT_ALONE, said, advice, about)


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
    if has_expression(version or ""):  # which is told of the property
        return
    try:
        specs.find(name, version)
    except UnknownAssistant as exc:
        advice = f"Add its spec to ASSISTANTS_DIR; or: {DEPLOY[0].lower()}{DEPLOY[1:]}"
        yield Fault(Rule.UNKNOWN_ASSISTANT, str(exc), advice, "service.name")


def without_async_after(activity: Activity) -> Iterator[Fault]:
    """Name what makes a completion depend on the step behind it."""
    if not activity.async_after:
        said = (
            "no asyncAfter: if the step behind it is broken, completing this task fails, though its answer is fine; "
            "and where branches join, completions collide and have to be repeated"
        )
        advice = 'Tick "Asynchronous continuations: After" in Camunda Modeler (camunda:asyncAfter="true") and deploy.'
        yield Fault(Rule.NO_ASYNC_AFTER, said, advice)


def nameless(activity: Activity) -> Iterator[Fault]:
    """Name a property without a name, whosever task it is: it is an obstacle to other kinds of workers."""
    if activity.nameless:
        said = (
            "a property without a name, which nobody can read. This worker does not mind; others that fetch extension "
            "properties get no task at all while one of these waits on their topics"
        )
        yield Fault(Rule.NAMELESS_PROPERTY, said, f"Name the property, or take it out. {DEPLOY}")


def odd_properties(activity: Activity) -> Iterator[Fault]:
    """Name properties that nobody reads, and values that nobody evaluates."""
    for name, value in activity.properties.items():
        meant = name.strip().lower()
        if not (meant.startswith(_NAMESPACES) or _is_near(meant)):
            continue
        if name not in _NAMES and not name.startswith(_ERRORS):
            yield Fault(Rule.UNREAD_PROPERTY, f"property {_shown(name)} is not one that is read", _hint(meant), name)
        elif not properties.is_named_by(name) and has_expression(value):
            said = f"property {name} holds an expression, which nobody evaluates"
            advice = "Write fixed text; what is to be evaluated goes into the input parameters prompt and assistant."
            yield Fault(Rule.EXPRESSION, said, advice, name)


@lru_cache(maxsize=1024)  # tasks have the same names, and to compare one with all of ours takes a while
def _is_near(name: str) -> bool:
    return bool(difflib.get_close_matches(name, _NAMES, n=1, cutoff=NEAR))


def _hint(meant: str) -> str:
    is_one = meant in _NAMES or meant.startswith(_ERRORS)
    close = [meant] if is_one else difflib.get_close_matches(meant, _NAMES, n=1)
    return f"Correct its name; {f'did you mean {close[0]}?' if close else _KNOWN}"


def _shown(name: str) -> str:
    """Show a name; in quotes where blanks around it would not be seen."""
    return name if name == name.strip() else repr(name)


def _unevaluated(activity: Activity) -> Iterator[Fault]:
    """Name a question that was meant to be evaluated. With a prompt nobody reads the documentation."""
    if has_expression(activity.documentation) and "prompt" not in activity.parameters:
        said = "its documentation holds an expression, which nobody evaluates: the assistant reads it as it stands"
        advice = "Move the question into an input parameter prompt, which the engine evaluates, or write fixed text."
        yield Fault(Rule.EXPRESSION, said, advice)
