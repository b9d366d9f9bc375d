"""One task that a function of others handles: what it made of it → a verdict. Asks no model."""

import random

import structlog

from worker.domain.stops import Work
from worker.domain.tasks import Task
from worker.errors import BadDefinition, BadInput, WorkerError
from worker.ports.engine import Engine
from worker.ports.handlers import Handlers
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn import verdict
from worker.turn.facts import TurnFacts
from worker.turn.request import Rules
from worker.turn.stops import Stopped

log = structlog.get_logger()


class HandlerTurn:
    """Has tasks handled by `handlers`. Nothing is kept of what came of it: a function is called again after a crash."""

    def __init__(self, engine: Engine, handlers: Handlers, stopped: Stopped, rules: Rules) -> None:
        self._engine = engine
        self._handlers = handlers
        self._stopped = stopped
        self._rules = rules

    async def take(self, task: Task, facts: TurnFacts) -> verdict.Verdict:
        """Have it handled and say what the engine is to be told; as `Turn.take`."""
        facts.assistant = ""
        try:
            return await self._handled(task, facts)
        except Exception as exc:  # noqa: BLE001 - every error becomes a verdict
            facts.error = exc
            if not isinstance(exc, WorkerError):
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            return verdict.on_error(exc, self.case(task, facts), trouble_limit=self._rules.trouble_limit)

    def case(self, task: Task, facts: TurnFacts) -> verdict.Case:
        """Say what is known of the task, for a verdict."""
        return verdict.Case(
            activity=facts.activity,
            assistant="",
            retries=self._rules.retries if task.retries is None else task.retries,
            first_attempt=task.retries is None,
            roll=random.random(),  # noqa: S311 - spreads repeats, guards nothing
            keeps=False,
        )

    async def _handled(self, task: Task, facts: TurnFacts) -> verdict.Verdict:
        self._stopped.check(Work(task.topic, task.tenant_id, "", ""))
        definition = await self._engine.definition(task.process_definition_id)
        activity = definition.of(task)
        facts.activity = activity.label
        if activity.is_ours:
            raise BadDefinition(
                f"the topic {task.topic} is in HANDLERS, whose functions take no tasks with service.type: give this "
                "one a topic of its own"
            )
        if task.is_bare:
            raise BadInput("the variables of this task have too many bytes for a poll's reply; make them smaller")
        with facts.phase("handle"):
            handled = await self._handlers.handle(task, activity.properties)
        metrics.of(metrics.HANDLED, task.topic, type(handled).__name__.lower()).inc()
        return verdict.on_handled(handled, self.case(task, facts))
