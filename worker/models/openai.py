"""OpenAI's Conversations and Responses as a `ports.Model`: conversations stay on the server, a turn is one call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient

from worker import metrics
from worker.domain import Answer, Assistant, Question
from worker.errors import (
    BadRequest,
    ModelDown,
    ModelUnknown,
    ProviderPaused,
    ThreadGone,
    ThreadLocked,
    WorkerError,
)
from worker.models import failures
from worker.models.failures import Call
from worker.models.wire import Anything, Conversation, Items, Response, Wire, answer_behind, answer_of

OPENAI: Final = "https://api.openai.com/v1"
SHORT_CALL: Final = timedelta(seconds=15)
"""The limit of every call that no model has to think for."""
CONNECT_SECONDS: Final = 5.0
ITEMS, ITEMS_DEEP = 20, 100
"""How far a look reads; 100 is the most that one page holds."""
NOBODY: Final = "conv_" + 48 * "0"
"""A conversation that does not exist: asking for it tells whether key and address are right."""

_OUTCOMES: Final[Mapping[type[WorkerError], str]] = {
    ModelDown: "down",
    ProviderPaused: "paused",
    ModelUnknown: "unknown",
    ThreadLocked: "locked",
    ThreadGone: "gone",
    BadRequest: "rejected",
}

W = TypeVar("W", bound=Wire)


class OpenAIModel:
    """Speaks to OpenAI, or to another server with the same two APIs. See `ports.Model` for the promises.

    One method call is one request, never repeated; the exception is a conversation that seems gone, which is asked
    for a second time.
    """

    refuses_overlap = True

    def __init__(self, client: AsyncOpenAI, *, keyless: bool = False) -> None:
        self._client = client
        self._keyless = keyless

    @classmethod
    @asynccontextmanager
    async def open(cls, api_key: str | None, base_url: str | None = None) -> AsyncIterator[Self]:
        """Prepare the connections; nothing is reached yet. Without a base URL it is OpenAI, which wants a key."""
        async with AsyncOpenAI(
            api_key=api_key or "none",
            base_url=base_url or OPENAI,
            # The SDK would ask up to three times, and each one that timed out may leave a turn on the thread.
            max_retries=0,
            # Its timeouts are per read: a reply that drips never meets them. `_within` keeps the time.
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            # A redirect would carry questions to a host that nobody configured.
            http_client=DefaultAioHttpClient(follow_redirects=False),
        ) as client:
            yield cls(client, keyless=api_key is None and base_url is None)

    async def create_thread(self, metadata: Mapping[str, str]) -> str:
        """Create an empty conversation and return its id."""
        call = Call("conversations.create", SHORT_CALL, acts=True)
        async with _within(call):
            created = await self._request(call, Conversation, "POST", "/conversations", {"metadata": dict(metadata)})
        return created.id

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given."""
        call = Call("conversations.retrieve", SHORT_CALL, thread_id=thread_id)
        async with _within(call):
            conversation = await self._on_thread(call, Conversation, "GET", _path(thread_id))
        return conversation.metadata or {}

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:
        """Find the answer to the question with this ref among the newest items. Its response id is not known there."""
        call = Call("items.list", SHORT_CALL, thread_id=thread_id)
        path = f"{_path(thread_id)}/items?order=desc&limit={ITEMS_DEEP if deep else ITEMS}"
        async with _within(call):
            page = await self._on_thread(call, Items, "GET", path)
        return answer_behind(page.data, ref)

    async def ask(self, thread_id: str, question: Question, assistant: Assistant) -> Answer:
        """One turn: question and answer appear on the conversation together, when the response completes."""
        outcome = "aborted"
        try:
            answer = await self._ask(thread_id, question, assistant)
            outcome = answer.outcome.value
        except WorkerError as exc:
            outcome = _OUTCOMES.get(type(exc), outcome)
            raise
        finally:
            metrics.MODEL_CALLS.labels(outcome).inc()
        metrics.TOKENS.labels("input").inc(answer.input_tokens or 0)
        metrics.TOKENS.labels("output").inc(answer.output_tokens or 0)
        return answer

    async def _ask(self, thread_id: str, question: Question, assistant: Assistant) -> Answer:
        _path(thread_id)  # refuses a thread that is gone by its form
        call = Call("responses.create", assistant.timeout, acts=True, thread_id=thread_id, model=assistant.model)
        body = _turn(thread_id, question, assistant)
        async with _within(call):
            response = await self._on_thread(call, Response, "POST", "/responses", body)
        return _answer(response, call)

    async def delete_thread(self, thread_id: str) -> None:
        """Delete an empty conversation; one that is gone already is fine. OpenAI would keep the items of a full one."""
        call = Call("conversations.delete", SHORT_CALL, acts=True, thread_id=thread_id)
        try:
            async with _within(call):
                await self._request(call, Anything, "DELETE", _path(thread_id))
        except ThreadGone:
            return

    async def ping(self) -> None:
        """Return if the provider accepts our key and has conversations.

        Not by listing the models: a key that is restricted to what a turn needs may not do that.
        """
        call = Call("conversations.retrieve", SHORT_CALL, thread_id=NOBODY)
        try:
            async with _within(call):
                await self._request(call, Anything, "GET", _path(NOBODY))
        except (ThreadGone, BadRequest):
            return

    async def has_model(self, name: str) -> bool:
        """Whether this key can use the model. Raises ModelDown, ProviderPaused; a restricted key may not ask."""
        call = Call("models.retrieve", SHORT_CALL, model=name)
        try:
            async with _within(call):
                await self._request(call, Anything, "GET", f"/models/{quote(name, safe='')}")
        except BadRequest:
            return False
        return True

    async def _on_thread(
        self, call: Call, shape: type[W], method: Literal["GET", "POST"], path: str, body: Any = None
    ) -> W:
        """Send a request that needs the conversation. Gone is what two calls call gone."""
        try:
            return await self._request(call, shape, method, path, body)
        except ThreadGone as gone:
            check = Call("conversations.retrieve", call.limit, thread_id=call.thread_id)
            await self._request(check, Anything, "GET", _path(str(call.thread_id)))
            raise ModelDown(f"{call.name}: the provider has no such conversation, and yet shows it") from gone

    async def _request(
        self, call: Call, shape: type[W], method: Literal["GET", "POST", "DELETE"], path: str, body: Any = None
    ) -> W:
        """Send one request and read what we need of the reply.

        The SDK's own methods take twice the CPU (2 ms), most of it for looking through what is sent.
        """
        if self._keyless:
            raise ProviderPaused(f"{call.name}: OPENAI_API_KEY is not set")
        try:
            match method:
                case "GET":
                    reply = await self._client.get(path, cast_to=httpx2.Response)
                case "POST":
                    reply = await self._client.post(path, cast_to=httpx2.Response, body=body)
                case "DELETE":
                    reply = await self._client.delete(path, cast_to=httpx2.Response)
            return shape.model_validate_json(reply.content)
        except failures.CAUGHT as exc:
            raise failures.translate(exc, call) from exc


def _path(thread_id: str) -> str:
    """Address a conversation. Raises ThreadGone for a thread of the Assistants API, shut down on 2026-08-26."""
    if thread_id.startswith("thread_"):
        raise ThreadGone("a thread of the Assistants API, which was shut down on 2026-08-26")
    return f"/conversations/{quote(thread_id, safe='')}"


def _turn(thread_id: str, question: Question, assistant: Assistant) -> dict[str, Any]:
    """Write the body of a turn. Instructions are not kept on a conversation: every turn brings them."""
    body: dict[str, Any] = {
        "model": assistant.model,
        "instructions": assistant.instructions,
        "input": [{"type": "message", "role": "user", "content": question.with_ref}],
        "conversation": thread_id,
    }
    if assistant.temperature is not None:
        body["temperature"] = assistant.temperature
    if assistant.max_output_tokens is not None:
        body["max_output_tokens"] = assistant.max_output_tokens
    if assistant.output_schema is not None:
        # Not strict: that accepts a subset of JSON Schema only, and refuses other schemas with a 400.
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": dict(assistant.output_schema)}}
    return body


def _answer(response: Response, call: Call) -> Answer:
    """Read the answer; a response that has none in it yet, or failed for reasons of the server, is no answer."""
    if response.status not in {None, "completed", "incomplete", "failed"}:
        raise ModelUnknown(f"{call.name}: the reply came before the response was complete")
    if response.status == "failed":
        error = failures.of_failed_response(response.error.code if response.error else None, call)
        if error is not None:
            raise error
    return answer_of(response)


@asynccontextmanager
async def _within(call: Call) -> AsyncIterator[None]:
    """Hold the call to its limit, however slowly bytes come."""
    try:
        async with asyncio.timeout(call.limit.total_seconds()):
            yield
    except TimeoutError as exc:
        raise failures.translate(exc, call) from exc
