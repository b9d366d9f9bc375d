"""OpenAI's files and vector stores: what is uploaded there, and put together to be searched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote

from worker.domain.file_stores import MADE_BY, Indexing
from worker.domain.threads import Assistant
from worker.errors import BadRequest, FilesGone, ModelDown, ModelUnknown, ThreadGone, WorkerError
from worker.providers.client import SHORT_CALL, Client
from worker.providers.failures import Call
from worker.providers.wire import Anything, Conversation, Indexed, Named, Page, Upload

UPLOAD_CALL: Final = timedelta(minutes=2)
PAGE: Final = 100
FILES_PAGE: Final = 10_000
"""What OpenAI lists of files at most, and by default."""
MOST_PAGES: Final = 100
"""Of a list that is looked through for what is ours."""
W = TypeVar("W", bound=Named | Upload | Conversation)


class OpenAIFiles:
    """Implements `ports.file_stores.FileVendor`. One method call is one request, but for lists and what seems gone."""

    def __init__(self, client: Client, engine: str) -> None:
        self._client = client
        self._engine = engine

    async def ping(self) -> None:
        """See `ports.file_stores.FileVendor.ping`."""
        call = Call("vector_stores.list", SHORT_CALL, probe=True)
        await self._client.request(call, Page[Conversation], "GET", "/vector_stores?limit=1")

    async def create(self, name: str, mark: str, digest: str) -> str:
        """See `ports.file_stores.FileVendor.create`. Without an expiry: it is there until somebody removes it."""
        call = Call("vector_stores.create", SHORT_CALL, acts=True)
        metadata = {"made_by": MADE_BY, "engine": self._engine[:512], "digest": digest, "mark": mark}
        made = await self._client.request(call, Named, "POST", "/vector_stores", {"name": name, "metadata": metadata})
        return made.id

    async def marked(self, mark: str) -> list[str]:
        """See `ports.file_stores.FileVendor.marked`."""
        return sorted([each.id async for each in self._stores() if _bears(each, mark)])

    async def ours(self) -> list[str]:
        """See `ports.file_stores.FileVendor.ours`."""
        wanted = {"made_by": MADE_BY, "engine": self._engine[:512]}
        return sorted([each.id async for each in self._stores() if wanted.items() <= (each.metadata or {}).items()])

    async def contents(self, store_id: str) -> list[str]:
        """See `ports.file_stores.FileVendor.contents`."""
        listed = self._listed("vector_stores.files.list", Page[Named], f"{_store(store_id)}/files?", store_id)
        try:
            return [each.id async for each in listed]
        except ThreadGone as exc:
            raise FilesGone("the vector store does not exist any more", store=store_id) from exc

    async def name_of(self, file_id: str) -> str | None:
        """See `ports.file_stores.FileVendor.name_of`."""
        call = Call("files.retrieve", SHORT_CALL, thread_id=file_id)
        try:
            return (await self._client.request(call, Upload, "GET", _file(file_id))).filename or ""
        except ThreadGone:
            return None

    async def bears(self, store_id: str, mark: str) -> bool:
        """See `ports.file_stores.FileVendor.bears`."""
        call = Call("vector_stores.retrieve", SHORT_CALL, thread_id=store_id)
        try:
            return _bears(await self._client.request(call, Conversation, "GET", _store(store_id)), mark)
        except ThreadGone:
            return False

    async def delete(self, store_id: str) -> bool:
        """See `ports.file_stores.FileVendor.delete`."""
        return await self._delete(Call("vector_stores.delete", SHORT_CALL, True, store_id), _store(store_id))

    async def upload(self, name: str, content: bytes) -> str:
        """See `ports.file_stores.FileVendor.upload`."""
        call = Call("files.create", UPLOAD_CALL, acts=True)
        return (await self._client.upload(call, Named, "/files", {"purpose": "assistants"}, (name, content))).id

    async def uploads(self, name: str) -> list[str]:
        """See `ports.file_stores.FileVendor.uploads`."""
        listed = self._listed("files.list", Page[Upload], "/files?purpose=assistants&", page=FILES_PAGE)
        return sorted([each.id async for each in listed if each.filename == name])

    async def delete_upload(self, file_id: str) -> bool:
        """See `ports.file_stores.FileVendor.delete_upload`."""
        return await self._delete(Call("files.delete", SHORT_CALL, True, file_id), _file(file_id))

    async def put(self, store_id: str, file_id: str) -> bool:
        """See `ports.file_stores.FileVendor.put`."""
        call = Call("vector_stores.files.create", SHORT_CALL, acts=True, thread_id=file_id)
        try:
            put = await self._client.request(call, Indexed, "POST", f"{_store(store_id)}/files", {"file_id": file_id})
        except ThreadGone:
            return False
        except (BadRequest, ModelDown):
            # Servers differ in the words for which of the two there is not: each is asked for by itself.
            await _check(self._client, store_id)
            if await self.name_of(file_id) is not None:
                raise
            return False
        # OGX takes a file that is not there, and calls it failed.
        return put.status != "failed" or await self.name_of(file_id) is not None

    async def status(self, store_id: str, file_id: str) -> Indexing | None:
        """See `ports.file_stores.FileVendor.status`."""
        call = Call("vector_stores.files.retrieve", SHORT_CALL, thread_id=file_id)
        try:
            found = await self._client.request(call, Indexed, "GET", f"{_store(store_id)}{_file(file_id)}")
        except ThreadGone:
            await _check(self._client, store_id)
            return None
        except (BadRequest, ModelDown):
            # Servers differ in how they refuse a file that a store does not have: so it is asked which ones it has.
            if file_id in await self.contents(store_id):
                raise
            return None
        match found.status:
            case "completed" | "in_progress":
                return Indexing(found.status)
            case "failed" | "cancelled":
                return Indexing("failed", (found.last_error.code if found.last_error else None) or found.status)
        raise ModelUnknown(f"{call.name}: the reply does not say how the file stands")

    async def take_out(self, store_id: str, file_id: str) -> None:
        """See `ports.file_stores.FileVendor.take_out`."""
        call = Call("vector_stores.files.delete", SHORT_CALL, acts=True, thread_id=file_id)
        try:
            await self._delete(call, f"{_store(store_id)}{_file(file_id)}")
        except (BadRequest, ModelDown):
            await _check(self._client, store_id)
            raise

    def _stores(self) -> AsyncIterator[Conversation]:
        return self._listed("vector_stores.list", Page[Conversation], "/vector_stores?")

    async def _listed(
        self, name: str, shape: type[Page[W]], path: str, of: str | None = None, page: int = PAGE
    ) -> AsyncIterator[W]:
        """Read a list to its end. Raises ModelDown for a longer one: what was not read may be ours."""
        after = ""
        for _ in range(MOST_PAGES):
            call = Call(name, SHORT_CALL, thread_id=of)
            found = await self._client.request(call, shape, "GET", f"{path}limit={page}{after}")
            for each in found.data:
                yield each
            if not found.has_more or not found.data:
                return
            after = f"&after={quote(found.data[-1].id, safe='')}"
        raise ModelDown(f"{name}: there are more than {page * MOST_PAGES}, among which ours cannot be told")

    async def _delete(self, call: Call, path: str) -> bool:
        try:
            await self._client.request(call, Anything, "DELETE", path)
        except ThreadGone:
            return False
        return True


@asynccontextmanager
async def searching(client: Client, assistant: Assistant) -> AsyncIterator[None]:
    """Make FilesGone of a turn's refusal if the store that it was to search is gone.

    Servers differ in the words for that, and a gateway has words of its own: so the store is asked for by itself.
    """
    try:
        yield
    except (BadRequest, ModelDown) as exc:
        if assistant.file_store and (isinstance(exc, BadRequest) or exc.status == HTTPStatus.NOT_FOUND):
            await _told_apart(client, assistant.file_store)
        raise


async def _told_apart(client: Client, store_id: str) -> None:
    """Raise FilesGone if the provider says so; what else it says is nothing against what was refused before."""
    try:
        await _check(client, store_id)
    except FilesGone:
        raise
    except WorkerError:
        return


async def _check(client: Client, store_id: str) -> None:
    """Raise FilesGone if there is no such store."""
    call = Call("vector_stores.retrieve", SHORT_CALL, thread_id=store_id)
    try:
        await client.request(call, Anything, "GET", _store(store_id))
    except ThreadGone as exc:
        raise FilesGone("the vector store with the assistant's files does not exist any more", store=store_id) from exc


def _bears(store: Conversation, mark: str) -> bool:
    found = store.metadata or {}
    return bool(mark) and found.get("made_by") == MADE_BY and found.get("mark") == mark


def _store(store_id: str) -> str:
    return f"/vector_stores/{quote(store_id, safe='')}"


def _file(file_id: str) -> str:
    return f"/files/{quote(file_id, safe='')}"
