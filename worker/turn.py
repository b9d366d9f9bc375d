"""One turn: task → verdict. Read `worker/ports.py` first, then this, then `worker/asking.py`."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from worker import metrics, prompt, properties, result, verdict
from worker.anchored import AnchoredModel
from worker.asking import Asking, Home
from worker.domain import (
    SHARED_SCOPE,
    TASK_SCOPE,
    Activity,
    Answer,
    Answered,
    Assistant,
    Busy,
    Entered,
    Outcome,
    Task,
    ThreadKey,
    thread_variable_name,
)
from worker.errors import AssistantPaused, BadModel, Poisonous, StoreDown, WorkerError
from worker.inputs import gather
from worker.logs import Event, trace
from worker.pauses import Pauses
from worker.ports import Assistants, Engine, History, Recording, Threads
from worker.properties import TaskProperties
from worker.record import Record, Rules

DEADLY = 3
"""After so many workers that ended under a task it fails once before it runs again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """Another task holds the thread: nothing was asked."""

    key: ThreadKey


@dataclass(frozen=True, slots=True)
class Errand:
    """What one task wants, found out and checked. The assistant's schema and timeout are the ones that hold here."""

    task: Task
    activity: Activity
    wanted: TaskProperties
    assistant: Assistant
    form: result.Form
    key: ThreadKey
    home: Home | None


class Turn:
    """Asks the assistant that a task names, on the thread that the task's instance has with it."""

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        models: Mapping[str, AnchoredModel],
        assistants: Assistants,
        rules: Rules,
        stopping: Callable[[], bool],
        store_down: Callable[[Exception], None] = lambda _: None,
        recording: Recording | None = None,
        history: History | None = None,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._models = models
        self._assistants = assistants
        self._rules = rules
        self._stopping = stopping
        self._store_down = store_down
        self._pauses = Pauses()
        self._recording = recording
        self._history = history

    async def __call__(self, task: Task, record: Record) -> verdict.Verdict | Held:
        """Take the turn and say what the engine is to be told. Errors become verdicts here; `record.error` has them."""
        try:
            return await self._take(task, record)
        except Exception as exc:  # noqa: BLE001 - every error becomes a verdict
            record.error = exc
            if isinstance(exc, AssistantPaused):
                self._pauses.begin(record.assistant, record.version, exc)
            if not isinstance(exc, WorkerError):
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            return verdict.on_error(exc, self.case(task, record), trouble_limit=self._rules.trouble_limit)

    def case(self, task: Task, record: Record) -> verdict.Case:
        """Say what is known of the task, for a verdict."""
        return verdict.Case(
            activity=record.activity,
            assistant=f"{record.assistant} {record.version}" if record.version else record.assistant,
            retries=(record.retries or self._rules.retries) if task.retries is None else task.retries,
            first_attempt=task.retries is None,
            retry_delay=record.retry_delay,
            trouble_for=record.trouble_for,
            roll=random.random(),  # noqa: S311 - spreads repeats, guards nothing
        )

    async def _take(self, task: Task, record: Record) -> verdict.Verdict | Held:
        errand = await self._errand(task, record)
        while True:
            with record.phase("enter"):
                entry = await self._threads.enter(errand.key, task.id)
            match entry:
                case Busy():
                    return Held(errand.key)
                case Answered():
                    record.attempt, record.recovered, record.thread = entry.attempt, "journal", entry.answer.thread
                    answer: Answer | None = entry.answer
                case Entered():
                    record.attempt, record.trouble_for = entry.attempt, entry.trouble_for
                    record.use, record.recovered = "reused", None
                    text = await self._text(errand, entry, record)
                    answer = await self._asking(errand, text, entry, record).answer()
                    if answer is not None:
                        self._pauses.end(errand.assistant)
            if answer is None:
                return Held(errand.key)
            record.repaired = bool(entry.repair)
            answer, wrong = result.checked(answer, errand.form)
            if not wrong or entry.repair:
                return await self._judge(errand, record, answer)
            await self._threads.again(errand.key, task.id, entry.attempt, wrong)

    async def _errand(self, task: Task, record: Record) -> Errand:
        """Find out what the task wants, from the model, its properties and its assistant's spec."""
        definition = await self._engine.definition(task.process_definition_id)
        activity = definition.activities.get(task.activity_id)
        if activity is None:
            raise BadModel(f"definition {definition.id} has no external task {task.activity_id}")
        record.activity = f'"{activity.title}" ({activity.id})' if activity.title else activity.id
        record.assistant = task.properties.get("service.name", "").strip() or record.assistant
        wanted = properties.read(task, activity, definition)
        record.assistant, record.retries, record.retry_delay = wanted.assistant, wanted.retries, wanted.retry_delay
        assistant = self._assistants.find(wanted.assistant, wanted.version)
        record.version = assistant.version
        schema = await self._schema(task, wanted) or assistant.output_schema
        assistant = replace(assistant, output_schema=schema, timeout=wanted.timeout or assistant.timeout)
        scope, home = await self._scope(task, wanted)
        key = ThreadKey(self._rules.engine_name, scope, assistant.name, task.tenant_id)
        record.key = key
        return Errand(task, activity, wanted, assistant, result.Form.of(wanted, schema), key, home)

    async def _schema(self, task: Task, wanted: TaskProperties) -> Mapping[str, Any] | None:
        if not isinstance(wanted.schema, str):
            return wanted.schema
        text = await self._engine.resource(task.process_definition_id, wanted.schema)
        return properties.parsed_schema(text, f"the resource {wanted.schema!r} in property data.output.schema")

    async def _scope(self, task: Task, wanted: TaskProperties) -> tuple[str, Home | None]:
        """Return the thread's scope, and the variable that keeps the thread, None where nothing needs to."""
        instance = task.process_instance_id
        match wanted.sharing:
            case "instance":
                return instance, Home(instance, thread_variable_name(wanted.assistant))
            case "root":
                root = await self._engine.root_instance(instance)
                return root, Home(root, thread_variable_name(wanted.assistant))
            case "business-key" if task.business_key:
                name = thread_variable_name(wanted.assistant, by_business_key=True)
                return SHARED_SCOPE + task.business_key, Home(instance, name, one_of_many=True)
            case "business-key":
                raise BadModel(
                    "property service.thread is 'business-key', but this process instance has no business key; start "
                    "instances with one, or take instance"
                )
            case "activity":
                return TASK_SCOPE + task.id, None

    async def _text(self, errand: Errand, entry: Entered, record: Record) -> str:
        """Put the question together; lets go of the hold if that cannot be."""
        try:
            _check_deaths(entry)
            self._pauses.check(errand.assistant)
            inputs = await gather(
                errand.task, errand.activity, errand.wanted, entry.thread, self._engine, self._rules.input_tokens
            )
            record.left_out = inputs.left_out
            return prompt.text(
                errand.task, errand.activity, inputs, json_wanted=errand.form.is_json, repair=entry.repair
            )
        except BaseException:
            with suppress(StoreDown):
                await self._threads.leave(entry.hold, asked=True, trouble=False)
            raise

    def _asking(self, errand: Errand, text: str, entry: Entered, record: Record) -> Asking:
        return Asking(
            engine=self._engine,
            threads=self._threads,
            model=self._models[errand.assistant.provider],
            rules=self._rules,
            stopping=self._stopping,
            task=errand.task,
            activity_name=errand.activity.title,
            text=text,
            assistant=errand.assistant,
            home=errand.home,
            entry=entry,
            record=record,
            store_down=self._store_down,
            recording=self._recording,
            history=self._history,
        )

    async def _judge(self, errand: Errand, record: Record, answer: Answer) -> verdict.Verdict:
        """Turn the answer into the result, or into what the task wants for a bad one."""
        record.answer = answer
        if record.recovered:
            metrics.RECOVERED.labels(record.recovered).inc()
        if answer.outcome is not Outcome.OK:
            return verdict.on_answer(answer, self.case(errand.task, record), errand.wanted.errors)
        story = result.Story(
            record.thread, record.use, record.recovered, record.repaired, record.seconds, record.seed.turns
        )
        spin = await self._engine.has_spin()

        def complete(*, wide: bool) -> verdict.Complete:
            variables = result.variables(answer, errand.form, errand.assistant, story, spin=spin, wide=wide)
            return verdict.Complete({}, variables) if errand.form.local else verdict.Complete(variables)

        return replace(complete(wide=False), wider=lambda: complete(wide=True))


def _check_deaths(entry: Entered) -> None:
    if entry.deaths >= DEADLY:
        raise Poisonous(
            f"{entry.deaths} workers in a row ended without a word while they had this task. It may be what ends them, "
            "or have been beside it: look at their logs, and at memory"
        )
