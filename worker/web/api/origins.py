"""Pages of other origins: closed out, but for those that are listed."""

from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PREFLIGHT_SECONDS = 600


def welcoming(application: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins use an application, with a token that they bring (CORS). No cookie is of any use."""
    if not origins:
        return application
    return CORSMiddleware(
        application,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=("Authorization", "Content-Type", "Last-Event-ID"),
        expose_headers=("Content-Disposition", "Retry-After"),
        max_age=PREFLIGHT_SECONDS,
    )


def is_welcome(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a socket may be opened by who asks: a page of ours, of one of these origins, or no page at all.

    Browsers let any page open a socket to anywhere, and only say whose it is.
    """
    origin, host = headers.get("origin"), headers.get("host")
    # Compared and never parsed: it may be anything. What ends TLS before the worker says neither scheme.
    return origin is None or origin in origins or origin in (f"http://{host}", f"https://{host}")
