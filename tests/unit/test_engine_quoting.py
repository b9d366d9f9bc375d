"""What an engine's error says of a result, without the result."""

import json
import time
from typing import Any

import pytest
from hypothesis import given

from tests.hostile import answers
from worker.engine.failures import Reply, describe
from worker.engine.quoting import CHARACTERS, unquoted

ANSWER = 'The budget of "Drones & Co." is 31,000.50 dollars, as Ms Miller says.\nIt must not be told.'


def sent(value: Any, kind: str = "String") -> dict[str, Any]:
    return {"variables": {"recommendation": {"value": value, "type": kind, "valueInfo": {}}}, "workerId": "worker-1"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Unknown property used in expression: ${recommendation.choice}.", None),
        ("Cannot resolve identifier 'recommendation' of type String", None),
        (f'For input string: "{ANSWER}"', 'For input string: "[…]."'),
        ("value 'The budget of \"Drones & Co.\" is 31,0' too long", "value '[…]' too long"),
        ("line 1: Ms Miller says. It must not be here", "line 1: […] here"),
    ],
)
def test_what_a_message_has_of_an_answer_is_left_out_and_what_the_engine_says_stays(
    message: str, told: str | None
) -> None:
    assert unquoted(" ".join(message.split()), sent(ANSWER)) == (message if told is None else told)


@pytest.mark.parametrize("value", ["blue", "31000.5", 31000.5, 40001, "two words", "«Ünïcode»"])
def test_a_short_result_is_left_out_where_it_is_the_whole(value: Any) -> None:
    text = str(value).strip("«»")
    assert unquoted(f'For input string: "{text}"', sent(value)) == 'For input string: "[…]"'


@pytest.mark.parametrize("value", ["no", 1, True, "", None, "a"])
def test_a_result_that_says_nothing_hides_nothing(value: Any) -> None:
    assert unquoted("There is no 1 a true error", sent(value)) == "There is no 1 a true error"


def test_an_error_is_described_without_the_request() -> None:
    message = 'Cannot submit: For input string: "the answer is blue"'
    body = json.dumps({"type": "ProcessEngineException", "message": message, "code": 0})
    said = describe(Reply(500, body.encode(), sent=sent("Indeed the answer is blue.")))
    assert said == '500 ProcessEngineException: Cannot submit: For input string: "[…]"'


@given(answers)
def test_a_whole_answer_is_in_no_message(answer: str) -> None:
    answer = " ".join(answer.split())
    told = unquoted(f"before {answer} after", sent(answer))
    assert told.startswith("before")
    assert sum(char.isalnum() for char in answer) < 3 * CHARACTERS or answer not in told


@pytest.mark.parametrize("answer", ["a b " * 1_000_000, "word " * 1_600_000, "x" * 8_000_000])
def test_a_long_answer_takes_no_time(answer: str) -> None:
    started = time.thread_time()
    unquoted(f"Cannot submit {answer[:1900]}".strip(), sent(answer))
    assert time.thread_time() - started < 3
