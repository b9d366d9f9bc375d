"""An engine of dicts: external tasks with locks, retries and a long poll, as engines of the family behave."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from tests.fakes.clock import EPOCH
from tests.fakes.past import Past
from tests.fakes.script import Script
from worker.domain.processes import Process
from worker.domain.tasks import Activity, Definition, Origin, Task, TaskState, Topic, Variable
from worker.errors import BadDefinition, TaskGone, TaskLost, TaskSuspended, TooMuch

LOCK = timedelta(seconds=30)
POLL = timedelta(seconds=10)


@dataclass(slots=True)
class Job:
    """An external task with what became of it."""

    task: Task
    worker: str | None = None
    locked_until: float = 0.0
    retries: int | None = None
    suspended: bool = False
    bytes: int = 0
    completed_by: list[str] = field(default_factory=list)
    gone: bool = False
    message: str = ""
    error_code: str = ""
    results: dict[str, Variable] = field(default_factory=dict)
    local: dict[str, Variable] = field(default_factory=dict)

    @property
    def has_incident(self) -> bool:
        return self.retries == 0


class World:
    """What all workers of one engine see."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.definitions: dict[str, Definition] = {}
        self.variables: dict[str, dict[str, Variable]] = {}
        self.resources: dict[tuple[str, str], str] = {}
        self.contents: dict[tuple[str, str], bytes] = {}
        self.shown: dict[tuple[str, str], str] = {}
        self.roots: dict[str, str] = {}
        self.processes: dict[str, Process | None] = {}
        self.past = Past()
        self.origins: dict[str, Origin | None] = {}
        self.began: dict[str, str] = {}
        self.spin = True
        self.most_bytes = 1_000_000
        self.news = asyncio.Event()
        self._numbers = count(1)

    def activity(self, name: str = "frame", *, definition: str = "decision:1:d", **changes: object) -> Activity:
        """Deploy one external task in a definition of its own, or beside others."""
        properties = {"service.type": "assistant", "service.name": "analyst"}
        usual = Activity(name, name.title(), "topic", documentation=f"Please do {name}.", properties=properties)
        activity = replace(usual, **changes)  # type: ignore[arg-type]  # fields by name
        known = self.definitions.get(definition, Definition(definition, {})).activities
        self.definitions[definition] = Definition(definition, {**known, name: activity})
        return activity

    def start(
        self, activity: str = "frame", *, instance: str = "", definition: str = "decision:1:d", **changes: object
    ) -> Job:
        """Reach this activity in an instance, by default a new one."""
        number = next(self._numbers)
        if activity not in self.definitions.get(definition, Definition(definition, {})).activities:
            self.activity(activity, definition=definition)
        deployed = self.definitions[definition].activities[activity]
        usual = Task(
            id=f"task-{number}",
            topic=deployed.topic,
            activity_id=activity,
            process_instance_id=instance or f"instance-{number}",
            process_definition_id=definition,
            process_definition_key=definition.partition(":")[0],
            execution_id=f"execution-{number}",
            created_at=datetime.fromtimestamp(EPOCH + number, UTC),
            fetched_at=0.0,
        )
        job = Job(replace(usual, **changes))  # type: ignore[arg-type]  # fields by name
        job.retries = job.task.retries
        self.variables.setdefault(job.task.process_instance_id, {}).update(job.task.variables)
        self.jobs[job.task.id] = job
        self.news.set()
        return job

    def delete(self, instance: str) -> None:
        """End an instance from outside."""
        self.variables.pop(instance, None)
        for job in self.jobs.values():
            job.gone |= job.task.process_instance_id == instance


class FakeEngine:
    """`ports.engine.Engine` under one worker id."""

    def __init__(self, world: World, worker_id: str = "worker-1") -> None:
        self.world = world
        self.worker_id = worker_id
        self.script = Script()
        self.lock = LOCK

    async def fetch(self, topics: Sequence[Topic], max_tasks: int, wait: timedelta = timedelta.max) -> list[Task]:
        await self.script.reach("fetch", tuple(topics), max_tasks, wait)
        ends_at = self._now() + min(wait, POLL).total_seconds()
        while not (due := self._due(topics)) and self._now() < ends_at:
            self.world.news.clear()
            timers = [job.locked_until for job in self.world.jobs.values() if job.locked_until > self._now()]
            try:  # a lapsed lock wakes no parked poll, but nothing here depends on that
                async with asyncio.timeout_at(min([ends_at, *timers])):
                    await self.world.news.wait()
            except TimeoutError:
                pass
        tasks = [self._hand_out(job) for job in due[:max_tasks]]
        if sum(job.bytes for job in due[:max_tasks]) > self.world.most_bytes:
            raise TooMuch("what the engine hands over has too many bytes")
        return tasks

    async def waiting(self, topic: Topic) -> int:
        await self.script.reach("waiting", topic)
        return len(self._due([topic]))

    def _due(self, topics: Sequence[Topic]) -> list[Job]:
        wanted = {topic.name: topic for topic in topics}
        return [
            job
            for job in self.world.jobs.values()
            if not job.gone
            and not job.suspended
            and job.retries != 0
            and job.locked_until <= self._now()
            and (topic := wanted.get(job.task.topic)) is not None
            and (not topic.definitions or job.task.process_definition_id in topic.definitions)
        ]

    def _hand_out(self, job: Job) -> Task:
        job.worker, job.locked_until = self.worker_id, self._now() + self.lock.total_seconds()
        known = self.world.variables.get(job.task.process_instance_id, {})
        job.task = replace(
            job.task,
            fetched_at=self._now(),
            retries=job.retries,
            variables={**job.task.variables, **known},
            size=job.bytes,
        )
        return job.task

    async def extend(self, task_id: str, duration: timedelta | None = None) -> None:
        await self.script.reach("extend", task_id, duration)
        job = self._mine(task_id)
        job.locked_until = self._now() + (self.lock if duration is None else duration).total_seconds()

    async def complete(self, task_id: str, variables: Mapping[str, Variable], local: Mapping[str, Variable]) -> None:
        await self.script.reach("complete", task_id, variables, local)
        job = self._mine(task_id)
        job.completed_by.append(self.worker_id)
        self.world.past.completed(job.task, {**variables, **local})
        job.results, job.local, job.gone = dict(variables), dict(local), True
        self.world.variables.setdefault(job.task.process_instance_id, {}).update(variables)

    async def was_completed(self, task_id: str) -> bool:
        await self.script.reach("was_completed", task_id)
        return bool(self.world.jobs[task_id].completed_by)

    async def fail(self, task_id: str, message: str, details: str, retries: int, delay: timedelta) -> None:
        await self.script.reach("fail", task_id, message, details, retries, delay)
        job = self._mine(task_id)
        job.message, job.retries, job.locked_until = message, retries, self._now() + delay.total_seconds()

    async def bpmn_error(self, task_id: str, code: str, message: str, variables: Mapping[str, Variable]) -> None:
        await self.script.reach("bpmn_error", task_id, code, message, variables)
        job = self._mine(task_id)
        job.error_code, job.message, job.gone = code, message, True

    async def unlock(self, task_id: str) -> None:
        await self.script.reach("unlock", task_id)
        job = self._there(task_id)
        if job.worker != self.worker_id:
            raise TaskLost("another worker has the task, or nobody")
        if job.locked_until > self._now():
            job.worker, job.locked_until = None, 0.0
            self.world.news.set()

    async def state(self, task_id: str) -> TaskState:
        await self.script.reach("state", task_id)
        job = self._there(task_id)
        return TaskState(job.worker, job.suspended, job.retries)

    async def bare(self, task_id: str) -> Task:
        await self.script.reach("bare", task_id)
        return replace(self._there(task_id).task, variables={}, is_bare=True)

    async def locked(self) -> list[str]:
        await self.script.reach("locked")
        return [
            job.task.id
            for job in self.world.jobs.values()
            if job.worker == self.worker_id and not job.gone and job.locked_until > self._now()
        ]

    async def definition(self, definition_id: str) -> Definition:
        await self.script.reach("definition", definition_id)
        return self.world.definitions[definition_id]

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        await self.script.reach("variable", process_instance_id, name)
        return self._instance(process_instance_id).get(name)

    async def set_variable(self, process_instance_id: str, name: str, variable: Variable) -> None:
        await self.script.reach("set_variable", process_instance_id, name, variable)
        self._instance(process_instance_id)[name] = variable

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        await self.script.reach("content", execution_id, name, most)
        content = self.world.contents.get((execution_id, name))
        return None if content is None or len(content) > most else content

    async def as_json(self, execution_id: str, name: str, most: int) -> str | None:
        await self.script.reach("as_json", execution_id, name, most)
        text = self.world.shown.get((execution_id, name), "null")
        return None if len(text) > most else text

    async def root_instance(self, process_instance_id: str) -> str:
        await self.script.reach("root_instance", process_instance_id)
        return self.world.roots.get(process_instance_id, process_instance_id)

    async def origin(self, process_instance_id: str) -> Origin | None:
        await self.script.reach("origin", process_instance_id)
        return self.world.origins.get(process_instance_id, Origin())

    async def began_at(self, process_instance_id: str) -> str:
        await self.script.reach("began_at", process_instance_id)
        return self.world.began.get(process_instance_id, "")

    async def resource(self, definition_id: str, name: str) -> str:
        await self.script.reach("resource", definition_id, name)
        if (definition_id, name) not in self.world.resources:
            raise BadDefinition(f"the deployment of {definition_id} has no resource {name!r}")
        return self.world.resources[definition_id, name]

    async def has_spin(self) -> bool:
        await self.script.reach("has_spin")
        return self.world.spin

    async def ping(self) -> None:
        await self.script.reach("ping")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _there(self, task_id: str) -> Job:
        job = self.world.jobs.get(task_id)
        if job is None or job.gone:
            raise TaskGone("the engine has no such task")
        return job

    def _mine(self, task_id: str) -> Job:
        job = self._there(task_id)
        if job.suspended:
            raise TaskSuspended("the task is suspended")
        if job.worker != self.worker_id:
            raise TaskLost("another worker has the task, or nobody")
        return job

    def _instance(self, process_instance_id: str) -> dict[str, Variable]:
        if process_instance_id not in self.world.variables:
            raise TaskLost("the engine has no such process instance")
        return self.world.variables[process_instance_id]


class FakeTopics:
    """`ports.engine.Topics`: one topic, whatever comes on it, unless the test says otherwise."""

    def __init__(self, *topics: Topic) -> None:
        self.topics = topics or (Topic("topic"),)
        self.strange: set[str] = set()
        self.suspected = 0
        self.asking_nobody: frozenset[str] = frozenset()

    async def without_models(self) -> frozenset[str]:
        return self.asking_nobody

    async def current(self) -> tuple[Topic, ...]:
        return self.topics

    def next_look(self) -> timedelta:
        return timedelta.max

    def serves(self, task: Task) -> bool:
        return task.id not in self.strange

    def suspect(self) -> None:
        self.suspected += 1

    async def definitions(self, topic: str) -> tuple[str, ...]:  # noqa: ARG002 - nobody needs them apart
        return ()
