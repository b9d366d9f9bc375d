"""Files of assistants at a provider, taken away on request: what is ours, and nothing else."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.domain.file_stores import FileStore, Kept, Outcome, Removal, Upload, is_upload
from worker.errors import FilesGone, WorkerError
from worker.ports.file_stores import FileVendor, StoreBook
from worker.turn.file_stores import locked

_OTHER_KEY: Final = "it was made with another key, and this one does not see it: remove it with that key"

_UNKNOWN: Final = "nothing here knew of it: its metadata say that it is ours"


@dataclass(frozen=True, slots=True)
class FileRemoval:
    """Removes from one provider what its book knows. May be repeated after any end: it goes on with what is left.

    `others` are the books of the other providers, which may be the same server by another name.
    """

    provider: str
    vendor: FileVendor
    book: StoreBook
    others: Sequence[StoreBook] = ()

    async def remove(self, ids: Collection[str] | None, used: Collection[str]) -> list[Removal]:
        """Remove the stores of these ids, or with None those of no `used` set of files and of other keys.

        Returns a line for each thing. The files of a store go as well, if no other one has them; with None also those
        that are in no store. Raises StoreDown, and ModelDown where another worker is busy for too long.
        """
        lines: list[Removal] = []
        async with locked(self.book):
            kept = await self.book.everything()
            for entry in kept.stores:
                if named(entry) in ids if ids is not None else not (self._own(entry) and entry.digest in used):
                    lines += await self._store(entry)
            if ids is None:
                lines += await self._strays()
        return lines

    async def broken(self) -> dict[str, str]:
        """Say of stores that are to be ready whether they are gone at the provider, or lack a file, by their ids."""
        found: dict[str, str] = {}
        kept = await self.book.everything()
        files = {each.sha256: each.id for each in kept.uploads if self._own(each)}
        for entry in kept.stores:
            if not entry.ready or not self._own(entry):
                continue
            try:
                inside = set(await self.vendor.contents(entry.id))
            except FilesGone:
                found[entry.id] = "gone"
                continue
            if not {files.get(sha256) for sha256 in entry.sums} <= inside:
                found[entry.id] = "lacks a file"
        return found

    async def unknown(self) -> list[str]:
        """Find the stores that are ours by their metadata, and of which the book has no note, as after its loss."""
        known = {each.id for kept in await self._all_books() for each in kept.stores}
        return [each for each in await self.vendor.ours() if each not in known]

    async def remove_unknown(self, ids: Collection[str]) -> list[Removal]:
        """Remove those of them that are named, with the files that no other one has; as above.

        Files go first: the store is what they are found by.
        """
        lines: list[Removal] = []
        async with locked(self.book):
            for each in [each for each in await self.unknown() if each in ids]:
                line = Removal(self.provider, "store", each, "", "removed", _UNKNOWN)
                try:
                    for file, name in (await self._only_in(each)).items():
                        gone: Outcome = "removed" if await self.vendor.delete_upload(file) else "gone"
                        lines.append(Removal(self.provider, "file", file, name[:12], gone))
                    line = line if await self.vendor.delete(each) else replace(line, outcome="gone")
                except WorkerError as exc:
                    line = replace(line, outcome="failed", reason=str(exc))
                lines.append(line)
        return lines

    async def _only_in(self, store: str) -> dict[str, str]:
        """Find the files of ours that are in this store, in no other one, and in no note; with their names."""
        elsewhere = {each.id for kept in await self._all_books() for each in kept.uploads}
        for other in await self.vendor.ours():
            if other != store:
                elsewhere |= set(await self.vendor.contents(other))
        inside = [each for each in await self.vendor.contents(store) if each not in elsewhere]
        names = {each: await self.vendor.name_of(each) or "" for each in inside}
        return {each: name for each, name in names.items() if is_upload(name)}

    async def _all_books(self) -> list[Kept]:
        return [await each.everything() for each in (self.book, *self.others)]

    async def _strays(self) -> list[Removal]:
        try:
            left = await self.book.everything()
        except WorkerError as exc:  # what was removed by now is to be told all the same
            return [Removal(self.provider, "file", "", "", "failed", str(exc))]
        return [line for each in _alone(left) for line in await self._upload(each, is_seen=self._own(each))]

    async def _store(self, entry: FileStore) -> list[Removal]:
        line = Removal(self.provider, "store", named(entry), ", ".join(name for name, _ in entry.files), "failed")
        lines: list[Removal] = []
        try:
            if not self._own(entry) and entry.leaving != self.book.account:
                if not entry.id or not await self.vendor.bears(entry.id, entry.mark):
                    return [replace(line, outcome="unseen", reason=_OTHER_KEY)]
                # Who goes on after a death will not see it any more.
                entry = replace(entry, leaving=self.book.account)
                await self.book.note(entry)
            # Of a maker that died, or lost its lock, there may be others that bear its mark.
            ids = {*([entry.id] if entry.id else []), *await self.vendor.marked(entry.mark)}
            deleted = [await self.vendor.delete(each) for each in sorted(ids)]
            line = replace(line, outcome="removed" if any(deleted) else "gone")
            for upload in self._left_by(entry, await self.book.everything()):
                lines += await self._upload(upload, is_seen=True)
            if any(each.outcome == "failed" for each in lines):
                return [line, *lines]
            # Last of all: whoever dies before finds it again.
            await self.book.forget(entry)
        except WorkerError as exc:
            return [_stopped(line, exc), *lines]
        return [line, *lines]

    async def _upload(self, upload: Upload, *, is_seen: bool) -> list[Removal]:
        line = Removal(self.provider, "file", upload.id or upload.name, upload.sha256[:12], "failed")
        ids = {upload.id} if upload.id and is_seen else set[str]()
        try:
            # By its name, too, which nobody can guess: an upload whose reply was lost may have left another one.
            ids |= set(await self.vendor.uploads(upload.name))
            if not ids and not is_seen:
                return [replace(line, outcome="unseen", reason=_OTHER_KEY)]
            deleted = [await self.vendor.delete_upload(each) for each in sorted(ids)]
            line = replace(line, outcome="removed" if any(deleted) else "gone")
            await self.book.forget(upload)
        except WorkerError as exc:
            return [_stopped(line, exc)]
        return [line]

    def _own(self, entry: FileStore | Upload) -> bool:
        return entry.account == self.book.account

    def _left_by(self, entry: FileStore, kept: Kept) -> Iterator[Upload]:
        """Find the files of a store that no other one of its account has."""
        others = {sha for each in _of(entry.account, kept) if each.digest != entry.digest for sha in each.sums}
        for each in kept.uploads:
            if each.account == entry.account and each.sha256 in entry.sums - others:
                yield each


def _stopped(line: Removal, why: WorkerError) -> Removal:
    """Say of one thing that removing it ended early: before it was away at the provider, or behind that."""
    if line.outcome == "failed":
        return replace(line, reason=str(why))
    return replace(line, reason=f"its note here is left, and goes with the next removal: {why}")


def named(entry: FileStore) -> str:
    """Name a store for people: by its id, or by its mark where it has none yet."""
    return entry.id or entry.mark


def _of(account: str, kept: Kept) -> Iterator[FileStore]:
    return (each for each in kept.stores if each.account == account)


def _alone(kept: Kept) -> list[Upload]:
    """Find the files that are in no store, as of one that was given up."""
    used = {(each.account, sha) for each in kept.stores for sha in each.sums}
    return [each for each in kept.uploads if (each.account, each.sha256) not in used]
