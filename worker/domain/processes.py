"""What an engine tells of process instances to whoever reads a transcript."""

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_VERSION = 10


@dataclass(frozen=True, slots=True)
class Called:
    """A process instance that a call activity started, under its own name. `called_by` is the instance that did."""

    id: str
    definition_key: str
    name: str
    called_by: str


@dataclass(frozen=True, slots=True)
class Calls:
    """The instances that one called, and those that they called, callers first.

    `lacking` says to people why there may be more; empty where these are all.
    """

    called: Sequence[Called]
    lacking: str = ""


def definition(definition_id: str) -> tuple[str, int] | None:
    """Read key and version from a definition's id, `key:version:number`; engines leave them out of long ones."""
    match definition_id.split(":"):
        case [key, version, _] if key and version.isascii() and version.isdecimal() and len(version) < LONGEST_VERSION:
            return key, int(version)
    return None
