"""Server-sent events, however they are cut, and what a watcher is told of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from tests.fakes.watcher import FakeWatcher
from tests.unit.test_completions import ANYTHING, ASSISTANT, CHOICES, REPLIES
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Answer, Outcome
from worker.errors import ContextFull, ModelUnknown, ProviderPaused, ThreadLocked
from worker.providers import ChatModel, Client, ResponsesModel
from worker.providers.streams import Events, Telling
from worker.providers.thoughts import Aloud

STREAM = (
    ": a comment\n\nevent: one\ndata: first\ndata: second\n\ndata:no blank\nid: 7\nretry\n\nevent: nothing\n\n"
    "data: ü — 👍 \u2028 \x0b\n\ndata: last"
)
EVENTS = [("one", "first\nsecond"), ("", "no blank"), ("", "ü — 👍 \u2028 \x0b"), ("", "last")]
KINDS = st.sampled_from(
    [
        "response.output_item.added",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
        "response.failed",
        "error",
    ]
)
OF_RESPONSES = st.fixed_dictionaries(
    {"type": KINDS | ANYTHING},
    optional={
        "delta": ANYTHING,
        "item": ANYTHING,
        "output_index": ANYTHING,
        "response": REPLIES | ANYTHING,
        "error": ANYTHING,
    },
)
OF_CHAT = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICES | st.fixed_dictionaries({"delta": ANYTHING}) | ANYTHING, max_size=2) | ANYTHING,
        "usage": ANYTHING,
        "id": ANYTHING,
        "error": ANYTHING,
    },
)


def cut(stream: bytes, at: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(each % (len(stream) + 1) for each in at)})
    return [stream[start:end] for start, end in pairwise(places)]


@given(at=st.lists(st.integers(0, 1000)), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_events_are_the_same_wherever_the_stream_is_cut(at: list[int], end: str) -> None:
    events = Events()
    stream = STREAM.replace("\n", end).encode()
    heard = [event for chunk in cut(stream, at) for event in events.feed(chunk)] + list(events.end())

    assert [(name, data.decode()) for name, data in heard] == EVENTS


@given(chunks=st.lists(st.binary(max_size=20)))
def test_no_bytes_are_too_odd_to_be_looked_at(chunks: list[bytes]) -> None:
    events = Events()
    for chunk in chunks:
        list(events.feed(chunk))
    list(events.end())


def test_a_long_line_in_small_pieces_takes_no_long_time() -> None:
    events, text = Events(), b"x" * 1_000_000
    chunks = [b"data: ", *cut(text, range(0, len(text), 50)), b"\n\n"]

    assert [data for chunk in chunks for _, data in events.feed(chunk)] == [text]


@given(text=st.text(max_size=60), at=st.lists(st.integers(0, 80)))
def test_thought_at_the_head_of_a_message_is_never_said(text: str, at: list[int]) -> None:
    whole = f" <think>{text.replace('<', '')}</think>\n{text}"
    aloud, places = Aloud(), sorted({0, len(whole), *(each % (len(whole) + 1) for each in at)})
    said = "".join(aloud.of(whole[start:end]) for start, end in pairwise(places))

    assert said == text.lstrip()


@given(pieces=st.lists(st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0x10FFFF), max_size=3)))
def test_a_watcher_is_told_the_answer_and_nothing_that_is_no_text(pieces: list[str]) -> None:
    watcher = FakeWatcher()
    telling = Telling(watcher)
    telling.begin()
    for piece in pieces:
        telling.say(piece)
    text = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    telling.settle(Answer(text))

    assert watcher.text == text
    assert len(watcher.requests) == 1


def test_an_answer_of_which_nothing_was_said_is_said_in_the_end() -> None:
    watcher = FakeWatcher()
    Telling(watcher).settle(Answer("Yes."))

    assert watcher.requests == [["Yes."]]


@dataclass(slots=True)
class Sdk:
    """Stands for the client library: every request is answered with these bytes, as a stream."""

    chunks: list[bytes] = field(default_factory=list)

    @property
    def response(self) -> Self:
        return self

    async def post(self, *_: object, **__: object) -> Self:
        return self

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def hear(kind: type[ChatModel] | type[ResponsesModel], chunks: list[bytes]) -> tuple[Answer, FakeWatcher]:
    client = Client(cast("AsyncOpenAI", Sdk(chunks)), ProviderSpec(base_url="http://models.invalid/v1"))
    watcher = FakeWatcher()
    return asyncio.run(kind(client).ask((), "Well?", ASSISTANT, watcher=watcher)), watcher


@pytest.mark.parametrize(("kind", "event"), [(ChatModel, OF_CHAT), (ResponsesModel, OF_RESPONSES)])
@given(data=st.data())
def test_any_events_are_an_answer_or_an_error_of_ours(kind: Any, event: Any, data: st.DataObject) -> None:
    events = data.draw(st.lists(event | ANYTHING, max_size=5))
    lines = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
    try:
        answer, watcher = hear(kind, [lines.encode(), b"data: [DONE]\n\n"])
    except (ModelUnknown, ContextFull, ProviderPaused, ThreadLocked):
        return
    answer.text.encode()
    assert answer.text.strip() or answer.outcome is not Outcome.OK
    assert watcher.text == answer.text


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
@pytest.mark.parametrize("depth", [900, 100_000])
def test_depth_is_no_trouble(kind: Any, depth: int) -> None:
    body = b'{"type": "response.completed", "choices": [], "response": {"id": ' + b"[" * depth + b"]" * depth + b"}}"
    with pytest.raises(ModelUnknown):
        hear(kind, [b"data: " + body + b"\n\n"])
