"""The sample attack: what the challenger says is in the record that a person answers for."""

import json
from collections.abc import Callable

import pytest

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
DISSENT = {"dissent": [{"text": "A lead of {lead} is small."}]}
FAILED = {"pre_mortem": [{"what": "The crew had left.", "sign": "Two look for work.", "answer": "Ask them before."}]}


@pytest.mark.parametrize(("stands", "end"), [(True, "upheld"), (False, "taken_back")])
def test_a_person_answers_for_a_record_with_the_attack_in_it(
    assistant_bench: Bench, application: Application, stands: bool, end: str
) -> None:
    start = application("red_team")
    assistant_bench.answer(DISSENT, assistant="challenger", activity="attack")
    assistant_bench.answer(FAILED, assistant="challenger", activity="fail")

    instance = start()
    instance.complete("answer", stands=stands, reason="We asked the crew.")
    instance.wait()

    assert instance.path == ["recommended", "compute", "attack", "fail", "propose", "answer", "close", "answered", end]
    assert (instance.variables["accepted"], instance.variables["void_reason"]) == (stands, "")
    told = str(instance.variables["decision_text"])
    assert "{lead}" not in told, "code has put the figure there"
    assert [text for text in ("is small.", "The crew had left.", "We asked the crew.") if text not in told] == []
    attack, fail = instance.questions
    assert attack.thread == fail.thread
    assert "Which drive does the ferry Amelie get?" in attack.text
    assert "## Inputs" not in fail.text, "the record is on the thread"


def test_an_attack_without_its_form_is_asked_for_again(assistant_bench: Bench, application: Application) -> None:
    start = application("red_team")
    assistant_bench.answer({"dissent": "It is small."}, DISSENT, activity="attack")
    assistant_bench.answer(FAILED, activity="fail")

    instance = start().wait_for("answer")

    assert [each.step for each in instance.questions] == ["Attack the proposal"] * 2 + ["Say how it failed"]
    assert json.dumps(DISSENT["dissent"][0]["text"])[1:-1] in json.dumps(instance.variables["dissent"])
