"""A process that was built of nothing but element templates, in a modeler, runs to its end."""

import json
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.flow.test_memory import all_remembered, patient
from tests.modeler import Modeler, modeler
from tests.models import Model, unique
from tests.unit.decisions.examples import parts
from worker.operate.templates import texts

SCHEMA = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}
QUESTIONS = [{"name": "fits", "type": "predicate", "instructions": "The offer fits."}]
GIVEN = ("objectives", "alternatives", "weights", "scores")
STEPS: dict[str, tuple[str, dict[str, str]]] = {
    "draft": ("task", {"data.input": "offer", "data.output": "summary", "memory.subject": "variable:customer"}),
    "frame": ("structured-answer", {"data.input": "-", "record.part": "frame"}),
    "rate": (
        "structured-answer",
        {"data.input": "summary, notes?", "data.output.schema": json.dumps(SCHEMA), "data.output.fields": "score"},
    ),
    "gate": ("decision-questions", {"data.input": "offer", "data.questions": json.dumps(QUESTIONS)}),
    "record": (
        "decision-record",
        {
            "record.stage": "compute",
            "record.given": ", ".join(f"{each}=agreed_{each}" for each in GIVEN),
            "data.output": "decision",
        },
    ),
}
"""The steps by their ids: each with its template, and with what is filled in there."""


async def drawn(desktop: Modeler, rig: Rig, records: str) -> Model:
    """Draw the process in an empty diagram: elements, their documentation, templates, and their fields."""
    tasks = [
        {"id": id_, "name": id_.title(), "type": "bpmn:ServiceTask", "documentation": f"Please do {id_}."}
        for id_ in STEPS
    ]
    await desktop.do("load", [json.loads(each) for each in texts(["analyst"]).values()])
    ends = ({"id": "start", "type": "bpmn:StartEvent"}, {"id": "end", "type": "bpmn:EndEvent"})
    await desktop.do("draw", [ends[0], *tasks, ends[1]])
    for id_, (template, said) in STEPS.items():
        await desktop.do("apply", id_, f"assistant-worker.{template}")
        is_asked = template != "decision-record"
        first = {"Topic": rig.topic if is_asked else records} | ({"service.name": "analyst"} if is_asked else {})
        for name, value in (first | said).items():
            await desktop.fill(id_, name, value)
    key = unique("process")
    await desktop.do("set", "process", {"id": key, "camunda:historyTimeToLive": "P1D"})
    return Model(key, await desktop.do("save"))


@pytest.mark.timeout(300)
async def test_what_was_built_of_templates_alone_runs_to_its_end(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    rig, records, given = kept, unique("records"), parts()
    rig.settings["memory"] = "embedded"
    async with modeler() as desktop:
        model = await drawn(desktop, rig, records)
    rig.provider.answer("Please do draft", "It fits the budget.")
    rig.provider.answer("Please do frame", json.dumps(given["frame"]))
    rig.provider.answer("Please do rate", json.dumps({"score": 4}))
    rig.provider.answer("Please do gate", json.dumps({"fits": True}))
    await rig.rest.deploy(model)
    await rig.start_worker(topics=f"{rig.topic},{records}")
    agreed: dict[str, Any] = {f"agreed_{each}": given[each] for each in GIVEN} | {
        "agreed_scores": given["scores"]["one"]
    }
    variables = {"offer": "Twelve chargers.", "customer": "ada"} | agreed
    first = await rig.run(model, variables)
    found = await rig.rest.variables(first)

    assert (found["summary"], found["score"], found["fits"]) == ("It fits the budget.", 4, True)
    assert json.loads(found["frame"]) == given["frame"]
    assert json.loads(found["decision"])["leader"] == "Y"
    assert "Twelve chargers." in rig.questions()[0]
    await all_remembered(rig)
    second = await rig.run(model, variables)
    assert (await rig.meta(second, "summary"))["recalled"]["of"] == 1
