"""What doctor finds of tasks that make a decision's record."""

from pathlib import Path

import pytest

from worker.decisions.schemas import INPUTS
from worker.domain.tasks import Activity, Definition
from worker.engine import definitions
from worker.operate.doctor import deployed
from worker.operate.doctor.checks import Level
from worker.operate.doctor.deployed import Models
from worker.operate.models import records
from worker.specs import assistants

BPMN = Path(__file__).parents[2] / "bpmn"


def activity(name: str, topic: str = "records", **said: str) -> Activity:
    """An external task; `_` in a property's name stands for `.`."""
    properties = {key.replace("_", "."): value for key, value in said.items()}
    return Activity(name, name, topic, documentation="Do it.", properties=properties, async_after=True)


def part(name: str, topic: str = "assistants") -> Activity:
    return activity(name, topic, service_type="assistant", service_name="analyst", record_part=name)


def stage(name: str, **said: str) -> Activity:
    return activity(name, service_type="decision-record", record_stage=name, **said)


def definition(*activities: Activity, **changes: object) -> Definition:
    return Definition("decision:1:d", {each.id: each for each in activities}, **changes)  # type: ignore[arg-type]  # fields by name


PARTS = [part(each) for each in (*INPUTS, "recommendation")]


def said(model: Definition) -> list[str]:
    """What is said of its tasks, with a letter for how grave it is."""
    return [
        f"{fault.level.name} {each.id}: {fault.said}"
        for each in model.activities.values()
        if each.is_record
        for fault in records.faults(each, model, [model])
    ]


def test_a_record_with_its_parts_its_topic_and_its_end_is_right() -> None:
    assert said(definition(*PARTS, stage("compute"), stage("propose"), stage("close"))) == []


def test_parts_that_no_task_makes_are_named_before_an_instance_gets_there() -> None:
    [told] = said(definition(*PARTS[1:4], stage("compute")))
    assert told == (
        "ERROR compute: no task has record.part=frame, nor scores, which record.stage=compute needs; an incident then"
    )


def test_a_part_that_persons_give_needs_no_task() -> None:
    given = "weights=agreed, frame=asked, objectives=goals, alternatives=found"
    assert said(definition(part("scores"), stage("compute", record_given=given))) == []


def test_a_part_of_another_record_is_none_of_this_one() -> None:
    [told] = said(definition(*PARTS, stage("compute", record_id="site")))
    assert "no task has record.part=frame, nor objectives" in told


def test_a_proposal_that_nothing_closes_is_said() -> None:
    [told] = said(definition(*PARTS, stage("propose")))
    assert told.startswith("WARNING propose: nothing closes what it proposes: no task has record.stage=close")


def test_a_topic_that_assistants_tasks_have_too_would_stop_older_workers() -> None:
    shared = part("dissent", topic="records")
    [told] = said(definition(*PARTS, shared, stage("compute")))
    assert "ERROR compute: its topic records is that of tasks for assistants, too" in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"record_stage": "sign"}, "property record.stage is 'sign'"),
        ({"record_stage": "compute", "record_scop": "root"}, "property record.scop is not one that is read"),
    ],
)
def test_properties_that_cannot_be_meant_so_are_told(wrong: dict[str, str], told: str) -> None:
    assert told in " ".join(said(definition(*PARTS, activity("it", service_type="decision-record", **wrong))))


def test_where_processes_call_others_the_parts_of_all_count() -> None:
    caller = definition(*PARTS[:4], stage("compute"), calls={"panel": frozenset()})
    called = Definition("panel:1:p", {"scores": part("scores")})
    labels = {caller.id: "decision version 1", called.id: "panel version 1"}
    models = Models(labels, {caller.id: "decision", called.id: "panel"}, {caller.id: caller, called.id: called})

    assert [each.level for each in deployed.judged(models, None, frozenset())] == [Level.UNKNOWN, Level.OK]


def test_nothing_is_said_against_the_samples() -> None:
    models = {path.stem: definitions.read(path.stem, path.read_text("utf-8")) for path in BPMN.glob("*/*.bpmn")}
    keys = {key: key for key in models}
    found = deployed.judged(Models(keys, keys, models), assistants.load(BPMN / "assistants"), frozenset())
    assert [each.said for each in found if each.level is not Level.OK] == []
