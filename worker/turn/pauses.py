"""Whom the provider refuses: one task, or every task of an assistant, which then pauses while one task at a time tries.

A refusal speaks of the request that met it, and of nothing more until other tasks meet the same. So one poisoned
question fails by itself, and is never the one whose trial decides for all others.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from worker.domain.threads import Assistant
from worker.errors import AssistantPaused, TurnedAway
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event
from worker.turn import verdict

SPREAD_SECONDS = 15.0
"""Over how long the tasks of a paused assistant come back."""
PAGES: Final = 3
"""So many tasks in a row that got a page, and none that got an answer, are no chance: the way to the model is shut."""
QUIET_SECONDS: Final = 30.0
"""And only if no task has been answered for so long: several poisoned questions at once are refused in a row, too."""
REFUSALS: Final = 2
"""The same for the provider's own refusal, once the assistant has answered at all."""
KNOWN: Final = 1000
"""Tasks that are remembered of each kind; the longest known are forgotten first."""

log = structlog.get_logger()

Names = dict[str, type[Exception]]
"""Tasks by id, the longest known first, and how each was refused."""


@dataclass(slots=True)
class _Standing:
    """What is known of one assistant in one version at one provider.

    `refused`: tasks that were, with no answer since. `alone`: those that were, and others were answered after.
    `waiting`: tasks that the pause has sent back. `answered_at`: when one was last answered, `until`: when the pause is
    over, both in monotonic seconds; None for never.
    """

    refused: Names = field(default_factory=dict)
    alone: Names = field(default_factory=dict)
    waiting: Names = field(default_factory=dict)
    answered_at: float | None = None
    until: float | None = None


class Pauses:
    """One process's knowledge of them."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._standings: dict[tuple[str, str, str], _Standing] = {}

    def check(self, assistant: Assistant, task_id: str) -> None:
        """Let one task at a time try when a pause is over; the others wait for its answer. Raises AssistantPaused.

        Who has not tried yet goes before who was refused, and who was refused last goes last.
        """
        standing = self._standing(assistant)
        if standing.until is None:
            return
        over_for = self._now() - standing.until
        if over_for < 0:
            self._send_back(standing, task_id, -over_for)
        if over_for < 2 * SPREAD_SECONDS and _has_others(standing, task_id):
            self._send_back(standing, task_id, SPREAD_SECONDS)
        standing.waiting.pop(task_id, None)
        self._pause(standing)

    def refused(self, assistant: Assistant, task_id: str, reason: AssistantPaused | TurnedAway) -> Exception:
        """Say what a refusal means: AssistantPaused, the task waits without a try; TurnedAway, it is its own fault."""
        standing = self._standing(assistant)
        alone = standing.alone.pop(task_id, None)
        again = standing.refused.pop(task_id, None)
        standing.waiting.pop(task_id, None)
        _remember(standing.refused, task_id, type(reason))
        if alone is not None:
            return TurnedAway(f"{reason}; other tasks of this assistant are answered: look at what this one asks")
        if standing.until is None and not self._concerns_all(standing, reason, again=again is type(reason)):
            return reason if isinstance(reason, TurnedAway) else _waits(reason, verdict.PAUSED_FOR.total_seconds())
        if standing.until is None:
            log.error(Event.ASSISTANT_PAUSED, assistant=assistant.name, version=assistant.version, reason=str(reason))
        # Those that were on their way when a pause began do not make it longer.
        if standing.until is None or standing.until < self._now():
            self._pause(standing)
        return _waits(reason, verdict.PAUSED_FOR.total_seconds())

    def answered(self, assistant: Assistant, task_id: str) -> None:
        """Note that the model has answered this task: whoever was refused before was refused alone."""
        standing = self._standing(assistant)
        standing.answered_at, standing.until = self._now(), None
        standing.waiting.clear()
        for names in (standing.refused, standing.alone):
            names.pop(task_id, None)
        for refused, kind in standing.refused.items():
            _remember(standing.alone, refused, kind)
        standing.refused.clear()

    def forget(self, provider: str) -> None:
        """Let all try again that this provider has refused: its key is another one."""
        self._standings = {named: each for named, each in self._standings.items() if named[2] != provider}

    def _standing(self, assistant: Assistant) -> _Standing:
        return self._standings.setdefault((assistant.name, assistant.version, assistant.provider), _Standing())

    def _concerns_all(self, standing: _Standing, reason: Exception, *, again: bool) -> bool:
        alike = sum(kind is type(reason) for kind in standing.refused.values())
        if isinstance(reason, TurnedAway):
            quiet = standing.answered_at is None or self._now() - standing.answered_at > QUIET_SECONDS
            return quiet and alike >= PAGES
        # Without an answer ever, the provider's own word is enough; and nobody else being there, a second one is.
        return standing.answered_at is None or again or alike >= REFUSALS

    def _pause(self, standing: _Standing) -> None:
        standing.until = self._now() + verdict.PAUSED_FOR.total_seconds()

    def _send_back(self, standing: _Standing, task_id: str, seconds: float) -> None:
        if task_id not in standing.refused and task_id not in standing.alone:
            _remember(standing.waiting, task_id, AssistantPaused)
        raise _waits("the provider refuses this assistant's calls", seconds)


def _has_others(standing: _Standing, task_id: str) -> bool:
    """Whether another task should try before this one, because it has not tried yet, or not for longer."""
    if task_id in standing.alone:
        return bool(standing.waiting or standing.refused)
    if task_id in standing.refused:
        return bool(standing.waiting) or next(iter(standing.refused)) != task_id
    return False


def _waits(reason: object, seconds: float) -> AssistantPaused:
    spread = random.uniform(0, SPREAD_SECONDS)  # noqa: S311 - spreads repeats, guards nothing
    return AssistantPaused(str(reason), retry_after=timedelta(seconds=seconds + spread))


def _remember(names: Names, task_id: str, kind: type[Exception]) -> None:
    names[task_id] = kind
    while len(names) > KNOWN:
        del names[next(iter(names))]
