"""The examples in `bpmn/README.md` do what is said beside them, on the engine that TEST_ENGINE names."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from defusedxml import ElementTree
from markdown_it import MarkdownIt

from tests.conformance.questions import about, inputs
from tests.flow.rig import Rig
from tests.models import Model, ends, loop, path, process, unique
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker.decisions import schemas
from worker.domain.tasks import Activity, Definition
from worker.engine import definitions
from worker.operate.models import records, tasks
from worker.specs import assistants

FOLDER = Path(__file__).parents[2] / "bpmn"
BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
SPACES = (
    'xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def examples(language: str) -> dict[str, list[str]]:
    """The code blocks of a language, by the heading that they stand under."""
    found, heading = defaultdict(list), ""
    tokens = MarkdownIt().parse((FOLDER / "README.md").read_text("utf-8"))
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            heading = token.content
        if token.type == "fence" and token.info == language:
            found[heading].append(token.content)
    return dict(found)


XML, JSON = examples("xml"), examples("json")
FIRST = "A first task"
GATEWAY = "Let a gateway decide on an answer"
FILE = "Hand over a file"
CALL = "Go on with the conversation in a called process"
ERROR = "Go another way when there is no answer"
LIST = "Ask once for each element of a list"


def whole(*snippets: str, topic: str = "") -> Model:
    """A process around snippets: what has no way out leads to what comes next, the last to the end."""
    text = "".join(snippets).replace('camunda:topic="offers"', f'camunda:topic="{topic or unique("topic")}"')
    called = re.fullmatch(r'\s*<bpmn:process id="(\w+)"[^>]*>(.*)</bpmn:process>\s*', text, re.DOTALL)
    text = called[2] if called else text
    errors = "".join(re.findall(r"<bpmn:error [^>]*/>", text))
    text = re.sub(r"<bpmn:error [^>]*/>", "", text)
    parts = list(ElementTree.fromstring(f"<parts {SPACES}>{text}</parts>"))
    flows = [part for part in parts if part.tag == f"{BPMN}sequenceFlow"]
    events = [part.get("id", "") for part in parts if part.tag == f"{BPMN}boundaryEvent"]
    steps = [part.get("id", "") for part in parts if part not in flows and part.get("id") not in events]
    leaving = {flow.get("sourceRef") for flow in flows}
    ways = [(one, other) for one, other in pairwise(["start", *steps, "end"]) if one not in leaving]
    ways += [(event, f"{event}_end") for event in events if event not in leaving]
    targets = {flow.get("targetRef", "") for flow in flows} | {target for _, target in ways}
    model = process(
        '<bpmn:startEvent id="start"/>',
        text,
        ends(*sorted(targets - set(steps))),
        *(path(*way) for way in ways),
        key=called[1] if called else "",
    )
    return replace(model, xml=model.xml.replace("<bpmn:process ", f"{errors}<bpmn:process ", 1))


async def reached(rig: Rig, instance: str) -> set[str]:
    """The activities that the instance went through."""
    rows = await rig.rest.get("history/activity-instance", processInstanceId=instance)
    return {row["activityId"] for row in rows}


def _around_records() -> Iterator[Activity]:
    """Tasks that bring each part of a decision's record, and one that closes it."""
    for part in schemas.PARTS:
        said = {"service.type": "assistant", "record.part": part}
        yield Activity(f"of_{part}", part, "parts", properties=said)
    yield Activity("closes", "", "closing", properties={"service.type": "decision-record", "record.stage": "close"})


@pytest.mark.parametrize("snippet", [each for snippets in XML.values() for each in snippets])
async def test_every_example_is_taken_by_the_engine_and_blamed_for_nothing(
    engine_rest: EngineRest, snippet: str
) -> None:
    model = whole(snippet)
    specs = assistants.load(FOLDER / "assistants")
    found = definitions.read(model.key, model.xml).activities.values()
    around = Definition("around:1:d", {each.id: each for each in [*found, *_around_records()]})
    for activity in found:
        look = records.faults(activity, around, [around]) if activity.is_record else tasks.faults(activity, specs)
        assert list(look) == []
    if "calledElement" not in snippet:
        assert len(found) == snippet.count("<bpmn:serviceTask")
    assert len(await engine_rest.deploy(model)) == 1


@pytest.mark.parametrize(("budget", "end"), [(1000, "order"), (899, "ask_back")])
async def test_the_gateway_of_the_guide_decides_on_an_answer(rig: Rig, tmp_path: Path, budget: int, end: str) -> None:
    model = whole(*XML[GATEWAY], topic=rig.topic)
    form = tmp_path / "offer_check.schema.json"
    form.write_text(*JSON[GATEWAY])
    await rig.rest.deploy(model, form)
    rig.provider.answer("Correction", '{"complete": true, "total": {"eur": 900}}')
    rig.provider.answer(".", '{"complete": "yes", "total": {"eur": 900}}')
    await rig.start_worker()
    instance = await rig.run(model, {"offer": "Twelve chargers.", "budget": budget})

    assert end in await reached(rig, instance)
    assert (await rig.meta(instance, "check_offer"))["repaired"] is True


async def test_the_file_of_the_guide_is_read(rig: Rig) -> None:
    model = whole(*XML[FILE], topic=rig.topic)
    await rig.rest.deploy(model)
    await rig.start_worker()
    await rig.run(model, json.loads(*JSON[FILE]))

    assert inputs(rig.questions()[0]) == {"tender": "§ 1 The bidder speaks Dutch."}


async def test_a_file_that_the_task_does_not_name_is_not_sent(rig: Rig) -> None:
    model = whole(XML[FILE][0].replace('<camunda:property name="data.input" value="tender" />', ""), topic=rig.topic)
    await rig.rest.deploy(model)
    await rig.start_worker()
    await rig.run(model, json.loads(*JSON[FILE]))

    assert inputs(rig.questions()[0]) == {"tender": "(file tender.md: content not included)"}


async def test_the_called_process_of_the_guide_goes_on_with_its_callers_conversation(rig: Rig) -> None:
    call, called = XML[CALL]
    caller = whole(*XML[FIRST], call, topic=rig.topic)
    await rig.rest.deploy(caller, whole(called, topic=rig.topic))
    await rig.start_worker()
    instance = await rig.run(caller, {"offer": "Twelve chargers.", "requirements": ["180 kW each"]})

    variables = await rig.rest.variables(instance)
    thread = variables["assistant_thread_analyst"].partition("#")[0]
    assert rig.provider.counts()["turns"] == {thread: 2}
    assert "1 earlier turn" in variables["rating"]
    assert "## Inputs" not in about(rig, "Rate the offer")[0]


async def test_the_error_of_the_guide_leads_another_way(rig: Rig) -> None:
    model = whole(*XML[ERROR], topic=rig.topic)
    await rig.rest.deploy(model)
    rig.provider.fault("responses.create", outcome="refused")
    await rig.start_worker()
    instance = await rig.run(model, {"offer": "Twelve chargers."})

    assert {"no_review", "no_review_end"} <= await reached(rig, instance)
    variables = await rig.rest.variables(instance)
    assert "the answer is refused" in variables["why_not"]
    assert "review" not in variables


async def test_the_loop_of_the_guide_asks_once_for_each_element(rig: Rig) -> None:
    model = whole(*XML[LIST], topic=rig.topic)
    await rig.rest.deploy(model)
    rig.provider.answer("# Find suppliers", '{"suppliers": ["North", "South"]}')
    rig.provider.answer("North", "late")
    rig.provider.answer("South", "punctual")
    await rig.start_worker()
    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert (variables["rating_0"], variables["rating_1"]) == ("late", "punctual")


async def test_a_loop_without_memory_asks_for_all_elements_at_the_same_time(rig: Rig) -> None:
    model = await rig.deploy(replace(rig.step("rate", service_thread="activity"), loop=loop(3)))
    rig.provider.fault("responses.create", times=None, hold="gate")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: len(rig.provider.counts()["running"]) == 3, what="three turns side by side")
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)

    assert sorted(rig.provider.counts()["turns"].values()) == [1, 1, 1]


async def test_engines_refuse_an_output_mapping_on_a_loop_as_the_guide_says(rig: Rig) -> None:
    looped = replace(rig.step("rate"), outputs={"kept": "${rate}"}, loop=loop(2))
    with pytest.raises(AssertionError, match="ParseException"):
        await rig.deploy(looped)
