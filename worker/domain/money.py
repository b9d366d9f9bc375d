"""Money: exact amounts, each in its currency. Never a float, whose sums drift."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

PLACES: Final = 9
"""Of one answer's cost; a token costs a millionth of a price."""
_FORM: Final = re.compile(rf"(?:0|[1-9]\d{{0,17}})(?:\.\d{{0,{PLACES - 1}}}[1-9])?", re.ASCII)
_CURRENCY: Final = re.compile("[A-Z]{3}", re.ASCII)


def is_currency(text: str) -> bool:
    """Whether this is the form of one: three capital letters."""
    return _CURRENCY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency, written as people do: `0.0123`, to the billionth, with nothing to spare.

    Raises ValueError for any other text.
    """

    amount: str
    currency: str

    def __post_init__(self) -> None:
        if not _FORM.fullmatch(self.amount) or not is_currency(self.currency):
            raise ValueError("no amount of money")

    @classmethod
    def of(cls, billionths: int, currency: str) -> Self:
        """Write an amount."""
        whole, part = divmod(billionths, 10**PLACES)
        return cls(f"{whole}.{part:0{PLACES}}".rstrip("0").removesuffix("."), currency)

    @classmethod
    def read(cls, parts: Any) -> Self | None:
        """Read what `told` wrote; None for anything else, as an answer is not lost for its price."""
        try:
            return cls(**parts)
        except (TypeError, ValueError):
            return None

    @property
    def told(self) -> dict[str, str]:
        """The same as JSON has it."""
        return {"amount": self.amount, "currency": self.currency}

    @property
    def billionths(self) -> int:
        """The amount as a whole number, to be added to others of its currency."""
        return int(Decimal(self.amount).scaleb(PLACES))

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
