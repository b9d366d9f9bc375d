"""Legal holds on records of decisions: who sets one, and who lifts it, says why, and the record tells of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

import structlog

from worker.decisions import chain
from worker.decisions.keys import SigningKey
from worker.domain.conversations import Limits
from worker.domain.decisions import Decision, Held
from worker.errors import Permanent, TranscriptDown
from worker.ports.decisions import DecisionHolds, DecisionReader
from worker.telemetry.logs import Event

LONGEST_REASON: Final = 1000
TRIES: Final = 10
"""How often somebody else may write to the record meanwhile."""

log = structlog.get_logger()


class HeldAlready(Permanent):
    """The record is on hold."""


class NotHeld(Permanent):
    """The record is not on hold."""


class Records(DecisionHolds, DecisionReader, Protocol):
    """Where the records are."""


def _utc() -> datetime:
    return datetime.now(UTC)


class Holds:
    """Sets and lifts holds. Every method may raise TranscriptDown, and returns None where there is no such record.

    With a `key` it signs the rows that tell of them.
    """

    def __init__(self, records: Records, key: SigningKey | None = None, now: Callable[[], datetime] = _utc) -> None:
        self._records = records
        self._key = key
        self._now = now

    async def hold(self, id_: str, by: str, why: str, *, within: Limits) -> Decision | None:
        """Let nobody erase of a record, or of the messages that it cites, until it is released. Raises HeldAlready."""
        return await self._act("hold", id_, by, why, within)

    async def release(self, id_: str, by: str, why: str, *, within: Limits) -> Decision | None:
        """Lift a hold: orders to erase that waited go on, and so does what ends by age. Raises NotHeld."""
        return await self._act("release", id_, by, why, within)

    async def _act(
        self, kind: Literal["hold", "release"], id_: str, by: str, why: str, within: Limits
    ) -> Decision | None:
        for _ in range(TRIES):
            one = await self._records.decision(id_, within=within)
            if one is None:
                return None
            if kind == "hold" and one.held is not None:
                raise HeldAlready(
                    f"decision {one.id} is on hold already, since {one.held.since:%F %R} by {one.held.by}"
                )
            if kind == "release" and one.held is None:
                raise NotHeld(f"decision {one.id} is not on hold")
            now = self._now()
            row = chain.row(kind, one.rows[-1], one.record, now, {"by": by, "why": why}, self._key)
            held = Held(now, by, why) if kind == "hold" else None
            if await self._records.hold(one.id, row, held):
                log.info(Event.HOLD, decision=one.id, act=kind, by=by, instance=one.key.instance)
                return replace(one, rows=(*one.rows, row), held=held)
        raise TranscriptDown("others write to this decision's record again and again")
