"""Erases one instance or business key everywhere, by an order that outlives us, and keeps a receipt."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from worker.domain.conversations import Subject
from worker.domain.endings import Kept, Receipt, Status, Step, Store
from worker.domain.threads import Hold
from worker.ending.looking import CONVERSATION, LOOK, RESPONSE, Found, Search
from worker.ending.stores import EndingPorts, cancel_runs, holding, runs, why
from worker.errors import Permanent, ThreadUnseen
from worker.ports.transcript import TranscriptWriter
from worker.runtime.portions import portions
from worker.telemetry import metrics
from worker.telemetry.logs import Event

LANDING_TIME = timedelta(minutes=1)
"""Within this an exchange that a worker had in hand is in the transcript, or is never going to be."""
RESPONSES_AT_ONCE = 50
NAMES = "names conversations that the provider still has, or may have"

log = structlog.get_logger()


class StillRuns(Permanent):
    """An instance of this subject runs, so that nothing was erased."""


@dataclass(slots=True)
class _Order:
    """A receipt in the making. Every change is kept at once, so that whoever comes next goes on from here."""

    ports: EndingPorts
    receipt: Receipt

    async def note(self, *steps: Step) -> None:
        self.receipt = self.receipt.noting(*steps)
        await self.ports.orders.keep(self.receipt)

    async def doing(self, step: Step, work: Callable[[], Awaitable[int]]) -> bool:
        """Do an open step and note what came of it; False if it is still open."""
        tried = await self.tried(step, work)
        await self.note(tried)
        return tried.status is not Status.OPEN

    async def tried(self, step: Step, work: Callable[[], Awaitable[int]]) -> Step:
        """Do an open step and say what came of it."""
        try:
            return step.removed(await work(), self.ports.now())
        except Exception as exc:  # noqa: BLE001 - one thing that cannot be removed keeps none of the others
            return self.failed(step, exc)

    def failed(self, step: Step, error: Exception) -> Step:
        """Say why a step is open; what cannot be seen is not, where a person has said that it is gone."""
        accepted = isinstance(error, ThreadUnseen) and self.receipt.absent
        return step.accepted(self.ports.now()) if accepted else step.kept(why(error))


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
            known = _receipt(subject, self._ports.now())
        if known.completed_at is not None:  # given again, it keeps what it has noted, and not what was wished for
            known = replace(known, completed_at=None, forced=False, results=False, absent=False)
        known = replace(
            known, forced=known.forced or force, results=known.results or results, absent=known.absent or absent
        )
        await self._ports.orders.keep(known)
        return await self._carry_out(known)

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
        metrics.ERASURES_OPEN.set(len(await self._ports.orders.open_orders()))
        return receipts

    async def _carry_out(self, receipt: Receipt) -> Receipt:
        found = await Search(self._ports, receipt.subject, results=receipt.results, absent=receipt.absent).look()
        order = _Order(self._ports, _joined(receipt, found))
        if (receipt.forced and not receipt.results) or not await self._came_back(order):
            await order.note()
            await self._threads(order, found)
            await self._responses(order, found)
            await self._transcript(order, found)
            await self._variables(order, found)
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

    async def _threads(self, order: _Order, found: Found) -> None:
        for key in dict.fromkeys(step.key for step in order.receipt.open if step.key is not None):
            mine = [step for step in order.receipt.open if step.key == key]
            kept = found.kept.get(key, Kept(key))
            try:
                async with holding(self._ports.index, key) as hold:
                    await self._thread(order, mine, hold, kept)
            except Exception as exc:  # noqa: BLE001 - nor does a thread; without Redis there is no noting either
                reason = why(exc)
                await order.note(*(s.kept(reason) for s in mine if s in order.receipt.open))

    async def _thread(self, order: _Order, mine: list[Step], hold: Hold, kept: Kept) -> None:
        kept = replace(kept, thread=await self._ports.index.thread(kept.key))
        if any(turn.unrecorded for turn in await cancel_runs(self._ports, kept)):
            order.receipt = replace(order.receipt, look_again_at=self._ports.now() + LANDING_TIME)
        keys = [step for step in mine if step.store is Store.REDIS]
        if not await self._conversations(order, mine, kept):
            return await order.note(*(step.kept(NAMES) for step in keys))
        removed = await self._ports.index.forget(hold, kept, unrecorded=True)
        return await order.note(*(step.removed(removed, self._ports.now()) for step in keys))

    async def _conversations(self, order: _Order, steps: list[Step], kept: Kept) -> bool:
        """Erase a key's conversations. False, and the rest of the key waits, if one of them cannot be."""
        names = {step.what: step for step in steps if step.store is Store.PROVIDER}
        if kept.thread is not None and CONVERSATION + kept.thread.id not in names:  # made since we looked
            what = CONVERSATION + kept.thread.id
            names[what] = Step(Store.PROVIDER, what, kept.key, anchor=kept.thread.anchor)
        done = True
        for each in names.values():
            step = each if each.anchor else await self._seen(order, each)
            if step.anchor is not None:
                done &= await order.doing(step, partial(self._conversation, step))
            else:
                done &= step.status is not Status.OPEN
        return done

    async def _seen(self, order: _Order, step: Step) -> Step:
        """Find out which account a conversation is in, and note that while there is something to be seen."""
        try:
            step = replace(step, anchor=await self._ports.provider.see(step.what.removeprefix(CONVERSATION)))
        except Exception as exc:  # noqa: BLE001 - nor does a thread of before
            step = order.failed(step, exc)
        await order.note(step)
        return step

    async def _conversation(self, step: Step) -> int:
        return await self._ports.provider.erase_thread(step.what.removeprefix(CONVERSATION), str(step.anchor))

    async def _responses(self, order: _Order, found: Found) -> None:
        left = [step for step in order.receipt.open if step.what.startswith(RESPONSE)]
        anchored = (_anchored(step, order.receipt, found) for step in left)
        for some in portions(anchored, RESPONSES_AT_ONCE):  # to note each of thousands would take minutes
            await order.note(*[await order.tried(step, partial(self._response, step)) for step in some])

    async def _response(self, step: Step) -> int:
        return int(await self._ports.provider.erase_response(step.what.removeprefix(RESPONSE), step.anchor))

    async def _transcript(self, order: _Order, found: Found) -> None:
        transcript = self._ports.transcript
        for step in order.receipt.open:
            if step.store is Store.TRANSCRIPT and step.what != LOOK and transcript is not None:
                await order.doing(step, partial(_remove, transcript, found))

    async def _variables(self, order: _Order, found: Found) -> None:
        """Remove our variables, once nobody needs the threads' names any more that they hold."""
        if any(step.store is Store.PROVIDER for step in order.receipt.open):
            waiting = [s for s in order.receipt.open if s.store is Store.ENGINE and s.what != LOOK]
            return await order.note(*(step.kept(NAMES) for step in waiting))
        for instance, traces in found.traces.items():
            step = order.receipt.named.get((Store.ENGINE, f"variables of {instance}"))
            if step is None or step.status is not Status.OPEN:
                continue
            try:
                for trace in traces:
                    await self._ports.instances.wipe(trace)
                    step = step.removed(1, self._ports.now())
            except Exception as exc:  # noqa: BLE001 - nor does an instance
                step = step.kept(why(exc))
            await order.note(step if traces else step.removed(0, self._ports.now()))
        return None

    async def _close(self, order: _Order) -> None:
        receipt, open_ = order.receipt, order.receipt.open
        if not open_ and (receipt.look_again_at is None or receipt.look_again_at <= self._ports.now()):
            order.receipt = replace(receipt, completed_at=self._ports.now(), look_again_at=None)
            log.info(Event.ERASED, order=receipt.id, steps=len(receipt.steps))
        else:
            log.warning(Event.ERASURE_OPEN, order=receipt.id, open=len(open_), stores=sorted({s.store for s in open_}))
        await order.note()


async def _remove(transcript: TranscriptWriter, found: Found) -> int:
    whose = found.subject
    own = [Subject(whose.engine, instance=name, tenants=whose.tenants) for name in sorted(found.instances)]
    return (await transcript.remove([found.subject, *(each for each in own if each != found.subject)])).messages


def _joined(receipt: Receipt, found: Found) -> Receipt:
    """Add what was found to what was known; what is there again although it was removed is open again.

    A conversation that is gone is gone for good, whatever still names it.
    """
    known = tuple(step for step in receipt.steps if step.what != LOOK and not _is_guess(step))
    joined = replace(receipt, steps=known)
    named, steps = joined.named, list[Step]()
    for step in found.steps():
        before = named.get(step.name)
        if before is None or step.status is Status.STAYS or not before.at:
            anchor = step.anchor or (before.anchor if before else None)
            steps.append(replace(step, count=before.count if before else 0, anchor=anchor))
        elif step.store is not Store.PROVIDER:
            steps.append(replace(before, status=Status.OPEN, why=""))
    return joined.noting(*steps)


def _anchored(step: Step, receipt: Receipt, found: Found) -> Step:
    """Say in which account a response is: in the one of its conversation."""
    conversation = found.responses.get(step.what.removeprefix(RESPONSE))
    known = receipt.named.get((Store.PROVIDER, f"{CONVERSATION}{conversation}"))
    return replace(step, anchor=step.anchor or (known.anchor if known else None))


def _is_guess(step: Step) -> bool:
    """Whether nobody could tell yet whose this conversation is."""
    return step.status is Status.OPEN and step.key is None and step.what.startswith(CONVERSATION)


def order_id(subject: Subject) -> str:
    """Name the order for a subject: 12 hex digits, the same whoever gives it."""
    kind, name = ("instance", subject.instance) if subject.instance is not None else ("key", subject.business_key)
    return hashlib.sha256(json.dumps([kind, subject.engine, name, subject.ordered_tenants]).encode()).hexdigest()[:12]


def _receipt(subject: Subject, at: datetime) -> Receipt:
    whose = (subject.engine, subject.instance, subject.business_key)
    return Receipt(order_id(subject), *whose, ordered_at=at, tenants=subject.ordered_tenants)
