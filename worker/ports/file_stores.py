"""Files of assistants at a provider that searches them itself, and where it is kept what was made there."""

from datetime import timedelta
from typing import Protocol

from worker.domain.file_stores import FileStore, Indexing, Kept, Upload


class FileVendor(Protocol):
    """A provider's files and vector stores.

    Every method may raise ModelDown, ProviderPaused, ModelUnknown, TurnedAway and BadRequest; those with a store also
    FilesGone, only after a positive answer that there is no such store for this key.
    """

    async def ping(self) -> None:
        """Return if the key may have stores."""
        ...

    async def create(self, name: str, mark: str, digest: str) -> str:
        """Make an empty store that bears this mark, and return its id."""
        ...

    async def marked(self, mark: str) -> list[str]:
        """Find the stores that bear this mark, in the order of their ids."""
        ...

    async def ours(self) -> list[str]:
        """Find all stores of this engine's workers, by their metadata alone."""
        ...

    async def contents(self, store_id: str) -> list[str]:
        """Return the ids of the files that are in a store."""
        ...

    async def name_of(self, file_id: str) -> str | None:
        """Return what a file is called; None if it is gone."""
        ...

    async def bears(self, store_id: str, mark: str) -> bool:
        """Whether this key sees this store, and it bears this mark."""
        ...

    async def delete(self, store_id: str) -> bool:
        """Delete a store; False if it is gone already. Its files stay."""
        ...

    async def upload(self, name: str, content: bytes) -> str:
        """Upload a file, and return its id. Raises BadRequest for one that is not taken."""
        ...

    async def uploads(self, name: str) -> list[str]:
        """Find the files of exactly this name, in the order of their ids."""
        ...

    async def delete_upload(self, file_id: str) -> bool:
        """Delete a file; False if it is gone already."""
        ...

    async def put(self, store_id: str, file_id: str) -> bool:
        """Put a file into a store, which begins to index it; False if the file is gone."""
        ...

    async def status(self, store_id: str, file_id: str) -> Indexing | None:
        """Return how a file in a store stands; None if it is not in there."""
        ...

    async def take_out(self, store_id: str, file_id: str) -> None:
        """Take a file out of a store, if it is in there."""
        ...


class StoreBook(Protocol):
    """What one engine's workers have made at one provider, by the account that its key is of.

    Every method may raise StoreDown and NewerRecord, and may be repeated after a lost reply.
    """

    @property
    def account(self) -> str:
        """Name the account of the key in use."""
        ...

    async def everything(self) -> Kept:
        """Return all that is known, of every account."""
        ...

    async def store(self, digest: str) -> FileStore | None:
        """Return the store of this set of files in the account of the key in use."""
        ...

    async def upload(self, sha256: str) -> Upload | None:
        """Return the file of this digest there."""
        ...

    async def begin(self, store: FileStore) -> FileStore:
        """Note a store before it is made; return what is noted, which may be another worker's."""
        ...

    async def begin_upload(self, upload: Upload) -> Upload:
        """Note a file before it is uploaded; as above."""
        ...

    async def note(self, entry: FileStore | Upload) -> None:
        """Note how it stands."""
        ...

    async def forget(self, entry: FileStore | Upload) -> bool:
        """Take away what is noted, if it is still this; whether it was."""
        ...

    async def lock(self, token: str, lease: timedelta) -> bool:
        """Be the one who makes and removes; False if somebody else is."""
        ...

    async def renew(self, token: str, lease: timedelta) -> bool:
        """Stay the one for another lease; False if the lock is lost."""
        ...

    async def unlock(self, token: str) -> None:
        """Let go of the lock, if it is still ours."""
        ...
