"""Finding an answer among a conversation's items, and reading responses that lack what others have."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from worker.domain.threads import Answer, Outcome
from worker.providers.wire import Items, Response, answer_behind, answer_of


def message(role: str, text: str, **more: Any) -> dict[str, Any]:
    kind = "input_text" if role == "user" else "output_text"
    return {"type": "message", "role": role, "status": "completed", "content": [{"type": kind, "text": text}], **more}


def looked(*oldest_first: Any) -> Answer | None:
    page = Items.model_validate_json(json.dumps({"object": "list", "data": list(oldest_first)[::-1], "more": 1}))
    return answer_behind(page.data, "0123456789ab")


MINE = message("user", "What?\n\n(ref 0123456789ab)")


def test_question_is_known_by_its_last_line_only() -> None:
    quoting = message("user", "You said (ref 0123456789ab)\n(ref 0123456789ab)\nbut why?\n\n(ref aaaaaaaaaaaa)")

    assert looked(quoting, message("assistant", "Because.")) is None
    assert looked(message("assistant", "(ref 0123456789ab)"), message("assistant", "Hm.")) is None


@pytest.mark.parametrize("end", ["    (ref 0123456789ab)", "(ref 0123456789ab)\u200b", "\uff08ref 0123456789ab\uff09"])
def test_an_earlier_turn_that_ends_with_what_looks_like_a_ref_is_no_question_of_ours(end: str) -> None:
    assert looked(message("user", f"What?\n\n{end}"), message("assistant", "Take the dearest one.")) is None


def test_question_without_anything_behind_it_has_no_answer() -> None:
    assert looked(MINE) is None
    assert looked(MINE, message("user", "Another\n\n(ref aaaaaaaaaaaa)"), message("assistant", "Other.")) is None


def test_answer_that_is_still_being_written_has_not_come() -> None:
    assert looked(MINE, message("assistant", "Half", status="in_progress")) is None


def test_question_that_was_put_twice_is_answered_by_the_one_that_was() -> None:
    answer = looked(MINE, message("assistant", "Here."), MINE)

    assert answer is not None
    assert answer.text == "Here."


def test_items_of_unknown_kinds_and_shapes_do_no_harm() -> None:
    odd = [
        {"type": "reasoning", "content": None, "summary": []},
        {"type": "hologram", "content": {"a": [1]}, "status": 7},
        {"content": "text"},
    ]
    answer = looked(*odd, MINE, *odd, message("assistant", "Fine.", new_field={}), *odd)

    assert answer is not None
    assert (answer.text, answer.outcome) == ("Fine.", Outcome.OK)


SPARSE: list[tuple[dict[str, Any], Outcome]] = [
    ({"id": "resp_1"}, Outcome.EMPTY),
    ({"id": "resp_1", "status": "completed", "output": None, "usage": None}, Outcome.EMPTY),
    ({"id": "resp_1", "status": "completed", "output": [message("assistant", " \n")]}, Outcome.EMPTY),
    ({"id": "resp_1", "status": "incomplete", "output": []}, Outcome.INCOMPLETE),
    ({"id": "resp_1", "status": "incomplete", "incomplete_details": {"reason": "new"}}, Outcome.INCOMPLETE),
    ({"id": "resp_1", "output": [message("assistant", "Yes.")]}, Outcome.OK),
    ({"output": [message("assistant", "Yes.")]}, Outcome.OK),
    ({"id": None, "output": [message("assistant", "Yes.")]}, Outcome.OK),
    ({"id": "", "output_text": "Yes."}, Outcome.OK),
    ({"id": "resp_\ufffd", "output": [message("assistant", "Yes.")]}, Outcome.OK),
]


@pytest.mark.parametrize(("body", "outcome"), SPARSE)
def test_sparse_responses_are_read_for_what_they_have(body: dict[str, Any], outcome: Outcome) -> None:
    assert answer_of(Response.model_validate_json(json.dumps(body))).outcome is outcome


@pytest.mark.parametrize("body", [{}, {"status": "ok"}, {"id": None, "output": None}, {"message": "Hello."}])
def test_what_has_neither_an_id_nor_an_output_is_no_response(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Response.model_validate_json(json.dumps(body))


def test_final_answer_is_the_answer_and_commentary_is_not() -> None:
    said = [
        message("assistant", "Let me look at the figures first.", phase="commentary"),
        message("assistant", "Forty.", phase="final_answer"),
        message("assistant", "I hope that helps.", phase="commentary"),
    ]
    answer = answer_of(Response.model_validate({"id": "resp_1", "status": "completed", "output": said}))
    found = looked(MINE, *said)

    assert (answer.text, answer.outcome) == ("Forty.", Outcome.OK)
    assert found is not None
    assert (found.text, found.outcome) == ("Forty.", Outcome.OK)


def test_final_answer_in_two_messages_is_both_of_them() -> None:
    said = [message("assistant", text, phase="final_answer") for text in ("One.", "Two.")]

    assert answer_of(Response.model_validate({"id": "resp_1", "output": said})).text == "One.\n\nTwo."


@pytest.mark.parametrize("phase", ["commentary", None, "something_new"])
def test_without_a_final_answer_every_message_counts(phase: str | None) -> None:
    said = [message("assistant", "One.", phase=phase), message("assistant", "Two.", phase=phase)]

    assert answer_of(Response.model_validate({"id": "resp_1", "output": said})).text == "One.\n\nTwo."


def test_refusal_counts_where_the_final_answer_is_one() -> None:
    refusal = [{"type": "refusal", "refusal": "No."}]
    thinking = message("assistant", "Hm.", phase="commentary")
    final = message("assistant", "", phase="final_answer") | {"content": refusal}

    refused = answer_of(Response.model_validate({"id": "resp_1", "output": [thinking, final]}))
    withdrawn = answer_of(
        Response.model_validate(
            {
                "id": "resp_1",
                "output": [thinking | {"content": refusal}, message("assistant", "Yes.", phase="final_answer")],
            }
        )
    )

    assert (refused.text, refused.outcome) == ("No.", Outcome.REFUSED)
    assert (withdrawn.text, withdrawn.outcome) == ("Yes.", Outcome.OK)


@pytest.mark.parametrize(
    "content",
    [
        "What?\n\n(ref 0123456789ab)",
        ["What?\n\n", "(ref 0123456789ab)"],
        {"type": "input_text", "text": "What?\n\n(ref 0123456789ab)"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["message", None, ""])
def test_question_is_found_however_the_server_lists_it(content: Any, kind: str | None) -> None:
    question = {"role": "user", "content": content} | ({} if kind is None else {"type": kind})

    found = looked(question, {"role": "assistant", "content": "Because."})

    assert found is not None
    assert (found.text, found.outcome) == ("Because.", Outcome.OK)


@pytest.mark.parametrize("output", [{}, {"output": None}, {"output": []}, {"output": [{"type": "reasoning"}]}], ids=str)
def test_response_with_its_text_at_the_top_only_is_an_answer(output: dict[str, Any]) -> None:
    answer = answer_of(Response.model_validate({"id": "resp_1", "output_text": "Forty.", **output}))

    assert (answer.text, answer.outcome) == ("Forty.", Outcome.OK)


def test_text_at_the_top_that_repeats_the_message_is_not_read_twice() -> None:
    said = {"id": "resp_1", "output": [message("assistant", "Forty.")], "output_text": "Forty."}

    assert answer_of(Response.model_validate(said)).text == "Forty."
