"""One turn: task → verdict. Read `worker/ports.py` first, then this, then `worker/asking.py`."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from worker import metrics, prompt, properties, result, verdict
from worker.asking import Asking
from worker.domain import Activity, Answer, Answered, Assistant, Busy, Entered, Outcome, Task, ThreadKey
from worker.errors import BadModel, Poisonous, StoreDown, WorkerError
from worker.logs import Event, trace
from worker.ports import Assistants, Engine, Model, Threads
from worker.properties import TaskProperties
from worker.record import Record, Rules

DEADLY = 3
"""After so many workers that ended under a task it fails once before it runs again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """Another task holds the thread: nothing was asked."""

    key: ThreadKey


class Turn:
    """Asks the assistant that a task names, on the thread that the task's instance has with it."""

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        models: Mapping[str, Model],
        assistants: Assistants,
        rules: Rules,
        stopping: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._models = models
        self._assistants = assistants
        self._rules = rules
        self._stopping = stopping

    async def __call__(self, task: Task, record: Record) -> verdict.Verdict | Held:
        """Take the turn and say what the engine is to be told. Errors become verdicts here; `record.error` has them."""
        try:
            return await self._take(task, record)
        except Exception as exc:  # noqa: BLE001 - every error becomes a verdict
            record.error = exc
            if not isinstance(exc, WorkerError):
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            return verdict.on_error(exc, self.case(task, record), trouble_limit=self._rules.trouble_limit)

    def case(self, task: Task, record: Record) -> verdict.Case:
        """Say what is known of the task, for a verdict."""
        return verdict.Case(
            activity=record.activity,
            assistant=f"{record.assistant} {record.version}" if record.version else record.assistant,
            retries=self._rules.retries if task.retries is None else task.retries,
            first_attempt=task.retries is None,
            trouble_for=record.trouble_for,
            roll=random.random(),  # noqa: S311 - spreads repeats, guards nothing
        )

    async def _take(self, task: Task, record: Record) -> verdict.Verdict | Held:
        activity = await self._activity(task, record)
        wanted = properties.read(task, activity)
        record.assistant = wanted.assistant
        assistant = self._assistants.find(wanted.assistant, wanted.version)
        record.version = assistant.version
        record.key = ThreadKey(self._rules.engine_name, task.process_instance_id, assistant.name, task.tenant_id)
        with record.phase("enter"):
            entry = await self._threads.enter(record.key, task.id)
        match entry:
            case Busy():
                return Held(record.key)
            case Answered():
                record.attempt, record.recovered, record.thread = entry.attempt, "journal", entry.answer.thread
                answer: Answer | None = entry.answer
            case Entered():
                record.attempt, record.trouble_for, record.use = entry.attempt, entry.trouble_for, "reused"
                text = await self._text(task, activity, wanted, entry)
                answer = await self._asking(task, text, assistant, entry, record).answer()
        if answer is None:
            return Held(record.key)
        return await self._judge(task, wanted, assistant, record, answer)

    async def _activity(self, task: Task, record: Record) -> Activity:
        definition = await self._engine.definition(task.process_definition_id)
        activity = definition.activities.get(task.activity_id)
        if activity is None:
            raise BadModel(f"definition {definition.id} has no external task {task.activity_id}")
        name = " ".join(activity.name.split())
        record.activity = f'"{name}" ({activity.id})' if name else activity.id
        return activity

    async def _text(self, task: Task, activity: Activity, wanted: TaskProperties, entry: Entered) -> str:
        """Put the question together; lets go of the hold if that cannot be."""
        try:
            _check_deaths(entry)
            return prompt.text(task, activity, wanted)
        except Exception:
            with suppress(StoreDown):
                await self._threads.leave(entry.hold, asked=True, trouble=False)
            raise

    def _asking(self, task: Task, text: str, assistant: Assistant, entry: Entered, record: Record) -> Asking:
        return Asking(
            engine=self._engine,
            threads=self._threads,
            model=self._models[assistant.provider],
            rules=self._rules,
            stopping=self._stopping,
            task=task,
            text=text,
            assistant=assistant,
            entry=entry,
            record=record,
        )

    async def _judge(
        self, task: Task, wanted: TaskProperties, assistant: Assistant, record: Record, answer: Answer
    ) -> verdict.Verdict:
        """Turn the answer into the result, or into what the task wants for a bad one."""
        record.answer = answer = result.checked(answer, wanted)
        if record.recovered:
            metrics.RECOVERED.labels(record.recovered).inc()
        if answer.outcome is not Outcome.OK:
            return verdict.on_answer(answer, self.case(task, record), wanted.errors)
        story = result.Story(record.thread, record.use, record.recovered, record.seconds)
        spin = await self._engine.has_spin()

        def complete(*, wide: bool) -> verdict.Complete:
            variables = result.variables(answer, wanted, assistant, story, spin=spin, wide=wide)
            return verdict.Complete({}, variables) if wanted.local else verdict.Complete(variables)

        return replace(complete(wide=False), wider=lambda: complete(wide=True))


def _check_deaths(entry: Entered) -> None:
    if entry.deaths >= DEADLY:
        raise Poisonous(
            f"{entry.deaths} workers in a row ended without a word while they had this task. It may be what ends them, "
            "or have been beside it: look at their logs, and at memory"
        )
