"""Twenty-three mistakes that people make in models: each is one change of a sound one, and what comes of it.

Lint, its plugin for modelers and real engines are held against this table, and `docs/linting.md` shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.operate.models.rules import Rule

MODEL: Final = "offer.bpmn"
SCHEMA: Final = "review.schema.json"
ANALYST: Final = """---
name: analyst
version: "1.0"
model: gpt-5-mini
---
Be brief.
"""


def prop(name: str, value: str) -> str:
    return f'<camunda:property name="{name}" value="{value}" />'


TYPE: Final = prop("service.type", "assistant")
READS: Final = prop("data.input", "offer, good")
QUESTION: Final = "Say whether we take it."
RESULT: Final = prop("data.output", "recommendation")
ON: Final = '<bpmn:sequenceFlow id="on" sourceRef="recommend" targetRef="end" />'
FILES: Final[Mapping[str, str]] = {
    MODEL: f"""<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="test"
                  xmlns:camunda="http://camunda.org/schema/1.0/bpmn" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <bpmn:error id="no_review" errorCode="NO_REVIEW" />
  <bpmn:process id="offer_process" isExecutable="true" camunda:historyTimeToLive="P1D">
    <bpmn:startEvent id="start">
      <bpmn:extensionElements><camunda:formData>
        <camunda:formField id="offer" type="string" />
        <camunda:formField id="salary" type="string" />
      </camunda:formData></bpmn:extensionElements>
    </bpmn:startEvent>
    <bpmn:serviceTask id="review" name="Review" camunda:type="external" camunda:topic="reviews"
                      camunda:asyncAfter="true">
      <bpmn:documentation>What does the offer lack?</bpmn:documentation>
      <bpmn:extensionElements><camunda:properties>
        {TYPE}
        {prop("service.name", "analyst")}
        {prop("data.input", "offer")}
        {prop("data.output", "review")}
        {prop("data.output.schema", SCHEMA)}
        {prop("data.output.fields", "good")}
        {prop("service.timeout", "PT5M")}
        {prop("error.refused", "NO_REVIEW")}
      </camunda:properties></bpmn:extensionElements>
    </bpmn:serviceTask>
    <bpmn:boundaryEvent id="refused" attachedToRef="review"><bpmn:errorEventDefinition errorRef="no_review" />
    </bpmn:boundaryEvent>
    <bpmn:serviceTask id="recommend" name="Recommend" camunda:type="external" camunda:topic="recommendations"
                      camunda:asyncAfter="true">
      <bpmn:documentation>{QUESTION}</bpmn:documentation>
      <bpmn:extensionElements><camunda:properties>
        {TYPE}
        {prop("service.name", "analyst")}
        {READS}
        {RESULT}
      </camunda:properties></bpmn:extensionElements>
    </bpmn:serviceTask>
    <bpmn:endEvent id="given_up" />
    <bpmn:endEvent id="end" />
    <bpmn:sequenceFlow id="begins" sourceRef="start" targetRef="review" />
    <bpmn:sequenceFlow id="reviewed" sourceRef="review" targetRef="recommend" />
    <bpmn:sequenceFlow id="gives_up" sourceRef="refused" targetRef="given_up" />
    {ON}
  </bpmn:process>
</bpmn:definitions>
""",
    SCHEMA: '{"type": "object", "required": ["good"], "properties": {"good": {"type": "boolean"}}}\n',
}
"""Sound: the names of its process and topics are replaced where several are deployed beside each other."""
NAMES: Final = ("offer_process", "reviews", "recommendations")
SALARY: Final = "4711 EUR"
"""A variable that no step is to be shown; what is offered says which mistake it is about."""
TAKEN: Final = "We take it."
"""What the second step is answered; the first one that the offer is good."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine does not take the model; its message has this in it."""

    said: str


@dataclass(frozen=True, slots=True)
class NothingToStart:
    """The engine takes the file, and has no process by it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The step fails, with this in its message: an incident, unless not `at_once`; then it has retries left."""

    activity: str
    said: str
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Waits:
    """Nobody takes the step, and nobody says so."""

    activity: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The instance ends as if all was well. `has` are variables, `lacks` names of some, `asked` is in a question.

    `ended_at`: the event that ends it, empty where none does. `rounds`: it does not end, and has asked so often.
    """

    has: Mapping[str, object] = field(default_factory=dict)
    lacks: str = ""
    asked: str = ""
    ended_at: str = "end"
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Mistake:
    """What stands in the place of what, which rule names it at which element and line, and what an engine does.

    `effect` is that in words. `refuses`: the assistant refuses to answer. `again`: its reviews find nothing good.
    """

    changes: Mapping[str, str]
    rule: Rule
    element: str
    line: str
    on_engine: Refused | NothingToStart | Failure | Waits | Silent
    effect: str
    file: str = MODEL
    encoding: str = "utf-8"
    refuses: bool = False
    again: bool = False

    @property
    def files(self) -> dict[str, str]:
        """The model with this mistake, and what lies beside it."""
        found = dict(FILES)
        for before, after in self.changes.items():
            assert found[self.file].count(before) == 1, before
            found[self.file] = found[self.file].replace(before, after)
        return found

    def write(self, folder: Path, **names: str) -> None:
        """Write the files; `names` replace those of process and topics."""
        for file, text in self.files.items():
            made = text
            for old, new in names.items():
                made = made.replace(f'"{old}"', f'"{new}"')
            (folder / file).write_bytes(made.encode(self.encoding if file == self.file else "utf-8"))


OTHERS: Final = '<bpmn:serviceTask id="mail" camunda:type="external" camunda:topic="reviews" />'
BACK: Final = """<bpmn:exclusiveGateway id="enough" default="on" />
    <bpmn:sequenceFlow id="decides" sourceRef="recommend" targetRef="enough" />
    <bpmn:sequenceFlow id="again" sourceRef="enough" targetRef="review">
      <bpmn:conditionExpression xsi:type="bpmn:tFormalExpression">${!good}</bpmn:conditionExpression>
    </bpmn:sequenceFlow>
    """ + ON.replace('"recommend"', '"enough"')
BROKEN: Final = """<bpmn:exclusiveGateway id="chosen" default="nobody" />
    <bpmn:sequenceFlow id="nobody" sourceRef="chosen" targetRef="given_up" />
    <bpmn:sequenceFlow id="chooses" sourceRef="recommend" targetRef="chosen" />
    <bpmn:sequenceFlow id="on" sourceRef="chosen" targetRef="end">
      <bpmn:conditionExpression xsi:type="bpmn:tFormalExpression">${nobody_sets_it == 'us'}</bpmn:conditionExpression>
    </bpmn:sequenceFlow>"""
NAMED: Final = f"{prop('service.name', 'analyst')}\n        {READS}"
RECOMMENDATIONS: Final = 'camunda:topic="recommendations"\n                     '
TYPICAL: Final[Mapping[str, Mistake]] = {
    "a property's name misspelt": Mistake(
        {RESULT: prop("data.outputs", "recommendation")},
        Rule.UNREAD_PROPERTY,
        "recommend",
        prop("data.outputs", "recommendation"),
        Silent({"recommend": TAKEN}, lacks="recommendation"),
        "ends; the result is in a variable by the task's id, and the one that was named is not there",
    ),
    "a property's name in the wrong case": Mistake(
        {READS: prop("Data.Input", "offer, good")},
        Rule.UNREAD_PROPERTY,
        "recommend",
        prop("Data.Input", "offer, good"),
        Silent(asked=SALARY),
        "ends; the assistant was shown all variables, and not those that were named",
    ),
    "a blank behind a property's name": Mistake(
        {RESULT: prop("data.output ", "recommendation")},
        Rule.UNREAD_PROPERTY,
        "recommend",
        prop("data.output ", "recommendation"),
        Silent({"recommend": TAKEN}, lacks="recommendation"),
        "ends; as with a misspelt name",
    ),
    "a property twice": Mistake(
        {RESULT: RESULT + "\n        " + prop("data.output", "advice")},
        Rule.REPEATED_PROPERTY,
        "recommend",
        prop("data.output", "advice"),
        Silent({"advice": TAKEN}, lacks="recommendation"),
        "ends; the last one counts",
    ),
    "a value in the wrong case": Mistake(
        {RESULT: RESULT + "\n        " + prop("data.output.type", "json")},
        Rule.WRONG_VALUE,
        "recommend",
        prop("data.output.type", "json"),
        Failure("recommend", "data.output.type"),
        "an incident when the step is reached",
    ),
    "a duration in words": Mistake(
        {prop("service.timeout", "PT5M"): prop("service.timeout", "5 minutes")},
        Rule.WRONG_VALUE,
        "review",
        prop("service.timeout", "5 minutes"),
        Failure("review", "service.timeout"),
        "an incident when the step is reached",
    ),
    "an expression in a fixed value": Mistake(
        {RESULT: prop("data.output", "${name}")},
        Rule.WRONG_VALUE,
        "recommend",
        prop("data.output", "${name}"),
        Failure("recommend", "no expression is evaluated"),
        "an incident when the step is reached",
    ),
    "an expression in a question": Mistake(
        {"What does the offer lack?": "What does ${offer} lack?"},
        Rule.EXPRESSION,
        "review",
        '<bpmn:serviceTask id="review"',
        Silent(asked="What does ${offer} lack?"),
        "ends; the assistant was asked with the expression as it stands",
    ),
    "no question": Mistake(
        {f"<bpmn:documentation>{QUESTION}</bpmn:documentation>": ""},
        Rule.NO_QUESTION,
        "recommend",
        '<bpmn:serviceTask id="recommend"',
        Failure("recommend", "nothing to ask"),
        "an incident when the step is reached",
    ),
    "an assistant misspelt": Mistake(
        {NAMED: NAMED.replace("analyst", "analist")},
        Rule.UNKNOWN_ASSISTANT,
        "recommend",
        prop("service.name", "analist"),
        Failure("recommend", "did you mean 'analyst'", at_once=False),
        "an incident when the step's retries are used up",
    ),
    "service.type forgotten": Mistake(
        {f"{TYPE}\n        {NAMED}": NAMED},
        Rule.LEFT_ALONE,
        "recommend",
        prop("service.name", "analyst"),
        Waits("recommend"),
        "waits for ever: the worker leaves the task to others",
    ),
    "a topic that tasks of others use": Mistake(
        {'<bpmn:endEvent id="end" />': '<bpmn:endEvent id="end" />\n    ' + OTHERS},
        Rule.TOPIC_OF_OTHERS,
        "review",
        '<bpmn:serviceTask id="review"',
        Waits("review"),
        "waits for ever: the worker leaves a topic alone on which tasks of others come in the same process",
    ),
    "no topic": Mistake(
        {' camunda:topic="recommendations"': ""},
        Rule.NO_TOPIC,
        "recommend",
        '<bpmn:serviceTask id="recommend"',
        Refused("topic"),
        "is refused by the engine",
    ),
    "an input misspelt": Mistake(
        {prop("data.input", "offer"): prop("data.input", "ofer")},
        Rule.UNSET_INPUT,
        "review",
        prop("data.input", "ofer"),
        Failure("review", "ofer"),
        "an incident when the step is reached",
    ),
    "a schema that is not there": Mistake(
        {SCHEMA: "reviews.schema.json"},
        Rule.MISSING_FILE,
        "review",
        prop("data.output.schema", "reviews.schema.json"),
        Failure("review", "'reviews.schema.json'"),
        "an incident when the step is reached",
    ),
    "a schema that is none": Mistake(
        {'"object"': '"record"'},
        Rule.BAD_FILE,
        "review",
        prop("data.output.schema", SCHEMA),
        Failure("review", "data.output.schema"),
        "an incident when the step is reached",
        file=SCHEMA,
    ),
    "an error code that nothing catches": Mistake(
        {prop("error.refused", "NO_REVIEW"): prop("error.refused", "NO_REWIEW")},
        Rule.UNCAUGHT_ERROR,
        "review",
        prop("error.refused", "NO_REWIEW"),
        Silent(lacks="review", ended_at=""),
        "ends there, when the assistant refuses: engines end the path without an incident",
        refuses=True,
    ),
    "a result over an earlier one": Mistake(
        {RESULT: prop("data.output", "review")},
        Rule.OVERWRITTEN_OUTPUT,
        "recommend",
        prop("data.output", "review"),
        Silent({"review": TAKEN}, lacks="recommendation"),
        "ends; the earlier result is gone",
    ),
    "a loop that answers alone end": Mistake(
        {ON: BACK},
        Rule.ENDLESS_LOOP,
        "review",
        '<bpmn:serviceTask id="review"',
        Silent(rounds=3),
        "goes on for as long as the answers say so, and each round is paid",
        again=True,
    ),
    "no asyncAfter before a step that is broken": Mistake(
        {RECOMMENDATIONS + ' camunda:asyncAfter="true"': RECOMMENDATIONS, ON: BROKEN},
        Rule.NO_ASYNC_AFTER,
        "recommend",
        '<bpmn:serviceTask id="recommend"',
        Failure("recommend", "the engine refused the result", at_once=False),
        "an incident at it when its retries are used up, and not at the step behind it, which undoes its completion",
    ),
    "no history time to live": Mistake(
        {' camunda:historyTimeToLive="P1D"': ""},
        Rule.NO_TIME_TO_LIVE,
        "offer_process",
        '<bpmn:process id="offer_process"',
        Refused("History Time To Live"),
        "is refused by the engine",
    ),
    "a process that is not executable": Mistake(
        {' isExecutable="true"': ""},
        Rule.NOT_EXECUTABLE,
        "offer_process",
        '<bpmn:process id="offer_process"',
        NothingToStart(),
        "is deployed as a file, and no process can be started by it",
    ),
    "a file that is not in UTF-8": Mistake(
        {'name="Review"': 'name="Prüfen"'},
        Rule.ENCODING,
        "",
        "<?xml",
        Refused("UTF-8"),
        "is refused by the engine",
        encoding="latin-1",
    ),
}
