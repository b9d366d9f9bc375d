"""How far a reader of a feed has come, as text that goes out with each event and comes back to go on from there."""

import base64
import re
import struct
from dataclasses import dataclass, field
from typing import Final

from worker.errors import BadCursor

LONGEST_PLACE: Final = 8_000
"""Characters: room for two hundred sessions, and less than a server lets an address have."""
NOW: Final = "now"
"""Stands for where the record is when a feed begins."""
_READ: Final = struct.Struct(">16sQ")
_HEARD: Final = re.compile(r"([0-9a-f]{32}):([0-9a-f]{12}-\d{1,6}):(\d{1,9})")
_NO_PLACE: Final = "this is no place in a feed of ours"


@dataclass(slots=True)
class Place:
    """Of each session the number of the last message that was read, and what was heard of an answer that is written.

    The latter is the run, see `domain.watching.Piece`, and how many characters of it.
    """

    read: dict[str, int] = field(default_factory=dict)
    heard: dict[str, tuple[str, int]] = field(default_factory=dict)

    def dump(self) -> str:
        """Write it down, without a character that an address or a header would have to quote."""
        packed = b"".join(_READ.pack(bytes.fromhex(session), number) for session, number in self.read.items())
        first = base64.urlsafe_b64encode(packed).decode().rstrip("=")
        return "~".join([first, *(f"{session}:{run}:{offset}" for session, (run, offset) in self.heard.items())])

    @staticmethod
    def load(text: str) -> "Place":
        """Read it back. Raises BadCursor."""
        first, *heard = text.split("~")
        try:
            packed = base64.b64decode(first + "=" * (-len(first) % 4), b"-_", validate=True)
            read = {session.hex(): number for session, number in _READ.iter_unpack(packed)}
        except (ValueError, struct.error) as exc:
            raise BadCursor(_NO_PLACE) from exc
        found = [_HEARD.fullmatch(each) for each in heard]
        if any(number >= 2**63 for number in read.values()) or None in found:
            raise BadCursor(_NO_PLACE)
        return Place(read, {each[1]: (each[2], int(each[3])) for each in found if each is not None})
