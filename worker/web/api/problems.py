"""Every error as a problem in JSON, as RFC 9457 has it: never a stack trace, never an input."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.errors import BadCursor, TranscriptDown, WorkerError
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

ISSUER_DOWN = "Nobody can tell now whether this token is good: who issued it does not answer."
TICKETS_DOWN = "Nobody can tell now whether this ticket is good: Redis does not answer."
NOT_KEPT = "The transcript cannot be reached now, and what was sent may not be kept: send the same again."
Told = Mapping[type[WorkerError], tuple[int, str]]
"""A status and a sentence for each kind of error; {} in it is what the error says."""
ERASED = 410, "This conversation is erased, or about to be"
UNKNOWN_IF_ERASED = 503, "Nobody can tell now whether this conversation is erased"
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
TOLD_AGAIN_SECONDS = 300
"""The log hears of a record that cannot be read at once, and again while somebody goes on asking for it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong: the status' name, and what a person can do about it."""

    title: str
    detail: str


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["title", "detail"],
}

_DETAILS = {
    401: "Send the header Authorization: Bearer, with a token of this worker's.",
    403: "This token does not allow that.",
    404: "There is nothing here that this token may see.",
    405: "This address knows other methods.",
    410: "It is not there any more.",
    411: "Say the size of the request in Content-Length.",
    413: "The request is too large.",
    414: "The address is too long.",
    429: "Too many requests: wait a moment.",
    500: "The worker's log says more.",
    503: "The transcript cannot be read now. It goes on being written later.",
}


def told(status: int, detail: str = "") -> Problem:
    """Say what a status means; `detail` may be its name, which says nothing more."""
    title = HTTPStatus(status).phrase
    return Problem(title, detail if detail and detail != title else _DETAILS.get(status, ""))


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a problem."""
    extra = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_SECONDS)}}.get(status, {})
    return Response(
        json.dumps(asdict(told(status, detail))),
        status,
        {**extra, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def wrong(errors: Iterable[Mapping[str, Any]], below: int = 0) -> str:
    """Say in one line what is wrong with an input, and where; the first `below` names of a place say nothing."""
    return "; ".join(f"{'.'.join(map(str, each['loc'][below:]))}: {each['msg']}" for each in errors)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI document that these are answered with problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


@contextmanager
def refusing(known: Told) -> Iterator[None]:
    """Answer errors of these kinds; others go on."""
    try:
        yield
    except WorkerError as exc:
        said = next((known[each] for each in type(exc).mro() if each in known), None)
        if said is None:
            raise
        status, words = said
        raise HTTPException(status, f"{words.format(str(exc).rstrip('.'))}.") from exc


def add_to(app: FastAPI) -> None:
    """Have an application answer with problems."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, exc: HTTPException) -> Response:
        return problem(exc.status_code, exc.detail, exc.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, exc: RequestValidationError) -> Response:
        return problem(422, wrong(exc.errors(), below=1))

    @app.exception_handler(BadCursor)
    async def lost(_: Request, exc: BadCursor) -> Response:
        return problem(404, f"after: {exc}")

    logged: dict[str, float] = {}

    @app.exception_handler(TranscriptDown)
    async def down(request: Request, exc: TranscriptDown) -> Response:
        now = monotonic()
        if now - logged.get(str(exc), float("-inf")) >= TOLD_AGAIN_SECONDS:
            logged.clear()
            logged[str(exc)] = now
            log.warning(Event.TRANSCRIPT_NOT_READ, reason=str(exc))
        return problem(503, "" if request.method == "GET" else NOT_KEPT)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, __: Exception) -> Response:
        return problem(500)  # Starlette raises it again behind this answer, and the gate reports it
