"""The calls that OpenAI offers: conversations, their items, responses, files, models. No list of conversations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from worker.demo.model import chat, embeddings, parts, streams, weights, wire
from worker.demo.model.answering import Asking, ModelApi
from worker.demo.model.store import Conversation, Store, Turn
from worker.demo.model.streams import Event, EventStream
from worker.demo.model.turns import Answering, Turns
from worker.demo.model.wire import ApiError, Json, invalid, missing, model_not_found

MODELS: Final = frozenset(
    {"gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano", "o4-mini", "scripted"}
    | {"gpt-6-luna"}
)
CONTEXT_TOKENS: Final = 128_000
MIN_OUTPUT_TOKENS: Final = 16
MAX_TEMPERATURE: Final = 2
PAGE, MAX_PAGE, MAX_FILES = 20, 100, 10_000

PARAMETERS: Final = frozenset(
    {
        "background",
        "background_options",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
"""What responses.create takes. Others are refused, as OpenAI does."""


class AnyModel(set[str]):
    """Models of a server that has each one, whatever it is called."""

    def __contains__(self, name: object) -> bool:
        """Have it."""
        return True


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the names in its path, its query, its body as JSON, the effects that its turn is to heed, whose
    key it came with, and whom its client takes this server for; its body as it came.
    """

    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    empty: bool
    effect: Mapping[str, Any]
    account: str = ""
    provider: str = ""
    raw: bytes = b""
    content_type: str = ""

    def json(self) -> Json:
        """The body, which must be an object; none at all counts as an empty one."""
        if self.body is None and self.empty:
            return {}
        if not isinstance(self.body, dict):
            raise ApiError(400, "We could not parse the JSON body of your request.")
        return self.body


Handler = Callable[[Asked], Awaitable[web.Response]]


class Api:
    """The handlers under /v1. They raise ApiError for what OpenAI refuses."""

    def __init__(self, store: Store, turns: Turns, models: set[str]) -> None:
        self._store = store
        self._turns = turns
        self._models = models

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Method, path, name of the call, handler."""
        one, item = "/v1/conversations/{conversation}", "/v1/conversations/{conversation}/items/{item}"
        response = "/v1/responses/{response}"
        return [
            ("POST", "/v1/conversations", "conversations.create", self._create),
            ("GET", one, "conversations.retrieve", self._retrieve),
            ("POST", one, "conversations.update", self._update),
            ("DELETE", one, "conversations.delete", self._delete),
            ("POST", f"{one}/items", "items.create", self._add_items),
            ("GET", f"{one}/items", "items.list", self._list_items),
            ("GET", item, "items.retrieve", self._retrieve_item),
            ("DELETE", item, "items.delete", self._delete_item),
            ("POST", "/v1/responses", "responses.create", self._respond),
            ("POST", "/v1/chat/completions", "chat.completions.create", self._complete),
            ("POST", "/v1/decisions", "decisions.create", self._decide),
            ("POST", "/v1/systemone", "systemone.create", self._weigh),
            ("POST", "/v1/embeddings", "embeddings.create", self._embed),
            ("GET", response, "responses.retrieve", self._retrieve_response),
            ("DELETE", response, "responses.delete", self._delete_response),
            ("POST", f"{response}/cancel", "responses.cancel", self._cancel_response),
            *self._routes_of_files(),
            ("GET", "/v1/models", "models.list", self._list_models),
            ("GET", "/v1/models/{model}", "models.retrieve", self._retrieve_model),
        ]

    def _routes_of_files(self) -> list[tuple[str, str, str, Handler]]:
        files, file = "/v1/files", "/v1/files/{file}"
        stores, store = "/v1/vector_stores", "/v1/vector_stores/{store}"
        inside, one = f"{store}/files", f"{store}/files/{{file}}"
        has = self._store.files

        def reply(answer: Callable[[Asked], Json]) -> Handler:
            async def handler(asked: Asked) -> web.Response:
                return web.json_response(answer(asked))

            return handler

        def paged(answer: Callable[[Asked], list[Json]], most: int = MAX_PAGE) -> Handler:
            async def handler(asked: Asked) -> web.Response:
                return _behind(answer(asked), asked, most)

            return handler

        def names(asked: Asked) -> tuple[str, str, str]:
            return asked.names.get("store", ""), asked.names.get("file", ""), asked.account

        def put(asked: Asked) -> Json:
            return has.put(names(asked)[0], asked.json(), asked.effect, asked.account)

        return [
            ("POST", files, "files.create", reply(lambda a: has.upload(a.content_type, a.raw, a.account))),
            ("GET", files, "files.list", paged(lambda a: has.listed(a.account, a.query.get("purpose")), MAX_FILES)),
            ("GET", file, "files.retrieve", reply(lambda a: has.file(*names(a)[1:]).shown())),
            ("DELETE", file, "files.delete", reply(lambda a: has.delete(*names(a)[1:]))),
            ("POST", stores, "vector_stores.create", reply(lambda a: has.create_store(a.json(), a.account))),
            ("GET", stores, "vector_stores.list", paged(lambda a: has.stores_of(a.account))),
            ("GET", store, "vector_stores.retrieve", reply(lambda a: has.store(names(a)[0], a.account).shown())),
            ("DELETE", store, "vector_stores.delete", reply(lambda a: has.delete_store(names(a)[0], a.account))),
            ("POST", inside, "vector_stores.files.create", reply(put)),
            ("GET", inside, "vector_stores.files.list", paged(lambda a: has.in_store(names(a)[0], a.account))),
            ("GET", one, "vector_stores.files.retrieve", reply(lambda a: has.look(*names(a)))),
            ("DELETE", one, "vector_stores.files.delete", reply(lambda a: has.take_out(*names(a)))),
        ]

    async def _create(self, asked: Asked) -> web.Response:
        body = asked.json()
        items = parts.items(body.get("items") or [], "items", limit=wire.MAX_ITEMS)
        conversation = Conversation(wire.new_id("conv"), wire.metadata(body.get("metadata")), items)
        conversation.account = asked.account
        self._store.keep(conversation)
        return web.json_response(conversation.shown())

    def _conversation(self, asked: Asked) -> Conversation:
        return self._store.conversation(asked.names["conversation"], asked.account)

    async def _retrieve(self, asked: Asked) -> web.Response:
        return web.json_response(self._conversation(asked).shown())

    async def _update(self, asked: Asked) -> web.Response:
        conversation = self._conversation(asked)
        conversation.metadata = wire.metadata(asked.json().get("metadata"))
        self._store.keep(conversation)
        return web.json_response(conversation.shown())

    async def _delete(self, asked: Asked) -> web.Response:
        conversation = self._conversation(asked)
        conversation.deleted = True
        self._store.keep(conversation)
        return _deleted(conversation.id, "conversation.deleted")

    async def _add_items(self, asked: Asked) -> web.Response:
        conversation = self._conversation(asked)
        items = parts.items(asked.json().get("items"), "items", limit=wire.MAX_ITEMS)
        conversation.items += items
        self._store.keep(conversation)
        return _page(items, more=False)

    async def _list_items(self, asked: Asked) -> web.Response:
        conversation = self._conversation(asked)
        limit, order = _limit(asked), asked.query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise invalid("order", "expected one of 'asc' and 'desc'.")
        items = conversation.items[::-1] if order == "desc" else conversation.items
        if after := asked.query.get("after"):
            items = items[items.index(_found(conversation, after)) + 1 :]
        include = asked.query.get("include", asked.query.get("include[]", ""))
        return _page([parts.listed(each, include) for each in items[:limit]], more=len(items) > limit)

    async def _retrieve_item(self, asked: Asked) -> web.Response:
        return web.json_response(_found(self._conversation(asked), asked.names["item"]))

    async def _delete_item(self, asked: Asked) -> web.Response:
        conversation = self._conversation(asked)
        conversation.items.remove(_found(conversation, asked.names["item"]))
        self._store.keep(conversation)
        return web.json_response(conversation.shown())

    async def _respond(self, asked: Asked) -> web.Response:
        body = asked.json()
        conversation = self._checked(body, asked.account)
        turn = Turn(wire.response(body, conversation), parts.items(body.get("input") or [], "input"), asked.account)
        answering = self._answering("responses", asked)
        if answering is None:
            self._check_length(turn)
        task = self._turns.start(turn, asked.effect, answering)
        if body.get("stream"):
            if answering is not None:
                await asyncio.shield(task)  # a refusal is a reply of its own
            events = streams.ResponseEvents()
            return EventStream(_told(turn, task, events), events.failed)
        if body.get("background"):
            self._store.keep(turn)
        else:
            await asyncio.shield(task)  # it lands, whether or not anybody still waits for it
        return web.json_response(turn.shown)

    def _answering(self, api: ModelApi, asked: Asked) -> Answering | None:
        """Who answers this turn in place of the script; no rule may say what is answered."""
        answerer = self._turns.script.answerer
        if answerer is None or asked.effect.keys() & {"answer", "outcome"}:
            return None
        return lambda earlier: answerer.answer(Asking(api, asked.provider, asked.json(), earlier))

    async def _complete(self, asked: Asked) -> web.Response:
        if (answering := self._answering("chat", asked)) is not None:
            made = {"id": wire.new_id("chatcmpl"), "object": "chat.completion", "created": wire.now()}
            reply = {**await answering([]), **made}
            if not asked.json().get("stream"):
                return web.json_response(reply)
            return EventStream(_each(streams.chunks(reply)), streams.chunk_failed)
        body = chat.as_response(asked.json())
        self._checked({name: value for name, value in body.items() if value is not None}, asked.account)
        turn = Turn(wire.response(body, None), parts.items(body["input"], "messages"), asked.account)
        self._check_length(turn)
        task = self._turns.start(turn, asked.effect)
        if body["stream"]:
            usage = bool((asked.json().get("stream_options") or {}).get("include_usage"))
            return EventStream(_completed(turn, task, usage=usage), streams.chunk_failed)
        await asyncio.shield(task)
        return web.json_response(chat.completion(turn.response))

    async def _decide(self, asked: Asked) -> web.Response:
        body = asked.json()
        weights.check_decisions(body)
        if (answering := self._answering("decisions", asked)) is not None:
            return web.json_response(await answering([]))
        return await self._weighed(body, weights.decision)

    async def _weigh(self, asked: Asked) -> web.Response:
        body = asked.json()
        weights.check_systemone(body)
        if (answering := self._answering("systemone", asked)) is not None:
            return web.json_response(await answering([]))
        return await self._weighed(body, weights.systemone)

    async def _weighed(self, body: Json, answer: Callable[[Json, Mapping[str, weights.Weight]], Json]) -> web.Response:
        if body["model"] not in self._models:
            raise model_not_found(body["model"])
        await asyncio.sleep(self._turns.script.latency.total_seconds())
        return web.json_response(answer(body, self._turns.script.weights))

    def _checked(self, body: Json, account: str) -> str | None:
        """Refuses what OpenAI refuses before a turn begins; returns the conversation's id."""
        for name in body.keys() - PARAMETERS:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if not isinstance(body.get("model"), str):
            raise missing("model")
        if body["model"] not in self._models:
            raise model_not_found(body["model"])
        _check_numbers(body)
        self._store.files.searched(body.get("tools") or (), account)
        if body.get("stream") and body.get("background"):
            text = "This server does not stream what runs in the background."
            raise ApiError(400, text, param="stream", code="unsupported_parameter")
        if body.get("background") and body.get("store") is False:
            raise ApiError(400, "Background responses need 'store' to be true.", param="background")
        return self._context(body, account)

    def _context(self, body: Json, account: str) -> str | None:
        """The conversation that a turn belongs to, if it exists; a previous response must exist too."""
        conversation, previous = body.get("conversation"), body.get("previous_response_id")
        if conversation and previous:
            text = "Mutually exclusive parameters: provide only one of 'previous_response_id' and 'conversation'."
            raise ApiError(400, text, param="previous_response_id", code="mutually_exclusive_parameters")
        if previous and previous not in self._store.turns:
            text = f"Previous response with id '{previous}' not found."
            raise ApiError(400, text, param="previous_response_id", code="previous_response_not_found")
        if not conversation:
            return None
        named = conversation.get("id") if isinstance(conversation, dict) else conversation
        return self._store.conversation(str(named), account).id

    def _check_length(self, turn: Turn) -> None:
        items = [*self._store.history(turn), *turn.input]
        if wire.tokens(*map(wire.text_of, items)) + sum(map(parts.tokens, items)) > CONTEXT_TOKENS:
            text = "Your input exceeds the context window of this model. Please adjust your input and try again."
            raise ApiError(400, text, param="input", code="context_length_exceeded")

    def _turn(self, asked: Asked) -> Turn:
        response = asked.names["response"]
        turn = self._store.turns.get(response)
        if turn is None or turn.account != asked.account:
            raise ApiError(404, f"Response with id '{response}' not found.")
        return turn

    async def _retrieve_response(self, asked: Asked) -> web.Response:
        return web.json_response(self._turn(asked).shown)

    async def _delete_response(self, asked: Asked) -> web.Response:
        turn = self._turn(asked)
        self._store.drop(turn)
        return _deleted(turn.id, "response.deleted")

    async def _cancel_response(self, asked: Asked) -> web.Response:
        turn = self._turn(asked)
        if not turn.response["background"]:
            raise ApiError(400, "Only responses created with 'background' set to true can be cancelled.")
        await self._turns.cancel(turn)
        return web.json_response(turn.shown)

    async def _embed(self, asked: Asked) -> web.Response:
        return web.json_response(embeddings.embedded(asked.json()))

    async def _list_models(self, _asked: Asked) -> web.Response:
        return web.json_response({"object": "list", "data": [_model(name) for name in sorted(self._models)]})

    async def _retrieve_model(self, asked: Asked) -> web.Response:
        if (name := asked.names["model"]) not in self._models:
            raise model_not_found(name)
        return web.json_response(_model(name))


async def _told(turn: Turn, task: asyncio.Task[None], events: streams.ResponseEvents) -> AsyncIterator[Event]:
    """Tells of a response: that it has begun, and all else once it has landed."""
    for event in events.begin(turn.shown):
        yield event
    await asyncio.shield(task)
    for event in events.finish(turn.shown):
        yield event


async def _each(events: Iterator[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


async def _completed(turn: Turn, task: asyncio.Task[None], *, usage: bool) -> AsyncIterator[Event]:
    await asyncio.shield(task)
    try:
        completion = chat.completion(turn.response)
    except ApiError as exc:
        yield streams.chunk_failed(str(exc.error["code"]))
        return
    for event in streams.chunks(completion, usage=usage):
        yield event


def _check_numbers(body: Json) -> None:
    temperature, tokens = body.get("temperature"), body.get("max_output_tokens")
    if temperature is not None and not 0 <= temperature <= MAX_TEMPERATURE:
        raise invalid("temperature", f"expected 0 to {MAX_TEMPERATURE}, got {temperature}.", "decimal_out_of_range")
    if tokens is not None and tokens < MIN_OUTPUT_TOKENS:
        text = f"expected at least {MIN_OUTPUT_TOKENS}, got {tokens}."
        raise invalid("max_output_tokens", text, "integer_below_min_value")


def _limit(asked: Asked, most: int = MAX_PAGE) -> int:
    text = asked.query.get("limit", str(PAGE if most == MAX_PAGE else most))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise invalid("limit", f"expected 1 to {most}, got {text}.")
    return int(text)


def _found(conversation: Conversation, item: str) -> Json:
    """An item, or a 404 that names the conversation too, and still does not say that it is gone."""
    for candidate in conversation.items:
        if candidate["id"] == item:
            return candidate
    raise ApiError(404, f"Item with id '{item}' not found in conversation '{conversation.id}'.")


def _behind(rows: list[Json], asked: Asked, most: int) -> web.Response:
    """A page of a list, behind what the client has seen."""
    after = asked.query.get("after")
    start = next((number + 1 for number, each in enumerate(rows) if each["id"] == after), 0)
    limit = _limit(asked, most)
    return _page(rows[start : start + limit], more=len(rows) > start + limit)


def _page(items: list[Json], *, more: bool) -> web.Response:
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return web.json_response({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": more})


def _deleted(name: str, kind: str) -> web.Response:
    return web.json_response({"id": name, "object": kind, "deleted": True})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_750_000_000, "owned_by": "system"}
