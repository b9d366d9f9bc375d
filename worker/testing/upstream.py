"""The real providers, asked for what is to be recorded."""

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from aiohttp import web

from worker.demo.model.answering import PATHS, Asking
from worker.demo.model.wire import ApiError, Json
from worker.testing.written import Upstream

ANSWER_SECONDS: Final = 1800.0
CONNECT_SECONDS: Final = 10.0
_OURS: Final = frozenset({"stream", "stream_options", "background", "conversation"})
"""Between the worker and the kit. A model is asked for one reply in one piece, and its provider keeps nothing."""
_TOLD: Final = frozenset({"retry-after", "retry-after-ms", "x-request-id"})


@dataclass(frozen=True, slots=True)
class Said:
    """A provider's reply; `body` is its JSON, None where it has none."""

    status: int
    raw: bytes
    body: Any
    content_type: str
    headers: Mapping[str, str]


class PassedOn(ApiError):
    """A provider's refusal, as it came."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.status, "a refusal of the provider")
        self._said = said

    def response(self) -> web.Response:
        """The reply as it goes over the wire."""
        headers = {**self._said.headers, "Content-Type": self._said.content_type or "application/octet-stream"}
        return web.Response(body=self._said.raw, status=self._said.status, headers=headers)


async def ask(upstream: Upstream, asking: Asking) -> Said:
    """Ask the real provider. Raises ApiError 503 where it cannot be reached."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
    trust = ssl.create_default_context(cafile=upstream.ca_file)
    url = upstream.base_url.rstrip("/") + PATHS[asking.api]
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(
                url,
                json=_body(asking),
                headers=dict(upstream.headers),
                params=dict(upstream.query),
                proxy=upstream.proxy,
                ssl=trust,
                allow_redirects=False,
            ) as reply,
        ):
            raw = await reply.read()
            headers = {name: value for name, value in reply.headers.items() if name.lower() in _TOLD}
            return Said(reply.status, raw, _parsed(raw), reply.headers.get("Content-Type", ""), headers)
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        text = f"The provider at {upstream.base_url} cannot be reached: {type(exc).__name__}."
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, text, kind="service_unavailable_error") from exc


def _body(asking: Asking) -> Json:
    """Write the request to the real provider: with all that was said before, where the kit has the conversation."""
    body = {name: value for name, value in asking.body.items() if name not in _OURS}
    if asking.api != "responses":
        return body
    asked = body.get("input")
    said = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked or []
    return {**body, "input": [*_messages(asking.earlier), *said], "store": False}


def _messages(items: Any) -> Iterator[Json]:
    # Only messages: what a model thought is known to no provider that did not keep it.
    for each in items:
        if each.get("role"):
            parts = each.get("content") or ()
            text = "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
            # Some servers know no developer; see `worker.providers.openai.short_form`.
            role = "system" if each["role"] == "developer" else each["role"]
            yield {"type": "message", "role": role, "content": text}


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
