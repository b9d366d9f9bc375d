"""What an examination finds, and checks that cannot hide one another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Self

from worker.errors import WorkerError
from worker.telemetry.logs import trace

PATIENCE = timedelta(seconds=9)
"""What one check may take: shorter than the adapters' own limits. All run at once, so the whole takes little longer."""


class Level(StrEnum):
    """How good or bad a finding is. Only a problem would stop the work."""

    OK = "ok"
    UNKNOWN = "not known"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report. `advice` is what a person can do about it; empty where nothing needs doing."""

    area: str
    subject: str
    level: Level
    said: str
    advice: str = ""


Look = Callable[[], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """A look at one thing. `level` and `advice` are those of the finding when the look itself fails.

    `patience` is how long it may take, PATIENCE where it does not say.
    """

    area: str
    subject: str
    look: Look
    level: Level = Level.UNKNOWN
    advice: str = ""
    patience: timedelta | None = None

    async def run(self) -> list[Finding]:
        """Look, for as long as it may take; a failure is a finding too. Never raises but for cancellation."""
        seconds = (self.patience or PATIENCE).total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self.look()
        except TimeoutError:
            return [self._failed(f"no answer within {seconds:g} s")]
        except WorkerError as exc:
            return [self._failed(str(exc))]
        except Exception as exc:  # noqa: BLE001 - a fault in one check must not take the others' findings away
            said = f"the check itself broke: {trace(exc)}"
            return [Finding(self.area, self.subject, Level.PROBLEM, said, "Report this as a fault of the worker.")]

    def _failed(self, reason: str) -> Finding:
        return Finding(self.area, self.subject, self.level, reason, self.advice)


class Contact:
    """The first request to another system, made once; every check of that system waits for its outcome.

    Use as an async context manager: it owns the request.
    """

    def __init__(self, name: str, ping: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._ping = ping

    async def __aenter__(self) -> Self:
        self._request = asyncio.create_task(self._knock(), name=f"contact {self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._request.cancel()
        await asyncio.gather(self._request, return_exceptions=True)

    async def made(self) -> None:
        """Return when the request succeeded, or raise what it raised."""
        await asyncio.shield(self._request)  # one check's end of patience takes nothing from the others

    async def _knock(self) -> None:
        # A coroutine of ours, as tasks are made of those alone: a ping may return any other awaitable.
        await self._ping()


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Put what is not known for the same reason into one row, at the place of the first."""
    rows: dict[object, Finding] = {}
    for number, each in enumerate(findings):
        key = replace(each, subject="") if each.level is Level.UNKNOWN else number
        known = rows.get(key)
        rows[key] = replace(known, subject=f"{known.subject}, {each.subject}") if known else each
    return list(rows.values())
