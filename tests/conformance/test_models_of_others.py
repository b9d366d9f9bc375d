"""Models that say nothing but `service.*`: they run as they are, and see what they may see."""

import json
import re
from dataclasses import replace
from typing import Any

import structlog

from tests.conformance.questions import about, inputs
from tests.flow.rig import Rig
from tests.models import ServiceTask, unique
from tests.waiting import wait_until


def foreign(rig: Rig, activity: str, assistant: str = "analyst", name: str = "Look closely") -> ServiceTask:
    """A step as others write it: a topic of its own, and no more than who is asked."""
    return replace(rig.step(activity, assistant, topic=unique(activity)), name=name, async_after=False)


async def test_a_model_of_others_runs_unmodified_and_every_step_keeps_its_result(rig: Rig) -> None:
    first, last = foreign(rig, "Activity_0a-1", name="Begin"), foreign(rig, "Activity_9.z", name="End")
    branches = [foreign(rig, f"Activity_look-{number}") for number in range(3)]
    model = await rig.deploy(first, branches, last)
    await rig.start_worker(topics="", discovery_seconds=1)
    instance = await rig.run(model, {"goal": "fly"})

    assert all("\nPlease do Activity_" in question for question in rig.questions()), "the documentation asks"
    variables = await rig.rest.variables(instance)
    names = {re.sub(r"\W", "_", step.id) for step in (first, *branches, last)}
    metas = {f"{name}_meta" for name in names}
    assert variables.keys() == {"goal", "assistant_thread_analyst"} | names | metas
    assert len({variables[name] for name in names}) == 5
    told = sorted(int(re.findall(r"(\d+) earlier turn", variables[name])[0]) for name in names if "look" in name)
    assert told == [1, 2, 3], "each branch kept the answer to its own question"
    assert "4 earlier turn" in variables["Activity_9_z"]


async def test_without_declared_inputs_a_task_sees_what_its_thread_does_not_know(rig: Rig) -> None:
    rig.assistant("critic")
    frame = replace(rig.step("frame"), properties=rig.step("frame", data_output_fields="pick=choice").properties)
    blind = rig.step("blind", data_input="-")
    model = await rig.deploy(frame, rig.step("attack", "critic"), blind, rig.step("close", service_thread="instance"))
    rig.provider.answer("# Frame", json.dumps({"choice": "north"}))
    await rig.start_worker()
    given = {"zebra": "z", "alpha": "a", "middle": "m", "own_meta": "of the modeller", "two\n## Inputs\nlines": "x"}
    await rig.run(model, given)

    [close] = about(rig, "Close")
    names = re.findall(r"^### (.+?) \(", close, re.MULTILINE)
    assert names == ["alpha", "attack", "middle", "own_meta", "two ## Inputs lines", "zebra"]
    [attack] = about(rig, "Attack")
    assert {"frame", "pick"} <= inputs(attack).keys(), "another assistant's results are news"
    [blind_question] = about(rig, "Blind")
    assert "## Inputs" not in blind_question


async def test_look_alike_ids_keep_their_results_apart(rig: Rig) -> None:
    model = await rig.deploy(*(rig.step(each) for each in ("Step-1", "Step.1", "Step_1", "Step_1_meta")))
    await rig.start_worker()
    instance = await rig.run(model)

    names = {name for name in await rig.rest.variables(instance) if name.startswith("Step")}
    results = {name for name in names if f"{name}_meta" in names}
    assert len(results) == 4
    assert "Step_1" in results
    assert all(re.fullmatch(r"Step_1(_meta)?(_[0-9a-f]{6})?", name) for name in results)


async def test_a_variable_that_only_has_a_results_name_is_shown(rig: Rig) -> None:
    model = await rig.deploy(rig.step("refine", data_output="draft"), rig.step("close"))
    await rig.start_worker()
    await rig.run(model, {"draft": "the first draft of a person"})

    [refine], [close] = about(rig, "Refine"), about(rig, "Close")
    assert inputs(refine) == {"draft": "the first draft of a person"}
    assert "## Inputs" not in close, "by then it is what the thread said itself"


async def test_what_finds_no_room_is_named_in_the_question_and_in_the_log(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    await rig.start_worker(input_tokens=100)
    with structlog.testing.capture_logs() as lines:
        instance = await rig.run(model, {"a_short": "a" * 100, "b_long": "ü" * 200, "c_short": "c" * 100})

        def told() -> list[Any]:
            ours = (line for line in lines if line["event"] == "turn" and line["definition"] == model.key)
            return [line.get("left_out") for line in ours if line["verdict"] == "complete"]

        [left_out] = await wait_until(told, what="the turn's line, which comes after its instance's end")

    [question] = rig.questions()
    assert list(inputs(question)) == ["a_short", "c_short"]
    assert "Not included, for lack of room: b_long." in question
    assert "ü" not in question
    assert left_out == ("b_long",)
    assert await rig.rest.state(instance) == "COMPLETED"
