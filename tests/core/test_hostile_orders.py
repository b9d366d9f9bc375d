"""Orders to erase between turns, holds and forged variables, by the hundred, on two engines that have the same ids.

Nothing of anybody else goes, a receipt is true, and in the end all is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import pytest

from tests.core.closing import Closing
from tests.core.rig import Core
from tests.core.two_engines import BUSINESS_KEYS, INSTANCES, TENANTS, Side, Thing, Token, TwoEngines
from tests.fakes.instances import Process
from tests.hostile import seeds
from tests.unit.test_hostile import Maker
from worker.domain import meta
from worker.domain.conversations import Subject
from worker.domain.endings import Receipt, Status, Store
from worker.ending import StillRuns
from worker.ending.erasing import LANDING_TIME
from worker.ending.rounds import Kind

ORDERS = 18
"""Orders to erase by one seed, about; it takes seconds."""
STEPS = 40
ORDERED = 0.25
KINDS: list[Kind] = ["keep", "remove", "anonymise"]
STAY = {Status.STAYS, Status.ACCEPTED}


@pytest.mark.parametrize("seed", seeds(ORDERS))
async def test_orders_erase_what_is_their_subjects_and_nothing_else(core: Core, closing: Closing, seed: int) -> None:
    two = TwoEngines(core, closing.database, Maker(seed))
    happens = [two.speak] * 6 + [two.forge] * 3 + [two.finish] * 2
    happens += [two.turn, two.decide, two.call_activity, two.trouble, two.record, two.record]
    orders = Orders(two)
    for _ in range(STEPS):
        side = two.make.choice(two.sides)
        if two.make.random() < ORDERED:
            await two.make.choice([orders.instance, orders.instance, orders.business_key, orders.sweep, orders.resume])(
                side
            )
        else:
            await two.make.choice(happens)(side)

    await two.calm()
    for side in two.sides:
        await orders.everything(side)
    left = [name for name, thing in (await two.things()).items() if not orders.may_stay(name, thing)]
    assert left == [], "\n".join(orders.told)
    assert orders.completed > len(INSTANCES), "they are not all kept by something"


class Orders:
    """Gives orders, and looks what became of everything. `stay` is what receipts say that it stays."""

    def __init__(self, two: TwoEngines) -> None:
        self.two = two
        self.make = two.make
        self.stay: set[Token] = set()
        self.told: list[str] = []
        self.completed = 0
        self.hides = 0.1

    async def instance(self, side: Side) -> None:
        name = self.two.begin(side)
        options = {each: self.make.random() < 0.4 for each in ("force", "results", "absent")}
        await self._give(side, side.closing.of(name), **options)

    async def business_key(self, side: Side) -> None:
        tenants = self.make.choice([None, frozenset([None]), frozenset(["a"]), frozenset(TENANTS)])
        subject = Subject(side.name, business_key=self.make.choice(BUSINESS_KEYS[1:]), tenants=tenants)
        await self._give(side, subject, force=self.make.random() < 0.4)

    async def everything(self, side: Side) -> None:
        """Erase all of an engine, which has calmed down."""
        self.hides = 0.0
        for name in side.closing.instances.processes:
            await self._give(side, side.closing.of(name), results=True)
        for name in BUSINESS_KEYS[1:]:
            await self._give(side, Subject(side.name, business_key=name))
        await asyncio.sleep(LANDING_TIME.total_seconds())  # something may have been on its way
        await self.resume(side)
        assert await side.closing.orders.open_orders() == []

    async def resume(self, side: Side) -> None:
        """Go on with all orders of an engine."""
        orders = [await side.closing.orders.receipt(each) for each in await side.closing.orders.open_orders()]
        who = set[Token]().union(*(whose(each.subject) for each in orders if each is not None))

        async def carried_out() -> list[Receipt]:
            return await side.closing.resume()

        await self._nothing_else(who, carried_out)

    async def sweep(self, side: Side) -> None:
        """End what is over, as retention does."""
        processes = side.closing.instances.processes
        who: set[Token] = {("instance", side.name, name) for name, each in processes.items() if not each.runs}
        all_of_keys = [(of_key(side, each), each.runs) for each in processes.values()]
        who |= {key for key, _ in all_of_keys} - {key for key, runs in all_of_keys if runs}
        kind = self.make.choice(KINDS)

        async def swept() -> list[Receipt]:
            await side.closing.sweep(kind=kind)
            return []

        await self._nothing_else(who, swept, swept=True)

    async def _give(self, side: Side, subject: Subject, **options: bool) -> None:
        self.told.append(f"{side.name}: {subject} {options}")

        async def given() -> list[Receipt]:
            await side.closing.rest()
            try:
                return [await side.closing.eraser.erase(subject, **options)]
            except StillRuns:
                return []

        for receipt in await self._nothing_else(whose(subject), given):
            await self._is_true(receipt)

    async def _nothing_else(
        self, who: Collection[Token], do: Callable[[], Awaitable[list[Receipt]]], *, swept: bool = False
    ) -> list[Receipt]:
        """Do it, and see that what is of nobody that it was for is as it was."""
        before = await self.two.things()
        hidden = self.make.random() < self.hides
        if hidden:
            with self.two.provider.another_account():
                receipts = await do()
        else:
            receipts = await do()
        after = await self.two.things()
        for name, thing in before.items():
            may = {thing.home} if swept else thing.whose
            if not may & set(who):
                assert after.get(name) == thing, (name, self.told[-1])
        for receipt in receipts:
            accepted = [step.what.split()[:2] for step in receipt.steps if step.status is Status.ACCEPTED]
            self.stay |= {(kind, name) for kind, name in accepted}
        return receipts

    async def _is_true(self, receipt: Receipt) -> None:
        """What the receipt says to be removed is not there, and what is there it says, or it is not complete."""
        things, who = await self.two.things(), whose(receipt.subject)
        said = {step.what: step for step in receipt.steps if step.store is Store.PROVIDER}
        for name in things:
            step = said.get(" ".join(name))
            assert step is None or step.status is not Status.REMOVED, (name, receipt)
        if receipt.completed_at is None:
            assert receipt.open or receipt.look_again_at, receipt
            return
        self.completed += 1
        for name, thing in things.items():
            if thing.whose & who and not self.may_stay(name, thing):
                raise AssertionError(f"{name} {thing} is left: {receipt}")

    def may_stay(self, name: Token, thing: Thing) -> bool:
        """Whether it is no order's to take: what is not ours, and what a person has said to be gone."""
        if name[0] == "variable":
            ours = name[3].startswith("assistant_thread_") or meta.read(name[3], thing.content) is not None
            return not ours
        return name in self.stay


def of_key(side: Side, process: Process) -> Token:
    """Who may have erased what is shared by an instance's business key."""
    return ("key", side.name, str(process.business_key), str(process.tenant))


def whose(subject: Subject) -> set[Token]:
    """Whom an order is for."""
    if subject.instance is not None:
        return {("instance", subject.engine, subject.instance)}
    tenants = TENANTS if subject.tenants is None else subject.tenants
    return {("key", subject.engine, str(subject.business_key), str(each)) for each in tenants}
