"""The engine's REST API as `ports.Engine`, under one worker id."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import structlog

from worker.domain import Definition, Task, TaskState, Topic, Variable
from worker.engine import activities, definitions, info, wire
from worker.engine.cache import Cache
from worker.engine.failures import Reply, describe, refusal
from worker.engine.instances import RestInstances
from worker.engine.transport import COMPLETION, ORDINARY, Access, Transport, open_transport
from worker.errors import BadModel, Conflict, EngineDenied, EngineDown, Refused, TaskLost, TaskSuspended, WorkerError
from worker.logs import Event

DEFINITIONS_KEPT = 500
ROOTS_KEPT = 10_000
RESOURCES_KEPT = 100
LARGEST_RESOURCE = 1_000_000
DEEPEST_CALL = 100
NOBODYS_TASK = "assistant-worker-asks"
"""An id that no task has: engines make UUIDs or numbers."""
NOBODYS_TOPIC = "assistant-worker-ping"

log = structlog.get_logger()


class RestEngine:
    """Implements `ports.Engine`; see there for what each method promises. Make it by `open`."""

    def __init__(self, transport: Transport, access: Access) -> None:
        self.worker_id = access.worker_id
        self.instances = RestInstances(transport)
        self._transport = transport
        self._lock = access.lock
        self._poll = access.poll
        self._tenants = access.tenants
        self._definitions = Cache(self._load_definition, size=DEFINITIONS_KEPT)
        self._spin = Cache(self._detect_spin, size=1)
        self._roots = Cache(self._find_root, size=ROOTS_KEPT)
        self._resources = Cache(self._load_resource, size=RESOURCES_KEPT)

    @classmethod
    @asynccontextmanager
    async def open(cls, access: Access) -> AsyncIterator[Self]:
        """Make the engine's client; nothing is reached yet. Raises Permanent when the CA file cannot be read."""
        async with open_transport(access) as transport:
            engine = cls(transport, access)
            try:
                yield engine
            finally:
                for cache in (engine._definitions, engine._spin, engine._roots, engine._resources):
                    await cache.close()

    async def fetch(self, topics: Sequence[Topic], max_tasks: int, wait: timedelta = timedelta.max) -> list[Task]:
        """See `ports.Engine.fetch`. A task that cannot be read is logged and left to its lock; the others come."""
        body = wire.poll(self.worker_id, topics, max_tasks, self._lock, min(self._poll, wait), self._tenants)
        reply = await self._transport.send(
            "POST", "/external-task/fetchAndLock", body, limits=self._transport.poll_limits
        )
        if reply.status != HTTPStatus.OK:
            error = refusal(reply)
            if isinstance(error, Conflict):
                raise EngineDown(str(error)) from error
            raise Refused(f"the engine does not take our poll: {describe(reply)}")
        tasks = (_task(raw, reply.at) for raw in reply.value(list))
        return [task for task in tasks if task is not None]

    async def ping(self) -> None:
        """Return if the engine would hand out tasks: the same request as a poll, for a topic that nobody has."""
        body = wire.poll(self.worker_id, [Topic(NOBODYS_TOPIC)], 1, self._lock, timedelta(0), self._tenants)
        (await self._transport.send("POST", "/external-task/fetchAndLock", body)).value(list)

    async def extend(self, task_id: str, duration: timedelta | None = None) -> None:
        """See `ports.Engine.extend`."""
        length = wire.milliseconds(self._lock if duration is None else duration)
        reply = await self._tell(task_id, "extendLock", {"newDuration": length})
        if reply.done:
            return
        if reply.status != HTTPStatus.BAD_REQUEST:
            raise _gone_or_down(reply)
        # Suspended, run out, or somebody else's. `lock` tells the last two apart, but also takes suspended tasks.
        if (await self.state(task_id)).suspended:
            raise TaskSuspended("the task is suspended")
        reply = await self._tell(task_id, "lock", {"lockDuration": length})
        if reply.done:
            return
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise TaskLost("another worker has the task")
        raise _gone_or_down(reply)

    async def complete(self, task_id: str, variables: Mapping[str, Variable], local: Mapping[str, Variable]) -> None:
        """See `ports.Engine.complete`."""
        body: dict[str, Any] = {"variables": wire.variables(variables)}
        if local:
            body["localVariables"] = wire.variables(local)
        reply = await self._tell(task_id, "complete", body, limits=COMPLETION)
        if not reply.done:
            raise await self._why_not(task_id, reply)

    async def was_completed(self, task_id: str) -> bool:
        """See `ports.Engine.was_completed`. Engines with a history level below `full` do not remember."""
        path = f"/history/external-task-log?externalTaskId={quote(task_id, safe='')}&successLog=true"
        rows = (await self._transport.send("GET", path)).value(list)
        return any(row.get("successLog") is True for row in rows)

    async def fail(self, task_id: str, message: str, details: str, retries: int, delay: timedelta) -> None:
        """See `ports.Engine.fail`. Raises what `complete` raises.

        Without retries the delay would only keep a person waiting who sets them again.
        """
        body = {
            "errorMessage": message[: wire.LONGEST_MESSAGE],
            "errorDetails": details,
            "retries": retries,
            "retryTimeout": wire.milliseconds(delay if retries else timedelta(0)),
        }
        reply = await self._tell(task_id, "failure", body)
        if not reply.done:
            raise await self._why_not(task_id, reply)

    async def bpmn_error(self, task_id: str, code: str, message: str, variables: Mapping[str, Variable]) -> None:
        """See `ports.Engine.bpmn_error`. Raises what `complete` raises."""
        body = {
            "errorCode": code,
            "errorMessage": message[: wire.LONGEST_MESSAGE],
            "variables": wire.variables(variables),
        }
        reply = await self._tell(task_id, "bpmnError", body, limits=COMPLETION)
        if not reply.done:
            raise await self._why_not(task_id, reply)

    async def unlock(self, task_id: str) -> None:
        """See `ports.Engine.unlock`. Raises TaskLost when the task is gone."""
        reply = await self._transport.send("POST", _path(task_id, "unlock"))
        if not reply.done:
            raise _gone_or_down(reply)

    async def state(self, task_id: str) -> TaskState:
        """See `ports.Engine.state`."""
        reply = await self._transport.send("GET", _path(task_id))
        if reply.missing:
            raise TaskLost("the engine has no such task")
        said = reply.value(dict)
        return TaskState(said.get("workerId"), said.get("suspended") is True)

    async def locked(self) -> list[str]:
        """See `ports.Engine.locked`."""
        path = f"/external-task?locked=true&workerId={quote(self.worker_id, safe='')}"
        rows = (await self._transport.send("GET", path)).value(list)
        return [str(row.get("id")) for row in rows]

    async def definition(self, definition_id: str) -> Definition:
        """See `ports.Engine.definition`. Raises BadModel for XML that is none, TaskLost when it is deleted."""
        return await self._definitions.get(definition_id)

    async def deployed(self) -> list[wire.Deployed]:
        """Return every version of every definition that we may see, with its number of running instances."""
        rows = (await self._transport.send("GET", "/process-definition/statistics")).value(list)
        try:
            return [wire.read_deployed(row) for row in rows]
        except wire.Unreadable as exc:
            raise EngineDown(str(exc)) from exc

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        """See `ports.Engine.variable`."""
        path = f"{_variable_path(process_instance_id, name)}?deserializeValue=false"
        reply = await self._transport.send("GET", path)
        if reply.missing:
            return None
        if reply.status != HTTPStatus.OK:
            await self._check_instance(process_instance_id)
        return wire.read_variable(reply.value(dict))

    async def set_variable(self, process_instance_id: str, name: str, variable: Variable) -> None:
        """See `ports.Engine.set_variable`. Raises Conflict, TooLong, Refused as well."""
        path = _variable_path(process_instance_id, name)
        reply = await self._transport.send("PUT", path, wire.variable(variable))
        if reply.done:
            return
        error = refusal(reply)
        if type(error) is Refused:
            await self._check_instance(process_instance_id)
        raise error

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        """See `ports.Engine.content`. The path says instance, but finds what any execution sees."""
        return await self._transport.download(f"{_variable_path(execution_id, name)}/data", most)

    async def root_instance(self, process_instance_id: str) -> str:
        """See `ports.Engine.root_instance`."""
        return await self._roots.get(process_instance_id)

    async def resource(self, definition_id: str, name: str) -> str:
        """See `ports.Engine.resource`."""
        return await self._resources.get((definition_id, name))

    async def has_spin(self) -> bool:
        """See `ports.Engine.has_spin`. Not to be told counts as no, with a line in the log."""
        return await self._spin.get("has Spin")

    async def xml(self, definition_id: str) -> str:
        """Return a definition's BPMN as it was deployed. Raises TaskLost when it is deleted."""
        reply = await self._transport.send("GET", f"/process-definition/{quote(definition_id, safe='')}/xml")
        if reply.missing:
            raise TaskLost(f"the engine has no definition {definition_id}")
        xml = reply.value(dict).get("bpmn20Xml")
        if not isinstance(xml, str):
            raise EngineDown(f"the engine's answer has no XML of definition {definition_id}")
        return xml

    async def activity_states(self, instance_id: str) -> dict[str, activities.State]:
        """Return the state of every activity that an instance reached; nothing if the engine does not know it."""
        return await activities.states(self._transport, instance_id)

    async def info(self) -> info.EngineInfo:
        """Return version, clock and rights, for people."""
        return await info.examine(self._transport)

    async def _tell(
        self, task_id: str, verb: str, body: dict[str, Any], limits: aiohttp.ClientTimeout = ORDINARY
    ) -> Reply:
        body["workerId"] = self.worker_id
        return await self._transport.send("POST", _path(task_id, verb), body, limits=limits)

    async def _why_not(self, task_id: str, reply: Reply) -> WorkerError:
        """Find out what a refused command means: it depends on whose the task is, and the status does not say."""
        if reply.missing:
            return TaskLost("the engine has no such task")
        error = refusal(reply)
        if type(error) is not Refused:
            return error
        state = await self.state(task_id)
        if state.suspended:
            return TaskSuspended("the task is suspended")
        return error if state.worker_id == self.worker_id else TaskLost("another worker has the task, or nobody")

    async def _check_instance(self, process_instance_id: str) -> None:
        """Raise TaskLost if there is no such instance. For its variables the engine then says 500, not 404."""
        reply = await self._transport.send("GET", f"/process-instance/{quote(process_instance_id, safe='')}")
        if reply.missing:
            raise TaskLost("the engine has no such process instance")

    async def _load_definition(self, definition_id: str) -> Definition:
        xml = await self.xml(definition_id)
        return await asyncio.to_thread(definitions.read, definition_id, xml)  # large ones would hold the loop up

    async def _find_root(self, process_instance_id: str) -> str:
        """Climb from caller to caller: only the history, which may be off, knows the root."""
        found = process_instance_id
        for _ in range(DEEPEST_CALL):
            path = f"/process-instance?subProcessInstance={quote(found, safe='')}"
            callers = (await self._transport.send("GET", path)).value(list)
            if not callers:
                return found
            found = str(callers[0].get("id"))
        raise BadModel(f"the process is called through more than {DEEPEST_CALL} call activities")

    async def _load_resource(self, place: tuple[str, str]) -> str:
        definition_id, name = place
        reply = await self._transport.send("GET", f"/process-definition/{quote(definition_id, safe='')}")
        if reply.missing:
            raise TaskLost(f"the engine has no definition {definition_id}")
        deployment = f"/deployment/{quote(str(reply.value(dict).get('deploymentId')), safe='')}/resources"
        rows = (await self._transport.send("GET", deployment)).value(list)
        found = next((str(row.get("id")) for row in rows if row.get("name") == name), None)
        if found is None:
            lack = f"the deployment of {definition_id} has no resource {name!r}; deploy it with the model"
            raise BadModel(f"property data.output.schema: {lack}")
        content = await self._transport.download(f"{deployment}/{quote(found, safe='')}/data", LARGEST_RESOURCE)
        if content is None:
            raise BadModel(f"property data.output.schema: {name!r} has more than {LARGEST_RESOURCE} bytes")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise BadModel(f"property data.output.schema: {name!r} is not UTF-8 text") from exc

    async def _detect_spin(self, _: str) -> bool:
        """Complete a task that does not exist: the engine looks at types first, so without Json it says 400, not 404.

        Changes nothing and needs no right. A 400 counts only if the same without Json is a 404.
        """
        try:
            for variable_type in ("Json", "String"):
                variables = {"x": wire.variable(Variable("{}", variable_type))}
                reply = await self._tell(NOBODYS_TASK, "complete", {"variables": variables})
                if reply.missing:
                    return variable_type == "Json"
                if reply.status != HTTPStatus.BAD_REQUEST:
                    break
        except EngineDenied as exc:
            log.warning(Event.DISCOVERY_FAILED, reason=f"taking the engine for one without Spin: {exc}")
            return False
        raise EngineDown(f"cannot tell whether the engine has Spin: {describe(reply)}")


def _path(task_id: str, verb: str = "") -> str:
    return f"/external-task/{quote(task_id, safe='')}{verb and '/'}{verb}"


def _variable_path(process_instance_id: str, name: str) -> str:
    return f"/process-instance/{quote(process_instance_id, safe='')}/variables/{quote(name, safe='')}"


def _gone_or_down(reply: Reply) -> TaskLost | EngineDown:
    """Errors of commands that carry no data of ours: nothing but the engine's own trouble is left."""
    return TaskLost("the engine has no such task") if reply.missing else EngineDown(describe(reply))


def _task(raw: Any, fetched_at: float) -> Task | None:
    try:
        return wire.read_task(raw, fetched_at)
    except wire.Unreadable as exc:
        task_id = raw.get("id") if isinstance(raw, dict) else None
        log.error(Event.POLL_FAILED, task_id=task_id, reason=f"a fetched task cannot be read: {exc}")
        return None
