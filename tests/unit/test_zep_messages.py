"""How a memo is laid out as messages: nothing lost, nothing too long, nothing too short."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.memory import Memo, MemorySubject
from worker.zep.messages import LONGEST, SHORTEST, messages, pieces
from worker.zep.names import UserName, request_key

ANN = MemorySubject("a" * 32, None)


def memo(question: str, answer: str) -> Memo:
    return Memo(ANN, 7, "i-1", "0123456789ab", "analyst", question, answer, datetime(2026, 3, 1, tzinfo=UTC))


def said(question: str, answer: str) -> list[tuple[str, str]]:
    return [(each.role, each.text) for each in messages(memo(question, answer))]


def test_question_and_answer_are_a_message_each_and_say_where_they_are_from() -> None:
    question, answer = messages(memo("Which pump?", "The blue one."))

    assert [(each.role, each.name, each.text) for each in (question, answer)] == [
        ("user", None, "Which pump?"),
        ("assistant", "analyst", "The blue one."),
    ]
    assert question.metadata == {"ref": "0123456789ab", "instance": "i-1", "number": 7, "part": 1}
    assert answer.metadata["part"] == 2


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Is it blue, y or n?", "y", [("user", "Is it blue, y or n?\nanalyst: y")]),
        ("?", "Ask more.", [("assistant", "user: ?\nAsk more.")]),
        ("?", "y", [("user", "?\nanalyst: y")]),
        ("", "y", [("assistant", "analyst: y")]),
        ("?", "", [("user", "user: ?")]),
        ("Which?", "  ", [("user", "Which?")]),
        ("", " \n", []),
    ],
)
def test_what_is_too_short_is_joined_to_its_neighbour_and_said_whose_it_is(
    question: str, answer: str, expected: list[tuple[str, str]]
) -> None:
    assert said(question, answer) == expected


def test_what_no_database_stores_is_not_sent() -> None:
    assert said("Which\x00 pump\ud83d?", "\ud83d\ude00!") == [
        ("user", "Which\ufffd pump\ufffd?"),
        ("assistant", "\U0001f600!"),
    ]


def test_a_long_text_is_cut_behind_a_word_and_comes_in_order() -> None:
    text = "pump " * 2000
    cut = list(pieces(text))

    assert "".join(cut) == text
    assert [len(each) for each in cut] == [4095, 4095, 1810]
    assert [each.part for each in messages(memo("Which?", text))] == [1, 2, 3, 4]


@given(st.integers(0, 3 * LONGEST), st.sampled_from(["x", "x ", "é\n", "🙂"]))
def test_no_piece_is_too_long_or_too_short_and_none_is_lost(length: int, pattern: str) -> None:
    text = (pattern * length)[:length]
    cut = list(pieces(text))

    assert "".join(cut) == text
    assert all(len(each) <= LONGEST for each in cut)
    assert all(len(each) >= SHORTEST for each in cut) or len(text) < SHORTEST


def test_names_differ_by_owner_subject_generation_and_instance() -> None:
    ben, later = MemorySubject("b" * 32, None), MemorySubject("a" * 32, None, 1)
    names = [UserName("one", ANN), UserName("two", ANN), UserName("one", ben), UserName("one", later)]
    threads = {each.thread(instance) for each in names for instance in ("i-1", "i-2")}

    assert len({str(each) for each in names}) == 4
    assert len(threads) == 8
    assert max(map(len, threads)) < 100


def test_a_user_is_ours_only_with_all_of_our_metadata() -> None:
    name = UserName("one", ANN)

    assert name.owns({**name.metadata, "more": "of somebody's"})
    assert not any(map(name.owns, [None, {}, "one", {**name.metadata, "kept_by": "two"}, {"kept_by": "one"}]))


def test_the_same_request_has_the_same_key_and_no_other_has_it() -> None:
    assert request_key("user", 1) == request_key("user", 1)
    assert len({request_key("user", 1), request_key("thread", 1), request_key("user", 1, None)}) == 3
