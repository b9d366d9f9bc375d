"""The engine's REST API as `ports.engine.Engine`, under one worker id."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import structlog

from worker.domain.processes import Calls, Incident, Moved, Process, Result, Step
from worker.domain.tasks import LONGEST_MESSAGE, Definition, Origin, Task, TaskState, Topic, Variable
from worker.engine import activities, calls, definitions, info, kept, processes, wire
from worker.engine.cache import Cache
from worker.engine.deployments import RestDeployments
from worker.engine.failures import Reply, describe, refusal
from worker.engine.instances import RestInstances
from worker.engine.lists import Lists
from worker.engine.reads import LARGE, Reads, variable_path
from worker.engine.receivers import RestReceivers
from worker.engine.rights import RestRights
from worker.engine.runs import RestRuns
from worker.engine.sources import RestSources
from worker.engine.transport import COMPLETION, ORDINARY, Connection, Transport, open_transport
from worker.errors import (
    BadDefinition,
    Conflict,
    EngineDenied,
    EngineDown,
    Forbidden,
    ReadRefused,
    Refused,
    TaskGone,
    TaskLost,
    TaskSuspended,
    TooMuch,
    Unanswered,
    WorkerError,
)
from worker.runtime.beside import beside, beside_if
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

DEFINITIONS_KEPT = 500
ROOTS_KEPT = 10_000
ORIGINS_KEPT = 10_000
RESOURCES_KEPT = 100
USES_KEPT = 10_000
LARGEST_POLL = 16 * 1024 * 1024
"""Bytes of a poll's reply that are taken in. As objects of Python small variables take ten times as much."""
NOBODYS_TASK = "assistant-worker-asks"
"""An id that no task has: engines make UUIDs or numbers."""
NOBODYS_TOPIC = "assistant-worker-ping"

log = structlog.get_logger()


class RestEngine:
    """Implements `ports.engine.Engine`; see there for what each method promises. Make it by `open`."""

    def __init__(self, transport: Transport, connection: Connection) -> None:
        self.worker_id = connection.worker_id
        self._lists = Lists(transport)
        self.instances = RestInstances(transport, self._lists)
        self.deployments = RestDeployments(transport, self._lists)
        self.runs = RestRuns(transport, self._lists)
        self.rights = RestRights(transport, self._lists)
        self.sources = RestSources(transport, self._lists, self.ping)
        self._transport = transport
        self._reads = Reads(transport, self.ping)
        self.receivers = RestReceivers(transport, self._lists, self._reads, self.ping)
        self._lock = connection.lock
        self._poll = connection.poll
        self._tenants = connection.tenants
        self._also = connection.also
        self._definitions = Cache(self._load_definition, size=DEFINITIONS_KEPT)
        self._spin = Cache(self._detect_spin, size=1)
        self._roots = Cache(self._reads.root, size=ROOTS_KEPT)
        self._origins = Cache(self._load_origin, size=ORIGINS_KEPT)
        self._resources = Cache(self._load_resource, size=RESOURCES_KEPT)
        self._uses = Cache(self._load_uses, size=USES_KEPT)

    @classmethod
    @asynccontextmanager
    async def open(cls, connection: Connection) -> AsyncIterator[Self]:
        """Make the engine's client; nothing is reached yet. Raises Permanent when the CA file cannot be read."""
        async with open_transport(connection) as transport:
            engine = cls(transport, connection)
            try:
                yield engine
            finally:
                # While the transport is still open: a load that goes on behind its end would meet a closed session.
                for cache in (
                    engine._definitions,
                    engine._spin,
                    engine._roots,
                    engine._origins,
                    engine._resources,
                    engine._uses,
                ):
                    await cache.close()

    def use(self, connection: Connection) -> None:
        """Be who this says, see `Transport.use`."""
        self._transport.use(connection)

    async def fetch(self, topics: Sequence[Topic], max_tasks: int, wait: timedelta = timedelta.max) -> list[Task]:
        """See `ports.engine.Engine.fetch`. What cannot be read is logged and left to its lock; the others come."""
        wait = min(self._poll, wait)
        body = wire.poll(self.worker_id, topics, max_tasks, self._lock, wait, self._tenants, self._also)
        reply = await self._transport.send(
            "POST", "/external-task/fetchAndLock", body, limits=self._transport.poll_limits, most=LARGEST_POLL
        )
        if reply.too_long:
            raise TooMuch(f"what the engine hands over has more than {LARGEST_POLL} bytes, mostly variables")
        if reply.status != HTTPStatus.OK:
            error = refusal(reply)
            if isinstance(error, Conflict):
                # Another transaction was faster, and nothing is locked: no task of this poll is to blame for that.
                raise EngineDown(str(error)) from error
            raise Refused(f"the engine does not take our poll: {describe(reply)}")
        rows = await _listed(reply)
        # An equal share for each: only their sum is bounded (`loop/slots.py`), and the parsed rows do not tell their
        # bytes.
        size = len(reply.body) // max(1, len(rows))
        tasks = (_task(raw, reply.at, size) for raw in rows)
        return [task for task in tasks if task is not None]

    async def waiting(self, topic: Topic) -> int:
        """See `ports.engine.Backlog.waiting`. A request for each definition that the topic is limited to."""
        return sum([await self._count(wire.waiting(topic, each, self._tenants)) for each in topic.definitions or ("",)])

    async def ping(self) -> None:
        """Return if the engine would hand out tasks: the same request as a poll, for a topic that nobody has."""
        body = wire.poll(self.worker_id, [Topic(NOBODYS_TOPIC)], 1, self._lock, timedelta(0), self._tenants)
        (await self._transport.send("POST", "/external-task/fetchAndLock", body)).value(list)

    async def extend(self, task_id: str, duration: timedelta | None = None) -> None:
        """See `ports.engine.Engine.extend`."""
        length = wire.milliseconds(self._lock if duration is None else duration)
        reply = await self._tell(task_id, "extendLock", {"newDuration": length})
        if reply.done:
            return
        if reply.status != HTTPStatus.BAD_REQUEST:
            raise await self._gone_or_refused(reply)
        # Suspended, run out, or somebody else's. `lock` tells the last two apart, but also takes suspended tasks.
        if (await self.state(task_id)).suspended:
            raise TaskSuspended("the task is suspended")
        reply = await self._tell(task_id, "lock", {"lockDuration": length})
        if reply.done:
            return
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise TaskLost("another worker has the task")
        raise await self._gone_or_refused(reply)

    async def complete(self, task_id: str, variables: Mapping[str, Variable], local: Mapping[str, Variable]) -> None:
        """See `ports.engine.Engine.complete`."""
        body: dict[str, Any] = {"variables": wire.variables(variables)}
        if local:
            body["localVariables"] = wire.variables(local)
        await self._conclude(task_id, "complete", body, limits=COMPLETION)

    async def was_completed(self, task_id: str) -> bool:
        """See `ports.engine.Engine.was_completed`. Engines with a history level below `full` do not remember."""
        wanted = {"externalTaskId": task_id, "successLog": "true"}
        rows = self._lists.rows("/history/external-task-log", wanted)
        return any([row.get("successLog") is True async for row in rows])

    async def fail(self, task_id: str, message: str, details: str, retries: int, delay: timedelta) -> None:
        """See `ports.engine.Engine.fail`. Raises what `complete` raises.

        Without retries the delay would only keep a person waiting who sets them again.
        """
        body = {
            "errorMessage": message[:LONGEST_MESSAGE],
            "errorDetails": details,
            "retries": retries,
            "retryTimeout": wire.milliseconds(delay if retries else timedelta(0)),
        }
        await self._conclude(task_id, "failure", body)

    async def bpmn_error(self, task_id: str, code: str, message: str, variables: Mapping[str, Variable]) -> None:
        """See `ports.engine.Engine.bpmn_error`. Raises what `complete` raises."""
        body = {
            "errorCode": code,
            "errorMessage": message[:LONGEST_MESSAGE],
            "variables": wire.variables(variables),
        }
        # What stands behind the event that catches it runs before the reply, as behind a completion.
        await self._conclude(task_id, "bpmnError", body, limits=COMPLETION)

    async def unlock(self, task_id: str) -> None:
        """See `ports.engine.Engine.unlock`. Raises TaskGone."""
        # Engines unlock for anybody. To extend a lock they ask whose it is, by their own clock; and from then on it is
        # ours for longer than the next request may take.
        reply = await self._tell(task_id, "extendLock", {"newDuration": wire.milliseconds(self._lock)})
        if reply.status == HTTPStatus.BAD_REQUEST:
            state = await self.state(task_id)
            if state.worker_id != self.worker_id:
                raise TaskLost("another worker has the task, or nobody")
            if not state.suspended:
                return  # it has run out, and the task may be another's with the next request
        elif not reply.done:
            raise await self._gone_or_refused(reply)
        reply = await self._command("POST", _path(task_id, "unlock"))
        if not reply.done:
            raise await self._gone_or_refused(reply)

    async def state(self, task_id: str) -> TaskState:
        """See `ports.engine.Engine.state`."""
        said = await self._row(task_id)
        return TaskState(said.get("workerId"), said.get("suspended") is True, said.get("retries"))

    async def bare(self, task_id: str) -> Task:
        """See `ports.engine.Engine.bare`. Raises Refused where it is not to be read."""
        fetched_at = monotonic()
        task = _task(await self._row(task_id), fetched_at)
        if task is None:
            raise Refused("the task cannot be read")
        return replace(task, is_bare=True)

    async def locked(self) -> list[str]:
        """See `ports.engine.Engine.locked`."""
        wanted = {"locked": "true", "workerId": self.worker_id}
        return [str(row.get("id")) async for row in self._lists.rows("/external-task", wanted)]

    async def definition(self, definition_id: str) -> Definition:
        """See `ports.engine.Engine.definition`. Raises BadDefinition for XML that is none, TaskLost if it is gone."""
        return await self._definitions.get(definition_id)

    async def deployed(self) -> list[wire.Deployed]:
        """Return every version of every definition that we may see, with its number of running instances."""
        # The one list that is not read by `Lists`: engines know neither maxResults nor firstResult on this path.
        reply = await self._transport.send("GET", "/process-definition/statistics")
        rows = await _listed(reply)
        try:
            return [wire.read_deployed(row) for row in rows]
        except wire.Unreadable as exc:
            raise EngineDown(str(exc)) from exc

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        """See `ports.engine.Engine.variable`."""
        return await self._reads.variable(process_instance_id, name)

    async def set_variable(self, process_instance_id: str, name: str, variable: Variable) -> None:
        """See `ports.engine.Engine.set_variable`. Raises Conflict, TooLong, Refused as well."""
        reply = await self._command("PUT", variable_path(process_instance_id, name), wire.variable(variable))
        if reply.done:
            return
        error = refusal(reply)
        # Of an instance that is over the engine says 500 here, as of any other fault.
        if type(error) is Refused:
            await self._reads.check_instance(process_instance_id)
        raise error

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        """See `ports.engine.Engine.content`."""
        return await self._reads.content(execution_id, name, most)

    async def as_json(self, execution_id: str, name: str, most: int) -> str | None:
        """See `ports.engine.Engine.as_json`."""
        return await self._reads.as_json(execution_id, name, most)

    async def root_instance(self, process_instance_id: str) -> str:
        """See `ports.engine.Engine.root_instance`."""
        return await self._roots.get(process_instance_id)

    async def origin(self, process_instance_id: str) -> Origin | None:
        """See `ports.engine.Engine.origin`."""
        try:
            return await self._origins.get(process_instance_id)
        except ReadRefused:  # for want of a right or of a history, which may be mended
            return None

    async def began_at(self, process_instance_id: str) -> str:
        """See `ports.engine.Engine.began_at`. Asked each time: what was known may be of another, see there."""
        return await self._reads.began_at(process_instance_id)

    async def resource(self, definition_id: str, name: str) -> str:
        """See `ports.engine.Engine.resource`."""
        return await self._resources.get((definition_id, name))

    async def has_spin(self) -> bool:
        """See `ports.engine.Engine.has_spin`. Not to be told counts as no, with a line in the log."""
        return await self._spin.get("has Spin")

    async def xml(self, definition_id: str) -> str:
        """Return a definition's BPMN as it was deployed. Raises ReadRefused, and TaskLost when it is deleted."""
        return await self._reads.xml(definition_id)

    async def activity_states(self, instance_id: str) -> dict[str, activities.State]:
        """Return the state of every activity that an instance reached; nothing if the engine does not know it."""
        return await activities.states(self._lists, instance_id)

    async def running(self, ids: Collection[str]) -> dict[str, bool]:
        """Tell which of these instances run and which are over, as far as the history or what runs knows them."""
        past = await self.instances.ended(ids)
        found = {each: ended is None for each, ended in past.items()}
        return found | dict.fromkeys(await self.instances.running(set(ids) - found.keys()), True)

    async def keys(self, definitions: Collection[str], topics: Collection[str]) -> set[str]:
        """Return the ids that these definitions have in their models, of those that use one of these topics.

        What cannot be read is left out. Raises EngineDown.
        """
        found: set[str] = set()
        for each in definitions:
            with suppress(TaskLost, ReadRefused, Unanswered):
                key, used = await self._uses.get(each)
                found |= {key} if used.intersection(topics) else set()
        return found

    async def processes(self, ids: Collection[str]) -> dict[str, Process]:
        """Return what is known of instances, ended ones too where the history has them. Raises EngineDown."""
        return await processes.found(self._lists, ids)

    async def going_on(self, keys: Collection[str]) -> list[Process]:
        """Return running instances of these definitions, the newest first, so many at most. Raises EngineDown."""
        return await processes.going_on(self._lists, keys)

    async def incidents(self, keys: Collection[str]) -> list[Incident]:
        """Return the open incidents of these definitions, the newest first, so many at most. Raises EngineDown."""
        return await processes.incidents(self._lists, keys)

    async def failing(self, ids: Collection[str]) -> set[str]:
        """Tell which of these instances have incidents. Raises EngineDown."""
        return await processes.failing(self._lists, ids)

    async def steps(self, instance_id: str) -> list[Step]:
        """Tell what the tasks of an instance wait for, those with incidents first. Raises EngineDown."""
        return await processes.steps(self._lists, instance_id)

    async def moved(self, instance_id: str) -> Moved | None:
        """Return when somebody last moved an instance by a modification; None if the engine tells of none."""
        return await processes.moved(self._lists, instance_id)

    async def names(self) -> dict[tuple[str, str | None], str]:
        """Return the names of processes by key and tenant, as their newest versions have them. Raises EngineDown."""
        return await processes.names(self._lists)

    async def results(self, instance_id: str) -> list[Result]:
        """Return what answers were put into, the newest first, so many at most. Raises EngineDown."""
        return await self.instances.results(instance_id)

    async def called(self, instance_id: str) -> Calls:
        """Return the instances that one called, at any depth."""
        return await calls.below(self._lists, instance_id)

    async def history(self) -> kept.Kept:
        """Tell what the history keeps, as far as what runs now shows it; for people."""
        return await kept.kept(self._lists)

    async def info(self, also: info.Rights = MappingProxyType({})) -> info.EngineInfo:
        """Return version, clock and rights, for people; `also` are rights that are not always needed."""
        return await info.examine(self._transport, {**info.RIGHTS, **also})

    async def _row(self, task_id: str) -> dict[str, Any]:
        row = await self._reads.get(_path(task_id), "the task", dict)
        if row is None:
            raise TaskGone("the engine has no such task")
        return row

    async def _count(self, wanted: dict[str, Any]) -> int:
        count = (await self._transport.send("POST", "/external-task/count", wanted)).value(dict).get("count")
        if not isinstance(count, int):
            raise EngineDown("the engine's answer has no count")
        return count

    async def _conclude(
        self, task_id: str, verb: str, body: dict[str, Any], limits: aiohttp.ClientTimeout = ORDINARY
    ) -> None:
        """Tell what ends our work on a task; raises why the engine does not take it."""
        reply = await self._tell(task_id, verb, body, limits)
        if not reply.done:
            raise await self._why_not(task_id, reply)

    async def _tell(
        self, task_id: str, verb: str, body: dict[str, Any], limits: aiohttp.ClientTimeout = ORDINARY
    ) -> Reply:
        body["workerId"] = self.worker_id
        return await self._command("POST", _path(task_id, verb), body, limits=limits)

    async def _command(
        self, method: str, path: str, body: Any = None, limits: aiohttp.ClientTimeout = ORDINARY
    ) -> Reply:
        """Send what concerns one task. A right that is missing there says nothing of others: the probe decides."""
        try:
            return await self._transport.send(method, path, body, limits=limits)
        except EngineDenied as exc:
            await self.ping()
            raise Forbidden(f"{str(exc).rstrip('.')}; grant it to the worker's user") from exc

    async def _gone_or_refused(self, reply: Reply) -> WorkerError:
        """Say what a refused command means that carries no data of ours; raise EngineDown for an outage."""
        if reply.missing:
            return TaskGone("the engine has no such task")
        error = refusal(reply)
        # What every request meets is an outage, and the probe raises it.
        if not isinstance(error, Conflict):
            await self.ping()
        return error

    async def _why_not(self, task_id: str, reply: Reply) -> WorkerError:
        """Find out what a refused command means: it depends on whose the task is, and the status does not say."""
        if reply.missing:
            return TaskGone("the engine has no such task")
        error = refusal(reply)
        if type(error) is not Refused:
            return error
        try:
            state = await self.state(task_id)
        # Nobody can tell whose the task is: what was said to the command counts.
        except (ReadRefused, Unanswered):
            return error
        if state.suspended:
            return TaskSuspended("the task is suspended")
        return error if state.worker_id == self.worker_id else TaskLost("another worker has the task, or nobody")

    async def _load_definition(self, definition_id: str) -> Definition:
        xml, key = await self.xml(definition_id), await self._reads.key(definition_id)
        return await beside(definitions.read, definition_id, xml, key)  # large ones would hold the loop up

    async def _load_origin(self, process_instance_id: str) -> Origin:
        past = await self._reads.past(process_instance_id)
        with suppress(BadDefinition, TaskLost):
            # A start event that the model does not have any more, as the instance was migrated, tells nothing.
            if past.began_at in (await self.definition(past.definition_id)).inner:
                return Origin(past.forerunners, past.began_at)
        return Origin(past.forerunners)

    async def _load_uses(self, definition_id: str) -> tuple[str, frozenset[str]]:
        """Return a definition's id in its model, and the topics of its external tasks: none where it cannot be read."""
        try:
            known = await self._definitions.get(definition_id)
        except BadDefinition:
            return "", frozenset()
        return await self._reads.key(definition_id), frozenset(each.topic for each in known.activities.values())

    async def _load_resource(self, place: tuple[str, str]) -> str:
        return await self._reads.resource(*place)

    async def _detect_spin(self, _: str) -> bool:
        """Complete a task that does not exist: the engine looks at types first, so without Json it says 400, not 404.

        Changes nothing and needs no right. A 400 counts only if the same without Json is a 404.
        """
        try:
            # In this order: where Spin is, one request tells.
            for variable_type in ("Json", "String"):
                variables = {"x": wire.variable(Variable("{}", variable_type))}
                reply = await self._tell(NOBODYS_TASK, "complete", {"variables": variables})
                if reply.missing:
                    return variable_type == "Json"
                if reply.status != HTTPStatus.BAD_REQUEST:
                    break
        except (EngineDenied, Forbidden) as exc:
            log.warning(Event.DISCOVERY_FAILED, reason=f"taking the engine for one without Spin: {exc}")
            return False
        raise EngineDown(f"cannot tell whether the engine has Spin: {describe(reply)}")


def _path(task_id: str, verb: str = "") -> str:
    return f"/external-task/{quote(task_id, safe='')}{verb and '/'}{verb}"


async def _listed(reply: Reply) -> list[Any]:
    return await beside_if(len(reply.body) > LARGE, reply.value, list)


def _task(raw: Any, fetched_at: float, size: int = 0) -> Task | None:
    try:
        return wire.read_task(raw, fetched_at, size)
    except wire.Unreadable as exc:
        task_id = raw.get("id") if isinstance(raw, dict) else None
        log.error(Event.POLL_FAILED, task_id=task_id, reason=f"a fetched task cannot be read: {exc}")
        return None
