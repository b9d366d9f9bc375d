"""How routes come into applications: they are built once, as their module is imported, and get each one's ports."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import HTTPConnection

from worker.web.api import problems

Extension = Callable[[FastAPI], None]
"""Adds routes of others, a page's for example. Below /api they take a `MayRead` or its like; all else is open."""


def below_api(*statuses: int) -> APIRouter:
    """Make a router for routes below /api; each of them may answer with problems of these statuses."""
    documented = problems.documented(*statuses)
    return APIRouter(prefix="/api", responses=documented, generate_unique_id_function=lambda route: route.name)


def from_application(kind: type) -> Any:
    """Make what, in an `Annotated`, has a route get the ports of this type of the application that it serves."""

    async def ports(connection: HTTPConnection) -> Any:
        return connection.app.state.ports[kind]

    return Depends(ports)


def adding(router: APIRouter, ports: object) -> Extension:
    """Make the extension that adds a router's routes, which get these ports by their type: see `from_application`."""

    def extend(application: FastAPI) -> None:
        # Not include_router: it would build each of them anew, for some 5 ms of CPU, in every application.
        application.router.routes.extend(router.routes)
        application.state.ports[type(ports)] = ports

    return extend
