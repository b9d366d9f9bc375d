"""What a thread does in loops, sub-processes, compensation and timers: one conversation, turn by turn."""

import re
from dataclasses import replace

import pytest
import structlog

from tests.conformance.questions import about, inputs
from tests.flow.rig import Rig
from tests.models import call, choice, element, ends, expression, line, loop, path, process, sub_process
from tests.waiting import wait_until


async def earlier(rig: Rig, instance: str, output: str) -> list[int]:
    """How many turns each answer under this name, numbered or not, saw before itself; rising."""
    texts = [
        text for name, text in (await rig.rest.variables(instance)).items() if re.fullmatch(rf"{output}(_\d+)?", name)
    ]
    return sorted(int(re.findall(r"(\d+) earlier turn", text)[0]) for text in texts)


async def only_thread(rig: Rig, instance: str, turns: int) -> None:
    """Fail unless all was one conversation of so many turns."""
    thread = (await rig.rest.variables(instance))["assistant_thread_analyst"].partition("#")[0]
    assert rig.provider.counts()["turns"] == {thread: turns}


@pytest.mark.parametrize("sequential", [False, True], ids=["parallel", "sequential"])
async def test_a_multi_instance_task_takes_turns_and_numbers_its_results(rig: Rig, sequential: bool) -> None:
    step = replace(rig.step("rate", data_input="loopCounter"), loop=loop(3, sequential=sequential))
    model = await rig.deploy(step, rig.step("close", data_input="-"))
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 4)
    assert rig.calls("responses.create") == 4, "none was refused because another one ran"
    assert await earlier(rig, instance, "rate") == [0, 1, 2]
    variables = await rig.rest.variables(instance)
    assert {f"rate_{number}" for number in range(3)} | {
        f"rate_{number}_meta" for number in range(3)
    } <= variables.keys()
    order = [inputs(question)["loopCounter"] for question in about(rig, "Rate")]
    assert (order if sequential else sorted(order)) == ["0", "1", "2"]


async def test_fields_of_a_loop_are_numbered_as_its_results_are(rig: Rig) -> None:
    step = replace(rig.step("rate", data_input="loopCounter", data_output_fields="points"), loop=loop(2))
    model = await rig.deploy(step, rig.step("close"))
    rig.provider.answer("\n    0\n", '{"points": 10}')
    rig.provider.answer("\n    1\n", '{"points": 11}')
    await rig.start_worker()
    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert (variables["points_0"], variables["points_1"], "points" in variables) == (10, 11, False)
    assert "## Inputs" not in about(rig, "Close")[0], "its thread knows them"


async def test_a_multi_instance_sub_process_numbers_the_results_of_all_its_tasks(rig: Rig) -> None:
    inner = line(
        element(rig.step("look", data_input="-")), element(rig.step("judge", data_input="-")), start="in", end="out"
    )
    model = process(line(sub_process("each", inner, loop=loop(2)), element(rig.step("close"))))
    await rig.rest.deploy(model)
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 5)
    variables = await rig.rest.variables(instance)
    assert {"look_0", "look_1", "judge_0", "judge_1"} <= variables.keys()
    assert not {"look", "judge"} & variables.keys()
    assert "## Inputs" not in about(rig, "Close")[0], "its thread knows them all"


async def test_a_loop_within_a_loop_without_local_results_is_an_incident(rig: Rig) -> None:
    step = replace(rig.step("rate", data_input="-"), loop=loop(2))
    model = process(
        line(sub_process("each", line(element(step), start="in", end="out"), loop=loop(2, sequential=True)))
    )
    await rig.rest.deploy(model)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)

    assert "make the inner loop a called process" in task["errorMessage"]
    assert "set the property data.output.scope to local" in task["errorMessage"]
    assert (task["retries"], rig.calls("responses.create")) == (0, 0)


async def test_local_results_of_a_loop_within_a_loop_are_taken_over_by_their_mapping(rig: Rig) -> None:
    step = rig.step("rate", data_input="-", data_output_scope="local")
    step = replace(step, outputs={"notes": "${notes.concat(rate)}"})
    inner = line(element(step), start="in", end="out")
    twice = loop(2, sequential=True)
    outer = line(sub_process("inner", inner, loop=twice), start="open", end="close")
    model = process(line(sub_process("outer", outer, loop=twice)))
    await rig.rest.deploy(model)
    rig.provider.answer(".", "ja ")
    await rig.start_worker()
    instance = await rig.run(model, {"notes": ""})

    assert (await rig.rest.variables(instance))["notes"] == "ja ja ja ja "


async def test_an_inner_loop_that_is_called_keeps_all_its_results(rig: Rig) -> None:
    step = replace(rig.step("rate", data_input="-", service_thread="root"), loop=loop(2))
    child = process(line(element(step)))
    model = process(line(call("down", child).replace("</bpmn:callActivity>", f"{loop(2)}</bpmn:callActivity>")))
    await rig.rest.deploy(child, model)
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 4)
    called = await rig.rest.get("history/process-instance", superProcessInstanceId=instance)
    seen = [count for each in called for count in await earlier(rig, each["id"], "rate")]
    assert sorted(seen) == [0, 1, 2, 3]


async def test_embedded_and_event_sub_processes_speak_on_the_instances_thread(rig: Rig) -> None:
    inner = line(element(rig.step("inside", error_refused="NO")), start="in", end="out")
    caught = (
        '<bpmn:startEvent id="caught"><bpmn:errorEventDefinition id="caught_definition" errorRef="error_NO"/>'
        "</bpmn:startEvent>"
    )
    handler = sub_process(
        "handler",
        caught + element(rig.step("explain")) + ends("handled") + path("caught", "explain", "handled"),
        attributes='triggeredByEvent="true"',
    )
    model = process(line(element(rig.step("first")), sub_process("body", inner)), handler, codes=["NO"])
    await rig.rest.deploy(model)
    rig.provider.fault("responses.create", text="Please do inside", outcome="refused")
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 3)
    assert await earlier(rig, instance, "explain") == [2]


async def test_an_activity_that_comes_again_goes_on_with_its_thread(rig: Rig) -> None:
    count = "${execution.getVariable('round') == null ? 1 : execution.getVariable('round') + 1}"
    model = process(
        f'<bpmn:startEvent id="start"/>{path("start", "draft", "count", "enough")}',
        element(rig.step("draft")),
        expression("count", count, "round"),
        choice("enough", "${round < 3}", "draft", "end") + ends("end"),
    )
    await rig.rest.deploy(model)
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 3)
    assert await earlier(rig, instance, "draft") == [2], "the last answer stands"
    assert len({question.splitlines()[-1] for question in about(rig, "Draft")}) == 3


async def test_a_compensation_handler_may_be_an_assistant(rig: Rig) -> None:
    undo = element(rig.step("undo")).replace("<bpmn:serviceTask ", '<bpmn:serviceTask isForCompensation="true" ', 1)
    boundary = (
        '<bpmn:boundaryEvent id="undoing" attachedToRef="book">'
        '<bpmn:compensateEventDefinition id="undoing_definition"/></bpmn:boundaryEvent>'
    )
    throw = (
        '<bpmn:intermediateThrowEvent id="throw"><bpmn:compensateEventDefinition id="throw_definition"/>'
        "</bpmn:intermediateThrowEvent>"
    )
    link = '<bpmn:association id="undoing_to_undo" associationDirection="One" sourceRef="undoing" targetRef="undo"/>'
    model = process(line(element(rig.step("book")), throw, element(rig.step("close"))), boundary, undo, link)
    await rig.rest.deploy(model)
    await rig.start_worker()
    instance = await rig.run(model)

    await only_thread(rig, instance, 3)
    assert [await earlier(rig, instance, name) for name in ("book", "undo", "close")] == [[0], [1], [2]]


async def test_a_timer_that_cancels_the_task_frees_its_thread_for_the_next_step(rig: Rig) -> None:
    timer = (
        '<bpmn:boundaryEvent id="late" attachedToRef="slow"><bpmn:timerEventDefinition id="late_definition">'
        '<bpmn:timeDuration xsi:type="bpmn:tFormalExpression">PT1H</bpmn:timeDuration>'
        "</bpmn:timerEventDefinition></bpmn:boundaryEvent>"
    )
    model = process(
        line(element(rig.step("slow"))), timer, element(rig.step("hurry")), ends("over"), path("late", "hurry", "over")
    )
    await rig.rest.deploy(model)
    rig.provider.fault("responses.create", text="Please do slow", hold="gate")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.provider.counts()["running"], what="the slow turn")
    [job] = await rig.rest.get("job", processInstanceId=instance, timers=True)
    with structlog.testing.capture_logs() as lines:
        await rig.rest.post(f"job/{job['id']}/execute")
        await wait_until(lambda: "abandon" in [each.get("verdict") for each in lines], what="the slow turn's end here")
    await wait_until(lambda: rig.calls("responses.create") == 2, what="the next step, while the provider is still busy")
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)

    await only_thread(rig, instance, 2)
    assert await earlier(rig, instance, "hurry") == [1], "what was asked before stands on the thread"
    assert "slow" not in await rig.rest.variables(instance)
