"""What is used of budgets, as Redis knows it: a hash for each thing that is counted for, in a slot of its own."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import cast

from worker.domain.budgets import Counter, Limit, Scope, Usage
from worker.redis.connect import Client
from worker.redis.formats import CorruptRecord
from worker.redis.keys import budget, read_budget, stem
from worker.redis.runner import Runner, moment, ms

DAY_FOR = timedelta(days=3)
"""How long a day is remembered: a call may end long after midnight."""
STEP = 1000
"""Keys that the server looks at before it serves others."""


class RedisBudgets:
    """Implements `ports.budgets.BudgetBook` for one engine. `keep` is how long one is remembered that has no day."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, keep: timedelta) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix
        self._engine = engine
        self._keep = keep

    async def today(self) -> date:
        """See `ports.budgets.BudgetBook.today`."""
        return moment(await self._runner.run("clock", [f"{stem(self._prefix, self._engine)}:clock"])).date()

    async def charge(self, counter: Counter, call: str, most: Usage) -> tuple[bool, Usage]:
        """See `ports.budgets.BudgetBook.charge`."""
        bounds = ("" if each is None else each for each in (counter.limit.tokens, counter.limit.billionths))
        life = DAY_FOR if counter.day else self._keep
        args = (call, most.tokens, most.billionths, *bounds, ms(life), counter.currency)
        charged, tokens, billionths = await self._runner.run_anew("charge", [self._name(counter)], *args)
        return charged == "1", Usage(int(tokens), int(billionths))

    async def correct(self, counter: Counter, call: str, tokens: int | None, billionths: int | None) -> None:
        """See `ports.budgets.BudgetBook.correct`."""
        took = ("" if each is None else each for each in (tokens, billionths))
        await self._runner.run_anew("correct", [self._name(counter)], call, *took, counter.currency)

    async def used(self, counter: Counter) -> Usage:
        """See `ports.budgets.BudgetBook.used`."""
        fields = ["currency", "tokens", "money", f"money:{counter.currency}"]
        try:
            first, *found = await self._runner.command(self._redis.hmget(self._name(counter), fields))
            tokens, money, other_money = (int(each or 0) for each in found)
        except (CorruptRecord, ValueError):  # the next charge forgets it
            return Usage()
        return Usage(tokens, money if first in {None, counter.currency} else other_money)

    async def counted(self, scope: Scope, currency: str) -> AsyncIterator[tuple[Counter, Usage]]:
        """See `ports.budgets.BudgetBook.counted`. Looks by SCAN, which holds nobody up."""
        beginning = budget(self._prefix, self._engine, scope, "").removesuffix("}")
        names = self._redis.scan_iter(match=f"{beginning}*", count=STEP)
        # Name by name, so that each step is bounded like any command; `async for` would have no bound.
        while (name := await self._runner.command(anext(names, None))) is not None:
            if (counter := _counter(name, currency)) is not None:
                yield counter, await self.used(counter)

    def _name(self, counter: Counter) -> str:
        day = counter.day.isoformat() if counter.day else ""
        return budget(self._prefix, self._engine, counter.scope, counter.name, day)


def _counter(name: str, currency: str) -> Counter | None:
    """Read a name; None for one that we did not give. What the limit is now the file says."""
    if (parts := read_budget(name)) is None:
        return None
    scope, named, day = parts
    try:
        on = date.fromisoformat(day) if day else None
    except ValueError:
        return None
    return Counter(cast("Scope", scope), named, Limit(), "", on, currency)
