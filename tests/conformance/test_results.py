"""Results as the model behind the task uses them: expressions, gateways, loops, mappings, scripts."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.questions import about, inputs
from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, call, choice, element, ends, expression, line, loop, path, process
from tests.rest import connect
from worker.demo.engine import Engine

LONG = "Größe 🙂,\n" * 900 + "ja"


async def reached(rig: Rig, instance: str) -> set[str]:
    """The activities that the instance went through."""
    rows = await rig.rest.get("history/activity-instance", processInstanceId=instance)
    return {row["activityId"] for row in rows}


async def typed(rig: Rig, instance: str) -> dict[str, dict[str, Any]]:
    """The instance's variables as the history has them, by name."""
    rows = await rig.rest.get("history/variable-instance", processInstanceId=instance, deserializeValues=False)
    return {row["name"]: row for row in rows}


def forked(step: ServiceTask, when: str) -> Model:
    """The task, and behind it a gateway that ends in `yes` or `no`."""
    ways = choice("decide", when, "yes", "no") + ends("yes", "no")
    start = f'<bpmn:startEvent id="start"/>{path("start", step.id, "decide")}'
    return process(start, element(step), ways)


@pytest.mark.parametrize("answer", ["ja, Größe 🙂", LONG], ids=["short", "long"])
async def test_a_gateway_reads_a_text_of_any_length(rig: Rig, answer: str) -> None:
    model = forked(rig.step("frame"), "${frame.contains('ja') && frame.startsWith(start)}")
    await rig.rest.deploy(model)
    rig.provider.answer(".", answer)
    await rig.start_worker()
    instance = await rig.run(model, {"start": answer[:9]})

    assert "yes" in await reached(rig, instance)
    row = (await typed(rig, instance))["frame"]
    assert (json.loads(row["value"]) if row["type"] == "Object" else row["value"]) == answer


@pytest.mark.parametrize(
    ("when", "way"),
    [
        ("${cost > 1000 && ratio < 0.5 && approved && choice == 'Bögen'}", "yes"),
        ("${cost <= 1000 || ratio >= 0.5 || !approved || nothing != null}", "no"),
        ("${advise.prop('budget').prop('total').numberValue() > 1000}", "yes"),
    ],
)
async def test_a_gateway_compares_the_fields_of_an_answer_as_what_they_are(rig: Rig, when: str, way: str) -> None:
    fields = "cost=budget.total,ratio=budget.ratio,approved,choice=options.1.name,nothing,options"
    model = forked(rig.step("advise", data_output_fields=fields), when)
    await rig.rest.deploy(model)
    budget = {"total": 2500, "ratio": 0.25}
    options = [{"name": "Pfeile"}, {"name": "Bögen"}]
    answer = {"budget": budget, "approved": True, "nothing": None, "options": options}
    rig.provider.answer(".", json.dumps(answer))
    await rig.start_worker()
    instance = await rig.run(model)

    assert way in await reached(rig, instance)
    rows = await typed(rig, instance)
    kinds = {name: row["type"] for name, row in rows.items() if not name.startswith(("assistant_thread", "advise"))}
    assert kinds == {
        "cost": "Long",
        "ratio": "Double",
        "approved": "Boolean",
        "choice": "String",
        "nothing": "Null",
        "options": "Json",
    }
    assert json.loads(rows["advise"]["value"]) == answer


async def test_a_call_activity_hands_results_of_every_type_to_its_caller(rig: Rig) -> None:
    child = process(
        line(
            element(rig.step("text")),
            element(rig.step("long")),
            element(rig.step("json", data_output_type="Json")),
            element(rig.step("paper", data_output_type="File")),
        )
    )
    names = ("text", "long", "json", "paper")
    mappings = "".join(f'<camunda:out source="{name}" target="my_{name}"/>' for name in names)
    behind = rig.step("behind", data_input=",".join(f"my_{name}" for name in names))
    parent = process(line(call("ask", child, mappings), element(behind)))
    await rig.rest.deploy(child, parent)
    answers = {"text": "Größe", "long": LONG, "json": '{"ü": [1]}', "paper": "# Größe 🙂"}
    for name, answer in answers.items():
        rig.provider.answer(f"Please do {name}", answer)
    await rig.start_worker()
    instance = await rig.run(parent)

    rows = await typed(rig, instance)
    assert [rows[f"my_{name}"]["type"] for name in names] == ["String", "Object", "Json", "File"]
    shown = inputs(about(rig, "Behind")[0])
    assert json.loads(shown["my_json"]) == {"ü": [1]}
    assert (shown["my_text"], shown["my_paper"]) == ("Größe", "# Größe 🙂")
    assert shown["my_long"] == LONG


async def test_a_loop_runs_over_a_list_that_an_assistant_made(rig: Rig) -> None:
    listing = rig.step("find", data_output_type="Json")
    rate = replace(
        rig.step("rate", data_input="option"),
        loop=loop(collection="${find.prop('options').elements()}", each="option"),
    )
    model = await rig.deploy(listing, rate)
    rig.provider.answer("# Find", '{"options": [{"name": "north"}, {"name": "süd"}]}')
    rig.provider.answer("north", "cold")
    rig.provider.answer("süd", "warm")
    await rig.start_worker()
    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert (variables["rate_0"], variables["rate_1"]) == ("cold", "warm")
    assert [json.loads(inputs(text)["option"]) for text in sorted(about(rig, "Rate"))] == [
        {"name": "north"},
        {"name": "süd"},
    ]


async def test_expressions_and_scripts_behind_the_task_compute_with_its_answer(rig: Rig) -> None:
    step = rig.step("score", data_output_type="Json", data_output_fields="points")
    double = expression("double", "${score.prop('points').numberValue() * 2}", "doubled")
    script = (
        '<bpmn:scriptTask id="add" scriptFormat="juel" camunda:resultVariable="added">'
        "<bpmn:script>${points + doubled}</bpmn:script></bpmn:scriptTask>"
    )
    model = process(line(element(step), double, script))
    await rig.rest.deploy(model)
    rig.provider.answer(".", '{"points": 21}')
    await rig.start_worker()
    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert (variables["doubled"], variables["added"]) == (42, 63)


async def test_local_results_leave_the_task_by_its_output_mapping_alone(rig: Rig) -> None:
    step = rig.step("frame", data_output_scope="local", data_output_fields="cost")
    model = await rig.deploy(
        replace(step, outputs={"advice": "${frame.prop('why').stringValue()}", "price": "${cost}"})
    )
    rig.provider.answer(".", '{"why": "Größe", "cost": 12}')
    await rig.start_worker()
    instance = await rig.run(model)

    rows = await typed(rig, instance)
    of_instance = {name for name, row in rows.items() if row["activityInstanceId"] == instance}
    assert of_instance == {"assistant_thread_analyst", "advice", "price"}
    assert {"frame", "frame_meta", "cost"} <= rows.keys() - of_instance
    assert (rows["advice"]["value"], rows["price"]["value"]) == ("Größe", 12)


async def test_an_engine_without_spin_still_gets_every_result_in_a_form_that_it_can_use(
    rig: Rig, bare_engine: Engine
) -> None:
    json_step = rig.step("advise", data_output_type="Json", data_output_fields="cost=budget.total,options")
    behind = rig.step("behind", data_input="long,advise,options")
    async with connect(bare_engine) as rest:
        rig.rest = rest
        rig.settings |= {"engine_user": bare_engine.user, "engine_password": bare_engine.password}
        model = process(
            f'<bpmn:startEvent id="start"/>{path("start", "short", "long", "advise", "behind", "decide")}',
            *(element(step) for step in (rig.step("short"), rig.step("long"), json_step, behind)),
            choice("decide", "${cost > 1000 && short.contains('Größe')}", "yes", "no") + ends("yes", "no"),
        )
        await rest.deploy(model)
        rig.provider.answer("Please do short", "Größe")
        rig.provider.answer("Please do long", LONG)
        rig.provider.answer("Please do advise", '{"budget": {"total": 2500}, "options": ["ü"]}')
        worker = await rig.start_worker()
        instance = await rig.run(model)
        went = await reached(rig, instance)
        rows = await typed(rig, instance)
        stored = {name: (await rig.meta(instance, name))["stored_as"] for name in ("short", "long", "advise")}
        await worker.kill()

    assert "yes" in went
    assert stored == {"short": "String", "long": "File", "advise": "String"}
    assert {name: rows[name]["type"] for name in stored} == stored
    assert (rows["cost"]["type"], rows["options"]["value"]) == ("Long", '["ü"]')
    assert inputs(about(rig, "Behind")[0])["long"] == LONG
