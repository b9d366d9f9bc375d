"""What the end of conversations needs from outside, and what both ways to it share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from worker.domain.conversations import EVERYTHING, Filter, Limits, Session, Subject, every
from worker.domain.endings import Kept, TurnKept
from worker.domain.threads import OPENAI, Hold, ThreadKey, address
from worker.errors import NewerRecord, StoreDown, ThreadLocked, WorkerError
from worker.ports.asks import AskEraser
from worker.ports.decisions import DecisionEraser
from worker.ports.ending import Counting, EndingProvider, Instances, Orders, ThreadIndex
from worker.ports.memory import FactBook, Memory
from worker.ports.transcript import TranscriptReader, TranscriptWriter
from worker.runtime import background
from worker.telemetry.logs import Event, trace

PAGE = 200

log = structlog.get_logger()


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class EndingPorts:
    """The stores, and our own clock, which ends nothing. Without a transcript there is nothing else in SQL either."""

    engine_name: str
    index: ThreadIndex
    orders: Orders
    instances: Instances
    provider: EndingProvider
    transcript: TranscriptWriter | None = None
    conversations: TranscriptReader | None = None
    asks: AskEraser | None = None
    decisions: DecisionEraser | None = None
    visits: Counting | None = None
    facts: FactBook | None = None
    memory: Memory | None = None
    now: Callable[[], datetime] = _utc


def why(error: Exception) -> str:
    """Say why something was not done. What nobody foresaw is named by its kind alone: its text may quote a message."""
    if isinstance(error, WorkerError):
        return str(error)
    log.error(Event.ENDING_CRASHED, trace=trace(error))
    return f"an unforeseen {type(error).__name__}; the worker's log says where"


@asynccontextmanager
async def holding(index: ThreadIndex, key: ThreadKey) -> AsyncIterator[Hold]:
    """Keep turns away from a thread inside. Raises ThreadLocked if one is on."""
    hold = await index.reserve(key)
    if hold is None:
        raise ThreadLocked("a turn runs on this thread now")

    async def renew() -> bool:
        # The lease may outlive this; the script that takes the keys away asks once more for the hold.
        with suppress(StoreDown):
            await index.renew(hold)
        return True

    try:
        async with background.renewing(index.lease, renew, f"hold to end {key.scope}"):
            yield hold
    finally:
        with suppress(StoreDown):  # then it runs out by itself
            await index.release(hold)


async def runs(instances: Instances, subject: Subject) -> bool:
    """Whether an instance of it runs. What is a person's, or the memory's, has none."""
    if subject.person is not None or subject.memory is not None:
        return False
    if subject.instance is not None:
        return bool(await instances.running([subject.instance]))
    return await instances.runs_with(str(subject.business_key), subject.tenants)


def run_address(kept: Kept, response_id: str) -> str:
    """Say where a run in the background is: at the provider of its thread."""
    return address(kept.thread.provider if kept.thread else OPENAI, response_id)


async def cancel_runs(ports: EndingPorts, kept: Kept) -> list[TurnKept]:
    """End calls that run in the background; returns the thread's turns. Raises NewerRecord, with nothing ended."""
    turns = await ports.index.turns(kept)
    if any(turn.newer for turn in turns):
        raise NewerRecord("a turn of this thread in the journal")
    for turn in turns:
        # A run that goes on would put its answer on a conversation that is being erased.
        if turn.state == "intent" and turn.response_id:
            await ports.provider.cancel(run_address(kept, turn.response_id))
    return turns


def sessions(conversations: TranscriptReader, wanted: Filter, within: Limits = EVERYTHING) -> AsyncIterator[Session]:
    """All sessions."""
    return every(lambda after: conversations.sessions(wanted, within=within, after=after, limit=PAGE))
