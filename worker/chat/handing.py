"""Hands to a process what a person was answered: looked for before it is told to the engine, and told once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog

from worker.chat.desk import Erased
from worker.chat.ports import ChatPorts
from worker.domain.asks import Ask, State
from worker.domain.conversations import EVERYTHING, MessageFilter, session_id
from worker.domain.handovers import Absent, Handover, Marker, Standing, UserTask, marker_name, text_hash
from worker.domain.people import Person
from worker.domain.tasks import Variable
from worker.errors import EngineDown, Permanent, Refused, Transient, Unstorable
from worker.modelling.result import as_variable
from worker.ports.handovers import HandoverBook, Receivers
from worker.telemetry.logs import Event

LEASE: Final = timedelta(minutes=2)
"""Until what the engine was told without a reply can be taken for done or lost. A reply is waited for 20 s."""
LONGEST: Final = 500
"""Characters of what a person is told of an engine's refusal."""

log = structlog.get_logger()


class NotAnswered(Permanent):
    """There is no answer to hand over."""


class NotRecorded(Transient):
    """The answer is not in the record yet."""


class Ended(Permanent):
    """The process instance is over, and was not handed anything."""


class NotTheirs(Permanent):
    """The user task is for somebody else."""


class NotTaken(Permanent):
    """The process does not take it now; nothing was handed over."""


class HandedOtherwise(Permanent):
    """Another hand-over of this ask is before it: of another text, in another way, or of another person."""


class NothingToDecide(Permanent):
    """What has become of a hand-over is known, or not yet unknown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants handed over: by a message or with a user task. Without a text it is the answer.

    `user` is who the person is in the engine.
    """

    variable: str
    message: str | None = None
    task: str | None = None
    text: str | None = None
    user: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a process would take something now: messages by their names, and user tasks.

    Of each task it is said whether the person may complete it.
    """

    messages: Sequence[str]
    tasks: Sequence[tuple[UserTask, bool]]


class Handing:
    """Hands over. Every method may raise TranscriptDown; `hand_over` and `decide` also StoreDown and EngineDown."""

    def __init__(
        self, ports: ChatPorts, book: HandoverBook, receivers: Receivers, has_spin: Callable[[], Awaitable[bool]]
    ) -> None:
        self._ports = ports
        self._book = book
        self._receivers = receivers
        self._has_spin = has_spin

    async def find(self, ask: Ask) -> Handover | None:
        """Say how it stands, as far as that is known."""
        return await self._book.handover(ask.id)

    async def of_session(self, session_id: str) -> Sequence[Handover]:
        """Say how it stands with the newest of what was asked about a session, as far as that is known."""
        return await self._book.of_session(session_id)

    async def offer(self, ask: Ask, user: str) -> Offer:
        """Say what the process of an ask waits for now, to a user of the engine. Raises what reads of the engine do."""
        if not ask.instance:
            return Offer([], [])
        tasks = await self._receivers.tasks(ask.instance)
        may = [not (each.is_suspended or each.is_delegated) and await self._may_have(each, user) for each in tasks]
        return Offer(await self._receivers.messages(ask.instance), [*zip(tasks, may, strict=True)])

    async def hand_over(self, ask: Ask, person: Person, wanted: Wanted) -> Handover:
        """Hand over; the same again says what became of the first. Nothing is told to the engine twice.

        Raises Erased, NotAnswered, NotRecorded, Ended, NotTheirs, NotTaken, HandedOtherwise, and what reads of the
        engine raise: then nothing is handed over that was not before.
        """
        if not ask.instance:
            raise NotTaken("what was asked is of no process")
        text = (await self._text(ask, wanted)).replace("\0", "␀")
        new = _new(ask, person, wanted, text)
        kept = await self._book.handover(ask.id)
        if kept is not None:
            kept = await self._seen(ask, kept)
        if kept is None or kept.state is Standing.NOT_HANDED_OVER:
            return await self._begin(ask, new, text, wanted.user)
        return _same(kept, new)

    async def decide(self, ask: Ask, person: Person, *, happened: bool) -> Handover:
        """Take a person's word for what nobody can tell. Raises NothingToDecide, and Ended with nothing to decide."""
        kept = await self._book.handover(ask.id)
        if kept is not None:
            kept = await self._seen(ask, kept)
        if kept is None or kept.state is not Standing.UNKNOWN:
            raise NothingToDecide(f"it is {kept.state.value}" if kept else "nothing was handed over")
        state = Standing.HANDED_OVER if happened else Standing.NOT_HANDED_OVER
        await self._book.settle(kept, state, decided_by=str(person))
        now = await self._now(kept)
        _tell(ask, now)
        return now

    async def _text(self, ask: Ask, wanted: Wanted) -> str:
        if ask.state is not State.ANSWERED or ask.answer is None:
            raise NotAnswered(f"it is {ask.state.value}")
        for name in dict.fromkeys((ask.session_id, session_id(ask.target))):
            session = await self._ports.session(name)
            # Where it was answered may not be written yet; what it is about is there as long as the ask.
            if (session is not None or name == ask.session_id) and await self._ports.is_erased(session):
                raise Erased("it is erased, or about to be")
        if wanted.text is not None:
            return wanted.text
        wanted_message = MessageFilter(id=ask.answer)
        found = await self._ports.conversations.messages(wanted_message, within=EVERYTHING, limit=1)
        if not found.items:
            raise NotRecorded("the answer is not in the record yet")
        return found.items[0].content

    async def _seen(self, ask: Ask, kept: Handover) -> Handover | None:
        """Look what became of one that is not over, by what the engine shows; None if it certainly did not happen."""
        if kept.state not in {Standing.RUNNING, Standing.UNKNOWN}:
            return kept
        found = await self._receivers.look(ask.instance, marker_name(ask.id))
        match found:
            case Marker():
                return await self._found(ask, kept, found)
            case Absent.OVER:
                await self._book.drop(kept)
                raise Ended("it is over, and was not handed this")
            case Absent.RUNS if await self._book.drop(kept, lapsed=True):
                return None
            case Absent.HIDDEN if kept.state is Standing.RUNNING:
                await self._book.settle(kept, Standing.UNKNOWN, lapsed=True)
        return await self._now(kept)

    async def _found(self, ask: Ask, kept: Handover, marker: Marker) -> Handover:
        """Go by what stands in the process."""
        if not marker.is_of(kept.marker):
            await self._book.drop(kept)
            raise HandedOtherwise(f"{marker.person} has handed over another text, or into another variable")
        await self._book.settle(kept, Standing.HANDED_OVER)
        now = await self._now(kept)
        _tell(ask, now)
        return now

    async def _begin(self, ask: Ask, new: Handover, text: str, user: str) -> Handover:
        """Look at the engine, and only then begin: while it is away nothing is kept."""
        found = await self._receivers.look(ask.instance, marker_name(ask.id))
        if isinstance(found, Marker):  # our store has lost it
            if not found.is_of(new.marker):
                raise HandedOtherwise(f"{found.person} has handed over something already")
            return await self._found(ask, await self._kept(new), new.marker)
        if found is not Absent.RUNS:
            raise Ended("it is over, or nobody can see whether it runs")
        receiver = await self._receiver(ask, new, user)
        variables = {
            new.variable: as_variable(text, new.variable, spin=await self._has_spin()),
            marker_name(ask.id): Variable(new.marker.text, "String"),
        }
        kept = await self._kept(new)
        if kept.holder != new.holder:
            return _same(kept, new)  # another request was faster
        return await self._told(ask, kept, receiver, variables)

    async def _kept(self, new: Handover) -> Handover:
        try:
            return await self._book.begin(new, LEASE)
        except Unstorable as exc:
            raise Erased("its conversation has just been removed") from exc

    async def _told(self, ask: Ask, kept: Handover, receiver: str, variables: dict[str, Variable]) -> Handover:
        try:
            if kept.message is not None:
                await self._receivers.correlate(receiver, kept.message, variables)
            else:
                await self._receivers.complete(receiver, variables)
        except EngineDown:
            return await self._unheard(ask, kept)
        except (Refused, Transient) as exc:  # the engine's own no: nothing of this request is there
            return await self._refused(ask, kept, exc)
        await self._book.settle(kept, Standing.HANDED_OVER)
        now = await self._now(kept)
        _tell(ask, now)
        return now

    async def _unheard(self, ask: Ask, kept: Handover) -> Handover:
        """The reply is lost. What cannot be seen yet may still be on its way in the engine."""
        try:
            found = await self._receivers.look(ask.instance, marker_name(ask.id))
        except (Transient, Permanent):
            return kept
        if isinstance(found, Marker):
            return await self._found(ask, kept, found)
        if found is Absent.HIDDEN:
            await self._book.settle(kept, Standing.UNKNOWN)
            kept = await self._now(kept)
            _tell(ask, kept)
        return kept

    async def _refused(self, ask: Ask, kept: Handover, refusal: Exception) -> Handover:
        """Nothing came of this request; of an earlier one something may have come since it was looked for."""
        found = await self._receivers.look(ask.instance, marker_name(ask.id))
        if isinstance(found, Marker):
            return await self._found(ask, kept, found)
        await self._book.drop(kept)
        raise NotTaken(f"the engine does not take it: {refusal}"[:LONGEST]) from refusal

    async def _receiver(self, ask: Ask, new: Handover, user: str) -> str:
        """Find what is to take it. Raises NotTaken, NotTheirs."""
        if new.message is not None:
            waiting = await self._receivers.waiting(ask.instance, new.message)
            if len(waiting) == 1:
                return waiting[0]
            what = "more than one place" if waiting else "nothing"
            raise NotTaken(f"{what} in this process instance waits for the message now, or it is suspended")
        task = await self._receivers.task(str(new.task))
        if task is None or task.process_instance_id != ask.instance:
            raise NotTaken("this process instance has no such user task now")
        if task.is_suspended or task.is_delegated:
            raise NotTaken(f"the user task is {'suspended' if task.is_suspended else 'delegated, and not resolved'}")
        if not await self._may_have(task, user):
            raise NotTheirs("the user task is for somebody else; claim it in the engine's task list first")
        return task.id

    async def _may_have(self, task: UserTask, user: str) -> bool:
        """Whether a user may complete a task: its assignee, else a candidate; one that names nobody is for all."""
        if task.assignee is not None:
            return task.assignee == user
        if user in task.users or not (task.users or task.groups):
            return True
        return bool(task.groups and task.groups & await self._receivers.groups(user))

    async def _now(self, kept: Handover) -> Handover:
        """Read how it stands by now: somebody else may have said so first."""
        now = await self._book.handover(kept.ask)
        if now is None:
            raise Erased("its conversation has just been removed")
        return now


def _new(ask: Ask, person: Person, wanted: Wanted, text: str) -> Handover:
    now = datetime.now(UTC)
    return Handover(
        ask=ask.id,
        person=person,
        message=wanted.message,
        task=wanted.task,
        variable=wanted.variable,
        hash=text_hash(text),
        state=Standing.RUNNING,
        holder=uuid4().hex,
        begun_at=now,
        due_at=now,
    )


def _same(kept: Handover, new: Handover) -> Handover:
    if not kept.is_of(new):
        raise HandedOtherwise(f"{kept.person} has begun to hand over another text, or in another way")
    if kept.person.id != new.person.id:
        raise HandedOtherwise(f"{kept.person} has begun to hand this over")
    return kept


def _tell(ask: Ask, handover: Handover) -> None:
    log.info(
        Event.HANDOVER,
        ask_id=ask.id,
        process_instance_id=ask.instance,
        by="task" if handover.message is None else "message",
        state=handover.state.value,
    )
