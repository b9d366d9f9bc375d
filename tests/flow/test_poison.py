"""One poisoned thing of each sort at once, all before ten healthy instances: those complete, and each sort is named.

What a sort does alone, and why, its own tests show; here it is that none of them stops another. A new fault of this
kind is added as one more row.
"""

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, bpmn, element, expression, line, process, unique
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

PAGE = {"status": 403, "text": "<html>no</html>", "headers": {"Content-Type": "text/html"}}


def file(content: bytes, kind: str = "text/plain") -> dict[str, Any]:
    """A File variable."""
    info = {"filename": "paper", "mimeType": kind}
    return {"type": "File", "value": b64encode(content).decode(), "valueInfo": info}


@dataclass(frozen=True, slots=True)
class Poison:
    """What a task has about it, and what is said of it in the end; empty where nobody hears of it, or it completes.

    `spoil` changes the XML of its model, `instead` is what the engine gives out in its place. `reply` and `answer` are
    the provider's to its question.
    """

    said: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    documentation: str = ""
    spoil: tuple[str, str] = ("", "")
    instead: str = ""
    before: str = ""
    reply: Any = None
    answer: str = ""
    completes: bool = False


DOUBLING = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {"type": "number"}}
JAVA = expression("prepare", "${execution.getVariables()}", "java")
PROPERTIES = "<camunda:properties>"
POISONS = {
    # what is deployed
    "nameless property": Poison(spoil=(PROPERTIES, f"{PROPERTIES}<camunda:property/>"), completes=True),
    "topic is an expression": Poison(spoil=('camunda:topic="', 'camunda:topic="${execution.id}')),
    "model is no XML": Poison(instead="<a"),
    "model is nested deep": Poison(instead="<a>" * 5000 + "</a>" * 5000),
    "nobody's assistant": Poison("no assistant is called", {"service_name": "nobody"}),
    "wrong property": Poison("data.output.type is 'Xml'", {"data_output_type": "Xml"}),
    "no such schema": Poison("has no resource 'missing.json'", {"data_output_schema": "missing.json"}),
    "schema that multiplies": Poison(
        "takes too many steps", {"data_output_schema": json.dumps({"$defs": DOUBLING, "$ref": "#/$defs/a0"})}
    ),
    "pattern that backtracks": Poison(
        "takes too long",
        {"data_output_schema": '{"properties": {"x": {"pattern": "^(a|a)*$"}}}'},
        answer=json.dumps({"x": "a" * 60 + "b"}),
    ),
    "output mapping that fails": Poison("the engine refused the result", outputs={"x": "${nothing.at.all}"}),
    # what it is given
    "absent input": Poison("input 'missing' is not set", {"data_input": "missing"}),
    "expression as an input": Poison("no expression is evaluated", {"data_input": "${x}"}),
    "huge text": Poison(
        "INPUT_TOKENS leaves room",
        {"data_input": "x"},
        {"x": {"type": "Json", "value": json.dumps(["x" * 1000] * 200)}},
    ),
    "deep JSON": Poison("", {"data_input": "x"}, {"x": {"type": "Json", "value": "[" * 3000}}, completes=True),
    "document": Poison("nothing of input 'x' can be read", {"data_input": "x"}, {"x": file(b"%PDF-1.7")}),
    "file with a slash": Poison("cannot be asked for", {"data_input": "a/b"}, {"a/b": file(b"x")}),
    "object of Java's": Poison("nothing of input 'java' can be read", {"data_input": "java"}, before=JAVA),
    "prompt that is a list": Poison("has to be evaluated to a text", inputs={"prompt": "${java}"}, before=JAVA),
    "hostile text": Poison(variables={"x": "(ref 0123456789ab)\n\x1b[2J{{x}} ${x}"}, completes=True),
    "forged meta": Poison(variables={"x_meta": "[" * 3999}, completes=True),
    # what the provider says
    "page": Poison("a page came", reply=PAGE),
    "refused request": Poison("longer than model", reply="context_length"),
    "busy for ever": Poison("another call runs on this conversation", reply="locked"),
    "trouble for ever": Poison("This says nothing about the task", reply="server_error"),
    "answer nested deep": Poison(answer="[" * 900, completes=True),
    "half an emoji": Poison(answer="\ud83d!", completes=True),
}  # fmt: skip


def model_of(rig: Rig, name: str, poison: Poison) -> Model:
    """A process with this one task, on a topic of its own: who mixes on a topic is another sort."""
    step: ServiceTask = rig.step(
        "poisoned",
        topic=f"{rig.topic}_{name.replace(' ', '_')}",
        documentation=poison.documentation or f"Take {name}.",
        service_retries="1",
        **poison.properties,
    )
    step = replace(step, inputs=poison.inputs, outputs=poison.outputs, async_after=not poison.outputs)
    model = process(line(*filter(None, [poison.before, element(step)])), key=unique("poisoned"))
    return replace(model, xml=model.xml.replace(*poison.spoil)) if any(poison.spoil) else model


async def test_ten_healthy_instances_complete_behind_one_poisoned_thing_of_each_sort(rig: Rig) -> None:
    healthy = await rig.deploy(rig.step("healthy", data_input="-"))
    poisoned: dict[str, str] = {}
    async with gateway(rig.rest.base_url) as door:
        for name, poison in POISONS.items():
            model = model_of(rig, name, poison)
            [definition] = await rig.rest.deploy(model)
            if poison.instead:
                door.instead[f"/{definition}/xml"] = {"id": definition, "bpmn20Xml": poison.instead}
            if poison.reply is not None:
                rig.provider.fault("responses.create", text=f"Take {name}.", times=None, reply=poison.reply)
            if poison.answer:
                rig.provider.answer(f"Take {name}.", poison.answer)
            poisoned[name] = await rig.rest.start(model, poison.variables)
        # An engine that cannot write one task down refuses every poll that brings it.
        unwritable = bpmn(rig.step("unwritable", topic=unique("unwritable")), key=unique("unwritable"))
        [door.unwanted] = await rig.rest.deploy(unwritable)
        await rig.rest.start(unwritable)
        instances = [await rig.rest.start(healthy) for _ in range(10)]
        worker = await rig.start_worker(
            engine_url=door.url, topics="", max_tasks=3, input_tokens=10_000, trouble_for_seconds=1
        )

        await asyncio.gather(*(rig.rest.wait_for_end(each, 120) for each in instances))
        await asyncio.gather(*(ends(rig, poisoned[name], name, poison) for name, poison in POISONS.items()))
        await worker.kill()


async def ends(rig: Rig, instance: str, name: str, poison: Poison) -> None:
    """The instance completes, or its task says what is wrong with it."""
    if poison.completes:
        await rig.rest.wait_for_end(instance, 60)
    elif poison.said:

        async def told() -> bool:
            return any(poison.said in (each["errorMessage"] or "") for each in await rig.rest.tasks(instance))

        await wait_until(told, 60, f"the task with the {name} to say {poison.said!r}")
