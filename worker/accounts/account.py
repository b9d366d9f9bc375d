"""Whose account the key in use sees: a 404 means that a conversation is gone only to a key that could have seen it.

Providers say "not found" of another account's conversations too. So each account has an anchor, a small conversation
whose id Redis and the transcript know, and every thread remembers the anchor that could be read when it was last seen.
Before anything is made anew, or called erased, because of a 404, that anchor is read: if the key cannot, nothing
follows from the 404.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from worker.domain.providers import Words
from worker.domain.threads import BEFORE, Anchor
from worker.errors import (
    AnotherAccount,
    BadRequest,
    ThreadGone,
    ThreadObsolete,
    ThreadUnseen,
    TranscriptDown,
    WorkerError,
)
from worker.ports.accounts import Book, FirstBook, Source
from worker.telemetry.logs import Event

PURPOSE = "anchor"
_WORDS: Final = Words()

log = structlog.get_logger()


class Account:
    """The account that the key in use sees, for one engine and one provider.

    Its own calls of the provider are few: one when a process first needs the anchor, and one for each 404.
    """

    def __init__(
        self, source: Source, first: FirstBook, second: Book | None, engine: str, words: Words = _WORDS
    ) -> None:
        self._source = source
        self._first = first
        self._second = second
        self._engine = engine
        self._words = words
        self._current: str | None = None
        self._keys = 0
        self._finding = asyncio.Lock()
        self._missed: set[str] = set()

    @property
    def noted(self) -> str | None:
        """The current anchor if this process has needed it already."""
        return self._current

    async def current(self) -> str:
        """Return the anchor of this account: of those in use the first that the key reads, or else a new one."""
        async with self._finding:
            while self._current is None:
                keys, known = self._keys, await self.known()
                found = await self._find(known) or await self._make([each.id for each in known])
                # The key may have been replaced while it was looked for: what the old one read says nothing.
                if keys == self._keys:
                    self._current = found
            return self._current

    def forget(self) -> None:
        """Have the current anchor found again: the key is another one, and may be of another account."""
        self._current = None
        self._keys += 1

    async def known(self, *, whole: bool = False) -> list[Anchor]:
        """Every anchor that a store knows, the newest first; makes the stores alike. Raises StoreDown.

        A transcript that is down delays nothing: what it alone knows is known again when it is back. With `whole` it
        raises TranscriptDown then.
        """
        first, second = await self._first.anchors(), dict[str, Anchor]()
        try:
            second |= await self._second.anchors() if self._second else {}
            if self._second and (lacking := _lacking(second, first)):
                await self._second.note(lacking)
        except TranscriptDown:
            if whole:
                raise
        # Each store alone may be lost, and with the anchors what tells a gone thread from another account's.
        if lacking := _lacking(first, second):
            await self._first.note(lacking)
        alike = [_merged(first.get(name), second.get(name)) for name in first.keys() | second.keys()]
        return sorted(alike, key=lambda anchor: (anchor.made_at, anchor.id), reverse=True)

    async def check_gone(self, thread_id: str, anchor: str | None) -> None:
        """Return if a 404 says that this thread is gone, so that a new one may take its place.

        Raises AnotherAccount, after which `ping` fails until the missed anchor can be read or a person has said that
        its account is left; ThreadUnseen; and whatever reading the anchor raises: then nobody knows.
        """
        # The key sees the account that the thread was in, so it would see the thread.
        if anchor is not None and await self._reads(anchor):
            return
        if any(each.left for each in await self.known() if each.id == (anchor or BEFORE)):
            return
        if anchor is None:
            raise ThreadUnseen(_unseen(thread_id, self._words))
        self._missed.add(anchor)
        raise AnotherAccount(_another(thread_id, anchor, self._words))

    async def check_absent(self, thread_id: str, anchor: str | None) -> None:
        """Return if a 404 says that nothing is left of this. Raises ThreadUnseen.

        Here it does not count that an account was left: what is there is still there.
        """
        if anchor is None or not await self._reads(anchor):
            raise ThreadUnseen(
                f"{thread_id} cannot be seen with this key: it is gone, or in another account "
                f"({_account(anchor)}). Use that account's key, or say --accept-absent if you know that it is gone"
            )

    async def check_nowhere(self, thread_id: str) -> None:
        """The same for what nobody knows but a process variable: gone if the key reads every anchor there is."""
        known: list[str | None] = []
        with suppress(TranscriptDown):
            known += [each.id for each in await self.known(whole=True) if each.id != BEFORE]
        for anchor in known or [None]:
            await self.check_absent(thread_id, anchor)

    async def ping(self) -> None:
        """Return if the key is accepted, and reads every anchor that was missed since this process began."""
        await self._source.ping()
        if not self._missed:
            return
        left = {each.id for each in await self.known() if each.left}
        for anchor in sorted(self._missed):
            if anchor not in left and not await self._reads(anchor):
                raise AnotherAccount(_another("a thread", anchor, self._words))
            self._missed.discard(anchor)

    async def survey(self) -> list[tuple[Anchor, bool]]:
        """Say of every anchor in Redis whether the key reads it. Changes nothing anywhere."""
        known = [each for each in (await self._first.anchors()).values() if each.id != BEFORE]
        return [(each, await self._reads(each.id)) for each in known]

    async def leave(self) -> list[Anchor]:
        """Note that accounts whose anchors the key does not read are used no more, on a person's word.

        Threads in them, and those of before that are not found, are made anew from then on.
        """
        await self.known(whole=True)  # so that both stores hear of each
        now = datetime.now(UTC)
        left = [replace(each, left=True) for each, reads in await self.survey() if not reads]
        noted = [*left, Anchor(BEFORE, now, left=True)]
        await self._first.note(noted)
        if self._second is not None:
            await self._second.note(noted)
        return left

    async def _find(self, known: Sequence[Anchor]) -> str | None:
        for anchor in known:
            # One that was left vouches for nothing any more: its account gets another if it is used again.
            if anchor.id != BEFORE and not anchor.left and await self._reads(anchor.id):
                return anchor.id
        return None

    async def _make(self, unreadable: list[str]) -> str:
        """Make an anchor, unless another worker was faster with one that this key reads too."""
        metadata = {"made_by": "assistant-worker", "purpose": PURPOSE, "engine": self._engine[:512]}
        own = Anchor(await self._source.create_thread(metadata), datetime.now(UTC))
        try:
            while (found := await self._first.claim(own, unreadable)) != own.id:
                # All workers of an account go by one anchor: the first that was noted.
                if await self._reads(found):
                    await self._discard(own.id)
                    return found
                unreadable.append(found)
        except WorkerError:
            await self._discard(own.id)
            raise
        log.info(Event.ANCHOR_MADE, anchor=own.id)
        await self.known()  # the transcript is told
        return own.id

    async def _discard(self, anchor: str) -> None:
        with suppress(WorkerError):
            await self._source.delete_thread(anchor)

    async def _reads(self, anchor: str) -> bool:
        """Whether the key sees this anchor. Only a positive no counts as no."""
        try:
            await self._source.metadata(anchor)
        except (ThreadGone, BadRequest):  # gone, another account's, or not even the form of an id of this provider's
            if self._current == anchor:
                self._current = None  # deleted by hand: the next who needs one makes another
            return False
        return True


def is_obsolete(gone: ThreadGone | BadRequest) -> bool:
    """Whether it is gone for every key, so that no anchor has to be read."""
    return isinstance(gone, ThreadObsolete)


def _lacking(here: Mapping[str, Anchor], there: Mapping[str, Anchor]) -> list[Anchor]:
    """What is to be noted here because it is known there."""
    return [each for name, each in there.items() if name not in here or (each.left and not here[name].left)]


def _merged(one: Anchor | None, other: Anchor | None) -> Anchor:
    known = [each for each in (one, other) if each is not None]
    return replace(known[0], left=any(each.left for each in known))


def _account(anchor: str | None) -> str:
    return f"the one with the anchor {anchor}" if anchor else "nobody noted which"


def _another(what: str, anchor: str, words: Words) -> str:
    return (
        f"the key is of another account: it sees neither {what} nor the anchor {anchor} of the account that it is in. "
        f"Set {words.key} and {words.address} to that account; if the account was changed on purpose, run "
        "assistant-worker threads repair --account-changed, and its threads are made anew with what was said on them"
    )


def _unseen(thread_id: str, words: Words) -> str:
    return (
        f"the provider has no conversation {thread_id} for this key, and nobody noted which account it is in. If it is "
        "gone, or the account was changed on purpose, run assistant-worker threads repair --account-changed; otherwise "
        f"set {words.key} and {words.address} to its account"
    )
