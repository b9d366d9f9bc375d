"""Small BPMN models made for one test, deployable and without a diagram."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from uuid import uuid4


def unique(prefix: str) -> str:
    """A name that no other test uses, fit for process keys and topics."""
    return f"{prefix}_{uuid4().hex[:10]}"


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """An external task. `inputs` and `outputs` are Camunda's mappings, name to expression, in the engine's terms.

    catches: a BPMN error code, caught at the task's boundary; the path then ends in the event `<id>_caught`.
    instances: how many times it runs, in parallel, as a multi-instance activity; 0 for a plain task.
    loop: any other multi-instance, as `loop` below makes it.
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
    loop: str = ""


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
        parts += map(element, tasks)
        if isinstance(step, list):
            fork, join = f"fork_{number}", f"join_{number}"
            parts += [f'<bpmn:parallelGateway id="{gateway}"/>' for gateway in (fork, join)]
            flows += [(last, fork), *((fork, task.id) for task in step), *((task.id, join) for task in step)]
            last = join
        else:
            flows.append((last, step.id))
            last = step.id
    parts.append('<bpmn:endEvent id="end"/>')
    parts += [path(*flow) for flow in [*flows, (last, "end")]]
    codes = sorted({task.catches for step in steps for task in _tasks(step) if task.catches})
    return process(*parts, key=key, codes=codes)


def process(*parts: str, key: str = "", codes: Iterable[str] = ()) -> Model:
    """A definition of any structure, from XML parts; `codes` are the BPMN error codes that it catches."""
    key = key or unique("process")
    return Model(key, _DEFINITIONS.format(key=key, errors="".join(map(_error, codes)), parts="\n    ".join(parts)))


def line(*elements: str, start: str = "start", end: str = "end") -> str:
    """Start event, the elements one after the other, end event. What hangs on an element may follow in its text."""
    ids = [re.search(r'\bid="(.+?)"', each)[1] for each in elements]  # type: ignore[index]  # each has one
    return "".join([f'<bpmn:startEvent id="{start}"/>', *elements, ends(end), path(start, *ids, end)])


def path(*ids: str, when: str = "") -> str:
    """Sequence flows from each element to the next; `when` is the condition that they stand under."""
    condition = f'<bpmn:conditionExpression xsi:type="bpmn:tFormalExpression">{escape(when)}</bpmn:conditionExpression>'
    return "".join(
        f'<bpmn:sequenceFlow id="{source}_to_{target}" sourceRef="{source}" targetRef="{target}">'
        f"{condition if when else ''}</bpmn:sequenceFlow>"
        for source, target in pairwise(ids)
    )


def choice(id_: str, when: str, yes: str, no: str) -> str:
    """An exclusive gateway that goes to `yes` where the expression holds, else to `no`."""
    gateway = f'<bpmn:exclusiveGateway id="{id_}" default="{id_}_to_{no}"/>'
    return gateway + path(id_, yes, when=when) + path(id_, no)


def ends(*ids: str) -> str:
    """End events, one per way out."""
    return "".join(f'<bpmn:endEvent id="{each}"/>' for each in ids)


def loop(cardinality: int | None = None, *, collection: str = "", each: str = "", sequential: bool = False) -> str:
    """Multi-instance characteristics: so many times, or once for each of a collection."""
    over = f' camunda:collection="{escape(collection)}" camunda:elementVariable="{each}"' if collection else ""
    count = f"<bpmn:loopCardinality>{cardinality}</bpmn:loopCardinality>" if cardinality else ""
    return (
        f'<bpmn:multiInstanceLoopCharacteristics isSequential="{str(sequential).lower()}"{over}>{count}'
        "</bpmn:multiInstanceLoopCharacteristics>"
    )


def sub_process(id_: str, *parts: str, attributes: str = "", extensions: str = "", loop: str = "") -> str:
    """An embedded sub-process; an event sub-process by its attributes. Start and end stand in its parts."""
    return (
        f'<bpmn:subProcess id="{id_}" {attributes}><bpmn:extensionElements>{extensions}</bpmn:extensionElements>'
        f"{loop}{''.join(parts)}</bpmn:subProcess>"
    )


def call(id_: str, child: Model, mappings: str = "") -> str:
    """A call activity that hands all variables and the business key in, and `mappings` out."""
    return (
        f'<bpmn:callActivity id="{id_}" calledElement="{child.key}"><bpmn:extensionElements>'
        f'<camunda:in variables="all"/><camunda:in businessKey="#{{execution.processBusinessKey}}"/>{mappings}'
        "</bpmn:extensionElements></bpmn:callActivity>"
    )


def catch(id_: str, host: str, code: str) -> str:
    """A boundary event for a BPMN error, with the end event `<id>_end` behind it."""
    return (
        f'<bpmn:boundaryEvent id="{id_}" attachedToRef="{host}">'
        f'<bpmn:errorEventDefinition id="{id_}_definition" errorRef="error_{code}"/></bpmn:boundaryEvent>'
        f"{ends(f'{id_}_end')}{path(id_, f'{id_}_end')}"
    )


def expression(id_: str, text: str, result: str) -> str:
    """A step of the engine's own: evaluates an expression into a variable."""
    return f'<bpmn:serviceTask id="{id_}" camunda:expression="{escape(text)}" camunda:resultVariable="{result}"/>'


_DEFINITIONS = """\
<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="tests">
  {errors}
  <bpmn:process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    {parts}
  </bpmn:process>
</bpmn:definitions>
"""


def _tasks(step: ServiceTask | list[ServiceTask]) -> list[ServiceTask]:
    return step if isinstance(step, list) else [step]


def _error(code: str) -> str:
    return f'<bpmn:error id="error_{code}" errorCode="{code}"/>'


def element(task: ServiceTask) -> str:
    """The task, with the boundary event that catches its error."""
    properties = "".join(
        f'<camunda:property name="{escape(name)}" value="{escape(value)}"/>' for name, value in task.properties.items()
    )
    mappings = [("inputParameter", *pair) for pair in task.inputs.items()]
    mappings += [("outputParameter", *pair) for pair in task.outputs.items()]
    parameters = "".join(
        f'<camunda:{kind} name="{escape(name)}">{escape(value)}</camunda:{kind}>' for kind, name, value in mappings
    )
    text = f"<bpmn:documentation>{escape(task.documentation)}</bpmn:documentation>" if task.documentation else ""
    instances = task.loop or (loop(task.instances) if task.instances else "")
    boundary = (
        f'<bpmn:boundaryEvent id="{task.id}_boundary" attachedToRef="{task.id}">'
        f'<bpmn:errorEventDefinition id="{task.id}_definition" errorRef="error_{task.catches}"/></bpmn:boundaryEvent>'
        f'<bpmn:endEvent id="{task.id}_caught"/>{path(f"{task.id}_boundary", f"{task.id}_caught")}'
    )
    return (
        f'<bpmn:serviceTask id="{task.id}" name="{escape(task.name or task.id)}" camunda:type="external"'
        f' camunda:topic="{escape(task.topic)}" camunda:asyncAfter="{str(task.async_after).lower()}">'
        f"{text}<bpmn:extensionElements>"
        f"<camunda:properties>{properties}</camunda:properties>"
        f"<camunda:inputOutput>{parameters}</camunda:inputOutput>"
        f"</bpmn:extensionElements>{instances}</bpmn:serviceTask>"
        f"{boundary if task.catches else ''}"
    )
