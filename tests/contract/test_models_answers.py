"""One turn with OpenAI: what is sent, and what each kind of response is worth."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.questions import assistant, question
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.domain.threads import Answer, Outcome
from worker.errors import ModelUnknown, ProviderPaused, ThreadGone, ThreadLocked
from worker.providers import OpenAIProvider

Counted = Callable[[str, str], float]


async def asked(model: OpenAIProvider, thread: str) -> tuple[Answer, Answer | None]:
    """Ask, and look for the answer afterwards."""
    put = question()
    return await model.ask(thread, put, assistant()), await model.look(thread, put.ref)


async def test_turn_sends_what_the_assistant_says_and_nothing_else(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    put = question("Why?")
    await model.ask(thread, put, assistant())

    (request,) = server.requests("responses.create")
    assert request["body"] == {
        "model": "gpt-5-mini",
        "instructions": "Answer in one sentence.",
        "input": [{"type": "message", "role": "user", "content": f"Why?\n\n(ref {put.ref})"}],
        "conversation": thread,
    }


async def test_turn_sends_temperature_limit_and_schema_where_they_are_set(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    await model.ask(thread, question(), assistant(temperature=0.0, max_output_tokens=400, output_schema=schema))

    body = server.requests("responses.create")[0]["body"]
    assert (body["temperature"], body["max_output_tokens"]) == (0.0, 400)
    assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": schema}}


async def test_turn_sees_the_turns_before_it(model: OpenAIProvider, server: ModelServer, thread: str) -> None:
    for _ in range(3):
        await model.ask(thread, question(), assistant())

    conversation = server.conversations()[thread]
    assert conversation["turns"] == 3
    assert server.counts()["created"] == 1


@pytest.mark.parametrize(
    ("fault", "outcome", "detail"),
    [
        ({"answer": "plain"}, Outcome.OK, ""),
        ({"outcome": "refused"}, Outcome.REFUSED, ""),
        ({"outcome": "filtered"}, Outcome.FILTERED, "content_filter"),
        ({"outcome": "incomplete"}, Outcome.INCOMPLETE, "max_output_tokens"),
        ({"outcome": "empty"}, Outcome.EMPTY, "no output"),
        ({"outcome": "blank"}, Outcome.EMPTY, "a message without text"),
        ({"outcome": "reasoning_only"}, Outcome.EMPTY, "no message"),
        ({"outcome": {"name": "failed", "code": "invalid_prompt"}}, Outcome.FILTERED, "invalid_prompt"),
        ({"outcome": {"name": "failed", "code": "bio_policy"}}, Outcome.FILTERED, "bio_policy"),
        ({"outcome": {"name": "failed", "code": "data_residency_mismatch"}}, Outcome.FAILED, "data_residency_mismatch"),
    ],
)
async def test_every_kind_of_response_has_its_outcome(
    model: OpenAIProvider,
    server: ModelServer,
    thread: str,
    counted: Counted,
    fault: dict[str, Any],
    outcome: Outcome,
    detail: str,
) -> None:
    server.fault("responses.create", **fault)

    answer = await model.ask(thread, question(), assistant())

    assert (answer.outcome, answer.detail) == (outcome, detail)
    assert answer.response_id
    assert counted("model_calls", outcome.value) == 1
    assert len(server.requests("responses.create")) == 1


@pytest.mark.parametrize(
    ("found_as", "fault"),
    [
        (Outcome.OK, {"outcome": {"name": "parts", "count": 4}}),
        (Outcome.OK, {"outcome": {"name": "messages", "count": 3}}),
        (Outcome.REFUSED, {"outcome": "refused"}),
        # A message on a thread says that it is incomplete, but not why.
        (Outcome.INCOMPLETE, {"outcome": "incomplete"}),
        (Outcome.INCOMPLETE, {"outcome": "filtered"}),
        (Outcome.EMPTY, {"outcome": "blank"}),
        (Outcome.EMPTY, {"outcome": "reasoning_only"}),
    ],
)
async def test_look_reads_the_same_text_as_the_response_brought(
    model: OpenAIProvider, server: ModelServer, thread: str, found_as: Outcome, fault: dict[str, Any]
) -> None:
    server.fault("responses.create", answer="one two three four", **fault)

    answer, found = await asked(model, thread)

    assert found is not None
    assert (found.text, found.outcome, found.recovered) == (answer.text, found_as, True)


async def test_parts_of_a_message_join_with_nothing_between_and_messages_with_a_blank_line(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.answer(".", "abcdef")
    server.fault("responses.create", outcome={"name": "parts", "count": 3})
    server.fault("responses.create", outcome={"name": "messages", "count": 3})

    assert (await asked(model, thread))[0].text == "abcdef"
    assert (await asked(model, thread))[0].text == "ab\n\ncd\n\nef"


async def test_answer_holds_the_text_of_this_response_only(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault("responses.create", answer="first")
    server.fault("responses.create", answer="second")

    assert [(await asked(model, thread))[0].text for _ in range(2)] == ["first", "second"]


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "vector_store_timeout"])
async def test_response_that_failed_by_the_server_is_no_answer(
    model: OpenAIProvider, server: ModelServer, thread: str, code: str
) -> None:
    server.fault("responses.create", outcome={"name": "failed", "code": code})

    with pytest.raises(ModelUnknown, match=code):
        await model.ask(thread, question(), assistant())


async def test_response_that_failed_for_want_of_quota_pauses(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault("responses.create", outcome={"name": "failed", "code": "insufficient_quota"})

    with pytest.raises(ProviderPaused):
        await model.ask(thread, question(), assistant())


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "something_new"])
async def test_response_that_is_not_complete_is_unknown(
    model: OpenAIProvider, server: ModelServer, thread: str, status: str
) -> None:
    server.fault("responses.create", reply={"status": 200, "json": {"id": "resp_1", "status": status, "output": []}})

    with pytest.raises(ModelUnknown):
        await model.ask(thread, question(), assistant())


async def test_second_turn_at_the_same_time_is_refused_and_then_found(
    model: OpenAIProvider, server: ModelServer, thread: str, counted: Counted
) -> None:
    server.fault("responses.create", hold="gate")
    first = question()
    running = asyncio.create_task(model.ask(thread, first, assistant()), name="first turn")
    await wait_until(lambda: server.counts()["running"])

    with pytest.raises(ThreadLocked):
        await model.ask(thread, question(), assistant())
    assert await model.look(thread, first.ref) is None
    server.release("gate")
    answer = await running

    found = await model.look(thread, first.ref)
    assert found is not None
    assert found.text == answer.text
    assert counted("model_calls", "locked") == 1


async def test_turn_whose_caller_left_is_found_on_the_thread_later(
    model: OpenAIProvider, server: ModelServer, thread: str, counted: Counted
) -> None:
    server.fault("responses.create", hold="gate")
    put = question()
    running = asyncio.create_task(model.ask(thread, put, assistant()), name="turn")
    await wait_until(lambda: server.counts()["running"])

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    server.release("gate")

    await wait_until(lambda: server.counts()["turns"][thread])
    assert await model.look(thread, put.ref) is not None
    assert counted("model_calls", "aborted") == 1


async def test_thread_of_the_assistants_api_is_gone_without_a_question(
    model: OpenAIProvider, server: ModelServer, counted: Counted
) -> None:
    with pytest.raises(ThreadGone, match="Assistants API"):
        await model.metadata("thread_abc")
    with pytest.raises(ThreadGone):
        await model.look("thread_abc", "0123456789ab")
    with pytest.raises(ThreadGone):
        await model.ask("thread_abc", question(), assistant())
    await model.delete_thread("thread_abc")

    assert server.requests() == []
    assert counted("model_calls", "gone") == 1


async def test_look_reads_20_items_and_100_when_it_has_to_be_sure(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    first = question()
    answer = await model.ask(thread, first, assistant())
    for _ in range(10):
        await model.ask(thread, question(), assistant())

    assert await model.look(thread, first.ref) is None
    found = await model.look(thread, first.ref, deep=True)
    assert found is not None
    assert found.text == answer.text
    assert [request["query"]["limit"] for request in server.requests("items.list")] == ["20", "100"]
