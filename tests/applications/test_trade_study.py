"""The sample trade study: a panel whose judges do not hear each other, and a second round where they differ.

What is not scripted here is answered as in the demo, by what the sample says.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
SCORES: dict[str, Any] = json.loads(
    json.loads((Path(__file__).parents[2] / "bpmn" / "red_team" / "red_team.json").read_text("utf-8"))["appraisal"][
        "value"
    ]
)
"""Of the same ferry, by one who has scored it before."""
JUDGES = {"judge_engineering", "judge_finance", "judge_operations"}


def steps(instance: Instance) -> list[str]:
    """Its path, with each element once: what is a loop is there as often as it was taken, and as a whole."""
    return list(dict.fromkeys(each.partition("#")[0] for each in instance.path))


def test_judges_who_agree_are_asked_once(assistant_bench: Bench, application: Application) -> None:
    start = application("trade_study")
    assistant_bench.answer(SCORES, activity="score")

    instance = start()
    instance.complete("sign", signature=True, reason="It keeps the limit.")
    instance.wait()

    before = ["study_wanted", "frame", "set_criteria", "describe", "weigh", "score", "compute", "agree"]
    assert steps(instance) == [*before, "recommend", "propose", "sign", "close", "signed", "decided"]
    assert (instance.variables["accepted"], instance.variables["agreement"]) == (True, "agree")
    asked = [each for each in assistant_bench.questions if each.step == "Score the alternatives"]
    assert {each.assistant for each in asked} == JUDGES
    assert len({each.thread for each in asked}) == len(JUDGES), "none hears another"
    assert {assistant: len(threads) for assistant, threads in instance.threads.items()} == {"study_lead": 1}


def test_judges_who_differ_are_shown_each_others_scores_and_asked_once_more(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("trade_study")
    for judge, factor in (("judge_engineering", 0.5), ("judge_finance", 1.0)):
        scores = [each | {"base": each["base"] * factor, "low": 0, "high": 20_000} for each in SCORES["scores"]]
        assistant_bench.answer({"scores": scores}, assistant=judge, activity="score")

    instance = start()
    instance.complete("sign", signature=False, reason="Nobody is agreed.")
    instance.wait()

    assert "score_again" in instance.path
    assert instance.path[-1] == "rejected"
    again = [each for each in assistant_bench.questions if each.step == "Score once more"]
    assert {each.assistant for each in again} == JUDGES
    assert all("### scores_0 " in each.text and "### scores_2 " in each.text for each in again)
