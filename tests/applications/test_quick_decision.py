"""The sample of one page: three answers on one thread, and the one signature that counts."""

from collections.abc import Callable
from typing import Any

import pytest

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
POINTS = {"Van": 80, "Bicycle": 60}
FRAME: dict[str, Any] = {
    "question": "Who delivers?",
    "left_out": "The repair.",
    "limits": [{"name": "Budget", "limit": "3600 EUR"}],
    "criteria": [
        {"name": name, "measure": measure, "at_zero": 0, "at_hundred": 100, "weight": 50}
        for name, measure in (("Same day", "%"), ("Effort", "hours"))
    ],
    "alternatives": [
        {
            "name": name,
            "what": f"A {name.lower()}.",
            "values": [{"criterion": each, "value": value} for each in ("Same day", "Effort")],
            "breaks": "",
        }
        for name, value in POINTS.items()
    ],
}
WEIGHING: dict[str, Any] = {
    "alternatives": [
        {
            "name": name,
            "points": [{"criterion": each, "points": points} for each in ("Same day", "Effort")],
            "sum": points,
            "rank": rank,
            "why_not": "",
        }
        for rank, (name, points) in enumerate(POINTS.items(), start=1)
    ],
    "turns_if": "nothing does",
}
RECOMMENDED: dict[str, Any] = {
    "alternative": "Van",
    "sentence": "Hire a van for 3000 EUR.",
    "because": ["It has 80 points."],
    "given_up": "Exercise.",
    "turns_if": "nothing does",
    "next_steps": ["Hire it."],
}


@pytest.mark.parametrize(("signature", "end"), [("accepted", "decided"), ("rejected", "rejected")])
def test_one_signature_decides(assistant_bench: Bench, application: Application, signature: str, end: str) -> None:
    start = application("quick_decision")
    for activity, answer in {"frame": FRAME, "weigh": WEIGHING, "recommend": RECOMMENDED}.items():
        assistant_bench.answer(answer, assistant="adviser", activity=activity)

    instance = start()
    instance.complete("sign", signature=signature)
    instance.wait()

    assert instance.path == ["question_raised", "frame", "weigh", "recommend", "sign", "signed", end]
    assert (instance.variables["recommended"], instance.variables["weighing"]) == ("Van", WEIGHING)
    assert {len(threads) for threads in instance.threads.values()} == {1}
    _, weigh, recommend = instance.questions
    assert "## Inputs" not in weigh.text, "the frame is on the thread"
    assert "### budget_eur (Integer)\n\n    3600" in recommend.text, "its exact value counts"


def test_what_cannot_be_weighed_is_an_incident_and_nobody_signs_it(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("quick_decision")
    assistant_bench.answer(FRAME, activity="frame")
    assistant_bench.answer("The van.", activity="weigh")

    instance = start()

    assert "weigh" in instance.wait_for_incident()
    assert "sign" not in instance.path
