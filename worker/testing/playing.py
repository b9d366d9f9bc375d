"""Answers the questions of a test from its cassette, or has them answered by the real provider and records that."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, NoReturn, get_args

from worker.demo.model.answering import Asking
from worker.demo.model.wire import ApiError, Json
from worker.errors import Permanent
from worker.testing import upstream
from worker.testing.cassette import Asked, Cassette, Exchange, Reader, pruned
from worker.testing.upstream import PassedOn, Said
from worker.testing.written import Upstream

Mode = Literal["none", "once", "new_episodes", "all"]
"""As VCR and its kin call them."""
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
OPTION: Final = "--assistants-record-mode"
SETTLE_SECONDS: Final = 120.0
"""How long the end of a test waits for answers that are being recorded."""

_OF_THE_CONTENT: Final = frozenset(
    {"content_filter", "invalid_prompt", "context_length_exceeded", "exceed_context_size_error"}
)
"""Codes and types of refusals that are what a model's provider has to say to this question, and so are recorded."""
_IN_VAIN: Final = frozenset({401, 402, 403, 404, 405, 407})
"""Refusals of a key, an address or a model."""
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|_ORG_ID$|_PROJECT_ID$", re.IGNORECASE)
_LOGIN: Final = re.compile(r"://[^/\s:@]*:([^@\s]+)@")
SHORTEST_SECRET: Final = 8
"""Characters; what is shorter, such as `none`, stands in many texts."""


class Secrets:
    """What must stand in no cassette, by what it is called."""

    def __init__(self, upstreams: Mapping[str, Upstream], settings: Mapping[str, str]) -> None:
        named = {name: value for name, value in {**os.environ, **settings}.items() if _SECRET.search(name)}
        for provider, each in upstreams.items():
            whose = f"the provider {provider}" if provider else "the provider"
            said = [*each.headers.values(), *each.query.values(), *([each.proxy] if each.proxy else [])]
            named |= {
                f"a header, a query or the proxy of {whose} ({number})": value for number, value in enumerate(said)
            }
        named |= {
            f"{name} (its password)": found[1] for name, value in os.environ.items() if (found := _LOGIN.search(value))
        }
        self._values = {value.removeprefix("Bearer ").strip(): name for name, value in named.items()}

    def in_it(self, said: Any) -> str:
        """Name the secret that stands in this; empty if none does."""
        text = "\n".join(_texts(said))
        found = (name for value, name in self._values.items() if len(value) >= SHORTEST_SECRET and value in text)
        return next(found, "")


@dataclass(frozen=True, slots=True)
class Way:
    """How cassettes are played in this run. `upstreams` reads where the real providers are, and may raise Permanent."""

    mode: Mode
    upstreams: Callable[[], Mapping[str, Upstream]]
    settings: Mapping[str, str]


class Player:
    """Implements `worker.demo.model.answering.Answerer` with the cassette of one test."""

    def __init__(self, cassette: Cassette, reader: Reader, way: Way) -> None:
        self._cassette = cassette
        self._reader = reader
        self._way = way
        self._plays = way.mode != "all"
        self._is_new = not cassette.path.exists()
        self.records = way.mode in {"new_episodes", "all"} or (way.mode == "once" and self._is_new)
        self._flaws: dict[str, bool] = {}  # what could not be answered, and whether somebody has been told
        self._known: Mapping[str, Upstream] = {}
        self._secrets: Secrets | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._recorded = False

    async def answer(self, asking: Asking) -> Json:
        """Return the recorded reply, or the real one. Raises ApiError."""
        asked = self._reader.read(asking)
        if self._plays and (found := self._cassette.play(asked)) is not None:
            return _replayed(found)
        if not self.records:
            self._refuse(self._missing(asked))
        # Recorded also where the worker has given up waiting, or the test is over: it is paid for.
        task = asyncio.create_task(self._record(asking, asked), name="record an answer")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return await asyncio.shield(task)

    def told(self) -> list[str]:
        """Tell what could not be answered, each once."""
        found = [flaw for flaw, told in list(self._flaws.items()) if not told]  # the server's thread may add one
        self._flaws |= dict.fromkeys(found, True)
        return found

    async def close(self) -> None:
        """Wait for what is being recorded, and write the cassette if anything was."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=SETTLE_SECONDS)
        if self._recorded:
            self._cassette.save()

    async def _record(self, asking: Asking, asked: Asked) -> Json:
        provider = self._upstream(asking.provider)
        self._keep_out(asked)
        place = self._cassette.keep_place()
        try:
            said = await upstream.ask(provider, asking)
        except ApiError as exc:
            self._flaws.setdefault(f"Nothing can be recorded: {exc}", False)
            raise
        exchange = _exchange(asking, asked, said)
        if exchange is None:
            # The worker would wait for these to be mended, and the test for the worker.
            if said.status in _IN_VAIN:
                flaw = (
                    f"Nothing can be recorded: the provider at {provider.base_url} answers {said.status}{_code(said)}."
                )
                self._flaws.setdefault(flaw, False)
            raise PassedOn(said)
        self._keep_out(exchange.reply)
        self._cassette.record(place, exchange)
        self._recorded = True
        return _replayed(exchange)

    def _upstream(self, name: str) -> Upstream:
        """Find the real provider."""
        if self._secrets is None:
            try:
                self._known = self._way.upstreams()
            except Permanent as exc:
                self._refuse(f"Nothing can be recorded: {exc}")
            self._secrets = Secrets(self._known, self._way.settings)
        found = self._known[name]
        if found.lacks:
            self._refuse(f"Nothing can be recorded: {found.lacks} is not set, which the real provider wants.")
        return found

    def _keep_out(self, said: Any) -> None:
        """Refuse what must not be written down."""
        if self._secrets is not None and (name := self._secrets.in_it(said)):
            self._refuse(
                f"Not recorded, because the value of {name} stands in it: a question or an answer must not have a "
                "secret in it. Take it out of what the process shows its assistants."
            )

    def _refuse(self, flaw: str) -> NoReturn:
        self._flaws.setdefault(flaw, False)
        raise ApiError(HTTPStatus.BAD_REQUEST, flaw, param="model", code="not_on_cassette")

    def _missing(self, asked: Asked) -> str:
        who = f" of {asked.assistant}" if asked.assistant else ""
        path = self._cassette.path
        if self._is_new:
            how = f"There is no cassette {path}. To record one: pytest {OPTION}=once"
        else:
            how = (
                f"{self._cassette.explain(asked)}\n\nTo record what is new: pytest {OPTION}=new_episodes; "
                f"to record all of this test anew: pytest {OPTION}=all"
            )
        return f"No answer is recorded for this question{who} in {path.name}:\n\n{asked.question}\n\n{how}"


def _code(said: Said) -> str:
    """Name a refusal, if it names itself by a word; its text may quote the key."""
    error = said.body.get("error") if isinstance(said.body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return f" ({code})" if isinstance(code, str) and re.fullmatch("[a-z_]{1,60}", code) else ""


def _exchange(asking: Asking, asked: Asked, said: Said) -> Exchange | None:
    """Make of a reply what is recorded; None of one that says nothing about the question, such as a limit."""
    if not isinstance(said.body, dict):
        return None
    error = said.body.get("error")
    if said.status == HTTPStatus.OK and not (error and said.body.get("status") is None):
        return Exchange(asked, pruned(asking.api, said.body))
    if not isinstance(error, dict) or not {error.get("code"), error.get("type")} & _OF_THE_CONTENT:
        return None
    # Its words may say whose account it is.
    kept = {name: error.get(name) for name in ("code", "type", "param")}
    return Exchange(asked, {"error": kept}, said.status)


def _replayed(exchange: Exchange) -> Json:
    """Return a recorded reply. Raises ApiError where it is a refusal."""
    if exchange.status == HTTPStatus.OK:
        return exchange.reply
    error = exchange.reply["error"]
    text = "The provider has refused this question."
    raise ApiError(exchange.status, text, kind=error.get("type"), param=error.get("param"), code=error.get("code"))


def _texts(said: Any) -> Iterator[str]:
    """Return all texts in JSON, or in a question."""
    match said:
        case str():
            yield said
        case dict():
            for name, value in said.items():
                yield name
                yield from _texts(value)
        case list():
            for each in said:
                yield from _texts(each)
        case Asked():
            yield said.question
