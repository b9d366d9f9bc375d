"""When a conversation counts as gone. Everything else leaves it as it is."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.contract.questions import assistant, question
from worker.demo.model import ModelServer
from worker.errors import BadRequest, ModelDown, ThreadGone, Transient, TurnedAway
from worker.providers import OpenAIProvider

NOT_GONE = [
    "html_404",
    "detail_404",
    "route_404",
    "model_404",
    "unauthorized",
    "forbidden",
    "rate_limit",
    "server_error",
]


@pytest.mark.parametrize("reply", NOT_GONE)
async def test_nothing_but_the_provider_naming_the_conversation_makes_it_gone(
    model: OpenAIProvider, server: ModelServer, thread: str, reply: str
) -> None:
    server.fault(times=None, reply=reply)

    for call in (
        model.metadata(thread),
        model.look(thread, "0123456789ab"),
        model.ask(thread, question(), assistant()),
    ):
        with pytest.raises((Transient, BadRequest, TurnedAway)):
            await call


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Conversation with id 'conv_other' not found.", "type": "invalid_request_error"},
        {"message": "Conversation with id '{thread}0' not found.", "type": "invalid_request_error"},
        {"message": "Invalid URL (GET /v1/conversations/{thread})", "type": "invalid_request_error"},
        {"message": "Invalid URL (GET /v1/conversations/{thread}/items)", "type": "invalid_request_error"},
        {"message": "Conversation not found.", "type": "invalid_request_error"},
        {"message": "Conversation with id '{thread}' not found.", "type": "server_error"},
        {"message": "Not for '{thread}'.", "type": "invalid_request_error", "code": "model_not_found"},
        {"message": None, "type": None},
        {"message": {"a": "'{thread}"}, "type": ["invalid_request_error"]},
        "Conversation with id '{thread}' not found.",
    ],
    ids=str,
)
async def test_error_object_that_speaks_of_something_else_is_not_gone(
    model: OpenAIProvider, server: ModelServer, thread: str, error: Any
) -> None:
    body = json.loads(json.dumps({"error": error}).replace("{thread}", thread))
    server.fault(times=None, reply={"status": 404, "json": body})

    for call in (model.look(thread, "0123456789ab"), model.ask(thread, question(), assistant())):
        with pytest.raises((ModelDown, BadRequest)):
            await call


@pytest.mark.parametrize("call", ["items.list", "responses.create", "conversations.retrieve"])
async def test_conversation_that_only_one_call_calls_gone_is_not(
    model: OpenAIProvider, server: ModelServer, thread: str, call: str
) -> None:
    server.fault(call, reply="gone")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "items.list": lambda: model.look(thread, "0123456789ab"),
        "responses.create": lambda: model.ask(thread, question(), assistant()),
        "conversations.retrieve": lambda: model.metadata(thread),
    }

    with pytest.raises(ModelDown, match="yet shows it"):
        await calls[call]()


async def test_missing_item_is_not_a_missing_conversation(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    message = f"Item with id 'msg_1' not found in conversation {thread}."
    server.fault("items.list", reply={"status": 404, "message": message, "type": "invalid_request_error"})

    with pytest.raises(ModelDown):
        await model.look(thread, "0123456789ab")


@pytest.mark.parametrize("reply", NOT_GONE)
async def test_gone_needs_its_confirmation(model: OpenAIProvider, server: ModelServer, thread: str, reply: str) -> None:
    server.forget(thread)
    server.fault("conversations.retrieve", reply=reply)

    with pytest.raises((Transient, BadRequest, TurnedAway)):
        await model.look(thread, "0123456789ab")
    with pytest.raises(ThreadGone):
        await model.look(thread, "0123456789ab")


async def test_gone_is_told_after_two_calls_said_so(model: OpenAIProvider, server: ModelServer, thread: str) -> None:
    server.forget(thread)
    seen = server.requests()[-1]["seq"]

    with pytest.raises(ThreadGone):
        await model.ask(thread, question(), assistant())

    assert [request["call"] for request in server.requests(after=seen)] == [
        "responses.create",
        "conversations.retrieve",
    ]
