"""What became of a decision, as the rows of its record tell it, against what the engine was told."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.decisions import hashing
from worker.decisions.chain import Row
from worker.domain import foreign
from worker.domain.decisions import HASH_SUFFIX, Decision
from worker.ports.decisions import DecisionSources

_CLOSED: Final = "closed"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the engine has of a record as the value of one variable. `is_dated`: it has each one that there was."""

    instance: str
    output: str
    outcome: Mapping[str, Any]
    is_dated: bool
    at: datetime

    @property
    def where(self) -> str:
        return f"engine: variable {self.output} of instance {self.instance}"


@dataclass(frozen=True, slots=True)
class _Doubt:
    """That the engine was not told something. `there` is what it was told instead; `may_come`: it may be told yet."""

    said: str
    there: _Told | None
    may_come: bool = True


def unplaced(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Find rows of an outcome that name no variable the engine has it in: what does not hold, and notes.

    What-ifs name none, and leave the outcome as it was. So do rows of workers from before, which tell less.
    """
    problems, notes, before = list[str](), list[str](), None
    for row in (each for each in rows if each["kind"] == "change"):
        facts = row["facts"]
        outcome = facts.get("status"), facts.get("decision")
        if before is not None and outcome != before and _place(row) is None:
            said = f"row {row['number']} says what became of it, and no variable in which the engine was told so"
            (problems if "beside" in facts else notes).append(said)
        before = outcome
    return problems, notes


async def compared(
    one: Decision, sources: DecisionSources, places: Sequence[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """Compare rows with what the engine was told of the record in results, by instance: what does not hold, and notes.

    Each end that the engine was told of has to be a row's, whichever: it may have been closed more than once. That it
    was not told of the last row is a note while a task may be on its way to do so.
    """
    told = [each for instance, output in places for each in await _of_place(one, sources, instance, output)]
    rows = [row for row in one.rows if row["kind"] == "change"]
    ends = [row for row in rows if row["facts"].get("status") == _CLOSED]
    problems = list[str]()
    for each in told:
        if each.outcome.get("status") != _CLOSED:
            continue
        if not ends:
            problems.append(f"{each.where} says that it was closed, and no row does")
        elif not any(_tells(each, row, one) for row in ends):
            problems.append(f"{each.where} says otherwise what was decided")
    if problems:  # what was not told follows from them
        return list(dict.fromkeys(problems)), []
    notes = list[str]()
    for doubt in [*_untold(one, told, rows), *_otherwise_answered(one, told, ends)]:
        # Where each value is known, and each task there was completed, nobody is on the way.
        there = doubt.there
        is_sure = there is not None and there.is_dated and await sources.unfinished(there.instance) is False
        (problems if is_sure or not doubt.may_come else notes).append(doubt.said)
    return problems, notes


async def _of_place(one: Decision, sources: DecisionSources, instance: str, output: str) -> list[_Told]:
    values = [each for each in await sources.values(instance, output) if each.name == output]
    is_dated = all(each.at is not None and isinstance(each.value, str) for each in values)
    told = [_Told(instance, output, _read(each.value), is_dated, each.at or _EPOCH) for each in values]
    return [each for each in told if each.outcome.get("id") == one.id and not _is_later(each, one)]


def _is_later(told: _Told, one: Decision) -> bool:
    revision = told.outcome.get("revision")
    return isinstance(revision, int) and not one.is_last and revision > one.record["revision"]


def _untold(one: Decision, told: Sequence[_Told], rows: Sequence[Row]) -> list[_Doubt]:
    """Say that the engine was not told of the last row, where it was told of others."""
    placed = [row for row in rows if _place(row) is not None]
    if not told or not placed or _is_told(placed, told, one):
        return []
    row, place = placed[-1], _place(placed[-1])
    there = [each for each in told if (each.instance, each.output) == place]
    # Of tasks at the same time, in two places, the one whose row is the last may have told it first.
    is_told_there = _is_told([each for each in placed if _place(each) == place], there, one)
    said = f"the engine was not told what row {row['number']} says ({row['facts'].get('status')})"
    said = f"{said}: its task was not completed, or no worker has written the row"
    return [_Doubt(said, None if is_told_there or not there else there[-1])]


def _is_told(rows: Sequence[Row], told: Sequence[_Told], one: Decision) -> bool:
    """Whether the engine was told of the last row, and not before it was told of those that come before."""
    since, is_told = _EPOCH, False
    by_time = sorted(told, key=lambda each: each.at)
    for row in rows:
        later = [each for each in by_time if each.at >= since or not each.is_dated]
        found = next((each for each in later if _tells(each, row, one)), None)
        is_told = found is not None
        since = found.at if found is not None and found.is_dated else since
    return is_told


def _otherwise_answered(one: Decision, told: Sequence[_Told], ends: Sequence[Row]) -> list[_Doubt]:
    """Say that the engine was told of the last end with another answer, which no row has."""
    decision, placed = one.record.get("decision"), [row for row in ends if _place(row) is not None]
    if decision is None or decision["answer"] == hashing.ERASED or not placed:
        return []
    same = [each for each in told if _tells(each, placed[-1], one)]
    if not same or any(each.outcome.get("answer") == decision["answer"] for each in same):
        return []
    # Closed once more with another answer alone, it has two rows that say the same.
    is_again = sum(_tells(same[-1], row, one) for row in placed) > 1
    return [_Doubt(f"{same[-1].where} says otherwise what was answered", same[-1], is_again)]


def _tells(told: _Told, row: Row, one: Decision) -> bool:
    """Whether the engine was told what a row says. Rows of workers from before do not say what was decided."""
    facts, outcome = row["facts"], told.outcome
    if (outcome.get("status"), outcome.get("revision")) != (facts.get("status"), row["revision"]):
        return False
    decision = facts.get("decision") or one.record.get("decision") or {} if facts.get("status") == _CLOSED else {}
    return all(outcome.get(name) == decision[name] for name in ("accepted", "void_reason") if name in decision)


def _place(row: Row) -> tuple[str, str] | None:
    instance, variable = row["facts"].get("instance"), row["facts"].get("variable")
    return (instance, variable.removesuffix(HASH_SUFFIX)) if instance and variable else None


def _read(value: Any) -> Mapping[str, Any]:
    """Read what the engine was told of a record; nothing where that is not to be read, as of a File."""
    with suppress(ValueError):
        read = foreign.read(value) if isinstance(value, str) else None
        return read if isinstance(read, dict) else {}
    return {}
