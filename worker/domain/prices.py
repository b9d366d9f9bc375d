"""What models cost, and what an answer cost by that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from worker.domain.money import PLACES, Money
from worker.domain.threads import Answer

CURRENCY: Final = "USD"
MOST: Final = 1_000_000
"""The highest price, which is one for each token: what any call comes to by it, databases can hold."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost. Without prices of their own, tokens of the cache cost as others do."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None

    def billionths(self, answer: Answer) -> int | None:
        """Say what an answer cost, None if nobody knows what it took.

        Where the provider says nothing of its cache, all input counts as read anew.
        """
        if answer.counted is None:
            return None
        read, written = answer.counted
        cached = min(answer.cached_tokens or 0, read)
        kept = min(answer.cache_write_tokens or 0, read - cached)
        return _billionths(
            (read - cached - kept) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + kept * (self.input if self.cache_write is None else self.cache_write)
            + written * self.output
        )

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """Say what a call may cost that takes no more than this, in billionths."""
        dearest = max(each for each in (self.input, self.cached, self.cache_write) if each is not None)
        return _billionths(input_tokens * dearest + output_tokens * self.output)


def _billionths(cost: Decimal) -> int:
    """Take what tokens cost by prices of a million."""
    return round(cost.scaleb(PLACES - 6))


@dataclass(frozen=True, slots=True)
class Prices:
    """A provider's prices by model, all in one currency. What stands here not is unknown, not free."""

    by_model: Mapping[str, Price] = field(default_factory=dict)
    currency: str = CURRENCY

    def cost(self, answer: Answer, model: str) -> Money | None:
        """Say what an answer cost for which this model was asked; None if that is not known.

        Providers name the model that answered more exactly, as `gpt-5-mini-2026-01-01`; its own price goes first.
        """
        price = self.by_model.get(answer.model or model) or self.by_model.get(model)
        billionths = None if price is None else price.billionths(answer)
        return None if billionths is None else Money.of(billionths, self.currency)
