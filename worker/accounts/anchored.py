"""The provider's port with whose account it is: no 404 leaves here as gone before an anchor was read."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from worker.accounts.account import Account, is_obsolete
from worker.domain.documents import Kind
from worker.domain.threads import OPENAI, Answer, Assistant, Question, Said, Thread, ThreadKey
from worker.errors import BadRequest, ThreadGone, ThreadUnseen, WorkerError
from worker.ports.ending import Archive
from worker.ports.providers import Payer, Provider, Watcher

T = TypeVar("T")


class AnchoredProvider:
    """Implements `ports.providers.ThreadProvider` on a provider's own conversations."""

    remembers = True
    weighs = False

    def __init__(
        self,
        provider: Provider,
        account: Account,
        name: str = OPENAI,
        context_tokens: int | None = None,
        takes: frozenset[Kind] = frozenset(),
    ) -> None:
        self.name = name
        self.takes = takes
        self.context_tokens = context_tokens
        self._provider = provider
        self._account = account

    def holds(self, thread: Thread) -> bool:
        """See `ports.providers.ThreadProvider.holds`."""
        return thread.provider == self.name and not thread.is_ours

    @property
    def overlaps(self) -> bool:
        """Whether the provider refuses a second call on a busy conversation."""
        return self._provider.refuses_overlap

    async def create_thread(
        self, key: ThreadKey, generation: int, replaces: str | None = None, said: Sequence[Said] = ()
    ) -> Thread:
        """Create a conversation in the account that the key sees."""
        metadata = key.metadata() | {"generation": str(generation)}
        if replaces is not None:
            metadata["replaces"] = replaces
        # The anchor first: of a conversation without one no later 404 could be believed.
        anchor = await self._account.current()
        return Thread(await self._provider.create_thread(metadata, said), generation, anchor, self.name)

    async def belongs(self, key: ThreadKey, thread: Thread) -> bool:
        """Compare with what the conversation was given when it was created."""
        owner = await self._checked(thread, self._provider.metadata(thread.id), nowhere=True)
        return all(owner.get(name) == value for name, value in key.metadata().items())

    async def look(self, thread: Thread, ref: str, *, deep: bool = False) -> Answer | None:
        """See `ports.providers.Provider.look`."""
        return await self._checked(thread, self._provider.look(thread.id, ref, deep=deep))

    async def ask(
        self,
        key: ThreadKey,  # noqa: ARG002 - of the port
        thread: Thread,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,
    ) -> Answer:
        """See `ports.providers.Provider.ask`."""
        return await self._checked(thread, self._provider.ask(thread.id, question, assistant, watcher))

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:  # noqa: ARG002 - of the port
        """See `ports.providers.Provider.start`."""
        return await self._checked(thread, self._provider.start(thread.id, question, assistant))

    async def ping(self) -> None:
        """Return if the key is accepted, and is of the account that was used until now."""
        await self._account.ping()

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """See `ports.providers.Provider.follow`. What another account runs is not known: the thread is looked at."""
        return await self._provider.follow(response_id, within)

    async def cancel(self, response_id: str) -> None:
        """See `ports.providers.Provider.cancel`."""
        await self._provider.cancel(response_id)

    async def discard(self, thread: Thread, *, seeded: bool) -> None:
        """Delete a conversation that was just made, with what it was told."""
        await (self._provider.erase_thread(thread.id) if seeded else self._provider.delete_thread(thread.id))

    async def seen(self, thread: Thread) -> Thread:
        """Say of a thread that the provider has just shown which account it is in. Never raises."""
        # Most turns end here, without a call: nothing speaks against what is noted.
        if thread.anchor is not None and self._account.noted in (None, thread.anchor):
            return thread
        try:
            return replace(thread, anchor=await self._account.current())
        except WorkerError:  # then the next turn says it
            return thread

    async def tidy(self, key: ThreadKey, thread: Thread, assistant: Assistant, payer: Payer) -> None:
        """Do nothing: the provider keeps what was said."""

    async def _checked(self, thread: Thread, call: Awaitable[T], *, nowhere: bool = False) -> T:
        try:
            return await call
        except ThreadGone as gone:
            if is_obsolete(gone):
                raise
            await self._check(thread, nowhere=nowhere)
            raise

    async def _check(self, thread: Thread, *, nowhere: bool) -> None:
        if nowhere and thread.anchor is None:
            try:
                return await self._account.check_nowhere(thread.id)
            except ThreadUnseen:
                pass  # unless a person has said that the account was changed
        return await self._account.check_gone(thread.id, thread.anchor)


class AnchoredEnding:
    """Implements `ports.ending.EndingProvider` on what a provider keeps."""

    def __init__(self, archive: Archive, account: Account) -> None:
        self._archive = archive
        self._account = account

    def keeps(self, thread_id: str) -> bool:  # noqa: ARG002 - of the port
        """See `ports.ending.EndingProvider.keeps`."""
        return True

    async def metadata(self, thread_id: str, anchor: str | None) -> Mapping[str, str]:
        """See `ports.ending.EndingProvider.metadata`."""
        try:
            return await self._archive.metadata(thread_id)
        except (ThreadGone, BadRequest) as gone:  # the latter for what has not even the form of an id
            if not is_obsolete(gone):
                await (
                    self._account.check_nowhere(thread_id)
                    if anchor is None
                    else self._account.check_absent(thread_id, anchor)
                )
            raise

    async def see(self, thread_id: str) -> str:
        """See `ports.ending.EndingProvider.see`."""
        try:
            await self._archive.metadata(thread_id)
        except ThreadGone as gone:
            if not is_obsolete(gone):
                await self._account.check_absent(thread_id, None)
        return await self._account.current()

    async def erase_thread(self, thread_id: str, anchor: str) -> int:
        """See `ports.ending.EndingProvider.erase_thread`."""
        items = await self._archive.erase_thread(thread_id)
        if not items:  # nothing was there, or nothing could be seen
            await self._account.check_absent(thread_id, anchor)
        return items

    async def erase_response(self, response_id: str, anchor: str | None) -> bool:
        """See `ports.ending.EndingProvider.erase_response`."""
        erased = await self._archive.erase_response(response_id)
        if not erased:
            await self._account.check_absent(response_id, anchor)
        return erased

    async def conversation_of(self, response_id: str) -> str | None:
        """See `ports.ending.EndingProvider.conversation_of`."""
        return await self._archive.conversation_of(response_id)

    async def run_status(self, response_id: str) -> str | None:
        """See `ports.ending.EndingProvider.run_status`."""
        return await self._archive.run_status(response_id)

    async def cancel(self, response_id: str) -> None:
        """See `ports.ending.EndingProvider.cancel`."""
        await self._archive.cancel(response_id)
