"""A provider's files and vector stores, in memory."""

import asyncio
from dataclasses import dataclass, field
from itertools import count

from worker.domain.file_stores import Indexing
from worker.errors import BadRequest, FilesGone, ModelUnknown


@dataclass(slots=True)
class Store:
    """One store; `files` says how each stands."""

    mark: str
    files: dict[str, Indexing] = field(default_factory=dict)


class FakeVendor:
    """`ports.file_stores.FileVendor`; each call meets `trouble`.

    Files of an ending in `untaken` are refused, those in `unput` by stores, those in `failing` not indexed, those in
    `slow` not until all is `indexed`. Of so many uploads that are `unheard` the reply is lost.
    """

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.untaken: set[str] = set()
        self.unput: set[str] = set()
        self.failing: dict[str, str] = {}
        self.endless = False
        self.slow: set[str] = set()
        self.unheard = 0
        self.trouble: Exception | None = None
        self.calls: list[str] = []
        self._ids = count(1)

    async def ping(self) -> None:
        await self._called("ping")

    async def create(self, name: str, mark: str, digest: str) -> str:  # noqa: ARG002 - for people alone
        await self._called("create")
        made = f"vs_{next(self._ids)}"
        self.stores[made] = Store(mark)
        return made

    async def marked(self, mark: str) -> list[str]:
        await self._called("marked")
        return sorted(name for name, each in self.stores.items() if each.mark == mark)

    async def ours(self) -> list[str]:
        await self._called("ours")
        return sorted(name for name, each in self.stores.items() if each.mark != "theirs")

    async def contents(self, store_id: str) -> list[str]:
        await self._called("contents")
        return list(self._store(store_id).files)

    async def name_of(self, file_id: str) -> str | None:
        await self._called("name_of")
        return self.files[file_id][0] if file_id in self.files else None

    async def bears(self, store_id: str, mark: str) -> bool:
        await self._called("bears")
        return store_id in self.stores and self.stores[store_id].mark == mark

    async def delete(self, store_id: str) -> bool:
        await self._called("delete")
        return self.stores.pop(store_id, None) is not None

    async def upload(self, name: str, content: bytes) -> str:
        await self._called("upload")
        if name.rpartition(".")[2] in self.untaken:
            raise BadRequest("files.create: the provider does not accept this call")
        made = f"file_{next(self._ids)}"
        self.files[made] = (name, content)
        if self.unheard:
            self.unheard -= 1
            raise ModelUnknown("the reply was lost")
        return made

    async def uploads(self, name: str) -> list[str]:
        await self._called("uploads")
        return sorted(file for file, (known, _) in self.files.items() if known == name)

    async def delete_upload(self, file_id: str) -> bool:
        await self._called("delete_upload")
        for each in self.stores.values():
            each.files.pop(file_id, None)
        return self.files.pop(file_id, None) is not None

    async def put(self, store_id: str, file_id: str) -> bool:
        await self._called("put")
        store = self._store(store_id)
        if file_id not in self.files:
            return False
        ending = self.files[file_id][0].rpartition(".")[2]
        if ending in self.unput:
            raise BadRequest("vector_stores.files.create: the provider does not accept this call")
        error = self.failing.get(ending)
        state = Indexing("in_progress") if self.endless or ending in self.slow else Indexing("completed")
        store.files[file_id] = Indexing("failed", error) if error else state
        return True

    async def status(self, store_id: str, file_id: str) -> Indexing | None:
        await self._called("status")
        return self._store(store_id).files.get(file_id)

    async def take_out(self, store_id: str, file_id: str) -> None:
        await self._called("take_out")
        self._store(store_id).files.pop(file_id, None)

    def indexed(self) -> None:
        """Have all that is in a store indexed."""
        for store in self.stores.values():
            store.files = dict.fromkeys(store.files, Indexing("completed"))

    def count(self, call: str) -> int:
        return self.calls.count(call)

    def _store(self, store_id: str) -> Store:
        if store_id not in self.stores:
            raise FilesGone("the vector store does not exist any more")
        return self.stores[store_id]

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.trouble is not None:
            raise self.trouble
        await asyncio.sleep(0)  # others come in between
