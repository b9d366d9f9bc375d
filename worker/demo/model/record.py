"""What was sent to the server, in order of arrival."""

import time
from collections import Counter, deque
from typing import Any, Final

from aiohttp import web

from worker.demo.model.wire import Json, parsed

KEPT: Final = 100_000


class Record:
    """The newest KEPT requests, and how many of each kind there were in all."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._entries: deque[Json] = deque(maxlen=KEPT)
        self._sequence = 0

    def add(self, call: str, request: web.Request, raw: bytes) -> Json:
        """Notes a request; its status and the effects on it are filled in when they are known."""
        self._sequence += 1
        body = parsed(raw)
        entry = {
            "seq": self._sequence,
            "at": time.time(),
            "call": call,
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "body": body,
            "conversation": request.match_info.get("conversation") or _conversation(body),
            "model": body.get("model") if isinstance(body, dict) else None,
            "status": None,
            "fault": None,
        }
        self.calls[call] += 1
        self._entries.append(entry)
        return entry

    def entries(self, call: str | None, after: int) -> list[Json]:
        """Those of one kind, or of all, behind a number."""
        return [entry for entry in self._entries if entry["seq"] > after and call in {None, entry["call"]}]

    def clear(self) -> None:
        """Forgets them; the numbers go on."""
        self.calls.clear()
        self._entries.clear()


def _conversation(body: Any) -> str | None:
    """The conversation that a turn names in its body, as a string or as an object."""
    named = body.get("conversation") if isinstance(body, dict) else None
    found = named.get("id") if isinstance(named, dict) else named
    return found if isinstance(found, str) else None
