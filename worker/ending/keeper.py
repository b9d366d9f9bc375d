"""Does the rounds: sees who is over, goes on with open orders, ends what is due. Of several workers one at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import uuid4

import structlog

from worker.ending.erasing import Eraser
from worker.ending.ports import EndingPorts, why
from worker.ending.retention import Retention
from worker.ending.rounds import Policy
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

BETWEEN_ROUNDS = timedelta(hours=1)
BETWEEN_LOOKS = timedelta(minutes=5)
"""So long a conversation may seem to go on after its process has ended."""
LEASE = timedelta(minutes=1)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often. `between` chooses a number between two, so that workers that start together part."""

    rounds: timedelta = BETWEEN_ROUNDS
    looks: timedelta = BETWEEN_LOOKS
    between: Callable[[float, float], float] = random.uniform


class Keeper:
    """As an async context manager it does rounds inside, the first one within an hour."""

    def __init__(self, ports: EndingPorts, policy: Policy, pace: Pace = Pace()) -> None:
        self._ports = ports
        self._pace = pace
        self._eraser = Eraser(ports)
        self._retention = Retention(ports, policy)
        self._token = uuid4().hex
        self._rounds: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Begin."""
        self._rounds = asyncio.create_task(self._run(), name="end conversations")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop where we are; the next round goes on from there."""
        self._rounds.cancel()
        await asyncio.wait({self._rounds})

    async def _run(self) -> None:
        pace = self._pace
        due = monotonic() + (pace.rounds * pace.between(0, 1)).total_seconds()
        while True:
            wait = min(pace.looks, pace.rounds) * pace.between(0.8, 1.2)
            await asyncio.sleep(wait.total_seconds())
            if monotonic() < due:
                await self.look()
            else:
                await self.round()
                due = monotonic() + pace.rounds.total_seconds()

    async def look(self) -> bool:
        """Only see who is over. False as for a round."""
        return await self._alone(self._retention.close)

    async def round(self) -> bool:
        """Do one round. False if another worker does it, or it could not be done to its end."""
        return await self._alone(self._eraser.resume, self._retention.sweep)

    async def _alone(self, *steps: Callable[[], Awaitable[object]]) -> bool:
        """Do these unless another worker is at it; one that fails holds up no other."""
        try:
            if not await self._ports.orders.lock(self._token, LEASE):
                return False
            try:
                async with background.renewing(LEASE, self._stay, "lock of the round"):
                    return all([await self._done(step) for step in steps])
            finally:
                await self._ports.orders.unlock(self._token)
        except Exception as exc:  # noqa: BLE001 - as below
            log.warning(Event.END_DELAYED, what="round", reason=why(exc))
            return False

    async def _done(self, step: Callable[[], Awaitable[object]]) -> bool:
        try:
            await step()
        except Exception as exc:  # noqa: BLE001 - the next round may do better
            log.warning(Event.END_DELAYED, what="round", reason=why(exc))
            return False
        return True

    async def _stay(self) -> bool:
        try:
            # A lock that is lost stops nothing: every step may be done twice, it only costs.
            await self._ports.orders.lock(self._token, LEASE)
        except Exception as exc:  # noqa: BLE001 - as above
            log.warning(Event.END_DELAYED, what="lock of the round", reason=why(exc))
        return True
