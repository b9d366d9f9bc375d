"""What the page wants to know of a process from its engine."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, Protocol

from worker.domain.processes import Incident, Moved, Process, Result, Step
from worker.errors import EngineDenied, ReadRefused

State = Literal["done", "running", "failed", "cancelled"]
"""Where an activity stands; one that was not reached has no state."""


class Running(Protocol):
    """Which instances run. Every method may raise Transient errors, ReadRefused."""

    async def running(self, ids: Collection[str]) -> Mapping[str, bool]:
        """Which of these instances run, and which are over; those that the engine does not know are left out."""
        ...

    async def failing(self, ids: Collection[str]) -> AbstractSet[str]:
        """Which of these instances have incidents."""
        ...


class Processes(Running, Protocol):
    """The engine, as the page sees it. Errors as above. Lists are bounded."""

    async def xml(self, definition_id: str) -> str:
        """A definition's BPMN. Raises TaskLost if the engine does not have it any more."""
        ...

    async def activity_states(self, instance_id: str) -> Mapping[str, State]:
        """The state of every activity that an instance reached, also when it is over.

        Of an activity that was reached several times: failed if one is, else running if one is, else done. Nothing if
        the engine has forgotten the instance.
        """
        ...

    async def processes(self, ids: Collection[str]) -> Mapping[str, Process]:
        """These instances, ended ones too where the history has them; unknown ones are left out."""
        ...

    async def steps(self, instance_id: str) -> Sequence[Step]:
        """What the tasks of an instance wait for, those with incidents first."""
        ...

    async def moved(self, instance_id: str) -> Moved | None:
        """When a modification last moved an instance; None if the engine notes none, or does not show it."""
        ...

    async def results(self, instance_id: str) -> Sequence[Result]:
        """The process variables that assistants' answers were put into, the newest first."""
        ...

    async def going_on(self, keys: Collection[str]) -> Sequence[Process]:
        """Running instances of these definitions, the newest first."""
        ...

    async def incidents(self, keys: Collection[str]) -> Sequence[Incident]:
        """Open incidents of instances of these definitions, the newest first."""
        ...

    async def names(self) -> Mapping[tuple[str, str | None], str]:
        """The names of processes, by key and tenant; those without one are left out."""
        ...


def why_not(error: Exception) -> str:
    """Say to people why the engine does not tell something."""
    if isinstance(error, EngineDenied | ReadRefused):
        return "The engine does not let this worker see it: its user needs the right to read definitions and history."
    return "The engine cannot be asked now."
