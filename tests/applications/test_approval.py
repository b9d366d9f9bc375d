"""The sample grant: where it goes for which assessment, and what a person's word counts then."""

from collections.abc import Callable
from typing import Any

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
ASSESSED: dict[str, Any] = {
    "decision": "grant",
    "confidence": 0.9,
    "budget": {"requested_eur": 18_400, "items": [], "own_share_eur": 0, "ceiling_eur": 20_000, "eligible_eur": 4000},
    "reasons": ["It serves the purpose."],
    "conditions": [],
    "open_questions": [],
}


def test_a_small_grant_that_is_sure_passes_without_a_person(assistant_bench: Bench, application: Application) -> None:
    start = application("approval")
    assistant_bench.answer(ASSESSED, activity="assess")
    assistant_bench.answer("You get 4000 EUR.", assistant="grants_officer", activity="letter")

    instance = start().wait()

    assert instance.path == ["request_received", "assess", "clear_case", "decided", "letter", "letter_drafted"]
    assert (instance.variables["eligible_eur"], instance.variables["letter"]) == (4000, "You get 4000 EUR.")
    assert "board_decision" not in instance.variables


def test_the_board_reviews_what_is_not_sure_and_the_letter_follows_it(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("approval")
    assistant_bench.answer("Grant it.", ASSESSED | {"confidence": 0.7}, activity="assess")
    assistant_bench.answer("We are sorry.", text="### board_decision (String)\n\n    decline")

    instance = start()
    instance.complete("review", board_decision="decline", comment="The landlord has other plans.")
    instance.wait()

    assert instance.path[2:] == ["clear_case", "review", "decided", "letter", "letter_drafted"]
    assert instance.variables["letter"] == "We are sorry."
    assert [each.step for each in instance.questions] == ["Assess the request"] * 2 + ["Draft the letter"]
    assert len({each.thread for each in instance.questions}) == 1, "the letter knows the assessment"
    assert "The landlord has other plans." in instance.questions[-1].text


def test_after_a_refusal_a_person_decides_alone(assistant_bench: Bench, application: Application) -> None:
    start = application("approval")
    assistant_bench.answer(outcome="refused", assistant="grants_officer")

    instance = start()
    instance.complete("decide", board_decision="grant")
    instance.wait()

    assert instance.path == ["request_received", "assess", "no_assessment", "decide", "decided_by_hand"]
    assert "assessment" not in instance.variables
    assert len(instance.questions) == 1
