"""What a record calls its things where it speaks of them: names, with ids where a name is not enough. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.decisions.hashing import ERASED

LONG: Final = 100
"""Letters from which on a name is shortened: it stands whole where it is told what there is."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names by ids, of each kind of thing: kinds have ids of their own.

    Limits go by their statements. `grounds` are what a condition may rest on.
    """

    alternatives: Mapping[str, str]
    objectives: Mapping[str, str]
    uncertainties: Mapping[str, str]
    limits: Mapping[str, str]
    grounds: Mapping[str, str]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Names":
        """Read them from a content whose texts are in their place."""
        frame = content.get("frame", {})
        limits = called(frame.get("limits", ()), "statement")
        uncertainties = called(frame.get("uncertainties", ()))
        return cls(
            called(content.get("alternatives", {}).get("alternatives", ())),
            called(content.get("objectives", {}).get("objectives", ())),
            uncertainties,
            limits,
            {**called(frame.get("assumptions", ()), "text"), **limits, **uncertainties},
        )

    def cell(self, place: str) -> str:
        """Name a score by `alternative/criterion`, or what else goes by one id."""
        alternative, slash, criterion = place.partition("/")
        if not slash:
            return self.uncertainties.get(place, place)
        return f"{self.alternatives.get(alternative, alternative)}, {self.objectives.get(criterion, criterion)}"


def called(things: Iterable[Mapping[str, Any]], by: str = "name") -> dict[str, str]:
    """Name things of one kind. The id stands behind a name that says not which: it is erased, or another's too."""
    names = {each["id"]: short(each[by]) for each in things}
    many = Counter(names.values())
    return {
        own: f"{name} ({own})" if many[name] > 1 or name == ERASED or (name != own and name in names) else name
        for own, name in names.items()
    }


def short(name: str) -> str:
    """Shorten what is named again and again."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"
