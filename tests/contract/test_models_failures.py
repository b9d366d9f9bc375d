"""Every way in which a provider fails, and what it means: one request each, nothing repeated, nothing quoted."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.apis import Asking, asking
from tests.contract.questions import KEY, SECRET_WORD, assistant, question
from worker.demo.model import ModelServer
from worker.domain.providers import Api, ProviderSpec, Words
from worker.errors import (
    AssistantPaused,
    BadRequest,
    ContextFull,
    ModelDown,
    ModelUnknown,
    ProviderPaused,
    ThreadLocked,
    Transient,
    TurnedAway,
    WorkerError,
)
from worker.providers import OpenAIProvider
from worker.providers import openai as adapter
from worker.providers.failures import retry_after

Fault = dict[str, Any]
PATIENCE_SECONDS = 10
"""How long a test waits for what its limit should have ended long before."""


def replied(status: int, **more: Any) -> Fault:
    """An error object of that status, which quotes the question and the key as providers do."""
    message = f"Cannot do that with '{SECRET_WORD}' and {KEY}."
    return {"reply": {"status": status, "message": message, "type": "invalid_request_error", **more}}


def page(status: int) -> Fault:
    return {
        "reply": {"status": status, "text": f"<html>{SECRET_WORD}</html>", "headers": {"Content-Type": "text/html"}}
    }


FORBIDDEN: Fault = {"reply": "forbidden"}
NO_SCOPE: Fault = {"reply": {"status": 401, "message": "Missing scopes: model.request."}}
"""Of the assistant where a model was asked, of this one request otherwise, and of everything where a probe is told."""
REFUSALS: list[tuple[Fault, type[WorkerError]]] = [
    ({"reply": "rate_limit"}, ModelDown),
    ({"reply": "quota"}, ProviderPaused),
    (replied(429, code="billing_not_active"), ProviderPaused),
    (replied(429, type="insufficient_quota"), ProviderPaused),
    ({"reply": "unauthorized"}, ProviderPaused),
    (page(401), TurnedAway),
    (page(402), TurnedAway),
    (page(403), TurnedAway),
    (page(451), TurnedAway),
    ({"reply": {"status": 403, "json": {"message": "Forbidden"}}}, TurnedAway),
    ({"reply": {"status": 403, "json": {"detail": "Blocked."}}}, TurnedAway),
    ({"reply": {"status": 401, "json": {"error": "Unauthorized"}}}, TurnedAway),
    ({"reply": {"status": 403, "text": ""}}, TurnedAway),
    (replied(402), ProviderPaused),
    (replied(409), ModelDown),
    (replied(425), ModelDown),
    ({"reply": "overloaded"}, ModelDown),
    (page(503), ModelDown),
    ({"reply": "locked"}, ThreadLocked),
    (replied(409, code="conversation_locked"), ThreadLocked),
    ({"reply": "model_404"}, BadRequest),
    (replied(403, code="model_not_found"), BadRequest),
    (replied(404, type="NotFoundError", param="model"), BadRequest),
    ({"reply": "context_length"}, ContextFull),
    (replied(400, param="temperature", code="unsupported_value"), BadRequest),
    (replied(422), BadRequest),
    (page(400), TurnedAway),
    ({"reply": "html_404"}, TurnedAway),
    ({"reply": {"status": 404, "text": "404 page not found"}}, TurnedAway),
    (page(429), ModelDown),
    (page(409), ModelDown),
    ({"reply": {"status": 405, "json": {"detail": "Method Not Allowed"}}}, ModelDown),
    ({"reply": "route_404"}, ModelDown),
    ({"reply": "detail_404"}, ModelDown),
    (replied(404), ModelDown),
    ({"reply": {"status": 307, "text": "", "headers": {"Location": "http://127.0.0.1:9/"}}}, ModelDown),
]
"""The provider certainly did not run the call."""

LOST: list[Fault] = [
    {"reply": "server_error"},
    {"reply": "bad_gateway"},
    page(500),
    page(504),
    page(520),
    replied(408),
    {"reply": "html_200"},
    {"reply": "not_json_200"},
    {"reply": {"status": 200, "json": None}},
    {"reply": {"status": 200, "json": []}},
    {"reply": {"status": 200, "json": {"error": {"message": SECRET_WORD}}}},
    {"reply": {"status": 200, "json": {"id": "", "data": 7, "metadata": []}}},
    {"reply": {"status": 200, "text": ""}},
    {"reply": {"status": 200, "text": "[" * 100_000, "headers": {"Content-Type": "application/json"}}},
    {"drop": True},
    {"cut": True},
    {"broken": True},
    {"truncated": True},
    {"html200": True},
]
"""The call may have run."""


def text_of(error: BaseException) -> str:
    """What an error says, its attributes included."""
    return f"{error} {error!r} {error.args}"


@pytest.mark.parametrize(
    ("fault", "error"),
    [*REFUSALS, (FORBIDDEN, AssistantPaused), (NO_SCOPE, AssistantPaused), *((fault, ModelUnknown) for fault in LOST)],
    ids=lambda part: str(part)[:70],
)
async def test_failed_turn_is_one_request_and_one_error(
    turns: Asking, server: ModelServer, fault: Fault, error: type[WorkerError]
) -> None:
    requests = 1 + (turns.streamed and fault == replied(422))  # nobody says what of it was not taken
    server.fault(turns.call, times=requests, **fault)

    with pytest.raises(WorkerError) as caught:
        await turns.ask()

    assert type(caught.value) is error
    assert SECRET_WORD not in text_of(caught.value)
    assert KEY not in text_of(caught.value)
    assert server.counts()["calls"][turns.call] == requests


@pytest.mark.parametrize(
    ("fault", "error"),
    [*REFUSALS, (FORBIDDEN, TurnedAway), (NO_SCOPE, TurnedAway), *((fault, ModelDown) for fault in LOST)],
    ids=lambda part: str(part)[:70],
)
@pytest.mark.parametrize("call", ["items.list", "conversations.retrieve"])
async def test_call_that_only_reads_has_nothing_to_be_unknown_about(
    model: OpenAIProvider, server: ModelServer, thread: str, call: str, fault: Fault, error: type[WorkerError]
) -> None:
    server.fault(call, times=2, **fault)  # aiohttp repeats a GET on a connection that it had used before

    with pytest.raises(WorkerError) as caught:
        await (model.look(thread, "0123456789ab") if call == "items.list" else model.metadata(thread))

    assert type(caught.value) is error
    assert SECRET_WORD not in text_of(caught.value)


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: str(fault)[:70])
async def test_conversation_that_may_have_been_made_is_unknown(
    model: OpenAIProvider, server: ModelServer, fault: Fault
) -> None:
    server.fault("conversations.create", **fault)

    with pytest.raises(ModelUnknown):
        await model.create_thread({})
    assert server.counts()["calls"]["conversations.create"] == 1


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("quota", "quota is used up: raise its limit or pay.*status 429, code insufficient_quota"),
        ("unauthorized", "check OPENAI_API_KEY.*status 401, code invalid_api_key"),
        ("model_404", "no model 'gpt-5-mini'.*correct `model` in the assistant's spec"),
        ("context_length", "longer than model 'gpt-5-mini' can read: shorten the inputs"),
        ("html_404", "a page came, and not the provider's answer: check OPENAI_BASE_URL.*status 404"),
        (page(403)["reply"], "a page came.*: look at what the question holds, and at .*firewall.*status 403"),
        ("rate_limit", "too many requests.*status 429, code rate_limit_exceeded, type requests, request req_"),
    ],
)
async def test_error_says_what_happened_and_what_to_do(
    turns: Asking, server: ModelServer, reply: Any, says: str
) -> None:
    server.fault(turns.call, reply=reply)

    with pytest.raises(WorkerError, match=f"{turns.call}: .*{says}"):
        await turns.ask()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("unauthorized", "check the key of the provider azure"),
        ("html_404", "check base_url of the provider azure"),
        ("route_404", "check base_url of the provider azure"),
        ({"status": 302, "text": ""}, "check base_url of the provider azure"),
    ],
    ids=str,
)
async def test_settings_are_called_what_the_file_of_providers_calls_them(
    server: ModelServer, api: Api, reply: Any, says: str
) -> None:
    words = Words("base_url of the provider azure", "the key of the provider azure")
    server.fault(times=None, reply=reply)
    async with asking(ProviderSpec(api=api, key=KEY, base_url=server.base_url, words=words)) as turns:
        for call in (turns.ask(), turns.provider.ping()):
            with pytest.raises(WorkerError, match=says) as caught:
                await call
            assert "OPENAI_" not in str(caught.value)


async def test_sentence_in_place_of_a_code_is_not_told_further(turns: Asking, server: ModelServer) -> None:
    server.fault(turns.call, times=None, **replied(400, code=f"bad word {SECRET_WORD}", param=f"input: {SECRET_WORD}"))

    with pytest.raises(BadRequest) as caught:
        await turns.ask()
    assert SECRET_WORD not in str(caught.value)


async def test_wrong_key_pauses_every_call(server: ModelServer, thread: str) -> None:
    async with OpenAIProvider.open("sk-wrong", server.base_url) as model:
        for call in (
            model.ping(),
            model.create_thread({}),
            model.metadata(thread),
            model.look(thread, "0123456789ab"),
            model.ask(thread, question(), assistant()),
            model.delete_thread(thread),
            model.find_model("gpt-5-mini"),
        ):
            with pytest.raises(ProviderPaused, match="check OPENAI_API_KEY"):
                await call


async def test_openai_without_a_key_is_not_even_asked(api: Api) -> None:
    named = ProviderSpec(api=api, words=Words("base_url of the provider o", "the key of the provider o"))
    for spec, says in [(ProviderSpec(api=api), "OPENAI_API_KEY"), (named, "the key of the provider o")]:
        async with asking(spec) as turns:
            with pytest.raises(ProviderPaused, match=f"{says} is not set"):
                await turns.ask()
            with pytest.raises(ProviderPaused, match=f"{says} is not set"):
                await turns.provider.ping()


async def test_other_server_needs_no_key(api: Api) -> None:
    async with ModelServer() as server, asking(ProviderSpec(api=api, base_url=server.base_url)) as turns:
        await turns.provider.ping()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("rate_limit", ModelDown),
        ("forbidden", ProviderPaused),
        ("html_404", ModelDown),
        ("route_404", ModelDown),
        ("detail_404", ModelDown),
        ("server_error", ModelDown),
        (page(401)["reply"], ModelDown),
        (page(403)["reply"], ModelDown),
        (page(400)["reply"], ModelDown),
        ({"status": 401, "json": {"detail": "Not authenticated"}}, ProviderPaused),
        ({"status": 405, "json": {"detail": "Method Not Allowed"}}, ModelDown),
        ({"status": 200, "json": {"error": "Unexpected endpoint or method. (GET /v1/conversations/x)"}}, ModelDown),
        ({"status": 200, "json": {"error": {"message": "no such thing"}, "id": "conv_1"}}, ModelDown),
        ({"status": 200, "json": {"id": "conv_1", "object": "conversation"}}, ModelDown),
        ({"status": 200, "json": {"status": "ok"}}, ModelDown),
    ],
)
async def test_ping_fails_where_a_turn_would(
    turns: Asking, server: ModelServer, reply: Any, error: type[WorkerError]
) -> None:
    server.fault(reply=reply, times=None)

    with pytest.raises(WorkerError) as caught:
        await turns.provider.ping()
    assert type(caught.value) is error


async def test_key_that_may_not_list_models_pings(turns: Asking, server: ModelServer) -> None:
    server.fault("models.*", times=None, reply="forbidden")

    await turns.provider.ping()
    with pytest.raises(ProviderPaused):
        await turns.provider.find_model("gpt-5-mini")


@pytest.mark.parametrize("reply", ["html_404", "detail_404", "route_404"])
async def test_model_is_not_missing_where_the_address_is_wrong(
    model: OpenAIProvider, server: ModelServer, reply: str
) -> None:
    server.fault("models.*", times=None, reply=reply)

    with pytest.raises(ModelDown):
        await model.find_model("gpt-5-mini")


async def test_characters_that_cannot_be_sent_are_a_bad_request(turns: Asking, server: ModelServer) -> None:
    with pytest.raises(BadRequest, match="cannot be sent"):
        await turns.ask("half an emoji: \ud83d")
    assert server.requests(turns.call) == []


@pytest.mark.parametrize("fault", [{"drip": 1}, {"stall": True}, {"hold": "for ever"}, {"before": 60}], ids=str)
async def test_turn_ends_at_its_limit_however_the_server_drags(
    turns: Asking, server: ModelServer, fault: Fault
) -> None:
    server.fault(turns.call, **fault)

    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ModelUnknown, match=r"no whole reply within 0.6 s"):
            await turns.ask(spec=assistant(timeout=timedelta(seconds=0.6)))

    assert server.counts()["calls"][turns.call] == 1


async def test_limit_of_a_turn_includes_the_check_of_a_thread_that_seems_gone(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.forget(thread)
    server.fault("conversations.retrieve", stall=True)

    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Transient):
            await model.ask(thread, question(), assistant(timeout=timedelta(seconds=0.2)))


@pytest.mark.parametrize("fault", [{"drip": 1}, {"stall": True}, {"before": 60}], ids=str)
async def test_short_calls_end_at_their_limit(
    model: OpenAIProvider, server: ModelServer, thread: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "SHORT_CALL", timedelta(seconds=0.2))
    server.fault(times=None, **fault)

    async with asyncio.timeout(PATIENCE_SECONDS):
        for reading in (model.look(thread, "0123456789ab"), model.metadata(thread), model.ping()):
            with pytest.raises(ModelDown, match="no whole reply"):
                await reading
        with pytest.raises(ModelUnknown):
            await model.create_thread({})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "300"}, 300),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after-ms": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 3600),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 -0000", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 1970 10:00:00 GMT"}, None),
    ],
)
def test_wait_that_the_provider_asks_for_is_taken_where_it_makes_sense(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("reply", ["rate_limit", "overloaded", "server_error", "quota"])
async def test_wait_reaches_the_error(turns: Asking, server: ModelServer, reply: str) -> None:
    server.fault(turns.call, reply={"preset": reply, "headers": {"Retry-After": "30"}})

    with pytest.raises(Transient) as caught:
        await turns.ask()
    assert caught.value.retry_after == timedelta(seconds=30)


async def test_deleting_is_fine_with_what_is_gone_and_says_what_else_fails(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault("conversations.delete", reply="html_404")
    server.fault("conversations.delete", reply="server_error")

    with pytest.raises(TurnedAway):
        await model.delete_thread(thread)
    with pytest.raises(ModelUnknown):
        await model.delete_thread(thread)
    await model.delete_thread(thread)
    await model.delete_thread(thread)
