"""The form of a record and of its parts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.decisions.examples import parts, weights
from worker.decisions import schemas
from worker.decisions.findings import MISMATCHES, Kind
from worker.decisions.schemas import PARTS, SCHEMA
from worker.errors import BadRecord
from worker.modelling.schema import flaw, mistakes


@pytest.mark.parametrize("name", PARTS)
def test_the_schema_of_a_part_stands_alone_and_takes_the_example(name: str) -> None:
    schema = schemas.part(name)
    Draft202012Validator.check_schema(schema)
    assert set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))) <= schema["$defs"].keys()
    value = parts()[name]
    Draft202012Validator(schema).validate(value["one"] if name == "scores" else value)


@pytest.mark.parametrize("name", PARTS)
def test_a_task_can_ask_for_a_part(name: str) -> None:
    value = parts()[name]
    assert flaw(schemas.part(name)) == ""
    assert mistakes(value["one"] if name == "scores" else value, schemas.part(name)) == []
    assert mistakes({}, schemas.part(name)) != []


def test_patterns_are_none_that_a_server_of_models_cannot_follow() -> None:
    patterns = re.findall(r'"pattern": "([^"]*)"', json.dumps(SCHEMA))
    assert patterns
    assert [each for each in patterns if "(" in each or not (each.startswith("^") and each.endswith("$"))] == []


def test_the_published_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


MANY = [{"id": f"A{number}", "name": "One of many"} for number in range(200)]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("frame", {"statement": None}, "at $.statement"),
        ("frame", {"limit": []}, "'limit' was unexpected"),
        ("objectives", {"objectives": []}, "at $.objectives"),
        ("alternatives", {"alternatives": [{"id": "1st", "name": "First"}]}, "at $.alternatives[0].id"),
        ("alternatives", {"alternatives": [{"id": "X\n", "name": "First"}]}, "at $.alternatives[0].id"),
        ("weights", {"sets": [{"id": "base", "points": []}]}, "'kind' is a required property"),
        ("scores", {"scores": [{"alternative": "X", "criterion": "Cost", "base": "100"}]}, "at $.scores[0].base"),
        ("scores", {"scores": [{"alternative": "X", "criterion": "C", "base": float("nan")}]}, "at $.scores[0].base"),
        ("scores", {"scores": [{"alternative": "X", "criterion": "C", "base": 10**400}]}, "at $.scores[0].base"),
        ("weights", {"sets": [weights(cost=-1e300)]}, "at $.sets[0].points[0].points"),
        ("weights", {"sets": [weights(cost=1e300)]}, "at $.sets[0].points[0].points: it is no number to compute with"),
        ("recommendation", {"why": {"text_sha256": "0" * 64}}, "at $.why"),
        ("alternatives", {"alternatives": MANY}, "at $.alternatives: 200 items, and 50 at most are taken"),
    ],
)
def test_what_is_wrong_with_a_part_is_said_with_its_place(name: str, change: dict[str, Any], said: str) -> None:
    value = parts()[name]
    with pytest.raises(BadRecord, match=re.escape(said)) as caught:
        schemas.check_part(name, (value["one"] if name == "scores" else value) | change)
    assert str(caught.value).startswith(f"the part {name} is not in its form: ")


def test_a_part_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadRecord, match="no part 'criteria'; its parts are frame, objectives"):
        schemas.check_part("criteria", {})


def test_a_part_beyond_all_bounds_is_not_compared() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(BadRecord, match="nested deeper"):
        schemas.check_part("dissent", {"dissent": deep})
    with pytest.raises(BadRecord, match="more than 100000 values"):
        schemas.check_part("dissent", {"dissent": [0] * 100_001})


@pytest.mark.parametrize(
    ("status", "without", "missing"),
    [
        ("open", ["frame", "scores"], []),
        ("computed", ["objectives", "scores"], ["objectives", "scores"]),
        ("proposed", ["recommendation", "dissent"], ["recommendation"]),
        ("closed", [], []),
    ],
)
def test_parts_that_a_status_lacks_are_named(status: str, without: list[str], missing: list[str]) -> None:
    given = {name: value for name, value in parts().items() if name not in without}
    assert schemas.lacking(given, status) == missing


def test_every_status_of_the_schema_needs_the_parts_that_code_asks_for() -> None:
    for rule in SCHEMA["allOf"]:
        [status] = rule["if"]["properties"]["status"]["enum"]
        required = rule["then"]["properties"]["content"]["required"]
        assert [each for each in required if each != "computed"] == [*schemas.REQUIRED[status]]
        assert "computed" in required


def test_all_objects_of_parts_refuse_what_they_do_not_know() -> None:
    assert [each for name in PARTS for each in _open_objects(SCHEMA["$defs"][name], name)] == []


def _open_objects(schema: Any, where: str) -> Iterator[str]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield where
        for name, each in schema.items():
            yield from _open_objects(each, f"{where}.{name}")


def test_the_guide_tells_of_every_part_figure_and_finding() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "decisions.md").read_text()
    wanted = {*PARTS, *SCHEMA["$defs"]["computed"]["properties"], *Kind}
    assert {each for each in wanted if f"`{each}`" not in guide} == set()
    counted = {kind for kind in Kind if re.search(rf"^\| `{kind}` \|.*\| yes \|$", guide, re.MULTILINE)}
    assert counted == MISMATCHES
