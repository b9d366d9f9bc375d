"""What of assistants' files is kept at a provider: files by their bytes, and vector stores of them. Pure."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from worker.domain.documents import AssistantFile

MADE_BY: Final = "assistant-worker"
"""Stands in the metadata of every store of ours."""
State = Literal["in_progress", "completed", "failed"]
Outcome = Literal["removed", "gone", "unseen", "failed"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file at the provider, by its bytes: uploaded once. Without an `id` it is being uploaded, or was on the way.

    `name` is what the provider knows it by: its digest, something that nobody can guess, and its ending.
    """

    sha256: str
    name: str
    account: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class FileStore:
    """A vector store for a set of files. Without an `id` it is being made, or was on the way.

    `mark` stands in its metadata, and nobody can guess it: a store that bears it is this one. `files` are names with
    digests. What is not `ready` is not searched yet. `leaving` names another account than its own, whose key has
    seen it and removes it.
    """

    digest: str
    mark: str
    account: str
    files: tuple[tuple[str, str], ...]
    made_at: datetime
    id: str = ""
    ready: bool = False
    leaving: str = ""

    @property
    def sums(self) -> frozenset[str]:
        """The digests of its files."""
        return frozenset(sha256 for _, sha256 in self.files)


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that one engine's workers know of at one provider, of every account."""

    stores: tuple[FileStore, ...] = ()
    uploads: tuple[Upload, ...] = ()


@dataclass(frozen=True, slots=True)
class Searchable:
    """A store that can be searched, and what its files are called there, by the names that they have here."""

    id: str
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Indexing:
    """How a file in a store stands; `error` is the provider's code word for why it failed."""

    state: State
    error: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of one thing that was to be removed: a line of a receipt."""

    provider: str
    what: Literal["store", "file"]
    id: str
    name: str
    outcome: Outcome
    reason: str = ""


def is_upload(name: str) -> bool:
    """Whether this is how we name a file at a provider."""
    return re.fullmatch(r"[0-9a-f]{64}-[0-9a-f]{12}(\.[^.]*)?", name) is not None


def set_digest(files: Collection[AssistantFile]) -> str:
    """Name a set of files by their names and bytes, in 64 hex digits; in which order does not matter."""
    named = sorted((each.name, each.sha256) for each in files)
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def cited(files: Sequence[AssistantFile], names: Collection[str]) -> dict[str, str]:
    """Say which files an answer goes by, with the beginnings of their digests, by what the provider calls them."""
    return {each.name: each.sha256[:12] for each in files if any(name.startswith(each.sha256) for name in names)}
