"""Files of assistants at a provider that searches them itself: made once for all workers, and searched from then on.

Whatever is made is noted before, by a mark that nobody can guess and that goes into its metadata or its name. So what a
worker leaves that dies is found again by its mark, and nothing of anybody else's is ever taken for it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Final
from uuid import uuid4

import structlog

from worker.domain.documents import AssistantFile
from worker.domain.file_stores import FileStore, Searchable, Upload, set_digest
from worker.errors import (
    BadDefinition,
    BadRequest,
    FilesGone,
    FilesOnTheWay,
    ModelDown,
    ModelUnknown,
    StoreDown,
    WorkerError,
)
from worker.ports.documents import Shelf
from worker.ports.file_stores import FileVendor, StoreBook
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

LEASE: Final = timedelta(seconds=30)
"""Of the lock, which is renewed: so long a worker that died keeps others from making."""
PATIENCE_SECONDS: Final = 600.0
"""How long a worker waits for another one that makes or removes."""
INDEXING_SECONDS: Final = 300.0
"""How long a provider may take to index one file; then the task comes again."""
WAIT_SECONDS: Final = 10.0
"""How long a task waits for its files; then it comes again, and its slot is another one's."""
SOON: Final = timedelta(seconds=15)
MOST_MISSED: Final = 5
"""So often in a row a file may not be seen that was put into a store: some providers list it later."""
AGAIN: Final = timedelta(seconds=30)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
FAILED_SECONDS: Final = 60.0
"""So long what could not be made is not tried again: a task that waited for it comes before that, and hears why."""
_HOPELESS: Final = frozenset({"unsupported_file", "invalid_file"})

log = structlog.get_logger()


@dataclass(slots=True)
class _Failed:
    at: float
    error: WorkerError


@dataclass(slots=True)
class FileStores:
    """The files of assistants at one provider, as turns want them.

    What takes long happens in a task of its own, one for each set of files; who gives up meanwhile ends none.
    """

    provider: str
    vendor: FileVendor
    book: StoreBook
    shelf: Shelf
    _ready: dict[tuple[str, str], Searchable] = field(default_factory=dict)
    _making: dict[tuple[str, str], asyncio.Task[Searchable]] = field(default_factory=dict)
    _failed: dict[tuple[str, str], _Failed] = field(default_factory=dict)

    async def ready(self, files: Sequence[AssistantFile]) -> Searchable:
        """Return the store of these files, which is made if there is none.

        Raises BadDefinition for a file that the provider does not take, FileChanging, StoreDown, BadRequest,
        TurnedAway, FilesOnTheWay where that takes longer, and ModelDown where it cannot be made now.
        """
        key = (self.book.account, set_digest(files))
        if (known := self._ready.get(key)) is not None:
            return known
        if (failed := self._failed.get(key)) is not None and monotonic() - failed.at < FAILED_SECONDS:
            raise failed.error.with_traceback(None)
        if key not in self._making:
            task = asyncio.create_task(self._made(tuple(files)), name="vector store of files")
            self._making[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        making = self._making[key]
        done, _ = await asyncio.wait({making}, timeout=WAIT_SECONDS)
        if not done:
            raise FilesOnTheWay(f"{self.provider} is being given the files to look things up in", retry_after=SOON)
        return making.result()

    async def gone(self, files: Sequence[AssistantFile], store_id: str) -> None:
        """Forget this store of these files, which the provider has no more; not one that was made anew meanwhile."""
        key = (self.book.account, set_digest(files))
        if (known := self._ready.get(key)) is not None and known.id == store_id:
            del self._ready[key]
        entry = await self.book.store(set_digest(files))
        if entry is not None and entry.id == store_id:
            await self.book.forget(entry)
        log.warning(Event.FILES_GONE, provider=self.provider, store=store_id)

    async def check(self, files: Sequence[AssistantFile], store_id: str) -> None:
        """Forget this store of these files if the provider says that it has it no more. Never raises WorkerError."""
        try:
            await self.vendor.contents(store_id)
        except FilesGone:
            with suppress(WorkerError):  # the next search in vain finds it out
                await self.gone(files, store_id)
        except WorkerError:
            return  # nobody can tell now

    async def close(self) -> None:
        """Make no more, and let go of the lock."""
        making = list(self._making.values())
        for each in making:
            each.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    def _over(self, key: tuple[str, str], task: asyncio.Task[Searchable]) -> None:
        del self._making[key]
        if task.cancelled():
            return
        match task.exception():
            case None:
                self._failed.pop(key, None)
                self._ready[key] = task.result()
            # What is down with one of the others is found out by a probe, and may be up by the next task.
            case WorkerError(dependency=None) as error:
                self._failed[key] = _Failed(monotonic(), error)

    async def _made(self, files: Sequence[AssistantFile]) -> Searchable:
        try:
            entry = await self.book.store(set_digest(files))
            if entry is None or not entry.ready:
                entry = await self._finished(files)
            return await self._searchable(entry)
        except (ModelUnknown, FilesGone) as exc:
            # Whatever it has done is found by its mark; of the task nothing has been asked.
            raise ModelDown(f"files cannot be made searchable now: {exc}", retry_after=AGAIN) from exc

    async def _finished(self, files: Sequence[AssistantFile]) -> FileStore:
        """Make the store, or what is missing of it. The lock is not held while files are indexed."""
        by_bytes = {each.sha256: each for each in files}
        async with locked(self.book):
            entry = await self._filled(files, by_bytes.values())
            if entry.ready:
                return entry
            uploads = {sha256: await self.book.upload(sha256) for sha256 in by_bytes}
        for sha256, upload in uploads.items():
            if upload is not None:
                await self._indexed(entry, by_bytes[sha256], upload)
        async with locked(self.book):
            now = await self.book.store(entry.digest)
            if now != entry:
                if now is not None and now.ready:
                    return now  # another worker has waited for it, too
                raise ModelDown("files were taken away, or put anew, while they were indexed", retry_after=AGAIN)
            entry = replace(entry, ready=True)
            await self.book.note(entry)
        log.info(Event.FILES_STORED, provider=self.provider, store=entry.id, files=len(entry.files))
        return entry

    async def _searchable(self, entry: FileStore) -> Searchable:
        known = {sha256: await self.book.upload(sha256) for sha256 in entry.sums}
        return Searchable(entry.id, {name: each.name for name, sha in entry.files if (each := known[sha]) is not None})

    async def _filled(self, files: Sequence[AssistantFile], different: Collection[AssistantFile]) -> FileStore:
        """Have a store with all that is `different` in it, which is made anew where the provider has lost it."""
        entry = await self.book.store(set_digest(files))
        if entry is not None and entry.ready:
            return entry
        if entry is not None:
            try:
                return await self._put_into(entry, different, is_new=False)
            except FilesGone:
                await self.book.forget(entry)
        named = tuple(sorted((each.name, each.sha256) for each in files))
        wanted = FileStore(set_digest(files), uuid4().hex, self.book.account, named, datetime.now(UTC))
        entry = await self.book.begin(wanted)
        return await self._put_into(entry, different, is_new=entry == wanted)

    async def _put_into(self, entry: FileStore, files: Collection[AssistantFile], *, is_new: bool) -> FileStore:
        is_empty = False
        if not entry.id:
            # One that is noted and has no id: whoever noted it may have made it, and died.
            found = [] if is_new else await self.vendor.marked(entry.mark)
            name = f"assistant-worker {entry.digest[:12]}"
            made = found[0] if found else await self.vendor.create(name, entry.mark, entry.digest)
            is_empty = not found
            entry = replace(entry, id=made)
            await self.book.note(entry)
        for each in files:
            await self._put(entry, each, is_empty=is_empty)
        return entry

    async def _put(self, entry: FileStore, file: AssistantFile, *, is_empty: bool) -> None:
        """Have a file in the store; uploaded once more where the provider has lost it.

        An empty one is not asked for it: OGX takes seconds to say no, and answers nobody meanwhile.
        """
        for _ in range(2):
            upload = await self._uploaded(file)
            stands = None if is_empty else await self.vendor.status(entry.id, upload.id)
            if stands is not None and stands.state == "failed":
                await self.vendor.take_out(entry.id, upload.id)
                stands = None
            try:
                if stands is not None or await self.vendor.put(entry.id, upload.id):
                    return
            except BadRequest as exc:
                await self._give_up(entry, upload)
                raise self._untaken(file, str(exc)) from exc
            await self._drop(upload)
        raise ModelDown(f"the provider {self.provider} loses the file {file.name!r}", retry_after=AGAIN)

    async def _give_up(self, entry: FileStore, upload: Upload) -> None:
        """Leave nothing of a file that is not taken, so that it may come by another name; what is searched stays."""
        kept = await self.book.everything()
        others = [each for each in kept.stores if each.ready and each.account == upload.account]
        if any(upload.sha256 in each.sums for each in others):
            await self.vendor.take_out(entry.id, upload.id)
        else:
            await self._drop(upload)

    async def _drop(self, upload: Upload) -> None:
        """Take a file away that is of no use there, with others of its name, of which a reply was lost."""
        for each in {upload.id, *await self.vendor.uploads(upload.name)}:
            await self.vendor.delete_upload(each)
        await self.book.forget(upload)

    async def _uploaded(self, file: AssistantFile) -> Upload:
        upload = await self.book.upload(file.sha256)
        is_new = False
        if upload is None:
            name = f"{file.sha256}-{uuid4().hex[:12]}{PurePath(file.name).suffix.lower()}"
            wanted = Upload(file.sha256, name, self.book.account)
            upload = await self.book.begin_upload(wanted)
            is_new = upload == wanted
        if upload.id:
            return upload
        found = [] if is_new else await self.vendor.uploads(upload.name)
        if not found:
            content = await self.shelf.content(file)
            try:
                found = [await self.vendor.upload(upload.name, content)]
            except BadRequest as exc:
                # The same bytes may be taken by another name.
                await self.book.forget(upload)
                raise self._untaken(file, str(exc)) from exc
        upload = replace(upload, id=found[0])
        await self.book.note(upload)
        for each in found[1:]:
            await self.vendor.delete_upload(each)
        return upload

    async def _indexed(self, entry: FileStore, file: AssistantFile, upload: Upload) -> None:
        ends_at, pause, missed = monotonic() + INDEXING_SECONDS, FIRST_PAUSE_SECONDS, 0
        while True:
            stands = await self.vendor.status(entry.id, upload.id)
            missed = missed + 1 if stands is None else 0
            if missed > MOST_MISSED:
                raise ModelDown(f"the file {file.name!r} was taken away while it was indexed", retry_after=AGAIN)
            if stands is not None and stands.state == "completed":
                return
            if stands is not None and stands.state == "failed":
                if stands.error in _HOPELESS:
                    async with locked(self.book):
                        await self._give_up(entry, upload)
                    raise self._untaken(file, stands.error)
                raise ModelDown(f"the file {file.name!r} could not be indexed: {stands.error}", retry_after=AGAIN)
            if monotonic() > ends_at:
                raise ModelDown(f"the file {file.name!r} is still being indexed", retry_after=AGAIN)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads requests, guards nothing
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _untaken(self, file: AssistantFile, why: str) -> BadDefinition:
        return BadDefinition(
            f"the provider {self.provider} does not take the file {file.name!r} that the assistant looks things up in: "
            f"{why}. Save it in another form, or take file_search away from the provider"
        )


@asynccontextmanager
async def locked(book: StoreBook) -> AsyncIterator[None]:
    """Be the only one who makes or removes in the block. Raises ModelDown where another one takes too long."""
    token, ends_at = uuid4().hex, monotonic() + PATIENCE_SECONDS
    while not await book.lock(token, LEASE):
        if monotonic() > ends_at:
            raise ModelDown("another worker has been busy with files for long", retry_after=AGAIN)
        await asyncio.sleep(random.uniform(0.5, 1.0))  # noqa: S311 - spreads requests, guards nothing

    async def renew() -> bool:
        try:
            return await book.renew(token, LEASE)
        except StoreDown:
            return True  # nobody can tell: Redis may be back before the lease is over

    try:
        async with background.renewing(LEASE, renew, "lock of files"):
            yield
    finally:
        with suppress(StoreDown):  # then it runs out
            await book.unlock(token)
