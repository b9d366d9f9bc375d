"""What is wrong with a task by which persons approve what is remembered, as far as its model shows it. Pure."""

from collections.abc import Iterator

from worker.domain.tasks import Activity, Definition
from worker.modelling import properties
from worker.operate.models import records, tasks
from worker.operate.models.rules import Fault


def faults(activity: Activity, definition: Definition) -> Iterator[Fault]:
    """Name everything that is wrong with the task."""
    yield from records.of_topic(activity, definition, "approvals")
    _, wrong = tasks.wishes(properties.read_approval, activity)
    yield from wrong
    yield from tasks.odd_properties(activity)
    yield from tasks.without_async_after(activity)
