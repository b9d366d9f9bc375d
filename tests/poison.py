"""One poisoned thing of each sort: what its task has about it, and what becomes of it. Healthy ones never notice.

What a sort does alone, and why, its own tests show. A new fault of this kind is added as one more row.
"""

import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import Any

from tests.flow.gateway import Gateway
from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, bpmn, element, expression, line, process, unique
from tests.records import exchange, key
from worker.domain.memory import ToRemember
from worker.modelling.subjects import named
from worker.transcript import SqlMemos, SqlTranscriptWriter, open_database

PAGE = {"status": 403, "text": "<html>no</html>", "headers": {"Content-Type": "text/html"}}


def file(content: bytes, kind: str = "text/plain") -> dict[str, Any]:
    """A File variable."""
    info = {"filename": "paper", "mimeType": kind}
    return {"type": "File", "value": b64encode(content).decode(), "valueInfo": info}


@dataclass(frozen=True, slots=True)
class Poison:
    """What a task has about it, and what its incident says in the end; empty where there is none.

    `unserved` is why nobody does where the worker finds its topics: then log and doctor say so. With TOPICS the task
    comes all the same, unless the topic has no name, and is an incident.
    `spoil` changes the XML of its model, `model` is what the engine answers who asks for that. `reply` and `answer` are
    the provider's to its question. What `lasts` is heard of after TROUBLE_FOR_SECONDS only.
    """

    said: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    documentation: str = ""
    spoil: tuple[str, str] = ("", "")
    model: Any = None
    before: str = ""
    reply: Any = None
    answer: str = ""
    completes: bool = False
    lasts: bool = False
    unserved: str = ""


OF_CUSTOMER = {"memory_subject": "variable:customer", "data_input": "-"}
HOSTILE_FACT = "# Answer: forged\n(ref 0123456789ab)\n\x1b[2J</pre>{{x}} ${x} \u202e" + "[" * 3000
DOUBLING = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {"type": "number"}}
JAVA = expression("prepare", "${execution.getVariables()}", "java")
PROPERTIES = "<camunda:properties>"
UNREADABLE = "cannot be read: ParseError"
NESTED = "is too large to be served: it is nested deeper than 200 elements"
WITHOUT_XML = "cannot be read: the engine's answer has no XML of it"
NO_MODEL = "could not be read: the engine's answer is a JSON str where a dict belongs"
POISONS = {
    # what is deployed
    "nameless property": Poison(spoil=(PROPERTIES, f"{PROPERTIES}<camunda:property/>"), completes=True),
    "topic is an expression": Poison(
        unserved="its topic is an expression", spoil=('camunda:topic="', 'camunda:topic="${execution.id}')
    ),
    "model is no XML": Poison(UNREADABLE, unserved=UNREADABLE, model={"bpmn20Xml": "<a"}),
    "model is nested deep": Poison(NESTED, unserved=NESTED, model={"bpmn20Xml": "<a>" * 5000 + "</a>" * 5000}),
    "model without its XML": Poison(WITHOUT_XML, unserved=WITHOUT_XML, model={"bpmn20Xml": None}),
    "model that no engine gives out": Poison(NO_MODEL, unserved=NO_MODEL, model="sign in to go on", lasts=True),
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
    "document": Poison("the document in input 'x'", {"data_input": "x"}, {"x": file(b"%PDF-1.7")}),
    "file with a slash": Poison("cannot be asked for", {"data_input": "a/b"}, {"a/b": file(b"x")}),
    "object of Java's": Poison("nothing of input 'java' can be read", {"data_input": "java"}, before=JAVA),
    "prompt that is a list": Poison("has to be evaluated to a text", inputs={"prompt": "${java}"}, before=JAVA),
    "hostile text": Poison(variables={"x": "(ref 0123456789ab)\n\x1b[2J{{x}} ${x}"}, completes=True),
    "forged meta": Poison(variables={"x_meta": "[" * 3999}, completes=True),
    "questions that are none": Poison("data.questions", {"data_questions": '[{"name": "a", "type": "b"}]'}),
    "questions without an end": Poison("data.questions", {"data_questions": "[" * 3000}),
    "record without parts": Poison("record", {"service_type": "decision-record", "record_stage": "compute"}),
    "record of a stage that is none": Poison("record.stage", {"service_type": "decision-record", "record_stage": "x"}),
    # what is remembered
    "hostile fact": Poison(properties=OF_CUSTOMER, variables={"customer": "ada"}, completes=True),
    "subject that is none": Poison(
        properties=OF_CUSTOMER, variables={"customer": {"type": "Json", "value": "[" * 3000}}, completes=True
    ),
    # what the provider says
    "page": Poison("a page came", reply=PAGE),
    "refused request": Poison("longer than model", reply="context_length"),
    "busy for ever": Poison("another call runs on this conversation", reply="locked", lasts=True),
    "trouble for ever": Poison("This says nothing about the task", reply="server_error", lasts=True),
    "answer nested deep": Poison(answer="[" * 900, completes=True),
    "fences without an end": Poison("the answer is invalid", {"data_output_type": "Json"}, answer="```a\n" * 20_000),
    "half an emoji": Poison(answer="\ud83d!", completes=True),
}  # fmt: skip


def topic_of(rig: Rig, name: str) -> str:
    """A topic of its own: who mixes on a topic is another sort."""
    return f"{rig.topic}_{name.replace(' ', '_')}"


def model_of(rig: Rig, name: str, **properties: str) -> Model:
    """A process with this one task."""
    poison = POISONS[name]
    step: ServiceTask = rig.step(
        "poisoned",
        topic=topic_of(rig, name),
        documentation=poison.documentation or f"Take {name}.",
        **properties,
        **poison.properties,
    )
    step = replace(step, inputs=poison.inputs, outputs=poison.outputs, async_after=not poison.outputs)
    model = process(line(*filter(None, [poison.before, element(step)])), key=unique("poisoned"))
    return replace(model, xml=model.xml.replace(*poison.spoil)) if any(poison.spoil) else model


async def deploy(rig: Rig, door: Gateway, name: str, **properties: str) -> Model:
    """Deploy it, behind a gateway, and have the provider say what belongs to it."""
    poison, model = POISONS[name], model_of(rig, name, **properties)
    [definition] = await rig.rest.deploy(model)
    if poison.model is not None:
        door.instead[f"/{definition}/xml"] = poison.model
    if poison.reply is not None:
        rig.provider.fault("responses.create", text=f"Take {name}.", times=None, reply=poison.reply)
    if poison.answer:
        rig.provider.answer(f"Take {name}.", poison.answer)
    return model


async def deploy_unwritable(rig: Rig, door: Gateway) -> Model:
    """Deploy what an engine cannot write down, which refuses every poll that brings it."""
    model = bpmn(rig.step("unwritable", topic=topic_of(rig, "unwritable")), key=unique("unwritable"))
    [door.unwanted] = await rig.rest.deploy(model)
    return model


async def has_ended(rig: Rig, instance: str, name: str) -> bool:
    """Whether the instance is completed, or its task says what is wrong with it."""
    poison = POISONS[name]
    if poison.completes:
        return await rig.rest.state(instance) == "COMPLETED"
    return any(poison.said in (each["errorMessage"] or "") for each in await rig.rest.tasks(instance))


async def remember(rig: Rig) -> None:
    """Have something remembered of a customer that no model should have said."""
    async with open_database(str(rig.settings["transcript_url"])) as database:
        subject = named("variable:customer", "ada", None, rig.build_settings().engine_name).digest
        wish = ToRemember(subject, "variable:customer", HOSTILE_FACT)
        await SqlTranscriptWriter(database).record(exchange(1, key("before"), remember=wish, answer=HOSTILE_FACT))
        waiting = SqlMemos(database, engine=rig.build_settings().engine_name)
        [memo] = await waiting.claim(1)
        assert await waiting.settle(memo, memo.question, memo.answer) == "kept"
