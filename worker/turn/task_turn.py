"""One task: what it wants → a request → an answer → a verdict. `thread_turn.py` comes next."""

import random
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from worker.domain.conversations import Role, message_id
from worker.domain.tasks import Task, Variable
from worker.domain.threads import (
    BYTES_PER_TOKEN,
    Answer,
    Answered,
    Busy,
    Entered,
    Entry,
    Outcome,
    ThreadKey,
    size,
)
from worker.errors import (
    BadDefinition,
    FilesGone,
    HistoryUnread,
    OverBudget,
    Poisonous,
    ProviderAway,
    ProviderPaused,
    StoreDown,
    TaskLost,
    WorkerError,
)
from worker.modelling import prompt, properties, questions, result, schema
from worker.modelling.files import Reading
from worker.modelling.inputs import SMALL, Inputs, gather
from worker.modelling.orders import turned
from worker.ports.engine import Engine
from worker.ports.providers import Assistants
from worker.runtime.beside import beside, beside_if
from worker.telemetry import metrics, spans
from worker.telemetry.logs import Event, trace
from worker.turn import verdict
from worker.turn.answering import Answering
from worker.turn.approving import ApprovalTurn
from worker.turn.assignment import Assigning, Assignment, too_much
from worker.turn.charging import Bill
from worker.turn.facts import APART, TurnFacts
from worker.turn.fallback import Fallback
from worker.turn.limits import Elsewhere
from worker.turn.record_turn import RecordTurn
from worker.turn.request import Ground

DEADLY = 3
"""After so many workers that ended under a task it fails once before it runs again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """Another task holds the thread: nothing was asked."""

    key: ThreadKey


class Turn:
    """Asks the assistant that a task names, on the thread that the task's instance has with it.

    A task that makes a decision's record is for `records`, one that approves what is remembered for `approvals`.
    """

    def __init__(
        self,
        engine: Engine,
        answering: Answering,
        assistants: Assistants,
        ground: Ground,
        records: RecordTurn,
        approvals: ApprovalTurn,
    ) -> None:
        self._engine = engine
        self._records = records
        self._approvals = approvals
        self._answering = answering
        self._assigning = Assigning(engine, assistants, ground)
        self._ground = ground
        self._threads = ground.threads
        self._rules = ground.rules

    async def take(self, task: Task, facts: TurnFacts) -> verdict.Verdict | Held:
        """Take the turn and say what the engine is to be told. Errors become verdicts here; `facts.error` has them."""
        try:
            return await self._until_judged(task, facts)
        except Exception as exc:  # noqa: BLE001 - every error becomes a verdict
            facts.error = exc
            if not isinstance(exc, WorkerError):
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            return verdict.on_error(exc, self.case(task, facts), trouble_limit=self._rules.trouble_limit)

    def renew(self, provider: str) -> None:
        """Forget whom this provider has refused: it is asked with another key."""
        self._answering.pauses.forget(provider)

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
        definition = await self._engine.definition(task.process_definition_id)
        activity = definition.activities.get(task.activity_id)
        if activity is not None and activity.is_record:
            facts.activity = activity.label
            return await self._records.take(task, activity, definition, facts)
        if activity is not None and activity.is_approval:
            facts.activity = activity.label
            return await self._approvals.take(task, activity, definition, facts)
        with self._answering.limits.seat(task.id, task.process_instance_id) as seat:
            return await self._in_turn(task, await self._assigning.of(task, definition, facts, seat), facts)

    async def _in_turn(self, task: Task, assignment: Assignment, facts: TurnFacts) -> verdict.Verdict | Held:
        assignment = self._weighing(assignment)
        fallback = Fallback(self._ground, self._answering.providers)
        provider = fallback.first(assignment.assistant)
        while True:
            entry = await self._entered(assignment, provider, facts)
            match entry:
                case Busy():
                    # To wait for the thread makes no sense where no call may follow.
                    self._ground.stopped.check(assignment.work)
                    return Held(assignment.key)
                case Answered():
                    facts.attempt, facts.calls = entry.attempt, entry.calls
                    facts.recovered, facts.thread, facts.heard = "journal", entry.answer.thread, entry.heard
                    facts.memory, facts.rewound = entry.memory, entry.rewound
                    answer: Answer | None = entry.answer
                    bill = Bill(self._ground.charging, assignment.counters, self._ground.prices)
                    # Whoever kept the answer may have died before the budgets were put right.
                    await bill.correct(entry.call, entry.answer)
                    assignment = await self._assigning.with_schema(assignment)
                case Entered():
                    facts.attempt, facts.calls, facts.trouble_for = entry.attempt, entry.calls, entry.trouble_for
                    # An earlier round of this loop may have noted something else.
                    facts.use, facts.recovered, facts.heard = "reused", None, entry.heard
                    try:
                        ready, text = await self._prepared(assignment, entry, facts, fallback)
                        answer = await self._answering.answer(
                            ready.request(text), ready.variable, ready.work, ready.seat, entry, facts
                        )
                    except Elsewhere as exc:
                        # The hold was let go of on the way out: the next round takes a seat there, and enters again.
                        provider = exc.provider
                        continue
                    except OverBudget as exc:
                        facts.error = exc
                        return verdict.on_over_budget(exc, self.case(task, facts), assignment.wanted.errors)
                    except (FilesGone, ProviderAway, ProviderPaused) as exc:
                        provider = await fallback.after(assignment.assistant, facts.provider or "", exc)
                        continue
                    assignment = ready
            if answer is None:
                return Held(assignment.key)
            done = await self._judged(assignment, entry, facts, answer)
            if done is not None:
                return done

    async def _entered(self, assignment: Assignment, provider: str, facts: TurnFacts) -> Entry:
        """Enter, with a seat. Raises TaskLost where whatever comes next is for the worker that has the task."""
        if facts.is_taken:
            raise TaskLost("another worker has the task")
        task = assignment.task
        with facts.phase("enter"):
            # The seat before the hold: who waits for one must not keep the thread from others.
            await assignment.seat.take(provider, assignment.assistant, size(assignment.activity.documentation))
            return await self._threads.enter(assignment.key, task.id, task.retries, stamps=assignment.stamps)

    async def _judged(
        self, assignment: Assignment, entry: Answered | Entered, facts: TurnFacts, answer: Answer
    ) -> verdict.Verdict | None:
        """Judge the answer; None where another attempt is to put it right, or to ask in another order."""
        form = assignment.form
        earlier = await beside_if(form.orders > 1, form.earlier, entry.repair)
        facts.repaired = bool(earlier.wrong)
        answer, wrong = await _checked(answer, form)
        if wrong and not earlier.wrong and facts.calls < assignment.wanted.calls:
            noted = earlier.after(wrong)
        elif not wrong and _is_answer(answer) and len(earlier.answers) + 1 < form.orders:
            noted = earlier.noted(answer)
        else:
            if _is_answer(answer):
                answer = await beside_if(form.orders > 1, form.together, (*earlier.answers, answer))
            return await self._judge(assignment, facts, answer)
        # The next attempt has another ref: so the look does not bring this answer back from the thread.
        await self._threads.drop_answer(assignment.key, assignment.task.id, entry.attempt, noted)
        return None

    async def _prepared(
        self, assignment: Assignment, entry: Entered, facts: TurnFacts, fallback: Fallback
    ) -> tuple[Assignment, str]:
        """Get ready to ask; lets go of the hold if that cannot be."""
        try:
            self._ground.stopped.check(assignment.work_at(""))
            # Before anything of the task is looked into: that may be what ends workers.
            _check_deaths(entry)
            assistant = fallback.choose(assignment.assistant, entry)
            assignment.seat.check(assistant.provider)
            facts.provider = assistant.provider
            if assistant is not assignment.assistant:
                assignment = replace(assignment, assistant=assistant)
            self._answering.pauses.check(assignment.assistant, assignment.task.id)
            assignment = await self._assigning.with_schema(assignment)
            self._check_weights(assignment)
            earlier = await beside_if(assignment.form.orders > 1, assignment.form.earlier, entry.repair)
            asked = turned(assignment.assistant.questions, len(earlier.answers))
            assignment = replace(assignment, assistant=replace(assignment.assistant, questions=asked))
            # To read documents, and to wait until others are read, may take longer than a hold lives.
            async with self._ground.renewing(entry.hold, assignment.task.id):
                return await self._asked(assignment, entry, facts, earlier.wrong)
        except BaseException as exc:
            # Nothing was asked here, but of an earlier call nothing is known either: its intent stays.
            trouble = isinstance(exc, WorkerError) and exc.is_trouble
            with suppress(StoreDown):
                await self._threads.leave(entry.hold, asked=True, trouble=trouble)
            raise

    async def _asked(
        self, assignment: Assignment, entry: Entered, facts: TurnFacts, wrong: str
    ) -> tuple[Assignment, str]:
        """Put the question together. Where an earlier call may have an answer that is looked for, whatever is wrong."""
        task, activity = assignment.task, assignment.activity
        try:
            if task.is_bare:
                raise too_much()
            inputs = await self._inputs(assignment, entry, facts)
            text = await self._text(assignment, inputs, wrong)
        except BadDefinition as exc:
            if entry.asked is None:
                raise
            return replace(assignment, flaw=exc), prompt.lost(activity, str(exc))
        words = partial(prompt.words, task, activity, inputs, assignment.form.questions)
        return replace(assignment, attached=inputs.attached, words=words), text

    def _weighing(self, assignment: Assignment) -> Assignment:
        """Keep questions whose answers are weighed from a fallback that weighs none, unless the task allows that."""
        assistant, wanted = assignment.assistant, assignment.wanted
        may_be_any = wanted.uncalibrated and wanted.orders == 1
        if wanted.questions is None or may_be_any or not self._weighs(assistant.provider):
            return assignment
        fallback = tuple(each for each in assistant.fallback if self._weighs(each[0]))
        return replace(assignment, assistant=replace(assistant, fallback=fallback))

    def _check_weights(self, assignment: Assignment) -> None:
        """Refuse a bar that nobody could tell whether an answer meets it, before the answer is paid for."""
        form, provider = assignment.form, assignment.assistant.provider
        if form.orders > 1 and not self._weighs(provider):
            raise BadDefinition(
                f"property data.questions.orders is {form.orders}, and the provider {provider} tells no probabilities "
                "to take a mean of: let the assistant ask one of api decisions or systemone, or take it out"
            )
        if form.bar is None or form.uncalibrated or self._weighs(provider):
            return
        raise BadDefinition(
            f"answers to data.questions are to have a confidence, and the provider {provider} tells none: let the "
            "assistant ask one of api decisions or systemone, take service.confidence out, or set "
            "service.confidence.uncalibrated to allow, so that any answer is sure enough"
        )

    def _weighs(self, provider: str) -> bool:
        return self._answering.providers[provider].weighs

    async def _inputs(self, assignment: Assignment, entry: Entered, facts: TurnFacts) -> Inputs:
        """Collect what the question shows."""
        takes = self._answering.providers[assignment.assistant.provider].takes
        inputs = await gather(
            assignment.task,
            assignment.activity,
            assignment.wanted,
            entry.thread,
            self._engine,
            Reading(self._ground.documents, takes),
            self._rules.input_tokens,
        )
        facts.left_out = inputs.left_out
        heard = {f"answers of {name}": await self._heard(assignment, name) for name in assignment.wanted.heard}
        remembered = {"what is remembered": assignment.known.shown} if assignment.known.shown else {}
        return replace(inputs, shown={**inputs.shown, **heard, **remembered})

    async def _text(self, assignment: Assignment, inputs: Inputs, repair: str) -> str:
        """Put the question together."""
        task, activity = assignment.task, assignment.activity
        asked = properties.prompt_parameter(task, activity) or activity.documentation
        # Whoever weighs answers gets questions as such.
        by_form = not self._weighs(assignment.assistant.provider)
        return await beside_if(
            sum(map(len, (asked, repair, *inputs.shown.values()))) > SMALL,
            prompt.text,
            task,
            activity,
            inputs,
            room=BYTES_PER_TOKEN * self._rules.input_tokens,
            json_wanted=assignment.form.is_json and by_form,
            questions=questions.listed(assignment.form.questions) if by_form else "",
            repair=repair,
        )

    async def _heard(self, assignment: Assignment, assistant: str) -> str:
        """Write what an assistant has answered on the instance's own conversation, as far as there is room."""
        history, key = self._ground.history, assignment.key
        if history is None:
            raise BadDefinition(
                "property data.input.answers names assistants, and there is no transcript to read their answers from: "
                "set TRANSCRIPT_URL, or take the property out"
            )
        key = replace(key, scope=assignment.task.process_instance_id, assistant=assistant)
        # Asked first: what comes between the two is read then.
        is_late = await self._threads.unrecorded(key, assignment.task.id)
        seed = await history.seed(key)
        if is_late or not seed.is_known:
            raise HistoryUnread(f"what {assistant} has answered in this instance has yet to come to the transcript")
        return prompt.heard(assistant, [each.text for each in seed.said if each.role == "assistant"], seed.left_out)

    async def _judge(self, assignment: Assignment, facts: TurnFacts, answer: Answer) -> verdict.Verdict:
        """Turn the answer into the result, or into what the task wants for a bad one."""
        facts.answer = answer
        if answer.weighed:
            facts.thread, facts.use, facts.memory, facts.rewound = None, APART, None, ""
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
            facts.heard,
            self._origin(assignment.task, facts),
            facts.recalled,
            facts.rewound,
            {} if facts.recovered else facts.looked_up,
        )
        spin = await self._engine.has_spin()

        def complete(*, wide: bool) -> verdict.Complete:
            variables = result.variables(answer, assignment.form, assignment.assistant, story, spin=spin, wide=wide)
            traced = {name: Variable(text, "String") for name, text in spans.handed_on().items()}
            local = assignment.form.local
            return verdict.Complete(traced, variables) if local else verdict.Complete(traced | variables)

        done = complete(wide=False)
        if unsure := assignment.form.unsure(answer):
            facts.answer = replace(answer, outcome=Outcome.UNSURE)
            code = assignment.wanted.errors.get(Outcome.UNSURE)
            if code is not None:
                return verdict.on_unsure(unsure, self.case(assignment.task, facts), code, done.variables)
        return replace(done, wider=lambda: complete(wide=True))

    def _origin(self, task: Task, facts: TurnFacts) -> dict[str, str | int]:
        """Say by what the answer is found again: in the engine, and as messages in the transcript."""
        engine = self._rules.engine_name
        return {
            "task": task.id,
            "attempt": facts.attempt,
            **({"activity_instance": task.activity_instance} if task.activity_instance else {}),
            "question": message_id(engine, task.id, facts.attempt, Role.USER),
            "answer": message_id(engine, task.id, facts.attempt, Role.AGENT),
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }


async def _checked(answer: Answer, form: result.Form) -> tuple[Answer, str]:
    """Compare an answer with the form it has to have. Raises BadDefinition where the schema forbids that."""
    if not form.is_json:
        return answer, ""
    try:
        return await beside(result.checked, answer, form)
    except schema.Unusable as exc:
        raise BadDefinition(f"the schema cannot be applied to the answer, which is kept: {exc}") from exc


def _is_answer(answer: Answer) -> bool:
    """Whether it says something of what was asked; weighed answers also by a refusal of all."""
    return answer.outcome is Outcome.OK or (answer.weighed and answer.outcome is Outcome.REFUSED)


def _check_deaths(entry: Entered) -> None:
    if entry.deaths >= DEADLY:
        raise Poisonous(
            f"{entry.deaths} workers in a row ended without a word while they had this task. It may be what ends them, "
            "or have been beside it: look at their logs, and at memory"
        )
