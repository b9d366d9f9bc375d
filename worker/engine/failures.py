"""What a reply that is no success means. One table, by status, `type` and `code`; never by a text.

| reply                                                           | means                                          |
|-----------------------------------------------------------------|------------------------------------------------|
| no connection                                                   | EngineUnreached                                |
| no reply in time, a reply cut short                             | EngineDown                                     |
| 3xx (never followed: another host would get our credentials)    | EngineDown                                     |
| 401, 403                                                        | EngineDenied                                   |
| 408, 429, 502, 503, 504                                         | EngineDown                                     |
| 404 that is not the engine's own word, or of a path it lacks    | EngineDown: a gateway, or a wrong address      |
| another 4xx or 5xx without an error of the engine's own         | EngineDown                                     |
| success without the JSON, or with a page where nothing belongs  | EngineDown                                     |
| success with more bytes than are taken in                       | EngineDown; to a poll TooMuch                  |
| to a command: 500 with code 1, 10000, 10001                     | Conflict                                       |
| to a command: 500 with code 10002; 413 from whomever            | TooLong                                        |
| to a command: 404 of the engine's own                           | TaskGone                                       |
| to a command: 400, any other error of the engine's own          | whatever the task's state says, else Refused   |
| to a question: an error of the engine's own                     | EngineDown, unless the caller expects it       |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from worker.domain import foreign
from worker.engine.quoting import unquoted
from worker.errors import Conflict, EngineDenied, EngineDown, EngineUnreached, Refused, TooLong

COLLISIONS = frozenset({1, 10000, 10001})
"""Optimistic locking, deadlock, foreign key: another transaction was faster, this one left no trace."""
COLUMN_TOO_SMALL = 10002
NO_SUCH_PATH = "NotFoundException"
"""The `type` of the 404 that JAX-RS gives for a path the engine does not have; tasks that are gone have others."""
LONGEST_TEXT = 300
LONGEST_MESSAGE = 600
"""Characters of an engine's error that are looked at: each word of them is looked for in all that was sent."""

_DENIED = {
    HTTPStatus.UNAUTHORIZED: "the engine does not accept our credentials",
    HTTPStatus.FORBIDDEN: "the engine denies us a right",
}
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_COMMON = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""Say no to this one request, whether or not the engine itself says it: bad JSON is answered in plain text."""

_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

T = TypeVar("T", list[Any], dict[str, Any])


@dataclass(frozen=True, slots=True)
class OwnError:
    """An error as engines write it: `type` is the simple name of a Java exception."""

    type: str
    message: str
    code: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, read to its end. `at` is the local monotonic clock when its head came.

    `sent` is what the request had as JSON.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    sent: Any = field(default=None, repr=False)
    too_long: bool = False
    """Its body was longer than wanted, and is not here."""
    told: str = ""
    """What `describe` says of it, where it was made already."""

    @property
    def done(self) -> bool:
        """Whether a command was carried out. Raises EngineDown for another success: 204 is all that engines say."""
        if self.status == HTTPStatus.NO_CONTENT:
            return True
        if self.status < HTTPStatus.MULTIPLE_CHOICES:
            raise EngineDown(f"something that is no engine answered {self.status} where 204 belongs")
        return False

    @property
    def missing(self) -> bool:
        """Whether the engine says that it has no such thing. `check` let the 404s of others not come so far."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def own_error(self) -> OwnError | None:
        """The engine's error, None if this is not one: gateways, proxies and Spring Boot write other JSON."""
        try:
            said = foreign.read_flat(self.body)
        except ValueError:
            return None
        match said:
            # Spring Boot's own error has `error` and `path`, problems by RFC 9457 have a URI as their `type`.
            case {"type": str(name), "message": str() | None as message} if name.endswith("Exception"):
                code = said.get("code")
                return OwnError(name, message or "", code if isinstance(code, int) else None)
        return None

    def value(self, kind: type[T]) -> T:
        """Return the JSON of a success. Raises EngineDown for anything else."""
        if self.status != HTTPStatus.OK:
            raise EngineDown(describe(self))
        try:
            value = foreign.read_flat(self.body)
        except ValueError as exc:
            raise EngineDown("the engine's answer is no complete JSON") from exc
        if not isinstance(value, kind):
            raise EngineDown(f"the engine's answer is a JSON {type(value).__name__} where a {kind.__name__} belongs")
        return value


def check(reply: Reply, hint: str = "") -> None:
    """Return if this is a success or the engine's own no to this request; raise EngineDown or EngineDenied if not.

    `hint` is said behind what may come of a wrong address.
    """
    status = reply.status
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status < HTTPStatus.BAD_REQUEST:
        raise EngineDown(
            f"the engine's address redirects to {_target(reply)}; redirects are not followed{hint}", status=status
        )
    if status in _DENIED:
        raise EngineDenied(f"{_DENIED[HTTPStatus(status)]}: {describe(reply)}")
    if status in _PASSING:
        raise EngineDown(describe(reply), retry_after=_retry_after(reply), status=status)
    error = reply.own_error
    if status == HTTPStatus.NOT_FOUND and error is not None and error.type == NO_SUCH_PATH:
        raise EngineDown(f"the engine has no such path; is its address right?{hint}", status=status)
    if error is None and status not in _COMMON:
        raise EngineDown(describe(reply) + (hint if status < HTTPStatus.INTERNAL_SERVER_ERROR else ""), status=status)


def refusal(reply: Reply) -> Conflict | TooLong | Refused:
    """Say what the engine's no to a command means."""
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLong("the result is larger than the engine, or a gateway before it, accepts in one request")
    error = reply.own_error
    code = error.code if error is not None and reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    if code in COLLISIONS:
        return Conflict(describe(reply))
    return TooLong(describe(reply)) if code == COLUMN_TOO_SMALL else Refused(describe(reply))


def is_undone(exc: EngineDown) -> bool:
    """Whether the request certainly had no effect: it was not sent, or sent away."""
    if isinstance(exc, EngineDenied | EngineUnreached):
        return True
    status = exc.status or HTTPStatus.INTERNAL_SERVER_ERROR
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.REQUEST_TIMEOUT


def unreachable(exc: Exception, host: str, what: str = "engine") -> EngineDown:
    """Say why there is no reply at all; `host` is host and port, `what` is there."""
    kind = EngineUnreached if isinstance(exc, _UNSENT) else EngineDown
    if isinstance(exc, TimeoutError):  # aiohttp's timeouts are, too
        return kind(f"no answer in time from the {what} at {host}")
    return kind(f"the {what} at {host} cannot be reached: {type(exc).__name__}: {exc}"[:LONGEST_TEXT])


def describe(reply: Reply) -> str:
    """Sum a reply up in a line of at most 300 characters and a little. Of a page, only that it is one.

    Logs and incidents have it, so nothing that the request carried is told. To find that in a large one takes seconds.
    """
    if reply.told:
        return reply.told
    error = reply.own_error
    if error is None:
        return f"{reply.status} without an answer of the engine's own"
    code = f", code {error.code}" if error.code else ""
    message = unquoted(" ".join(error.message[:LONGEST_MESSAGE].split()), reply.sent)
    return f"{reply.status} {error.type}{code}: {message[:LONGEST_TEXT]}"


def _target(reply: Reply) -> str:
    try:
        host = urlsplit(reply.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return host or "another path"


def _retry_after(reply: Reply) -> timedelta | None:
    """Read the wish in seconds; the form with a date needs a clock that both sides agree on."""
    wish = reply.headers.get("Retry-After", "").strip()
    # Six digits are eleven days. Without a bound, a number of thousands of digits is an error of Python's.
    return timedelta(seconds=int(wish[:6])) if wish.isascii() and wish.isdecimal() else None
