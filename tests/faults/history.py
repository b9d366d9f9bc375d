"""What the servers were told and what they said, whatever the clients heard of it."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["running", "ok", "failed", "unknown", "withheld"]
"""ok, failed: the server said yes or no. unknown: the request reached it and no reply came. withheld: the proxy let
nothing through."""


@dataclass(slots=True)
class Exchange:
    """One request. Times are monotonic seconds; `call` is `POST /path?query` over HTTP, a script or command in Redis.

    `request` is the parsed JSON body, or the arguments; `reply` the parsed JSON, or the value. `text` is what went
    over the wire as the request's body.
    """

    server: str
    call: str
    request: Any
    text: str
    began: float
    ended: float | None = None
    outcome: Outcome = "running"
    status: int | None = None
    reply: Any = None

    def end(self, outcome: Outcome, reply: Any = None, status: int | None = None) -> None:
        self.ended = time.monotonic()
        self.outcome, self.reply, self.status = outcome, reply, status

    @property
    def reached(self) -> bool:
        """Whether the server may have acted on it."""
        return self.outcome in {"running", "ok", "unknown"}


class History:
    """All exchanges of a test in the order in which they came."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def add(self, server: str, call: str, request: Any, text: str) -> Exchange:
        exchange = Exchange(server, call, request, text, time.monotonic())
        self.exchanges.append(exchange)
        return exchange

    def of(self, server: str, call: str = "", *, text: str = "") -> list[Exchange]:
        """Those of one server whose call matches the pattern somewhere, and that have the text in their body."""
        return list(self._matching(server, re.compile(call), text))

    def _matching(self, server: str, call: re.Pattern[str], text: str) -> Iterator[Exchange]:
        for each in self.exchanges:
            if each.server == server and call.search(each.call) and text in each.text:
                yield each

    def tail(self, number: int = 30) -> str:
        """The last exchanges, for the text of a failed test."""
        return "\n".join(
            f"{each.began:.3f} {each.server} {each.call[:110]} {each.outcome} {each.status or ''}"
            for each in self.exchanges[-number:]
        )
