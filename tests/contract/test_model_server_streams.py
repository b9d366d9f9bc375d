"""The streams of the model server, seen through OpenAI's own client library."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import APIError, APIStatusError, AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tests.contract.provider_client import MODEL, ask
from tests.contract.test_model_server_chat import complete
from tests.waiting import wait_until
from worker.demo.model import ModelServer

TEXT = "Two words."
BEGINNING = ["response.created", "response.in_progress"]
SAID = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        server.answer(".", TEXT)
        yield server


async def events(client: AsyncOpenAI, into: list[ResponseStreamEvent] | None = None, **options: Any) -> list[Any]:
    """One response, event by event."""
    heard: list[Any] = [] if into is None else into
    stream = await client.responses.create(**{"model": MODEL, "input": "?", "stream": True, **options})
    async for event in stream:
        heard.append(event)  # noqa: PERF401 - one by one: whoever waits for some of them must see them
    return heard


async def chunks(client: AsyncOpenAI, **options: Any) -> list[ChatCompletionChunk]:
    said = [{"role": "user", "content": "?"}]
    wanted = {"model": MODEL, "messages": said, "stream": True, **options}
    return [chunk async for chunk in await client.chat.completions.create(**wanted)]


async def test_a_response_comes_in_numbered_events_and_whole_in_the_last(openai: AsyncOpenAI) -> None:
    heard = await events(openai)

    assert [event.type for event in heard] == [*BEGINNING, *SAID, "response.completed"]
    assert [event.sequence_number for event in heard] == list(range(len(heard)))
    assert "".join(event.delta for event in heard if event.type == "response.output_text.delta") == TEXT
    assert heard[0].response.status == "in_progress"
    last = heard[-1].response
    assert (last.output_text, last.status, last.id) == (TEXT, "completed", heard[0].response.id)
    assert last.usage


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [
        ("incomplete", [*SAID, "response.incomplete"]),
        ("empty", ["response.completed"]),
        ("failed", ["response.failed"]),
        ("reasoning_only", ["response.output_item.added", "response.output_item.done", "response.completed"]),
    ],
)
async def test_every_end_of_a_response_has_its_event(
    openai: AsyncOpenAI, server: ModelServer, outcome: str, kinds: list[str]
) -> None:
    server.fault("responses.create", outcome=outcome)

    assert [event.type for event in await events(openai)] == [*BEGINNING, *kinds]


async def test_a_refusal_has_events_of_its_own_and_a_message_says_its_phase_at_once(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.fault("responses.create", outcome={"name": "refused", "text": "No."})
    server.fault("responses.create", outcome="phased")

    assert [event.delta for event in await events(openai) if event.type == "response.refusal.delta"] == ["No."]
    added = [event.item for event in await events(openai) if event.type == "response.output_item.added"]
    assert [item.phase for item in added] == ["commentary", "final_answer"]


async def test_a_turn_lands_like_any_other_and_holds_its_conversation(openai: AsyncOpenAI, server: ModelServer) -> None:
    conversation = (await openai.conversations.create()).id
    server.fault("responses.create", hold="gate")
    heard: list[Any] = []
    running = asyncio.create_task(events(openai, heard, conversation=conversation))
    await wait_until(lambda: len(heard) == len(BEGINNING))

    with pytest.raises(APIStatusError):
        await events(openai, conversation=conversation)
    server.release("gate")
    await running
    assert server.counts()["turns"] == {conversation: 1}


async def test_a_completion_comes_in_chunks_and_says_what_it_took_if_asked(openai: AsyncOpenAI) -> None:
    heard = await chunks(openai, stream_options={"include_usage": True})

    assert "".join(chunk.choices[0].delta.content or "" for chunk in heard if chunk.choices) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in heard if chunk.choices][-1] == "stop"
    assert [bool(chunk.usage) for chunk in heard] == [False] * (len(heard) - 1) + [True]
    assert not heard[-1].choices
    assert heard[-1].usage == (await complete(openai, "?")).usage
    assert not any(chunk.usage for chunk in await chunks(openai))


@pytest.mark.parametrize(
    ("outcome", "content", "refusal", "reason"),
    [("refused", "", "I'm sorry, but I can't help with that.", "stop"), ("incomplete", "Two w", "", "length")],
)
async def test_every_outcome_has_its_chunks(
    openai: AsyncOpenAI, server: ModelServer, outcome: str, content: str, refusal: str, reason: str
) -> None:
    server.fault("chat.completions.create", outcome=outcome)
    choices = [chunk.choices[0] for chunk in await chunks(openai)]

    assert "".join(choice.delta.content or "" for choice in choices) == content
    assert "".join(choice.delta.refusal or "" for choice in choices) == refusal
    assert choices[-1].finish_reason == reason


@pytest.mark.parametrize(("then", "error"), [("cut", Exception), ("error", APIError), ("end", None)])
@pytest.mark.parametrize("call", ["responses.create", "chat.completions.create"])
async def test_a_stream_breaks_off_where_a_rule_says_so(
    openai: AsyncOpenAI, server: ModelServer, call: str, then: str, error: type[Exception] | None
) -> None:
    server.fault(call, stream={"after": 1, "then": then})
    heard: list[Any] = []

    async def hear() -> None:
        heard.extend(await (events(openai) if call == "responses.create" else chunks(openai)))

    if error is None:
        await hear()
        assert not any(getattr(each, "type", "") == "response.completed" for each in heard)
    elif call == "responses.create" and then == "error":
        await hear()  # the client hands this one out
        assert heard[-1].type == "error"
    else:
        with pytest.raises(error):
            await hear()


async def test_a_completion_that_failed_is_an_error_in_its_stream(openai: AsyncOpenAI, server: ModelServer) -> None:
    server.fault("chat.completions.create", outcome="failed")
    with pytest.raises(APIError, match="had an error"):
        await chunks(openai)


@pytest.mark.parametrize("fault", [{"pause": 0.5}, {"after": 1, "then": "stall"}], ids=str)
async def test_a_stream_outlasts_any_patience(openai: AsyncOpenAI, server: ModelServer, fault: Any) -> None:
    server.fault("responses.create", stream=fault)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await events(openai)


@pytest.mark.parametrize("effect", ["truncated", "html200"])
async def test_what_spoils_a_reply_spoils_a_stream(openai: AsyncOpenAI, server: ModelServer, effect: str) -> None:
    server.fault("responses.create", **{effect: True})
    try:
        heard = await events(openai)
    except (APIError, ValueError):
        return
    assert not any(event.type == "response.completed" for event in heard)


async def test_a_stream_in_the_background_and_options_without_a_stream_are_refused(openai: AsyncOpenAI) -> None:
    with pytest.raises(APIStatusError) as background:
        await events(openai, background=True)
    with pytest.raises(APIStatusError) as options:
        await complete(openai, "?", stream_options={"include_usage": True})
    assert (background.value.param, options.value.param) == ("stream", "stream_options")
    assert (await ask(openai, "?")).output_text == TEXT
