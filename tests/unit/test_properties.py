"""What a task says it wants, read from its extension properties and input parameters."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import ACTIVITY, TASK, task
from worker.decisions import schemas
from worker.domain.tasks import Activity, Variable
from worker.domain.threads import Outcome
from worker.errors import BadDefinition
from worker.modelling import properties
from worker.modelling.forms import CHOICES
from worker.modelling.properties import RecordProperties, TaskProperties

MINIMAL = {"service.type": "assistant", "service.name": "analyst"}
DECLARED = replace(ACTIVITY, parameters=frozenset({"assistant", "prompt"}))


def read(given_properties: dict[str, str], activity: Activity = ACTIVITY, **variables: Any) -> TaskProperties:
    return properties.read(task(**variables), replace(activity, properties=MINIMAL | given_properties))


def test_name_of_the_assistant_is_enough() -> None:
    assert read({}) == TaskProperties(
        assistant="analyst",
        version=None,
        sharing="instance",
        needs_memory=False,
        timeout=None,
        retries=None,
        retry_delay=None,
        calls=3,
        inputs=None,
        output="frame",
        output_type=None,
        local=False,
        schema=None,
        fields={},
        errors={},
    )


def test_everything_can_be_said() -> None:
    assert read(
        {
            "service.version": "1.0",
            "data.input": "budget, goals,,  constraints ?,",
            "data.output": "framing",
            "data.output.type": "Json",
            "data.output.scope": "local",
            "data.output.schema": "framing.schema.json",
            "data.output.fields": "choice, cost = budget.total,",
            "service.thread": "root",
            "service.thread.required": "true",
            "service.timeout": "PT5M",
            "service.retries": "5",
            "service.retries.delay": "PT1M30S",
            "service.calls": "10",
            "error.refused": "REFUSED",
            "error.invalid": "INVALID",
            "something.else": "of others",
        }
    ) == TaskProperties(
        assistant="analyst",
        version="1.0",
        sharing="root",
        needs_memory=True,
        timeout=timedelta(minutes=5),
        retries=5,
        retry_delay=timedelta(seconds=90),
        calls=10,
        inputs={"budget": True, "goals": True, "constraints": False},
        output="framing",
        output_type="Json",
        local=True,
        schema="framing.schema.json",
        fields={"choice": "choice", "cost": "budget.total"},
        errors={Outcome.REFUSED: "REFUSED", Outcome.INVALID: "INVALID"},
    )


def test_blank_properties_count_as_not_there() -> None:
    names = {each.name for each in properties.PROPERTIES} - {"service.type", "service.name", "error.<outcome>"}
    blank = dict.fromkeys([*names, "error.refused"], " ")
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
    with pytest.raises(BadDefinition, match=r"service\.name"):
        read({"service.name": name})
    with pytest.raises(BadDefinition, match="input parameter assistant"):
        properties.read(TASK, ACTIVITY)


@pytest.mark.parametrize(
    ("activity_id", "output"),
    [("frame", "frame"), ("Activity_0a-b.c:d", "Activity_0a_b_c_d"), ("entscheidung-für-ü", "entscheidung_für_ü")],
)
def test_result_is_called_after_the_activity_where_nothing_is_said(activity_id: str, output: str) -> None:
    asked = replace(TASK, activity_id=activity_id)
    assert properties.read(asked, replace(ACTIVITY, properties=MINIMAL)).output == output


def test_results_of_a_multi_instance_keep_apart_by_their_loop_counter() -> None:
    many = replace(ACTIVITY, loops=1)

    assert read({}, many, loopCounter=Variable(3, "Integer")).output == "frame_3"
    assert read({"data.output": "votes"}, many, loopCounter=Variable(0, "Integer")).output == "votes_0"
    assert read({"data.output.fields": "cost=a.b"}, many, loopCounter=2).fields == {"cost_2": "a.b"}


def test_local_results_of_a_multi_instance_need_no_number_and_can_be_named_by_a_mapping() -> None:
    local = {"data.output.scope": "local", "data.output.fields": "cost"}
    wanted = read(local, replace(ACTIVITY, loops=1), loopCounter=2)

    assert (wanted.output, wanted.fields) == ("frame", {"cost": "cost"})


def test_loop_within_a_loop_needs_local_results() -> None:
    nested = replace(ACTIVITY, loops=2)

    with pytest.raises(BadDefinition, match=r"data\.output\.scope to local"):
        read({}, nested, loopCounter=1)
    assert read({"data.output.scope": "local"}, nested, loopCounter=1).local


@pytest.mark.parametrize(
    ("said", "property_name"),
    [
        ({"data.output.schema": "x.json", "data.output.type": "Text"}, "data.output.schema"),
        ({"data.output.fields": "a", "data.output.type": "Text"}, "data.output.fields"),
        ({"data.output.fields": "a", "data.output.type": "File"}, "data.output.fields"),
    ],
)
def test_properties_that_contradict_each_other_are_named(said: dict[str, str], property_name: str) -> None:
    with pytest.raises(BadDefinition, match=r"data\.output\.type") as caught:
        read(said)
    assert property_name in str(caught.value)


def test_schema_can_stand_in_the_property_itself() -> None:
    assert read({"data.output.schema": ' {"type": "object"} '}).schema == {"type": "object"}


@pytest.mark.parametrize(
    ("said", "needed"),
    [("-", {}), (" - ", {}), ("a", {"a": True}), ("a,-", {"a": True, "-": True}), (",", None), ("?", None)],
)
def test_a_dash_asks_for_no_input_and_silence_for_all(said: str, needed: dict[str, bool] | None) -> None:
    assert read({"data.input": said}).inputs == needed


@pytest.mark.parametrize(
    ("said", "needed"), [("a?", {"a": False}), ("a ?, b", {"a": False, "b": True}), ("a?,a", {"a": True})]
)
def test_a_question_mark_lets_an_input_be_absent(said: str, needed: dict[str, bool]) -> None:
    assert read({"data.input": said}).inputs == needed


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
        ("service.thread", "everybody", "instance, root, business-key, activity"),
        ("service.timeout", "90", "PT90S"),
        ("service.timeout", "P", "PT90S"),
        ("service.timeout", "PT", "PT90S"),
        ("service.timeout", "PT0S", "PT90S"),
        ("service.timeout", "PT2H", "up to 3600 s"),
        ("service.timeout", "P1M", "PT90S"),
        ("service.retries", "0", "from 1 to 100"),
        ("service.retries", "101", "from 1 to 100"),
        ("service.retries", "many", "from 1 to 100"),
        ("service.retries", "٣", "from 1 to 100"),
        ("service.retries.delay", "P2D", "up to 86400 s"),
        ("service.calls", "0", "from 1 to 100"),
        ("service.calls", "101", "from 1 to 100"),
        ("data.output.schema", '{"type": ', "is no JSON"),
        ("data.output.schema", '{"type": "text"}', "is no usable JSON Schema"),
        ("data.output.schema", '{"$ref": "http://localhost/x"}', "only parts of its own"),
        ("data.output.fields", "a=b=c", "choice or cost=budget.total"),
        ("data.output.fields", "1a", "choice or cost=budget.total"),
        ("data.output.fields", "a=.b", "choice or cost=budget.total"),
        ("data.output.fields", "a, a=b", "each name once"),
        ("data.output.fields", "frame_meta", "the name of the result itself"),
        ("data.output.fields", "a=${path}", "no expression is evaluated"),
        ("data.output", "${name}", "no expression is evaluated"),
        ("data.output", "#{name}", "no expression is evaluated"),
        ("data.output", "x" * 251, "the 255 characters that engines keep"),
        ("error.refused", "${code}", "no expression is evaluated"),
    ],
)
def test_bad_property_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        read({name: value})

    assert name in str(caught.value)
    assert allowed in str(caught.value)


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())), st.text(st.characters()))
def test_any_property_is_data_or_a_bad_model(others: dict[str, str], assistant: str) -> None:
    try:
        read(others | {"data.input": f"__class__,{{{{x}}}},${{x}},{assistant}"}, DECLARED, assistant=assistant)
    except BadDefinition:
        return


@pytest.mark.parametrize("value", [7, True, 1.5])
def test_parameter_that_is_no_text_names_no_assistant_that_exists(value: Any) -> None:
    assert read({}, DECLARED, assistant=value).assistant == str(value)


LIST = {"objectTypeName": "java.util.ArrayList"}
BY_JAVA = {"serializationDataFormat": "application/x-java-serialized-object"}
BY_JSON = {"serializationDataFormat": "application/json"}


@pytest.mark.parametrize("name", ["assistant", "prompt"])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (["critic"], "type list"),
        ({"name": "critic"}, "type dict"),
        (
            Variable("rO0AB", "Object", LIST | BY_JAVA),
            "type Object java.util.ArrayList application/x-java-serialized-object",
        ),
        (
            Variable("rO0AB", "Object", {"objectTypeName": "java.lang.String"} | BY_JAVA),
            "type Object java.lang.String application/x-java-serialized-object",
        ),
        (Variable('["x"]', "Object", LIST | BY_JSON), "type Object java.util.ArrayList application/json"),
        (Variable(None, "File", {"filename": "a.md", "mimeType": "text/markdown"}), "type File text/markdown"),
        (Variable("AAAA", "Bytes"), "type Bytes"),
    ],
    ids=repr,
)
def test_a_parameter_that_is_no_text_at_all_is_named(name: str, value: Any, what: str) -> None:
    look = properties.read if name == "assistant" else properties.prompt_parameter
    with pytest.raises(BadDefinition, match=f"{name} has to be evaluated to a text, and its value is of {what}"):
        look(task(**{name: value}), replace(DECLARED, properties=MINIMAL))


def test_a_long_text_is_a_parameter_as_a_short_one_is() -> None:
    text = Variable('"critic"', "Object", {"objectTypeName": "java.lang.String"} | BY_JSON)
    assert read({}, DECLARED, assistant=text).assistant == "critic"


@pytest.mark.parametrize("name", ["__class__", "{{x}}", "${x}", "x" * 4000, "\u202e\u200bx", "a b"])
def test_hostile_names_of_inputs_are_names(name: str) -> None:
    assert read({"data.input": name}).inputs == {name: True}


@pytest.mark.parametrize("part", schemas.PARTS)
def test_a_part_of_a_record_is_asked_for_in_its_published_form_unless_the_task_has_one_of_its_own(part: str) -> None:
    wanted = read({"record.part": part})
    assert (wanted.part, wanted.schema) == (part, schemas.part(part))
    assert read({"record.part": part, "data.output.schema": "own.json"}).schema == "own.json"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"record.part": "summary"}, "property record.part is 'summary'; allowed are frame, objectives"),
        ({"record.part": "frame", "data.output.type": "Text"}, "property record.part wants JSON"),
        ({"record.part": "frame", "record.id": "1st"}, "property record.id is '1st'; allowed are up to 40 letters"),
    ],
)
def test_what_no_record_has_is_an_incident_that_says_so(said: dict[str, str], told: str) -> None:
    with pytest.raises(BadDefinition, match=told):
        read(said)


RECORD = {"service.type": "decision-record"}


def read_record(given_properties: dict[str, str]) -> RecordProperties:
    return properties.read_record(task(), replace(ACTIVITY, properties=RECORD | given_properties))


def test_a_record_needs_its_stage_alone() -> None:
    assert read_record({"record.stage": "compute"}) == RecordProperties(
        stage="compute",
        name="",
        is_of_root=False,
        given={},
        signed=frozenset(),
        accepted="accepted",
        answer="",
        output="frame",
        fields={},
    )


def test_everything_can_be_said_of_a_record() -> None:
    said = {
        "record.stage": "close",
        "record.id": "site",
        "record.scope": "root",
        "record.given": "weights = agreed, scores=own",
        "record.signed": "sign, countersign",
        "record.accepted": "approved",
        "record.answer": "choice",
        "record.text": "true",
        "data.output": "decision",
        "data.output.fields": "accepted, why=void_reason",
        "service.retries": "5",
        "service.retries.delay": "PT1M",
    }
    assert read_record(said) == RecordProperties(
        stage="close",
        name="site",
        is_of_root=True,
        given={"weights": "agreed", "scores": "own"},
        signed=frozenset({"sign", "countersign"}),
        accepted="approved",
        answer="choice",
        output="decision",
        fields={"accepted": "accepted", "why": "void_reason"},
        has_text=True,
        retries=5,
        retry_delay=timedelta(minutes=1),
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "the task says no record.stage; allowed are compute, propose, close"),
        ({"record.stage": "sign"}, "property record.stage is 'sign'; allowed are compute, propose, close"),
        (
            {"record.stage": "close", "record.scope": "all"},
            "property record.scope is 'all'; allowed are instance, root",
        ),
        (
            {"record.stage": "close", "record.given": "weight=w"},
            "property record.given is 'weight=w'; allowed are entries",
        ),
        ({"record.stage": "close", "record.text": "markdown"}, "property record.text is 'markdown'; allowed are true"),
        ({"record.stage": "close", "record.part": "frame"}, "property record.part is of tasks for assistants"),
        ({"record.stage": "close", "data.output": "${name}"}, "no expression is evaluated"),
    ],
)
def test_a_record_that_cannot_be_meant_so_is_refused(said: dict[str, str], told: str) -> None:
    with pytest.raises(BadDefinition, match=re.escape(told)):
        read_record(said)


EACH = [
    name
    for row in properties.PROPERTIES
    for name in ([f"error.{each}" for each in properties.BAD_OUTCOMES] if "<" in row.name else [row.name])
]
COMPUTED = {"service.type": "decision-record", "record.stage": "compute"}


@pytest.mark.parametrize("empty", ["", " "], ids=["empty", "blank"])
@pytest.mark.parametrize("name", [each for each in EACH if each != "service.type"])
def test_every_property_without_a_value_is_one_that_is_absent(name: str, empty: str) -> None:
    """Modelers write an empty value for a field of a template that nobody filled in."""
    named = {} if name == "service.name" else MINIMAL
    absent = replace(DECLARED, properties={"service.type": "assistant"} | named)
    given = replace(absent, properties={**absent.properties, name: empty})
    came = task(assistant="analyst", prompt="What?")
    assert properties.read(came, given) == properties.read(came, absent)
    assert (given.needs, given.is_ours, given.said(name)) == (absent.needs, True, "")
    if name != "record.stage":
        record = replace(ACTIVITY, properties=COMPUTED)
        with_empty = replace(record, properties=COMPUTED | {name: empty})
        assert properties.read_record(TASK, with_empty) == properties.read_record(TASK, record)


def test_a_type_without_a_value_is_nobody_s() -> None:
    assert not replace(ACTIVITY, properties={"service.type": ""}).is_ours


@pytest.mark.parametrize("name", [each for each in CHOICES if each != "service.type"])
def test_what_may_be_chosen_is_what_is_taken_and_nothing_else(name: str) -> None:
    is_of_record = name in {"record.stage", "record.scope", "record.text"}

    def taken(value: str) -> object:
        of_questions = {"data.questions": "gate.json"} if "confidence" in name else {}
        said = (COMPUTED if is_of_record else MINIMAL | of_questions) | {name: value}
        if name == "service.thread.required":
            said["service.thread"] = "instance"
        activity = replace(ACTIVITY, properties=said)
        return properties.read_record(TASK, activity) if is_of_record else properties.read(TASK, activity)

    assert [taken(each) for each in CHOICES[name]]
    with pytest.raises(BadDefinition) as refused:
        taken("something")
    assert str(refused.value).endswith(f"allowed are {', '.join(CHOICES[name])}")
