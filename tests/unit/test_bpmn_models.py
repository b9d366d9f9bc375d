"""Every model in `bpmn/` keeps the rules of its README, and every rule can be broken."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

FOLDER = Path(__file__).parents[2] / "bpmn"
MODELS = sorted(FOLDER.glob("*.bpmn"))
SPECS = frozenset(path.stem for path in (FOLDER / "assistants").glob("*.md"))

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
DI = "{http://www.omg.org/spec/BPMN/20100524/DI}"
DC = "{http://www.omg.org/spec/DD/20100524/DC}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"
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
        return [name.strip() for name in self.properties.get("data.input", "").split(",") if name.strip()]

    @property
    def output(self) -> str:
        return self.properties.get("data.output") or re.sub(r"\W", "_", self.id)


def faults(xml: str, start_variables: frozenset[str], specs: frozenset[str] = SPECS) -> list[str]:
    """Name everything that is wrong with a model, one text per fault, in the order of the model."""
    model = ElementTree.fromstring(xml)
    tasks = list(_assistant_tasks(model))
    return [
        *_undrawn(model),
        *_without_time_to_live(model),
        *(fault for task in tasks for fault in _incomplete(task, specs)),
        *_unknown_inputs(model, tasks, start_variables),
        *_repeated_outputs(tasks),
    ]


def _assistant_tasks(model: Element) -> Iterator[AssistantTask]:
    for element in model.iter(f"{BPMN}serviceTask"):
        pairs = element.iterfind(f"{BPMN}extensionElements/{CAMUNDA}properties/{CAMUNDA}property")
        properties = {pair.get("name", ""): pair.get("value", "") for pair in pairs}
        if properties.get("service.type") == "assistant":
            yield AssistantTask(element, properties)


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


def _without_time_to_live(model: Element) -> Iterator[str]:
    for process in model.iter(f"{BPMN}process"):
        if not process.get(f"{CAMUNDA}historyTimeToLive"):
            yield f"{process.get('id')}: no history time to live"


def _incomplete(task: AssistantTask, specs: frozenset[str]) -> Iterator[str]:
    element = task.element
    if element.get(f"{CAMUNDA}asyncAfter") != "true":
        yield f"{task.id}: no asyncAfter"
    if element.get(f"{CAMUNDA}type") != "external" or not element.get(f"{CAMUNDA}topic"):
        yield f"{task.id}: no external topic"
    if not (element.findtext(f"{BPMN}documentation") or "").strip():
        yield f"{task.id}: no documentation"
    name, version = task.properties.get("service.name", ""), task.properties.get("service.version")
    known = {f"{name}@{version}", name} if version else {name, *(spec for spec in specs if spec.startswith(f"{name}@"))}
    if not name or not known & specs:
        yield f"{task.id}: no spec of assistant {name!r}"


def _unknown_inputs(model: Element, tasks: list[AssistantTask], start_variables: frozenset[str]) -> Iterator[str]:
    outputs = {task.id: task.output for task in tasks}
    for task in tasks:
        earlier = {outputs[node] for node in _before(model, task.id) & outputs.keys()}
        for name in task.inputs:
            if name not in start_variables | earlier:
                yield f"{task.id}: nothing sets its input {name}"


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
    for output, times in Counter(task.output for task in tasks).items():
        if times > 1:
            yield f"output {output} of {times} tasks"


def start_variables(model: Path) -> frozenset[str]:
    """Read the names from the sample beside a model; without one, nothing is set at the start."""
    sample = model.with_suffix(".json")
    return frozenset(json.loads(sample.read_text("utf-8"))) if sample.exists() else frozenset()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_model_keeps_every_rule(model: Path) -> None:
    assert faults(model.read_text("utf-8"), start_variables(model)) == []


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


@pytest.mark.parametrize("sample", sorted(FOLDER.glob("*.json")), ids=lambda sample: sample.name)
def test_sample_says_type_and_value_of_each_variable_as_the_engine_takes_them(sample: Path) -> None:
    python_types = {"String": "str", "Json": "str", "Long": "int"}
    variables: dict[str, dict[str, Any]] = json.loads(sample.read_text("utf-8"))
    for name, variable in variables.items():
        assert variable.keys() == {"type", "value"}, name
        assert type(variable["value"]).__name__ == python_types[variable["type"]], name
        if variable["type"] == "Json":
            json.loads(variable["value"])  # engines store broken JSON unchecked


DECISION = (FOLDER / "decision.bpmn").read_text("utf-8")
SAMPLE = start_variables(FOLDER / "decision.bpmn")

BREAKS = {
    "shape missing": (r'<bpmndi:BPMNShape id="frame_di".*?</bpmndi:BPMNShape>', "", ["frame: no shape"]),
    "shape without bounds": (r'(bpmnElement="frame">\s*)<dc:Bounds[^>]*>', r"\1", ["frame: no shape"]),
    "start event not drawn": (r'bpmnElement="decision_needed"', 'bpmnElement="x"', ["decision_needed: no shape"]),
    "edge missing": (r'<bpmndi:BPMNEdge id="to_frame_di".*?</bpmndi:BPMNEdge>', "", ["to_frame: no edge"]),
    "edge of one point": (r'(bpmnElement="to_frame">\s*)<di:waypoint[^>]*>', r"\1", ["to_frame: no edge"]),
    "time to live missing": (r' camunda:historyTimeToLive="\w+"', "", ["decision: no history time to live"]),
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


def test_model_that_is_no_xml_is_rejected() -> None:
    with pytest.raises(ElementTree.ParseError):
        faults(DECISION.removesuffix("</bpmn:definitions>\n"), SAMPLE)


def test_input_may_come_from_an_earlier_task() -> None:
    later = DECISION.replace('value="budget_usd"', 'value="budget_usd, decision_frame, evaluation"')
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
