"""Replies that are not quite JSON: what can be read of them is read, and what is no reply stays none."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from worker.domain.threads import Answer
from worker.providers.reading import loads, read
from worker.providers.wire import Anything, Conversation, Items, Names, Response, answer_behind, answer_of

EMOJI = r"\ud83d\ude00"


def response(text: str = "Yes.", more: str = "") -> bytes:
    """A response as it goes over the wire; the text is written as it stands, escapes included."""
    said = f'{{"type": "message", "role": "assistant", "content": [{{"type": "output_text", "text": "{text}"}}]}}'
    return f'{{"id": "resp_1", "status": "completed", "output": [{said}]{more}}}'.encode()


def answer(body: bytes) -> Answer:
    return answer_of(read(Response, body))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (r"half \ud83d here", "half \ufffd here"),
        (r"half \uDE00 here", "half \ufffd here"),
        (r"\ud83d", "\ufffd"),
        (rf"\ud83d{EMOJI}", "\ufffd\U0001f600"),
        (rf"{EMOJI}\ude00", "\U0001f600\ufffd"),
        (rf"\ud83d\ud83d{EMOJI}", "\ufffd\ufffd\U0001f600"),
        (r"written \\ud83d, and half \ud83d", "written \\ud83d, and half \ufffd"),
        (r"\\\\ud83d and \ud83d", "\\\\ud83d and \ufffd"),
        (r"\\\ud83d", "\\\ufffd"),
        ("a tab\tand a line\nas they are", "a tab\tand a line\nas they are"),
    ],
)
def test_half_an_emoji_costs_one_character_and_not_the_answer(sent: str, text: str) -> None:
    assert answer(response(sent)).text == text


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + response(),
        response() + b"\n\n",
        response() + b"\0\0",
        response() + b"\r\n<!-- served by cache-7 -->",
        response() + b'{"id": "resp_2"}',
        response(more=', "created_at": NaN, "temperature": -Infinity'),
        response(more=f', "created_at": {"9" * 5000}'),
        response(more=f', "created_at": 1e{"9" * 400}'),
        response(more=', "text": ' + "[" * 400 + "]" * 400),
        response(more=', "model": "\xff"').replace("\xff".encode(), b"\xff"),
        response().decode().encode("utf-16"),
    ],
    ids=lambda body: str(body[-40:]),
)
def test_answer_is_read_out_of_json_that_is_none(body: bytes) -> None:
    assert answer(body).text == "Yes."


@pytest.mark.parametrize(
    ("beside", "tokens"),
    [
        ('"usage": {"input_tokens": 12, "output_tokens": 5}', (12, 5)),
        ('"usage": {"input_tokens": "12", "output_tokens": 5.5}', (12, None)),
        ('"usage": {"input_tokens": NaN, "output_tokens": 1e400}', (None, None)),
        ('"usage": {"input_tokens": -3, "output_tokens": 99999999999999999999}', (None, None)),
        (f'"usage": {{"input_tokens": {"9" * 5000}, "output_tokens": 5}}', (None, 5)),
        ('"usage": []', (None, None)),
        ('"usage": "free"', (None, None)),
        ('"error": "", "incomplete_details": "none"', (None, None)),
        ('"model": {"id": "m"}, "error": []', (None, None)),
    ],
)
def test_answer_is_not_lost_for_what_stands_beside_it(beside: str, tokens: tuple[int | None, int | None]) -> None:
    found = answer(response(more=f", {beside}"))

    assert found.text == "Yes."
    assert (found.input_tokens, found.output_tokens) == tokens


def test_page_with_an_unreadable_character_shows_the_thread_and_the_answer_behind_the_question() -> None:
    said: list[Any] = [
        {"id": "msg_3", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Fine."}]},
        {"id": "msg_2", "type": "message", "role": "user", "content": "What?\n\n(ref 0123456789ab)"},
        None,
        {"id": "msg_1", "type": {"odd": 1}, "role": 7, "status": [], "phase": {}, "content": [{"text": {"a": 1}}]},
        {"id": "msg_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "\ud83d"}]},
    ]
    body = json.dumps({"object": "list", "data": said}).encode()

    found = answer_behind(read(Items, body).data, "0123456789ab")

    assert found is not None
    assert found.text == "Fine."
    ids = json.dumps({"data": [each for each in said if each]}).encode()
    assert [each.id for each in read(Names, ids).data] == ["msg_3", "msg_2", "msg_1", "msg_0"]


def test_conversation_is_known_by_its_metadata_whatever_else_they_hold() -> None:
    body = json.dumps({"id": "conv_1", "metadata": {"engine": "default", "odd": None, "half": "\ud83d", "n": 1}})

    assert read(Conversation, body.encode()).metadata == {"engine": "default", "half": "\ufffd", "n": "1"}


@pytest.mark.parametrize("shape", [Items, Names, Conversation, Anything])
@pytest.mark.parametrize(
    "error", [{"message": "Unexpected endpoint or method. (GET /v1/conversations/conv_1)"}, "Unexpected endpoint"]
)
def test_error_that_comes_with_success_is_no_success(shape: Any, error: Any) -> None:
    with pytest.raises(ValidationError):
        read(shape, json.dumps({"error": error, "id": "conv_1", "data": []}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome</html>",
        b"upstream: ok",
        response()[: len(response()) // 2],
        response()[:-1],
        b"null",
        b"[]",
        b"NaN",
        b'"resp_1"',
        b'{"status": "completed"}',
        rb'{"id": "resp_\ud83d"}',
        b'{"id": "resp_\xff"}',
        b"[" * 100_000,
        b'{"id": "r", "text": ' + b"[" * 100_000,
    ],
    ids=lambda body: str(body[:40]),
)
def test_what_is_no_reply_is_none_and_quotes_nothing(body: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        read(Response, body)
    assert "Welcome" not in str(caught.value)


def test_numbers_that_are_none_are_nothing() -> None:
    assert loads(b'{"a": NaN, "b": 1e999, "c": -Infinity, "d": 12, "e": 0.5}') == {
        "a": None,
        "b": None,
        "c": None,
        "d": 12,
        "e": 0.5,
    }
