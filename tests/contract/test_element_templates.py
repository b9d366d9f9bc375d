"""Camunda Modeler takes the templates: its own validator, from npm, says nothing against them."""

import json

import pytest

from tests.element_templates import flaws
from worker.operate.templates import texts


@pytest.mark.parametrize("names", [None, ["analyst", "challenger"]], ids=["any assistant", "known assistants"])
def test_modeler_says_nothing_against_a_template(names: list[str] | None) -> None:
    templates = [json.loads(each) for each in texts(names).values()]
    assert flaws(templates) == [[]] * len(templates)


def test_modeler_says_what_is_wrong_with_one() -> None:
    template = json.loads(next(iter(texts(None).values())))
    template["properties"][0]["binding"] = {"type": "camunda:nothing"}
    [told] = flaws([template])
    assert any("camunda:nothing" in each for each in told)
