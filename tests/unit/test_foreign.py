"""JSON that others wrote: whatever it is, it is read or refused, and bounded either way."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import ACTIVITY, task
from worker.domain import foreign, meta
from worker.domain.tasks import META_SUFFIX, Variable
from worker.domain.threads import Thread
from worker.modelling.inputs import readable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
WORKER = Path(__file__).parents[2] / "worker"
ELSEWHERE = {
    "web/page/shapes.py": "keeps numbers as they were written",
    "providers/failures.py": "knows the same errors",
    "demo": "is not the worker",
    "testing": "is not the worker, and knows nothing of its inside",
}
METAS = st.one_of(
    st.text(),
    JSON.map(json.dumps),
    st.fixed_dictionaries(
        {"thread": JSON}, optional=dict.fromkeys(("assistant", "version", "response", "fields", "too_long"), JSON)
    ).map(json.dumps),
    st.integers(1, 4000).map(lambda depth: "[" * depth),
    st.integers(1, 900).map(lambda depth: '{"thread":' * depth + "1" + "}" * depth),
)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused_in_one_way(text: str | bytes) -> None:
    for read in (foreign.read, foreign.read_flat):
        try:
            read(text)
        except ValueError:
            continue


@pytest.mark.parametrize("depth", [foreign.DEEPEST + 1, 900, 1100, 100_000])
def test_what_is_nested_deeper_than_anybody_writes_is_refused(depth: int) -> None:
    with pytest.raises(foreign.TooDeep):
        foreign.read(nested(depth))
    with pytest.raises(foreign.TooDeep):
        foreign.read('{"a":' * depth + "1" + "}" * depth)


def test_the_deepest_that_is_read_can_be_walked_and_written_again() -> None:
    text = nested(foreign.DEEPEST)
    assert json.dumps(foreign.read(text)) == text


def test_a_value_that_stands_in_many_places_counts_in_each_and_only_as_far_as_asked() -> None:
    doubling: list[Any] = []
    for _ in range(100):
        doubling = [doubling, doubling]
    endless: list[Any] = []
    endless.append(endless)

    assert foreign.extent(doubling, most=1000) > 1000
    assert foreign.extent({"a": [1, 2]}) == 4
    with pytest.raises(foreign.TooDeep):
        foreign.extent(endless)


@given(st.text(max_size=5), METAS)
def test_a_variable_called_like_our_meta_is_ours_or_nothing(name: str, value: str) -> None:
    found = meta.read(name + META_SUFFIX, value)

    assert found is None or all(isinstance(each, str) for each in (found.thread, found.response, *found.fields))
    assert meta.is_broken(name, value) in (True, False)


@given(st.dictionaries(st.text(max_size=3).map(lambda name: name + META_SUFFIX), METAS, max_size=4))
def test_hostile_metas_keep_no_variable_from_being_shown(metas: dict[str, str]) -> None:
    asked = task(goal="Fly", **{name: Variable(each) for name, each in metas.items()})

    assert "goal" in readable(asked, ACTIVITY, None)
    readable(asked, ACTIVITY, Thread("conv_1", 1))


def test_others_json_is_read_in_one_place() -> None:
    found = {
        str(path.relative_to(WORKER))
        for path in WORKER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and (ast.unparse(node) in ("json.loads", "json.load"))
    }
    assert {each for each in found if not each.startswith(tuple(ELSEWHERE))} == {"domain/foreign.py"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("idna", b"xn--4ca"),
        ("punycode", b"4ca-"),
        ("undefined", b"x"),
        ("unicode_escape", rb"\x41"),
        ("raw-unicode-escape", rb"\u0041"),
        ("utf-7", b"+AGE-"),
        ("UTF7", b"+AGE-"),
        ("unicode-1-1-utf-7", b"+AGE-"),
        ("base64", b"eA=="),
    ],
)
def test_a_file_that_claims_an_encoding_of_no_text_is_read_as_it_stands(name: str, content: bytes) -> None:
    assert foreign.text(content, name) == content.decode()
