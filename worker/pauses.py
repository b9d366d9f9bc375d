"""Assistants whose calls the provider refuses, by quota or by key: each pauses by itself, and one task tries first."""

import random
from datetime import timedelta

import structlog

from worker import verdict
from worker.clock import monotonic
from worker.domain import Assistant
from worker.errors import AssistantPaused
from worker.logs import Event

SPREAD_SECONDS = 15.0
"""Over how long the tasks of a paused assistant come back."""

log = structlog.get_logger()


class Pauses:
    """One process's knowledge of them, by name and version."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str | None], float] = {}

    def begin(self, name: str, version: str | None, reason: AssistantPaused) -> None:
        """Ask nothing more of this assistant for a while; one line says so."""
        paused = name, version
        if paused not in self._until:
            log.error(Event.ASSISTANT_PAUSED, assistant=name, version=version, reason=str(reason))
        if self._until.get(paused, 0.0) < monotonic():
            self._until[paused] = monotonic() + verdict.PAUSED_FOR.total_seconds()

    def check(self, assistant: Assistant) -> None:
        """Let the first task after a pause try; the others wait until that has gone well. Raises AssistantPaused."""
        paused = assistant.name, assistant.version
        rest = self._until.get(paused, 0.0) - monotonic()
        if rest > 0:
            wait = timedelta(seconds=rest + random.uniform(0, SPREAD_SECONDS))  # noqa: S311 - spreads repeats
            raise AssistantPaused("the provider refuses this assistant's calls", retry_after=wait)
        if paused in self._until:
            self._until[paused] = monotonic() + verdict.PAUSED_FOR.total_seconds()

    def end(self, assistant: Assistant) -> None:
        """It has answered."""
        self._until.pop((assistant.name, assistant.version), None)
