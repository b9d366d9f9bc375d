"""One provider's HTTP: sends a request within its limit, reads what we need of the reply, and translates failures."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final, Literal, Self, TypeVar

import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient, Omit, RequestOptions
from pydantic import ValidationError

from worker.domain.providers import ProviderSpec
from worker.domain.threads import Answer, Outcome
from worker.errors import (
    AssistantPaused,
    BadRequest,
    Filtered,
    ModelDown,
    ModelUnknown,
    Permanent,
    ProviderAway,
    ProviderPaused,
    ThreadGone,
    ThreadLocked,
    TurnedAway,
)
from worker.providers import failures, reading
from worker.providers.bounds import PLAIN, bounded
from worker.providers.failures import Call
from worker.providers.streams import Hearing
from worker.providers.wire import Anything, Wire
from worker.runtime.version import USER_AGENT
from worker.telemetry import metrics, spans

OPENAI_URL: Final = "https://api.openai.com/v1"
SHORT_CALL: Final = timedelta(seconds=15)
"""The limit of every call that no model has to think for."""
CONNECT_SECONDS: Final = 5.0
LAST_BYTES_SECONDS: Final = 1.0
"""How long a stream may take to end once all is said; one that is left open costs its connection."""

_BETA: Final = {"OpenAI-Beta": "assistants=v2"}
"""What the vendor's own client sends with everything about vector stores."""

_OUTCOMES: Final[dict[type[BaseException], str]] = {
    ModelDown: "down",
    ProviderAway: "away",
    ProviderPaused: "paused",
    AssistantPaused: "paused",
    ModelUnknown: "unknown",
    ThreadLocked: "locked",
    ThreadGone: "gone",
    TurnedAway: "turned_away",
    BadRequest: "rejected",
}

W = TypeVar("W", bound=Wire)


class Client:
    """The connections to one provider. Every request is sent once."""

    def __init__(self, sdk: AsyncOpenAI, spec: ProviderSpec) -> None:
        self.spec = spec
        self._sdk = sdk
        self._headers = _headers(spec)

    @classmethod
    @asynccontextmanager
    async def open(cls, spec: ProviderSpec) -> AsyncIterator[Self]:
        """Prepare the connections; nothing is reached yet. Raises Permanent when the CA file cannot be read."""
        async with AsyncOpenAI(
            # The SDK is not made without one, and takes OPENAI_API_KEY for it; which header it goes in says `_headers`.
            api_key=spec.key or "none",
            base_url=spec.base_url or OPENAI_URL,
            # The SDK would ask up to three times, and each one that timed out may leave a turn on the thread.
            max_retries=0,
            # Its timeouts are per read: a reply that drips never meets them. `request` keeps the time.
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            default_headers={"User-Agent": USER_AGENT},
            # A redirect would carry questions to a host that nobody configured.
            http_client=DefaultAioHttpClient(
                follow_redirects=False,
                verify=_trust(spec),
                proxy=spec.proxy,
                headers=PLAIN,
                event_hooks={"response": [bounded]},
            ),
        ) as sdk:
            if spec.base_url is not None:
                # The SDK takes them from the environment; they are OpenAI's, and nobody else's to know.
                sdk.organization = sdk.project = None
            yield cls(sdk, spec)

    def use(self, spec: ProviderSpec) -> None:
        """Ask by this from the next request on: with another key, for one. Where it is asked stays the same."""
        self.spec = spec
        self._headers = _headers(spec)
        self._sdk.api_key = spec.key or "none"

    async def request(
        self,
        call: Call,
        shape: type[W],
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        body: Any = None,
        hearing: Hearing | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> W:
        """Send one request and read what we need of the reply. Raises what `failures` makes of anything else.

        With `hearing` it is a POST whose reply is heard while it is written, and comes to the same. The SDK's own
        methods take twice the CPU (2 ms), most of it for looking through what is sent. A refusal of a key that has been
        replaced meanwhile says nothing of the one in use.
        """
        if self.spec.key is None and self.spec.base_url is None:
            raise ProviderPaused(f"{call.name}: {self.spec.words.key} is not set")
        # What this request bears; the spec may be another one by the time it is refused.
        used = self.spec
        try:
            return await self._request(call, shape, method, path, body, hearing, file)
        except (ProviderPaused, AssistantPaused) as exc:
            if (used.key, used.headers, used.query) == (self.spec.key, self.spec.headers, self.spec.query):
                raise
            raise ModelDown(f"{call.name}: refused with a key that has been replaced since") from exc

    async def upload(
        self, call: Call, shape: type[W], path: str, fields: Mapping[str, str], file: tuple[str, bytes]
    ) -> W:
        """Send a form with a file, its name and bytes, as `request` does."""
        return await self.request(call, shape, "POST", path, fields, file=file)

    async def _request(
        self,
        call: Call,
        shape: type[W],
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        body: Any,
        hearing: Hearing | None,
        file: tuple[str, bytes] | None,
    ) -> W:
        more = _BETA if path.startswith("/vector_stores") else {}
        options: RequestOptions = {
            "headers": {**self._headers, **spans.handed_on(), **more},
            "params": dict(self.spec.query),
        }
        if hearing is not None:
            return self._read(call, shape, await self._heard(call, path, body, options, hearing))
        try:
            async with asyncio.timeout(call.seconds_left):  # however slowly bytes come
                match method:
                    case "GET":
                        reply = await self._sdk.get(path, cast_to=httpx2.Response, options=options)
                    case "POST" if file is not None:
                        # The SDK makes a form of it where this says so.
                        options["headers"] = {**options["headers"], "Content-Type": "multipart/form-data"}
                        files = [("file", file)]
                        reply = await self._sdk.post(
                            path, cast_to=httpx2.Response, body=body, files=files, options=options
                        )
                    case "POST":
                        reply = await self._sdk.post(path, cast_to=httpx2.Response, body=body, options=options)
                    case "DELETE":
                        reply = await self._sdk.delete(path, cast_to=httpx2.Response, options=options)
        except (*failures.CAUGHT, TimeoutError) as exc:
            raise failures.translate(exc, call, self.spec.words) from exc
        return self._read(call, shape, reply.content)

    async def _heard(self, call: Call, path: str, body: Any, options: RequestOptions, hearing: Hearing) -> bytes:
        """Send a request whose reply is streamed; return the body that this comes to."""
        try:
            async with asyncio.timeout(call.seconds_left) as limit:
                # The SDK only sends: its reading of streams refuses bytes that are no text, and hides odd events.
                reply = await self._sdk.post(
                    path, cast_to=object, body=body, options=options, stream=True, stream_cls=AsyncStream[object]
                )
                async with reply, aclosing(reply.response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        hearing.take(chunk)
                        if hearing.over:
                            ends_at = asyncio.get_running_loop().time() + LAST_BYTES_SECONDS
                            limit.reschedule(min(ends_at, limit.when() or ends_at))
                hearing.end()
        except (*failures.CAUGHT, TimeoutError) as exc:
            # An answer that is there as a whole is one, whatever breaks behind it.
            if not hearing.over and not hearing.whole:
                raise failures.translate(exc, call, self.spec.words) from exc
        if hearing.error is not None or (whole := hearing.body) is None:
            raise failures.of_stream(hearing.error, call, self.spec.words, began=hearing.began)
        return whole

    def _read(self, call: Call, shape: type[W], body: bytes) -> W:
        try:
            return reading.read(shape, body)
        except ValidationError as exc:
            raise failures.of_reply(body, call, self.spec.words) from exc

    async def takes(self, name: str, path: str) -> None:
        """Return if the provider accepts our key and has this API: it refuses a call that asks for nothing.

        No model runs for it, every server has it, and a key that is restricted to what a turn needs may do it.
        Raises ModelDown, ProviderPaused.
        """
        try:
            await self.request(Call(name, SHORT_CALL, probe=True), Anything, "POST", path, {})
        except BadRequest:
            return
        raise ModelDown(f"{name}: the server takes a turn without a question, so it is no model's")


def _headers(spec: ProviderSpec) -> dict[str, Any]:
    """Write what goes along with every request; its key is a bearer token only where it has no other header."""
    headers: dict[str, Any] = {**spec.headers}
    if spec.key is not None and spec.key_header.lower() == "authorization":
        return headers
    if not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = Omit()  # the SDK looks for this among the headers of a request alone
    return headers if spec.key is None else headers | {spec.key_header: spec.key}


def _trust(spec: ProviderSpec) -> ssl.SSLContext | bool:
    if spec.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=spec.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise Permanent(f"ca_file of the provider {spec.name}: {spec.ca_file} cannot be used: {exc}") from exc


@contextmanager
def counting_failures() -> Iterator[None]:
    """Count a call of the model that brings no answer."""
    try:
        yield
    except BaseException as exc:
        outcome = next((_OUTCOMES[kind] for kind in type(exc).__mro__ if kind in _OUTCOMES), "aborted")
        metrics.MODEL_CALLS.labels(outcome).inc()
        raise


async def answered(asking: Awaitable[Answer]) -> Answer:
    """Count how a question ends. To one that the provider's filter stops, that is the answer."""
    with counting_failures():
        try:
            return counted(await asking)
        except Filtered as exc:
            detail = "content_filter" if exc.code.isdigit() else exc.code
            return counted(Answer("", Outcome.FILTERED, detail))


def counted(answer: Answer) -> Answer:
    """Count a call that brought one."""
    metrics.MODEL_CALLS.labels(answer.outcome.value).inc()
    return answer
