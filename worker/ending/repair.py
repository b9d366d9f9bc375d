"""Turns that are stuck: calls whose deadline has passed unseen, and runs that a provider still queues."""

from dataclasses import dataclass, replace
from datetime import timedelta

from worker.domain.endings import Kept, TurnKept
from worker.ending.ports import EndingPorts, run_address
from worker.errors import WorkerError


@dataclass(frozen=True, slots=True)
class Stuck:
    """One such turn. `overdue` is None before its deadline; `status` is the provider's word for its run."""

    scope: str
    assistant: str
    task_id: str
    attempt: int
    overdue: timedelta | None
    response_id: str | None
    status: str = ""
    done: str = ""


async def overdue(ports: EndingPorts, *, cancel: bool = False) -> list[Stuck]:
    """List them, and cancel their runs if wanted: whoever has the task next finds that out and asks anew."""
    found = []
    for kept in await ports.index.threads():
        for turn in await ports.index.turns(kept):
            if turn.newer:
                known = Stuck(kept.key.scope, kept.key.assistant, turn.task_id, turn.attempt, None, None)
                found.append(replace(known, done="left to the newer worker that wrote it"))
                continue
            if turn.state != "intent":
                continue
            stuck = await _examined(ports, kept, turn)
            if stuck.overdue is not None or stuck.status == "queued":
                found.append(await _cancelled(ports, stuck) if cancel else stuck)
    return found


async def _examined(ports: EndingPorts, kept: Kept, turn: TurnKept) -> Stuck:
    key = kept.key
    run = turn.response_id and run_address(kept, turn.response_id)
    stuck = Stuck(key.scope, key.assistant, turn.task_id, turn.attempt, turn.overdue, run)
    if run is None:
        return stuck
    try:
        return replace(stuck, status=await ports.provider.run_status(run) or "not known")
    except WorkerError as exc:
        return replace(stuck, status=f"cannot be asked: {exc}")


async def _cancelled(ports: EndingPorts, stuck: Stuck) -> Stuck:
    if stuck.response_id is None or stuck.status == "not known":
        return replace(stuck, done="nothing to cancel")
    try:
        await ports.provider.cancel(stuck.response_id)
    except WorkerError as exc:
        return replace(stuck, done=f"not cancelled: {exc}")
    return replace(stuck, done="cancelled")
