"""One task: what it wants → a request → an answer → a verdict. Read `ports/turn.py` first, then `thread_turn.py`."""

import random
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from worker.domain.budgets import Counter, Scope
from worker.domain.stops import Work
from worker.domain.tasks import Activity, Task, thread_variable_name
from worker.domain.threads import (
    BYTES_PER_TOKEN,
    SHARED_SCOPE,
    TASK_SCOPE,
    Answer,
    Answered,
    Assistant,
    Busy,
    Entered,
    Outcome,
    ThreadKey,
    size,
)
from worker.errors import (
    AssistantPaused,
    BadDefinition,
    ModelDown,
    OverBudget,
    Poisonous,
    ProviderAway,
    ProviderPaused,
    StoppedByOperator,
    StoreDown,
    Transient,
    TurnedAway,
    WorkerError,
)
from worker.modelling import prompt, properties, result, schema
from worker.modelling.inputs import SMALL, gather
from worker.modelling.properties import TaskProperties
from worker.ports.turn import Assistants, Engine, ThreadProvider
from worker.runtime.beside import beside, beside_if
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn import verdict
from worker.turn.charging import Bill
from worker.turn.facts import TurnFacts
from worker.turn.limits import Elsewhere, Limits, Seat
from worker.turn.pauses import Pauses
from worker.turn.request import Ground, Place, Request
from worker.turn.stoppable import stoppable
from worker.turn.thread_turn import ThreadTurn
from worker.turn.thread_variable import ThreadVariable

DEADLY = 3
"""After so many workers that ended under a task it fails once before it runs again."""

SOON = timedelta(seconds=4)
"""When a task is there again, at the latest, that nobody fetches before there is somebody to ask."""

LONGEST_NAME = 200
"""Characters of an assistant's name in log lines and incidents: a model may call for anything."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """Another task holds the thread: nothing was asked."""

    key: ThreadKey


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one task wants, found out and checked. The assistant's schema and timeout are the ones that hold here.

    `seat` is what it has of its provider's limits.
    """

    task: Task
    activity: Activity
    wanted: TaskProperties
    assistant: Assistant
    form: result.Form
    key: ThreadKey
    variable: ThreadVariable | None
    seat: Seat
    counters: tuple[Counter, ...] = ()

    @property
    def work(self) -> Work:
        """What its call is of."""
        return Work(self.task.topic, self.task.tenant_id, self.assistant.name, self.assistant.provider)

    def request(self, text: str) -> Request:
        """Ask this for it."""
        task = self.task
        place = Place(
            process_instance_id=task.process_instance_id,
            activity_id=task.activity_id,
            activity_name=self.activity.title,
            definition_id=task.process_definition_id,
            definition_key=task.process_definition_key,
            definition_version=task.definition_version,
            business_key=task.business_key,
        )
        fact = f"{self.activity.title or self.activity.id}: {self.form.output}" if self.form.is_json else None
        return Request(task.id, self.key, text, self.assistant, place, self.wanted.calls, fact, self.counters)


class Turn:
    """Asks the assistant that a task names, on the thread that the task's instance has with it."""

    def __init__(
        self, engine: Engine, providers: Mapping[str, ThreadProvider], assistants: Assistants, ground: Ground
    ) -> None:
        self._engine = engine
        self._providers = providers
        self._assistants = assistants
        self._ground = ground
        self._threads = ground.threads
        self._rules = ground.rules
        self._pauses = Pauses()
        self._limits = Limits(ground)

    async def take(self, task: Task, facts: TurnFacts) -> verdict.Verdict | Held:
        """Take the turn and say what the engine is to be told. Errors become verdicts here; `facts.error` has them."""
        try:
            return await self._until_judged(task, facts)
        except Exception as exc:  # noqa: BLE001 - every error becomes a verdict
            facts.error = exc
            if not isinstance(exc, WorkerError):
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            return verdict.on_error(exc, self.case(task, facts), trouble_limit=self._rules.trouble_limit)

    def case(self, task: Task, facts: TurnFacts) -> verdict.Case:
        """Say what is known of the task, for a verdict."""
        return verdict.Case(
            activity=facts.activity,
            assistant=f"{facts.assistant} {facts.version}" if facts.version else facts.assistant,
            retries=(facts.retries or self._rules.retries) if task.retries is None else task.retries,
            first_attempt=task.retries is None,
            retry_delay=facts.retry_delay,
            trouble_for=facts.trouble_for,
            roll=random.random(),  # noqa: S311 - spreads repeats, guards nothing
        )

    async def _until_judged(self, task: Task, facts: TurnFacts) -> verdict.Verdict | Held:
        async with self._limits.seat(task) as seat:
            return await self._in_turn(task, await self._assignment(task, facts, seat), facts)

    async def _in_turn(self, task: Task, assignment: Assignment, facts: TurnFacts) -> verdict.Verdict | Held:
        closed: set[str] = set()
        provider = self._first_up(assignment.assistant, closed)
        while True:
            with facts.phase("enter"):
                await assignment.seat.take(provider, assignment.assistant, size(assignment.activity.documentation))
                entry = await self._threads.enter(assignment.key, task.id, task.retries)
            match entry:
                case Busy():
                    self._ground.stopped.check(assignment.work)
                    return Held(assignment.key)
                case Answered():
                    facts.attempt, facts.calls = entry.attempt, entry.calls
                    facts.recovered, facts.thread = "journal", entry.answer.thread
                    answer: Answer | None = entry.answer
                    bill = Bill(self._ground.charging, assignment.counters, self._ground.prices)
                    await bill.correct(entry.call, entry.answer)
                    assignment = await self._with_schema(assignment)
                case Entered():
                    facts.attempt, facts.calls, facts.trouble_for = entry.attempt, entry.calls, entry.trouble_for
                    facts.use, facts.recovered = "reused", None
                    try:
                        ready, text = await self._prepared(assignment, entry, facts, closed)
                        answer = await self._answer(ready, text, entry, facts)
                    except Elsewhere as exc:
                        provider = exc.provider
                        continue
                    except OverBudget as exc:
                        facts.error = exc
                        return verdict.on_over_budget(exc, self.case(task, facts), assignment.wanted.errors)
                    except (ProviderAway, ProviderPaused) as exc:
                        provider = self._stand_in(assignment.assistant, exc, facts.provider or "", closed)
                        continue
                    assignment = ready
            if answer is None:
                return Held(assignment.key)
            facts.repaired = bool(entry.repair)
            answer, wrong = await _checked(answer, assignment.form)
            if not wrong or entry.repair or facts.calls >= assignment.wanted.calls:
                return await self._judge(assignment, facts, answer)
            await self._threads.drop_answer(assignment.key, task.id, entry.attempt, wrong)

    async def _assignment(self, task: Task, facts: TurnFacts, seat: Seat) -> Assignment:
        """Find out what the task wants, from the model, its properties and its assistant's spec."""
        definition = await self._engine.definition(task.process_definition_id)
        activity = definition.activities.get(task.activity_id)
        if activity is None:
            raise BadDefinition(f"definition {definition.id} has no external task {task.activity_id}")
        facts.activity = f'"{activity.title}" ({activity.id})' if activity.title else activity.id
        facts.assistant = activity.properties.get("service.name", "").strip()[:LONGEST_NAME] or facts.assistant
        wanted = properties.read(task, activity, definition, with_schema=False)
        facts.assistant = wanted.assistant[:LONGEST_NAME]
        facts.retries, facts.retry_delay = wanted.retries, wanted.retry_delay
        assistant = self._assistants.find(wanted.assistant, wanted.version)
        facts.version, facts.provider = assistant.version, assistant.provider
        assistant = replace(assistant, timeout=wanted.timeout or assistant.timeout)
        key, variable = await self._place(task, wanted)
        facts.key = key
        form = result.Form.of(wanted, assistant.output_schema)
        return Assignment(
            task, activity, wanted, assistant, form, key, variable, seat, await self._counters(task, assistant)
        )

    async def _counters(self, task: Task, assistant: Assistant) -> tuple[Counter, ...]:
        """Say which budgets its calls count for."""
        charging = self._ground.charging
        if charging is None:
            return ()
        instance = task.process_instance_id
        root = await self._engine.root_instance(instance) if charging.wants_root else instance
        names: dict[Scope, str] = {
            "tenant": task.tenant_id or "",
            "assistant": assistant.name,
            "root": root,
            "instance": instance,
            "task": task.id,
        }
        return charging.counters(names)

    async def _with_schema(self, assignment: Assignment) -> Assignment:
        """Have the schema that holds here; not before the journal knows that we have the task, as it may end us."""
        schema = await self._schema(assignment.task, assignment.wanted)
        if schema is None:
            return assignment
        assistant = replace(assignment.assistant, output_schema=schema)
        return replace(assignment, assistant=assistant, form=result.Form.of(assignment.wanted, schema))

    async def _schema(self, task: Task, wanted: TaskProperties) -> Mapping[str, Any] | None:
        if not isinstance(wanted.schema, str):
            return wanted.schema
        if properties.is_inline(wanted.schema):
            return await beside(properties.parsed_schema, wanted.schema, "property data.output.schema")
        text = await self._engine.resource(task.process_definition_id, wanted.schema)
        place = f"the resource {wanted.schema!r} in property data.output.schema"
        return await beside(properties.parsed_schema, text, place)

    async def _place(self, task: Task, wanted: TaskProperties) -> tuple[ThreadKey, ThreadVariable | None]:
        """Return the thread's key, and the variable that keeps the thread, None where nothing needs to."""

        def key(scope: str) -> ThreadKey:
            return ThreadKey(self._rules.engine_name, scope, wanted.assistant, task.tenant_id)

        def variable(instance: str, scope: str, *, shared: bool = False) -> ThreadVariable:
            name = thread_variable_name(wanted.assistant, by_business_key=shared)
            return ThreadVariable(self._engine, task, instance, name, key(scope), self._ground.history, shared)

        instance = task.process_instance_id
        match wanted.sharing:
            case "instance":
                return key(instance), variable(instance, instance)
            case "root":
                root = await self._engine.root_instance(instance)
                return key(root), variable(root, root)
            case "business-key" if task.business_key:
                scope = SHARED_SCOPE + task.business_key
                return key(scope), variable(instance, scope, shared=True)
            case "business-key":
                raise BadDefinition(
                    "property service.thread is 'business-key', but this process instance has no business key; start "
                    "instances with one, or take instance"
                )
            case "activity":
                return key(TASK_SCOPE + task.id), None

    async def _prepared(
        self, assignment: Assignment, entry: Entered, facts: TurnFacts, closed: Collection[str]
    ) -> tuple[Assignment, str]:
        """Get ready to ask, nobody who is `closed`; lets go of the hold if that cannot be."""
        try:
            self._ground.stopped.check(replace(assignment.work, provider=""))
            _check_deaths(entry)
            assistant = self._who_answers(assignment.assistant, entry, closed)
            assignment.seat.check(assistant.provider)
            facts.provider = assistant.provider
            assignment = replace(assignment, assistant=assistant)
            self._pauses.check(assignment.assistant, assignment.task.id)
            assignment = await self._with_schema(assignment)
            return assignment, await self._text(assignment, entry, facts)
        except BaseException as exc:
            trouble = isinstance(exc, WorkerError) and exc.is_trouble
            with suppress(StoreDown):
                await self._threads.leave(entry.hold, asked=True, trouble=trouble)
            raise

    def _first_up(self, assistant: Assistant, closed: Collection[str]) -> str:
        """Name the provider that answers, as far as is known before the thread is. One at its limits is not away."""
        up = (provider for provider, _ in assistant.chain if not self._is_closed(provider, closed))
        return next(up, assistant.provider)

    def _stand_in(self, assistant: Assistant, away: ModelDown, provider: str, closed: set[str]) -> str:
        """Name who is asked next, where this provider cannot be; raises what it met where nobody is."""
        closed.add(provider)
        if closed.issuperset(dict(assistant.chain)):
            raise away
        self._ground.provider_down(away, provider)
        return self._first_up(assistant, closed)

    def _is_closed(self, provider: str, closed: Collection[str]) -> bool:
        """Whether a provider cannot be asked now, or is `closed` to this task."""
        ground = self._ground
        return (
            provider in closed
            or ground.trouble_of(provider) is not None
            or ground.stopped.provider(provider) is not None
        )

    def _who_answers(self, assistant: Assistant, entry: Entered, closed: Collection[str]) -> Assistant:
        """Choose the assistant's own model, or the first of its fallback whose provider can be asked.

        A thread stays where it is without a transcript that what was said could be told from, and where a call may have
        left its answer. Raises AssistantPaused, or StoppedByOperator: nobody can answer now.
        """
        here = entry.thread.provider if entry.thread else None
        chain = list(assistant.chain)
        if assistant.stays:
            chain.sort(key=lambda each: each[0] != here)
        known = self._providers.get(here or "")
        may_be_there = entry.asked is not None and known is not None and known.remembers
        if may_be_there or (here is not None and self._ground.history is None):
            chain = [each for each in chain if each[0] == here] or chain[:1]
        for provider, model in chain:
            if self._is_closed(provider, closed):
                continue
            if provider == assistant.provider:
                return assistant
            log.warning(Event.FALLBACK, provider=provider, model=model, instead_of=assistant.provider)
            background = assistant.background and self._providers[provider].remembers
            return replace(assistant, provider=provider, model=model, background=background)
        first, _ = chain[0]
        if (stop := self._ground.stopped.provider(first)) is not None:
            raise StoppedByOperator(str(stop))
        # A task that a parked poll has brought; of a single provider no other is fetched before it can be asked.
        longest = verdict.PARKED_FOR if len(self._providers) > 1 else SOON
        wait = longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads repeats, guards nothing
        raise AssistantPaused(f"the provider {first} is away: {self._ground.trouble_of(first)}", retry_after=wait)

    async def _text(self, assignment: Assignment, entry: Entered, facts: TurnFacts) -> str:
        """Put the question together."""
        task, activity, room = assignment.task, assignment.activity, self._rules.input_tokens
        inputs = await gather(task, activity, assignment.wanted, entry.thread, self._engine, room)
        facts.left_out = inputs.left_out
        asked = properties.prompt_parameter(task, activity) or activity.documentation
        return await beside_if(
            sum(map(len, (asked, entry.repair, *inputs.shown.values()))) > SMALL,
            prompt.text,
            task,
            activity,
            inputs,
            room=BYTES_PER_TOKEN * room,
            json_wanted=assignment.form.is_json,
            repair=entry.repair,
        )

    async def _answer(self, assignment: Assignment, text: str, entry: Entered, facts: TurnFacts) -> Answer | None:
        """Find the answer or ask for it; a refusal is weighed before it counts for more than this task."""
        try:
            answer = await self._on_thread(assignment, text, entry, facts)
        except (AssistantPaused, TurnedAway) as exc:
            meant = await self._weighed(exc, assignment)
            if meant is exc:
                raise
            raise meant from exc
        if answer is not None and not facts.recovered:
            self._pauses.answered(assignment.assistant, assignment.task.id)
        return answer

    async def _on_thread(self, assignment: Assignment, text: str, entry: Entered, facts: TurnFacts) -> Answer | None:
        provider = self._providers[assignment.assistant.provider]
        provider = assignment.seat.counting(provider, assignment.assistant)
        provider = stoppable(provider, self._ground.stopped, assignment.work)
        turn = ThreadTurn(self._ground, provider, assignment.request(text), assignment.variable, entry, facts)
        return await turn.answer()

    async def _weighed(self, refusal: AssistantPaused | TurnedAway, assignment: Assignment) -> Exception:
        """Say whose refusal this is: the provider's if a probe meets the same, else the assistant's or the task's."""
        if isinstance(refusal, TurnedAway):
            try:
                await self._providers[assignment.assistant.provider].ping()
            except (ProviderPaused, ProviderAway) as trouble:
                return trouble
            except Transient as trouble:
                return ProviderAway(f"{refusal}; a probe fared no better: {trouble}")
        return self._pauses.refused(assignment.assistant, assignment.task.id, refusal)

    async def _judge(self, assignment: Assignment, facts: TurnFacts, answer: Answer) -> verdict.Verdict:
        """Turn the answer into the result, or into what the task wants for a bad one."""
        facts.answer = answer
        if facts.recovered:
            metrics.RECOVERED.labels(facts.recovered).inc()
        if answer.outcome is not Outcome.OK:
            return verdict.on_answer(answer, self.case(assignment.task, facts), assignment.wanted.errors)
        story = result.Story(
            facts.thread,
            facts.use,
            facts.recovered,
            facts.repaired,
            facts.seconds,
            facts.seed.turns,
            facts.budgets,
            facts.memory,
        )
        spin = await self._engine.has_spin()

        def complete(*, wide: bool) -> verdict.Complete:
            variables = result.variables(answer, assignment.form, assignment.assistant, story, spin=spin, wide=wide)
            return verdict.Complete({}, variables) if assignment.form.local else verdict.Complete(variables)

        return replace(complete(wide=False), wider=lambda: complete(wide=True))


async def _checked(answer: Answer, form: result.Form) -> tuple[Answer, str]:
    """Compare an answer with the form it has to have. Raises BadDefinition where the schema forbids that."""
    if not form.is_json:
        return answer, ""
    try:
        return await beside(result.checked, answer, form)
    except schema.Unusable as exc:
        raise BadDefinition(f"the schema cannot be applied to the answer, which is kept: {exc}") from exc


def _check_deaths(entry: Entered) -> None:
    if entry.deaths >= DEADLY:
        raise Poisonous(
            f"{entry.deaths} workers in a row ended without a word while they had this task. It may be what ends them, "
            "or have been beside it: look at their logs, and at memory"
        )
