"""Models that the worker's linter and its plugin for modelers are both held against."""

from collections.abc import Mapping
from itertools import combinations
from typing import Final
from xml.sax.saxutils import escape

from tests.typical import MODEL, TYPICAL
from tests.unit.lint.mistakes import MISTAKES
from tests.unit.lint.sound import _HEAD as HEAD
from tests.unit.lint.sound import FILES, flow, record, task

QUESTIONS: Final = '[{"name": "offer", "type": "choice", "instructions": "Who?", "choices": ["a", "b"]}]'
VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "service.name": ("", "deployment:traveller.md", "deployment:traveller"),
    "service.version": ("1.0", "${version}"),
    "service.thread": ("root", "activity", "process"),
    "service.thread.required": ("true", "maybe"),
    "service.timeout": ("PT1M", "PT2H", "P1M", "PT0S", "soon"),
    "service.retries": ("5", "0", "101"),
    "service.retries.delay": ("P1D", "P2D"),
    "service.calls": ("2", "two"),
    "service.confidence": ("0.8", "2"),
    "service.confidence.uncalibrated": ("allow", "yes"),
    "data.input": ("-", "offer, budget?", "offer; budget", "result", "${offer}"),
    "data.input.answers": (",", "critic", "deployment:critic"),
    "data.output": ("result", "summary_${item}", "x" * 251),
    "data.output.type": ("Text", "Json", "File", "json"),
    "data.output.scope": ("local", "global"),
    "data.output.schema": ("gaps.schema.json",),
    "data.output.fields": ("preis, größe=a.0.b", "result", "a b", "a, a=b", "a=b=c", ","),
    "data.questions": ("gate.json", escape(QUESTIONS, {'"': "&quot;"})),
    "data.questions.orders": ("1", "3", "11"),
    "record.part": ("frame", "frames"),
    "record.stage": ("propose", "close", "sign"),
    "record.id": ("site", "1x"),
    "record.scope": ("instance", "all"),
    "record.given": ("weights=agreed, scores = own; other", "weights", "weights=a, weights=b", "weight=a"),
    "record.text": ("true", "yes"),
    "memory.subject": ("variable:customer", "variable:${customer}", "variable: ", "tenant", "customer"),
    "memory.recall": ("off", "3", "0", "21"),
    "memory.remember": ("false", "no"),
    "error.refused": ("NO_REVIEW", "NOBODY", "${code}"),
    "error.unsure": ("ASK",),
    "error.late": ("LATE",),
    "service.type": ("assistant",),
    "Service.Timeout": ("PT1M",),
    "data.inputs": ("offer",),
    "date.input": ("offer",),
    "service.timeout ": ("PT1M",),
    "colour.of_tie": ("${red}",),
}
"""What people write, right and wrong. A model has each of these in a task of its own."""
MEETING: Final[Mapping[str, tuple[str, ...]]] = {
    "service.name": ("deployment:traveller.md",),
    "service.version": ("1.0",),
    "service.thread": ("root", "activity"),
    "service.thread.required": ("true",),
    "service.calls": ("2",),
    "service.confidence": ("0.8",),
    "service.confidence.uncalibrated": ("allow",),
    "data.input": ("offer, budget?", "result"),
    "data.input.answers": (",", "critic"),
    "data.output": ("result",),
    "data.output.type": ("Text", "Json", "File"),
    "data.output.schema": ("gaps.schema.json",),
    "data.output.fields": ("result", ","),
    "data.questions": VALUES["data.questions"],
    "data.questions.orders": ("1", "3"),
    "record.part": ("frame",),
    "error.unsure": ("ASK",),
}
"""Of these all pairs, too."""


def models() -> dict[str, str]:
    """Return the models by names of files: sound ones, each with each mistake, and what neither of these has."""
    found = {name: text for name, text in FILES.items() if name.endswith(".bpmn")}
    for number, (file, before, after, *_) in enumerate(MISTAKES.values()):
        if file.endswith(".bpmn"):
            found[f"mistake_{number}.bpmn"] = FILES[file].replace(before, after)
    found |= {typical(name): each.files[MODEL] for name, each in TYPICAL.items()}
    # Two processes of one file, of which one calls the other, and other names of the engines' elements.
    negotiation = FILES["negotiation.bpmn"].split(HEAD)[1].replace("</bpmn:definitions>", "")
    both = FILES["offers.bpmn"].replace("</bpmn:definitions>", negotiation + "</bpmn:definitions>")
    topics = both.replace('camunda:topic="mail"', 'camunda:topic="records"')
    thrown = both.replace('"NO_REVIEW"', '"X"').replace('value="X"', 'value="NO_REVIEW"')
    caught = thrown.replace("      <bpmn:errorEventDefinition", "<bpmn:errorEventDefinition")
    part = both.replace(HEAD, "").replace('"record.part" value="frame"', '"record.id" value="other"')
    found |= {
        "both.bpmn": both,
        "both_topics.bpmn": topics,
        "both_thrown.bpmn": caught,
        "both_parts.bpmn": HEAD + part,
        "operaton.bpmn": topics.replace("camunda:", "operaton:")
        .replace("xmlns:camunda", "xmlns:operaton")
        .replace("http://camunda.org", "http://operaton.org"),
        "prefix.bpmn": topics.replace("camunda:", "c:").replace("xmlns:camunda", "xmlns:c"),
    }
    return found | {"pairs.bpmn": _pairs(), "pairs_of_records.bpmn": _pairs(of_records=True), "kinds.bpmn": _kinds()}


def typical(mistake: str) -> str:
    """Name the file of a typical mistake."""
    return f"typical_{[*TYPICAL].index(mistake)}.bpmn"


def _pairs(*, of_records: bool = False) -> str:
    each = [(name, value) for name, values in VALUES.items() for value in values]
    valid = [(name, value) for name, value in each if value in MEETING.get(name, ())]
    tasks = []
    for number, several in enumerate([*((one,) for one in each), *combinations(valid, 2)]):
        said = [f"{name}={value}" for name, value in several]
        made = record("compute", *said).replace("record_compute", f"t{number}") if of_records else ""
        tasks.append(made or task(f"t{number}", *said))
    return HEAD + _process("pairs", *tasks) + "</bpmn:definitions>"


def _process(key: str, *parts: str) -> str:
    return (
        f'<bpmn:process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">{"".join(parts)}</bpmn:process>'
    )


LOOP: Final = "<bpmn:multiInstanceLoopCharacteristics />"
EVENT: Final = """<bpmn:messageEventDefinition camunda:type="External" camunda:topic="mails" />
  </bpmn:intermediateThrowEvent>"""
HANDLER: Final = """<bpmn:subProcess id="handler" triggeredByEvent="true"><bpmn:startEvent id="any">
  <bpmn:errorEventDefinition errorRef="no" /></bpmn:startEvent></bpmn:subProcess>"""
CALLER: Final = """<bpmn:callActivity id="call" calledElement="${any}" />
  <bpmn:boundaryEvent id="caught" attachedToRef="call"><bpmn:errorEventDefinition errorRef="failed" />
  </bpmn:boundaryEvent>"""
STRAY: Final = """<bpmn:userTask id="person"><bpmn:extensionElements><camunda:properties>
  <camunda:property name="service.type" value="assistant" />
  </camunda:properties></bpmn:extensionElements></bpmn:userTask>"""
CODES: Final = '<bpmn:error id="no" errorCode="NO" /><bpmn:error id="failed" errorCode="FAILED" />'


def _kinds() -> str:
    """What has a topic or stands around it in other ways: events, sub-processes, loops, calls by expressions."""
    thrown = task("thrown", "error.refused=NO", "error.failed=FAILED")
    mail = thrown.replace("bpmn:serviceTask", "bpmn:intermediateThrowEvent").replace('"thrown"', '"mail"')
    mail = mail.replace('camunda:type="external"', "").replace('camunda:topic="offers"', "")
    mail = mail.replace("</bpmn:intermediateThrowEvent>", EVENT)
    deep = f'<bpmn:transaction id="inner">{task("deep", inside=LOOP)}{HANDLER}</bpmn:transaction>'
    inner = f'<bpmn:subProcess id="outer">{LOOP}{deep}</bpmn:subProcess>'
    rule = thrown.replace('"thrown"', '"rule"').replace("serviceTask", "businessRuleTask")
    plain = task("plain").replace('asyncAfter="true"', 'asyncAfter="false"')
    dead = _process("dead", task("never")).replace(' isExecutable="true"', "")
    parts = (inner, thrown, mail, rule, STRAY, plain, flow("thrown", "mail"))
    return HEAD + CODES + _process("kinds", *parts) + _process("caller", CALLER) + dead + "</bpmn:definitions>"
