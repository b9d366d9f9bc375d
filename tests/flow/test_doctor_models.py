"""What doctor finds in deployed models."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, bpmn, call, catch, element, ends, line, path, process, sub_process, unique
from worker.operate import doctor
from worker.operate.doctor import Finding, Level
from worker.operate.doctor.deployed import AREA


async def seen(rig: Rig, topics: Iterable[str] = ()) -> list[Finding]:
    """What doctor finds in the models, where the worker finds its topics itself unless they are given."""
    rows = await doctor.findings(rig.build_settings(topics=tuple(topics)))
    return [each for each in rows if each.area == AREA]


def about(rows: Iterable[Finding], model: Model, version: int = 1) -> list[Finding]:
    """The findings that name this definition."""
    label = f"{model.key} version {version}"
    return [each for each in rows if each.subject.startswith((f"{label}:", f"{label},"))]


def others(step: ServiceTask) -> ServiceTask:
    """The same task for other workers."""
    return replace(step, id=f"{step.id}_of_others", properties={})


async def test_a_task_that_is_right_is_counted_and_nothing_more_said(rig: Rig) -> None:
    by_parameters = replace(
        rig.step("ask", "unused"), documentation="", inputs={"prompt": "${question}", "assistant": "${who}"}
    )
    full = rig.step(
        "frame",
        service_version="1.0",
        data_input="goal, budget",
        data_output="frame",
        data_output_type="File",
        data_output_scope="local",
        error_refused="NO_FRAME",
    )
    model = await rig.deploy(replace(full, catches="NO_FRAME"), by_parameters)

    rows = await seen(rig)

    assert about(rows, model) == []
    assert [(each.subject, each.level) for each in rows] == [(f"topic {rig.topic}", Level.OK), ("tasks", Level.OK)]


async def test_an_engine_with_nothing_for_us_is_a_warning(rig: Rig) -> None:
    await rig.deploy(others(rig.step("frame")))

    [row] = await seen(rig)

    assert (row.subject, row.level) == ("topics", Level.WARNING)
    assert "service.type=assistant" in row.advice


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        ({"service.name": "analist"}, Level.PROBLEM, "did you mean 'analyst'"),
        ({"service.name": ""}, Level.PROBLEM, "names no assistant"),
        ({"service.version": "2.0"}, Level.PROBLEM, "has no version '2.0'"),
        ({"data.output.type": "Xml"}, Level.PROBLEM, "data.output.type is 'Xml'; allowed are Text, Json, File"),
        ({"data.output.scope": "global"}, Level.PROBLEM, "data.output.scope is 'global'"),
        ({"error.refusal": "NO"}, Level.PROBLEM, "error.refusal: unknown outcome"),
        ({"data.output_type": "Json"}, Level.WARNING, "data.output_type is not one that is read"),
        ({"data.output": "${name}"}, Level.PROBLEM, "data.output is '${name}': it is fixed text"),
        (
            {"service.name": "analyst", "service.type": "assistant", "data.input": "${name}"},
            Level.WARNING,
            "an expression",
        ),
        ({"data.input": "plan", "data.output": "plan"}, Level.WARNING, "overwrites its own input plan"),
        ({"data.input": "a, cost?", "data.output.fields": "cost=a.b"}, Level.WARNING, "overwrites its own input cost"),
        (
            {"error.refused": "NO_PLAN", "error.empty": "NONE"},
            Level.WARNING,
            "no event catches the BPMN error NONE, NO_PLAN",
        ),
        (
            {"data.output.schema": "missing.json"},
            Level.PROBLEM,
            "has no resource 'missing.json'; deploy it with the model",
        ),
        ({"data.questions": "gate.json"}, Level.PROBLEM, "has no resource 'gate.json'; deploy it with the model"),
    ],
)
async def test_a_task_that_would_go_wrong_is_named_with_what_to_do(
    rig: Rig, changes: dict[str, str], level: Level, said: str
) -> None:
    right = rig.step("right")
    wrong = rig.step("wrong")
    model = await rig.deploy(right, replace(wrong, properties={**wrong.properties, **changes}))

    [row] = about(await seen(rig), model)

    assert (row.subject, row.level) == (f"{model.key} version 1: wrong", level)
    assert said in row.said
    assert row.advice


NO_PLAN = {"error_refused": "NO_PLAN"}


async def test_an_error_is_caught_at_the_task_around_it_or_by_a_caller(rig: Rig) -> None:
    def thrown(topic: str = rig.topic) -> str:
        return element(rig.step("plan", topic=topic, **NO_PLAN))

    at_task = process(line(thrown()), catch("at", "plan", "NO_PLAN"), codes=["NO_PLAN"])
    around = process(
        line(sub_process("sub", line(thrown(), start="in", end="out"))),
        catch("at", "sub", "NO_PLAN"),
        codes=["NO_PLAN"],
    )
    start = '<bpmn:startEvent id="on"><bpmn:errorEventDefinition/></bpmn:startEvent>'
    handler = sub_process("any", start, ends("handled"), path("on", "handled"), attributes='triggeredByEvent="true"')
    in_event = process(line(thrown()), handler)
    called = process(line(thrown()))
    between = process(line(call("down", called)))
    caller = process(line(call("down", between)), catch("at", "down", "NO_PLAN"), codes=["NO_PLAN"])
    for models in ([at_task], [around], [in_event], [called, between, caller]):
        await rig.rest.deploy(*models)
    of_another_code = process(line(thrown()), catch("at", "plan", "OTHER"), codes=["OTHER"])
    await rig.rest.deploy(of_another_code)

    rows = await seen(rig)

    assert [each.subject for each in rows if "no event catches" in each.said] == [
        f"{of_another_code.key} version 1: plan"
    ]


async def test_a_schema_that_is_deployed_and_wrong_is_a_problem(rig: Rig, tmp_path: Path) -> None:
    schemas = {"right.json": "{}", "wrong.json": '{"type": "text"}'}
    for name, text in schemas.items():
        (tmp_path / name).write_text(text)
    model = bpmn(*(rig.step(name.removesuffix(".json"), data_output_schema=name) for name in schemas))
    await rig.rest.deploy(model, *(tmp_path / name for name in schemas))

    [row] = about(await seen(rig), model)
    assert (row.subject, row.level) == (f"{model.key} version 1: wrong", Level.PROBLEM)
    assert "is no usable JSON Schema" in row.said


async def test_a_task_with_nothing_to_ask_is_a_problem(rig: Rig) -> None:
    model = await rig.deploy(replace(rig.step("frame"), documentation=""))

    [row] = about(await seen(rig), model)

    assert (row.level, "nothing to ask" in row.said) == (Level.PROBLEM, True)


async def test_missing_async_after_is_one_warning_for_all_tasks_of_a_definition(rig: Rig) -> None:
    bare = [replace(rig.step(name), async_after=False) for name in ("frame", "evaluate")]
    model = await rig.deploy(*bare, rig.step("recommend"))

    [row] = about(await seen(rig), model)

    assert (row.subject, row.level) == (f"{model.key} version 1: frame, evaluate", Level.WARNING)
    assert "completions collide" in row.said
    assert 'camunda:asyncAfter="true"' in row.advice
    assert await doctor.examine(rig.build_settings(topics=())) == 0


async def test_a_definition_that_mixes_on_a_topic_is_not_served(rig: Rig) -> None:
    step = rig.step("frame")
    model = await rig.deploy(step, others(step))

    rows = await seen(rig)

    [row] = about(rows, model)
    assert (row.subject, row.level) == (f"{model.key} version 1, topic {rig.topic}", Level.PROBLEM)
    assert "a topic of their own" in row.said
    assert await doctor.examine(rig.build_settings(topics=())) == 1


async def test_a_topic_that_other_definitions_use_is_said_to_be_shared(rig: Rig) -> None:
    step = rig.step("frame")
    ours = await rig.deploy(step)
    await rig.deploy(others(step))

    rows = await seen(rig)

    [row] = [each for each in rows if each.subject == f"topic {rig.topic}"]
    assert (row.level, f"polled for {ours.key} version 1 only" in row.said) == (Level.OK, True)


async def test_a_topic_that_is_an_expression_is_not_served(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame", topic="${topic}"))

    [row] = about(await seen(rig), model)

    assert (row.level, "an expression" in row.said) == (Level.PROBLEM, True)


@pytest.mark.parametrize(("given", "fate"), [(False, "left alone"), (True, "its tasks on TOPICS, if any, become inc")])
async def test_of_a_definition_that_cannot_be_read_it_is_said_what_becomes_of_its_tasks(
    rig: Rig, *, given: bool, fate: str
) -> None:
    model = bpmn(rig.step("frame"))
    [definition] = await rig.rest.deploy(model)
    async with gateway(rig.rest.base_url) as door:
        door.instead[f"/{definition}/xml"] = {"bpmn20Xml": "<a"}
        rig.settings["engine_url"] = door.url
        rows = await seen(rig, [rig.topic] if given else [])

    [row] = [each for each in rows if each.subject == f"{model.key} version 1"]
    assert (row.level, "cannot be read: ParseError" in row.said, fate in row.said) == (Level.WARNING, True, True)


async def test_an_old_version_counts_as_long_as_instances_run(rig: Rig) -> None:
    key = unique("process")
    old = await rig.deploy(rig.step("frame", "gone"), key=key)
    instance = await rig.rest.start(old)
    await rig.deploy(rig.step("frame"), key=key)

    while_it_runs = await seen(rig)
    await rig.rest.delete(f"process-instance/{instance}")
    after_it = await seen(rig)

    assert [each.level for each in about(while_it_runs, old)] == [Level.PROBLEM]
    assert about(after_it, old) == about(while_it_runs, old, version=2) == []


async def test_definitions_of_two_tenants_are_told_apart(rig: Rig) -> None:
    model = bpmn(rig.step("frame", "nobody"))
    for tenant in ("north", "south"):
        await rig.rest.deploy(model, tenant=tenant)

    named = {each.subject for each in await seen(rig) if each.level is Level.PROBLEM}

    assert named == {f"{model.key} version 1 of tenant {tenant}: frame" for tenant in ("north", "south")}


async def test_a_task_that_names_an_assistant_but_is_not_for_one_is_a_warning(rig: Rig) -> None:
    step = rig.step("frame")
    typo = replace(step, topic=unique("topic"), properties={"service.type": "assistent", "service.name": "analyst"})
    stranger = replace(typo, id="stranger", properties={"service.type": "rest", "service.name": "billing"})
    model = await rig.deploy(typo, stranger)

    [row] = about(await seen(rig), model)

    assert (row.subject, row.level) == (f"{model.key} version 1: frame", Level.WARNING)
    assert "'assistent'" in row.said


async def test_one_assistants_spec_that_is_wrong_does_not_hide_the_models(rig: Rig) -> None:
    (rig.folder / "analyst@1.0.md").unlink()
    model = await rig.deploy(replace(rig.step("frame"), documentation=""))

    rows = await seen(rig)

    assert [each.level for each in about(rows, model)] == [Level.PROBLEM]
    assert ("assistants of the tasks", Level.UNKNOWN) in [(each.subject, each.level) for each in rows]


async def test_given_topics_are_compared_with_what_is_deployed(rig: Rig) -> None:
    shared, left_out, idle = unique("shared"), unique("left_out"), unique("idle")
    ours = await rig.deploy(rig.step("frame"), rig.step("mixed", topic=shared), rig.step("more", topic=left_out))
    await rig.deploy(others(rig.step("frame", topic=shared)))

    rows = {each.subject: each for each in await seen(rig, [rig.topic, shared, idle])}

    expected: dict[str, Any] = {
        f"topic {rig.topic}": Level.OK,
        f"topic {shared}": Level.PROBLEM,
        f"topic {idle}": Level.WARNING,
        f"{ours.key} version 1, topic {left_out}": Level.WARNING,
        "tasks": Level.OK,
    }
    assert {subject: each.level for subject, each in rows.items()} == expected
    assert "they would fail" in rows[f"topic {shared}"].said


async def test_many_definitions_are_all_read(rig: Rig) -> None:
    models = [bpmn(rig.step("frame", "nobody")) for _ in range(20)]
    await rig.rest.deploy(*models)

    rows = await seen(rig)

    assert all([each.level for each in about(rows, model)] == [Level.PROBLEM] for model in models)


async def test_assistants_that_came_with_a_process_are_named_with_what_they_ask(rig: Rig, tmp_path: Path) -> None:
    spec = tmp_path / "analyst.md"
    spec.write_text('---\nname: analyst\nversion: "1"\nmodel: gpt-5-mini\nmax_output_tokens: 90\n---\nYou travel.\n')
    model = bpmn(rig.step("one", "deployment:analyst.md"))
    await rig.rest.deploy(model, spec)
    off = about(await seen(rig), model)
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=100"
    [allowed] = about(await seen(rig), model)
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=100 tenant=north"
    await rig.rest.deploy(model, spec, tenant="north")
    rows = await seen(rig)
    [refused] = about(rows, model)
    [of_north] = [each for each in rows if each.subject.startswith(f"{model.key} version 1 of tenant north:")]

    assert f"allows nothing to assistants that come with process {model.key} without a tenant" in refused.said
    assert (refused.level, of_north.level) == (Level.PROBLEM, Level.OK)
    assert [(each.level, "DEPLOYED_ASSISTANTS is off" in each.said) for each in off] == [(Level.PROBLEM, True)]
    assert allowed.subject.endswith(f": deployment:{model.key}:analyst")
    assert (allowed.level, allowed.said) == (
        Level.OK,
        "version 1, asks openai/gpt-5-mini, 90 tokens an answer at most",
    )
