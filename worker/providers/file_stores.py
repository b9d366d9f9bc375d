"""OpenAI's files and vector stores: what is uploaded there, and put together to be searched."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from worker.domain.file_stores import MADE_BY, Indexing
from worker.errors import BadRequest, FilesGone, ModelDown, ModelUnknown, ThreadGone
from worker.providers.client import SHORT_CALL, Client
from worker.providers.failures import Call
from worker.providers.wire import Anything, Contents, Conversation, Indexed, Named, Upload, Uploads, VectorStores

UPLOAD_CALL: Final = timedelta(minutes=2)
PAGE: Final = 100
MOST_PAGES: Final = 100
"""Of a list that is looked through for what is ours."""


class OpenAIFiles:
    """Implements `ports.file_stores.FileVendor`. One method call is one request, but for lists and what seems gone."""

    def __init__(self, client: Client, engine: str) -> None:
        self._client = client
        self._engine = engine

    async def ping(self) -> None:
        """See `ports.file_stores.FileVendor.ping`."""
        call = Call("vector_stores.list", SHORT_CALL, probe=True)
        await self._client.request(call, VectorStores, "GET", "/vector_stores?limit=1")

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
        found, after = list[str](), ""
        for _ in range(MOST_PAGES):
            call = Call("vector_stores.files.list", SHORT_CALL, thread_id=store_id)
            path = f"{_store(store_id)}/files?limit={PAGE}{after}"
            try:
                page = await self._client.request(call, Contents, "GET", path)
            except ThreadGone as exc:
                raise FilesGone(f"{call.name}: the vector store does not exist any more", store=store_id) from exc
            found += [each.id for each in page.data]
            if not page.has_more or not page.data:
                break
            after = f"&after={quote(page.data[-1].id, safe='')}"
        return found

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
        found, after = list[str](), ""
        for _ in range(MOST_PAGES):
            call = Call("files.list", SHORT_CALL)
            path = f"/files?purpose=assistants&limit={PAGE}{after}"
            page = await self._client.request(call, Uploads, "GET", path)
            found += [each.id for each in page.data if each.filename == name]
            if not page.has_more or not page.data:
                break
            after = f"&after={quote(page.data[-1].id, safe='')}"
        return sorted(found)

    async def delete_upload(self, file_id: str) -> bool:
        """See `ports.file_stores.FileVendor.delete_upload`."""
        return await self._delete(Call("files.delete", SHORT_CALL, True, file_id), _file(file_id))

    async def put(self, store_id: str, file_id: str) -> bool:
        """See `ports.file_stores.FileVendor.put`."""
        call = Call("vector_stores.files.create", SHORT_CALL, acts=True, thread_id=file_id)
        try:
            await self._client.request(call, Anything, "POST", f"{_store(store_id)}/files", {"file_id": file_id})
        except ThreadGone:
            return False
        except (BadRequest, ModelDown):
            # Servers differ in the words for which of the two there is not: each is asked for by itself.
            await self._check(store_id)
            if await self.name_of(file_id) is not None:
                raise
            return False
        return True

    async def status(self, store_id: str, file_id: str) -> Indexing | None:
        """See `ports.file_stores.FileVendor.status`."""
        call = Call("vector_stores.files.retrieve", SHORT_CALL, thread_id=file_id)
        try:
            found = await self._client.request(call, Indexed, "GET", f"{_store(store_id)}{_file(file_id)}")
        except ThreadGone:
            await self._check(store_id)
            return None
        except (BadRequest, ModelDown):
            await self._check(store_id)
            raise
        match found.status:
            case "completed" | "in_progress":
                return Indexing(found.status)
            case "failed" | "cancelled":
                return Indexing("failed", (found.last_error.code if found.last_error else None) or found.status)
        raise ModelUnknown(f"{call.name}: the reply does not say how the file stands")

    async def take_out(self, store_id: str, file_id: str) -> None:
        """See `ports.file_stores.FileVendor.take_out`."""
        call = Call("vector_stores.files.delete", SHORT_CALL, acts=True, thread_id=file_id)
        await self._delete(call, f"{_store(store_id)}{_file(file_id)}")

    async def _stores(self) -> AsyncIterator[Conversation]:
        after = ""
        for _ in range(MOST_PAGES):
            call = Call("vector_stores.list", SHORT_CALL)
            page = await self._client.request(call, VectorStores, "GET", f"/vector_stores?limit={PAGE}{after}")
            for each in page.data:
                yield each
            if not page.has_more or not page.data:
                return
            after = f"&after={quote(page.data[-1].id, safe='')}"

    async def _check(self, store_id: str) -> None:
        """Raise FilesGone if there is no such store."""
        call = Call("vector_stores.retrieve", SHORT_CALL, thread_id=store_id)
        try:
            await self._client.request(call, Anything, "GET", _store(store_id))
        except ThreadGone as exc:
            raise FilesGone(f"{call.name}: the vector store does not exist any more") from exc

    async def _delete(self, call: Call, path: str) -> bool:
        try:
            await self._client.request(call, Anything, "DELETE", path)
        except ThreadGone:
            return False
        return True


def _bears(store: Conversation, mark: str) -> bool:
    found = store.metadata or {}
    return bool(mark) and found.get("made_by") == MADE_BY and found.get("mark") == mark


def _store(store_id: str) -> str:
    return f"/vector_stores/{quote(store_id, safe='')}"


def _file(file_id: str) -> str:
    return f"/files/{quote(file_id, safe='')}"
