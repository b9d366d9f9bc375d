"""Every error as a problem in JSON, as RFC 9457 has it: never a stack trace, never an input."""

import json
from collections.abc import Iterator, Mapping
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


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a problem."""
    title = HTTPStatus(status).phrase
    extra = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_SECONDS)}}.get(status, {})
    return Response(
        json.dumps(asdict(Problem(title, detail or _DETAILS.get(status, "")))),
        status,
        {**extra, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI document that these are answered with problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


@contextmanager
def refusing(told: Told) -> Iterator[None]:
    """Answer errors of these kinds; others go on."""
    try:
        yield
    except WorkerError as exc:
        known = next((told[each] for each in type(exc).mro() if each in told), None)
        if known is None:
            raise
        status, words = known
        raise HTTPException(status, f"{words.format(str(exc).rstrip('.'))}.") from exc


def add_to(app: FastAPI) -> None:
    """Have an application answer with problems."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, exc: HTTPException) -> Response:
        said = exc.detail if exc.detail != HTTPStatus(exc.status_code).phrase else ""
        return problem(exc.status_code, said, exc.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, exc: RequestValidationError) -> Response:
        wrong = (f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in exc.errors())
        return problem(422, "; ".join(wrong))

    @app.exception_handler(BadCursor)
    async def lost(_: Request, exc: BadCursor) -> Response:
        return problem(404, f"after: {exc}")

    told: dict[str, float] = {}

    @app.exception_handler(TranscriptDown)
    async def down(_: Request, exc: TranscriptDown) -> Response:
        now = monotonic()
        if now - told.get(str(exc), float("-inf")) >= TOLD_AGAIN_SECONDS:
            told.clear()
            told[str(exc)] = now
            log.warning(Event.TRANSCRIPT_NOT_READ, reason=str(exc))
        return problem(503)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, __: Exception) -> Response:
        return problem(500)  # Starlette raises it again behind this answer, and the gate reports it
