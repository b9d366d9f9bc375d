"""What asks need from outside, and what of it may still be talked about."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from worker.domain.conversations import EVERYTHING, MessageFilter, Session, Subject, every, owner
from worker.domain.endings import Receipt, order_id
from worker.domain.threads import ThreadKey
from worker.ports.asks import AskBook
from worker.ports.ending import Instances, Orders
from worker.ports.threads import Threads
from worker.ports.transcript import TranscriptReader

RECENT = 5
"""Messages among which the place of the thread's own instance is looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A process instance and its definition, by their ids; empty where they are not known, or there is none."""

    instance: str
    definition_id: str


@dataclass(frozen=True, slots=True)
class ChatPorts:
    """The stores."""

    asks: AskBook
    conversations: TranscriptReader
    orders: Orders
    instances: Instances
    threads: Threads

    async def is_erased(self, session: Session | None) -> bool:
        """Whether nobody may talk about this any more: it is erased, or is to be. Raises TranscriptDown, StoreDown."""
        if session is None or session.thread_erased_at is not None or session.anonymised_at is not None:
            return True
        async for receipt in self._receipts(session):
            # What was said after an order was carried out is nothing that it has erased.
            if receipt.completed_at is None or session.started_at <= receipt.completed_at:
                return True
        return False

    async def _receipts(self, session: Session) -> AsyncIterator[Receipt]:
        """Find orders to erase what it is of: those that are open, and those that were given for it and no more."""
        subjects = _subjects(session)
        for order in await self.orders.open_orders():
            receipt = await self.orders.receipt(order)
            if receipt is not None and any(_covers(receipt.subject, each) for each in subjects):
                yield receipt
        for subject in subjects:
            for tenants in (None, frozenset([session.tenant])):
                whose = replace(subject, tenants=tenants)
                receipt = await self.orders.receipt(order_id(whose))
                if receipt is not None and receipt.subject == whose:
                    yield receipt

    async def session(self, session_id: str) -> Session | None:
        """One session. Raises TranscriptDown."""
        return await self.conversations.session(session_id, within=EVERYTHING)

    async def place(self, session: Session) -> Place:
        """Say where in the engine the session is; of a shared one it is where the newest message was said."""
        wanted = MessageFilter(session_id=session.id)
        newest = await self.conversations.messages(wanted, within=EVERYTHING, limit=RECENT, newest=True)
        own = session.process_instance_id
        for each in newest.items:
            if own in (None, each.process_instance_id):
                return Place(each.process_instance_id, each.definition_id)
        return Place(own or "", "")

    async def definition(self, session_id: str) -> str:
        """Name the definition that a session was last spoken by, in whatever instance; empty where nothing tells.

        What persons say on a thread of the root's, where only a called process speaks, is in the record without one.
        """
        wanted = MessageFilter(session_id=session_id)
        read = self.conversations.messages
        found = every(lambda after: read(wanted, within=EVERYTHING, after=after, newest=True))
        async with aclosing(found) as newest:
            async for each in newest:
                if each.definition_id:
                    return each.definition_id
        return ""

    async def runs(self, about: ThreadKey, instance: str) -> bool:
        """Whether a process runs whose steps speak on this thread. Raises EngineDown."""
        if about.person is not None:
            return False
        whose = owner(about, instance)
        if whose is not None and whose.business_key is not None:
            return await self.instances.runs_with(whose.business_key, whose.tenants)
        name = instance if whose is None or whose.instance is None else whose.instance
        return bool(await self.instances.running([name]))


def is_shared(about: ThreadKey) -> bool:
    """Whether instances share this thread by business key, some of which may be yet to come."""
    whose = owner(about, "")
    return whose is not None and whose.business_key is not None


def _subjects(session: Session) -> list[Subject]:
    """Whose end would be its end."""
    found = [owner(session.key, session.process_instance_id)]
    if session.business_key is not None:
        found.append(Subject(session.engine, business_key=session.business_key))
    if session.key.person is not None:
        found.append(Subject(session.engine, person=session.key.person))
    tenants = frozenset([session.tenant])
    return [replace(each, tenants=tenants) for each in found if each is not None]


def _covers(ordered: Subject, subject: Subject) -> bool:
    """Whether an order is for this one, which has one tenant."""
    if replace(ordered, tenants=None) != replace(subject, tenants=None):
        return False
    return ordered.tenants is None or (subject.tenants or frozenset()) <= ordered.tenants
