"""What it takes to know whose account a key is of."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.domain.threads import Anchor, Said


class Source(Protocol):
    """The part of a provider's port that anchors need."""

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:
        """See `ports.providers.Provider.create_thread`."""
        ...

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """See `ports.providers.Provider.metadata`."""
        ...

    async def delete_thread(self, thread_id: str) -> None:
        """See `ports.providers.Provider.delete_thread`."""
        ...

    async def ping(self) -> None:
        """See `ports.providers.Provider.ping`."""
        ...


class Book(Protocol):
    """Anchors that are known, of one engine and one provider. Every method may raise StoreDown or TranscriptDown."""

    async def anchors(self) -> Mapping[str, Anchor]:
        """Read them, by their ids."""
        ...

    async def note(self, anchors: Sequence[Anchor]) -> None:
        """Know these too; what is left stays left."""
        ...


class FirstBook(Book, Protocol):
    """The book that decides who of several workers makes an anchor."""

    async def claim(self, anchor: Anchor, unreadable: Sequence[str]) -> str:
        """Note a new anchor, unless there is one that its maker has not tried to read: that one is returned."""
        ...
