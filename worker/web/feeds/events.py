"""What a feed says, as data and as text of server-sent events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from worker.domain.conversations import Message

Kind = Literal["message", "state", "delta", "restarted", "lost", "asks", "ended", "closing"]

_MESSAGE: Final = TypeAdapter(Message)
BEAT: Final = ": \n\n"
"""A comment that keeps a connection alive."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `place` is where to go on behind it; of one that says how things are it is empty."""

    kind: Kind
    data: Mapping[str, Any]
    place: str = ""

    def as_text(self) -> str:
        """Write it as a server-sent event."""
        place = f"id: {self.place}\n" if self.place else ""
        return f"{place}event: {self.kind}\ndata: {json.dumps(self.data, separators=(',', ':'))}\n\n"


def said(message: Message) -> Mapping[str, Any]:
    """Show a message as the API shows it everywhere."""
    shown: Mapping[str, Any] = _MESSAGE.dump_python(message, mode="json")
    return shown
