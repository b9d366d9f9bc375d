"""The server itself: records what comes, lets rules spoil it, answers, and takes orders under /control."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from worker.demo.model import faults
from worker.demo.model.answering import PROVIDER_HEADER, Answerer
from worker.demo.model.api import MODELS, AnyModel, Api, Asked, Handler
from worker.demo.model.record import Record
from worker.demo.model.store import Conversation, Store, is_anchors
from worker.demo.model.turns import Turns
from worker.demo.model.weights import Weight
from worker.demo.model.wire import ApiError, Json, parsed, question_of

HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 64 * 1024 * 1024


class ModelServer:
    """OpenAI's HTTP on 127.0.0.1, within one `async with`; `port` 0 takes a free one.

    Without `key` every key is accepted, and none too; `accounts`, a map to be changed, says of which account a key is,
    if it is not of the same as all others: what one account has, others are told does not exist. With `store`
    conversations and responses outlive the server. `any_model`: it has each one, whatever it is called.

    Anchors, by which a client knows an account, are kept apart from threads here: calls about them count as
    `anchors.create` and so on, and only `anchors` shows them.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        key: str | None = None,
        store: Path | None = None,
        latency: timedelta = timedelta(0),
        any_model: bool = False,
    ) -> None:
        self.port = port
        self.models = AnyModel(MODELS) if any_model else set(MODELS)
        self.accounts: dict[str, str] = {}
        self._key = key
        self._store = Store(store)
        self._turns = Turns(self._store)
        self._usual_latency = self.latency = latency
        self._rules: list[faults.Rule] = []
        self._record = Record()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(_Control(self).routes())
        for method, path, call, handler in Api(self._store, self._turns, self.models).routes():
            app.router.add_route(method, path, partial(self._serve, call, handler))
        app.router.add_route("*", "/{path:.*}", partial(self._serve, "unknown", None))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)  # clients may wait for ever

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]
        self._turns.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._turns.stop()
        await self._runner.cleanup()
        self._store.close()

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        return f"http://{HOST}:{self.port}/control"

    @property
    def latency(self) -> timedelta:
        """How long a turn takes; its conversation is locked meanwhile."""
        return self._turns.script.latency

    @latency.setter
    def latency(self, latency: timedelta) -> None:
        self._turns.script.latency = latency

    @property
    def answerer(self) -> Answerer | None:
        """Who answers in place of the script, as far as no rule says what is answered."""
        return self._turns.script.answerer

    @answerer.setter
    def answerer(self, answerer: Answerer | None) -> None:
        self._turns.script.answerer = answerer

    def requests(self, call: str | None = None, after: int = 0) -> list[Json]:
        """What was sent, in order of arrival: all of it, or one kind of call, or what came behind a number `seq`.

        `status` is None as long as there is no reply, and for ever if the reply was lost on purpose.
        """
        return self._record.entries(call, after)

    def counts(self) -> Json:
        """Calls by kind, refused and spoiled ones included; turns that landed; conversations made and locked now."""
        conversations = self._threads()
        return {
            "calls": dict(self._record.calls),
            "turns": {conversation.id: conversation.turns for conversation in conversations},
            "created": len(conversations),
            "running": sorted(self._turns.locked),
        }

    def conversations(self) -> dict[str, Json]:
        """All threads with their items, by id; the deleted ones too."""
        return {each.id: asdict(each) for each in self._threads()}

    def anchors(self) -> dict[str, Json]:
        """All anchors, by id; the deleted ones too."""
        every = self._store.conversations
        return {name: asdict(each) for name, each in every.items() if self._store.is_anchor(name)}

    def files(self) -> Json:
        """All files and vector stores that are there: `files` and `stores` by id, as clients see them."""
        has = self._store.files
        stores = {name: {**each.shown(), "files": sorted(each.files)} for name, each in has.stores.items()}
        return {"files": {name: each.shown() for name, each in has.files.items()}, "stores": stores}

    def has_store(self, name: str) -> str:
        """Makes a vector store of somebody's, and returns its id."""
        return str(self._store.files.create_store({"name": name}, "")["id"])

    def forget_store(self, store_id: str) -> None:
        """Makes a vector store gone, as if somebody had deleted it. KeyError: there is none."""
        del self._store.files.stores[store_id]

    def _threads(self) -> list[Conversation]:
        every = self._store.conversations
        return [each for name, each in every.items() if not self._store.is_anchor(name)]

    def forget(self, conversation_id: str) -> None:
        """Makes a conversation gone, as if somebody had deleted it. KeyError: there never was one."""
        conversation = self._store.conversations[conversation_id]
        conversation.deleted = True
        self._store.keep(conversation)

    def fault(self, call: str = "*", **wanted: Any) -> faults.Rule:
        """Adds a rule: conditions and effects as keywords. ValueError: unknown ones."""
        return self.add_rules([{"call": call, **wanted}])[0]

    def add_rules(self, wanted: list[Mapping[str, Any]]) -> list[faults.Rule]:
        """Adds rules, all of them or none; of all rules the first that takes a call spoils it."""
        rules = [faults.rule(each) for each in wanted]
        self._rules += rules
        return rules

    def rules(self) -> list[Json]:
        """The rules with their hits."""
        return [rule.shown() for rule in self._rules]

    def clear_faults(self) -> None:
        """Behaves from now on."""
        self._rules.clear()

    def answer(self, pattern: str, text: str) -> None:
        """Answers with this text where the regular expression is found in the question; the first one wins."""
        self._turns.script.literal.append((re.compile(pattern), text))

    def weigh(self, **weights: Weight) -> None:
        """Answers the decision questions of these names so: see `weights.Weight`; others as usual."""
        self._turns.script.weights.update(weights)

    def release(self, gate: str) -> None:
        """Lets the turns go that wait at this gate, and those that come to it later."""
        self._turns.release(gate)

    async def reset(self) -> None:
        """Is as it was when it was made, but for its port; running turns end without an answer."""
        await self._turns.stop()
        self._turns.script.literal.clear()
        self._turns.script.weights.clear()
        self.answerer = None
        self.latency = self._usual_latency
        self.models.clear()
        self.models.update(MODELS)
        self._store.clear()
        self._rules.clear()
        self._record.clear()

    async def _serve(self, name: str, handler: Handler | None, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        entry = self._record.add(self._call(name, request, raw), request, raw)
        call = _seen(entry, raw)
        rule = next((rule for rule in self._rules if rule.takes(call)), None)
        effect = rule.effect if rule else {}
        entry["fault"] = dict(effect) or None
        whose = (self._account(request), request.headers.get(PROVIDER_HEADER, ""))
        kind = request.headers.get("Content-Type", "")
        asked = Asked(request.match_info, request.query, entry["body"], not raw, effect, *whose, raw, kind)
        response = await faults.apply(effect, call, request, partial(self._act, handler, asked, request))
        if not isinstance(response, faults.Lost):
            entry["status"] = response.status
        if not response.prepared:
            response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
        return response

    async def _act(self, handler: Handler | None, asked: Asked, request: web.Request) -> web.Response:
        """Answers as OpenAI would, errors included."""
        try:
            self._check_key(request)
            if handler is None:
                return ApiError(404, f"Invalid URL ({request.method} {request.path})").response()
            return await handler(asked)
        except ApiError as exc:
            return exc.response()

    def _call(self, name: str, request: web.Request, raw: bytes) -> str:
        """Name a call; one about an anchor goes by a name of its own."""
        body = parsed(raw) if name == "conversations.create" else None
        made = isinstance(body, dict) and is_anchors(body.get("metadata"))
        if made or self._store.is_anchor(request.match_info.get("conversation")):
            return name.replace("conversations.", "anchors.")
        return name

    def _account(self, request: web.Request) -> str:
        return self.accounts.get(request.headers.get("Authorization", "").removeprefix("Bearer "), "")

    def _check_key(self, request: web.Request) -> None:
        if self._key is None:
            return
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise ApiError(401, "You didn't provide an API key.")
        if not secrets.compare_digest(key.encode(), self._key.encode()):
            raise ApiError(401, f"Incorrect API key provided: {key[:3]}***.", code="invalid_api_key")


def _seen(entry: Json, raw: bytes) -> faults.Call:
    """The request as rules see it."""
    names = {name: str(entry[name]) for name in ("method", "path", "conversation", "model")}
    text = raw.decode("utf-8", errors="replace")
    return faults.Call(entry["call"], text, entry["conversation"], names, question_of(entry["body"]))


class _Control:
    """The orders of tests over HTTP; they mirror the methods of the server."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/requests", self._requests),
            web.get("/control/counts", self._counts),
            web.get("/control/conversations", self._conversations),
            web.delete("/control/conversations/{id}", self._forget),
            web.get("/control/faults", self._faults),
            web.post("/control/faults", self._add_faults),
            web.delete("/control/faults", self._clear_faults),
            web.post("/control/answers", self._answers),
            web.post("/control/release", self._release),
            web.post("/control/reset", self._reset),
        ]

    async def _requests(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        return web.json_response({"requests": self._server.requests(request.query.get("call"), after)})

    async def _counts(self, _request: web.Request) -> web.Response:
        return web.json_response(self._server.counts())

    async def _conversations(self, _request: web.Request) -> web.Response:
        return web.json_response(self._server.conversations())

    async def _forget(self, request: web.Request) -> web.Response:
        try:
            self._server.forget(request.match_info["id"])
        except KeyError:
            return _complaint("no such conversation", status=404)
        return web.json_response({})

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"rules": self._server.rules()})

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            self._server.add_rules(await request.json())
        except (ValueError, TypeError) as exc:
            return _complaint(str(exc))
        return await self._faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._server.clear_faults()
        return await self._faults(request)

    async def _answers(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            for each in body.get("answers", ()):
                self._server.answer(each["pattern"], each["text"])
            self._server.weigh(**body.get("weights", {}))
            if "latency_seconds" in body:
                self._server.latency = timedelta(seconds=body["latency_seconds"])
            if "models" in body:
                self._server.models.clear()
                self._server.models.update(body["models"])
        except (ValueError, TypeError, KeyError, AttributeError, re.error) as exc:
            return _complaint(repr(exc))
        return web.json_response({})

    async def _release(self, request: web.Request) -> web.Response:
        self._server.release((await request.json())["gate"])
        return web.json_response({})

    async def _reset(self, _request: web.Request) -> web.Response:
        await self._server.reset()
        return web.json_response({})


def _complaint(text: str, *, status: int = 400) -> web.Response:
    return web.json_response({"error": text}, status=status)
