"""What goes over the wire: bodies, keys, headers, and whom a connection trusts."""

import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.apis import Asking, asking
from tests.contract.questions import KEY, assistant, question
from tests.contract.test_models_wire import RawServer, http, raw_server
from tests.contract.test_redis_tls import PAIR
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port
from worker.domain.documents import Attachment
from worker.domain.providers import Api, ProviderSpec, Schemas
from worker.domain.threads import Outcome, Said
from worker.errors import ModelUnknown, Permanent, ProviderAway, WorkerError
from worker.providers import OpenAIProvider

REPLIES: Mapping[Api, Any] = {
    "conversations": {"id": "resp_1", "output_text": "Yes."},
    "responses": {"id": "resp_1", "output_text": "Yes."},
    "chat": {"choices": [{"message": {"content": "Yes."}}]},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
BEFORE = (
    Said("developer", "2 earlier turns of this conversation had to be left out."),
    Said("user", "First?"),
    Said("assistant", "One."),
    Said("assistant", "Or two."),
    Said("user", "Second?"),
)


def yes(api: Api) -> bytes:
    """An answer as the API has it."""
    return http("200 OK", json.dumps(REPLIES[api]).encode())


def stateless(api: Api, server: ModelServer, **more: Any) -> ProviderSpec:
    return ProviderSpec(api=api, key=KEY, base_url=server.base_url, **more)


@asynccontextmanager
async def heard(api: Api, **spec: Any) -> AsyncIterator[RawServer]:
    """Put one question to a server that listens, and have its answer."""
    async with raw_server(yes(api)) as raw, asking(ProviderSpec(api=api, base_url=raw.base_url, **spec)) as turns:
        answer = await turns.ask()
        assert (answer.text, answer.outcome) == ("Yes.", Outcome.OK)
        yield raw


def lines(raw: RawServer) -> list[bytes]:
    """The one request's head, line by line, names in lower case."""
    (head,) = raw.heard
    first, *rest = head.split(b"\r\n")
    parts = (line.partition(b":") for line in rest if line)
    return [first, *(name.lower() + b":" + value for name, _, value in parts)]


async def test_chat_says_who_said_what_in_turns_and_all_of_the_system_first(server: ModelServer) -> None:
    async with asking(stateless("chat", server)) as turns:
        await turns.ask("Third?", said=BEFORE)

    (request,) = server.requests()
    assert request["body"] == {
        "model": "gpt-5-mini",
        "messages": [
            {
                "role": "system",
                "content": "Answer in one sentence.\n\n2 earlier turns of this conversation had to be left out.",
            },
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "One.\n\nOr two."},
            {"role": "user", "content": "Second?\n\nThird?"},
        ],
    }


async def test_responses_are_told_everything_and_keep_nothing(server: ModelServer) -> None:
    async with asking(stateless("responses", server)) as turns:
        await turns.ask("Third?", said=BEFORE[:3])

    (request,) = server.requests()
    assert request["body"] == {
        "model": "gpt-5-mini",
        "instructions": "Answer in one sentence.",
        "input": [
            {
                "type": "message",
                "role": "system",
                "content": "2 earlier turns of this conversation had to be left out.",
            },
            {"type": "message", "role": "user", "content": "First?"},
            {"type": "message", "role": "assistant", "content": "One."},
            {"type": "message", "role": "user", "content": "Third?"},
        ],
        "store": False,
    }


@pytest.mark.parametrize("schemas", ["strict", "loose", "none"])
async def test_schema_is_sent_as_strictly_as_the_provider_can(server: ModelServer, api: Api, schemas: Schemas) -> None:
    async with asking(stateless(api, server, schema=schemas)) as turns:
        if api == "conversations":
            turns.thread = await _thread(turns)
        await turns.ask(spec=assistant(output_schema=SCHEMA, temperature=0.0, max_output_tokens=400, model="gpt-4.1"))

    body = server.requests(turns.call)[0]["body"]
    named = {"name": "answer", "schema": SCHEMA} | ({"strict": True} if schemas == "strict" else {})
    if api == "chat":
        told, sent, limit = body["messages"][0]["content"], body.get("response_format"), body["max_tokens"]
        wanted: Any = {"type": "json_schema", "json_schema": named}
    else:
        told, sent, limit = body["instructions"], body.get("text"), body["max_output_tokens"]
        wanted = {"format": {"type": "json_schema", **named}}
    assert (body["temperature"], limit) == (0.0, 400)
    assert sent == (None if schemas == "none" else wanted)
    assert (json.dumps(SCHEMA) in told) == (schemas == "none")


PICTURE = Attachment("plan.png", "image/png", b"\x89PNG")
PAPER = Attachment("offer.pdf", "application/pdf", b"%PDF-1.7")


async def test_what_goes_along_with_a_question_is_sent_as_the_api_takes_it(server: ModelServer, api: Api) -> None:
    async with asking(stateless(api, server)) as turns:
        if api == "conversations":
            turns.thread = await _thread(turns)
        answer = await turns.ask("Seen?", said=BEFORE[1:2], attached=(PICTURE, PAPER))

    body = server.requests(turns.call)[0]["body"]
    picture, paper = "data:image/png;base64,iVBORw==", "data:application/pdf;base64,JVBERi0xLjc="
    text, *others = body["messages" if api == "chat" else "input"][-1]["content"]
    assert text["text"].startswith("First?\n\nSeen?" if api == "chat" else "Seen?")
    if api == "chat":
        assert text["type"] == "text"
        assert others == [
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "file", "file": {"filename": "offer.pdf", "file_data": paper}},
        ]
    else:
        assert text["type"] == "input_text"
        assert others == [
            {"type": "input_image", "image_url": picture, "detail": "auto"},
            {"type": "input_file", "filename": "offer.pdf", "file_data": paper},
        ]
    assert answer.input_tokens is not None
    assert answer.input_tokens > 2000


async def test_the_answer_to_a_question_with_attachments_is_found_on_its_thread(server: ModelServer) -> None:
    async with asking(stateless("conversations", server)) as turns:
        assert isinstance(turns.provider, OpenAIProvider)
        thread, put = await _thread(turns), replace(question("Seen?"), attached=(PICTURE, PAPER))
        answer = await turns.provider.ask(thread, put, assistant())

        found = await turns.provider.look(thread, put.ref)
        assert found is not None
        assert found.text == answer.text


async def _thread(turns: Asking) -> str:
    return await turns.provider.create_thread({})  # type: ignore[union-attr]  # conversations alone


@pytest.mark.parametrize("code", ["invalid_json_schema", "invalid_value", None])
async def test_schema_that_the_provider_does_not_take_is_put_into_words(
    turns: Asking, server: ModelServer, code: str | None
) -> None:
    server.fault(turns.call, reply={"status": 400, "message": "Invalid schema for 'answer'.", "code": code})

    answer = await turns.ask(spec=assistant(output_schema=SCHEMA))

    assert answer.outcome is Outcome.OK
    first, second = (request["body"] for request in server.requests(turns.call))
    assert json.dumps(SCHEMA) in json.dumps(second).replace('\\"', '"')
    assert {"text", "response_format"} & first.keys()
    assert not {"text", "response_format"} & second.keys()


async def test_requests_of_one_turn_have_one_limit(turns: Asking, server: ModelServer) -> None:
    """Each of them would be answered within a limit of its own."""
    server.fault(turns.call, before=0.6, reply={"status": 400, "message": "Invalid schema."})
    server.fault(turns.call, before=1.2)

    with pytest.raises(ModelUnknown, match=r"no whole reply within 1.5 s"):
        await turns.ask(spec=assistant(timeout=timedelta(seconds=1.5), output_schema=SCHEMA))

    assert len(server.requests(turns.call)) == 2


@pytest.mark.parametrize("param", ["temperature", "model"])
async def test_refusal_that_is_not_about_the_schema_is_not_tried_without_it(
    turns: Asking, server: ModelServer, param: str
) -> None:
    server.fault(turns.call, times=None, reply={"status": 404 if param == "model" else 400, "param": param})

    with pytest.raises(WorkerError):
        await turns.ask(spec=assistant(output_schema=SCHEMA))
    assert len(server.requests(turns.call)) == 1


async def test_reasoning_models_of_openai_are_told_the_limit_by_its_newer_name(server: ModelServer) -> None:
    spec = assistant(max_output_tokens=400)
    async with asking(stateless("chat", server)) as turns:
        answers = [await turns.ask(spec=spec) for _ in range(2)]
        await turns.ask(spec=replace(spec, model="gpt-4.1"))

    assert [answer.outcome for answer in answers] == [Outcome.OK, Outcome.OK]
    sent = [{*request["body"]} & {"max_tokens", "max_completion_tokens"} for request in server.requests()]
    assert sent == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}, {"max_tokens"}]


async def test_key_goes_into_the_header_and_nowhere_else(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for library in ("openai", "httpx2", "asyncio"):  # as the worker sets the first two
        caplog.set_level(logging.WARNING, library)
    async with heard(api, key=KEY) as raw:
        (head,) = raw.heard

    assert head.count(KEY.encode()) == 1
    assert f"authorization: Bearer {KEY}".encode() in lines(raw)
    assert KEY not in caplog.text


async def test_key_goes_into_another_header_as_it_is_and_then_there_is_no_bearer(api: Api) -> None:
    async with heard(api, key=KEY, key_header="api-key") as raw:
        sent = lines(raw)

    assert f"api-key: {KEY}".encode() in sent
    assert not any(line.startswith(b"authorization:") for line in sent)


async def test_server_that_needs_no_key_gets_none(api: Api) -> None:
    async with heard(api) as raw:
        assert not any(line.startswith(b"authorization:") for line in lines(raw))


async def test_headers_and_query_go_along(api: Api) -> None:
    headers = {"X-Team": "analysts", "authorization": "Basic abc"}
    async with heard(api, headers=headers, query={"api-version": "2026-09"}) as raw:
        first, *sent = lines(raw)

    assert first.endswith(b"?api-version=2026-09 HTTP/1.1")
    assert {b"x-team: analysts", b"authorization: Basic abc"} <= set(sent)


async def test_question_goes_through_the_proxy(api: Api) -> None:
    async with raw_server(yes(api)) as proxy:
        behind = ProviderSpec(api=api, base_url="http://models.invalid/v1", proxy=f"http://{HOST}:{proxy.port}")
        async with asking(behind) as turns:
            assert (await turns.ask()).text == "Yes."
        assert lines(proxy)[0].startswith(b"POST http://models.invalid/v1/")


async def test_proxy_that_is_not_there_has_asked_nothing(api: Api) -> None:
    spec = ProviderSpec(api=api, base_url="http://models.invalid/v1", proxy=f"http://{HOST}:{free_port()}")
    async with asking(spec) as turns:
        with pytest.raises(ProviderAway, match=r"no connection"):
            await turns.ask()


async def test_private_authority_is_trusted_where_it_is_named(api: Api, tmp_path: Path) -> None:
    pair = tmp_path / "pair.pem"
    pair.write_text(PAIR, "ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    async with raw_server(yes(api), context) as raw:
        spec = ProviderSpec(api=api, key=KEY, base_url=raw.base_url)
        async with asking(replace(spec, ca_file=pair)) as turns:
            assert (await turns.ask()).text == "Yes."
        async with asking(spec) as turns:
            with pytest.raises(ProviderAway, match="no connection"):
                await turns.ask()
        assert len(raw.heard) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_authority_that_cannot_be_read_is_said_at_once(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(Permanent, match=r"ca_file of the provider local: .*ca.pem cannot be used"):
        async with asking(ProviderSpec("local", "chat", "https://models.invalid/v1", ca_file=file)):
            pass


async def test_no_question_has_a_ref_where_nothing_is_looked_for(server: ModelServer) -> None:
    put = question()
    for api in ("responses", "chat"):
        async with asking(stateless(api, server)) as turns:
            await turns.ask(put.text)

    assert not any("(ref " in json.dumps(request["body"]) for request in server.requests())
