"""What is different between two revisions of a record, and who has signed which. Pure."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain as chain_
from typing import Any, Final, Literal

from worker.decisions import chain, hashing, report, texts
from worker.decisions.chain import Row
from worker.decisions.hashing import Texts
from worker.decisions.schemas import INPUTS, PARTS, WHAT_IFS

Kind = Literal["added", "removed", "changed", "unknown"]

_KEYS: Final = (("id",), ("alternative", "criterion"), ("objective",), ("limit",))
"""What tells the items of a list apart; of lists without it only whole items come and go."""
_SAID_BY_THE_PART: Final = frozenset(
    {"objectives", "alternatives", "sets", "points", "scores", "dissent", "pre_mortem"}
)
"""Lists whose names say nothing that their part does not."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different: a field of a part, at the names that lead there: ids, places.

    Items of lists that have no ids are named by their place, from 1 on, and `order` is a field of every list. `before`
    and `after` are words, numbers or truth values, None where there is nothing. `unknown`: a text was erased, so that
    nobody can tell.
    """

    part: str
    of: Sequence[str]
    field: str
    kind: Kind
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Signature:
    """What a person did with one revision. `by` is whom the engine names, empty where it names nobody."""

    row: int
    at: str
    accepted: bool
    doubt: str
    by: str


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two revisions: how it stands, how its alternatives are ordered, and who signed it."""

    revision: int
    at: str
    standing: str
    content_sha256: str
    leader: str
    lead: float
    ranking: Sequence[str]
    signatures: Sequence[Signature]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two revisions. `erased` counts the texts of both that are gone; null, and an empty list, are as nothing there.

    `names` are those of ids, and `last` is the last revision that there is.
    """

    before: Side
    after: Side
    changes: Sequence[Change]
    names: Mapping[str, str]
    last: int
    erased: int


def compare(before: Mapping[str, Any], after: Mapping[str, Any], rows: Sequence[Row]) -> Comparison:
    """Compare two revisions of one record; `rows` are all that it has. May take too long for the loop."""
    sides = (before, after)
    changes = list[Change]()
    for part in (*PARTS, WHAT_IFS):
        one, other = (each["content"].get(part) for each in sides)
        changes += _Differing(part, *(_Words(each, part) for each in sides)).of((), one, other)
    figures = _Differing("computed", *(_Words(each, "computed") for each in sides))
    changes += figures.of((), *(_figures(each["content"].get("computed")) for each in sides))
    decided = _Differing("decision", *(_Words(each, "decision") for each in sides))
    changes += decided.of((), *(each.get("decision") for each in sides))
    gone = {digest for each in sides for digest in set(hashing.digests(each["content"])) - each["texts"].keys()}
    names = {id_: name for each in sides for id_, name in _names(each)}
    last = max(row["revision"] for row in rows) if rows else after["revision"]
    return Comparison(_side(before, rows), _side(after, rows), changes, names, last, len(gone))


def _names(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name ids as their part does; one whose name was erased keeps its id in sight."""
    content = report.shown(record)
    frame = content.get("frame", {})
    lists = (
        *(frame.get(name, ()) for name in ("stakeholders", "uncertainties")),
        *(content.get(name, {}).get(name, ()) for name in ("objectives", "alternatives")),
        *(content.get(name, {}).get("sets", ()) for name in ("weights", WHAT_IFS)),
    )
    for each in chain_.from_iterable(lists):
        if "name" in each:
            yield each["id"], each["name"] if each["name"] != hashing.ERASED else f"{each['id']} {hashing.ERASED}"


def _side(record: Mapping[str, Any], rows: Sequence[Row]) -> Side:
    revision, computed = record["revision"], record["content"].get("computed", {})
    made = [row["at"] for row in rows if row["revision"] == revision and row["kind"] == "change"]
    signed = [row for row in rows if row["kind"] == "signature" and chain.signed(row, rows) == revision]
    return Side(
        revision,
        made[0] if made else "",
        report.status(record),
        record["content_sha256"],
        computed.get("leader", ""),
        computed.get("lead", 0.0),
        computed.get("ranking", []),
        [_signature(row, record["texts"]) for row in signed],
    )


def _signature(row: Row, known: Texts) -> Signature:
    facts = hashing.opened(row["facts"], known)
    by = report.clean(str(facts.get("user") or facts.get("through") or ""))
    return Signature(row["number"], row["at"], facts.get("accepted") is True, str(facts.get("doubt") or ""), by)


def _figures(computed: Mapping[str, Any] | None) -> dict[str, Any]:
    """Choose what of the computation people decide by, each figure at the id that it is of."""
    if computed is None:
        return {}
    places = {each: place for place, each in enumerate(computed["ranking"], start=1)}
    names = ("leader", "lead", "first_share", "agreement", "kendall_w", "mismatches")
    return {
        **{name: computed[name] for name in names},
        "alternatives": {
            each: {"rank": places.get(each), "sum": computed["sums"].get(each)}
            | {"excluded": ", ".join(computed["excluded"].get(each, ())) or None}
            for each in computed["values"]
        },
        "criteria": {each: {"share": share} for each, share in computed["shares"].items()},
        "weights": {
            name: {"ranking": " > ".join(order["ranking"]), "lead": order["lead"]}
            for name, order in computed["sets"].items()
        },
    }


class _Words:
    """Reads the texts of one part of a record as people read them. Figures are filled in where they are said to be."""

    def __init__(self, record: Mapping[str, Any], part: str) -> None:
        self.known: Texts = record["texts"]
        self._computed = record["content"].get("computed", {}) if part in PARTS and part not in INPUTS else None

    def read(self, leaf: Any) -> Any:
        if not hashing.is_text(leaf):
            return report.clean(leaf) if isinstance(leaf, str) else leaf
        text = hashing.opened(leaf, self.known)
        return report.clean(text if self._computed is None else texts.fill(text, self._computed).text)

    def is_gone(self, leaf: Any) -> bool:
        return hashing.is_text(leaf) and leaf[hashing.SEALED] not in self.known

    def has_lost(self, value: Any) -> bool:
        return any(digest not in self.known for digest in hashing.digests(value))

    def bare(self, value: Any) -> str:
        """Name a value by what it says, the same in both revisions: a text may have another salt there."""
        return json.dumps(self._bare(value), sort_keys=True)

    def _bare(self, value: Any) -> Any:
        if hashing.is_text(value):
            return dict(value) if self.is_gone(value) else ["text", hashing.opened(value, self.known)]
        if isinstance(value, Mapping):
            return {name: self._bare(each) for name, each in value.items() if each is not None}
        return [*map(self._bare, value)] if isinstance(value, list) else value


class _Differing:
    """Walks through one part of both revisions."""

    def __init__(self, part: str, before: _Words, after: _Words) -> None:
        self._part = part
        self._before = before
        self._after = after

    def of(self, path: tuple[str, ...], before: Any, after: Any) -> Iterator[Change]:
        if _fits(before, after, list):
            yield from self._of_lists(path, before or [], after or [])
        elif _fits(before, after, Mapping) and not hashing.is_text(before) and not hashing.is_text(after):
            one, other = before or {}, after or {}
            for name in dict.fromkeys([*one, *other]):
                yield from self.of((*path, name), one.get(name), other.get(name))
        elif _is_leaf(before) and _is_leaf(after):
            yield from self._of_leaves(path, before, after)
        else:
            yield from self.of(path, before, None)
            yield from self.of(path, None, after)

    def _of_leaves(self, path: tuple[str, ...], before: Any, after: Any) -> Iterator[Change]:
        if before == after and type(before) is type(after):
            return
        kind: Kind = "changed"
        if before is None or after is None:
            kind = "added" if before is None else "removed"
        elif self._before.is_gone(before) or self._after.is_gone(after):
            kind = "unknown"  # the same text has another salt where it was put in again
        elif self._before.bare(before) == self._after.bare(after):
            return
        yield Change(self._part, path[:-1], path[-1], kind, self._before.read(before), self._after.read(after))

    def _of_lists(self, path: tuple[str, ...], before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
        here = path[:-1] if path and path[-1] in _SAID_BY_THE_PART else path
        keys = next((each for each in _KEYS if _are_told_apart(before, each) and _are_told_apart(after, each)), None)
        if keys is None:
            yield from self._of_unnamed(here, before, after)
            return
        one, other = ({tuple(each[name] for name in keys): each for each in side} for side in (before, after))
        for key in dict.fromkeys([*one, *other]):
            rest = [
                {name: each for name, each in side.get(key, {}).items() if name not in keys} for side in (one, other)
            ]
            yield from self.of((*here, *key), *rest)
        both = [[key for key in side if key in one and key in other] for side in (one, other)]
        if both[0] != both[1]:
            yield self._ordered(here, *([", ".join(map("/".join, side)) for side in both]))

    def _of_unnamed(self, here: tuple[str, ...], before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
        if before == after:
            return  # also where the texts are gone
        one, other = [self._before.bare(each) for each in before], [self._after.bare(each) for each in after]
        gone, new = _only_in(one, other), _only_in(other, one)
        found = [
            *(change for place in gone for change in self.of(_at(here, place), _as_item(before[place]), None)),
            *(change for place in new for change in self.of(_at(here, place), None, _as_item(after[place]))),
        ]
        has_lost = any(self._before.has_lost(before[place]) for place in gone)
        has_lost = has_lost or any(self._after.has_lost(after[place]) for place in new)
        yield from (replace(each, kind="unknown") for each in found) if has_lost else found
        if one != other and Counter(one) == Counter(other):
            places = ", ".join(str(other.index(each) + 1) for each in one)
            yield self._ordered(here, ", ".join(str(place + 1) for place in range(len(one))), places)

    def _ordered(self, here: tuple[str, ...], before: str, after: str) -> Change:
        return Change(self._part, here, "order", "changed", before, after)


def _fits(before: Any, after: Any, kind: type) -> bool:
    """Whether both are of a kind, or one is and the other is not there."""
    given = [each for each in (before, after) if each is not None]
    return bool(given) and all(isinstance(each, kind) for each in given)


def _is_leaf(value: Any) -> bool:
    return hashing.is_text(value) or not isinstance(value, Mapping | list)


def _are_told_apart(items: Sequence[Any], keys: Sequence[str]) -> bool:
    named = [
        tuple(each.get(name) for name in keys)
        for each in items
        if isinstance(each, Mapping) and not hashing.is_text(each)
    ]
    are_names = all(isinstance(name, str) for key in named for name in key)
    return are_names and len(set(named)) == len(items)


def _only_in(mine: Sequence[str], others: Sequence[str]) -> list[int]:
    """Find the places of items that the others lack; of those that are there several times, the last ones."""
    left, found = Counter(others), list[int]()
    for place, each in enumerate(mine):
        if left[each]:
            left[each] -= 1
        else:
            found.append(place)
    return found


def _at(here: tuple[str, ...], place: int) -> tuple[str, ...]:
    return (*here, str(place + 1))


def _as_item(item: Any) -> Any:
    return item if isinstance(item, Mapping) and not hashing.is_text(item) else {"text": item}
