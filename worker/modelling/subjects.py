"""Whom something is remembered of, by what one task says. Pure."""

from worker.domain.conversations import digest
from worker.domain.memory import MemorySubject
from worker.domain.tasks import Task, subject_variable
from worker.modelling.rendering import plain

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
        value, what = plain(variable), f"the variable {name}"
        if value is None or isinstance(variable.value, bool):
            return None, f"{what} is no text or number"
    else:
        value, what = (
            (task.business_key, "the business key") if kind == "business-key" else (task.tenant_id, "the tenant")
        )
    value = (value or "").strip()
    if not value:
        return None, f"{what} is empty"
    if len(value) > LONGEST:
        return None, f"{what} has more than {LONGEST} characters"
    return named(kind, value, task.tenant_id, engine), ""


def named(kind: str, value: str, tenant: str | None, engine: str) -> MemorySubject:
    """Name a subject by what people call it: nobody can read that in its digest."""
    return MemorySubject(digest("memory", engine, tenant, kind, value.strip()), tenant)
