"""Functions of others that handle the tasks of topics for which no assistant is asked."""

from collections.abc import Mapping
from typing import Protocol

from worker.domain.handled import Handled
from worker.domain.tasks import Task


class Handlers(Protocol):
    """One function for each topic."""

    async def handle(self, task: Task, properties: Mapping[str, str]) -> Handled:
        """Have the function of the task's topic handle it; whatever it raises is an outcome.

        `properties` are the extension properties of its activity. A function that blocks runs in a thread, which nobody
        can end: who is cancelled waits no longer, and the thread keeps its slot until it returns.
        """
        ...
