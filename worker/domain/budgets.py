"""Budgets: what calls of models may take, who it is counted for, and what is used of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal, get_args

from worker.domain.prices import CURRENCY

Scope = Literal["assistant", "tenant", "root", "instance", "task"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""What is counted for, the widest first. `root` is a process instance with all that it calls."""
DAILY: Final[frozenset[Scope]] = frozenset({"tenant", "assistant"})
"""Scopes that are counted by the day, which is UTC's. The others are counted for as long as they last."""
NEARLY: Final = 0.8
"""From this part of a limit on it is said that it is nearly used up."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls take: tokens, read and written together, and money, in billionths of the counter's currency."""

    tokens: int = 0
    billionths: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be used of each; None: as much as there is."""

    tokens: int | None = None
    billionths: int | None = None

    def allows(self, used: Usage, more: Usage) -> bool:
        """Whether so much more may be used."""
        wanted = [(used.tokens + more.tokens, self.tokens), (used.billionths + more.billionths, self.billionths)]
        return all(most is None or amount <= most for amount, most in wanted)

    def nearly(self, used: Usage) -> float:
        """Say which part is used, of what is the closest to its end."""
        parts = [(used.tokens, self.tokens), (used.billionths, self.billionths)]
        return max((amount / most if most else 1.0 for amount, most in parts if most is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Counter:
    """One thing that usage is counted for, and its limit. `setting` is the line of BUDGETS_FILE that sets that.

    Money of another `currency` is counted apart.
    """

    scope: Scope
    name: str
    limit: Limit
    setting: str
    day: date | None = None
    currency: str = CURRENCY

    def __str__(self) -> str:
        """Name it."""
        what = {"root": "root instance"}.get(self.scope, self.scope)
        named = f"{what} {self.name}" if self.name else f"tasks without a {what}"
        return f"{named} on {self.day}" if self.day else named


@dataclass(frozen=True, slots=True)
class Budgets:
    """All limits by `<scope>`, or by `<scope> <name>`, which goes before the scope's. Money is of one currency."""

    limits: Mapping[str, Limit] = field(default_factory=dict)
    currency: str = CURRENCY

    def wants_day(self, names: Mapping[Scope, str]) -> bool:
        """Whether a call whose place has these names is counted for a day, too."""
        return any(scope in DAILY and self.setting(scope, name) for scope, name in names.items())

    def counters(self, names: Mapping[Scope, str], today: date | None) -> tuple[Counter, ...]:
        """Say what a call counts for, whose place has these names. `today` is needed where it `wants_day`."""
        return tuple(self._counters(names, today))

    def setting(self, scope: Scope, name: str) -> str | None:
        """Name the line of BUDGETS_FILE that holds for this; None if there is none."""
        return next((each for each in (f"{scope} {name}", scope) if each in self.limits), None)

    def _counters(self, names: Mapping[Scope, str], today: date | None) -> Iterator[Counter]:
        for scope, name in names.items():
            if (setting := self.setting(scope, name)) is not None:
                day = today if scope in DAILY else None
                yield Counter(scope, name, self.limits[setting], setting, day, self.currency)

    def bounds(self, assistant: str) -> list[Limit]:
        """All limits that may hold for calls of this assistant, whatever the process."""
        own = f"assistant {assistant}"
        for_others = {name for name in self.limits if name.startswith("assistant ")} - {own}
        if own in self.limits:
            for_others.add("assistant")
        return [limit for name, limit in self.limits.items() if name not in for_others]
