"""Files and vector stores of the stand-in: what is uploaded, put together, and found by its words.

They do not outlive the server. A file is indexed at once; a rule may say that it fails, or takes so many looks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.demo.model.wire import ApiError, Json, invalid, metadata, missing, new_id, now

PURPOSES: Final = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
STORE_PARAMETERS: Final = frozenset(
    {"chunking_strategy", "description", "expires_after", "file_ids", "metadata", "name"}
)
"""What vector_stores.create takes."""
PUT_PARAMETERS: Final = frozenset({"attributes", "chunking_strategy", "file_id"})
SHORTEST: Final = 4
"""Letters of a word that is looked for."""


@dataclass(slots=True)
class File:
    """What was uploaded."""

    name: str
    purpose: str
    content: bytes
    account: str
    id: str = field(default_factory=lambda: new_id("file"))
    created_at: int = field(default_factory=now)

    def shown(self) -> Json:
        """The object that clients see."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": None,
            "status_details": None,
        }


@dataclass(slots=True)
class Indexed:
    """A file in a store. `looks` are those that still find it in progress, `error` is why it fails."""

    file: File
    looks: int = 0
    error: str | None = None
    attributes: Json = field(default_factory=dict)
    created_at: int = field(default_factory=now)

    @property
    def status(self) -> str:
        """How it stands."""
        return "in_progress" if self.looks else "failed" if self.error else "completed"

    def shown(self, store: str) -> Json:
        """The object that clients see."""
        last = {"code": self.error, "message": "The file could not be parsed."} if self.status == "failed" else None
        return {
            "id": self.file.id,
            "object": "vector_store.file",
            "created_at": self.created_at,
            "vector_store_id": store,
            "status": self.status,
            "last_error": last,
            "usage_bytes": len(self.file.content),
            "attributes": self.attributes,
        }


@dataclass(slots=True)
class VectorStore:
    """Files that are searched together."""

    name: str
    metadata: dict[str, str]
    account: str
    id: str = field(default_factory=lambda: new_id("vs"))
    files: dict[str, Indexed] = field(default_factory=dict)
    created_at: int = field(default_factory=now)

    def shown(self) -> Json:
        """The object that clients see."""
        states = [each.status for each in self.files.values()]
        counts = {name: states.count(name) for name in ("in_progress", "completed", "failed", "cancelled")}
        return {
            "id": self.id,
            "object": "vector_store",
            "created_at": self.created_at,
            "name": self.name,
            "usage_bytes": sum(len(each.file.content) for each in self.files.values()),
            "file_counts": {**counts, "total": len(states)},
            "status": "in_progress" if counts["in_progress"] else "completed",
            "expires_after": None,
            "expires_at": None,
            "last_active_at": self.created_at,
            "metadata": self.metadata,
        }


class Files:
    """All files and stores, of every account."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.stores: dict[str, VectorStore] = {}

    def clear(self) -> None:
        """Forgets everything."""
        self.files.clear()
        self.stores.clear()

    def upload(self, content_type: str, raw: bytes, account: str) -> Json:
        """Takes a form with a file. Raises ApiError for what OpenAI refuses."""
        parts = dict(_form(content_type, raw))
        purpose = parts.get("purpose", ("", b""))[1].decode(errors="replace")
        if not purpose:
            raise missing("purpose")
        if purpose not in PURPOSES:
            raise invalid("purpose", f"expected one of {', '.join(sorted(PURPOSES))}.")
        if "file" not in parts:
            raise missing("file")
        name, content = parts["file"]
        if not content:
            raise ApiError(400, "File is empty.")
        made = File(name, purpose, content, account)
        self.files[made.id] = made
        return made.shown()

    def file(self, file_id: str, account: str) -> File:
        """The account's file of this id. ApiError 404."""
        found = self.files.get(file_id)
        if found is None or found.account != account:
            raise ApiError(404, f"No such File object: {file_id}", param="id")
        return found

    def listed(self, account: str, purpose: str | None) -> list[Json]:
        """The account's files, the newest first."""
        own = [each for each in self.files.values() if each.account == account and purpose in {None, each.purpose}]
        return [each.shown() for each in reversed(own)]

    def delete(self, file_id: str, account: str) -> Json:
        """Deletes a file, and takes it out of all stores."""
        del self.files[self.file(file_id, account).id]
        for store in self.stores.values():
            store.files.pop(file_id, None)
        return {"id": file_id, "object": "file", "deleted": True}

    def create_store(self, body: Json, account: str) -> Json:
        """Makes a store. Raises ApiError for what OpenAI refuses."""
        _check(body, STORE_PARAMETERS)
        files = [self.file(str(each), account) for each in body.get("file_ids") or ()]
        made = VectorStore(str(body.get("name") or ""), metadata(body.get("metadata")), account)
        made.files = {each.id: Indexed(each) for each in files}
        self.stores[made.id] = made
        return made.shown()

    def store(self, store_id: str, account: str) -> VectorStore:
        """The account's store of this id. ApiError 404."""
        found = self.stores.get(store_id)
        if found is None or found.account != account:
            raise store_gone(store_id)
        return found

    def stores_of(self, account: str) -> list[Json]:
        """The account's stores, the newest first."""
        return [each.shown() for each in reversed(self.stores.values()) if each.account == account]

    def delete_store(self, store_id: str, account: str) -> Json:
        """Deletes a store; its files stay."""
        del self.stores[self.store(store_id, account).id]
        return {"id": store_id, "object": "vector_store.deleted", "deleted": True}

    def put(self, store_id: str, body: Json, effect: Mapping[str, Any], account: str) -> Json:
        """Puts a file into a store. The effect `index` says that it fails with an `error`, or takes so many `looks`."""
        store = self.store(store_id, account)
        _check(body, PUT_PARAMETERS)
        if not isinstance(body.get("file_id"), str):
            raise missing("file_id")
        file = self.file(body["file_id"], account)
        wanted = effect.get("index", {})
        made = Indexed(file, wanted.get("looks", 0), wanted.get("error"), dict(body.get("attributes") or {}))
        store.files[file.id] = made
        return made.shown(store.id)

    def look(self, store_id: str, file_id: str, account: str) -> Json:
        """How a file in a store stands. ApiError 404."""
        store = self.store(store_id, account)
        found = store.files.get(file_id)
        if found is None:
            raise ApiError(404, f"No file found with id '{file_id}' in vector store '{store_id}'.")
        found.looks = max(0, found.looks - 1)
        return found.shown(store.id)

    def in_store(self, store_id: str, account: str) -> list[Json]:
        """What is in a store, the newest first."""
        store = self.store(store_id, account)
        return [each.shown(store.id) for each in reversed(store.files.values())]

    def take_out(self, store_id: str, file_id: str, account: str) -> Json:
        """Takes a file out of a store; the file itself stays."""
        self.look(store_id, file_id, account)
        del self.store(store_id, account).files[file_id]
        return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}

    def searched(self, tools: Sequence[object], account: str) -> list[VectorStore]:
        """The stores that a turn's tools search. ApiError where there is no such tool, or no such store."""
        found = []
        for number, tool in enumerate(tools):
            if not isinstance(tool, dict) or tool.get("type") != "file_search":
                raise invalid(f"tools[{number}]", "this server has no tool but file_search.")
            named = tool.get("vector_store_ids")
            if not isinstance(named, list) or not named:
                raise missing(f"tools[{number}].vector_store_ids")
            found += [self.store(str(each), account) for each in named]
        return found


def store_gone(store_id: str) -> ApiError:
    """The 404 that says that a store does not exist."""
    return ApiError(404, f"Vector store with id '{store_id}' not found.", param="vector_store_id")


def hits(stores: Sequence[VectorStore], question: str) -> list[File]:
    """Files that have a word of the question, those with most of them first."""
    words = {each.lower() for each in re.findall(r"\w+", question) if len(each) >= SHORTEST}
    indexed = {
        file.file.id: file.file for store in stores for file in store.files.values() if file.status == "completed"
    }
    counted = {name: sum(word in _text(file) for word in words) for name, file in indexed.items()}
    return [indexed[name] for name in sorted(counted, key=lambda each: -counted[each]) if counted[name]]


def search_call(question: str) -> Json:
    """The item that says that files were searched."""
    return {
        "id": new_id("fs"),
        "type": "file_search_call",
        "status": "completed",
        "queries": [question[:200]],
        "results": None,
    }


def citation(file: File, index: int) -> Json:
    """The annotation of a text that goes by a file; `index` is where."""
    return {"type": "file_citation", "index": index, "file_id": file.id, "filename": file.name}


def _text(file: File) -> str:
    return file.content.decode(errors="replace").lower()


def _check(body: Json, known: frozenset[str]) -> None:
    for name in body.keys() - known:
        raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def _form(content_type: str, raw: bytes) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Reads a form: the name of each part, the name of its file, its bytes. ApiError for what is none."""
    boundary = re.search(r'multipart/form-data;.*boundary="?([^";]+)', content_type)
    if boundary is None:
        raise ApiError(400, "Expected a multipart/form-data body.")
    for part in (b"\r\n" + raw).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode(errors="replace")))
        yield named.get("name", ""), (_unquoted(named.get("filename", "")), content)


def _unquoted(name: str) -> str:
    """Read a name in a form: by HTML, three characters are written otherwise, and a % is not."""
    for sign in ('"', "\r", "\n"):
        name = name.replace(f"%{ord(sign):02X}", sign)
    return name
