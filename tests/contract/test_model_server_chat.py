"""The chat completions of the model server, seen through OpenAI's own client library."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from openai import APIStatusError, AsyncOpenAI, InternalServerError
from openai.types.chat import ChatCompletion

from tests.contract.provider_client import MODEL
from worker.demo.model import ModelServer

REASONING_MODEL: Final = "gpt-5-mini"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def complete(client: AsyncOpenAI, *texts: str, **options: Any) -> ChatCompletion:
    """One completion; the texts are the user's and the assistant's in turns."""
    said = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    answer: ChatCompletion = await client.chat.completions.create(**{"model": MODEL, "messages": said, **options})
    return answer


async def test_a_completion_has_one_choice_and_says_what_it_cost(openai: AsyncOpenAI, server: ModelServer) -> None:
    server.answer("What now", "Nothing.")
    answer = await complete(openai, "What now, then?")

    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.message.refusal) == ("assistant", "Nothing.", None)
    assert (choice.finish_reason, answer.object, answer.model) == ("stop", "chat.completion", MODEL)
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 2, 6)
    assert answer.usage.prompt_tokens_details
    assert answer.usage.completion_tokens_details


async def test_a_completion_knows_the_messages_that_it_is_told_and_no_others(openai: AsyncOpenAI) -> None:
    first = await complete(openai, "Is the bridge open?")
    told = await complete(openai, "Is the bridge open?", first.choices[0].message.content or "", "And now?")
    untold = await complete(openai, "And now?")

    assert "Is the bridge open?" in (told.choices[0].message.content or "")
    assert "I see 0 earlier turns" in (untold.choices[0].message.content or "")


async def test_nothing_of_a_completion_is_kept(openai: AsyncOpenAI, server: ModelServer) -> None:
    answer = await complete(openai, "Is the bridge open?")

    assert server.conversations() == {}
    with pytest.raises(APIStatusError) as caught:
        await openai.responses.retrieve(answer.id.replace("chatcmpl-", "resp_"))
    assert caught.value.status_code == 404


async def test_content_may_be_a_list_of_parts_and_a_developer_may_speak(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.answer("in two parts", "Both read.")
    parts = [{"type": "text", "text": "A question "}, {"type": "text", "text": "in two parts"}]
    said = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]

    assert (await complete(openai, messages=said)).choices[0].message.content == "Both read."


async def test_a_schema_is_answered_with_json_that_fits(openai: AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["yes", "no"]}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = await complete(openai, "Well?", response_format=wanted)

    assert json.loads(answer.choices[0].message.content or "")["a"] in {"yes", "no"}


@pytest.mark.parametrize(
    ("outcome", "content", "refusal", "reason"),
    [
        ("completed", "abcdef", None, "stop"),
        ("refused", None, "I'm sorry, but I can't help with that.", "stop"),
        ("filtered", "abc", None, "content_filter"),
        ("incomplete", "abc", None, "length"),
        ("empty", "", None, "stop"),
        ("blank", "", None, "stop"),
    ],
)
async def test_every_outcome_has_its_completion(
    openai: AsyncOpenAI, server: ModelServer, outcome: str, content: str | None, refusal: str | None, reason: str
) -> None:
    server.fault("chat.completions.create", answer="abcdef", outcome=outcome)
    (choice,) = (await complete(openai, "?")).choices

    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == (content, refusal, reason)


async def test_a_completion_that_failed_is_an_error(openai: AsyncOpenAI, server: ModelServer) -> None:
    server.fault("chat.completions.create", outcome="failed")
    with pytest.raises(InternalServerError) as caught:
        await complete(openai, "?")
    assert caught.value.code == "server_error"


async def test_the_limit_of_an_answer_goes_by_either_name_and_reasoning_models_want_the_newer(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.answer("alphabet", "abcdefghijklmnopqrstuvwxyz" * 10)
    for model, name in [
        (MODEL, "max_tokens"),
        (MODEL, "max_completion_tokens"),
        (REASONING_MODEL, "max_completion_tokens"),
    ]:
        (choice,) = (await complete(openai, "The alphabet, please", model=model, **{name: 16})).choices
        assert (len(choice.message.content or ""), choice.finish_reason) == (64, "length")

    with pytest.raises(APIStatusError) as caught:
        await complete(openai, "The alphabet, please", model=REASONING_MODEL, max_tokens=16)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (
        400,
        "unsupported_parameter",
        "max_tokens",
    )


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"model": "gpt-0"}, 404, "model_not_found"),
        ({"temperature": 2.1}, 400, "decimal_out_of_range"),
        ({"extra_body": {"conversation": "conv_1"}}, 400, None),
        ({"messages": []}, 400, "missing_required_parameter"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "invalid_type"),
        ({"messages": [{"role": "user", "content": "x" * 600_000}]}, 400, "context_length_exceeded"),
    ],
)
async def test_a_bad_request_is_refused(
    openai: AsyncOpenAI, options: dict[str, Any], status: int, code: str | None
) -> None:
    with pytest.raises(APIStatusError) as caught:
        await complete(openai, "?", **options)
    assert (caught.value.status_code, caught.value.code) == (status, code)
