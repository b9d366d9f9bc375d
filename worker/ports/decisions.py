"""Where records of decisions are kept, for good and in all of their revisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from worker.domain.conversations import Limits, Page, Subject
from worker.domain.decisions import Decision, DecisionKey, DecisionSeen, Held, OldDecision, Removed
from worker.domain.evidence import Completion, Operation, PersonsTask, Value
from worker.domain.processes import Calls, Process


class DecisionBook(Protocol):
    """All workers share it. Every method may raise TranscriptDown, and may be repeated with the same effect."""

    async def last(self, key: DecisionKey) -> Decision | None:
        """Return a record at its last revision."""
        ...

    async def keep(
        self,
        key: DecisionKey,
        record: Mapping[str, Any],
        row: Mapping[str, Any],
        *,
        definition_key: str,
        business_key: str | None,
    ) -> bool:
        """Keep a revision, or what became of the one that is there, with the row that tells of it: both or nothing.

        False where another was faster: there is a row of this number, this revision has other content, or texts of it
        were erased. Read `last` anew then. Raises Unstorable.
        """
        ...


class DecisionHolds(Protocol):
    """Sets and lifts legal holds. A record on hold, and the messages that it cites, are erased by nobody."""

    async def hold(self, id_: str, row: Mapping[str, Any], held: Held | None) -> bool:
        """Set a record's hold, or lift it with None, and keep the row that tells of it: both or nothing.

        Whoever erases of it now is waited for. False where another was faster: there is a row of this number. May raise
        TranscriptDown, and may not be repeated with the same row.
        """
        ...


class DecisionSources(Protocol):
    """What the engine knows of how a decision came about. Every method may raise EngineDown.

    What our user may not read is as if it were not there. Everything comes in the order of time.
    """

    async def instance(self, instance: str) -> Process | None:
        """Return an instance; None if there is none."""
        ...

    async def called(self, instance: str) -> Calls:
        """Return the instances that one called, at any depth."""
        ...

    async def remembers(self, task: str) -> bool:
        """Whether the history tells of external tasks, as it does of this one then, and of every value."""
        ...

    async def completions(self, instance: str) -> Sequence[Completion]:
        """Return the completions of external tasks that the engine took."""
        ...

    async def values(self, instance: str, name: str) -> Sequence[Value]:
        """Return every value of the variables that are called so, see `evidence.is_called`.

        Local ones of activities are among them. Below level full they are those of now, and of what is over the last
        ones where the history has them.
        """
        ...

    async def outputs(self, instance: str, decision: str) -> Sequence[str]:
        """Name the results beside which a record's id stands, or stood last."""
        ...

    async def unfinished(self, instance: str) -> bool | None:
        """Whether an external task was created and not completed: it is open, or was cancelled.

        None where the history tells of no external task there.
        """
        ...

    async def content(self, value: Value, most: int) -> bytes | None:
        """Return the content of a File; None if it has more than `most` bytes, or is gone."""
        ...

    async def panel(self, instance: str, activity: str) -> Mapping[str, str]:
        """Say in which run of its loop each passage through an activity was, by their names."""
        ...

    async def persons_tasks(self, instance: str) -> Sequence[PersonsTask]:
        """Return the user tasks that were completed."""
        ...

    async def operations(self, instance: str) -> Mapping[str, Operation]:
        """Return what persons told the engine about this instance, by id; nothing where it does not know them."""
        ...


class DecisionReader(Protocol):
    """The reading side. Every method may raise TranscriptDown; `decisions` BadCursor.

    `within` is what the reader may see; anything else is as if it were not there.
    """

    async def decision(self, id_: str, *, within: Limits, revision: int | None = None) -> Decision | None:
        """Return a record by its id, with the rows up to the revision, which is the last one if none is named."""
        ...

    async def decisions(
        self, *, within: Limits, instance: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[DecisionSeen]:
        """Records, those that changed last first; of one instance if it is named."""
        ...


class DecisionEraser(Protocol):
    """Erases what persons and models said for records, and leaves their hashes; removes records whose time is over.

    Every method may raise TranscriptDown, and may be repeated.
    """

    async def count(self, subjects: Sequence[Subject]) -> int:
        """Count the texts in all revisions of these subjects' records."""
        ...

    async def remove(self, subjects: Sequence[Subject]) -> Removed:
        """Take the texts out of all revisions of these subjects' records, and the messages of theirs that those cite.

        Of one record all of it goes, or nothing as it is on hold. What is computed, hashes and rows stay.
        """
        ...

    async def going_on(self) -> Sequence[str]:
        """Instances with records whose end nobody has noted."""
        ...

    async def end(self, ended: Mapping[str, datetime]) -> None:
        """Note when these instances ended. A record that is written to afterwards goes on again."""
        ...

    async def old(self, until: datetime) -> Sequence[OldDecision]:
        """Return the records that were changed last by then, and that no hold keeps."""
        ...

    async def drop(self, ids: Sequence[str], until: datetime) -> list[str]:
        """Delete those of these records that are old still, see `old`, with all revisions and rows; which went."""
        ...
