"""The element templates of tasks, one for each kind of task, made of the table of properties. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.domain.threads import Outcome
from worker.modelling import properties
from worker.modelling.forms import APPROVALS_ALONE, APPROVALS_TOO, CHOICES, RECORDS_ALONE, RECORDS_TOO
from worker.modelling.properties import BAD_OUTCOMES, PROPERTIES, Property
from worker.runtime.version import VERSION

APPLIES_TO: Final = ("bpmn:ServiceTask", "bpmn:SendTask", "bpmn:BusinessRuleTask")
"""What has a topic. Message events have it one level below, where no template reaches."""
_TYPE: Final = "service.type"
_NAME: Final = "service.name"
_OF_QUESTIONS: Final = frozenset(
    {
        "data.questions",
        "data.questions.orders",
        "data.input.answers",
        "service.confidence",
        "service.confidence.uncalibrated",
        f"error.{Outcome.UNSURE}",
    }
)
_OF_STRUCTURES: Final = frozenset({"data.output.schema", "data.output.fields", "record.part", "record.id"})
_OF_THREADS: Final = frozenset({"service.thread", "service.thread.required", "data.output.type"})
"""What has no place beside decision questions."""
_GROUPS: Final = {
    "service": "Assistant",
    "data": "Inputs and result",
    "record": "Decision record",
    "memory": "Memory",
    "error": "BPMN errors by outcome",
}
TITLES: Final[Mapping[str, str]] = {
    "service.name": "Assistant",
    "service.version": "Version",
    "service.thread": "Conversation",
    "service.thread.required": "Has to know what was said",
    "service.timeout": "Longest time for an answer",
    "service.retries": "Tries",
    "service.retries.delay": "Pause between tries",
    "service.calls": "Most calls of the model",
    "service.confidence": "Least confidence",
    "service.confidence.uncalibrated": "Without a confidence",
    "data.input": "Inputs",
    "data.input.answers": "Earlier answers of",
    "data.output": "Result variable",
    "data.output.type": "Type of the result",
    "data.output.scope": "Where the result belongs",
    "data.output.schema": "JSON Schema",
    "data.output.fields": "Fields of the answer",
    "data.questions": "Questions",
    "data.questions.orders": "Orders of the choices",
    "record.part": "Part",
    "record.stage": "Stage",
    "record.id": "Record",
    "record.scope": "Whose record",
    "record.given": "Parts from variables",
    "record.signed": "Tasks that sign",
    "record.accepted": "Variable that says yes",
    "record.answer": "Variable with the answer",
    "record.text": "Text for forms",
    "memory.subject": "About whom",
    "memory.recall": "Facts that are shown",
    "memory.remember": "Remember the answer",
    "memory.approve": "Only what is approved",
    "memory.signed": "Tasks that approve",
    "memory.accepted": "Variable that says remember",
} | {f"error.{each}": each.replace("_", " ").capitalize() for each in BAD_OUTCOMES}
"""What fields are called. Their properties' names stand behind it: incidents and pages go by these."""
_NOT_SET: Final = "(not set)"
_LONGEST_CHOICE: Final = 40
"""Characters of a choice that a panel shows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task. `without` are properties that it does not have, `only` those that it has, all others if none.

    `needed` are those without which it is an incident; they stand first, and then what it is `about`. `left_out` are
    choices that contradict what it is.
    """

    id: str
    name: str
    description: str
    service_type: str
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether its tasks may say this."""
        return name != _TYPE and name not in self.without and (not self.only or name in self.only)


KINDS: Final = (
    Kind(
        "task",
        "Assistant: task",
        "An assistant answers the task's documentation in words.",
        "assistant",
        without=_OF_QUESTIONS | _OF_STRUCTURES | RECORDS_ALONE | APPROVALS_ALONE,
    ),
    Kind(
        "structured-answer",
        "Assistant: structured answer",
        "An assistant answers the task's documentation in JSON that fits a schema; parts of it become variables.",
        "assistant",
        without=_OF_QUESTIONS | RECORDS_ALONE | APPROVALS_ALONE,
        about=frozenset({"data.output.schema", "data.output.fields"}),
        left_out={"data.output.type": "Text"},
    ),
    Kind(
        "decision-questions",
        "Assistant: decision questions",
        "An assistant answers closed questions, and says how sure it is where its provider can tell.",
        "assistant",
        without=_OF_STRUCTURES | RECORDS_ALONE | APPROVALS_ALONE | _OF_THREADS,
        needed=frozenset({"data.questions"}),
    ),
    Kind(
        "decision-record",
        "Decision record",
        "Puts a decision's record together, of what assistants and persons have said. No assistant is asked.",
        "decision-record",
        only=RECORDS_TOO | RECORDS_ALONE,
        needed=frozenset({"record.stage"}),
    ),
    Kind(
        "memory-approval",
        "Memory approval",
        "Approves, or refuses, what is proposed to be remembered, as persons' forms said. No assistant is asked.",
        "memory-approval",
        only=APPROVALS_TOO | APPROVALS_ALONE,
        needed=frozenset({"memory.signed"}),
    ),
)


def template(kind: Kind, names: Sequence[str] | None) -> dict[str, Any]:
    """Make the template of a kind of task. `names` are the assistants to choose from, None where any may be written."""
    rows = [(row, name) for row in PROPERTIES for name in _names(row) if kind.has(name)]
    first = kind.needed | kind.about | {_NAME}
    fields = [_field(kind, row, name, names) for row, name in sorted(rows, key=lambda each: each[1] not in first)]
    used = dict.fromkeys(each["group"] for each in fields)
    return {
        "name": kind.name,
        "id": f"assistant-worker.{kind.id}",
        "version": version(VERSION),
        "description": kind.description,
        "appliesTo": [*APPLIES_TO],
        "entriesVisible": True,
        "groups": [
            {"id": "task", "label": "External task"},
            *({"id": each, "label": _group(kind, each)} for each in used),
        ],
        "properties": [*_frame(kind), *fields],
    }


def _group(kind: Kind, prefix: str) -> str:
    """Say what a group of fields is called."""
    if prefix == "service" and not kind.has(_NAME):
        return "Tries"
    return _GROUPS.get(prefix, prefix.capitalize())


def version(text: str) -> int:
    """Count a version of the worker, so that a later one is higher: Modeler offers it in an earlier one's place."""
    parts = [*map(int, re.findall(r"\d+", text)[:3]), 0, 0, 0]
    return (parts[0] * 1000 + parts[1]) * 1000 + parts[2]


def _frame(kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield what makes an external task of it."""
    yield {"type": "Hidden", "value": "external", "binding": {"type": "property", "name": "camunda:type"}}
    yield {
        "label": "Topic",
        "description": "A name of your own, that no other workers serve.",
        "type": "String",
        "group": "task",
        "binding": {"type": "property", "name": "camunda:topic"},
        "constraints": {"notEmpty": True},
    }
    yield {
        "label": "Asynchronous after",
        "description": "The step behind it cannot undo its completion.",
        "type": "Boolean",
        "value": True,
        "group": "task",
        "binding": {"type": "property", "name": "camunda:asyncAfter"},
    }
    yield {"type": "Hidden", "value": kind.service_type, "binding": {"type": "camunda:property", "name": _TYPE}}


def _names(row: Property) -> Sequence[str]:
    """Name the properties of a row: of errors there is one for each outcome."""
    return [f"error.{each}" for each in BAD_OUTCOMES] if properties.is_of_errors(row.name) else [row.name]


def _field(kind: Kind, row: Property, name: str, assistants: Sequence[str] | None) -> dict[str, Any]:
    is_needed = name in kind.needed
    choices = [each for each in CHOICES.get(name, ()) if each != kind.left_out.get(name)]
    if name == _NAME and assistants is not None:
        choices = [*assistants]
    unset = _unset(row) if choices and not is_needed else ""
    made: dict[str, Any] = {
        "label": f"{TITLES[name]} ({name})" if name in TITLES else name,
        "description": _described(row, is_told=is_needed or unset not in {"", _NOT_SET}),
        "type": "String",  # of one line, even for JSON: Modeler takes no Text for an extension property
        "group": name.partition(".")[0],
        "binding": {"type": "camunda:property", "name": name},
    }
    if choices:
        made["type"] = "Dropdown"
        made["choices"] = [{"name": each, "value": each} for each in choices]
        if unset:
            made["choices"].insert(0, {"name": unset, "value": ""})
        made["value"] = made["choices"][0]["value"]
    if is_needed:
        made["constraints"] = {"notEmpty": True}
    return made


def _unset(row: Property) -> str:
    """Say in a list of choices what holds without one; a panel cuts what is long."""
    absent = _plain(row.absent)
    return f"({absent})" if len(absent) <= _LONGEST_CHOICE else _NOT_SET


def _described(row: Property, *, is_told: bool) -> str:
    """Say what a property holds, and what holds without it unless that is told already."""
    said = f"{_sentence(row.values.removeprefix('of a `decision-record`: '))}."
    if is_told:
        return said
    rest = _sentence(row.absent) if row.absent.startswith("needed") else f"Empty: {_plain(row.absent)}"
    return f"{said} {rest}."


def _sentence(text: str) -> str:
    """Begin with a capital, but for what stands there as it is to be written."""
    plain = _plain(text)
    return plain if text.startswith("`") else f"{plain[:1].upper()}{plain[1:]}"


def _plain(text: str) -> str:
    """Write words of the table for a panel, which shows no Markdown and takes what stands in <> for a tag."""
    return re.sub(r"<(\w+)>", r"[\1]", text).replace("`", "")
