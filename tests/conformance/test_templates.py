"""A process that was built of nothing but element templates, in a modeler, runs to its end."""

import json
import os
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.flow.test_approval import until_person
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
    "approve": ("memory-approval", {"memory.signed": "review", "memory.accepted": "keep", "data.output": "approval"}),
}
"""The steps by their ids: each with its template, and with what is filled in there."""
ALONE = {"decision-record", "memory-approval"}
"""Templates of tasks for which no assistant is asked. Each has a topic of its own."""


async def drawn(desktop: Modeler, rig: Rig, alone: str) -> Model:
    """Draw the process in an empty diagram: elements, their documentation, templates, and their fields.

    Where PAGE_SHOTS names a folder, it gets a picture of each step's panel.
    """
    tasks = [
        {"id": id_, "name": id_.title(), "type": "bpmn:ServiceTask", "documentation": f"Please do {id_}."}
        for id_ in STEPS
    ]
    tasks.insert(-1, {"id": "review", "name": "Review", "type": "bpmn:UserTask"})
    await desktop.do("load", [json.loads(each) for each in texts(["analyst"]).values()])
    ends = ({"id": "start", "type": "bpmn:StartEvent"}, {"id": "end", "type": "bpmn:EndEvent"})
    await desktop.do("draw", [ends[0], *tasks, ends[1]])
    for id_, (template, said) in STEPS.items():
        await desktop.do("apply", id_, f"assistant-worker.{template}")
        first = {"Topic": f"{alone}_{id_}"} if template in ALONE else {"Topic": rig.topic, "service.name": "analyst"}
        for name, value in (first | said).items():
            await desktop.fill(id_, name, value)
        if shots := os.environ.get("PAGE_SHOTS"):
            await desktop.shot(id_, f"{shots}/template-{template}-{id_}.png")
    key = unique("process")
    await desktop.do("set", "process", {"id": key, "camunda:historyTimeToLive": "P1D"})
    return Model(key, await desktop.do("save"))


async def over(rig: Rig, model: Model, variables: dict[str, Any]) -> str:
    """Start an instance, complete its person's task, and wait for its end."""
    instance = await rig.rest.start(model, variables)
    await rig.rest.post(f"task/{await until_person(rig, instance, 'review')}/complete", {})
    await rig.rest.wait_for_end(instance)
    return instance


@pytest.mark.timeout(300)
async def test_what_was_built_of_templates_alone_runs_to_its_end(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    rig, alone, given = kept, unique("alone"), parts()
    rig.settings["memory"] = "embedded"
    async with modeler() as desktop:
        model = await drawn(desktop, rig, alone)
    rig.provider.answer("Please do draft", "It fits the budget.")
    rig.provider.answer("Please do frame", json.dumps(given["frame"]))
    rig.provider.answer("Please do rate", json.dumps({"score": 4}))
    rig.provider.answer("Please do gate", json.dumps({"fits": True}))
    await rig.rest.deploy(model)
    await rig.start_worker(topics=f"{rig.topic},{alone}_record,{alone}_approve")
    agreed: dict[str, Any] = {f"agreed_{each}": given[each] for each in GIVEN} | {
        "agreed_scores": given["scores"]["one"]
    }
    variables = {"offer": "Twelve chargers.", "customer": "ada"} | agreed
    first = await over(rig, model, variables)
    found = await rig.rest.variables(first)

    assert (found["summary"], found["score"], found["fits"]) == ("It fits the budget.", 4, True)
    assert json.loads(found["frame"]) == given["frame"]
    assert json.loads(found["decision"])["leader"] == "Y"
    # This engine asks nobody for a name, so that whoever has completed the task approves nothing.
    assert json.loads(found["approval"])["why"] != ""
    assert "Twelve chargers." in rig.questions()[0]
    await all_remembered(rig)
    second = await over(rig, model, variables)
    assert (await rig.meta(second, "summary"))["recalled"]["of"] == 1
