"""The application `parallel_analysis`: three branches on three threads at once, and a fourth that joins them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.flow.rig import Rig
from tests.waiting import wait_until

BPMN = Path(__file__).parents[2] / "bpmn"
KEY = "parallel_analysis"
MODEL = BPMN / KEY / f"{KEY}.bpmn"
SAMPLE: dict[str, Any] = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
BRANCHES = {
    "engineer": ("technical_findings", "technical_verdict"),
    "economist": ("business_figures", "business_verdict"),
    "risk_officer": ("risk_register", "risk_verdict"),
}


async def started(rig: Rig, model: Path | str = MODEL) -> str:
    """Deploy the application, start a worker for it and an instance of the sample."""
    rig.folder = BPMN / "assistants"
    await rig.rest.deploy(model)
    await rig.start_worker(topics="parallel-analysis")
    return await rig.rest.start(KEY, SAMPLE)


def conversations(rig: Rig) -> dict[str, str]:
    """The conversations by the assistants that they are held with."""
    return {each["metadata"]["assistant"]: name for name, each in rig.provider.conversations().items()}


async def history(rig: Rig, instance: str) -> Mapping[str, dict[str, Any]]:
    rows = await rig.rest.get("history/variable-instance", processInstanceId=instance, deserializeValues=False)
    return {row["name"]: row for row in rows}


def headings(questions: list[str]) -> list[str]:
    return [question.partition("\n")[0].removeprefix("# ") for question in questions]


def indented(text: str) -> str:
    """A text as an input of a question shows it."""
    return "\n".join(f"    {line}" for line in text.splitlines())


async def test_each_branch_has_a_thread_of_its_own_and_the_strategist_one_for_the_whole(rig: Rig) -> None:
    instance = await started(rig)
    await rig.rest.wait_for_end(instance, 40)

    threads = conversations(rig)
    assert threads.keys() == {"strategist", *BRANCHES}
    assert rig.provider.counts()["turns"] == {
        threads["strategist"]: 4,
        **{threads[assistant]: 2 for assistant in BRANCHES},
    }
    asked = {assistant: headings(rig.questions(thread)) for assistant, thread in threads.items()}
    assert asked == {
        "strategist": [
            "Set up the analysis",
            "Reconcile the findings",
            "Recommend a course",
            "Write the white paper",
        ],
        "engineer": ["Examine the technology", "Judge feasibility"],
        "economist": ["Estimate costs and income", "Judge the business case"],
        "risk_officer": ["Find the risks", "Answer the risks"],
    }
    assert await rig.rest.incidents(instance) == []


async def test_branches_hear_the_brief_and_not_each_other_and_the_synthesis_hears_all(rig: Rig) -> None:
    instance = await started(rig)
    await rig.rest.wait_for_end(instance, 40)

    threads, said = conversations(rig), await rig.rest.variables(instance)
    results = {name: assistant for assistant, names in BRANCHES.items() for name in names}
    for assistant in BRANCHES:
        first, second = rig.questions(threads[assistant])
        assert indented(said["analysis_brief"]) in first
        assert "analysis_brief" not in second, "the thread knows the brief already"
        assert not any(indented(said[name]) in first + second for name in results)
    _, synthesis, *_ = rig.questions(threads["strategist"])
    assert all(indented(said[name]) in synthesis for name in results)
    ranked = [said[name].partition("## Ranking\n- **")[2].partition("**")[0] for name in results if "verdict" in name]
    assert ranked == ["Contractor", "Shared centre", "Shared centre"]
    assert "Contractor and Shared centre each come first for somebody." in said["synthesis"]
    assert "**Recommendation**: Shared centre" in said["recommendation"]


async def test_the_three_branches_are_answered_at_the_same_time(rig: Rig) -> None:
    rig.provider.fault("responses.create", skip=1, times=3, hold="gate")
    instance = await started(rig)

    def all_three() -> bool:
        return len(rig.provider.counts()["running"]) == 3

    await wait_until(all_three, 30, "three running turns")
    assert sorted(headings(rig.questions())[1:]) == [
        "Estimate costs and income",
        "Examine the technology",
        "Find the risks",
    ]
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance, 40)


async def test_the_white_paper_is_a_file_and_everything_else_text(rig: Rig) -> None:
    instance = await started(rig)
    await rig.rest.wait_for_end(instance, 40)

    rows = await history(rig, instance)
    results = {"analysis_brief", "synthesis", "recommendation"} | {
        name for names in BRANCHES.values() for name in names
    }
    assert {rows[name]["type"] for name in results} == {"String"}
    paper = rows["white_paper"]
    assert paper["type"] == "File"
    assert paper["valueInfo"] == {"filename": "white_paper.md", "mimeType": "text/markdown", "encoding": "UTF-8"}
    text = await rig.rest.get(f"history/variable-instance/{paper['id']}/data")
    assert text.startswith("# An imaging centre for Brennach\n")
    assert "Recommendation: Shared centre" in text


async def test_one_assistant_for_all_steps_takes_its_turns_one_after_the_other_on_one_thread(rig: Rig) -> None:
    xml = MODEL.read_text("utf-8")
    for assistant in BRANCHES:
        xml = xml.replace(f'name="service.name" value="{assistant}"', 'name="service.name" value="strategist"')
    instance = await started(rig, xml)
    await rig.rest.wait_for_end(instance, 60)

    assert list(rig.provider.counts()["turns"].values()) == [10]
    assert "**Recommendation**: Shared centre" in (await rig.rest.variables(instance))["recommendation"]
