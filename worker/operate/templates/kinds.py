"""The element templates of tasks, one for each kind of task, made of the table of properties. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.domain.threads import Outcome
from worker.modelling import properties
from worker.modelling.properties import BAD_OUTCOMES, CHOICES, PROPERTIES, Property
from worker.runtime.version import VERSION

APPLIES_TO: Final = ("bpmn:ServiceTask", "bpmn:SendTask", "bpmn:BusinessRuleTask")
"""What has a topic. Message events have it one level below, where no template reaches."""
_TYPE: Final = "service.type"
_RECORDS: Final = frozenset(
    {"data.output", "data.output.fields", "service.retries", "service.retries.delay", "record.id"}
)
"""What tasks that make records read besides the properties that are of them alone."""
_OF_RECORDS: Final = frozenset(
    f"record.{each}" for each in ("stage", "scope", "given", "signed", "accepted", "answer", "text")
)
_OF_APPROVALS: Final = frozenset({"memory.signed", "memory.accepted"})
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


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task. `without` are properties that it does not have, `only` those that it has, all others if none.

    `needed` are those without which it is an incident; `left_out` are choices that contradict what it is.
    """

    id: str
    name: str
    description: str
    service_type: str
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
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
        without=_OF_QUESTIONS | _OF_STRUCTURES | _OF_RECORDS | _OF_APPROVALS,
    ),
    Kind(
        "structured-answer",
        "Assistant: structured answer",
        "An assistant answers the task's documentation in JSON that fits a schema; parts of it become variables.",
        "assistant",
        without=_OF_QUESTIONS | _OF_RECORDS | _OF_APPROVALS,
        left_out={"data.output.type": "Text"},
    ),
    Kind(
        "decision-questions",
        "Assistant: decision questions",
        "An assistant answers closed questions, and says how sure it is where its provider can tell.",
        "assistant",
        without=_OF_STRUCTURES | _OF_RECORDS | _OF_THREADS | _OF_APPROVALS,
        needed=frozenset({"data.questions"}),
    ),
    Kind(
        "decision-record",
        "Decision record",
        "Puts a decision's record together, of what assistants and persons have said. No assistant is asked.",
        "decision-record",
        only=_RECORDS | _OF_RECORDS,
        needed=frozenset({"record.stage"}),
    ),
    Kind(
        "memory-approval",
        "Memory approval",
        "Approves, or refuses, what is proposed to be remembered, as persons' forms said. No assistant is asked.",
        "memory-approval",
        only=_RECORDS - {"record.id"} | _OF_APPROVALS,
        needed=frozenset({"memory.signed"}),
    ),
)


def template(kind: Kind, names: Sequence[str] | None) -> dict[str, Any]:
    """Make the template of a kind of task. `names` are the assistants to choose from, None where any may be written."""
    fields = [_field(kind, row, name, names) for row in PROPERTIES for name in _names(row) if kind.has(name)]
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
            *({"id": each, "label": _GROUPS.get(each, each.capitalize())} for each in used),
        ],
        "properties": [*_frame(kind), *fields],
    }


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
    made: dict[str, Any] = {
        "label": name,
        "description": _described(row, is_needed=is_needed),
        "type": "String",  # of one line, even for JSON: Modeler takes no Text for an extension property
        "group": name.partition(".")[0],
        "binding": {"type": "camunda:property", "name": name},
    }
    choices = [each for each in CHOICES.get(name, ()) if each != kind.left_out.get(name)]
    if name == "service.name" and assistants is not None:
        choices = [*assistants]
    if choices:
        usual = [] if is_needed else [{"name": f"({_plain(row.absent)})", "value": ""}]
        made["type"] = "Dropdown"
        made["choices"] = [*usual, *({"name": each, "value": each} for each in choices)]
        made["value"] = made["choices"][0]["value"]
    if is_needed:
        made["constraints"] = {"notEmpty": True}
    return made


def _described(row: Property, *, is_needed: bool) -> str:
    values = _plain(row.values)
    said = f"{values[:1].upper()}{values[1:]}."
    return said if is_needed else f"{said} Empty: {_plain(row.absent)}."


def _plain(text: str) -> str:
    """Write words of the table for a panel, which shows no Markdown and takes what stands in <> for a tag."""
    return re.sub(r"<(\w+)>", r"[\1]", text).replace("`", "")
