"""What a call may take is charged to every budget that it counts for, before it starts, and corrected afterwards."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog

from worker.domain.budgets import NEARLY, Budgets, Counter, Scope, Usage
from worker.domain.money import Money
from worker.domain.prices import Prices
from worker.domain.threads import Answer, Assistant
from worker.errors import OverBudget, StoreDown, WorkerError
from worker.ports.budgets import BudgetBook
from worker.telemetry import metrics
from worker.telemetry.logs import Event
from worker.turn.cost import priced

log = structlog.get_logger()


class Charging:
    """The budgets of a worker, and the book of what is used of them."""

    def __init__(self, book: BudgetBook, budgets: Budgets, prices: Mapping[str, Prices]) -> None:
        self._book = book
        self._budgets = budgets
        self._prices = prices

    def use(self, budgets: Budgets) -> None:
        """Go by other limits from the next call on; what is used stays."""
        self._budgets = budgets

    @property
    def wants_root(self) -> bool:
        """Whether it has to be known which instance is at the top of a task's callers."""
        return "root" in self._budgets.limits

    async def counters(self, names: Mapping[Scope, str]) -> tuple[Counter, ...]:
        """Say what is counted for calls of a place with these names, today. Raises StoreDown."""
        return self._budgets.counters(names, await self._book.today() if self._budgets.wants_day(names) else None)

    def most(self, assistant: Assistant, input_tokens: int) -> Usage:
        """Say what a call may take that reads so many tokens. Raises OverBudget where nobody can tell."""
        price = self._prices.get(assistant.provider, Prices()).by_model.get(assistant.model)
        written = assistant.max_output_tokens
        if written is None or (price is None and self._counts_money(assistant)):
            raise OverBudget(f"nobody can tell what a call of {assistant.name} may take, so that no budget allows it")
        return Usage(input_tokens + written, price.most(input_tokens, written) if price else 0)

    async def charge(self, call: str, counters: Sequence[Counter], most: Usage) -> tuple[str, ...]:
        """Charge a call to all counters, or to none. Returns what to say of those that are nearly used up.

        A refused call takes no room from others: all counters are looked at before. Of calls that want the last room of
        one at the same moment exactly one gets it. For that moment the others have room of the narrower counters, which
        are charged first because the fewest calls count for them; who wants the last of such room then is refused, too.
        Raises OverBudget, which names a counter that does not allow it; StoreDown.
        """
        if len(counters) > 1:
            used_before = await asyncio.gather(*(self._book.used(each) for each in counters))
            for counter, used in zip(counters, used_before, strict=True):
                if not counter.limit.allows(used, most):
                    raise self._refusal(counter, used, most)
        nearly: list[str] = []
        for number, counter in enumerate(narrowest := counters[::-1], 1):
            try:
                charged, used = await self._book.charge(counter, call, most)
                if not charged:
                    raise self._refusal(counter, used, most)
            except (OverBudget, StoreDown):
                await self.release(call, narrowest[:number])  # this one, too: a lost reply may have been of a charge
                raise
            if (part := counter.limit.nearly(used)) >= NEARLY:
                metrics.BUDGETS.labels(counter.scope, "nearly").inc()
                nearly.insert(0, f"{counter}: {part:.0%}")
        return tuple(nearly)

    async def correct(self, call: str, counters: Sequence[Counter], answer: Answer) -> None:
        """Have what an answer took in the place of what its call was charged for, as far as that is known."""
        if (tokens := answer.took) is not None:
            # Another currency cannot be set against these limits: of money the call stays charged as thought.
            cost = answer.cost if answer.cost and answer.cost.currency == self._budgets.currency else None
            await self._correct(call, counters, tokens, cost.billionths if cost else None)

    async def release(self, call: str, counters: Sequence[Counter]) -> None:
        """Take back what a call was charged for that certainly did not run."""
        await self._correct(call, counters, 0, 0)

    async def _correct(
        self, call: str, counters: Sequence[Counter], tokens: int | None, billionths: int | None
    ) -> None:
        """Never raises StoreDown: what is not corrected stays charged in full, and that is said."""
        try:
            await asyncio.gather(*(self._book.correct(each, call, tokens, billionths) for each in counters))
        except StoreDown as exc:
            log.warning(Event.BUDGET_NOT_CORRECTED, budgets=[str(each) for each in counters], reason=str(exc))

    def _counts_money(self, assistant: Assistant) -> bool:
        return any(limit.billionths is not None for limit in self._budgets.bounds(assistant.name))

    def _refusal(self, counter: Counter, used: Usage, most: Usage) -> OverBudget:
        """Count it, and say what to change."""
        metrics.BUDGETS.labels(counter.scope, "over").inc()
        limit = counter.limit
        if limit.tokens is not None and used.tokens + most.tokens > limit.tokens:
            bound, spent, asked = (f"{each} tokens" for each in (limit.tokens, used.tokens, most.tokens))
        else:
            amounts = (limit.billionths or 0, used.billionths, most.billionths)
            bound, spent, asked = (str(Money.of(each, counter.currency)) for each in amounts)
        later = ", or set the retries again on another day (UTC)" if counter.day else ""
        return OverBudget(
            f"the budget of {counter} is {bound}; {spent} are used or may still be, and this call may take {asked}. "
            f"Whoever runs the worker may raise {counter.setting!r} in BUDGETS_FILE{later}"
        )


@dataclass(slots=True)
class Bill:
    """Implements `ports.providers.Payer` by the budgets that one request's calls count for; there need not be any.

    `call` is the id of the one that is charged, unless that was released.
    """

    charging: Charging | None
    counters: Sequence[Counter]
    prices: Mapping[str, Prices]
    call: str = ""

    @property
    def counts(self) -> bool:
        """Whether there is any budget that calls count for."""
        return self.charging is not None and bool(self.counters)

    async def charge(self, call: str, assistant: Assistant, input_tokens: int) -> tuple[str, ...]:
        """See `Charging.charge`."""
        if self.charging is None or not self.counters:
            return ()
        nearly = await self.charging.charge(call, self.counters, self.charging.most(assistant, input_tokens))
        self.call = call
        return nearly

    async def correct(self, call: str, answer: Answer) -> None:
        """See `Charging.correct`."""
        if self.charging is not None and call:
            await self.charging.correct(call, self.counters, answer)

    async def release(self) -> None:
        """Take back what is charged for a call that certainly did not run."""
        if self.charging is not None and self.call:
            await self.charging.release(self.call, self.counters)
        self.call = ""

    async def pay(self, assistant: Assistant, input_tokens: int, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """See `ports.providers.Payer.pay`."""
        # A bill of its own: what the answer's call is charged with must not be corrected by what this one took.
        own = Bill(self.charging, self.counters, self.prices)
        name = uuid4().hex
        await own.charge(name, assistant, input_tokens)
        try:
            answer = priced(await call(), assistant, self.prices)
        except WorkerError as exc:
            if exc.excludes_call:
                await own.release()
            raise
        await own.correct(name, answer)
        return answer
