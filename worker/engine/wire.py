"""JSON of the engine's REST API ↔ what the worker talks about. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from camunda.external_task.external_task import ExternalTask

from worker.domain.tasks import Task, Topic, Variable

_LONG_AGO = datetime.fromtimestamp(0, UTC)


class Unreadable(Exception):
    """A task does not look as engines write it. The text names what is missing, never a value."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """One version of a process definition. `instances` counts those that run now, suspended ones too."""

    id: str
    key: str
    version: int
    tenant_id: str | None
    instances: int


def milliseconds(duration: timedelta) -> int:
    """Durations as the engine takes them."""
    return round(duration.total_seconds() * 1000)


NO_TENANT = "-"
"""Stands in a list of tenants for tasks that belong to none."""


def poll(
    worker_id: str,
    topics: Sequence[Topic],
    max_tasks: int,
    lock: timedelta,
    wait: timedelta,
    tenants: Sequence[str] = (),
    also: Sequence[str] = (),
) -> dict[str, Any]:
    """Build a fetchAndLock: all topics in one, by priority and then the oldest first, values as they are stored.

    No tenants means any. The variables `also` come with every task.
    """
    limit = _tenants(tenants)
    return {
        "workerId": worker_id,
        "maxTasks": max_tasks,
        "usePriority": True,
        # Among equals the order would otherwise be the database's own, and old tasks might wait behind new ones.
        "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
        "asyncResponseTimeout": milliseconds(wait),
        # One entry for each name: of two the engine takes the last, and says nothing.
        "topics": [_topic(topic, milliseconds(lock), also) | limit for topic in topics],
    }


def waiting(topic: Topic, definition: str, tenants: Sequence[str] = ()) -> dict[str, Any]:
    """Build the filter of tasks that could be fetched now; without a definition of any.

    Engines count tasks of named tenants or of all; those of none cannot be told apart.
    """
    wanted = {"topicName": topic.name, "notLocked": True, "withRetriesLeft": True, "active": True}
    named = {} if NO_TENANT in tenants else _tenants(tenants)
    return wanted | named | ({"processDefinitionId": definition} if definition else {})


def _tenants(names: Sequence[str]) -> dict[str, Any]:
    """Write the limit as the engine takes it: it has one for tenants by name and another for none, not for both."""
    if not names:
        return {}
    return {"withoutTenantId": True} if NO_TENANT in names else {"tenantIdIn": list(names)}


def _topic(topic: Topic, lock_ms: int, also: Sequence[str]) -> dict[str, Any]:
    # Never with includeExtensionProperties: one property without a name, in any definition, has the whole poll answered
    # by 400, after its tasks were locked. The properties are in the definition's XML as well.
    entry: dict[str, Any] = {
        "topicName": topic.name,
        "lockDuration": lock_ms,
        "deserializeValues": False,
    }
    if topic.definitions:
        entry["processDefinitionIdIn"] = topic.definitions
    # Left out it means all variables; an empty list means none.
    if topic.variables is not None:
        entry["variables"] = [*topic.variables, *also]
    return entry


def variables(given: Mapping[str, Variable]) -> dict[str, dict[str, Any]]:
    """Write variables as the engine takes them."""
    return {name: variable(value) for name, value in given.items()}


def variable(given: Variable) -> dict[str, Any]:
    """Write one variable; without a type the engine infers it."""
    written: dict[str, Any] = {"value": given.value}
    if given.type is not None:
        written["type"] = given.type
    if given.info:
        written["valueInfo"] = dict(given.info)
    return written


def read_variable(raw: Mapping[str, Any]) -> Variable:
    """Read one variable; files come without their content."""
    return Variable(raw.get("value"), raw.get("type"), raw.get("valueInfo") or {})


def read_task(raw: Mapping[str, Any], fetched_at: float, size: int = 0) -> Task:
    """Read one fetched task, with which so many bytes came. Raises Unreadable."""
    try:
        task = ExternalTask(raw)
        return Task(
            id=_text(task.get_task_id()),
            topic=_text(task.get_topic_name()),
            activity_id=_text(task.get_activity_id()),
            process_instance_id=_text(task.get_process_instance_id()),
            process_definition_id=_text(raw["processDefinitionId"]),
            process_definition_key=_text(raw["processDefinitionKey"]),
            execution_id=_text(raw["executionId"]),
            created_at=_time(raw.get("createTime")),
            fetched_at=fetched_at,
            business_key=task.get_business_key(),
            tenant_id=task.get_tenant_id(),
            retries=raw.get("retries"),
            variables={name: read_variable(each) for name, each in (raw.get("variables") or {}).items()},
            size=size,
            activity_instance=raw.get("activityInstanceId") or "",
        )
    except KeyError as exc:
        raise Unreadable(f"it has no {exc.args[0]}") from exc
    except (ArithmeticError, AttributeError, TypeError, ValueError) as exc:
        raise Unreadable(f"a part of it has another type: {type(exc).__name__}") from exc


def read_deployed(raw: Mapping[str, Any]) -> Deployed:
    """Read one row of the definitions' statistics. Raises Unreadable."""
    try:
        definition = raw["definition"]
        return Deployed(
            id=_text(definition["id"]),
            key=_text(definition["key"]),
            version=int(definition["version"]),
            tenant_id=definition.get("tenantId"),
            instances=int(raw["instances"]),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as exc:
        raise Unreadable("the statistics have another shape than engines give them") from exc


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def time_or_none(text: Any) -> datetime | None:
    """Read a time in UTC; None where there is none, or none that anybody can read."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except (TypeError, ValueError, OverflowError):
        return None


def _time(text: str | None) -> datetime:
    """Read the engine's time; tasks made before engines knew a createTime have none, and are the oldest."""
    # Engines write the zone as +0000, without the colon that Python wants before 3.11.
    return datetime.fromisoformat(text) if text else _LONG_AGO
