"""Whom something is remembered of, by what one task says. Pure."""

from typing import Final

from worker.domain import foreign
from worker.domain.conversations import digest
from worker.domain.memory import MemorySubject
from worker.domain.tasks import Task, Variable, subject_variable

LONGEST = 1000
"""Characters of what names a subject."""


def subject_of(kind: str, task: Task, engine: str) -> tuple[MemorySubject | None, str]:
    """Return whom the task is about, or why that is nobody: an empty customer must not become everybody.

    `engine` is empty where engines share what is remembered.
    """
    name = subject_variable(kind)
    if name is not None:
        variable = task.variables.get(name)
        if variable is None:
            return None, f"the task has no variable {name}"
        value, what = _name(variable), f"the variable {name}"
        if value is None:
            return None, f"{what} is no text or number"
    else:
        value, what = (
            (task.business_key, "the business key") if kind == "business-key" else (task.tenant_id, "the tenant")
        )
    value = (value or "").strip()
    if not any(each.isprintable() and not each.isspace() for each in value):  # a mark that nobody sees names nobody
        return None, f"{what} is empty"
    if len(value) > LONGEST:
        return None, f"{what} has more than {LONGEST} characters"
    return named(kind, value, task.tenant_id, engine), ""


def _name(variable: Variable) -> str | None:
    """Return a text or a whole number, also one within JSON; empty for null, None for anything else."""
    value = variable.value
    if variable.type in {"Json", "Object"} and isinstance(value, str):
        if variable.type == "Object" and variable.info.get("objectTypeName") != "java.lang.String":
            return None
        try:
            value = foreign.read(value)
        except ValueError:
            return None
    elif variable.type not in _PLAIN or (variable.type == "Double" and isinstance(value, str)):  # NaN comes as a text
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        return None
    return "" if value is None else str(value)


_PLAIN: Final = frozenset({None, "Null", "String", "Integer", "Short", "Long", "Double", "Number"})


def named(kind: str, value: str, tenant: str | None, engine: str) -> MemorySubject:
    """Name a subject by what people call it: nobody can read that in its digest."""
    return MemorySubject(digest("memory", engine, tenant, kind, value.strip()), tenant)
