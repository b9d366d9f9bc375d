"""Watches the demo's process instance from outside: the worker's log, the engine's REST, the model server's counts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from worker.dev.rest import EngineRest, Failed, ModelControl, OpenTask
from worker.dev.screen import Screen, Turn
from worker.dev.stage import Stage
from worker.logs import Event

STEPS: Final = 4
CRASH_STEP: Final = 3

LOOK_SECONDS, LINGER_SECONDS = 0.1, 0.5
LATE_LINE_SECONDS: Final = 5.0
"""How much later than the end of the instance the worker's last line may come."""
PATIENCE_SECONDS, PATIENCE_AWAY_SECONDS = 300.0, 15.0
"""With `strict`: how long nothing may be completed, in general and while something that the worker needs is away.

The worker itself goes on trying for an hour.
"""
UNSEEN_CALL_SECONDS: Final = 1.0
"""So long after the lock a question is surely on its way to a real provider, which does not tell."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was counted when the instance was over.

    `threads` are those with turns on them, `told` what the steps on the screen said, in order. `asked` is the number
    of questions that were sent; None where only the provider knows it.
    """

    state: str
    turns: int
    created: int
    threads: Sequence[str]
    told: Sequence[str | None]
    asked: int | None

    def __str__(self) -> str:
        reused = self.turns - len(self.threads)
        return f"{_some(self.turns, 'turn')} · {_some(self.created, 'thread')} created · {reused} reused"

    def account(self, *, crash: bool) -> str:
        """Say which thread it was, who counted, and what a crash has cost."""
        threads = ", ".join(self.threads) or "no thread"
        if self.asked is None:
            return f"{threads}; counted in the worker's log"
        cost = ""
        if crash:
            cost = ", none of them twice" if self.asked == self.turns else ", more than once where the crash was"
        return f"{threads}; counted by the model server, which was sent {_some(self.asked, 'question')}{cost}"

    def faults(self, *, crash: bool) -> list[str]:
        """Say what is not as it should be. A crash may cost a question more, but neither a turn nor a thread."""
        faults = []
        if self.state != "COMPLETED":
            faults.append(f"the process instance is {self.state}, not COMPLETED")
        if (self.turns, self.created, len(self.threads)) != (STEPS, 1, 1):
            faults.append(f"this is not {STEPS} turns on one thread, created once")
        if set(self.told) != set(self.threads) or len(self.told) != STEPS:
            faults.append("the steps on the screen do not tell of that thread")
        if self.asked is not None and self.asked > STEPS + int(crash):
            faults.append(f"{self.asked} questions were sent for {STEPS} steps")
        return faults


class Watch:
    """Follows one process instance and shows what happens to it; with `strict`, whatever stops it is raised."""

    def __init__(
        self, stage: Stage, engine: EngineRest, model: ModelControl | None, screen: Screen, *, strict: bool
    ) -> None:
        self.instance = ""
        self.steps: list[Turn] = []
        self._stage = stage
        self._engine = engine
        self._model = model
        self._screen = screen
        self._strict = strict
        self._killed_pid = 0
        self._over_since: float | None = None
        self._quiet_since = monotonic()
        self._names: dict[str, str] = {}
        self._told: set[str] = set()
        self._away: dict[str, str] = {}
        self._done: Counter[str] = Counter()

    async def follow(self, until: Callable[[], Awaitable[bool]]) -> None:
        """Show what happens until the condition holds. Failed: a part has ended; if strict, also an incident."""
        try:
            while not await until():
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._screen.doing("")

    async def linger(self) -> None:
        """Show for ever what becomes of the instances that people start. Failed: a part has ended."""
        while True:
            await self._hear()
            await asyncio.sleep(LINGER_SECONDS)

    async def ended(self) -> bool:
        """Whether the instance is over, however it ended, and the worker has told of its last step."""
        if await self._engine.state(self.instance) in {"ACTIVE", "SUSPENDED"}:
            return False
        self._over_since = self._over_since or monotonic()
        return len(self.steps) >= STEPS or monotonic() - self._over_since > LATE_LINE_SECONDS

    async def crash(self) -> None:
        """Kill the worker in the middle of the third step, and start another."""
        await self.follow(self._in_the_middle)
        killed = self._stage.worker
        self._killed_pid = killed.pid
        await asyncio.to_thread(killed.kill)
        self._screen.note(
            f"worker {killed.pid} killed (SIGKILL) while step {CRASH_STEP} is being answered; another one is started"
        )
        self._screen.doing("starting another worker")
        await self._stage.start_worker()
        left = max(map(self._dead_lock_seconds, await self._engine.tasks(self.instance)), default=0)
        if left:
            self._screen.note(f"the engine keeps step {CRASH_STEP} locked for the dead worker, for {left:.0f} s more")

    async def proof(self) -> Proof:
        """Count: the scripted model server knows best; what a real provider did stands in the worker's log only."""
        state = await self._engine.state(self.instance)
        told = [turn.thread for turn in self.steps]
        if self._model is not None:
            counts = await self._model.counts()
            used = [thread for thread, turns in counts.turns.items() if turns]
            return Proof(state, sum(counts.turns.values()), counts.created, used, told, counts.asked)
        created = sum(turn.use in {"created", "recreated"} for turn in self.steps)
        return Proof(state, len(told), created, sorted({thread for thread in told if thread}), told, None)

    async def _in_the_middle(self) -> bool:
        """Whether the step is being answered in which the worker is to die."""
        if await self.ended():
            raise Failed(f"the process instance ended before step {CRASH_STEP}")
        if len(self.steps) < CRASH_STEP - 1:
            return False
        if self._model is not None:
            counts = await self._model.counts()
            return counts.asked >= CRASH_STEP and bool(counts.running)
        done = {turn.activity for turn in self.steps}
        locked = [task for task in await self._engine.tasks(self.instance) if task.worker and task.activity not in done]
        await asyncio.sleep(UNSEEN_CALL_SECONDS if locked else 0)
        return bool(locked)

    async def _hear(self) -> None:
        self._stage.check()
        for line in self._stage.log_lines():
            await self._show(line)

    async def _look(self) -> None:
        await self._hear()
        for incident in await self._engine.incidents(self.instance):
            text = f"{await self._name(incident.activity)} has an incident: {incident.message}"
            if self._strict:
                raise Failed(text)
            self._note_once(f"{text}. Cockpit shows it; Retry there when its cause is gone.")
        patience = PATIENCE_AWAY_SECONDS if self._away else PATIENCE_SECONDS
        if self._strict and monotonic() - self._quiet_since > patience:
            raise Failed("\n".join([f"nothing was completed for {patience:.0f} s", *self._away.values()]))
        tasks = await self._engine.tasks(self.instance)
        self._screen.doing(await self._doing(tasks[0]) if tasks else "")

    async def _show(self, line: dict[str, Any]) -> None:
        """Show a turn, or what the worker complains about."""
        reason = line.get("reason", "")
        match line.get("event"):
            case Event.TURN:
                await self._show_turn(Turn.of(line))
            case Event.DEPENDENCY_DOWN:
                if line["dependency"] not in self._away:  # a reason may have a request's id in it
                    self._screen.note(f"the worker waits for the {line['dependency']}: {reason}")
                    self._quiet_since = monotonic()
                self._away[line["dependency"]] = reason
            case Event.DEPENDENCY_UP:
                self._away.pop(line["dependency"], None)
            case event if line.get("level") in {"warning", "error", "critical"}:
                self._note_once(f"the worker says {event}: {reason}")

    async def _show_turn(self, turn: Turn) -> None:
        ours, done = turn.instance == self.instance, self._done[turn.instance]
        if not ours and not done:
            self._screen.another(turn.instance)
        self._screen.turn(done + 1, await self._name(turn.activity, turn.instance), turn)
        if turn.completed:
            self._done[turn.instance] += 1
            self._quiet_since = monotonic()
        if turn.completed and ours:
            self.steps.append(turn)

    async def _doing(self, task: OpenTask) -> str:
        step = f"{len(self.steps) + 1} {await self._name(task.activity)}"
        if left := self._dead_lock_seconds(task):
            return f"{step}: locked by the dead worker for {left:.0f} s more"
        return f"{step}: {'the assistant answers' if _seconds_left(task) else 'waits for a worker'}"

    def _dead_lock_seconds(self, task: OpenTask) -> float:
        # The worker's id ends in its process id and a random part.
        return _seconds_left(task) if (task.worker or "").split("-")[-2:-1] == [str(self._killed_pid)] else 0

    async def _name(self, activity: str, instance: str = "") -> str:
        if activity not in self._names:
            self._names |= await self._engine.activity_names(instance or self.instance)
        return self._names.get(activity, activity)

    def _note_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._screen.note(text)


def _seconds_left(task: OpenTask) -> float:
    left = (task.locked_until - datetime.now(UTC)).total_seconds() if task.locked_until else 0.0
    return max(0.0, left)


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
