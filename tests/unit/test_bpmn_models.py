"""Every model in `bpmn/` keeps the rules of its README, and every rule can be broken."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

from worker.decisions.schemas import REQUIRED
from worker.domain.tasks import declared_inputs
from worker.modelling import schema
from worker.modelling.properties import STATUS

FOLDER = Path(__file__).parents[2] / "bpmn"
APPLICATIONS = sorted(path for path in FOLDER.iterdir() if path.is_dir() and path.name != "assistants")
MODELS = sorted(FOLDER.glob("*/*.bpmn"))
SPECS = frozenset(path.stem for path in (FOLDER / "assistants").glob("*.md"))

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
DI = "{http://www.omg.org/spec/BPMN/20100524/DI}"
DC = "{http://www.omg.org/spec/DD/20100524/DC}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"
NEEDS = {str(stage): REQUIRED[status] for stage, status in STATUS.items()}
"""The parts that each stage of a record needs."""
LOOPS = 5
"""No sample has more rounds of a loop."""
KEPT_DAYS = 400
"""A year's audit still finds what was decided at its beginning, and has a month to ask about it."""
FLOW_NODE = re.compile(re.escape(BPMN) + r"(\w+(Event|Task|Gateway)|task|subProcess|transaction|callActivity)")


@dataclass(frozen=True, slots=True)
class AssistantTask:
    """A service task that an assistant answers, as the model has it."""

    element: Element
    properties: dict[str, str]

    @property
    def id(self) -> str:
        return self.element.get("id", "?")

    @property
    def inputs(self) -> list[str]:
        return [*(declared_inputs(self.properties) or {})]

    @property
    def loop(self) -> Element | None:
        return self.element.find(f"{BPMN}multiInstanceLoopCharacteristics")

    @property
    def parameters(self) -> dict[str, str]:
        """Its input parameters."""
        given = self.element.iterfind(f"{BPMN}extensionElements/{CAMUNDA}inputOutput/{CAMUNDA}inputParameter")
        return {each.get("name", ""): each.text or "" for each in given}

    @property
    def own(self) -> set[str]:
        """What only this task sees: its input parameters, and the element of its loop."""
        return {*self.parameters} | (
            {self.loop.get(f"{CAMUNDA}elementVariable", "")} if self.loop is not None else set()
        )

    @property
    def outputs(self) -> list[str]:
        """The result, and what is lifted out of it; of a loop those of the first LOOPS rounds."""
        fields = self.properties.get("data.output.fields", "").split(",")
        names = [each.partition("=")[0].strip() for each in fields if each.strip()]
        found = [self.properties.get("data.output") or re.sub(r"\W", "_", self.id), *names]
        return found if self.loop is None else [f"{each}_{number}" for each in found for number in range(LOOPS)]


class RecordTask(AssistantTask):
    """A service task that makes a decision's record."""

    @property
    def outputs(self) -> list[str]:
        result, *names = super().outputs
        text = ["_text"] if self.properties.get("record.text") == "true" else []
        return [result, *names, *(f"{result}{suffix}" for suffix in ("_sha256", "_id", *text))]


@dataclass(frozen=True, slots=True)
class Beside:
    """What is deployed together with a model: names of files, forms by id, and what steps put out by process."""

    files: frozenset[str] = frozenset()
    forms: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> "Beside":
        models = [ElementTree.fromstring(path.read_text("utf-8")) for path in folder.glob("*.bpmn")]
        forms = {form["id"]: form for path in folder.glob("*.form") for form in [json.loads(path.read_text("utf-8"))]}
        outputs = {
            process.get("id", ""): frozenset(name for names in _outputs(model, forms).values() for name in names)
            for model in models
            for process in model.iter(f"{BPMN}process")
        }
        return cls(frozenset(path.name for path in folder.iterdir()), forms, outputs)


def faults(
    xml: str, start_variables: frozenset[str], specs: frozenset[str] = SPECS, beside: Beside | None = None
) -> list[str]:
    """Name everything that is wrong with a model, one text per fault, in the order of the model."""
    model = ElementTree.fromstring(xml)
    tasks = list(_assistant_tasks(model))
    beside = beside or Beside()
    return [
        *_undrawn(model),
        *_forgotten_early(model),
        *(fault for task in tasks for fault in _incomplete(task, specs)),
        *(fault for task in tasks for fault in _without_schema(task, beside)),
        *(fault for task in tasks for fault in _uncaught(model, task)),
        *_wrong_records(model, tasks),
        *_unknown_inputs(model, tasks, start_variables, beside),
        *_blind_signatures(model, start_variables, beside),
        *_unknown_calls(model, beside),
        *_repeated_outputs(tasks),
    ]


def _assistant_tasks(model: Element) -> Iterator[AssistantTask]:
    for element, properties in _service_tasks(model):
        if properties.get("service.type") == "assistant":
            yield AssistantTask(element, properties)


def _record_tasks(model: Element) -> Iterator[RecordTask]:
    for element, properties in _service_tasks(model):
        if properties.get("service.type") == "decision-record":
            yield RecordTask(element, properties)


def _service_tasks(model: Element) -> Iterator[tuple[Element, dict[str, str]]]:
    for element in model.iter(f"{BPMN}serviceTask"):
        pairs = element.iterfind(f"{BPMN}extensionElements/{CAMUNDA}properties/{CAMUNDA}property")
        yield element, {pair.get("name", ""): pair.get("value", "") for pair in pairs}


def _wrong_records(model: Element, tasks: list[AssistantTask]) -> Iterator[str]:
    """Records without asyncAfter, on an assistant's topic, without a part, or that nothing closes."""
    topics = {task.element.get(f"{CAMUNDA}topic") for task in tasks}
    stages = {task.properties.get("record.stage") for task in _record_tasks(model)}
    said = {task.properties.get("record.part") for task in tasks}
    for task in _record_tasks(model):
        stage = task.properties.get("record.stage", "")
        if task.element.get(f"{CAMUNDA}asyncAfter") != "true":
            yield f"{task.id}: no asyncAfter"
        if task.element.get(f"{CAMUNDA}topic") in topics:
            yield f"{task.id}: not on a topic of its own"
        if stage not in NEEDS or (stage == "propose" and "close" not in stages):
            yield f"{task.id}: stage {stage}"
            continue
        given = {each.partition("=")[0].strip() for each in task.properties.get("record.given", "").split(",")}
        yield from (f"{task.id}: no part {each}" for each in NEEDS[stage] if each not in said | given)


def _undrawn(model: Element) -> Iterator[str]:
    # A shape without bounds and an edge with fewer than two points parse, and show nothing.
    shapes = {
        shape.get("bpmnElement") for shape in model.iter(f"{DI}BPMNShape") if shape.find(f"{DC}Bounds") is not None
    }
    edges = {edge.get("bpmnElement") for edge in model.iter(f"{DI}BPMNEdge") if len(edge.findall("{*}waypoint")) > 1}
    for element in model.iter():
        if FLOW_NODE.fullmatch(element.tag) and element.get("id") not in shapes:
            yield f"{element.get('id')}: no shape"
        if element.tag == f"{BPMN}sequenceFlow" and element.get("id") not in edges:
            yield f"{element.get('id')}: no edge"


def _forgotten_early(model: Element) -> Iterator[str]:
    for process in model.iter(f"{BPMN}process"):
        said = process.get(f"{CAMUNDA}historyTimeToLive", "")
        days = re.fullmatch(r"P(\d+)D", said)
        if days is None or int(days[1]) < KEPT_DAYS:
            yield f"{process.get('id')}: history time to live {said or 'missing'}, not at least P{KEPT_DAYS}D"


def _incomplete(task: AssistantTask, specs: frozenset[str]) -> Iterator[str]:
    element = task.element
    if element.get(f"{CAMUNDA}asyncAfter") != "true":
        yield f"{task.id}: no asyncAfter"
    if element.get(f"{CAMUNDA}type") != "external" or not element.get(f"{CAMUNDA}topic"):
        yield f"{task.id}: no external topic"
    if not (element.findtext(f"{BPMN}documentation") or "").strip():
        yield f"{task.id}: no documentation"
    if "assistant" in task.parameters:
        return
    name, version = task.properties.get("service.name", ""), task.properties.get("service.version")
    known = {f"{name}@{version}", name} if version else {name, *(spec for spec in specs if spec.startswith(f"{name}@"))}
    if not name or not known & specs:
        yield f"{task.id}: no spec of assistant {name!r}"


def _without_schema(task: AssistantTask, beside: Beside) -> Iterator[str]:
    name = task.properties.get("data.output.schema", "")
    if name and not name.startswith("{") and name not in beside.files:
        yield f"{task.id}: no file {name} beside the model"


def _uncaught(model: Element, task: AssistantTask) -> Iterator[str]:
    codes = {error.get("id"): error.get("errorCode") for error in model.iter(f"{BPMN}error")}
    caught = {codes.get(event.get("errorRef")) for event in model.iter(f"{BPMN}errorEventDefinition")}
    for name, code in task.properties.items():
        if name.startswith("error.") and code not in caught:
            yield f"{task.id}: nothing catches {code}"


def _unknown_inputs(
    model: Element, tasks: list[AssistantTask], start_variables: frozenset[str], beside: Beside
) -> Iterator[str]:
    wanted = [(task.id, name) for task in tasks for name in task.inputs if name not in task.own]
    wanted += [(call.get("id", "?"), source) for call in _calls(model) for source, _ in _mapped(call, "in")]
    for node, name in wanted:
        if name not in start_variables | _set_before(model, node, beside):
            yield f"{node}: nothing sets its input {name}"


def _set_before(model: Element, node: str, beside: Beside) -> set[str]:
    outputs = _outputs(model, beside.forms)
    return {output for before in _before(model, node) & outputs.keys() for output in outputs[before]}


def _blind_signatures(model: Element, start_variables: frozenset[str], beside: Beside) -> Iterator[str]:
    """Forms on which something is chosen beforehand, nothing has to be chosen, or nothing stands to be read."""
    for person in model.iter(f"{BPMN}userTask"):
        node = person.get("id", "?")
        known = start_variables | _set_before(model, node, beside)
        ref = person.get(f"{CAMUNDA}formRef")
        if ref is not None and ref not in beside.forms:
            yield f"{node}: no form {ref} beside the model"
            continue
        fields = _form_fields(person)
        shown = {each.get("id", "") for each in fields} & known
        for each in fields:
            if each.get("defaultValue"):
                yield f"{node}: {each.get('id')} is filled in beforehand"
        if ref is not None:
            components = beside.forms[ref]["components"]
            shown = {name for each in components for name in _names_in(each.get("text", ""))}
            for each in components:
                if "defaultValue" in each or each["type"] in {"checkbox", "checklist"}:
                    yield f"{node}: {each.get('key')} is filled in beforehand"
            if not any(each.get("values") and each.get("validate", {}).get("required") for each in components):
                yield f"{node}: nothing has to be chosen"
            yield from (f"{node}: nothing sets {name}, which its form shows" for name in sorted(shown - known))
        if not shown:
            yield f"{node}: its form shows nothing"


def _names_in(text: str) -> set[str]:
    """The variables that a text of a form shows."""
    outside = re.sub(r"\{\{#loop ([\w.]+)\}\}.*?\{\{/loop\}\}", r"{{\1}}", text, flags=re.DOTALL)
    return set(re.findall(r"\{\{(?:if count\()?([a-z_]\w*)", outside))


def _unknown_calls(model: Element, beside: Beside) -> Iterator[str]:
    for call in _calls(model):
        called = call.get("calledElement", "")
        if called not in beside.outputs:
            yield f"{call.get('id')}: no process {called} beside the model"
            continue
        for source, _ in _mapped(call, "out"):
            if source not in beside.outputs[called]:
                yield f"{call.get('id')}: {called} has no {source}"


def _outputs(model: Element, forms: Mapping[str, Any]) -> dict[str, list[str]]:
    """What each node of the model sets: results and their fields, fields of forms, what a called process gives back."""
    outputs = {task.id: task.outputs for task in (*_assistant_tasks(model), *_record_tasks(model))}
    outputs |= {call.get("id", ""): [target for _, target in _mapped(call, "out")] for call in _calls(model)}
    for person in model.iter(f"{BPMN}userTask"):
        components = forms.get(person.get(f"{CAMUNDA}formRef", ""), {}).get("components", [])
        keys = [each["key"] for each in components if "key" in each]
        outputs[person.get("id", "")] = [*keys, *(each.get("id", "") for each in _form_fields(person))]
    return outputs


def _form_fields(person: Element) -> list[Element]:
    return list(person.iterfind(f"{BPMN}extensionElements/{CAMUNDA}formData/{CAMUNDA}formField"))


def _calls(model: Element) -> list[Element]:
    return list(model.iter(f"{BPMN}callActivity"))


def _mapped(call: Element, way: str) -> list[tuple[str, str]]:
    pairs = call.iterfind(f"{BPMN}extensionElements/{CAMUNDA}{way}")
    return [(pair.get("source", ""), pair.get("target", "")) for pair in pairs if pair.get("source")]


def _before(model: Element, node: str) -> set[str]:
    """Collect the ids of all nodes from which sequence flows, and boundary events, lead here."""
    steps = [(flow.get("sourceRef", ""), flow.get("targetRef", "")) for flow in model.iter(f"{BPMN}sequenceFlow")]
    steps += [(event.get("attachedToRef", ""), event.get("id", "")) for event in model.iter(f"{BPMN}boundaryEvent")]
    found: set[str] = set()
    todo = {node}
    while todo:
        here = todo.pop()
        new = {source for source, target in steps if target == here} - found
        found |= new
        todo |= new
    return found


def _repeated_outputs(tasks: list[AssistantTask]) -> Iterator[str]:
    for output, times in Counter(output for task in tasks for output in task.outputs).items():
        if times > 1:
            yield f"output {output} of {times} tasks"


def start_variables(model: Path) -> frozenset[str]:
    """Read what is set at the start: the sample beside the model, or what every process that calls it hands over."""
    sample = model.with_suffix(".json")
    if sample.exists():
        return frozenset(json.loads(sample.read_text("utf-8")))
    callers = [ElementTree.fromstring(path.read_text("utf-8")) for path in model.parent.glob("*.bpmn")]
    calls = [call for caller in callers for call in _calls(caller) if call.get("calledElement") == model.stem]
    handed_over = [frozenset(target for _, target in _mapped(call, "in")) for call in calls]
    return frozenset.intersection(*handed_over) if handed_over else frozenset()


@pytest.mark.parametrize("folder", APPLICATIONS, ids=lambda folder: folder.name)
def test_application_is_called_like_its_process_and_has_sample_drawing_and_explanation(folder: Path) -> None:
    key = folder.name
    assert {f"{key}.bpmn", f"{key}.json", f"{key}.svg", "README.md"} <= {path.name for path in folder.iterdir()}
    for model in folder.glob("*.bpmn"):
        process = ElementTree.fromstring(model.read_text("utf-8")).find(f"{BPMN}process")
        assert process is not None
        assert process.get("id") == model.stem


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_model_keeps_every_rule(model: Path) -> None:
    assert faults(model.read_text("utf-8"), start_variables(model), beside=Beside.of(model.parent)) == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_drawing_shows_the_model_as_it_is(model: Path) -> None:
    drawing = model.with_suffix(".svg").read_text("utf-8")
    words = re.sub(r"\s+", "", "".join(ElementTree.fromstring(drawing).itertext()))
    names = [
        re.sub(r"\s+", "", element.get("name", ""))
        for element in ElementTree.fromstring(model.read_text("utf-8")).iter()
        if FLOW_NODE.fullmatch(element.tag)
    ]
    assert [name for name in names if name not in words] == []
    drawn = re.findall(r'data-element-id="([^"]+)"', drawing)
    assert [each for each in _drawable(model) if each not in drawn] == []


@pytest.mark.parametrize("form", sorted(FOLDER.glob("*/*.schema.json")), ids=lambda form: form.name)
def test_schema_beside_a_model_is_one(form: Path) -> None:
    assert schema.flaw(json.loads(form.read_text("utf-8"))) == ""


def _drawable(model: Path) -> list[str]:
    elements = ElementTree.fromstring(model.read_text("utf-8")).iter()
    return [
        element.get("id", "")
        for element in elements
        if FLOW_NODE.fullmatch(element.tag) or element.tag == f"{BPMN}sequenceFlow"
    ]


@pytest.mark.parametrize(
    "sample",
    sorted(path for path in FOLDER.glob("*/*.json") if not path.name.endswith(".schema.json")),
    ids=lambda sample: sample.name,
)
def test_sample_says_type_and_value_of_each_variable_as_the_engine_takes_them(sample: Path) -> None:
    python_types = {"String": "str", "Json": "str", "Long": "int", "Double": "float", "Boolean": "bool"}
    variables: dict[str, dict[str, Any]] = json.loads(sample.read_text("utf-8"))
    for name, variable in variables.items():
        assert variable.keys() == {"type", "value"}, name
        assert type(variable["value"]).__name__ == python_types[variable["type"]], name
        if variable["type"] == "Json":
            json.loads(variable["value"])  # engines store broken JSON unchecked


DECISION = (FOLDER / "decision" / "decision.bpmn").read_text("utf-8")
SAMPLE = start_variables(FOLDER / "decision" / "decision.bpmn")

BREAKS = {
    "shape missing": (r'<bpmndi:BPMNShape id="frame_di".*?</bpmndi:BPMNShape>', "", ["frame: no shape"]),
    "shape without bounds": (r'(bpmnElement="frame">\s*)<dc:Bounds[^>]*>', r"\1", ["frame: no shape"]),
    "start event not drawn": (r'bpmnElement="decision_needed"', 'bpmnElement="x"', ["decision_needed: no shape"]),
    "edge missing": (r'<bpmndi:BPMNEdge id="to_frame_di".*?</bpmndi:BPMNEdge>', "", ["to_frame: no edge"]),
    "edge of one point": (r'(bpmnElement="to_frame">\s*)<di:waypoint[^>]*>', r"\1", ["to_frame: no edge"]),
    "time to live missing": (
        r' camunda:historyTimeToLive="\w+"',
        "",
        ["decision: history time to live missing, not at least P400D"],
    ),
    "time to live of half a year": (
        r'historyTimeToLive="P400D"',
        'historyTimeToLive="P180D"',
        ["decision: history time to live P180D, not at least P400D"],
    ),
    "asyncAfter missing": (r' camunda:asyncAfter="true"', "", ["frame: no asyncAfter"]),
    "asyncAfter false": (r'asyncAfter="true"', 'asyncAfter="false"', ["frame: no asyncAfter"]),
    "topic missing": (r' camunda:topic="[\w-]+"', "", ["frame: no external topic"]),
    "not external": (r'camunda:type="external"', 'camunda:class="X"', ["frame: no external topic"]),
    "documentation missing": (
        r'(id="frame".*?)<bpmn:documentation>.*?</bpmn:documentation>',
        r"\1",
        ["frame: no documentation"],
    ),
    "documentation blank": (
        r'(id="frame".*?<bpmn:documentation>).*?(</bpmn:documentation>)',
        r"\1 \n \2",
        ["frame: no documentation"],
    ),
    "assistant misspelt": (r'value="analyst"', 'value="analist"', ["frame: no spec of assistant 'analist'"]),
    "assistant missing": (
        r'<camunda:property name="service.name"[^>]*>',
        "",
        ["frame: no spec of assistant ''"],
    ),
    "input misspelt": (
        r'value="decision, context',
        'value="decision, contxt',
        ["frame: nothing sets its input contxt"],
    ),
    "input from a later task": (
        r'value="decision, context',
        'value="decision, recommendation',
        ["frame: nothing sets its input recommendation"],
    ),
    "input from the task itself": (
        r'value="decision, context',
        'value="decision, decision_frame',
        ["frame: nothing sets its input decision_frame"],
    ),
    "output twice": (r'value="evaluation"', 'value="alternatives"', ["output alternatives of 2 tasks"]),
    "output twice, once by default": (
        r'<camunda:property name="data.output" value="evaluation" />(.*?)value="recommendation"',
        r'\1value="evaluate"',
        ["output evaluate of 2 tasks"],
    ),
}


@pytest.mark.parametrize(("pattern", "replacement", "expected"), BREAKS.values(), ids=BREAKS.keys())
def test_broken_model_is_rejected_for_that_reason_only(pattern: str, replacement: str, expected: list[str]) -> None:
    broken, times = re.subn(pattern, replacement, DECISION, count=1, flags=re.DOTALL)
    assert times == 1
    assert faults(broken, SAMPLE) == expected


MORE_BREAKS = {
    "schema missing": (
        "approval",
        r'value="assessment.schema.json"',
        'value="assesment.schema.json"',
        "assess: no file assesment.schema.json beside the model",
    ),
    "error code misspelt": (
        "approval",
        r'(name="error.refused" value=)"NO_ASSESSMENT"',
        r'\1"NO_ASSESMENT"',
        "assess: nothing catches NO_ASSESMENT",
    ),
    "form missing": (
        "approval",
        r'formRef="decide_alone"',
        'formRef="decide_allone"',
        "decide: no form decide_allone beside the model",
    ),
    "input that no form asks for": (
        "approval",
        r"board_decision\?, comment\?",
        "board_decision?, coment?",
        "letter: nothing sets its input coment",
    ),
    "field with the name of a result": (
        "approval",
        r'"decision, confidence',
        '"letter=reasons, decision, confidence',
        "output letter of 2 tasks",
    ),
    "result not handed back": (
        "procurement",
        r'<camunda:out source="review" target="review_a" />',
        "",
        "compare: nothing sets its input review_a",
    ),
    "mapping misspelt": (
        "procurement",
        r'<camunda:out source="review" target="review_a" />',
        '<camunda:out source="reviw" target="review_a" />',
        "review_offer_a: supplier_review has no reviw",
    ),
    "mapping of what is not there": (
        "procurement",
        r'<camunda:in source="offer_a"',
        '<camunda:in source="offer_c"',
        "review_offer_a: nothing sets its input offer_c",
    ),
    "call of nobody": (
        "procurement",
        r'calledElement="negotiation"',
        'calledElement="negotation"',
        "negotiate: no process negotation beside the model",
    ),
}


@pytest.mark.parametrize(("key", "pattern", "replacement", "expected"), MORE_BREAKS.values(), ids=MORE_BREAKS.keys())
def test_what_models_say_to_each_other_is_held_to_as_well(
    key: str, pattern: str, replacement: str, expected: str
) -> None:
    model = FOLDER / key / f"{key}.bpmn"
    broken, times = re.subn(pattern, replacement, model.read_text("utf-8"), count=1)
    assert times == 1
    assert faults(broken, start_variables(model), beside=Beside.of(model.parent)) == [expected]


RECORD_BREAKS = {
    "stage misspelt": (r'value="compute"', 'value="computes"', ["compute: stage computes"]),
    "topic of assistants": (
        r'(id="compute".*?)camunda:topic="decision-records"',
        r'\1camunda:topic="trade-studies"',
        ["compute: not on a topic of its own"],
    ),
    "nothing closes": (r'value="close"', 'value="propose"', ["propose: stage propose", "close: stage propose"]),
    "part missing": (
        r'value="objectives" />(\s*</camunda)',
        r'value="frame" />\1',
        [f"{each}: no part objectives" for each in ("compute", "propose", "close")],
    ),
    "no text for the form": (
        r'(name="record.stage" value="propose".*?)<camunda:property name="record.text"[^>]*>',
        r"\1",
        ["sign: nothing sets decision_text, which its form shows"],
    ),
    "judge without scores": (r"score_4\?|scores_4\?", "scores_9?", ["score_again: nothing sets its input scores_9"]),
}


@pytest.mark.parametrize(("pattern", "replacement", "expected"), RECORD_BREAKS.values(), ids=RECORD_BREAKS.keys())
def test_what_a_record_needs_is_held_to_as_well(pattern: str, replacement: str, expected: list[str]) -> None:
    model = FOLDER / "trade_study" / "trade_study.bpmn"
    broken, times = re.subn(pattern, replacement, model.read_text("utf-8"), count=1, flags=re.DOTALL)
    assert times == 1
    assert faults(broken, start_variables(model), beside=Beside.of(model.parent)) == expected


@pytest.mark.parametrize("sample", sorted(FOLDER.glob("*/*.json")), ids=lambda sample: sample.name)
def test_judges_of_a_sample_have_their_specs(sample: Path) -> None:
    variables = json.loads(sample.read_text("utf-8"))
    judges = json.loads(variables["judges"]["value"]) if "judges" in variables else []
    assert {*judges} <= SPECS
    assert len({*judges}) == len(judges) <= LOOPS, "each is an assistant of its own"


BLIND = {
    "ticked": ({"type": "checkbox", "key": "seen"}, "review: seen is filled in beforehand"),
    "chosen": (
        {"type": "radio", "key": "x", "defaultValue": "a", "values": [{"value": "a"}]},
        "review: x is filled in beforehand",
    ),
    "misspelt": ({"type": "text", "text": "{{assesment.sum}}"}, "review: nothing sets assesment, which its form shows"),
}


@pytest.mark.parametrize(("component", "expected"), BLIND.values(), ids=BLIND.keys())
def test_form_with_a_choice_made_or_nothing_behind_its_text_is_rejected(component: Any, expected: str) -> None:
    model = FOLDER / "approval" / "approval.bpmn"
    beside = Beside.of(model.parent)
    form = beside.forms["review_assessment"]
    forms = {**beside.forms, "review_assessment": {**form, "components": [*form["components"], component]}}
    found = faults(model.read_text("utf-8"), start_variables(model), beside=replace(beside, forms=forms))
    assert found == [expected]


def test_form_on_which_nothing_is_shown_or_has_to_be_chosen_is_rejected() -> None:
    model = FOLDER / "approval" / "approval.bpmn"
    beside = Beside.of(model.parent)
    empty = {"components": [{"type": "textarea", "key": "comment"}, {"type": "textfield", "key": "board_decision"}]}
    blind = replace(beside, forms={**beside.forms, "review_assessment": empty})
    found = faults(model.read_text("utf-8"), start_variables(model), beside=blind)
    assert found == ["review: nothing has to be chosen", "review: its form shows nothing"]


@pytest.mark.parametrize("form", sorted(FOLDER.glob("*/*.form")), ids=lambda form: form.name)
def test_form_is_called_like_its_file_and_used_by_a_model_beside_it(form: Path) -> None:
    assert json.loads(form.read_text("utf-8"))["id"] == form.stem
    assert any(f'formRef="{form.stem}"' in model.read_text("utf-8") for model in form.parent.glob("*.bpmn"))


def test_called_process_knows_what_each_of_its_callers_hands_over() -> None:
    assert start_variables(FOLDER / "procurement" / "supplier_review.bpmn") == {
        *("offer", "supplier_record", "requirements", "criteria"),
    }
    assert start_variables(FOLDER / "procurement" / "procurement.bpmn") > {"offer_a", "offer_b"}


def test_model_that_is_no_xml_is_rejected() -> None:
    with pytest.raises(ElementTree.ParseError):
        faults(DECISION.removesuffix("</bpmn:definitions>\n"), SAMPLE)


def test_input_may_come_from_an_earlier_task() -> None:
    later = DECISION.replace('value="budget_usd?"', 'value="budget_usd?, decision_frame, evaluation"')
    assert later != DECISION
    assert faults(later, SAMPLE) == []


def test_input_without_start_variables_is_rejected() -> None:
    assert "recommend: nothing sets its input budget_usd" in faults(DECISION, SAMPLE - {"budget_usd"})


@pytest.mark.parametrize(
    ("specs", "is_known"),
    [
        ({"analyst@1.0"}, True),
        ({"analyst"}, True),
        ({"analyst@2.0"}, False),
        ({"analyst_de"}, False),
    ],
    ids=str,
)
def test_version_that_a_task_names_needs_a_spec(specs: set[str], is_known: bool) -> None:
    name = '<camunda:property name="service.name" value="analyst" />'
    versioned = DECISION.replace(name, name + '<camunda:property name="service.version" value="1.0" />', 1)
    only_that = [fault for fault in faults(versioned, SAMPLE, frozenset(specs)) if fault.startswith("frame")]
    assert only_that == ([] if is_known else ["frame: no spec of assistant 'analyst'"])


def test_folder_holds_a_model() -> None:
    assert MODELS
