"""The words of vendors: how each says that a conversation or a model does not exist, as its bodies go over the wire."""

import json
from typing import Any

import pytest

from tests.contract.apis import Asking
from tests.contract.questions import assistant, question
from worker.demo.model import ModelServer
from worker.errors import BadRequest, ThreadGone, Transient, TurnedAway
from worker.providers import OpenAIProvider
from worker.providers.openai import NOBODY
from worker.providers.refusals import GONE, NO_MODEL, Said, says_gone, says_no_model

THREAD = "conv_0123abcd"


def error(message: str, **words: Any) -> dict[str, Any]:
    return {"error": {"message": message, **words}}


GONE_BODIES: list[Any] = [
    error("Conversation with id '{id}' not found.", type="invalid_request_error", param=None, code=None),
    {"detail": "Conversation '{id}' not found."},
    error("Conversation '{id}' not found."),
    error("Conversation item '{id}' not found in conversation 'conv_9'. Use 'client.conversations.items.list'."),
    {"error": {"code": "not_found", "message": "Conversation {id} does not exist."}},
    {"error": {"code": "NotFound", "message": "No conversation found with id '{id}'."}},
    {"error": {"code": "conversation_not_found", "message": "The conversation was not found: {id}"}},
    {"error": {"code": "conversation_not_found", "message": "Not found.", "conversation_id": "{id}"}},
    {"detail": {"code": "conversation_not_found", "message": "Conversation '{id}' not found"}},
    {"message": "Conversation {id} not found"},
    {"statusCode": 404, "message": "conversation not found: {id}"},
]

STORE_GONE_BODY: Any = error("Vector_store '{id}' not found")
"""Comes with 400."""

NOT_GONE_BODIES: list[Any] = [
    {"detail": "Not Found"},
    {"detail": "Conversation not found."},
    {"detail": "Conversation 'conv_other' not found."},
    {"detail": "Conversation '{id}9' not found."},
    {"detail": "Item 'msg_1' not found in conversation '{id}'."},
    {"detail": "Path /v1/conversations/{id} not found"},
    {"detail": [{"msg": "Conversation '{id}' not found."}]},
    {"message": "Resource not found"},
    {"message": "no Route matched with those values"},
    {"message": "GET /v1/conversations/{id} not found"},
    {"error": {"code": "404", "message": "Resource not found"}},
    {"error": {"code": "conversation_not_found", "message": "The conversation was not found."}},
    {"error": {"code": "conversation_not_found", "message": "Conversation 'conv_other' not found."}},
    {"error": {"code": "not_found", "message": "No route for {id}."}},
    {"error": {"code": "DeploymentNotFound", "message": "The deployment for {id} does not exist."}},
    error("Invalid URL (GET /v1/conversations/{id})", type="invalid_request_error"),
    error("Model '{id}' is fine; conversation 'conv_other' not found.", type="invalid_request_error"),
    "Conversation '{id}' not found.",
    {},
    None,
]

NO_MODEL_BODIES: list[tuple[int, Any]] = [
    (404, error("The model '{id}' does not exist or you do not have access to it.", code="model_not_found")),
    (403, error("Project does not have access to model '{id}'.", code="model_not_found")),
    (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
    (404, {"object": "error", "message": "The model `{id}` does not exist.", "type": "NotFoundError", "code": 404}),
    (404, error("The model `{id}` does not exist.", type="NotFoundError", param="model", code=404)),
    (404, {"detail": "Model '{id}' not found. Use 'client.models.list()' to list available Models."}),
    (400, error("Model '{id}' not found. Use 'client.models.list()' to list available Models.")),
    (404, {"detail": "The model `{id}` does not exist or is not accessible"}),
    (404, {"error": "model '{id}' not found"}),
    (404, error('model "{id}" not found, try pulling it first', type="not_found_error")),
    (400, {"detail": {"error": "/responses: Invalid model name passed in model={id}"}}),
    (400, error("/responses: Invalid model name passed in model={id}. Call `/v1/models`.", type="None", code="400")),
    (400, error("{id} is not a valid model ID", code=400)),
]

OTHER_REFUSALS: list[tuple[int, Any]] = [
    (
        400,
        error("The model '{id}' does not support this parameter.", param="temperature", code="unsupported_parameter"),
    ),
    (404, {"detail": "Not Found"}),
    (404, {"detail": "Model 'another' not found."}),
    (404, error("Conversation 'conv_1' not found, asked of model '{id}'.", type="invalid_request_error")),
]


def of(body: Any, name: str) -> Any:
    """The body about this conversation or model."""
    return json.loads(json.dumps(body).replace("{id}", name))


def said(body: Any, name: str = THREAD) -> Said:
    return Said.by(json.dumps(of(body, name)).encode())


@pytest.mark.parametrize("body", GONE_BODIES, ids=json.dumps)
async def test_conversation_that_its_vendor_calls_gone_is(
    model: OpenAIProvider, server: ModelServer, thread: str, body: Any
) -> None:
    server.fault("items.list", reply={"status": 404, "json": of(body, thread)})
    server.fault("conversations.retrieve", reply={"status": 404, "json": of(body, thread)})

    with pytest.raises(ThreadGone):
        await model.look(thread, "0123456789ab")
    assert server.counts()["calls"]["conversations.retrieve"] == 1, "two calls have to say so"


@pytest.mark.parametrize("body", GONE_BODIES, ids=json.dumps)
async def test_provider_that_calls_a_conversation_missing_has_conversations(
    model: OpenAIProvider, server: ModelServer, body: Any
) -> None:
    server.fault("conversations.retrieve", reply={"status": 404, "json": of(body, NOBODY)})

    await model.ping()


@pytest.mark.parametrize("body", NOT_GONE_BODIES, ids=json.dumps)
async def test_body_that_does_not_name_the_conversation_as_missing_ends_nothing(
    model: OpenAIProvider, server: ModelServer, thread: str, body: Any
) -> None:
    server.fault(times=None, reply={"status": 404, "json": of(body, thread)})

    for call in (model.look(thread, "0123456789ab"), model.ask(thread, question(), assistant())):
        with pytest.raises((Transient, TurnedAway, BadRequest)):
            await call


@pytest.mark.parametrize(("status", "body"), NO_MODEL_BODIES, ids=json.dumps)
async def test_model_that_its_vendor_does_not_have_is_named(
    turns: Asking, server: ModelServer, status: int, body: Any
) -> None:
    server.fault(turns.call, reply={"status": status, "json": of(body, "gpt-5-mini")})

    with pytest.raises(BadRequest, match="no model 'gpt-5-mini' for this key: correct `model`"):
        await turns.ask()


@pytest.mark.parametrize(("status", "body"), OTHER_REFUSALS, ids=json.dumps)
async def test_refusal_that_only_mentions_the_model_is_no_missing_model(
    turns: Asking, server: ModelServer, status: int, body: Any
) -> None:
    server.fault(turns.call, reply={"status": status, "json": of(body, "gpt-5-mini")})

    with pytest.raises((BadRequest, Transient)) as caught:
        await turns.ask()
    assert "no model" not in str(caught.value)


@pytest.mark.parametrize("shape", GONE, ids=lambda shape: shape.source)
def test_every_row_of_the_gone_has_its_body(shape: Any) -> None:
    bodies = [*((404, body) for body in GONE_BODIES), (400, STORE_GONE_BODY)]
    assert any(shape.fits(status, said(body), THREAD) for status, body in bodies)


@pytest.mark.parametrize("shape", NO_MODEL, ids=lambda shape: shape.source)
def test_every_row_of_the_missing_models_has_its_body(shape: Any) -> None:
    assert any(shape.fits(status, said(body, "m-1"), "m-1") for status, body in NO_MODEL_BODIES)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 409, 500, 503])
def test_only_a_404_says_that_something_is_gone(status: int) -> None:
    assert not any(says_gone(status, said(body), THREAD) for body in GONE_BODIES)


@pytest.mark.parametrize("body", [b"", b"<html>Conversation 'conv_0123abcd' not found.</html>", b"\xff", b"[" * 9999])
def test_page_says_nothing_whatever_it_says(body: bytes) -> None:
    page = Said.by(body)

    assert page.place == "a page"
    assert not says_gone(404, page, THREAD)
    assert not says_no_model(404, page, "m-1")


def test_body_that_is_wrapped_in_an_array_is_read() -> None:
    assert (
        Said.by(b'[{"error": {"code": 404, "message": "models/x is not found", "status": "NOT_FOUND"}}]').code == "404"
    )
