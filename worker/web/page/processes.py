"""What the page wants to know of a process from its engine."""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from worker.errors import EngineDenied, ReadRefused

State = Literal["done", "running", "failed", "cancelled"]
"""Where an activity stands; one that was not reached has no state."""


class Processes(Protocol):
    """The engine, as the page sees it. Every method may raise Transient errors, ReadRefused."""

    async def xml(self, definition_id: str) -> str:
        """A definition's BPMN. Raises TaskLost if the engine does not have it any more."""
        ...

    async def activity_states(self, instance_id: str) -> Mapping[str, State]:
        """The state of every activity that an instance reached, also when it is over.

        Of an activity that was reached several times: failed if one is, else running if one is, else done. Nothing if
        the engine has forgotten the instance.
        """
        ...

    async def running(self, ids: Collection[str]) -> Mapping[str, bool]:
        """Which of these instances run, and which are over; those that the engine does not know are left out."""
        ...


def why_not(error: Exception) -> str:
    """Say to people why the engine does not tell something."""
    if isinstance(error, EngineDenied | ReadRefused):
        return "The engine does not let this worker see it: its user needs the right to read definitions and history."
    return "The engine cannot be asked now."
