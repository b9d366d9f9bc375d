"""The application: its routes behind the gate, and its OpenAPI document."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from worker.export import Processes
from worker.ports.rates import Rate, Rates
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.access import Access
from worker.web.api.gate import Gate
from worker.web.api.grants import Sight
from worker.web.api.login import Client, login
from worker.web.api.origins import welcoming
from worker.web.api.routes import reading
from worker.web.api.routing import Extension

TITLE = "Conversations of the assistant worker"
VERSION = "1"


def app(
    conversations: TranscriptReader,
    processes: Processes,
    access: Access,
    *,
    report: Callable[[Exception], None],
    frame_ancestors: Sequence[str] = (),
    client: Client | None = None,
    rate: Rate | None = None,
    rates: Rates | None = None,
    origins: Sequence[str] = (),
    sight: Sight | None = None,
    extend: Sequence[Extension] = (),
) -> ASGIApp:
    """Build the application. `report` is told of errors that nobody foresaw.

    `frame_ancestors` are the origins whose pages may show ours in a frame, Cockpit's for example. By `client` the page
    logs people in. By `rates` workers count requests together. Pages of `origins` may use the API with a token.
    `sight` narrows what each may see.
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
    application.state.ports = {}
    for extension in (reading(conversations, processes), login(client), *extend):
        extension(application)
    _publish(application)
    connects = [client.origin] if client else []
    gate = Gate(
        application,
        access,
        report=report,
        frame_ancestors=frame_ancestors,
        connects=connects,
        rate=rate,
        rates=rates,
        sight=sight,
        origins=origins,
    )
    return welcoming(gate, origins)


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
