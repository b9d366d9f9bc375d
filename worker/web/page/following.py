"""The routes that follow one process instance at its engine, from its start on, before anything was said in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import HTTPException
from starlette.responses import Response

from worker.domain.conversations import Instance
from worker.domain.processes import Moved, Process, Step
from worker.errors import ReadRefused, TaskLost, Transient
from worker.ports.transcript import TranscriptReader
from worker.web.api.grants import Grant, MayRead
from worker.web.api.routes import Id
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.page.processes import Processes, State, why_not
from worker.web.page.reading import CameOut, came_out
from worker.web.page.watching import Seen, Watching, name_of

HIDDEN = "What the engine knows of this instance now is not for you to see."


@dataclass(frozen=True, slots=True)
class Diagram:
    """A definition's BPMN."""

    definition_id: str
    xml: str


@dataclass(frozen=True, slots=True)
class Now:
    """How it stands with a process instance: what the record has, and what the engine says at this moment.

    `name` is that of its process, empty without one. `steps` are tasks that are not done. `runs` is the record's word
    where the engine has none. `problem` says why the engine may know more. `moved`: when a modification last moved
    it, null where the engine tells of none.
    """

    instance: Instance | None
    process: Process | None
    name: str
    runs: bool
    states: Mapping[str, State]
    steps: Sequence[Step]
    problem: str
    moved: Moved | None = None


@dataclass(frozen=True, slots=True)
class _Following:
    """Asks record and engine of one instance, but the engine of none that is another engine's."""

    conversations: TranscriptReader
    processes: Processes
    watching: Watching
    engine_name: str

    async def seen(self, instance_id: str, grant: Grant) -> tuple[Instance | None, Seen]:
        """Return what both know; raises HTTPException where that is nothing, or not to be seen."""
        instance = await self.conversations.instance(instance_id, within=grant.limits)
        if instance is not None and instance.engine != self.engine_name:
            return instance, Seen(problem=f"This instance is of another engine, {instance.engine}.")
        told = await self.watching.instance(instance_id)
        # Whatever the record shows: the engine may have ended it since, or have moved it to another process.
        if told.process is not None and not told.process.is_within(grant.limits):
            told = Seen(problem=HIDDEN)
        if instance is None:
            self._check(told, grant)
        return instance, told

    @staticmethod
    def _check(told: Seen, grant: Grant) -> None:
        """Raise HTTPException where neither knows of an instance what may be seen."""
        if told.process is not None:
            return
        if told.problem and not grant.limits.hides_processes:
            raise HTTPException(503, f"Nothing was said in such an instance, as far as is known. {told.problem}")
        raise HTTPException(404)

    async def now(self, instance_id: str, grant: Grant) -> Now:
        instance, told = await self.seen(instance_id, grant)
        known = told.process or instance
        name = name_of(await self.watching.names(), known.definition_key, known.tenant) if known else ""
        runs = bool(known and known.is_active)
        return Now(instance, told.process, name, runs, told.states, told.steps, told.problem, told.moved)

    async def results(self, instance_id: str, grant: Grant) -> Response:
        _, told = await self.seen(instance_id, grant)
        if told.process is None:
            return await came_out([], told.problem)
        try:
            return await came_out(await self.processes.results(instance_id))
        except (Transient, ReadRefused) as exc:
            return await came_out([], why_not(exc))

    async def diagram(self, instance_id: str, grant: Grant) -> Diagram:
        instance, told = await self.seen(instance_id, grant)
        known = instance or told.process
        if known is None or (instance is not None and instance.engine != self.engine_name):
            raise HTTPException(404, told.problem)
        try:
            return Diagram(known.definition_id, await self.processes.xml(known.definition_id))
        except TaskLost:
            raise HTTPException(404, "The engine does not have this process definition any more.") from None
        except (Transient, ReadRefused) as exc:
            raise HTTPException(503, why_not(exc)) from None


Following = Annotated[_Following, from_application(_Following)]
router = below_api(401, 403, 404, 422, 429, 503)


def extension(conversations: TranscriptReader, processes: Processes, watching: Watching, engine_name: str) -> Extension:
    """Make the extension that adds the routes."""
    return adding(router, _Following(conversations, processes, watching, engine_name))


@router.get("/instances/{instance_id}/now")
async def instance_now(grant: MayRead, following: Following, instance_id: Id) -> Now:
    """How it stands with a process instance, also before anything was said in it."""
    return await following.now(instance_id, grant)


@router.get("/instances/{instance_id}/results", response_model=CameOut)
async def instance_results(grant: MayRead, following: Following, instance_id: Id) -> Response:
    """The process variables that assistants' answers were put into, from the engine, the newest first."""
    return await following.results(instance_id, grant)


@router.get("/instances/{instance_id}/diagram")
async def instance_diagram(grant: MayRead, following: Following, instance_id: Id) -> Diagram:
    """The BPMN of a process instance, from the engine."""
    return await following.diagram(instance_id, grant)
