"""Whatever an answer is, every view of it comes, holds all of it, and is bounded."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from tests.hostile import PARTS, answers, some_examples
from worker.domain.conversations import Message, Page, Role
from worker.domain.markdown import CONTROL
from worker.export import as_markdown
from worker.transcript.words import EXCERPT, clean, excerpt, words
from worker.web.page import reading, shapes

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LARGEST = {
    "numbers": f"[{','.join('0' * 99_000)}]",
    "objects of one field each": json.dumps([{chr(97 + number % 12): 1} for number in range(16_000)]),
    "empty rows": "|a" * 300 + "|\n" + "|-" * 300 + "|\n" + "|\n" * 9000,
    "paragraphs": "a\n\n" * 9900,
    "emphasis": "*a_ " * 7000,
    "control characters": "\x01" * 30_000,
    "eight megabytes": "x" * 8_000_000,
}


def message(content: str, role: Role = Role.AGENT, *, is_between: bool = False) -> Message:
    return Message(
        id="m",
        session_id="s",
        position=1,
        role=role,
        content=content,
        attachment_url=None,
        process_instance_id="i",
        definition_id="d:1:1",
        task_id="t",
        activity_id="a",
        activity_name="A",
        attempt=1,
        thread_id=None,
        generation=None,
        response_id=None,
        model=None,
        input_tokens=None,
        output_tokens=None,
        processing_seconds=None,
        created_at=NOON,
        is_between=is_between,
    )


@pytest.fixture(params=PARTS)
def part() -> None:
    """One of the parts that the examples are made in."""


def texts(tree: shapes.Tree) -> Iterator[str]:
    for each in tree:
        if isinstance(each, str):
            yield each
        else:
            yield from texts(each.children)


@pytest.mark.usefixtures("part")
@some_examples
@given(answers)
def test_every_answer_is_shown_found_and_cut_out(text: str) -> None:
    kept = clean(text)
    [shown] = json.loads(reading._written(Page([message(kept)], None)))["items"]
    assert shown["message"]["content"] == kept

    found = words(kept)
    assert len(excerpt(kept, found[:500])) <= EXCERPT + 4
    assert all(each.isalnum() for each in found.split())


@pytest.mark.usefixtures("part")
@some_examples
@given(answers)
def test_no_word_of_an_answer_is_missing_where_it_is_shown(text: str) -> None:
    tree = shapes.answer(f"{clean(text)} last word")
    assert "last word" in "".join(texts(tree))


@pytest.mark.parametrize(
    "text",
    [
        'First word.\n\n```json\n{"a": 1}\n```\n\nlast word',
        '```json\n{"a": "first word"}\n```\nlast word',
        'First word:\n{"a": "last word"}',
        '<think>first word</think>{"a": "last word"}',
    ],
)
def test_words_around_data_are_shown(text: str) -> None:
    shown = "".join(texts(shapes.answer(text))).lower()
    assert "first word" in shown or "first" not in text.lower()
    assert "last word" in shown


@pytest.mark.parametrize("row", ["1 | 2 | last word", "| 1 | 2 | last word |", "1|2|3|last word"])
def test_a_cell_without_a_column_is_shown(row: str) -> None:
    assert "last word" in "".join(texts(shapes.answer(f"a | b\n- | -\n{row}")))


@pytest.mark.parametrize("opening", ["> ", "- ", "1. ", "* > "])
@pytest.mark.parametrize("depth", [1, 5, 9, 10, 18, 19, 20, 21, 60])
def test_words_below_many_quotes_and_lists_are_shown(opening: str, depth: int) -> None:
    assert "lastword" in "".join(texts(shapes.answer(f"{opening * depth}lastword")))


@pytest.mark.parametrize(
    "name", ['["\\ud800"]', '{"\\ud800": 1}', '[{"\\udc00": "\\ud83d"}]', "[" * 12 + '"\\ud8' + '00"' + "]" * 12]
)
def test_half_a_character_that_data_name_is_shown_as_a_mark(name: str) -> None:
    assert b"?" in reading._written(Page([message(name)], None))


@pytest.mark.parametrize("kind", LARGEST)
def test_a_page_is_bounded_by_what_it_becomes(kind: str) -> None:
    answer = LARGEST[kind]
    count = max(1, 4_000_000 // len(answer))
    said = [message(answer)] * count

    started = time.thread_time()
    trees = list(reading.bodies(said))
    written = reading._written(Page(said[:1], None))

    assert time.thread_time() - started < 10
    assert (
        sum(shapes.size(tree) for tree in trees if tree != shapes.plain(answer))
        <= reading.MOST_ELEMENTS + reading.MOST_OF_ONE
    )
    assert len(written) < 13 * len(answer) + 3_000_000
    assert len(trees) == count


def test_a_step_is_shown_as_it_is_and_takes_no_room_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 5)
    trees = list(reading.bodies([message("**a**", is_between=True), message("**b**")]))
    assert trees == [shapes.plain("**a**"), shapes.answer("**b**")]


def test_what_there_is_no_room_to_lay_out_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 9)
    trees = list(reading.bodies([message("**a**"), message("**b**"), message("c"), message("*d*", Role.USER)]))
    assert trees == [shapes.answer("**a**"), shapes.plain("**b**"), shapes.answer("c"), shapes.plain("*d*")]


@pytest.mark.usefixtures("part")
@some_examples
@given(answers)
def test_an_export_to_be_read_loads_nothing_and_has_no_headings_but_its_own(text: str) -> None:
    said = replace(message(clean(text)), activity_name=clean(text), model=clean(text))
    written = "\n".join(as_markdown._said(said))
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(written)
    inline = [each for token in tokens for each in token.children or ()]

    assert [token.type for token in tokens if token.level == 0 and token.nesting >= 0] == [
        "heading_open",
        "paragraph_open",
        "fence",
    ]
    assert not {"image", "html_inline", "html_block", "link_open"} & {each.type for each in (*tokens, *inline)}
    assert tokens[-1].content.splitlines() == [CONTROL.sub("\ufffd", line) for line in clean(text).splitlines()]
