"""The transcript of conversations: how it is written, ended and read."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from worker.domain.conversations import (
    ActivityCounts,
    By,
    Counts,
    Ended,
    Filter,
    Hit,
    Instance,
    Limits,
    Message,
    MessageFilter,
    Newest,
    Opened,
    Page,
    Session,
    Spent,
    Stored,
    Subject,
)
from worker.domain.exchanges import Exchange
from worker.domain.feedback import Rated
from worker.ports.sinks import Sink


class TranscriptWriter(Sink, Protocol):
    """The writing side. Every method may raise TranscriptDown, and may be repeated with the same effect.

    Whatever ends, the messages that decisions on legal hold cite stay as they are, and so do their sessions.
    """

    async def record(self, *exchanges: Exchange) -> None:
        """Write their messages, and the sessions that are new; returns when they are safe on disk.

        All messages of an exchange are written, or none. What has been written under the same name stays as it is. Late
        and out of order is fine: positions follow from `answered_at`. A session that had ended before an answer is
        active again, and what was noted of its end is not true any more. Raises Unstorable.
        """
        ...

    async def end(self, sessions: Collection[str], ended_at: datetime) -> None:
        """Note that these are over. One that was over before keeps its end."""
        ...

    async def note_erased(self, sessions: Collection[str], at: datetime) -> None:
        """Note that the provider has nothing of these any more. Of those that are active nothing is noted."""
        ...

    async def anonymise(self, sessions: Collection[str], at: datetime) -> Ended:
        """Replace contents and users of ended sessions by a mark; structure, times and numbers stay.

        Of feedback on them the rating stays, without note and person.
        """
        ...

    async def drop(self, sessions: Collection[str]) -> Ended:
        """Delete ended sessions with their messages."""
        ...

    async def held(self, sessions: Collection[str]) -> Collection[str]:
        """Tell which of these have messages that decisions on legal hold cite."""
        ...

    async def remove(self, subjects: Sequence[Subject]) -> Ended:
        """Delete what subjects have, active or not. Of a shared session only what was said in the instance goes.

        An exchange that is recorded afterwards is written again: empty what still holds it first.
        """
        ...


class TranscriptReader(Protocol):
    """The reading side of one engine's transcript. Every method may raise TranscriptDown; those with `after` BadCursor.

    `within` is what the reader may see; anything else is as if it were not there. An instance that is asked for has to
    be among those that may be seen, also where it spoke on another one's conversation that is. Cursors stay good while
    more is written.
    """

    async def sessions(
        self, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Session]:
        """Sessions, the newest start first."""
        ...

    async def session(self, session_id: str, *, within: Limits) -> Session | None:
        """One session."""
        ...

    async def hidden(self, ids: Collection[str], *, within: Limits) -> Collection[str]:
        """Tell which of these sessions there are that may not be seen; those that are not there are none of them."""
        ...

    async def messages(
        self, wanted: MessageFilter, *, within: Limits, after: str | None = None, limit: int = 100, newest: bool = False
    ) -> Page[Message]:
        """Messages in order, or from the newest back. Long messages make for fewer on a page than the limit allows."""
        ...

    async def since(
        self, wanted: MessageFilter, read: Mapping[str, int], *, within: Limits, limit: int = 100
    ) -> Sequence[tuple[int, Message]]:
        """Messages that came to the record since, each with its number, by which they are ordered.

        `read` has the highest number that was read of each session, by its id; of others nothing was. In this way none
        is missed and none comes twice, however late it is written: numbers grow within a session, but not from one to
        another. A remark that was added to comes again, under a new number. Long messages make for fewer than the limit
        allows, and nothing means that there are no more.
        """
        ...

    async def newest(self, wanted: Collection[MessageFilter]) -> Mapping[MessageFilter, Sequence[Newest]]:
        """Say how far the record has come in each of these, which are sessions or instances: cheap, for who asks often.

        Nothing of one that is not there. Not limited by what somebody may see: it says nothing of what was said.
        """
        ...

    async def stored(self, wanted: MessageFilter, *, within: Limits) -> Stored:
        """What messages name that the provider may have."""
        ...

    async def activities(self, instance_id: str, *, within: Limits) -> Sequence[ActivityCounts]:
        """What was said at each activity of an instance, in the order in which they last spoke."""
        ...

    async def instances(
        self, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Instance]:
        """Process instances, the newest start first."""
        ...

    async def instance(self, instance_id: str, *, within: Limits) -> Instance | None:
        """One process instance."""
        ...

    async def openings(self, ids: Collection[str], *, of: Opened, within: Limits) -> Mapping[str, str]:
        """Return the beginning of what was first asked in each of these process instances, or sessions.

        Those in which nobody was asked anything are left out. The beginning is one line, cut where it is long.
        """
        ...

    async def search(
        self, text: str, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Hit]:
        """Messages with all words of the text, the newest first. Words of three letters and more find longer ones.

        Case does not matter, and nothing in the text has a meaning of its own. A text without words finds nothing.
        """
        ...

    async def spent(self, by: By, wanted: MessageFilter, *, within: Limits) -> Mapping[str, Spent]:
        """Sum what answers took and cost, by what they have in common; nothing where there is none.

        The costliest first, and days in their order. "all" has one sum, under the empty name; so have answers of an
        unknown model.
        """
        ...

    async def definition_keys(self) -> frozenset[str]:
        """Return the processes that assistants spoke in, by their definitions' keys; maybe other engines' as well."""
        ...

    async def rated(self, *, within: Limits, since: datetime | None = None) -> Sequence[Rated]:
        """Count what people said of answers from a time on, by assistant and its version."""
        ...

    async def counts(self, wanted: Filter, *, within: Limits) -> Counts:
        """Count what is wanted."""
        ...
