"""What a question shows of variables: bounded by what it becomes, whatever it is made of."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.tasks import Variable
from worker.domain.threads import size
from worker.errors import BadDefinition
from worker.modelling import inputs
from worker.modelling.rendering import TooLarge, is_unreadable, readable, section

ANY_TEXT = st.text(st.characters())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)
VARIABLES = st.builds(
    Variable,
    VALUES | VALUES.map(json.dumps) | st.integers(1, 300).map(lambda depth: "[" * depth + "]" * depth),
    st.none() | st.sampled_from(["String", "Json", "Object", "File", "Bytes", "Xml", "Double"]),
    st.sampled_from([{}, {"mimeType": "text/plain"}, {"objectTypeName": "java.lang.String"}]),
)


@given(ANY_TEXT, VARIABLES, st.integers(0, 400))
def test_a_section_fits_its_room_or_says_how_large_it_is(name: str, variable: Variable, room: int) -> None:
    try:
        text = section(name, variable, room)
    except TooLarge:
        text = section(name, variable)
        assert size(text) > room or size(json.dumps(variable.value)) > room
    else:
        assert size(text) <= room


@given(st.dictionaries(ANY_TEXT, VARIABLES, max_size=5), st.integers(0, 1000))
def test_inputs_fit_their_room_together_or_are_named(given: dict[str, Variable], room: int) -> None:
    chosen = inputs.within(given, room)

    assert sum(map(size, chosen.shown.values())) <= room
    assert [*chosen.shown, *chosen.left_out] == sorted(
        given, key=lambda name: (name not in chosen.shown, [*given].index(name))
    )
    if chosen.left_out or any(map(is_unreadable, given.values())):
        with pytest.raises(BadDefinition):
            inputs.whole(given, room)
    else:
        assert inputs.whole(given, room) == chosen


def nested(depth: int, *, width: int = 1) -> str:
    text = ",".join(["1"] * width)
    return "[" * depth + text + "]" * depth


@pytest.mark.parametrize("text", [nested(450), nested(190, width=100), f"[{','.join([nested(150)] * 200)}]"])
def test_json_is_not_made_many_times_larger_by_its_layout(text: str) -> None:
    shown = section("x", Variable(text, "Json"))

    assert size(shown) < 9 * len(text) + 2100
    assert json.loads(shown.partition("\n\n")[2].replace("\n", "")) == json.loads(text)


def test_ordinary_json_is_laid_out_and_compact_where_that_would_not_fit() -> None:
    value = json.dumps([{"name": "range", "values": [1, 2, 3]}] * 50, separators=(",", ":"))

    assert readable(Variable(value, "Json")) == json.dumps(json.loads(value), indent=2)
    assert readable(Variable(value, "Json"), room=len(value) + 100) == value
    with pytest.raises(TooLarge):
        section("x", Variable(value, "Json"), room=len(value) - 100)


def test_what_is_far_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge) as caught:
        section("x", Variable("[" * 10_000_000, "Json"), room=1000)
    assert caught.value.size == 10_000_000


def test_an_input_that_is_too_large_is_named_with_what_it_comes_to_and_what_to_do() -> None:
    given: dict[str, Any] = {"first": Variable("x" * 500), "offer": Variable("y" * 900, "String")}
    with pytest.raises(BadDefinition) as caught:
        inputs.whole(given, 1000)

    assert str(caught.value) == (
        "input 'offer' comes to at least 924 bytes in the question, and INPUT_TOKENS leaves room for 1,000, of which "
        "those before it take 515: hand over the part that is needed, name fewer inputs, or raise that setting of the "
        "worker"
    )


def test_of_thousands_that_do_not_fit_only_some_are_named() -> None:
    chosen = inputs.within({f"x{number}": Variable("y" * 100) for number in range(5000)}, 50)

    assert len(chosen.left_out) == inputs.MOST_NAMED + 1
    assert chosen.left_out[-1] == "and 4950 more"
