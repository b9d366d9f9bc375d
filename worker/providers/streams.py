"""Replies that are read while they are written, for whoever watches: server-sent events, and what they come to.

They are put together to the body that the same call brings in one piece, and that is read as any other.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final

from worker.domain import foreign
from worker.domain.threads import Answer
from worker.ports.providers import Watcher
from worker.providers.reading import loads

_DONE: Final = b"[DONE]"
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)
"""Not a CR that may be the first half of a line's end."""
_ERROR_WORDS: Final = ("message", "code", "param")


class Events:
    """Server-sent events out of bytes, however they are cut: the name of each, empty if it has none, and its data."""

    def __init__(self) -> None:
        # Grows in its place: bytes would be copied as a whole with each chunk.
        self._rest = bytearray()
        self._begun = False
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Return the events that end here."""
        seen = max(0, len(self._rest) - 1)  # a CR there may have waited for this
        self._rest += chunk
        start, lines = 0, []
        for end in [each.span() for each in _LINE_END.finditer(self._rest, seen)]:
            lines.append(bytes(self._rest[start : end[0]]))
            start = end[1]
        del self._rest[:start]
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[tuple[str, bytes]]:
        """Return what has ended without a blank line: not every server sends one behind its last event."""
        yield from self._line(bytes(self._rest).rstrip(b"\r"))
        yield from self._line(b"")
        self._rest.clear()

    def _line(self, line: bytes) -> Iterator[tuple[str, bytes]]:
        if not self._begun:
            line, self._begun = line.removeprefix(_BOM), True
        if not line:
            name, data = self._name, b"\n".join(self._data)
            self._name, self._data = "", []
            if data:
                yield name, data
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")


class Telling:
    """What a watcher is told of one question: in the end exactly the text of its answer."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._begun = False
        self._told: list[str] = []
        self._half = ""

    def begin(self) -> None:
        """Begin anew: another request, or what was said was not the answer."""
        self._told.clear()
        self._half, self._begun = "", True
        self._watcher.began()

    def say(self, text: str) -> None:
        """Say more. Half of a surrogate pair waits for its other half."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        self._tell(foreign.whole(text.removesuffix(self._half)))

    def settle(self, answer: Answer) -> Answer:
        """Say what is missing of an answer, all of it where something else was said."""
        told = "".join(self._told)
        if not self._begun or not answer.text.startswith(told):
            self.begin()
            told = ""
        self._tell(answer.text[len(told) :])
        return answer

    def _tell(self, text: str) -> None:
        if text:
            self._told.append(text)
            self._watcher.said(text)


class Hearing(ABC):
    """One reply as it comes in; `telling` hears what of it is the answer's text.

    `over`: nothing more of it is to come. `error` is what the server says in its middle in place of an end. `began`:
    something of the answer was there already.
    """

    def __init__(self, telling: Telling) -> None:
        self.telling = telling
        self.over = self.began = self.done = False
        self.error: bytes | None = None
        self._events = Events()
        self._plain: bytearray | None = bytearray()
        telling.begin()

    def take(self, chunk: bytes) -> None:
        """Take what has come."""
        if self._plain is not None:
            self._plain += chunk
        self._hear_all(self._events.feed(chunk))

    def end(self) -> None:
        """Note that no more comes."""
        self._hear_all(self._events.end())

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether all of the answer is there, whatever else was to come."""

    @property
    def body(self) -> bytes | None:
        """The same reply in one piece; None if its end is missing. A server that streams nothing sent it so."""
        if self._plain is not None:
            return bytes(self._plain)
        return json.dumps(self.put_together()).encode() if self.whole else None

    @abstractmethod
    def hear(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take an event. Raises ValueError where it cannot be what it should."""

    @abstractmethod
    def put_together(self) -> Mapping[str, Any]:
        """Make the body that the events come to."""

    def _hear_all(self, events: Iterator[tuple[str, bytes]]) -> None:
        for name, data in events:
            # Events have come, so it is no reply in one piece.
            self._plain = None
            # What follows the end, or an error, is no part of the answer.
            if not self.over:
                self._hear(name, data)

    def _hear(self, name: str, data: bytes) -> None:
        if data.strip() == _DONE:
            self.done = self.over = True
            return
        if not data.lstrip().startswith((b"{", b"[")):  # keeps a connection alive
            return
        try:
            value = loads(data, halves=True)
            if isinstance(value, list) and len(value) == 1:  # as refusals come from Gemini
                value = value[0]
            if not isinstance(value, dict):
                return
            if failure := _failure(name, value):
                self.error = json.dumps(failure).encode()
            else:
                self.hear(str(value.get("type") or name), value)
        except (ValueError, RecursionError):  # without it the answer would not be the same
            self.error = data
        self.over = self.over or self.error is not None


def _failure(name: str, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find the error that an event reports, in one form for those of all servers."""
    if event.get("error"):
        return {"error": event["error"]}
    if any(each == "error" for each in (name, event.get("type"), event.get("object"))):
        return {"error": {word: event.get(word) for word in _ERROR_WORDS}}
    return None
