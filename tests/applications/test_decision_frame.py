"""The sample frame: eight steps on one thread, each of which is shown what it declares and answers in its form."""

from collections.abc import Callable
from typing import Any

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
ISSUES = [{"id": f"I{number}", "text": f"Issue {number}.", "raised_by": "Tenants"} for number in range(1, 6)]
SORTED = [{"issue": each["id"], "restated": f"About {each['id']}"} for each in ISSUES]
ANSWERS: dict[str, Any] = {
    "map_stakeholders": "The council decides.",
    "describe_context": "The boiler house closes.",
    "state_vision": {"purpose": "Heat.", "perspective": "Tenants.", "success": [], "statement": "Warm at any time."},
    "raise_issues": {"issues": ISSUES},
    "sort_issues": {"facts": SORTED[:1], "uncertainties": SORTED[1:2], "decisions": SORTED[2:4], "values": SORTED[4:]},
    "build_hierarchy": {
        "given": [],
        "focus": [{"name": "Source", "question": "Which source?", "options": ["River", "Mill"]}],
        "later": [],
    },
    "diagram_influences": {
        "nodes": [
            {"id": "D1", "label": "Source", "kind": "decision"},
            {"id": "U1", "label": "The mill's owner", "kind": "uncertainty"},
            {"id": "V1", "label": "Cost of heat", "kind": "value"},
        ],
        "arcs": [
            {"from": "D1", "to": "V1", "because": "It is paid for."},
            {"from": "U1", "to": "V1", "because": "The mill sets its price."},
        ],
    },
    "write_frame": {
        "statement": "Which source heats Hallin, for at most 64 million?",
        "decision_maker": "Town council",
        "deadline": "In a year",
        "given": [],
        "focus": ["Source"],
        "later": [],
        "objectives": [
            {"name": each, "measure": "EUR a year", "better": "less"} for each in ("Cost", "Debt", "Carbon price")
        ],
        "uncertainties": [],
        "open_points": [],
        "ready": True,
    },
}
SHOWN = {
    "map_stakeholders": ["question", "people"],
    "describe_context": ["situation", "given"],
    "state_vision": ["question"],
    "raise_issues": ["vision"],
    "sort_issues": ["issues"],
    "build_hierarchy": ["categories", "given"],
    "diagram_influences": ["categories", "hierarchy"],
    "write_frame": ["question", "budget_meur"],
}


def scripted(bench: Bench, **changed: list[Any]) -> None:
    for activity, answer in ANSWERS.items():
        bench.answer(*changed.get(activity, [answer]), assistant="facilitator", activity=activity)


def test_eight_steps_on_one_thread_end_in_a_frame_that_can_be_signed(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("decision_frame")
    scripted(assistant_bench)

    instance = start().wait()

    assert instance.path == ["decision_sighted", *ANSWERS, "decision_framed"]
    shown = [
        [line.split()[1] for line in each.text.splitlines() if line.startswith("### ")] for each in instance.questions
    ]
    assert shown == list(SHOWN.values())
    assert {assistant: len(threads) for assistant, threads in instance.threads.items()} == {"facilitator": 1}
    results = instance.variables
    assert (results["vision_statement"], results["frame_is_ready"]) == ("Warm at any time.", True)
    assert results["final_frame"] == ANSWERS["write_frame"]
    assert results["frame_statement"] == ANSWERS["write_frame"]["statement"]


def test_issues_that_do_not_fit_their_schema_are_put_right_before_they_are_sorted(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("decision_frame")
    scripted(assistant_bench, raise_issues=[{"issues": ISSUES[:2]}, ANSWERS["raise_issues"]])

    instance = start().wait()

    raised = [each for each in instance.questions if each.step == "Raise the issues"]
    assert ["## Correction" in each.text for each in raised] == [False, True]
    [asked] = [each for each in instance.questions if each.step == "Sort the issues"]
    assert "Issue 5." in asked.text
    assert instance.path[-1] == "decision_framed"


def test_a_frame_without_a_single_decision_in_it_is_an_incident(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("decision_frame")
    scripted(assistant_bench, sort_issues=[ANSWERS["sort_issues"] | {"decisions": []}])

    instance = start()

    assert "sort_issues" in instance.wait_for_incident()
    assert instance.path[-1] == "sort_issues"
    assert [each.step for each in instance.questions].count("Sort the issues") == 2
