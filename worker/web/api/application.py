"""The application: its routes behind the gate, and its OpenAPI document."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from worker.export import Processes
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.access import Access
from worker.web.api.gate import Gate, Rate
from worker.web.api.routes import reading

TITLE = "Conversations of the assistant worker"
VERSION = "1"


Extension = Callable[[FastAPI], None]
"""Adds routes of others, a page's for example. Below /api they take a `MayRead` or its like; all else is open."""


def app(
    conversations: TranscriptReader,
    processes: Processes,
    access: Access,
    *,
    report: Callable[[Exception], None],
    frame_ancestors: Sequence[str] = (),
    rate: Rate | None = None,
    extend: Sequence[Extension] = (),
) -> ASGIApp:
    """Build the application. `report` is told of errors that nobody foresaw.

    `frame_ancestors` are the origins whose pages may show ours in a frame, Cockpit's for example.
    """
    application = FastAPI(
        title=TITLE,
        version=VERSION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.add_to(application)
    answers = problems.documented(401, 403, 404, 422, 429, 503)
    application.include_router(reading(conversations, processes), prefix="/api", responses=answers)
    for extension in extend:
        extension(application)
    _publish(application)
    return Gate(application, access, report=report, frame_ancestors=frame_ancestors, rate=rate)


def _publish(application: FastAPI) -> None:
    """Say in the OpenAPI document how to log in, and what problems look like."""
    make = application.openapi

    def document() -> dict[str, Any]:
        said = make()
        parts = said.setdefault("components", {})
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        parts.setdefault("schemas", {})["Problem"] = problems.SCHEMA
        said["security"] = [{"token": []}]
        return said

    application.openapi = document  # type: ignore[method-assign] # FastAPI's own way of extending it
