"""What the end of conversations needs from outside: where something of them lies, and who takes it away."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from worker.domain.conversations import Subject
from worker.domain.endings import Kept, Receipt, Trace, TurnKept, Unrecorded
from worker.domain.threads import Decision, Hold, Thread, ThreadKey


class Counted(Protocol):
    """What can be counted before it ends. Every method may raise TranscriptDown."""

    async def count(self, subjects: Sequence[Subject]) -> int:
        """How much these have."""
        ...


class Counting(Counted, Protocol):
    """What of a store ends as a whole, once it was counted."""

    async def remove(self, subjects: Sequence[Subject]) -> int:
        """Take it away; how much went."""
        ...


class ThreadIndex(Protocol):
    """What Redis keeps, thread by thread. Every method may raise StoreDown."""

    lease: timedelta
    """How long a hold lives without renewal."""

    async def now(self) -> datetime:
        """Tell the time by Redis' clock, which all workers share."""
        ...

    async def threads(self) -> list[Kept]:
        """Look at everything of this engine's."""
        ...

    async def thread(self, key: ThreadKey) -> Thread | None:
        """Read the map. Raises NewerRecord."""
        ...

    async def waiting(self) -> Unrecorded:
        """Say which threads have exchanges that the transcript has yet to get."""
        ...

    async def turns(self, kept: Kept) -> list[TurnKept]:
        """Read a thread's turns."""
        ...

    async def reserve(self, key: ThreadKey) -> Hold | None:
        """Take the hold for ourselves, so that no turn starts; None if one is on."""
        ...

    async def renew(self, hold: Hold) -> bool:
        """Hold on for another lease. False if the hold is lost."""
        ...

    async def release(self, hold: Hold) -> None:
        """Let go of the hold, with nothing changed."""
        ...

    async def forget(self, hold: Hold, kept: Kept, *, unrecorded: bool) -> int:
        """Remove the map if it names this thread, and the turns; how many keys went.

        Turns that the transcript may not have yet stay, unless `unrecorded`. Lets go of the hold; raises StoreDown if
        it is lost.
        """
        ...

    async def replace(self, key: ThreadKey, thread: Thread, why: Decision) -> bool:
        """Note that a thread is to be left for a new one at its next turn.

        False, and nothing noted, if the map names another. Raises NewerRecord.
        """
        ...

    async def remember(self, key: ThreadKey) -> None:
        """Start the map's time anew: its instance still runs."""
        ...

    async def anchor(self, key: ThreadKey, thread: Thread) -> None:
        """Note which account a thread is in, if the map names this thread."""
        ...


class Orders(Protocol):
    """What is to be done about conversations later. Every method may raise StoreDown."""

    async def keep(self, receipt: Receipt) -> None:
        """Keep an order, under its id: among the open ones, or for some months if it is complete.

        What a newer worker has added to the one that is kept stays. Raises NewerRecord.
        """
        ...

    async def receipt(self, order: str) -> Receipt | None:
        """Read an order, open or complete. Raises CorruptRecord, a StoreDown, or NewerRecord, for this one only."""
        ...

    async def open_orders(self) -> list[str]:
        """Ids of orders that are not complete."""
        ...

    async def watch(self, missing: Collection[Subject], at: datetime) -> None:
        """Remember since when the engine does not know these. Others that were missing are forgotten."""
        ...

    async def missing(self) -> Mapping[Subject, datetime]:
        """Whom the engine does not know, and since when, as far as this version can read it."""
        ...

    async def lock(self, token: str, lease: timedelta) -> bool:
        """Be, or stay, the one who does the round. False if somebody else is."""
        ...

    async def unlock(self, token: str) -> None:
        """Let others do the next round."""
        ...


class Instances(Protocol):
    """Which process instances run, and what of ours they have. Every method may raise EngineDown."""

    async def now(self) -> datetime | None:
        """Tell the time by the engine's clock, to a second or two; None if it does not say."""
        ...

    async def running(self, ids: Collection[str]) -> frozenset[str]:
        """Which of these run, suspended ones included."""
        ...

    async def ended(self, ids: Collection[str]) -> Mapping[str, datetime | None]:
        """When these ended, as far as the history knows them; None for one that has not."""
        ...

    async def runs_with(self, business_key: str, tenants: frozenset[str | None] | None = None) -> bool:
        """Whether any instance with this business key runs. `tenants` as in `Subject`."""
        ...

    async def ran_with(
        self, business_key: str, tenants: frozenset[str | None] | None = None
    ) -> Mapping[str, datetime | None]:
        """Instances with this business key that the history knows, and when they ended. `tenants` as above."""
        ...

    async def traces(self, instance: str, *, results: bool = False) -> list[Trace]:
        """Variables that we wrote, history included: the threads' ids, the results' meta, and the results if wanted.

        A result, which nobody can tell but by its meta, comes before it.
        """
        ...

    async def wipe(self, trace: Trace) -> None:
        """Delete a variable; one that is gone is fine."""
        ...


class Runs(Protocol):
    """Turns in the background at a provider. May raise what `ports.providers.Provider` may; see there."""

    async def run_status(self, response_id: str) -> str | None:
        """How a turn in the background stands, in the provider's word; None if it is not known."""
        ...

    async def cancel(self, response_id: str) -> None:
        """End a turn in the background; one that is over, or is not known, is fine."""
        ...


class Archive(Runs, Protocol):
    """What a provider keeps, as its adapter sees it: not found is not found, whatever the reason."""

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given. Raises ThreadGone."""
        ...

    async def erase_thread(self, thread_id: str) -> int:
        """Delete items, then the conversation, and see that it is gone; how many items went. May be repeated."""
        ...

    async def erase_response(self, response_id: str) -> bool:
        """Delete a stored response; False if there is none."""
        ...

    async def conversation_of(self, response_id: str) -> str | None:
        """The conversation that a stored response was given on, None if on none. Raises ThreadGone."""
        ...


class EndingProvider(Runs, Protocol):
    """The keeper of conversations, who knows whose account the key sees.

    `anchor` names the account that something is in, see `domain.threads.Anchor`. Where the key does not read it every
    method raises ThreadUnseen instead of calling anything absent.
    """

    def keeps(self, thread_id: str) -> bool:
        """Whether there can be anything of this conversation or response at its provider."""
        ...

    async def metadata(self, thread_id: str, anchor: str | None) -> Mapping[str, str]:
        """What `create_thread` was given. Raises ThreadGone, and BadRequest for what is no id of this provider's.

        Without an anchor, of a conversation that nobody knows but a variable, every known one has to be read for that.
        """
        ...

    async def see(self, thread_id: str) -> str:
        """Read a conversation of which nobody noted the account, and return the anchor of that."""
        ...

    async def erase_thread(self, thread_id: str, anchor: str) -> int:
        """Delete items, then the conversation, and see that it is gone; how many items went. May be repeated."""
        ...

    async def erase_response(self, response_id: str, anchor: str | None) -> bool:
        """Delete a stored response; False if it is gone already."""
        ...

    async def conversation_of(self, response_id: str) -> str | None:
        """The conversation that a stored response was given on, None if on none. Raises ThreadGone."""
        ...
