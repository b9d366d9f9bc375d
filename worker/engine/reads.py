"""Reads made for one task: what the engine refuses there is that task's trouble, unless the probe says otherwise."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from worker.domain import foreign
from worker.domain.tasks import Variable
from worker.engine import definitions, wire
from worker.engine.failures import Reply, describe, refusal
from worker.engine.transport import Transport
from worker.errors import BadDefinition, Conflict, EngineDenied, EngineDown, ReadRefused, TaskLost, Unanswered
from worker.runtime.beside import beside_if

LARGEST_RESOURCE = 1_000_000
"""Bytes of a schema that is deployed with a model."""
LARGE = 100_000
"""Bytes of JSON that take more than a few milliseconds to read."""
DEEPEST_CALL = 100
"""Callers, one above the other, that are looked for; each is a request."""
MOST_RESTARTS = 10
"""So many back; each is a request."""

T = TypeVar("T")
J = TypeVar("J", list[Any], dict[str, Any])


@dataclass(frozen=True, slots=True)
class Past:
    """An instance in the history: those that it was restarted from, where it began, and of which definition it is."""

    forerunners: tuple[str, ...]
    began_at: str
    definition_id: str


class Reads:
    """Reads from one engine. `probe` returns if the engine works for us, and raises EngineDown if not.

    All methods may raise ReadRefused, Unanswered, Conflict and EngineDown.
    """

    def __init__(self, transport: Transport, probe: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._probe = probe

    async def get(self, path: str, what: str, kind: type[J]) -> J | None:
        """Return the JSON of a success, None on the engine's word that there is no such thing; `what` is for people."""

        async def asked() -> J | None:
            reply = await self._transport.send("GET", path)
            if reply.missing:
                return None
            if reply.status != HTTPStatus.OK:
                raise _Refusal(reply)
            return reply.value(kind)

        return await self._judged(asked, what)

    async def download(self, path: str, most: int, what: str) -> bytes | None:
        """Return a content; None if it has more than `most` bytes."""

        async def asked() -> bytes | None:
            reply = await self._transport.download(path, most)
            if not isinstance(reply, Reply):
                return reply
            raise _Refusal(reply)

        return await self._judged(asked, what)

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        """See `ports.engine.Engine.variable`."""
        try:
            path = f"{variable_path(process_instance_id, name)}?deserializeValue=false"
            said = await self.get(path, _called(name), dict)
        except ReadRefused:
            await self.check_instance(process_instance_id)
            raise
        if said is not None and "value" not in said:
            raise _no_variable(name)
        return None if said is None else wire.read_variable(said)

    async def check_instance(self, process_instance_id: str) -> None:
        """Raise TaskLost if there is no such instance. For its variables the engine then says 500, not 404."""
        path = f"/process-instance/{quote(process_instance_id, safe='')}"
        if await self.get(path, "the process instance", dict) is None:
            raise TaskLost("the engine has no such process instance")

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        """See `ports.engine.Engine.content`. The path says instance, but finds what any execution sees."""
        return await self.download(f"{variable_path(execution_id, name)}/data", most, _called(name))

    async def as_json(self, execution_id: str, name: str, most: int) -> str | None:
        """See `ports.engine.Engine.as_json`. Finds what `content` finds."""
        path = f"{variable_path(execution_id, name)}?deserializeValue=true"
        body = await self.download(path, most, _called(name))
        if body is None:
            return None
        try:
            return await beside_if(len(body) > LARGE, _value_in, body)
        except ValueError as exc:
            raise _no_variable(name) from exc

    async def key(self, definition_id: str) -> str:
        """Return the id that the process has in its model. Raises TaskLost when the definition is deleted."""
        return definitions.key_in(definition_id) or str((await self._definition(definition_id)).get("key"))

    async def xml(self, definition_id: str) -> str:
        """Return a definition's BPMN as it was deployed. Raises TaskLost when it is deleted."""
        path = f"/process-definition/{quote(definition_id, safe='')}/xml"
        said = await self.get(path, f"the definition {definition_id}", dict)
        if said is None:
            raise TaskLost(f"the engine has no definition {definition_id}")
        xml = said.get("bpmn20Xml")
        if not isinstance(xml, str):
            raise ReadRefused(f"the definition {definition_id} cannot be read: the engine's answer has no XML of it")
        if definitions.is_readable(xml):
            return xml
        row = await self._definition(definition_id)
        name = str(row.get("resource"))
        content = await self._resource(row, name, definitions.LONGEST, f"the model {name!r}")
        if isinstance(content, str):
            raise ReadRefused(f"the XML of {definition_id} cannot be read: {content}")
        return definitions.decoded(content)

    async def root(self, process_instance_id: str) -> str:
        """See `ports.engine.Engine.root_instance`. Climbs: only the history, which may be off, knows it at once."""
        found = process_instance_id
        for _ in range(DEEPEST_CALL):
            path = f"/process-instance?subProcessInstance={quote(found, safe='')}&maxResults=1"
            callers = await self.get(path, "the calling process instance", list)
            if callers is None:
                raise ReadRefused("the calling process instance cannot be read: the engine has no list of instances")
            if not callers:
                # No caller may also mean one that is hidden from us, and then the thread would be another one.
                await self._check_top(found)
                return found
            found = str(callers[0].get("id"))
        raise BadDefinition(f"the process is called through more than {DEEPEST_CALL} call activities")

    async def _check_top(self, process_instance_id: str) -> None:
        """Raise ReadRefused where the history knows of a caller: engines hide those that we may not see."""
        try:
            row = await self._in_history(process_instance_id)
        except ReadRefused:
            return
        if row is not None and row.get("superProcessInstanceId"):
            raise ReadRefused(
                "the process that calls this one cannot be seen: the worker's user needs READ_INSTANCE on its "
                "definition, or READ on process instances"
            )

    async def _in_history(self, process_instance_id: str) -> dict[str, Any] | None:
        """Return what the history has of an instance, None if nothing; it may be off, or not for us to read."""
        return await self.get(f"/history/process-instance/{quote(process_instance_id, safe='')}", "the history", dict)

    async def past(self, process_instance_id: str) -> Past:
        """Return what the history has of an instance. Raises ReadRefused also where it has nothing of it."""
        own = row = await self._in_history(process_instance_id)
        if own is None:
            raise ReadRefused("the history does not have the process instance")
        found = list[str]()
        # Older engines do not tell: then it counts as restarted from none. One that is not there was cleaned.
        while row and isinstance(latest := row.get("restartedProcessInstanceId"), str) and len(found) < MOST_RESTARTS:
            found.append(latest)
            row = await self._in_history(latest)
        return Past(tuple(found), str(own.get("startActivityId")), str(own.get("processDefinitionId")))

    async def began_at(self, process_instance_id: str) -> str:
        """See `ports.engine.Engine.began_at`."""
        try:
            row = await self._in_history(process_instance_id)
        except ReadRefused:  # for want of a right or of a history
            return ""
        return str(row.get("startTime") or "") if row else ""

    async def resource(self, definition_id: str, name: str) -> str:
        """See `ports.engine.Engine.resource`."""
        row = await self._definition(definition_id)
        what = f"the resource {name!r} of definition {definition_id}"
        content = await self._resource(row, name, LARGEST_RESOURCE, what)
        if isinstance(content, str):
            raise BadDefinition(content)
        try:
            # Editors on Windows begin a file with a byte order mark, which is no JSON.
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise BadDefinition(f"{name!r} is not UTF-8 text") from exc

    async def _definition(self, definition_id: str) -> dict[str, Any]:
        what = f"the definition {definition_id}"
        row = await self.get(f"/process-definition/{quote(definition_id, safe='')}", what, dict)
        if row is None:
            raise TaskLost(f"the engine has no definition {definition_id}")
        return row

    async def _resource(self, definition: Mapping[str, Any], name: str, most: int, what: str) -> bytes | str:
        """Return a file of a definition's deployment as it is, or say why there is none that can be taken."""
        deployment = f"/deployment/{quote(str(definition.get('deploymentId')), safe='')}/resources"
        rows = await self.get(deployment, what, list) or []
        found = next((str(row.get("id")) for row in rows if row.get("name") == name), None)
        if found is None:
            return f"the deployment of {definition.get('id')} has no resource {name!r}; deploy it with the model"
        content = await self.download(f"{deployment}/{quote(found, safe='')}/data", most, what)
        return f"{name!r} has more than {most} bytes" if content is None else content

    async def _judged(self, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """Ask, and find out what a refusal means. A fault of the engine's is asked about twice: it may have passed."""
        try:
            return await ask()
        except EngineDenied as exc:
            await self._probe()
            said = str(exc).rstrip(".")
            raise ReadRefused(f"{what} cannot be read: {said}; grant it to the worker's user") from exc
        except EngineDown as exc:  # a gateway that takes one answer for too large or too late
            await self._probe()
            raise Unanswered(f"{what} could not be read: {exc}", retry_after=exc.retry_after) from exc
        except _Refusal as refused:
            first = refused.reply
        await self._probe()
        try:
            if first.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return await ask()
        except _Refusal as refused:
            first = refused.reply
        raise _refused(first, what)


class _Refusal(Exception):
    """The engine itself says no."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def _refused(reply: Reply, what: str) -> Conflict | ReadRefused:
    error = refusal(reply)
    return (
        error if isinstance(error, Conflict) else ReadRefused(f"{what} cannot be read: {describe(reply)}".rstrip("."))
    )


def _value_in(body: bytes) -> str:
    said = foreign.read(body)
    if not isinstance(said, dict) or "value" not in said:
        raise ValueError("no variable")
    return json.dumps(said["value"], ensure_ascii=False)


def _no_variable(name: str) -> Unanswered:
    return Unanswered(f"{_called(name)} could not be read: the answer is no variable of an engine's")


def _called(name: str) -> str:
    return f"the variable {name!r}"


def variable_path(process_instance_id: str, name: str) -> str:
    """Path of a variable that this instance or execution sees."""
    return f"/process-instance/{quote(process_instance_id, safe='')}/variables/{quote(name, safe='')}"
