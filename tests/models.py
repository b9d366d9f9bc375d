"""Small BPMN models made for one test, deployable and without a diagram."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from uuid import uuid4


def unique(prefix: str) -> str:
    """A name that no other test uses, fit for process keys and topics."""
    return f"{prefix}_{uuid4().hex[:10]}"


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """An external task. `inputs` and `outputs` are Camunda's mappings, name to expression, in the engine's terms.

    catches: a BPMN error code, caught at the task's boundary; the path then ends in the event `<id>_caught`.
    instances: how many times it runs, in parallel, as a multi-instance activity; 0 for a plain task.
    """

    id: str
    topic: str
    name: str = ""
    documentation: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    async_after: bool = True
    catches: str = ""
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A deployable definition and the key to start it by."""

    key: str
    xml: str


def bpmn(*steps: ServiceTask | list[ServiceTask], key: str = "") -> Model:
    """Start, the steps one after the other, end; a list is a fork into its tasks and a join behind them."""
    key = key or unique("process")
    parts = ['<bpmn:startEvent id="start"/>']
    flows: list[tuple[str, str]] = []
    last = "start"
    for number, step in enumerate(steps):
        tasks = step if isinstance(step, list) else [step]
        parts += map(_task, tasks)
        if isinstance(step, list):
            fork, join = f"fork_{number}", f"join_{number}"
            parts += [f'<bpmn:parallelGateway id="{gateway}"/>' for gateway in (fork, join)]
            flows += [(last, fork), *((fork, task.id) for task in step), *((task.id, join) for task in step)]
            last = join
        else:
            flows.append((last, step.id))
            last = step.id
    parts.append('<bpmn:endEvent id="end"/>')
    parts += map(_flow, [*flows, (last, "end")])
    codes = sorted({task.catches for step in steps for task in _tasks(step) if task.catches})
    return Model(key, _DEFINITIONS.format(key=key, errors="".join(map(_error, codes)), parts="\n    ".join(parts)))


_DEFINITIONS = """\
<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="tests">
  {errors}
  <bpmn:process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    {parts}
  </bpmn:process>
</bpmn:definitions>
"""


def _tasks(step: ServiceTask | list[ServiceTask]) -> list[ServiceTask]:
    return step if isinstance(step, list) else [step]


def _flow(ends: tuple[str, str]) -> str:
    source, target = ends
    return f'<bpmn:sequenceFlow id="{source}_to_{target}" sourceRef="{source}" targetRef="{target}"/>'


def _error(code: str) -> str:
    return f'<bpmn:error id="error_{code}" errorCode="{code}"/>'


def _task(task: ServiceTask) -> str:
    properties = "".join(
        f'<camunda:property name="{escape(name)}" value="{escape(value)}"/>' for name, value in task.properties.items()
    )
    mappings = [("inputParameter", *pair) for pair in task.inputs.items()]
    mappings += [("outputParameter", *pair) for pair in task.outputs.items()]
    parameters = "".join(
        f'<camunda:{kind} name="{escape(name)}">{escape(value)}</camunda:{kind}>' for kind, name, value in mappings
    )
    text = f"<bpmn:documentation>{escape(task.documentation)}</bpmn:documentation>" if task.documentation else ""
    loop = (
        f"<bpmn:multiInstanceLoopCharacteristics><bpmn:loopCardinality>{task.instances}</bpmn:loopCardinality>"
        f"</bpmn:multiInstanceLoopCharacteristics>"
    )
    boundary = (
        f'<bpmn:boundaryEvent id="{task.id}_boundary" attachedToRef="{task.id}">'
        f'<bpmn:errorEventDefinition id="{task.id}_definition" errorRef="error_{task.catches}"/></bpmn:boundaryEvent>'
        f'<bpmn:endEvent id="{task.id}_caught"/>{_flow((f"{task.id}_boundary", f"{task.id}_caught"))}'
    )
    return (
        f'<bpmn:serviceTask id="{task.id}" name="{escape(task.name or task.id)}" camunda:type="external"'
        f' camunda:topic="{escape(task.topic)}" camunda:asyncAfter="{str(task.async_after).lower()}">'
        f"{text}<bpmn:extensionElements>"
        f"<camunda:properties>{properties}</camunda:properties>"
        f"<camunda:inputOutput>{parameters}</camunda:inputOutput>"
        f"</bpmn:extensionElements>{loop if task.instances else ''}</bpmn:serviceTask>"
        f"{boundary if task.catches else ''}"
    )
