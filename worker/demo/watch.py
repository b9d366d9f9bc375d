"""Watches the demo's process instance, and those it calls, from outside: log, engine and model server."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from worker.demo.application import Application
from worker.demo.outcome import Outcome, outcome, results_of
from worker.demo.proof import Proof
from worker.demo.rest import Completed, Counts, EngineRest, Failed, ModelControl, OpenTask
from worker.demo.screen import Screen, Turn
from worker.demo.stage import Stage
from worker.telemetry.logs import Event

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


class Watch:
    """Follows one process instance and shows what happens to it.

    With `strict`, whatever stops it is raised, and nobody is waited for: of a form's choices the first is taken.
    """

    def __init__(
        self,
        application: Application,
        stage: Stage,
        engine: EngineRest,
        model: ModelControl | None,
        screen: Screen,
        *,
        strict: bool,
    ) -> None:
        self.instance = ""
        self.steps: list[Turn] = []
        self._application = application
        self._stage = stage
        self._engine = engine
        self._model = model
        self._screen = screen
        self._strict = strict
        self._killed_pid = 0
        self._in_flight = 0
        self._before: Counts | None = None
        self._over_since: float | None = None
        self._quiet_since = monotonic()
        self._roots: dict[str, str] = {}
        self._told: set[str] = set()
        self._away: dict[str, str] = {}
        self._done: Counter[str] = Counter()
        self._made = 0

    async def start(self) -> None:
        """Start the instance with the sample's variables; from here on everything counts."""
        self._before = await self._model.counts() if self._model is not None else None
        self.instance = await self._engine.start(self._application.key, self._application.variables)

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
            await self._serve_people()
            await asyncio.sleep(LINGER_SECONDS)

    async def ended(self) -> bool:
        """Whether the instance is over, however it ended, and the worker has told of its last step."""
        if await self._engine.state(self.instance) in {"ACTIVE", "SUSPENDED"}:
            return False
        self._over_since = self._over_since or monotonic()
        done = await self._engine.completed(await self._family())
        return len(self.steps) + self._made >= len(done) or monotonic() - self._over_since > LATE_LINE_SECONDS

    async def crash(self) -> None:
        """Kill the worker in the middle of the third step, and start another."""
        await self.follow(self._in_the_middle)
        counts = await self._counts()
        self._in_flight = len(counts.running) if counts is not None else 1
        killed = self._stage.worker
        self._killed_pid = killed.pid
        await asyncio.to_thread(killed.kill)
        self._screen.note(
            f"worker {killed.pid} killed (SIGKILL) while step {CRASH_STEP} is being answered; another one is started"
        )
        self._screen.doing("starting another worker")
        await self._stage.start_worker()
        left = max(map(self._dead_lock_seconds, await self._engine.tasks(await self._family())), default=0)
        if left:
            self._screen.note(f"the engine keeps step {CRASH_STEP} locked for the dead worker, for {left:.0f} s more")

    async def proof(self) -> Proof:
        """Count: the scripted model server knows best; what a real provider did stands in the worker's log only."""
        told = [turn.thread for turn in self.steps]
        counts = await self._counts()
        if counts is not None:
            used = [thread for thread, turns in counts.turns.items() if turns]
            turns, created, asked = sum(counts.turns.values()), counts.created, counts.asked
        else:
            used = sorted({thread for thread in told if thread})
            turns, created, asked = len(told), sum(turn.use in {"created", "recreated"} for turn in self.steps), None
        done = await self._answered()
        steps = self._application.steps
        return Proof(
            state=await self._engine.state(self.instance),
            steps=len(done),
            conversations=len({steps[each.process, each.activity].conversation(each, self.instance) for each in done}),
            turns=turns,
            created=created,
            threads=used,
            told=told,
            asked=asked,
            in_flight=self._in_flight,
        )

    async def _answered(self) -> list[Completed]:
        """The completed tasks that an assistant was asked for; records are made by code."""
        done = await self._engine.completed(await self._family())
        return [each for each in done if (each.process, each.activity) in self._application.steps]

    async def record(self) -> str:
        """The id of the decision's record; empty if the process makes none."""
        name = self._application.record
        return (await self._engine.variable(self.instance, f"{name}_id") or "") if name else ""

    async def result(self) -> tuple[str, str]:
        """Title and text of the record, or of what the last step of the instance itself answered."""
        if self._application.record:
            text = await self._engine.variable(self.instance, f"{self._application.record}_text")
            return "Record", text or "There is none."
        last = next((turn for turn in reversed(self.steps) if turn.instance == self.instance), None)
        if last is None:
            return "Result", "There is none."
        name = self._application.steps[last.process, last.activity].output
        text = await self._engine.variable(self.instance, name)
        return name.replace("_", " ").capitalize(), text or "There is none."

    async def outcome(self) -> Outcome | None:
        """What the process came to; None where its results do not show it."""
        key = self._application.key
        return outcome(key, {name: await self._engine.variable(self.instance, name) for name in results_of(key)})

    async def _in_the_middle(self) -> bool:
        """Whether the step is being answered in which the worker is to die."""
        if await self.ended():
            raise Failed(f"the process instance ended before step {CRASH_STEP}")
        if len(self.steps) < CRASH_STEP - 1:
            return False
        counts = await self._counts()
        if counts is not None:
            return counts.asked >= CRASH_STEP and bool(counts.running)
        done = {turn.activity for turn in self.steps}
        tasks = await self._engine.tasks(await self._family())
        locked = [task for task in tasks if task.worker and task.activity not in done]
        await asyncio.sleep(UNSEEN_CALL_SECONDS if locked else 0)
        return bool(locked)

    async def _counts(self) -> Counts | None:
        """What the model server counted since the start; None where a real provider answers."""
        if self._model is None or self._before is None:
            return None
        return (await self._model.counts()).since(self._before)

    async def _hear(self) -> None:
        self._stage.check()
        for line in self._stage.log_lines():
            await self._show(line)

    async def _look(self) -> None:
        await self._hear()
        await self._serve_people()
        family = await self._family()
        for incident in await self._engine.incidents(family):
            text = f"{self._name(incident.process, incident.activity)} has an incident: {incident.message}"
            if self._strict:
                raise Failed(text)
            self._note_once(f"{text}. Cockpit shows it; Retry there when its cause is gone.")
        patience = PATIENCE_AWAY_SECONDS if self._away else PATIENCE_SECONDS
        if self._strict and monotonic() - self._quiet_since > patience:
            raise Failed("\n".join([f"nothing was completed for {patience:.0f} s", *self._away.values()]))
        self._screen.doing(self._doing(await self._engine.tasks(family)))

    async def _serve_people(self) -> None:
        """Tell of each user task; with `strict`, hand its form in."""
        for task in await self._engine.persons_tasks():
            name = self._name(task.process, task.activity)
            if self._strict:
                form = self._application.forms.get((task.process, task.activity), {})
                chosen = ", ".join(f"{field}={value}" for field, value in form.items())
                await self._engine.hand_in(task, form)
                self._screen.note(
                    f"{name}: a person's task; the demo stands in and chooses what comes first ({chosen})"
                )
                self._quiet_since = monotonic()
            else:
                where = self._stage.tasklist(task.id)
                self._note_once(f"{name}: a person's task; claim it and complete it at {where}")

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
        root = await self._root(turn.instance)
        ours, done = root == self.instance, self._done[root]
        if not ours and not done:
            self._screen.another(root)
        is_of_code = turn.completed and (turn.process, turn.activity) not in self._application.steps
        if is_of_code:
            self._made += ours
            self._quiet_since = monotonic()
            self._screen.made(self._name(turn.process, turn.activity), turn.seconds)
            return
        self._screen.turn(done + 1, self._name(turn.process, turn.activity), turn, self._who(turn, root))
        if turn.completed:
            self._done[root] += 1
            self._quiet_since = monotonic()
        if turn.completed and ours:
            self.steps.append(turn)

    def _who(self, turn: Turn, root: str) -> str:
        if self._application.is_plain:
            return ""
        return turn.assistant if turn.instance == root else f"{turn.assistant} in {turn.process}"

    def _doing(self, tasks: Sequence[OpenTask]) -> str:
        if not tasks:
            return ""
        names = ", ".join(self._name(task.process, task.activity) for task in tasks)
        steps = f"{len(self.steps) + 1} {names}"
        if left := max(map(self._dead_lock_seconds, tasks)):
            return f"{steps}: locked by the dead worker for {left:.0f} s more"
        return f"{steps}: {'the assistant answers' if any(map(_seconds_left, tasks)) else 'waits for a worker'}"

    async def _family(self) -> list[str]:
        return await self._engine.family(self.instance)

    async def _root(self, instance: str) -> str:
        if instance not in self._roots:
            self._roots[instance] = await self._engine.root(instance)
        return self._roots[instance]

    def _dead_lock_seconds(self, task: OpenTask) -> float:
        # The worker's id ends in its process id and a random part.
        return _seconds_left(task) if (task.worker or "").split("-")[-2:-1] == [str(self._killed_pid)] else 0

    def _name(self, process: str, activity: str) -> str:
        return self._application.names.get((process, activity), activity)

    def _note_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._screen.note(text)


def _seconds_left(task: OpenTask) -> float:
    left = (task.locked_until - datetime.now(UTC)).total_seconds() if task.locked_until else 0.0
    return max(0.0, left)
