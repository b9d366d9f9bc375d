"""How an exchange stands in Redis: the form that workers of several versions have in common."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.records import BETWEEN, START, exchange
from worker.domain.conversations import Stored
from worker.domain.exchanges import Exchange
from worker.domain.memory import Recalled, ToRemember
from worker.domain.money import Money
from worker.domain.threads import Answer
from worker.errors import NewerRecord
from worker.redis.formats import CorruptRecord, dump, dump_exchange, is_newer, load, load_exchange, named

FIRST = (
    '{"schema":1,"key":{"engine":"default","scope":"instance-1","assistant":"analyst","tenant":null},'
    '"task_id":"task-instance-1-analyst-1","attempt":1,"process_instance_id":"instance-1","activity_id":"step_1",'
    '"definition_id":"drones:3:4711","definition_key":"drones","question":"Question 1?",'
    '"answer":"Gr\\u00f6\\u00dfe \\ud83d\\ude42","activity_name":"Step 1","definition_version":3,'
    '"business_key":"order-1","assistant_version":"1.0","thread_id":"conv_1","generation":1,"anchor":"conv_anchor",'
    '"outcome":"ok","detail":"","response_id":"resp_1","model":"gpt-5","input_tokens":100,"output_tokens":20,'
    '"cached_tokens":null,"cache_write_tokens":null,"reasoning_tokens":null,'
    '"cost":{"amount":"0.25","currency":"USD"},"use":"reused","recovered":null,"repaired":false,"seconds":5.0,'
    '"user":"maria","asked_as":"developer","answered_as":"model","provider":"openai","untold":0,"instructions":"a1",'
    '"output_schema":null,"worker":null}'
)
"""The first form, as it came from a version that knew no other."""


def said(**others: Any) -> Exchange:
    """The exchange that is meant by it."""
    facts: dict[str, Any] = {
        "anchor": "conv_anchor",
        "cost": Money("0.25", "USD"),
        "instructions": "a1",
        "answer": "Größe 🙂",
    }
    return exchange(1, user="maria", asked_as="developer", answered_as="model", **facts | others)


def answered_us(given: Exchange) -> str:
    return str(int(given.answered_at.timestamp() * 1_000_000))


def test_question_and_answer_alone_are_written_as_they_always_were() -> None:
    assert json.loads(dump_exchange(said())) == json.loads(FIRST)
    assert sorted(dump_exchange(said())) == sorted(FIRST), "to the letter, but for the order of the fields"


def test_what_an_earlier_version_wrote_is_read() -> None:
    assert load_exchange(FIRST, answered_us(said())) == said()
    fields = json.loads(FIRST)
    older = {name: value for name, value in fields.items() if name not in {"user", "asked_as", "answered_as"}}
    read = load_exchange(json.dumps(older), answered_us(said()))
    assert [(each.said_as, each.user) for each in read.messages] == [("user", None), ("assistant", None)]


@pytest.mark.parametrize("count", range(len(BETWEEN) + 1))
def test_every_exchange_is_read_as_it_was_written(count: int) -> None:
    given = said(between=BETWEEN[:count])
    assert load_exchange(dump_exchange(given), answered_us(given)) == given


def test_more_messages_than_two_have_a_number_of_their_own_and_none_of_the_fields_that_older_workers_read() -> None:
    written = json.loads(dump_exchange(said(between=BETWEEN[:1])))
    assert (written["schema"], written.keys() & {"question", "answer", "user", "asked_as"}) == (2, set())
    assert not is_newer({"exchange:1": json.dumps(written), "answer": '{"schema":1}'})


@pytest.mark.parametrize("field", ["answer", "exchange:1"])
def test_a_number_above_the_known_ones_is_a_newer_workers(field: str) -> None:
    number = 2 if field == "answer" else 3
    text = json.dumps(json.loads(FIRST) | {"schema": number})
    assert is_newer({field: text})
    with pytest.raises(NewerRecord):
        load_exchange(text.replace('"schema": 2', '"schema": 3'), answered_us(said()))


@pytest.mark.parametrize("messages", [[], [{"text": "q", "said_as": "user"}], [{}] * 3, ["q", "a"], None, 7])
def test_messages_that_make_no_exchange_are_what_nobody_wrote(messages: object) -> None:
    written = json.loads(dump_exchange(said(between=BETWEEN))) | {"messages": messages}
    with pytest.raises(CorruptRecord):
        load_exchange(json.dumps(written), answered_us(said()))


SPOILT: tuple[tuple[str, object], ...] = (
    ("process_instance_id", ["instance-1"]),
    ("task_id", None),
    ("thread_id", {"id": "conv_1"}),
    ("response_id", ["resp_1"]),
    ("provider", ["openai"]),
    ("input_tokens", "many"),
    ("outcome", ["ok"]),
    ("key", {"engine": "default", "scope": ["instance-1"], "assistant": "analyst", "tenant": None}),
    ("question", ["What?"]),
    ("user", 7),
    ("remember", {"subject": [], "kind": "tenant", "question": ""}),
)


@pytest.mark.parametrize(("field", "value"), SPOILT, ids=[field for field, _ in SPOILT])
def test_a_value_of_another_type_is_what_nobody_wrote_and_names_nothing(field: str, value: object) -> None:
    text = json.dumps(json.loads(FIRST) | {field: value})
    with pytest.raises(CorruptRecord):
        load_exchange(text, answered_us(said()))
    assert named({"exchange:1": text}) == (Stored(), frozenset())


@pytest.mark.parametrize("change", [{"response_id": ["resp_1"]}, {"thread": {"id": ["conv_1"], "generation": 1}}])
def test_an_answer_with_a_value_of_another_type_names_nothing(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(dump(Answer("Yes."))) | change)
    with pytest.raises(CorruptRecord):
        load(text)
    assert named({"answer": text}) == (Stored(), frozenset())


@pytest.mark.parametrize("change", [{"schema": 3}, {"key": {"part": "new"}}, {"outcome": "new"}])
def test_nobody_here_can_tell_in_which_instance_a_newer_workers_exchange_was_said(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(FIRST) | change)
    assert named({"exchange:1": text, "exchange:2": FIRST})[1] is None


def test_what_a_newer_version_adds_to_a_message_is_left_out() -> None:
    given = said(between=BETWEEN)
    written = json.loads(dump_exchange(given))
    added = [each | {"mood": "new"} for each in written["messages"]]
    assert load_exchange(json.dumps(written | {"messages": added}), answered_us(given)) == given


def test_an_exchange_needs_a_question_and_an_answer() -> None:
    given = exchange(1, answered_at=START)
    with pytest.raises(ValueError, match="a question and an answer"):
        replace(given, messages=given.messages[:1])


def test_what_is_to_be_remembered_and_what_was_recalled_are_written_where_there_is_any() -> None:
    wish, known = ToRemember("a" * 32, "tenant", "Frame it.", approve=True), Recalled("a" * 32, ("f1", "f2"), "")
    given = said(remember=wish, recalled=known)
    assert load_exchange(dump_exchange(given), answered_us(given)) == given
    assert "remember" not in json.loads(dump_exchange(said()))
    added = json.loads(dump_exchange(given))
    added["remember"]["later"] = 1  # by a newer version
    assert load_exchange(json.dumps(added), answered_us(given)) == given
