"""Who answers: providers as they are, and as turns see them. Errors as in `ports.engine`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.documents import Attachment, Kind
from worker.domain.threads import (
    Answer,
    Assistant,
    Question,
    Said,
    Thread,
    ThreadKey,
)


class Watcher(Protocol):
    """Whoever reads an answer while it is written.

    All methods return at once and never raise: whoever cannot keep up drops what it has to. Nothing here is the
    answer; that is what the call returns, and it may come without a word of it having been said.
    """

    def began(self) -> None:
        """Begin: a request is made. What was said before is void: it was not the answer, or is being asked again."""
        ...

    def said(self, text: str) -> None:
        """Take more of the answer's text: what goes behind that which was said since `began`."""
        ...

    def ended(self) -> None:
        """Take no more: the call is over, with or without an answer."""
        ...


class Watchers(Protocol):
    """Who reads along."""

    def watcher(self, key: ThreadKey, task_id: str, attempt: int, *, watched: bool) -> Watcher | None:
        """Return who watches this attempt's call, which begins now; None: nobody, and then nothing is streamed.

        `watched`: somebody watched the thread when the call was noted, see `ports.threads.Threads.intend`. Never
        raises, and holds the call up for nothing.
        """
        ...


class Model(Protocol):
    """A provider that is told with each question what was said before, and keeps nothing of it.

    Every method may raise ModelDown, ProviderPaused, ModelUnknown, TurnedAway.
    """

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",
        watcher: Watcher | None = None,
        attached: Sequence[Attachment] = (),
    ) -> Answer:
        """One turn. Bad outcomes are answers too. Raises BadRequest, ContextFull. Ends within `assistant.timeout`.

        Who answers decision questions alone is asked the assistant's about this one, and told nothing of what was
        said, nor shown anything. `cache_key` and `attached` as in `Question`. A watcher hears the answer while it is
        written, and changes nothing of it.
        """
        ...

    async def ping(self) -> None:
        """Return if the provider accepts our key."""
        ...


class Provider(Protocol):
    """A provider's conversations and answers.

    Every method may raise ModelDown, ProviderPaused, ModelUnknown, and all but `ping` TurnedAway; those with a thread
    also ThreadGone, only after a positive answer that this thread does not exist, for this key at least: turns go
    through `accounts.anchored.AnchoredProvider`.
    """

    @property
    def refuses_overlap(self) -> bool:
        """Whether the provider itself refuses a second turn on a busy conversation (ThreadLocked)."""
        ...

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:
        """Create a conversation that begins with what was said, and return its id.

        Metadata are at most 16 pairs, values of 512 characters.
        """
        ...

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given."""
        ...

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:
        """Find the answer to the question that ends with this ref among the newest items; None if there is none.

        Validates the thread at the same price. `deep` reads 100 items instead of 20.
        """
        ...

    async def ask(
        self, thread_id: str, question: Question, assistant: Assistant, watcher: Watcher | None = None
    ) -> Answer:
        """One turn. Bad outcomes (refused, incomplete …) are answers too.

        Raises ThreadLocked, BadRequest. Ends within `assistant.timeout`. `watcher` as in `Model.ask`.
        """
        ...

    async def start(self, thread_id: str, question: Question, assistant: Assistant) -> str:
        """Begin a turn that goes on without us, and return its response id at once. Raises as `ask` does."""
        ...

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """Wait for the end of a turn that was started; None if the provider does not know it (any more).

        One that is not over in time is cancelled. ModelDown: it has ended without an answer, nothing of it runs or
        comes any more. ModelUnknown: it may still run.
        """
        ...

    async def cancel(self, response_id: str) -> None:
        """End a turn that was started; one that is over, or is not known, is fine."""
        ...

    async def erase_thread(self, thread_id: str) -> int:
        """Delete a conversation with all that was said on it; how many items went. May be repeated."""
        ...

    async def delete_thread(self, thread_id: str) -> None:
        """Delete an empty conversation; one that is gone already is fine."""
        ...

    async def ping(self) -> None:
        """Return if the provider accepts our key and has conversations. Raises ModelDown, ProviderPaused."""
        ...


class Payer(Protocol):
    """Who pays for a call that answers no request."""

    async def pay(self, assistant: Assistant, input_tokens: int, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call that reads so many tokens at most, under the budgets of whom it is made for.

        Raises OverBudget, StoreDown, and whatever the call raises.
        """
        ...


class ThreadProvider(Protocol):
    """A provider as turns see it, whoever keeps what was said on its threads.

    Methods raise what `Provider` says, AnotherAccount and ThreadUnseen. ThreadGone from here is safe to act on.
    """

    name: str
    """As the assistants' specs have it."""
    context_tokens: int | None
    """What its models can read, None where nobody said so."""
    remembers: bool
    """Whether the provider keeps what was said. Otherwise each answer is kept by us, with its question."""
    weighs: bool
    """Whether it answers decision questions, with probabilities, and nothing else."""
    takes: frozenset[Kind]
    """What it takes as it is, beside the text of a question."""

    def holds(self, thread: Thread) -> bool:
        """Whether this is a thread of the API that the provider is asked over by now."""
        ...

    @property
    def overlaps(self) -> bool:
        """Whether a call may start while an earlier one may still run: it is refused then, or leaves no trace."""
        ...

    async def create_thread(
        self, key: ThreadKey, generation: int, replaces: str | None = None, said: Sequence[Said] = ()
    ) -> Thread:
        """Create a thread that begins with what was said. `replaces` is the id of the one before."""
        ...

    async def belongs(self, key: ThreadKey, thread: Thread) -> bool:
        """Whether a thread that nobody knows but a process variable is this key's."""
        ...

    async def look(self, thread: Thread, ref: str, *, deep: bool = False) -> Answer | None:
        """See `Provider.look`."""
        ...

    async def ask(
        self,
        key: ThreadKey,
        thread: Thread,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,
    ) -> Answer:
        """See `Provider.ask`."""
        ...

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:
        """See `Provider.start`."""
        ...

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """See `Provider.follow`."""
        ...

    async def cancel(self, response_id: str) -> None:
        """See `Provider.cancel`."""
        ...

    async def discard(self, thread: Thread, *, seeded: bool) -> None:
        """Delete a thread that was just made, with what it was told if it is `seeded`."""
        ...

    async def seen(self, thread: Thread) -> Thread:
        """Say of a thread that was just used which account it is in. Never raises."""
        ...

    async def tidy(self, key: ThreadKey, thread: Thread, assistant: Assistant, payer: Payer) -> None:
        """Make room in a history that we keep, once an answer is out. Nobody waits for it. Never raises."""
        ...

    async def ping(self) -> None:
        """Return if it can be used."""
        ...


class Assistants(Protocol):
    """The specs of ASSISTANTS_DIR, and those that are deployed with processes."""

    def find(self, name: str, version: str | None) -> Assistant:
        """Return the named version, the highest one if None. Raises UnknownAssistant, which lists what there is."""
        ...

    async def deployed(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        """Return one that came with this definition, by its whole name, see `domain.deployed.named`.

        `tenant` is whose task or conversation it is to answer, which not every one may. Raises BadDefinition where
        there is none, or none that may be asked, and what `Engine.resource` raises.
        """
        ...
