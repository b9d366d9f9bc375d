"""What a task says it wants, read from its extension properties and input parameters."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import ACTIVITY, TASK, task
from worker import properties
from worker.domain import Activity, Outcome, Variable
from worker.errors import BadModel
from worker.properties import TaskProperties

MINIMAL = {"service.type": "assistant", "service.name": "analyst"}
DECLARED = replace(ACTIVITY, parameters=frozenset({"assistant", "prompt"}))


def read(given_properties: dict[str, str], activity: Activity = ACTIVITY, **variables: Any) -> TaskProperties:
    return properties.read(task(MINIMAL | given_properties, **variables), activity)


def test_name_of_the_assistant_is_enough() -> None:
    assert read({}) == TaskProperties(
        assistant="analyst",
        version=None,
        inputs=(),
        output="frame",
        output_type="Text",
        local=False,
        errors={},
    )


def test_everything_can_be_said() -> None:
    assert read(
        {
            "service.version": "1.0",
            "data.input": "budget, goals,,  constraints ,",
            "data.output": "framing",
            "data.output.type": "Json",
            "data.output.scope": "local",
            "error.refused": "REFUSED",
            "error.invalid": "INVALID",
            "something.else": "of others",
        }
    ) == TaskProperties(
        assistant="analyst",
        version="1.0",
        inputs=("budget", "goals", "constraints"),
        output="framing",
        output_type="Json",
        local=True,
        errors={Outcome.REFUSED: "REFUSED", Outcome.INVALID: "INVALID"},
    )


def test_blank_properties_count_as_not_there() -> None:
    blank = dict.fromkeys(
        ["service.version", "data.input", "data.output", "data.output.type", "data.output.scope", "error.refused"], " "
    )
    assert read(blank) == read({})


def test_evaluated_assistant_goes_before_the_property() -> None:
    assert read({}, DECLARED, assistant=" critic ").assistant == "critic"


@pytest.mark.parametrize("value", [None, "", " "])
def test_blank_parameter_leaves_the_property(value: str | None) -> None:
    assert read({}, DECLARED, assistant=value).assistant == "analyst"


def test_process_variable_named_assistant_changes_nothing() -> None:
    assert read({}, assistant="critic").assistant == "analyst"


def test_parameter_that_is_declared_but_did_not_come_leaves_the_property() -> None:
    assert read({}, DECLARED).assistant == "analyst"


@pytest.mark.parametrize("name", ["", "  "])
def test_task_without_an_assistant_is_a_bad_model(name: str) -> None:
    with pytest.raises(BadModel, match=r"service\.name"):
        read({"service.name": name})
    with pytest.raises(BadModel, match="input parameter assistant"):
        properties.read(TASK, ACTIVITY)


@pytest.mark.parametrize(
    ("activity_id", "output"),
    [("frame", "frame"), ("Activity_0a-b.c:d", "Activity_0a_b_c_d"), ("entscheidung-für-ü", "entscheidung_für_ü")],
)
def test_result_is_called_after_the_activity_where_nothing_is_said(activity_id: str, output: str) -> None:
    asked = replace(task(MINIMAL), activity_id=activity_id)
    assert properties.read(asked, ACTIVITY).output == output


def test_results_of_a_multi_instance_keep_apart_by_their_loop_counter() -> None:
    many = replace(ACTIVITY, multi_instance=True)

    assert read({}, many, loopCounter=Variable(3, "Integer")).output == "frame_3"
    assert read({"data.output": "votes"}, many, loopCounter=Variable(0, "Integer")).output == "votes_0"


def test_loop_counter_of_a_single_task_means_nothing() -> None:
    assert read({}, loopCounter=3).output == "frame"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("data.output.type", "Xml", "Text, Json, File"),
        ("data.output.type", "json", "Text, Json, File"),
        ("data.output.scope", "process", "instance, local"),
        ("error.timeout", "X", "refused, filtered, incomplete, failed, empty, invalid"),
        ("error.ok", "X", "refused"),
        ("error.Refused", "X", "refused"),
        ("error.", "X", "refused"),
    ],
)
def test_bad_property_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(BadModel) as caught:
        read({name: value})

    assert name in str(caught.value)
    assert allowed in str(caught.value)


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())), st.text(st.characters()))
def test_any_property_is_data_or_a_bad_model(others: dict[str, str], assistant: str) -> None:
    try:
        read(others | {"data.input": f"__class__,{{{{x}}}},${{x}},{assistant}"}, DECLARED, assistant=assistant)
    except BadModel:
        return


@pytest.mark.parametrize("value", [7, True, 1.5, ["critic"], {"name": "critic"}])
def test_parameter_that_is_no_text_names_no_assistant_that_exists(value: Any) -> None:
    assert read({}, DECLARED, assistant=value).assistant == str(value)


@pytest.mark.parametrize("name", ["__class__", "{{x}}", "${x}", "x" * 4000, "\u202e\u200bx", "a b"])
def test_hostile_names_of_inputs_are_names(name: str) -> None:
    assert read({"data.input": name}).inputs == (name,)
