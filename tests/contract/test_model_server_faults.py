"""The model server misbehaves as it is told to, says what it saw, and takes orders over HTTP too."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
    RateLimitError,
)

from tests.contract.provider_client import ask, client_of
from tests.waiting import wait_until
from worker.demo.model import ModelServer

SCHEMA: Final = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["yes", "no"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}},
        "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["verdict", "score", "notes", "reason"],
    "additionalProperties": False,
    "$defs": {"note": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def conversation(openai: AsyncOpenAI) -> str:
    return (await openai.conversations.create()).id


async def landed(client: AsyncOpenAI, conversation: str) -> bool:
    return bool((await client.conversations.items.list(conversation)).data)


# Replies instead of acting


@pytest.mark.parametrize(
    ("preset", "status", "code"),
    [
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("unauthorized", 401, "invalid_api_key"),
        ("forbidden", 403, None),
        ("server_error", 500, None),
        ("overloaded", 503, None),
        ("bad_gateway", 502, None),
        ("html_404", 404, None),
        ("detail_404", 404, None),
        ("route_404", 404, None),
        ("model_404", 404, "model_not_found"),
        ("gone", 404, None),
        ("locked", 400, "conversation_locked"),
        ("context_length", 400, "context_length_exceeded"),
    ],
)
async def test_a_reply_is_given_instead_of_acting(
    openai: AsyncOpenAI, server: ModelServer, conversation: str, preset: str, status: int, code: str | None
) -> None:
    server.fault("responses.create", reply=preset)
    with pytest.raises(APIStatusError) as caught:
        await ask(openai, "?", conversation=conversation)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert not await landed(openai, conversation)
    await ask(openai, "?", conversation=conversation)  # once is once


async def test_the_reply_that_a_conversation_is_gone_names_it(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.fault("items.list", reply="gone")
    with pytest.raises(NotFoundError, match=f"Conversation with id '{conversation}' not found."):
        await openai.conversations.items.list(conversation)


async def test_a_reply_can_be_a_preset_with_headers_or_made_up_entirely(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.fault(reply={"preset": "rate_limit", "headers": {"Retry-After": "2"}})
    with pytest.raises(RateLimitError) as limited:
        await openai.conversations.create()
    assert limited.value.response.headers["retry-after"] == "2"
    server.fault(reply={"status": 418, "text": "teapot"})
    with pytest.raises(APIStatusError) as odd:
        await openai.conversations.create()
    assert (odd.value.status_code, odd.value.response.text) == (418, "teapot")


# Around a turn that runs


@pytest.mark.parametrize(
    ("effect", "lands"),
    [
        ({"drop": True}, False),
        ({"cut": True}, True),
        ({"broken": True}, True),
    ],
)
async def test_a_connection_breaks_before_or_after_the_turn_landed(
    openai: AsyncOpenAI, server: ModelServer, conversation: str, effect: dict[str, Any], lands: bool
) -> None:
    server.fault("responses.create", **effect)
    with pytest.raises(APIConnectionError):
        await ask(openai, "?", conversation=conversation)
    assert await landed(openai, conversation) is lands
    assert len(server.requests("responses.create")) == 1


async def test_a_gateway_may_fail_after_the_turn_landed(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.fault("responses.create", reply_after="bad_gateway")
    with pytest.raises(APIStatusError) as caught:
        await ask(openai, "?", conversation=conversation)
    assert caught.value.status_code == 502
    assert await landed(openai, conversation)


async def test_a_page_of_html_comes_with_status_200_although_the_turn_landed(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.fault("responses.create", html200=True)
    answer: Any = await ask(openai, "?", conversation=conversation)
    assert isinstance(answer, str)
    assert answer.startswith("<html>")
    assert await landed(openai, conversation)


async def test_half_of_the_json_comes_with_status_200(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.fault("responses.create", truncated=True)
    with pytest.raises((APIError, ValueError)):
        await ask(openai, "?", conversation=conversation)
    assert await landed(openai, conversation)


@pytest.mark.parametrize("effect", [{"drip": 1}, {"stall": True}, {"after": 60}, {"before": 60}, {"during": 60}])
async def test_a_slow_reply_outlasts_any_patience(
    openai: AsyncOpenAI, server: ModelServer, conversation: str, effect: dict[str, Any]
) -> None:
    server.fault("responses.create", **effect)
    lands = "before" not in effect and "during" not in effect
    asking = asyncio.create_task(ask(openai, "?", conversation=conversation), name="a client that waits")
    await wait_until(lambda: server.requests("responses.create"), what="the request")

    async def has_landed() -> bool:
        return await landed(openai, conversation)

    if lands:
        await wait_until(has_landed, what="the turn")
    _, waiting = await asyncio.wait({asking}, timeout=0.3)
    assert waiting == {asking}
    asking.cancel()
    await asyncio.wait({asking})
    assert await landed(openai, conversation) is lands


async def test_a_dripping_body_defeats_the_clients_own_timeout_and_is_whole_in_the_end(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.fault("conversations.create", drip=100)
    made = await openai.with_options(timeout=0.5).conversations.create()
    assert made.id in server.conversations()
    server.fault("conversations.create", stall=True)
    with pytest.raises(APITimeoutError):
        await openai.with_options(timeout=0.2).conversations.create()


async def test_latency_keeps_the_conversation_locked(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.latency = timedelta(minutes=1)
    call = asyncio.create_task(ask(openai, "?", conversation=conversation))
    await wait_until(lambda: server.counts()["running"] == [conversation])
    with pytest.raises(BadRequestError):
        await ask(openai, "?", conversation=conversation)
    call.cancel()
    await asyncio.wait([call])


# Outcomes


@pytest.mark.parametrize(
    ("outcome", "status", "reason", "kinds"),
    [
        ("refused", "completed", None, ["refusal"]),
        ("filtered", "incomplete", "content_filter", ["output_text"]),
        ("incomplete", "incomplete", "max_output_tokens", ["output_text"]),
        ("empty", "completed", None, []),
        ("blank", "completed", None, ["output_text"]),
        ("reasoning_only", "completed", None, []),
        ("parts", "completed", None, ["output_text"] * 3),
        ({"name": "messages", "count": 2}, "completed", None, ["output_text"] * 2),
    ],
)
async def test_an_odd_outcome_is_a_200_and_lands(
    openai: AsyncOpenAI, server: ModelServer, conversation: str, outcome: Any, status: str, reason: str | None,
    kinds: list[str],
) -> None:  # fmt: skip
    server.fault("responses.create", outcome=outcome, answer="A long story, cut in pieces.")
    answer = await ask(openai, "?", conversation=conversation)
    assert answer.status == status
    assert (answer.incomplete_details and answer.incomplete_details.reason) == reason
    assert [part.type for item in answer.output if item.type == "message" for part in item.content] == kinds
    assert len((await openai.conversations.items.list(conversation)).data) == 1 + len(answer.output)
    if outcome == "parts" or isinstance(outcome, dict):
        assert answer.output_text == "A long story, cut in pieces."


async def test_a_failed_response_is_a_200_with_its_code_and_lands_nothing(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    server.fault("responses.create", outcome={"name": "failed", "code": "rate_limit_exceeded"})
    answer = await ask(openai, "?", conversation=conversation)
    assert answer.status == "failed"
    assert answer.error
    assert answer.error.code == "rate_limit_exceeded"
    assert not await landed(openai, conversation)


async def test_a_schema_is_answered_with_json_that_fits(openai: AsyncOpenAI) -> None:
    wanted: Any = {"format": {"type": "json_schema", "name": "verdict", "schema": SCHEMA, "strict": True}}
    value = json.loads((await ask(openai, "Shall we?", text=wanted)).output_text)
    assert value["verdict"] == "yes"
    assert value["score"] == 1
    assert value["notes"][0]["text"] == value["reason"]
    assert value["reason"].startswith("I see 0 earlier turns")


# Which calls


async def test_a_rule_takes_what_is_asked_and_not_what_was_said_before(
    server: ModelServer, openai: AsyncOpenAI
) -> None:
    server.fault("responses.create|chat.completions.create", question=["# Rate", "five"], answer="4", times=None)
    said: Any = [{"role": "user", "content": "# Rate it, to five"}, {"role": "assistant", "content": "Well."}]
    for question, taken in (("# Rate it, to five", True), ("# Rate it", False), ("# Review it", False)):
        asked: Any = [*said, {"role": "user", "content": [{"type": "input_text", "text": question}]}]
        response = await openai.responses.create(model="gpt-5-mini", input=asked)
        completion = await openai.chat.completions.create(model="gpt-5-mini", messages=asked)
        answers = (response.output_text, completion.choices[0].message.content)
        assert [each == "4" for each in answers] == [taken, taken]


async def test_a_server_may_have_each_model(openai: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError):
        await openai.responses.create(model="one-of-ours", input="Hello")
    async with ModelServer(any_model=True) as server, client_of(server.base_url) as client:
        await server.reset()
        assert (await client.responses.create(model="one-of-ours", input="Hello")).model == "one-of-ours"


async def test_a_rule_picks_calls_by_kind_text_and_conversation(
    openai: AsyncOpenAI, server: ModelServer, conversation: str
) -> None:
    other = (await openai.conversations.create()).id
    rule = server.fault("responses.*", text="poison", conversation=conversation, times=None, reply="server_error")
    await ask(openai, "harmless", conversation=conversation)
    await ask(openai, "poison", conversation=other)
    for _ in range(2):
        with pytest.raises(APIStatusError):
            await ask(openai, "poison", conversation=conversation)
    assert rule.hits == 2


async def test_a_rule_lets_the_first_calls_through_and_ends_after_its_times(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    server.fault("conversations.create", skip=1, times=2, reply="server_error")
    assert await outcomes(openai, 5) == [True, False, False, True, True]


async def test_a_rule_by_chance_does_the_same_for_the_same_seed(openai: AsyncOpenAI, server: ModelServer) -> None:
    seen = []
    for _ in range(2):
        server.fault("conversations.create", times=None, probability=0.5, seed=7, reply="server_error")
        seen.append(await outcomes(openai, 20))
        server.clear_faults()
    assert seen[0] == seen[1]
    assert {True, False} == set(seen[0])


async def outcomes(client: AsyncOpenAI, count: int) -> list[bool]:
    """Whether each of so many calls went well."""
    found = []
    for _ in range(count):
        try:
            await client.conversations.create()
        except APIStatusError:
            found.append(False)
        else:
            found.append(True)
    return found


@pytest.mark.parametrize("wanted", [{"burn": True}, {"reply": "nonsense"}, {"outcome": "nonsense"}])
async def test_a_rule_with_an_unknown_word_is_refused(server: ModelServer, wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such"):
        server.fault("*", **wanted)


async def test_literal_answers_go_by_the_question(openai: AsyncOpenAI, server: ModelServer) -> None:
    server.answer(r"capital of \w+", "Paris")
    assert (await ask(openai, "What is the capital of France?")).output_text == "Paris"
    assert (await ask(openai, "What is the largest city?")).output_text != "Paris"


# What was seen, and orders over HTTP


async def test_all_that_was_sent_is_recorded_in_order(openai: AsyncOpenAI, server: ModelServer) -> None:
    conversation = (await openai.conversations.create(metadata={"scope": "1"})).id
    server.fault("responses.create", cut=True)
    with pytest.raises(APIConnectionError):
        await ask(openai, "first", conversation=conversation, instructions="Be brief.")
    await ask(openai, "second", conversation=conversation)
    create, first, second = server.requests()
    assert create["body"] == {"metadata": {"scope": "1"}}
    assert (create["call"], create["method"], create["path"]) == ("conversations.create", "POST", "/v1/conversations")
    assert (first["body"]["input"], first["body"]["instructions"]) == ("first", "Be brief.")
    assert [entry["status"] for entry in (create, first, second)] == [200, None, 200]
    assert (first["fault"], first["conversation"]) == ({"cut": True}, conversation)
    assert server.requests("responses.create", after=first["seq"]) == [second]
    assert server.counts() == {
        "calls": {"conversations.create": 1, "responses.create": 2},
        "turns": {conversation: 2},
        "created": 1,
        "running": [],
    }


async def test_orders_over_http_do_what_the_methods_do(openai: AsyncOpenAI, server: ModelServer) -> None:
    conversation = (await openai.conversations.create()).id

    async with ClientSession() as session:

        async def order(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, server.control_url + path, json=body) as reply:
                assert reply.status == 200
                return await reply.json()

        await order("POST", "/answers", {"answers": [{"pattern": "ping", "text": "pong"}], "latency_seconds": 0})
        await order("POST", "/faults", [{"call": "responses.create", "hold": "gate"}])
        call = asyncio.create_task(ask(openai, "ping", conversation=conversation))
        await wait_until(lambda: server.counts()["running"])
        await order("POST", "/release", {"gate": "gate"})
        assert (await call).output_text == "pong"
        assert (await order("GET", "/faults"))["rules"][0]["hits"] == 1
        assert (await order("DELETE", "/faults"))["rules"] == []
        assert await order("GET", "/counts") == server.counts()
        assert (await order("GET", "/requests?call=responses.create"))["requests"] == server.requests(
            "responses.create"
        )
        assert len((await order("GET", "/conversations"))[conversation]["items"]) == 2
        await order("DELETE", f"/conversations/{conversation}")
        with pytest.raises(NotFoundError):
            await openai.conversations.retrieve(conversation)
        await order("POST", "/answers", {"models": ["only-this"]})
        assert [model.id async for model in openai.models.list()] == ["only-this"]
        await order("POST", "/reset")
        assert server.counts() == {"calls": {}, "turns": {}, "created": 0, "running": []}
        assert "only-this" not in [model.id async for model in openai.models.list()]
        async with session.post(f"{server.control_url}/faults", json=[{"burn": True}]) as reply:
            assert reply.status == 400


# As a program


@asynccontextmanager
async def program(*options: str) -> AsyncIterator[tuple[Process, str]]:
    """The server as a process, with its URL; killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.demo.model", *options, stdout=PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_as_a_program_it_keeps_its_store_over_kill_9_and_ends_in_order_at_sigterm(tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "model.db")]
    async with program(*options) as (process, url), client_of(url) as client:
        conversation = (await client.conversations.create()).id
        await ask(client, "Is the bridge open?", conversation=conversation)
        process.kill()
        await process.wait()
    async with program(*options) as (process, url), client_of(url) as client:
        assert "Is the bridge open?" in (await ask(client, "And now?", conversation=conversation)).output_text
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
