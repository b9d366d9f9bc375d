"""Two models in which nothing is wrong, and what lies beside them: each mistake is one change of it."""

from itertools import pairwise
from pathlib import Path
from typing import Final

_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="test"
                  xmlns:camunda="http://camunda.org/schema/1.0/bpmn">
"""


def task(id_: str, *said: str, topic: str = "offers", more: str = "", inside: str = "") -> str:
    """A service task for an assistant, each property on a line; `more` are attributes, `inside` stands in it."""
    lines = "\n".join(
        f'        <camunda:property name="{name}" value="{value}" />'
        for name, _, value in (
            each.partition("=") for each in ("service.type=assistant", "service.name=analyst", *said)
        )
    )
    return f"""
    <bpmn:serviceTask id="{id_}" name="Step {id_}"
                      camunda:type="external" camunda:asyncAfter="true" camunda:topic="{topic}"{more}>
      <bpmn:documentation>What of {id_}?</bpmn:documentation>
      <bpmn:extensionElements><camunda:properties>
{lines}
      </camunda:properties></bpmn:extensionElements>{inside}
    </bpmn:serviceTask>"""


def flow(*ids: str) -> str:
    """Sequence flows from each to the next."""
    return "".join(
        f'\n    <bpmn:sequenceFlow id="{a}_{b}" sourceRef="{a}" targetRef="{b}" />' for a, b in pairwise(ids)
    )


def record(stage: str, *said: str) -> str:
    """A task that makes a decision's record."""
    made = task(f"record_{stage}", f"record.stage={stage}", "data.output=record", *said, topic="records")
    return (
        made.replace("=assistant", "")
        .replace('value="assistant"', 'value="decision-record"')
        .replace('\n        <camunda:property name="service.name" value="analyst" />', "")
    )


LOOP: Final = """
      <bpmn:multiInstanceLoopCharacteristics camunda:collection="${items}" camunda:elementVariable="item" />"""

OFFERS: Final = (
    _HEAD
    + """  <bpmn:error id="no_review" errorCode="NO_REVIEW" />
  <bpmn:process id="offers" isExecutable="true" camunda:historyTimeToLive="P400D">
    <bpmn:startEvent id="start" camunda:formRef="offer" />"""
    + task(
        "review",
        "service.timeout=PT1M",
        "data.input=offer, budget?",
        "data.output=gaps",
        "data.output.schema=gaps.schema.json",
        "data.output.fields=count, worst=list.0",
        "error.refused=NO_REVIEW",
    )
    + """
    <bpmn:boundaryEvent id="late" attachedToRef="review">
      <bpmn:timerEventDefinition><bpmn:timeDuration>PT2M</bpmn:timeDuration></bpmn:timerEventDefinition>
    </bpmn:boundaryEvent>
    <bpmn:boundaryEvent id="refused" attachedToRef="review">
      <bpmn:errorEventDefinition errorRef="no_review" camunda:errorMessageVariable="why_not" />
    </bpmn:boundaryEvent>
    <bpmn:userTask id="ask" camunda:formKey="camunda-forms:deployment:offer.form" />
    <bpmn:endEvent id="given_up" />"""
    + task("gate", "data.questions=gate.json", "data.input=gaps, count", "data.output=gate")
    + """
    <bpmn:parallelGateway id="fork" />"""
    + task("pro", "data.input=fit, fit_confidence, gate_unsure", "data.output=pro").replace(
        'name="service.name" value="analyst"', 'name="service.name" value="deployment:traveller.md"'
    )
    + task("con", "data.input=worst, gaps_meta", "data.output=con")
    + """
    <bpmn:parallelGateway id="join" />
    <bpmn:callActivity id="negotiate" calledElement="negotiation">
      <bpmn:extensionElements>
        <camunda:in source="gaps" target="gaps" />
        <camunda:out source="brief" target="brief" />
      </bpmn:extensionElements>
    </bpmn:callActivity>
    <bpmn:subProcess id="each">"""
    + LOOP
    + """
      <bpmn:startEvent id="each_start" />"""
    + task("rate", "data.input=item, brief, loopCounter", "data.output=rating")
    + flow("each_start", "rate", "each_end")
    + """
      <bpmn:endEvent id="each_end" />
    </bpmn:subProcess>"""
    + task("sum_up", "data.input=rating_0, pro, con", "data.output=summary")
    + """
    <bpmn:serviceTask id="mail" name="Mail it" camunda:type="external" camunda:topic="mail">
      <bpmn:extensionElements><camunda:properties>
        <camunda:property name="mail.template" value="offer" />
      </camunda:properties></bpmn:extensionElements>
    </bpmn:serviceTask>
    <bpmn:endEvent id="end" />"""
    + flow("start", "review", "gate", "fork", "pro", "join", "negotiate", "each", "sum_up", "mail", "end")
    + flow("fork", "con", "join")
    + flow("refused", "ask", "given_up")
    + flow("late", "ask")
    + """
  </bpmn:process>
</bpmn:definitions>
"""
)

NEGOTIATION: Final = (
    _HEAD
    + """  <bpmn:process id="negotiation" isExecutable="true" camunda:historyTimeToLive="P400D">
    <bpmn:startEvent id="begin" />"""
    + "".join(
        task(part, f"record.part={part}", "data.input=gaps", topic="panel")
        for part in ("frame", "objectives", "alternatives")
    )
    + task("scores", "record.part=scores", "data.input=gaps", "data.output.fields=given=weights", topic="panel")
    + task("brief", "data.input=gaps", topic="panel")
    + record("propose", "record.given=weights=given, recommendation=brief")
    + record("close", "record.given=weights=given, recommendation=brief")
    + """
    <bpmn:userTask id="sign">
      <bpmn:extensionElements><camunda:formData>
        <camunda:formField id="accepted" type="boolean" />
      </camunda:formData></bpmn:extensionElements>
    </bpmn:userTask>
    <bpmn:endEvent id="over" />"""
    + flow("begin", "frame", "objectives", "alternatives", "scores", "brief", "record_propose", "sign", "record_close")
    + flow("record_close", "over")
    + """
  </bpmn:process>
</bpmn:definitions>
"""
)

FILES: Final = {
    "offers.bpmn": OFFERS,
    "negotiation.bpmn": NEGOTIATION,
    "gaps.schema.json": '{"type": "object", "required": ["count", "list"]}',
    "traveller.md": '---\nname: traveller\nversion: "1"\nmodel: m\nmax_output_tokens: 90\n---\nBe brief.\n',
    "gate.json": '[{"name": "fit", "type": "predicate", "instructions": "The offer fits."}]',
    "offer.form": '{"id": "offer", "components": [{"key": "offer"}, {"components": [{"key": "budget"}]}]}',
}
ANALYST: Final = """---
name: analyst
version: "1.0"
model: m
---
Be brief.
"""


def written(folder: Path, **changes: str) -> Path:
    """Write the sound models with other contents of some files, or more; in a name `__` stands for the last dot."""
    for name, text in (FILES | {each.replace("__", "."): text for each, text in changes.items()}).items():
        (folder / name).write_text(text, "utf-8")
    return folder
