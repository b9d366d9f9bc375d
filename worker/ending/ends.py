"""Says when processes ended, by the engine's word."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal

import structlog

from worker.domain.conversations import Subject
from worker.ending.ports import EndingPorts, runs
from worker.telemetry.logs import Event

MISSING_FOR = timedelta(days=1)
"""An instance that is in no history may be one that we may not see, or the engine was mixed up: time to notice that."""

Ends = Mapping[Subject, datetime]

log = structlog.get_logger()


class EndTimes:
    """Asks the engine, and remembers whom it does not know."""

    def __init__(self, ports: EndingPorts) -> None:
        self._ports = ports

    async def of(
        self, subjects: Collection[Subject], *, dry_run: bool = False, now: datetime | None = None
    ) -> dict[Subject, datetime]:
        """When those ended that have, by the engine's word; with `now`, who is in no history is watched for a day."""
        instances = {each.instance: each for each in subjects if each.instance is not None}
        running = await self._ports.instances.running(instances.keys())
        known = await self._ports.instances.ended(instances.keys() - running)
        ended = {instances[name]: at for name, at in known.items() if name in instances and at is not None}
        missing = {each for name, each in instances.items() if name not in running and name not in known}
        for subject in {each for each in subjects if each.business_key is not None}:
            match await self.shared(subject):
                case datetime() as at:
                    ended[subject] = at
                case "unknown":
                    missing.add(subject)
        return ended if now is None else ended | await self._long_missing(missing, now, dry_run=dry_run)

    async def shared(self, subject: Subject) -> datetime | Literal["runs", "unknown"]:
        """When the last instance with this key ended."""
        if await runs(self._ports.instances, subject):
            return "runs"
        ends = (await self._ports.instances.ran_with(str(subject.business_key), subject.tenants)).values()
        known = [at for at in ends if at is not None]
        # The history knows one that has not ended, or whose end cannot be read: then nothing is touched.
        if len(known) < len(ends):
            return "runs"
        return max(known, default="unknown")

    async def _long_missing(self, missing: set[Subject], now: datetime, *, dry_run: bool) -> dict[Subject, datetime]:
        if missing:
            instances = sorted(each.instance for each in missing if each.instance)
            log.warning(Event.INSTANCES_MISSING, count=len(missing), instances=instances[:3])
        if not dry_run:
            await self._ports.orders.watch(missing, now)
        known = await self._ports.orders.missing()
        until = now - MISSING_FOR
        return {subject: at for subject, at in known.items() if subject in missing and at <= until}
