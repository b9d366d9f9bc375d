"""Erases one instance, business key or person everywhere, by an order that outlives us, and keeps a receipt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from worker.domain.conversations import Subject
from worker.domain.endings import Receipt, Status, Step, Store, order_id
from worker.domain.threads import ThreadKey
from worker.ending.case import LOOK, Case, Place, is_passing
from worker.ending.ports import EndingPorts, holding, runs, why
from worker.ending.stores import search
from worker.errors import Permanent
from worker.runtime.portions import portions
from worker.telemetry import metrics
from worker.telemetry.logs import Event

LANDING_TIME = timedelta(minutes=1)
"""Within this an exchange that a worker had in hand is in the transcript, or is never going to be."""
NAMES = "names conversations that the provider still has, or may have"

log = structlog.get_logger()


class StillRuns(Permanent):
    """An instance of this subject runs, so that nothing was erased."""


@dataclass(slots=True)
class _Order:
    """A receipt in the making. Every change is kept at once, so that whoever comes next goes on from here."""

    case: Case
    receipt: Receipt

    async def note(self, *steps: Step) -> None:
        self.receipt = self.receipt.noting(*steps)
        await self.case.ports.orders.keep(self.receipt)

    def learn(self, steps: Iterable[Step]) -> None:
        """Add what was found to what was known; what is there again although it was removed is open again.

        A conversation that is gone is gone for good, whatever still names it.
        """
        named, news = self.receipt.named, list[Step]()
        for step in steps:
            before = named.get(step.name)
            if before is None or step.status is Status.STAYS or not before.at:
                anchor = step.anchor or (before.anchor if before else None)
                news.append(replace(step, count=before.count if before else 0, anchor=anchor))
            elif step.store is not Store.PROVIDER:
                news.append(replace(before, status=Status.OPEN, why=""))
        self.receipt = self.receipt.noting(*news)

    async def empty(self, place: Place, key: ThreadKey | None = None) -> None:
        """Erase what a store has of one thread, or what is of no thread; who names conversations waits for those."""
        self.learn(step for step in place.steps() if step.key == key)
        mine = [step for step in self.receipt.open if step.key == key and place.has(step)]
        named = (step for step in self.receipt.open if step.store is Store.PROVIDER and key in (None, step.key))
        if mine and place.waits and any(named):
            await self.note(*(step.kept(NAMES) for step in mine))
            return
        for some in portions(mine, place.at_once):
            await self.note(*[await self._tried(place, step) for step in some])

    async def _tried(self, place: Place, step: Step) -> Step:
        """Erase something and say what came of it."""
        try:
            async for after in place.erase(step):
                step = after
                if step.status is Status.OPEN:
                    await self.note(step)
        except Exception as exc:  # noqa: BLE001 - one thing that cannot be removed keeps none of the others
            return self.case.left(step, exc)
        return step


class Eraser:
    """Carries orders out: at once what can be, the rest whenever `resume` is called."""

    def __init__(self, ports: EndingPorts) -> None:
        self._ports = ports

    async def erase(
        self, subject: Subject, *, force: bool = False, results: bool = False, absent: bool = False
    ) -> Receipt:
        """Erase, and return the receipt. Raises StillRuns, EngineDown, StoreDown: then nothing was begun.

        Given again it goes on with the order that is open. With `force` running instances lose what they have, too,
        but for their `results`, which the next steps need. `absent`: what the key cannot see is said to be gone.
        """
        if (results or not force) and await runs(self._ports.instances, subject):
            wanted = "needs its results" if force else "was not forced"
            raise StillRuns(f"an instance of it still runs and {wanted}; --force erases all but the results")
        known = await self._ports.orders.receipt(order_id(subject))
        if known is None or known.subject != subject:
            known = _receipt(subject, await self._ports.index.now())
        if known.completed_at is not None:  # given again, it keeps what it has noted, and not what was wished for
            known = replace(known, completed_at=None, forced=False, results=False, absent=False)
        known = replace(
            known, forced=known.forced or force, results=known.results or results, absent=known.absent or absent
        )
        # Before anything is touched: from here on any worker's round carries it on.
        await self._ports.orders.keep(known)
        return await self._carry_out(known)

    async def receipt(self, order: str) -> Receipt | None:
        """Read an order by its id, open or complete; None if there is none, or not any more. Raises StoreDown."""
        return await self._ports.orders.receipt(order)

    async def resume(self, *, absent: bool = False) -> list[Receipt]:
        """Go on with every open order; one that cannot be carried out holds up no other. Raises StoreDown.

        `absent` as for `erase`.
        """
        receipts = []
        for order in await self._ports.orders.open_orders():
            try:
                known = await self._ports.orders.receipt(order)
                if known is not None:
                    receipts.append(await self._carry_out(replace(known, absent=known.absent or absent)))
            except Exception as exc:  # noqa: BLE001 - nor does an order
                log.warning(Event.END_DELAYED, what=f"order {order}", reason=why(exc))
        open_ = set(await self._ports.orders.open_orders())
        held = {each.id for each in receipts if each.is_held} & open_
        metrics.ERASURES_OPEN.set(len(open_ - held))
        metrics.ERASURES_HELD.set(len(held))
        return receipts

    async def _carry_out(self, receipt: Receipt) -> Receipt:
        case = Case(
            self._ports, receipt.subject, receipt.results, receipt.absent, unrecorded=True, before=receipt.steps
        )
        places = await search(case)
        order = _Order(case, replace(receipt, steps=tuple(step for step in receipt.steps if not is_passing(step))))
        found = [step for place in places for step in place.steps()]
        order.learn([*sorted(found, key=lambda step: [*Store].index(step.store)), *case.failed])
        # An order may stay open for days, in which an instance of the subject may have been started.
        if (receipt.forced and not receipt.results) or not await self._came_back(order):
            # What was found is noted before it is erased: what named it may be gone when somebody else goes on.
            await order.note()
            for key in dict.fromkeys(step.key for step in order.receipt.open if step.key is not None):
                await self._thread(order, places, key)
            # What is of no thread comes last: it needs no hold, and some of it tells of the threads.
            for place in places:
                await order.empty(place)
        await self._close(order)
        return order.receipt

    async def _came_back(self, order: _Order) -> bool:
        """Whether an instance runs (again), or that cannot be told; then everything open stays open."""
        try:
            reason = "an instance of it runs" if await runs(self._ports.instances, order.receipt.subject) else ""
        except Exception as exc:  # noqa: BLE001 - whatever it is, it cannot be told
            reason = why(exc)
        if reason:
            await order.note(Step(Store.ENGINE, LOOK, why=reason), *(step.kept(reason) for step in order.receipt.open))
        return bool(reason)

    async def _thread(self, order: _Order, places: Sequence[Place], key: ThreadKey) -> None:
        try:
            async with holding(self._ports.index, key) as hold:
                if any(turn.unrecorded or turn.state == "intent" for turn in await order.case.quiet(hold)):
                    # An exchange may be on its way, or come before we are done with what Redis has of the thread, and
                    # would come to stand in the transcript behind us. What comes after that is kept nowhere.
                    order.receipt = replace(order.receipt, look_again_at=await self._ports.index.now() + LANDING_TIME)
                for place in places:
                    await order.empty(place, key)
        except Exception as exc:  # noqa: BLE001 - nor does a thread; without Redis there is no noting either
            reason = why(exc)
            await order.note(*(step.kept(reason) for step in order.receipt.open if step.key == key))

    async def _close(self, order: _Order) -> None:
        receipt, open_, now = order.receipt, order.receipt.open, await self._ports.index.now()
        # Not before what was on its way must have come: another run then looks once more.
        if not open_ and (receipt.look_again_at is None or receipt.look_again_at <= now):
            order.receipt = replace(receipt, completed_at=now, look_again_at=None)
            log.info(Event.ERASED, order=receipt.id, steps=len(receipt.steps))
        else:
            log.warning(Event.ERASURE_OPEN, order=receipt.id, open=len(open_), stores=sorted({s.store for s in open_}))
        await order.note()


def _receipt(subject: Subject, at: datetime) -> Receipt:
    return Receipt(
        order_id(subject),
        subject.engine,
        subject.instance,
        subject.business_key,
        ordered_at=at,
        tenants=subject.ordered_tenants,
        person=subject.person,
        chat=subject.chat,
        memory=subject.memory,
    )
