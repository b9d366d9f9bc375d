"""Answer → variables: types that engines can store, nothing cut, and a meta variable that always fits."""

import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import ASSISTANT, HOSTILE_TEXTS
from worker.domain.exchanges import digest
from worker.domain.money import Money
from worker.domain.tasks import Variable, thread_variable_name
from worker.domain.threads import Answer, Outcome, Thread
from worker.modelling import result
from worker.modelling.forms import ResultType
from worker.modelling.result import Form, Story

ANY_TEXT = st.text(st.characters())
ANSWER = Answer(
    "Take the cheap one.",
    response_id="resp_1",
    model="gpt-5-mini-2026",
    input_tokens=7,
    output_tokens=5,
    cached_tokens=4,
    reasoning_tokens=2,
    cost=Money("0.0123", "USD"),
)
STORY = Story(Thread("conv_1", 2), "recreated", None, repaired=False, seconds={"model": 1.23456, "look": 0.01})
TYPES: tuple[ResultType, ...] = ("Text", "Json", "File")


def wanted(output_type: ResultType = "Text", **more: Any) -> Form:
    return Form("framing", output_type, **more)


def stored(text: str, output_type: ResultType = "Text", *, spin: bool = True) -> Variable:
    return result.variables(replace(ANSWER, text=text), wanted(output_type), ASSISTANT, STORY, spin=spin)["framing"]


def meta(answer: Answer = ANSWER, story: Story = STORY, **changes: Any) -> str:
    """The meta variable's text."""
    variable = result.variables(answer, wanted(), replace(ASSISTANT, **changes), story, spin=True)["framing_meta"]
    assert variable.type == "String"
    return str(variable.value)


def content(variable: Variable) -> str:
    """What a reader of the variable gets, however it is stored."""
    if variable.type == "File":
        return base64.b64decode(variable.value, validate=True).decode()
    return str(json.loads(variable.value) if variable.type == "Object" else variable.value)


def utf16_units(text: str) -> int:
    """Characters as Java and most databases count them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def test_result_and_meta_stand_under_the_tasks_name() -> None:
    assert result.variables(ANSWER, wanted(), ASSISTANT, STORY, spin=True).keys() == {"framing", "framing_meta"}


@pytest.mark.parametrize(
    ("text", "output_type", "with_spin", "without"),
    [
        ("", "Text", "String", "String"),
        ("short", "Text", "String", "String"),
        ("x" * 4000, "Text", "String", "String"),
        ("ü" * 4000, "Text", "String", "String"),
        ("x" * 4001, "Text", "Object", "File"),
        ("x" * 5_000_000, "Text", "Object", "File"),
        ("{}", "Json", "Json", "String"),
        (json.dumps("x" * 5000), "Json", "Json", "File"),
        ("short", "File", "File", "File"),
        ("x" * 5000, "File", "File", "File"),
    ],
    ids=lambda value: value if len(str(value)) < 10 else f"{len(value)} characters",
)
def test_type_is_what_the_task_says_and_the_engine_can_store(
    text: str, output_type: ResultType, with_spin: str, without: str
) -> None:
    assert stored(text, output_type, spin=True).type == with_spin
    assert stored(text, output_type, spin=False).type == without


@pytest.mark.parametrize("spin", [True, False])
@pytest.mark.parametrize("text", ["😀" * 2001, "x" + "😀" * 2000, "😀" * 4000])
def test_strings_are_measured_as_databases_do(text: str, spin: bool) -> None:
    assert stored(text, spin=spin).type != "String"
    assert content(stored(text, spin=spin)) == text


@given(st.text() | st.text(max_size=3).map(lambda text: text * 3000), st.sampled_from(TYPES), st.booleans())
def test_nothing_is_cut_or_changed(text: str, output_type: ResultType, spin: bool) -> None:
    variable = stored(text, output_type, spin=spin)

    assert content(variable) == text
    assert variable.type != "String" or utf16_units(text) <= 4000


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
@pytest.mark.parametrize("output_type", TYPES)
@pytest.mark.parametrize("spin", [True, False])
def test_hostile_answers_are_stored_like_any_other(text: str, output_type: ResultType, spin: bool) -> None:
    variable = stored(text, output_type, spin=spin)

    assert content(variable).encode(errors="replace") == text.encode(errors="replace")
    assert json.loads(json.dumps(variable.value)) == variable.value, "it can be sent"


@pytest.mark.parametrize("spin", [True, False])
def test_nul_which_postgresql_takes_in_no_string_is_stored_another_way(spin: bool) -> None:
    assert stored("a\0b", spin=spin).type != "String"


@pytest.mark.parametrize(("spin", "kind"), [(True, "Object"), (False, "File")])
def test_database_with_shorter_columns_gets_a_type_without_a_limit(spin: bool, kind: str) -> None:
    answer = replace(ANSWER, text="x" * 2001)
    variables = result.variables(answer, wanted(), ASSISTANT, STORY, spin=spin, wide=True)

    assert (variables["framing"].type, content(variables["framing"])) == (kind, answer.text)
    assert json.loads(variables["framing_meta"].value)["stored_as"] == kind


def test_long_string_says_that_it_is_one() -> None:
    variable = stored("ü" * 4001)

    assert variable.info == {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
    assert json.loads(variable.value) == "ü" * 4001


def test_file_is_markdown_named_after_the_result() -> None:
    assert stored("# Ü", "File").info == {
        "filename": "framing.md",
        "mimeType": "text/markdown",
        "encoding": "UTF-8",
    }


VALID = ['{"a": 1}', "[]", '"text"', "null", "1e3", " {} ", '{"ü": "\\u2028"}']
INVALID = [
    "",
    "Sure! {}",
    "```json\n{}\n``` more",
    '{"a": 1, "a": 1}',
    '{"b": {"a": 1, "a": 2}}',
    "{'a': 1}",
    '{"a": 1,}',
    '{"a": 1',
    "{} {}",
    "NaN",
    '{"a": NaN}',
    "[Infinity]",
    "[-Infinity]",
    "1e400",
    '{"a": -1e999}',
    '{"a": ' + "9" * 400 + "}",
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
]


@pytest.mark.parametrize("text", VALID)
def test_json_is_left_as_the_model_wrote_it(text: str) -> None:
    answer = replace(ANSWER, text=text)

    assert result.checked(answer, wanted("Json")) == (answer, "")
    assert stored(text, "Json").value == text


@pytest.mark.parametrize("text", INVALID, ids=lambda text: text[:20])
def test_what_is_no_json_is_an_invalid_answer_with_nothing_of_it_in_the_detail(text: str) -> None:
    checked, wrong = result.checked(replace(ANSWER, text=text), wanted("Json"))

    assert checked == replace(ANSWER, text=text, outcome=Outcome.INVALID, detail="not JSON")
    assert wrong.startswith("it is not JSON: ")


@pytest.mark.parametrize("output_type", ["Text", "File"])
def test_text_need_not_be_json(output_type: ResultType) -> None:
    assert result.checked(ANSWER, wanted(output_type)) == (ANSWER, "")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_bad_outcome_is_not_called_invalid_on_top(outcome: Outcome) -> None:
    answer = replace(ANSWER, text="no", outcome=outcome)
    assert result.checked(answer, wanted("Json")) == (answer, "")


SCHEMA = {
    "type": "object",
    "required": ["choice"],
    "properties": {"choice": {"enum": ["A", "B"]}, "cost": {"type": "number", "maximum": 10}},
}


@pytest.mark.parametrize(
    "text",
    [
        '{"choice": "A"}',
        '```json\n{"choice": "A"}\n```',
        ' ```\n{"choice": "A"}\n ```\n',
        '```JSON\r\n{"choice": "A"}\r\n```\r\n',
        'Here it is:\n\n```json\n{"choice": "A"}\n```\n\nI hope that helps.',
        '<think>A or B? ```x```</think>\n\n{"choice": "A"}',
        '\ufeff{"choice": "A"}',
        '~~~json\n{"choice": "A"}\n~~~',
        '````json\n{"choice": "A"}\n````',
        'A or B? {A}.\n</think>\n\n{"choice": "A"}',
        'Here it is:\n\n{"choice": "A"}\n\nI hope that helps.',
    ],
)
def test_answer_that_fits_its_schema_is_taken_without_its_fence(text: str) -> None:
    answer, wrong = result.checked(replace(ANSWER, text=text), wanted("Json", schema=SCHEMA))

    assert (answer.outcome, answer.text, wrong) == (Outcome.OK, '{"choice": "A"}', "")


@pytest.mark.parametrize("said", ["<think>x</think>", "</think>", "```\\n{}\\n```"])
def test_answer_that_speaks_of_thoughts_and_fences_is_left_as_it_is(said: str) -> None:
    answer = replace(ANSWER, text=f' {{"choice": "A", "why": "{said}"}}')
    assert result.checked(answer, wanted("Json", schema=SCHEMA)) == (answer, "")


@pytest.mark.parametrize("said", ["```json\n", "```\n{\n", "~~~\n\n", "<think>", "</think><think>", "{\n", "}\n"])
def test_answer_that_opens_what_it_never_closes_takes_no_time(said: str) -> None:
    started = time.thread_time()
    checked, _ = result.checked(replace(ANSWER, text="So. " + said * 200_000), wanted("Json"))
    assert (checked.outcome, time.thread_time() - started < 3) == (Outcome.INVALID, True)


def test_answer_that_does_not_fit_its_schema_is_invalid_and_told_by_place_to_the_assistant_only() -> None:
    text = '{"choice": "secret", "cost": 11}'
    answer, wrong = result.checked(replace(ANSWER, text=text), wanted("Json", schema=SCHEMA))

    assert answer.outcome is Outcome.INVALID
    assert answer.detail == "properties/choice/enum; properties/cost/maximum"
    assert "$.choice: 'secret' is not one of ['A', 'B']" in wrong
    assert "$.cost: 11 is greater than the maximum of 10" in wrong


def test_text_and_files_have_to_fit_a_schema_too() -> None:
    assert result.checked(ANSWER, wanted("Text", schema=SCHEMA))[0].outcome is Outcome.INVALID
    assert result.checked(ANSWER, wanted("File", schema=SCHEMA))[0].outcome is Outcome.INVALID


def test_field_that_the_answer_lacks_makes_it_invalid() -> None:
    form = wanted("Json", fields={"cost": "budget.total"})
    answer, wrong = result.checked(replace(ANSWER, text='{"budget": {}}'), form)

    assert (answer.outcome, answer.detail) == (Outcome.INVALID, "no budget.total for the variable cost")
    assert wrong == "it has no budget.total"


def test_fields_become_variables_of_their_own_types() -> None:
    value = {"a": 1, "b": 1.5, "c": True, "d": "x", "e": None, "f": [{"g": 2**70}], "h": {"i": [1]}}
    names = {"a": "a", "b": "b", "c": "c", "d": "d", "e": "e", "big": "f.0.g", "f": "f", "deep": "h.i.0"}
    answer = replace(ANSWER, text=json.dumps(value))
    stored = result.variables(answer, wanted("Json", fields=names), ASSISTANT, STORY, spin=True)

    assert {name: (stored[name].type, stored[name].value) for name in names} == {
        "a": ("Long", 1),
        "b": ("Double", 1.5),
        "c": ("Boolean", True),
        "d": ("String", "x"),
        "e": ("Null", None),
        "big": ("Double", float(2**70)),
        "f": ("Json", json.dumps([{"g": 2**70}])),
        "deep": ("Long", 1),
    }


def test_half_a_character_that_a_field_names_costs_no_more_than_itself() -> None:
    answer = replace(ANSWER, text='{"a": "\\ud83d!", "b": ["\\udc00"], "c": "\\ud83d\\ude00"}')
    names = {"a": "a", "b": "b", "c": "c"}
    stored = result.variables(answer, wanted("Json", fields=names), ASSISTANT, STORY, spin=True)
    assert [stored[name].value for name in names] == ["\ufffd!", '["\ufffd"]', "\U0001f600"]


def test_json_file_says_so() -> None:
    variable = result.variables(replace(ANSWER, text="{}"), wanted("File", schema={}), ASSISTANT, STORY, spin=True)[
        "framing"
    ]
    assert (variable.info["filename"], variable.info["mimeType"]) == ("framing.json", "application/json")


def test_meta_tells_how_the_answer_came_about() -> None:
    assert json.loads(meta()) == {
        "assistant": "analyst",
        "version": "1.0",
        "instructions": digest("Be brief."),
        "model": "gpt-5-mini-2026",
        "provider": "openai",
        "thread": "conv_1",
        "generation": 2,
        "use": "recreated",
        "recreated": True,
        "untold": 0,
        "recovered": None,
        "repaired": False,
        "seeded": 0,
        "memory": None,
        "fields": [],
        "response": "resp_1",
        "tokens": {"input": 7, "cached": 4, "cache_write": None, "output": 5, "reasoning": 2},
        "cost": {"amount": "0.0123", "currency": "USD"},
        "budgets": [],
        "seconds": {"model": 1.235, "look": 0.01},
        "type": "Text",
        "stored_as": "String",
    }


def test_meta_of_an_answer_found_in_the_journal_knows_less() -> None:
    told = json.loads(meta(Answer("text"), Story(None, "reused", "journal", repaired=False, seconds={})))

    assert (told["thread"], told["generation"], told["response"]) == (None, None, None)
    assert (told["model"], told["recovered"], told["recreated"]) == ("gpt-5-mini", "journal", False)


def test_meta_says_when_a_type_was_replaced() -> None:
    variables = result.variables(replace(ANSWER, text="x" * 5000), wanted(), ASSISTANT, STORY, spin=False)
    told = json.loads(variables["framing_meta"].value)

    assert (told["type"], told["stored_as"]) == ("Text", "File")


def test_meta_is_compact_ascii() -> None:
    text = meta(name="prüfer")
    assert text.isascii()
    assert ": " not in text


@pytest.mark.parametrize("huge", ["name", "version", "model", "thread", "response", "phases"])
@pytest.mark.parametrize("letter", ["x", "ü", "😀"])
def test_meta_fits_though_one_of_its_parts_is_huge(huge: str, letter: str) -> None:
    text = 3000 * letter
    answer = replace(ANSWER, response_id=text) if huge == "response" else ANSWER
    changes = {huge: text} if huge in {"name", "version", "model"} else {}
    story = {"thread": replace(STORY, thread=Thread(text, 2)), "phases": replace(STORY, seconds={text: 1.0})}
    said = meta(replace(answer, model=None), story.get(huge, STORY), **changes)

    assert len(said) < 2000
    assert isinstance(json.loads(said), dict)


@given(st.integers(1500, 2100))
def test_meta_stays_under_2000_characters(length: int) -> None:
    said = meta(replace(ANSWER, response_id="x" * length))

    assert len(said) < 2000
    assert json.loads(said)["thread"] == "conv_1", "what was thought worth keeping"


THREAD_IDS = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.:=+~-]{0,499}\Z")


@given(THREAD_IDS, st.integers(1, 999_999_999))
def test_thread_survives_its_process_variable(thread_id: str, generation: int) -> None:
    thread = Thread(thread_id, generation)
    assert result.read_thread_variable(result.thread_variable(thread)) == thread


@pytest.mark.parametrize("provider", ["openai", "local"])
def test_the_thread_after_the_last_generation_is_read_back_as_that(provider: str) -> None:
    forged = result.read_thread_variable(Variable(f"conv_1#999999999@{provider}"))
    assert forged is not None
    following = Thread("conv_2", forged.generation + 1, provider=provider)

    assert result.read_thread_variable(result.thread_variable(following)) == replace(following, generation=999_999_999)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "conv_1",
        "conv_1#",
        "#1",
        "conv_1#0",
        "conv_1#-1",
        "conv_1#01",
        "conv_1#1 ",
        "conv_1#1\n",
        "conv_1#1#2",
        "conv_1#1e3",
        "conv_1#9999999999",
        "conv 1#1",
        "../files#1",
        "conv_1?x#1",
        "conv_1%2f#1",
        "..#1",
        "x" * 501 + "#1",
        7,
        True,
        1.5,
        ["conv_1#1"],
        {"conv_1": "#1"},
        *HOSTILE_TEXTS.values(),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_tampered_thread_variable_is_none(value: Any) -> None:
    assert result.read_thread_variable(Variable(value)) is None


def test_thread_variable_that_is_not_there_is_none() -> None:
    assert result.read_thread_variable(None) is None


@given(ANY_TEXT)
def test_any_text_as_thread_variable_is_a_thread_or_none(text: str) -> None:
    thread = result.read_thread_variable(Variable(text, "String"))
    assert thread is None or result.thread_variable(thread).value == text


@pytest.mark.parametrize(
    ("assistant", "name"),
    [("analyst", "assistant_thread_analyst"), ("risk-analyst.eu", "assistant_thread_risk_analyst_eu")],
)
def test_thread_variable_has_a_name_that_expressions_can_use(assistant: str, name: str) -> None:
    assert thread_variable_name(assistant) == name
    assert thread_variable_name(assistant, by_business_key=True) == f"{name}_by_business_key"
    assert name.isidentifier()


def test_meta_says_which_persons_were_heard_before_and_stays_short() -> None:
    assert "heard" not in json.loads(meta(Answer("text"), STORY))
    told = json.loads(meta(Answer("text"), replace(STORY, heard={"Mary": 2, "Ada": 1})))
    assert told["heard"] == {"messages": 3, "of": ["Ada", "Mary"]}
    crowd = {f"person {number}": 1 for number in range(100)}
    assert len(json.loads(meta(Answer("text"), replace(STORY, heard=crowd)))["heard"]["of"]) == 5
