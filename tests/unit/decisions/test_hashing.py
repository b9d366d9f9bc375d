"""What a record is hashed as, texts that can be erased, and rows that follow each other."""

import enum
import hashlib
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.decisions.examples import parts
from worker.decisions import chain, hashing
from worker.decisions.hashing import ERASED
from worker.errors import BadRecord

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_hash_is_of_the_form_of_rfc_8785() -> None:
    value = {"b": [1.0, 1e21, 0.1, -0.0, True, None], "a": "\u20ac\n\u000f", "\ufb33": 1, "\U0001f600": 2}
    form = '{"a":"\u20ac\\n\\u000f","b":[1,1e+21,0.1,0,true,null],"\U0001f600":2,"\ufb33":1}'
    assert hashing.sha256(value) == hashlib.sha256(form.encode()).hexdigest()
    assert hashing.sha256(json.loads(form)) == hashing.sha256(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), r"at \$\.x\[0\]: a number is NaN or infinite"),
        (float("-inf"), "a number is NaN or infinite"),
        (2**53, r"an integer is beyond 2\^53"),
        ("\ud83d", "half a character"),
        ({1: 2}, "a name is no text"),
        ({"\udc00": 2}, "a name is no text"),
        ((1, 2), "tuple is nothing of JSON"),
        (enum.StrEnum("Word", "X").X, "Word is nothing of JSON"),  # type: ignore[attr-defined]  # made by name
        (type("float64", (float,), {})(0.5), "float64 is nothing of JSON"),
    ],
)
def test_what_has_no_such_form_is_named_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(BadRecord, match=said):
        hashing.sha256({"x": [value]})


@settings(max_examples=50)
@given(st.lists(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_what_is_read_back_has_the_same_hash(value: Any) -> None:
    assert hashing.sha256(json.loads(json.dumps(value))) == hashing.sha256(value)


def sealed(content: dict[str, Any], known: hashing.Texts | None = None) -> tuple[dict[str, Any], hashing.Texts]:
    numbers = count(1)
    sealing = hashing.Sealing(known or {}, lambda: f"{next(numbers):032x}")
    return sealing.content(content), sealing.used


def test_no_text_of_a_part_is_in_what_is_hashed_and_all_come_back() -> None:
    content, texts = sealed(parts())
    written = json.dumps(content)
    for text in ("Which press", "The board", "Finance", "Demand", "noise", "May"):
        assert text not in written
    assert '"unit": "k\\u20ac"' in written
    assert hashing.opened(content, texts) == parts()
    assert set(hashing.digests(content)) == texts.keys()


def test_computed_figures_are_not_sealed() -> None:
    content, _ = sealed({"computed": {"leader": "Y"}})
    assert content == {"computed": {"leader": "Y"}}


def test_a_text_that_is_erased_leaves_the_hash_and_cannot_be_guessed() -> None:
    content, texts = sealed(parts())
    before = hashing.sha256(content)
    [digest] = [digest for digest, each in texts.items() if each["text"] == "The board"]
    assert hashing.text_sha256("", "The board") != digest
    left = {each: text for each, text in texts.items() if each != digest}
    assert hashing.opened(content, left)["frame"]["decider"] == ERASED
    assert hashing.sha256(content) == before


def test_the_same_texts_have_the_same_hash_again_and_others_salts_of_their_own() -> None:
    sealing = hashing.Sealing({})
    content = sealing.content(parts())
    assert hashing.Sealing(sealing.used).content(parts()) == content
    assert hashing.Sealing({}).content(parts()) != content
    salts = [each["salt"] for each in sealing.used.values()]
    assert len(set(salts)) == len(salts)


def test_half_a_character_cannot_be_sealed() -> None:
    with pytest.raises(BadRecord, match="lone surrogate"):
        sealed({"dissent": {"dissent": [{"text": "\ud83d"}]}})


def test_of_a_source_what_names_a_person_is_sealed() -> None:
    source = {"of": "person", "at": AT.isoformat(), "user": "ben", "through": "tasklist", "task": "t1"}
    sealing = hashing.Sealing({})
    kept = sealing.source(source)
    assert (kept["of"], kept["task"], "ben" in json.dumps(kept)) == ("person", "t1", False)
    assert hashing.opened(kept, sealing.used) == source


RECORD = {"id": "r1", "revision": 1, "content_sha256": "a" * 64}


def rows() -> list[dict[str, Any]]:
    made = [chain.row("change", None, RECORD, AT, {"items": []})]
    made.append(chain.row("signature", made[-1], RECORD, AT + timedelta(hours=1), {"answer": "yes"}))
    second = RECORD | {"revision": 2, "content_sha256": "b" * 64}
    made.append(chain.row("change", made[-1], second, AT + timedelta(hours=2), {"items": []}))
    return made


def test_rows_name_what_they_follow_and_hold() -> None:
    first, second, third = rows()
    assert (first["previous"], second["previous"], third["previous"]) == ("", first["row_sha256"], second["row_sha256"])
    assert third["at"] == "2026-03-01T14:00:00+00:00"
    assert chain.problems([first, second, third], "r1") == []
    assert chain.problems([], "r1") == []


def rehashed(row: dict[str, Any], **changed: Any) -> dict[str, Any]:
    other = {name: value for name, value in (row | changed).items() if name != "row_sha256"}
    return other | {"row_sha256": hashing.sha256(other)}


def test_what_does_not_hold_is_said_row_by_row() -> None:
    first, second, third = rows()
    assert chain.problems([first, second | {"facts": {"answer": "no"}}, third], "r1") == [
        "row 2 is not what was hashed"
    ]
    assert chain.problems([first, third], "r1") == [
        "row 2 says that it is row 3: rows are missing, or not in order",
        "row 2 does not follow the row before it",
    ]
    assert chain.problems([first, rehashed(second, facts={"answer": "no"}), third], "r1") == [
        "row 3 does not follow the row before it"
    ]
    assert "row 1 is of another record" in chain.problems([first], "r2")
    back = rehashed(third, revision=1)
    assert chain.problems([first, second, back], "r1") == [
        "row 3 names another content of revision 1 than the rows before it"
    ]
    older = chain.row("change", third, RECORD, AT, {})
    assert chain.problems([first, second, third, older], "r1") == ["row 4 goes back to revision 1"]
