"""What `bpmn/README.md` tells modellers is what the code does: tables, examples, texts, names of settings."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from markdown_it import MarkdownIt

from worker.domain.documents import Document, Page
from worker.domain.questions import Kind
from worker.domain.tasks import Activity, Task, Variable
from worker.domain.threads import Answer, Assistant, Entered, Hold, Outcome, ThreadKey
from worker.engine import definitions
from worker.errors import BadDefinition, WorkerError
from worker.modelling import inputs, prompt, properties, questions, rendering
from worker.settings import Settings
from worker.specs import assistants
from worker.turn import verdict
from worker.turn.calls import check
from worker.turn.request import Place, Request

FOLDER = Path(__file__).parents[2] / "bpmn"
GUIDE = (FOLDER / "README.md").read_text("utf-8")
TOKENS = MarkdownIt().enable("table").parse(GUIDE)
SPANS = [
    part.content
    for token in TOKENS
    if token.type == "inline"
    for part in token.children or []
    if part.type == "code_inline"
]
APPLICATIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "assistants")


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading; cells as they are written."""
    found: list[list[list[str]]] = []
    for token, after in pairwise(TOKENS):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in {"th_open", "td_open"}:
            found[-1][-1].append(after.content)
    [rows] = [rows for head, *rows in found if head[0] == first]
    return rows


def names(first: str) -> list[str]:
    """The names in the first column of a table, in its order."""
    return [name for row in table(first) for name in re.findall("`(.+?)`", row[0])]


def blocks(language: str) -> list[str]:
    return [token.content for token in TOKENS if token.type == "fence" and token.info == language]


def task(activity: Activity, **variables: Variable) -> Task:
    return Task(
        id="task",
        topic=activity.topic,
        activity_id=activity.id,
        process_instance_id="instance",
        process_definition_id="definition",
        process_definition_key="key",
        execution_id="execution",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        fetched_at=0.0,
        variables=variables,
    )


def first_task() -> Activity:
    """The guide's first example, as the worker reads it."""
    spaces = (
        'xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"'
    )
    xml = f'<bpmn:definitions {spaces}><bpmn:process id="key">{blocks("xml")[0]}</bpmn:process></bpmn:definitions>'
    return definitions.read("key:1:1", xml).activities["review_offer"]


def test_table_of_properties_is_the_one_that_the_parser_knows() -> None:
    known = [[f"`{each.name}`", each.values, each.absent] for each in properties.PROPERTIES]
    assert table("name") == known


def test_every_outcome_is_explained() -> None:
    assert names("outcome") == list(properties.BAD_OUTCOMES)


def test_every_result_type_is_explained() -> None:
    assert names("`data.output.type`") == ["Text", "Json", "File"]


def test_every_way_to_share_a_conversation_answers_a_need() -> None:
    said = {span for row in table("what you need") for span in re.findall("`(.+?)`", row[1])}
    assert said == {"instance", "root", "business-key", "activity"}


def test_every_key_of_a_spec_is_explained() -> None:
    assert sorted(names("key")) == sorted(assistants.FrontMatter.model_fields)


def test_defaults_of_a_spec_are_those_that_are_told() -> None:
    defaults = assistants.FrontMatter.model_fields
    rows = dict(table("key"))
    assert f"{defaults['timeout_seconds'].default} if you do not say" in rows["`timeout_seconds`"]
    assert f"`{defaults['provider'].default}` if you do not say" in rows["`model`, `provider`"]


def test_example_of_a_spec_can_be_loaded(tmp_path: Path) -> None:
    [spec] = blocks("markdown")
    (tmp_path / "reviewer.md").write_text(spec, "utf-8")
    assert assistants.load(tmp_path).find("reviewer", "1.0").instructions


def test_example_of_decision_questions_can_be_asked() -> None:
    asked = questions.read(blocks("json")[0], "the guide")
    assert [each.kind for each in asked] == names("`type`") == list(get_args(Kind))


def test_every_text_type_is_listed() -> None:
    listed = {span.rstrip("…") for span in SPANS}
    assert {*rendering.TEXT_TYPES, *rendering.TEXT_SUFFIXES} - listed == set()


def test_question_of_the_first_example_is_shown_as_it_is_asked() -> None:
    activity = first_task()
    given = {
        "offer": Variable("Twelve chargers of 150 kW, delivered in May.", "String"),
        "requirements": Variable(json.dumps(["180 kW each"]), "Json"),
    }
    shown, _ = blocks("text")
    assert shown == prompt.text(task(activity), activity, inputs.whole(given)) + "\n"


def test_document_of_the_example_is_shown_as_it_is_asked() -> None:
    _, shown = blocks("text")
    pages = (Page("page 1 of 2", "Twelve chargers of 150 kW, delivered in May."), Page("page 2 of 2", ""))
    [sha256] = re.findall("sha256 ([0-9a-f]+)", shown)
    document = Document("offer.pdf", "application/pdf", sha256, pages)

    assert shown == rendering.section_of("offer", document) + "\n"
    assert len(sha256) == 64


def test_incident_texts_are_those_of_the_worker(tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_text(blocks("markdown")[0].replace("reviewer", "analyst"), "utf-8")
    frame = verdict.Case('"Frame the decision" (frame)', "analist", retries=3, first_attempt=True)
    recommend = verdict.Case('"Recommend" (recommend)', "analyst 1.0", retries=3, first_attempt=True)
    with pytest.raises(WorkerError) as unknown:
        assistants.load(tmp_path).find("analist", None)
    told = [text_of(mistake({"data.output.type": "json"})), text_of(unknown.value, frame)]
    refused = verdict.on_answer(Answer("", Outcome.REFUSED), recommend, {})
    assert isinstance(refused, verdict.Fail)
    told += [refused.message, text_of(spent(calls=3, timeout=timedelta(minutes=1)), recommend)]

    assert len(quotes()) == len(told)
    for quote in quotes():
        assert [text for text in told if text.endswith(quote)], quote


def mistake(wrong: dict[str, str]) -> BadDefinition:
    activity = Activity("frame", "", "topic", properties={"service.name": "analyst", **wrong})
    with pytest.raises(BadDefinition) as caught:
        properties.read(task(activity), activity)
    return caught.value


def spent(*, calls: int, timeout: timedelta) -> WorkerError:
    key = ThreadKey("default", "instance", "analyst")
    assistant = Assistant("analyst", "1.0", "m", "openai", "Be brief.", timeout)
    place = Place("instance", "recommend", "Recommend", "process:1:1", "process")
    with pytest.raises(WorkerError) as caught:
        check(Entered(Hold(key, "task", "token"), 1, calls=calls), Request("task", key, "?", assistant, place, calls))
    return caught.value


def text_of(error: WorkerError, case: verdict.Case | None = None) -> str:
    case = case or verdict.Case("a", "b", retries=3, first_attempt=True)
    told = verdict.on_error(error, case, trouble_limit=timedelta(hours=1))
    assert isinstance(told, verdict.Fail)
    return told.message


def quotes() -> list[str]:
    """What the guide quotes, each on one line."""
    inside, found = False, []
    for token in TOKENS:
        inside = (inside or token.type == "blockquote_open") and token.type != "blockquote_close"
        if inside and token.type == "inline":
            found.append(" ".join(token.content.split()))
    return found


def test_settings_that_are_named_exist() -> None:
    named = {span for span in SPANS if re.fullmatch("[A-Z]+(_[A-Z]+)*", span)} - {"KEY", "NO_REVIEW", "ASK_A_PERSON"}
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_application_is_linked_and_drawn() -> None:
    targets = [
        str(part.attrs.get("href") or part.attrs.get("src"))
        for token in TOKENS
        for part in token.children or []
        if part.type in {"link_open", "image"}
    ]
    files = [target for target in targets if not target.startswith("#")]
    assert [target for target in files if not (FOLDER / target.partition("#")[0]).is_file()] == []
    for name in APPLICATIONS:
        assert {f"{name}/README.md", f"{name}/{name}.svg"} <= set(files), name
    headings = {
        after.content.lower().replace(" ", "-") for token, after in pairwise(TOKENS) if token.type == "heading_open"
    }
    assert {target[1:] for target in targets if target.startswith("#")} <= headings
