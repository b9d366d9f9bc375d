"""Weights that persons tried out and kept with a record: they rank nothing, and no decision hangs on them. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from worker.decisions import computed, hashing, schemas
from worker.decisions.schemas import MOST_SETS, WHAT_IFS
from worker.decisions.sums import DIGITS
from worker.errors import BadRecord


class Erased(BadRecord):
    """Texts of the record were erased by an order: nothing is put into it any more."""


class Taken(BadRecord):
    """Something that stands in the record already leaves no room for it."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Weights as a person names them, and why they are kept. `points` are for each criterion, by its id."""

    name: str
    why: str
    points: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Carried:
    """What goes on into the next record, with sealed texts: the sets that still fit, with their sources by id.

    `earlier` are items that count no more.
    """

    sets: Sequence[Mapping[str, Any]]
    sources: Mapping[str, Any]
    earlier: Sequence[Mapping[str, Any]]

    @property
    def all(self) -> list[Any]:
        """All of it, to find texts in."""
        return [*self.sets, dict(self.sources), *self.earlier]


NOTHING: Final = Carried((), {}, ())


def keep(
    record: Mapping[str, Any],
    said: WhatIf,
    source: Mapping[str, Any],
    *,
    salt: Callable[[], str] | None = None,
) -> tuple[Mapping[str, Any], str]:
    """Return the next revision, in which a set of weights is kept, and the set's id; `source` says whose it is.

    The same record where the same weights stand under this name. All other figures stay as they were computed, and so
    do status and decision. Raises Erased, Taken, and BadRecord for weights that do not fit the criteria.
    """
    content, known = record["content"], record["texts"]
    if set(hashing.digests(content)) - known.keys():
        raise Erased("the record's texts were erased by an order, and nothing is put into it any more")
    if "computed" not in content:
        raise Taken("nothing is computed of this record yet")
    opened = hashing.opened(content, known)
    points = [{"objective": each, "points": round(said.points[each], DIGITS)} for each in sorted(said.points)]
    new: dict[str, Any] = {"id": _free(record), "name": said.name, "why": said.why, "points": points}
    schemas.check_part(WHAT_IFS, {"sets": [new]})
    _check_criteria(said, opened["objectives"]["objectives"])
    there = _sets(opened)
    order = computed.tried({**opened, WHAT_IFS: {"sets": [*there, new]}}, new["id"])
    figures = content["computed"]
    if (same := _of_name(said.name, opened)) is not None:
        if _is_same(figures["sets"][same]["shares"], order["shares"]) and any(each["id"] == same for each in there):
            return record, same
        raise Taken(f"other weights are called {said.name!r} already: choose another name")
    if _is_same(figures["shares"], order["shares"]):
        raise BadRecord("these are the weights that rank: move one first")
    if len(figures["sets"]) >= MOST_SETS:
        raise Taken(f"the record has {MOST_SETS} sets of weights, which is as many as there may be")
    sealing = hashing.Sealing(known, salt)
    sealed = sealing.content({WHAT_IFS: {"sets": [new]}})[WHAT_IFS]["sets"]
    now = {
        **content,
        WHAT_IFS: {"sets": [*_sets(content), *sealed]},
        "computed": {**figures, "sets": {**figures["sets"], new["id"]: order}},
    }
    sources = {**record["sources"].get(WHAT_IFS, {}), new["id"]: sealing.source(source)}
    made = {
        **record,
        "revision": record["revision"] + 1,
        "content": now,
        "content_sha256": hashing.sha256(now),
        "sources": {**record["sources"], WHAT_IFS: sources},
        "texts": {**known, **sealing.used},
    }
    return made, new["id"]


def carried(before: Mapping[str, Any], content: Mapping[str, Any]) -> Carried:
    """Say what of the record `before` goes on beside other parts, in `content`, so that none of it is in their way."""
    earlier = [each for each in before["earlier"] if each["part"] == WHAT_IFS]
    mine = _sets(before["content"])
    if not mine:
        return Carried((), {}, earlier)
    taken = {each["id"] for each in content.get("weights", {}).get("sets", ())}
    criteria = _criteria(content.get("objectives", {}).get("objectives", ()))
    sources = before["sources"].get(WHAT_IFS, {})
    fitting = [
        each for each in mine if each["id"] not in taken and {one["objective"] for one in each["points"]} == criteria
    ][: MOST_SETS - len(taken)]
    kept = {each["id"] for each in fitting}
    earlier += [
        {"part": WHAT_IFS, "judge": "", "value": {"sets": [each]}, "source": sources[each["id"]]}
        for each in mine
        if each["id"] not in kept
    ]
    return Carried(fitting, {each: sources[each] for each in sorted(kept)}, earlier)


def items(record: Mapping[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """List the sets that were kept as part, id, value and source, texts sealed."""
    sources = record["sources"].get(WHAT_IFS, {})
    return [(WHAT_IFS, each["id"], each, sources.get(each["id"])) for each in _sets(record["content"])]


def stood_before(content: Mapping[str, Any]) -> Iterator[str]:
    """Hash the content as it was before each set that was kept, the last one first."""
    sets = _sets(content)
    for number in reversed(range(len(sets))):
        left = {name: value for name, value in content.items() if name != WHAT_IFS}
        if number:
            left[WHAT_IFS] = {"sets": sets[:number]}
        if "computed" in left:
            later = {each["id"] for each in sets[number:]}
            figures = left["computed"]
            orders = {name: order for name, order in figures["sets"].items() if name not in later}
            left["computed"] = {**figures, "sets": orders}
        yield hashing.sha256(left)


def _sets(content: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = content.get(WHAT_IFS, {}).get("sets", [])
    return found


def _criteria(objectives: Sequence[Mapping[str, Any]]) -> set[str]:
    parents = {each.get("parent") for each in objectives}
    return {each["id"] for each in objectives} - parents


def _check_criteria(said: WhatIf, objectives: Sequence[Mapping[str, Any]]) -> None:
    criteria = _criteria(objectives)
    wrong = [f"{each} is no criterion" for each in sorted(said.points.keys() - criteria)]
    wrong += [f"{each} has no points" for each in sorted(criteria - said.points.keys())]
    if wrong:
        raise BadRecord(f"the weights do not fit the record: {'; '.join(wrong)}")


def _free(record: Mapping[str, Any]) -> str:
    """Choose an id that no set has or had."""
    had = [one["id"] for each in record["earlier"] if each["part"] == WHAT_IFS for one in each["value"]["sets"]]
    taken = {*had, *record["content"].get("computed", {}).get("sets", ())}
    return next(name for name in (f"what_if_{number}" for number in count(1)) if name not in taken)


def _of_name(name: str, opened: Mapping[str, Any]) -> str | None:
    known = [*opened["weights"]["sets"], *_sets(opened)]
    return next((each["id"] for each in known if each.get("name") == name), None)


def _is_same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[each] - other[each]) <= 10**-DIGITS for each in one)
