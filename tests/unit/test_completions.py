"""Any JSON object where a turn was asked for is an answer or an error of ours."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from worker.domain.providers import ProviderSpec
from worker.domain.threads import Answer, Assistant, Outcome
from worker.errors import ContextFull, ModelUnknown, ProviderPaused
from worker.providers import ChatModel, Client, ResponsesModel

ASSISTANT = Assistant("analyst", "1.0", "m-1", "local", "Be brief.", timedelta(seconds=10))

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20)
NAMES = st.sampled_from(["message", "content", "text", "type", "refusal", "role", "code", "error", "status", "reason"])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4)
)
PARTS = st.fixed_dictionaries({}, optional={"type": ANYTHING, "text": ANYTHING, "refusal": ANYTHING}) | ANYTHING
MESSAGES = st.fixed_dictionaries({}, optional={"content": st.lists(PARTS, max_size=3) | ANYTHING, "refusal": ANYTHING})
CHOICES = st.fixed_dictionaries({}, optional={"message": MESSAGES | ANYTHING, "finish_reason": ANYTHING})
ITEMS = st.fixed_dictionaries({}, optional={"type": ANYTHING, "role": ANYTHING, "content": st.lists(PARTS, max_size=3)})
REPLIES = st.fixed_dictionaries(
    {},
    optional={
        "id": ANYTHING,
        "choices": st.lists(CHOICES | ANYTHING, max_size=2) | ANYTHING,
        "output": st.lists(ITEMS | ANYTHING, max_size=2) | ANYTHING,
        "output_text": ANYTHING,
        "status": ANYTHING | st.sampled_from(["completed", "incomplete", "failed"]),
        "usage": ANYTHING | st.dictionaries(st.sampled_from(["prompt_tokens", "input_tokens"]), ANYTHING),
        "error": ANYTHING,
        "incomplete_details": ANYTHING,
        "model": ANYTHING,
    },
)


@dataclass(slots=True)
class Sdk:
    """Stands for the client library: every request is answered with these bytes."""

    content: bytes

    async def post(self, *_: object, **__: object) -> "Sdk":
        return self


def ask(kind: type[ChatModel] | type[ResponsesModel], body: bytes) -> Answer:
    client = Client(cast("AsyncOpenAI", Sdk(body)), ProviderSpec(base_url="http://models.invalid/v1"))
    return asyncio.run(kind(client).ask((), "Well?", ASSISTANT))


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
@given(body=REPLIES | st.dictionaries(st.text(max_size=5), ANYTHING, max_size=5))
def test_any_object_is_an_answer_or_an_error_of_ours(kind: Any, body: Any) -> None:
    try:
        answer = ask(kind, json.dumps(body).encode())
    except (ModelUnknown, ContextFull, ProviderPaused):
        return
    answer.text.encode()
    assert answer.text.strip() or answer.outcome is not Outcome.OK
    assert all(tokens is None or tokens >= 0 for tokens in (answer.input_tokens, answer.output_tokens))


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
@given(body=st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_an_error_of_ours(kind: Any, body: bytes) -> None:
    with pytest.raises(ModelUnknown):
        ask(kind, body)


@pytest.mark.parametrize("kind", [ChatModel, ResponsesModel])
def test_depth_is_no_trouble(kind: Any) -> None:
    with pytest.raises(ModelUnknown):
        ask(kind, b'{"choices": ' + b"[" * 100_000)


@given(text=st.text(max_size=200), thought=st.text(max_size=50).filter(lambda text: "<" not in text))
def test_text_arrives_as_it_was_sent_without_the_thought_before_it(text: str, thought: str) -> None:
    told = {"choices": [{"message": {"content": f"<think>{thought}</think>{text}"}}]}
    assert ask(ChatModel, json.dumps(told).encode()).text == text.lstrip().encode(errors="replace").decode()
    as_response = {"id": "resp_1", "output_text": f"<think>{thought}</think>{text}"}
    assert ask(ResponsesModel, json.dumps(as_response).encode()).text == text.lstrip().encode(errors="replace").decode()
