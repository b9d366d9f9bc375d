"""A cassette: which questions are the same, what of a reply is kept, and what its file looks like."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.questions import assistant
from worker.demo.model.answering import Asking, ModelApi
from worker.domain.refs import ref_line
from worker.providers.forms import instructions
from worker.testing.cassette import Asked, Cassette, Exchange, Reader, Unreadable, pruned

ONE = Asked("responses", "analyst", "gpt-5-mini", "a1", "", "", "# Rate it\n\nFrom 1 to 5.")
REPLY = {"status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}]}
READER = Reader({"You are an analyst.": "analyst", "You are": "somebody"})
BODIES: dict[ModelApi, Any] = {
    "responses": lambda text: {"instructions": "You are an analyst.", "input": [{"role": "user", "content": text}]},
    "chat": lambda text: {
        "messages": [{"role": "system", "content": "You are an analyst."}, {"role": "user", "content": text}]
    },
    "decisions": lambda text: {
        "input": [{"role": "developer", "content": "You are an analyst."}, {"role": "user", "content": text}],
        "questions": [],
    },
    "systemone": lambda text: {"state": f"You are an analyst.\n\n{text}", "questions": {}},
}


def read(text: str, *, api: ModelApi = "responses", earlier: Any = (), reader: Reader = READER, **more: Any) -> Asked:
    return reader.read(Asking(api, "", {"model": "gpt-5-mini", **BODIES[api](text), **more}, earlier))


@pytest.mark.parametrize("api", BODIES)
def test_what_changes_between_runs_is_no_part_of_a_question(api: ModelApi) -> None:
    def said(number: int) -> Asked:
        text = (
            f"# Rate it\n\nInstance {number}aa7b810-9dad-11d1-80b4-00c04fd430c8 "
            f"at 2026-11-3{number}T08:1{number}:00.123+0000, "
            f"{str(number) * 64}, (quoted ref 00000000000{number})\n\n### Remembered from before\n\nfact-{number}, "
            f"2026-11-0{number}:\n\n    Pays late.\n\n{ref_line(str(number) * 12)}"
        )
        return read(text, api=api)

    first = said(0)
    assert first == said(1)
    assert first.question.startswith(
        "# Rate it\n\nInstance <id> at <time>, <hash>, (quoted ref)\n\n### Remembered from before\n\n<fact>:"
    )
    assert first.assistant == "analyst"
    assert "Pays late." in first.question
    assert read("# Rate it\n\nBy 2026-12-01.", api=api) != read("# Rate it\n\nBy 2026-12-02.", api=api)


def test_a_question_is_readable_where_its_inputs_have_empty_lines(tmp_path: Path) -> None:
    asked = read("# Rate it\n\n    One.\n    \n    Two.\t \n")
    cassette = Cassette(tmp_path / "one.yaml", [Exchange(asked, REPLY)])
    cassette.save()
    shown = "  question: |\n    # Rate it\n\n        One.\n\n        Two.\n"
    assert shown in cassette.path.read_text("utf-8")


def test_a_team_says_what_else_changes() -> None:
    reader = replace(READER, varying=[re.compile(r"ORDER-\d+")])
    assert read("ORDER-1 of today", reader=reader) == read("ORDER-77 of today", reader=reader)


def test_the_same_words_behind_another_conversation_are_another_question() -> None:
    def behind(answer: str) -> Asked:
        said = [{"role": "user", "content": "Review it."}, {"role": "assistant", "content": [{"text": answer}]}]
        return read("Rate it.", earlier=[*said, {"type": "reasoning", "summary": []}])

    assert behind("Good.") == behind("Good.")
    assert len({behind("Good.").after, behind("Bad.").after, read("Rate it.").after}) == 3


def test_a_schema_in_words_is_the_schema() -> None:
    spec = assistant(instructions="You are an analyst.", output_schema={"type": "object", "title": "ä"})
    form = {"text": {"format": {"type": "json_schema", "schema": spec.output_schema}}}
    in_words = read("Rate it.", instructions=instructions(spec, "none"))
    assert in_words == READER.read(
        Asking("responses", "", {"model": "gpt-5-mini", **BODIES["responses"]("Rate it."), **form})
    )
    assert in_words != read("Rate it.")


def test_of_a_reply_is_kept_what_the_worker_reads() -> None:
    reply = {
        "id": "resp_1",
        "created_at": 1,
        "user": "org-secret",
        "instructions": "You are",
        "status": "completed",
        "model": "gpt-5-mini-2026",
        "output": [
            {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "4", "logprobs": []}]}
        ],
        "usage": {"input_tokens": 7},
    }
    assert pruned("responses", reply) == {
        "status": "completed",
        "model": "gpt-5-mini-2026",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
        "usage": {"input_tokens": 7},
    }
    weighed = {"model": "m", "answers": {"id": {"type": "noul", "noul": 0.7}}, "id": "1"}
    assert pruned("systemone", weighed) == {"model": "m", "answers": {"id": {"type": "noul", "noul": 0.7}}}


def test_the_file_shows_texts_line_by_line(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "cassettes" / "one.yaml")
    cassette.record(cassette.keep_place(), Exchange(ONE, REPLY))
    cassette.keep_place()  # asked, and never answered
    cassette.save()
    assert cassette.path.read_text("utf-8").partition("\n")[2] == (
        "format: 1\n"
        "exchanges:\n"
        "- api: responses\n"
        "  assistant: analyst\n"
        "  model: gpt-5-mini\n"
        "  instructions: a1\n"
        "  question: |-\n"
        "    # Rate it\n"
        "\n"
        "    From 1 to 5.\n"
        "  reply:\n"
        "    status: completed\n"
        "    output:\n"
        "    - type: message\n"
        "      content:\n"
        "      - type: output_text\n"
        "        text: '4'\n"
    )
    assert [each.name for each in cassette.path.parent.iterdir()] == ["one.yaml"]


@given(st.text(st.characters(codec="utf-8")), st.text(st.sampled_from("a \n\t\r\x00\x85\u2028\ufeff|-'\"#:ü😀")))
def test_a_text_comes_back_as_it_was(first: str, second: str) -> None:
    asked, reply = replace(ONE, question=first), {"output": [{"text": second}], "usage": {"n": 0.1}}
    # `tmp_path` is not made anew for each example.
    with tempfile.TemporaryDirectory() as folder:
        cassette = Cassette(Path(folder) / "one.yaml", [Exchange(asked, reply), Exchange(ONE, {"error": {}}, 400)])
        cassette.save()
        assert Cassette.load(cassette.path).exchanges == cassette.exchanges


@pytest.mark.parametrize("text", ["format: [", "[]", "format: 1", "format: 1\nexchanges: [{model: a}]", "\x00"])
def test_a_file_that_is_none_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(Unreadable, match=r"the cassette .*one\.yaml (cannot be read|is none)"):
        Cassette.load(tmp_path / "one.yaml")
    (tmp_path / "one.yaml").write_text("format: 2\nexchanges: []")
    with pytest.raises(Unreadable, match=r"has the format 2, and 1 is known here"):
        Cassette.load(tmp_path / "one.yaml")


def test_each_exchange_is_played_once_and_in_order(tmp_path: Path) -> None:
    first, second = Exchange(ONE, {"status": "1"}), Exchange(ONE, {"status": "2"})
    cassette = Cassette(tmp_path / "one.yaml", [first, Exchange(replace(ONE, model="other"), {}), second])
    assert [cassette.play(ONE) for _ in range(3)] == [first, second, None]
    assert cassette.explain(ONE) == "It is recorded 2 times, and was asked once more."


def test_the_nearest_is_shown_as_a_diff(tmp_path: Path) -> None:
    far = replace(ONE, question="# Review the offer\n\nIs there a gap?", assistant="buyer")
    cassette = Cassette(tmp_path / "one.yaml", [Exchange(far, REPLY), Exchange(ONE, REPLY)])
    told = cassette.explain(replace(ONE, question="# Rate it\n\nFrom 1 to 10."))
    assert told.splitlines() == [
        "The nearest that is recorded has another text.",
        "",
        "--- recorded",
        "+++ asked",
        "@@ -1,3 +1,3 @@",
        " # Rate it",
        " ",
        "-From 1 to 5.",
        "+From 1 to 10.",
    ]
    assert cassette.explain(replace(ONE, model="gpt-6", instructions="b2", after="c3")) == (
        "The nearest that is recorded has other instructions; other messages before it on the conversation; "
        "model: 'gpt-5-mini', and now 'gpt-6'."
    )
    assert Cassette(tmp_path / "two.yaml").explain(ONE) == "Nothing is recorded there."


def test_yaml_of_others_hands_is_only_data(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("format: 1\nexchanges: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(Unreadable):
        Cassette.load(tmp_path / "one.yaml")
