"""What is deployed at an engine together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["process", "decision"]


@dataclass(frozen=True, slots=True)
class Versioned:
    """One version of a process or a decision; `file` is the name that its model was deployed by."""

    kind: Kind
    key: str
    version: int
    file: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files that are to be deployed together, by their names. Without a tenant they are everybody's."""

    name: str
    source: str
    files: Mapping[str, bytes]
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment as the engine has it."""

    id: str
    definitions: Sequence[Versioned] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """What an engine does not take of a file, at a line and an element where it says so; `elements` are ids."""

    file: str
    line: int
    elements: Sequence[str]
    said: str
