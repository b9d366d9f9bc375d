"""Who signed a decision, as the rows of its record tell it, against the persons' tasks that the engine knows."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.decisions import hashing
from worker.decisions.chain import Row
from worker.domain.decisions import Decision
from worker.domain.evidence import COMPLETE, Operation, PersonsTask
from worker.ports.decisions import DecisionSources

_Known = tuple[Sequence[PersonsTask], Sequence[Operation]]
"""The persons' tasks that were completed in an instance, and what persons told the engine there."""


async def compared(one: Decision, sources: DecisionSources) -> tuple[list[str], list[str]]:
    """Compare signatures with the tasks that they are of: what does not hold, and which were compared with nobody.

    Of a name that is erased, and of tasks that the engine does not tell of, there is nothing to compare.
    """
    problems, notes = list[str](), list[str]()
    rows = [row for row in one.rows if row["kind"] == "signature"]
    instances = dict.fromkeys(each for row in rows if (each := row["facts"].get("instance")))
    known = {each: await _at(each, sources) for each in instances}
    for row in rows:
        name, told = f"row {row['number']}", row["facts"]
        wrong, unknown = _of_row(row, one.record["texts"], known)
        if told.get("identity") == "operation_log" and not told.get("user"):
            wrong = [*wrong, f"{name} has somebody's name from the operation log, and does not tell it"]
        problems += wrong
        notes += [f"{name} was compared with nobody: {each}" for each in unknown]
    return problems, notes


async def _at(instance: str, sources: DecisionSources) -> _Known:
    return await sources.persons_tasks(instance), list((await sources.operations(instance)).values())


def _of_row(row: Row, texts: hashing.Texts, known: Mapping[str, _Known]) -> tuple[list[str], list[str]]:
    name, told = f"row {row['number']}", row["facts"]
    instance = told.get("instance")
    if not instance:
        return [f"{name} is a signature in no process instance"], []
    completed, operations = known[instance]
    tasks = {each.id: each for each in completed}
    if not tasks:
        return [], [f"the engine tells of no task that was completed in the process instance {instance}"]
    task = tasks.get(told.get("task", ""))
    if task is None:
        return [f"engine: no task was completed that {name} is of"], []
    if told.get("activity") != task.activity:
        return [f"engine: the task that {name} is of is {task.activity}, which it does not name"], []
    by = [each.user for each in operations if each.task == task.id and each.kind == COMPLETE]
    return _of_name(name, _named(told, texts), by)


def _of_name(name: str, named: Any, by: list[str]) -> tuple[list[str], list[str]]:
    if named == hashing.ERASED:
        return [], ["its name is erased"]
    if named is None:
        return [], ["it names nobody, and the engine knows who completed its task"] if by else []
    if not by:
        return [], ["the engine does not tell who completed its task"]
    return ([], []) if named in by else ([f"engine: who completed the task that {name} is of is not who it names"], [])


def _named(told: Mapping[str, Any], texts: hashing.Texts) -> Any:
    """Return who signed, or through whom; ERASED, and None for nobody."""
    return hashing.opened(told.get("user") or told.get("through"), texts)
