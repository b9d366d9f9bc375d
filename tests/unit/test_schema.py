"""JSON Schema: the library's judgement at a bounded price, and a schema's own faults are not the answer's."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from worker.modelling import keywords, schema
from worker.modelling.schema import Unusable

NAMES = st.sampled_from(["a", "b", "ab", "c1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, -0.0]) | NAMES | st.just(""),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
LEAVES = st.one_of(
    st.booleans(),
    st.just({}),
    st.sampled_from(["string", "number", "integer", "object", "array", "null", "boolean"]).map(
        lambda name: {"type": name}
    ),
    VALUES.map(lambda value: {"const": value}),
    st.lists(VALUES, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.sampled_from(["^a", "b$", "[0-9]"]).map(lambda pattern: {"pattern": pattern}),
    st.just({"uniqueItems": True}),
    st.just({"$ref": "#/$defs/x"}),
    st.integers(0, 2).map(lambda count: {"minLength": count, "maxItems": count + 1}),
)


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    parts = st.dictionaries(NAMES, inner, max_size=2)
    some = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": parts,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "[0-9]"]), inner, max_size=2),
            "additionalProperties": inner,
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
            "dependentSchemas": parts,
            "propertyNames": inner,
            "items": inner,
            "prefixItems": some,
            "contains": inner,
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "$ref": st.just("#/$defs/x"),
        },
    )


COMPOSED = composed(st.recursive(LEAVES, composed, max_leaves=6))


@settings(deadline=None)  # a busy machine is no fault of the judgement
@given(LEAVES.filter(lambda each: "$ref" not in str(each)), COMPOSED, VALUES)
def test_the_judgement_is_the_librarys(part: Any, whole: Any, value: Any) -> None:
    wanted = {**whole, "$defs": {"x": part}, "$schema": "https://json-schema.org/draft/2020-12/schema"}

    assert schema.flaw(wanted) == ""
    assert (schema.mistakes(value, wanted) == []) == Draft202012Validator(wanted).is_valid(value)


@given(VALUES, VALUES)
def test_equal_is_what_json_calls_equal(one: Any, other: Any) -> None:
    same = Draft202012Validator({"const": one}).is_valid(other)
    with keywords.bounded():
        assert (keywords.canonical(one) == keywords.canonical(other)) == same
    assert bool(schema.mistakes([one, other], {"uniqueItems": True})) == same
    assert bool(schema.mistakes(other, {"enum": [one, "never"]})) != (same or other == "never")


def doubling(word: str, levels: int = 40) -> dict[str, Any]:
    """A schema of some hundred characters that is applied 2^40 times."""
    parts: dict[str, Any] = {f"a{n}": {word: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": parts | {f"a{levels}": {"type": "number"}}, "$ref": "#/$defs/a0"}


def inside(whole: dict[str, Any]) -> dict[str, Any]:
    """The same for the property x, so that it shows with an answer only."""
    reference = whole.pop("$ref")
    return whole | {"properties": {"x": {"$ref": reference}}}


TOO_DEAR: dict[str, tuple[dict[str, Any], Any, str]] = {
    "doubling allOf": (inside(doubling("allOf")), {"x": 1}, "too many steps"),
    "doubling anyOf": (inside(doubling("anyOf")), {"x": "y" * 10_000}, "too many steps"),
    "doubling oneOf": (inside(doubling("oneOf")), {"x": 1}, "too many steps"),
    "pattern": ({"properties": {"x": {"pattern": "^(a|a)*$"}}}, {"x": "a" * 60 + "b"}, "'^(a|a)*$' takes too long"),
    "names": ({"patternProperties": {"^(a|a)*$": {}}}, {"a" * 60 + "b": 1}, "takes too long to search for"),
    "other names": (
        {"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False},
        {"a" * 60 + "b": 1},
        "takes too long to search for",
    ),
    "names left": (
        {"allOf": [{"patternProperties": {"^(a|a)*$": {}}}], "unevaluatedProperties": False},
        {"a" * 60 + "b": 1},
        "takes too long to search for",
    ),
    "many patterns": ({"items": {"pattern": "^(a|a)*$"}}, ["a" * 24 + "b"] * 5000, "takes too long to search for"),
    "endless": ({"properties": {"x": {"anyOf": [{"$ref": "#/properties/x"}]}}}, {"x": 1}, "leads back to itself"),
    "nowhere": ({"properties": {"x": {"$ref": "#/$defs/lost"}}}, {"x": 1}, "which it does not have"),
    "items": ({"contains": {"type": "number"}, "unevaluatedItems": False}, list(range(150_000)), "too many steps"),
    "long texts": ({"anyOf": [{"type": "number"}] * 1000}, "x" * 2_000_000, "too many steps"),
}


@pytest.mark.parametrize("name", TOO_DEAR)
def test_a_schema_that_costs_too_much_is_at_fault_itself_and_soon(name: str) -> None:
    wanted, value, said = TOO_DEAR[name]
    began = time.thread_time()
    with pytest.raises(
        Unusable,
        match=said.replace("^", r"\^")
        .replace("(", r"\(")
        .replace("|", r"\|")
        .replace("*", r"\*")
        .replace(")", r"\)")
        .replace("$", r"\$"),
    ) as caught:
        schema.mistakes(value, wanted)

    assert time.thread_time() - began < 2 * keywords.MOST_SECONDS
    assert "yyyy" not in str(caught.value), "it quotes no answer"
    assert "aaaa" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (doubling("allOf"), "it takes too many steps"),
        (doubling("anyOf"), "it takes too many steps"),
        ({"$ref": "#"}, "its reference '#' leads back to itself"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [{"$ref": "#"}]}, "leads back to itself"),
        ({"$ref": "#/$defs/lost"}, "/$defs/lost', which it does not have"),
        ({"pattern": "a" * 3000}, "it has more than 2000 characters"),
        ({"patternProperties": {"(": {}}}, "is no pattern: missing )"),
        ({"enum": list(range(schema.MOST_PARTS))}, "it has more than 20000 parts"),
        (json.loads('{"not":' * 150 + "{}" + "}" * 150), "it is nested too deep"),
    ],
)
def test_what_makes_a_schema_useless_is_said_before_anything_is_asked(wanted: Any, said: str) -> None:
    assert said in schema.flaw(wanted)


def test_a_schema_that_is_shared_with_itself_as_yaml_allows_is_refused() -> None:
    part: dict[str, Any] = {}
    for _ in range(60):
        part = {"anyOf": [part, part]}
    assert schema.flaw(part) == "it has more than 20000 parts"
    part["not"] = part
    assert schema.flaw(part)


ITEM = {
    "type": "object",
    "required": ["a"],
    "properties": {name: {"type": "string", "maxLength": 9} for name in "abcde"},
}


def test_a_large_answer_with_an_ordinary_schema_is_compared_as_a_whole() -> None:
    value = [{name: f"{name}{number}" for name in "abcde"} for number in range(3000)]
    wanted = {"type": "array", "uniqueItems": True, "items": ITEM}

    assert schema.mistakes(value, wanted) == []
    assert [each.rule for each in schema.mistakes([*value, value[0]], wanted)] == ["uniqueItems"]


def test_an_answer_too_large_or_too_deep_is_the_answers_mistake() -> None:
    tree = {"$defs": {"n": {"properties": {"c": {"items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"}
    deep: Any = {}
    for _ in range(99):
        deep = {"c": [deep]}

    assert [each.rule for each in schema.mistakes([0] * (schema.MOST_VALUES + 1), {})] == ["too large"]
    assert [each.rule for each in schema.mistakes(deep, tree)] in ([], ["too deep"])
    with pytest.raises(ValueError, match="nested deeper than 200"):
        schema.parse("[" * 300 + "]" * 300)


@pytest.mark.parametrize(
    "wanted", [{"type": "number"}, {"enum": [1]}, {"const": 1}, {"uniqueItems": True}, {"items": {"maxLength": 1}}]
)
def test_what_is_said_of_a_mistake_is_short_however_large_the_answer(wanted: Any) -> None:
    found = schema.mistakes(["x" * 9000] * 2, wanted)

    assert found
    assert all(len(each.said) <= schema.LONGEST_MISTAKE for each in found)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ({"type": "banana"}, "#/default"),
        ({"pattern": "("}, "#/default"),
        ("text", "#/title"),
        (7, "#/minimum"),
        ([], "#/allOf"),
    ],
)
def test_a_reference_to_what_is_no_schema_is_said(target: Any, place: str) -> None:
    wanted = {place.removeprefix("#/"): target, "properties": {"a": {"$ref": place}}}

    with pytest.raises(schema.Unusable):
        schema.mistakes({"a": "x"}, wanted)


@pytest.mark.parametrize("place", ["2", "9" * 10, "9" * 5000])
def test_a_place_that_a_list_does_not_have_is_none(place: str) -> None:
    assert schema.at(["a", {"b": 1}], "1.b") == 1
    with pytest.raises(LookupError):
        schema.at(["a", {"b": 1}], f"{place}.b")
