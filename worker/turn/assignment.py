"""What one task wants, out of its model, its properties and its assistant's spec."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.budgets import Counter, Scope
from worker.domain.deployed import is_deployed
from worker.domain.documents import Attachment
from worker.domain.memory import MemoryWish
from worker.domain.questions import DecisionQuestion
from worker.domain.stops import Work
from worker.domain.tasks import Activity, Definition, Task, thread_variable_name
from worker.domain.threads import SHARED_SCOPE, TASK_SCOPE, UNSTAMPED, Answer, Assistant, Stamps, ThreadKey
from worker.errors import BadDefinition, BadInput, UnknownAssistant
from worker.modelling import properties, questions, result, schema
from worker.modelling.properties import TaskProperties
from worker.ports.engine import Engine
from worker.ports.providers import Assistants
from worker.runtime.beside import beside
from worker.turn.facts import TurnFacts
from worker.turn.limits import Seat
from worker.turn.recalling import NO_MEMORY, NOTHING, Known
from worker.turn.request import Ground, Place, Request
from worker.turn.thread_variable import ThreadVariable

LONGEST_NAME = 200
"""Characters of an assistant's name in log lines and incidents: a model may call for anything."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one task wants, found out and checked. The assistant's schema and timeout are the ones that hold here.

    `seat` is what it has of its provider's limits, `known` what is remembered of whom it is about, `attached` what goes
    along with its question, `words` what the assistant's files are searched for, `stamps` what tells it and the key's
    instance from earlier ones of the same ids; `flaw` is as in `Request`.
    """

    task: Task
    activity: Activity
    wanted: TaskProperties
    assistant: Assistant
    form: result.Form
    key: ThreadKey
    variable: ThreadVariable | None
    seat: Seat
    stamps: Stamps = UNSTAMPED
    counters: tuple[Counter, ...] = ()
    known: Known = NOTHING
    attached: tuple[Attachment, ...] = ()
    words: Callable[[], str] | None = None
    flaw: BadDefinition | None = None

    @property
    def work(self) -> Work:
        """What its call is of."""
        return self.work_at(self.assistant.provider)

    def work_at(self, provider: str) -> Work:
        """What a call at this provider would be of."""
        return Work(self.task.topic, self.task.tenant_id, self.assistant.name, provider)

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
        chosen = (self.assistant, place, self.wanted.calls, fact, self.counters)
        return Request(
            task.id,
            self.key,
            text,
            *chosen,
            needs_memory=self.wanted.needs_memory,
            recalled=self.known.recalled,
            remember=self.known.remember,
            fits=self._fits if self.form.is_json else None,
            attached=self.attached,
            words=self.words,
            began_at=self.stamps.instance,
            flaw=self.flaw,
        )

    def _fits(self, answer: Answer) -> bool:
        """Whether an answer has the form that the task asks for. Not for the loop."""
        try:
            return not result.checked(answer, self.form)[1]
        except schema.Unusable:
            return False


class Assigning:
    """Finds it out."""

    def __init__(self, engine: Engine, assistants: Assistants, ground: Ground) -> None:
        self._engine = engine
        self._assistants = assistants
        self._ground = ground

    async def of(self, task: Task, definition: Definition, facts: TurnFacts, seat: Seat) -> Assignment:
        """Find out what the task wants, from its model, its properties and its assistant's spec."""
        activity = definition.of(task)
        facts.activity = activity.label
        if task.is_bare and (activity.loops or "assistant" in activity.parameters):
            raise too_much()  # without its variables nobody knows on which thread, or for which iteration
        # Before the properties are checked: where one is wrong, the incident still says which assistant was meant.
        facts.assistant = activity.said("service.name")[:LONGEST_NAME] or facts.assistant
        wanted = properties.read(task, activity, definition, with_schema=False)
        facts.assistant = wanted.assistant[:LONGEST_NAME]
        facts.retries, facts.retry_delay = wanted.retries, wanted.retry_delay
        assistant = await self._spec(task, wanted)
        facts.version, facts.provider = assistant.version, assistant.provider
        if wanted.timeout is not None:
            assistant = replace(assistant, timeout=wanted.timeout)
        key, variable = await self._place(task, wanted, begins=activity.begins)
        facts.key = key
        form = result.Form.of(wanted, assistant.output_schema)
        known = await self._known(task, activity, properties.check_memory(wanted, assistant.memory))
        facts.recalled = known.recalled
        counters = await self._counters(task, assistant)
        stamps = await self._stamps(task, key)
        return Assignment(task, activity, wanted, assistant, form, key, variable, seat, stamps, counters, known)

    async def _stamps(self, task: Task, key: ThreadKey) -> Stamps:
        """Have what tells the task and its instance from earlier ones; nothing where ids are no mere numbers."""
        if not task.process_instance_id.isdecimal():
            return UNSTAMPED
        began_at = await self._engine.began_at(key.scope) if key.scope.isdecimal() else ""
        return Stamps(task.created_at.isoformat(), began_at)

    async def _known(self, task: Task, activity: Activity, wish: MemoryWish) -> Known:
        """Recall before anybody could wait for the thread; not where nobody has asked for it."""
        if not wish.subject:
            return NOTHING
        recalling = self._ground.recalling
        return NO_MEMORY if recalling is None else await recalling.of(task, activity, wish)

    async def _spec(self, task: Task, wanted: TaskProperties) -> Assistant:
        if is_deployed(wanted.assistant):
            return await self._assistants.deployed(wanted.assistant, task.process_definition_id, task.tenant_id)
        try:
            return self._assistants.find(wanted.assistant, wanted.version)
        except UnknownAssistant as exc:
            raise await self._ground.fleet.judge(exc, wanted.assistant, wanted.version) from None

    async def _counters(self, task: Task, assistant: Assistant) -> tuple[Counter, ...]:
        """Say which budgets its calls count for."""
        charging = self._ground.charging
        if charging is None:
            return ()
        instance = task.process_instance_id
        root = await self._engine.root_instance(instance) if charging.wants_root else instance
        names: dict[Scope, str] = {
            "assistant": assistant.name,
            "tenant": task.tenant_id or "",
            "root": root,
            "instance": instance,
            "task": task.id,
        }
        return await charging.counters(names)

    async def with_schema(self, assignment: Assignment) -> Assignment:
        """Have the schema or questions that hold here; not before the journal knows the task, as they may end us."""
        task, wanted = assignment.task, assignment.wanted
        if wanted.questions is not None:
            asked = await self._questions(task, wanted.questions)
            form = result.Form.asking(wanted, asked)
            assistant = replace(assignment.assistant, output_schema=form.schema, questions=tuple(asked))
            return replace(assignment, assistant=assistant, form=form)
        schema = await self._schema(task, wanted)
        if schema is None:
            return assignment
        assistant = replace(assignment.assistant, output_schema=schema)
        return replace(assignment, assistant=assistant, form=result.Form.of(wanted, schema))

    async def _questions(self, task: Task, said: Sequence[DecisionQuestion] | str) -> Sequence[DecisionQuestion]:
        if not isinstance(said, str):
            return said
        if questions.is_inline(said):
            return await beside(questions.read, said, "property data.questions")
        text = await self._file(task, said, "data.questions")
        return await beside(questions.read, text, f"the resource {said!r} in property data.questions")

    async def _schema(self, task: Task, wanted: TaskProperties) -> Mapping[str, Any] | None:
        if not isinstance(wanted.schema, str):
            return wanted.schema
        if properties.is_inline(wanted.schema):
            return await beside(properties.parsed_schema, wanted.schema, "property data.output.schema")
        text = await self._file(task, wanted.schema, "data.output.schema")
        place = f"the resource {wanted.schema!r} in property data.output.schema"
        return await beside(properties.parsed_schema, text, place)

    async def _file(self, task: Task, name: str, kind: str) -> str:
        """Read a file of the task's deployment, which this property names. Raises BadDefinition."""
        try:
            return await self._engine.resource(task.process_definition_id, name)
        except BadDefinition as exc:
            raise BadDefinition(f"property {kind}: {exc}") from None

    async def _place(
        self, task: Task, wanted: TaskProperties, *, begins: bool
    ) -> tuple[ThreadKey, ThreadVariable | None]:
        """Return the thread's key, and the variable that keeps the thread, None where nothing needs to."""

        def key(scope: str) -> ThreadKey:
            return ThreadKey(self._ground.rules.engine_name, scope, wanted.assistant, task.tenant_id)

        def variable(instance: str, scope: str, *, shared: bool = False, begins: bool = False) -> ThreadVariable:
            name = thread_variable_name(wanted.assistant, by_business_key=shared)
            return ThreadVariable(self._engine, task, instance, name, key(scope), self._ground.history, shared, begins)

        instance = task.process_instance_id
        match wanted.sharing:
            case "instance":
                return key(instance), variable(instance, instance, begins=begins)
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


def too_much() -> BadInput:
    """Say what is wrong with a task that came without its variables."""
    return BadInput(
        "the variables that come with this task have too many bytes for a poll's reply, so that it came without them. "
        "Make the largest smaller or remove it (a file's content does not count), and in later versions of the model "
        "name in data.input what is needed, at each task of this topic"
    )
