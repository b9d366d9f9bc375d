"""The application `approval`: a form that a gateway reads, a person, a refusal that is caught, a timer that cancels."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.application import Application
from worker.telemetry import logs

BPMN = Path(__file__).parents[2] / "bpmn"
FOLDER = BPMN / "approval"
SAMPLE: dict[str, Any] = json.loads((FOLDER / "approval.json").read_text("utf-8"))


@pytest.fixture
async def approval(rig: Rig) -> Rig:
    """The application is deployed, its assistant answers."""
    rig.folder = BPMN / "assistants"
    await rig.rest.deploy(FOLDER / "approval.bpmn", FOLDER / "assessment.schema.json", *FOLDER.glob("*.form"))
    await rig.start_worker(topics="grants")
    return rig


async def start(rig: Rig, **changed: Any) -> str:
    return await rig.rest.start("approval", SAMPLE | changed)


async def started(rig: Rig, name: str, *, topics: str) -> str:
    """Deploy an application as the demo does, and start it with its variables and a worker on its topics."""
    rig.folder = BPMN / "assistants"
    application = Application.read(BPMN, name)
    [files] = [each for each in application.folders if each[0].parent.name == name]
    await rig.rest.deploy(*files)
    await rig.start_worker(topics=topics)
    return await rig.rest.start(name, application.variables)


async def until_person(rig: Rig, instance: str, activity: str) -> str:
    """Wait until a person is asked and return the id of the user task."""

    async def asked() -> dict[str, Any] | None:
        found = await rig.rest.get("task", processInstanceId=instance)
        return found[0] if found else None

    task = await wait_until(asked, what="a user task")
    assert task["taskDefinitionKey"] == activity, await rig.rest.incidents(instance)
    return str(task["id"])


async def reached(rig: Rig, instance: str) -> set[str]:
    """The ids of all activities that the instance came by."""
    return {row["activityId"] for row in await rig.rest.get("history/activity-instance", processInstanceId=instance)}


async def test_a_clear_and_small_case_passes_without_a_person(approval: Rig) -> None:
    instance = await start(approval, small_grant_eur={"type": "Long", "value": 20_000})
    await approval.rest.wait_for_end(instance)

    assert {"letter", "letter_drafted"} <= await reached(approval, instance)
    assert "review" not in await reached(approval, instance)
    rows = await approval.rest.get("history/variable-instance", processInstanceId=instance, deserializeValues=False)
    lifted = {row["name"]: (row["type"], row["value"]) for row in rows}
    assert lifted["decision"] == ("String", "grant")
    assert lifted["eligible_eur"] == ("Long", 13_440)
    assert lifted["confidence"] == ("Double", 0.95)
    assert lifted["assessment"][0] == "Json"
    assert "13,440 EUR of the 18,400 EUR" in lifted["letter"][1]


async def test_the_form_goes_with_the_question(approval: Rig) -> None:
    instance = await start(approval, small_grant_eur={"type": "Long", "value": 20_000})
    await approval.rest.wait_for_end(instance)

    assess, letter = [each["body"] for each in approval.provider.requests("responses.create")]
    wanted = json.loads((FOLDER / "assessment.schema.json").read_text("utf-8"))
    assert assess["text"]["format"]["schema"]["properties"].keys() == wanted["properties"].keys()
    assert "text" not in letter or letter["text"].get("format", {"type": "text"})["type"] == "text"


@pytest.mark.parametrize(
    ("request_changes", "why"),
    [({}, "it is not small"), ({"own_share_eur": 0}, "somebody has to pay the own share")],
    ids=["large", "doubtful"],
)
async def test_any_other_case_waits_for_a_person(approval: Rig, request_changes: dict[str, Any], why: str) -> None:
    request = json.loads(SAMPLE["request"]["value"]) | request_changes
    limit = 20_000 if request_changes else 5000
    instance = await start(
        approval,
        request={"type": "Json", "value": json.dumps(request)},
        small_grant_eur={"type": "Long", "value": limit},
    )
    task = await until_person(approval, instance, "review")

    form = await approval.rest.get(f"task/{task}/form-variables")
    assert form["assessment"]["value"], "the form has it to show"
    assert "board_decision" not in form, "nothing is chosen beforehand"
    with pytest.raises(AssertionError, match="board_decision"):
        await approval.rest.post(f"task/{task}/complete", {})
    assert "letter" not in await reached(approval, instance), why


async def test_what_the_person_decides_is_what_the_letter_says(approval: Rig) -> None:
    instance = await start(approval)
    task = await until_person(approval, instance, "review")
    decided = {"board_decision": {"value": "decline"}, "comment": {"value": "The landlord has other plans."}}
    await approval.rest.post(f"task/{task}/submit-form", {"variables": decided})
    await approval.rest.wait_for_end(instance)

    [thread] = approval.provider.counts()["turns"]
    assess, letter = approval.questions(thread)
    assert assess.startswith("# Assess the request")
    assert "### board_decision (String)\n\n    decline" in letter
    assert "The landlord has other plans." in letter
    text = (await approval.rest.variables(instance))["letter"]
    assert "we cannot grant" in text
    assert "13,440" not in text


async def test_a_refusal_is_caught_and_a_person_decides_alone(approval: Rig) -> None:
    approval.provider.fault("responses.create", outcome="refused", times=1)
    instance = await start(approval)
    task = await until_person(approval, instance, "decide")

    assert await approval.rest.incidents(instance) == []
    assert "no_assessment" in await reached(approval, instance)
    await approval.rest.post(f"task/{task}/submit-form", {"variables": {"board_decision": {"value": "grant"}}})
    await approval.rest.wait_for_end(instance)
    assert "decided_by_hand" in await reached(approval, instance)
    assert approval.calls("responses.create") == 1


async def test_the_timer_cancels_the_step_and_the_worker_lets_go_without_a_word(
    approval: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    approval.provider.fault("responses.create", hold="gate")
    instance = await start(approval)
    await wait_until(lambda: approval.provider.counts()["running"], what="the turn")
    [timer] = await approval.rest.get("job", processInstanceId=instance, timers=True)
    await approval.rest.post(f"job/{timer['id']}/execute")
    await until_person(approval, instance, "decide")

    lines: list[dict[str, Any]] = []

    def let_go() -> bool:
        shown = capfd.readouterr().err.splitlines()
        lines.extend(json.loads(line) for line in shown if '"event": "turn"' in line)
        return bool(lines)

    await wait_until(let_go, what="the end of the turn")
    assert [(line["activity"], line["verdict"]) for line in lines] == [("assess", "abandon")]
    told = await approval.rest.get("history/external-task-log", processInstanceId=instance)
    assert [row["id"] for row in told if row["successLog"] or row["failureLog"]] == []
    assert {"too_late", "decide"} <= await reached(approval, instance)
    async with approval.redis() as redis:
        assert not await redis.keys("*:hold")
    approval.provider.release("gate")
