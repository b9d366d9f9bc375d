"""What of process instances takes what persons hand to them: messages that they wait for, and user tasks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from worker.domain.handovers import Absent, Marker, UserTask, read_marker
from worker.domain.tasks import Variable
from worker.engine import wire
from worker.engine.failures import describe, refusal
from worker.engine.lists import Lists
from worker.engine.reads import Reads
from worker.engine.transport import COMPLETION, Transport
from worker.errors import EngineDenied, Forbidden, ReadRefused, Refused, TaskLost

MOST_MESSAGES = 100
MOST_TASKS = 20
"""Of one instance: who may have a task is asked for each of them."""
MOST_LINKS = 500
"""Candidates of one task, and groups of one user."""


class RestReceivers:
    """Implements `ports.handovers.Receivers`. `probe` returns if the engine works for us, and raises EngineDown."""

    def __init__(self, transport: Transport, lists: Lists, reads: Reads, probe: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._lists = lists
        self._reads = reads
        self._probe = probe

    async def look(self, instance: str, name: str) -> Marker | Absent:
        """See `ports.handovers.Receivers.look`."""
        try:
            found = await self._reads.variable(instance, name)
        except TaskLost:
            marker, is_kept = await self._past(instance, name)
            return marker or (Absent.OVER if is_kept else Absent.HIDDEN)
        except ReadRefused:
            marker, _ = await self._past(instance, name)
            return marker or Absent.HIDDEN
        if found is None:
            return Absent.RUNS
        # Whatever somebody has made of it: that it is there says that something was handed over.
        return read_marker(name, found.value) or Absent.HIDDEN

    async def _past(self, instance: str, name: str) -> tuple[Marker | None, bool]:
        """Look in the history; returns also whether it keeps variables of this instance, and lets us see them."""
        rows = await self._history({"processInstanceId": instance, "variableName": name})
        markers = (read_marker(name, row.get("value")) for row in rows)
        marker = next((each for each in markers if each is not None), None)
        return marker, bool(rows or await self._history({"processInstanceId": instance}))

    async def _history(self, wanted: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        path = "/history/variable-instance"
        try:
            return [row async for row in self._lists.rows(path, {"deserializeValues": "false"}, wanted, most=1)]
        except EngineDenied:
            await self._probe()
            return ()

    async def waiting(self, instance: str, message: str) -> Sequence[str]:
        """See `ports.handovers.Receivers.waiting`."""
        wanted = {"processInstanceId": instance, "messageEventSubscriptionName": message, "active": "true"}
        # Two tell that it is not one, which is all that anybody wants to know.
        return [str(row.get("id")) async for row in self._lists.rows("/execution", wanted, most=2)]

    async def task(self, task_id: str) -> UserTask | None:
        """See `ports.handovers.Receivers.task`."""
        path = f"/task/{quote(task_id, safe='')}"
        row = await self._reads.get(path, "the user task", dict)
        return None if row is None else await self._task(row)

    async def tasks(self, instance: str) -> Sequence[UserTask]:
        """See `ports.handovers.Receivers.tasks`."""
        wanted = {"processInstanceId": instance, "sortBy": "created", "sortOrder": "asc"}
        return [await self._task(row) async for row in self._lists.rows("/task", wanted, most=MOST_TASKS)]

    async def messages(self, instance: str) -> Sequence[str]:
        """See `ports.handovers.Receivers.messages`."""
        wanted = {"processInstanceId": instance, "eventType": "message"}
        rows = [row async for row in self._lists.rows("/event-subscription", wanted, most=MOST_MESSAGES)]
        return sorted({str(row["eventName"]) for row in rows if row.get("eventName")})

    async def _task(self, said: Mapping[str, Any]) -> UserTask:
        """Read a user task, and ask who may have it."""
        path = f"/task/{quote(str(said.get('id')), safe='')}/identity-links?type=candidate"
        links = await self._reads.get(path, "who may have the user task", list) or []
        rows = [row for row in links[:MOST_LINKS] if isinstance(row, dict)]
        return UserTask(
            id=str(said.get("id")),
            process_instance_id=str(said.get("processInstanceId")),
            assignee=said.get("assignee"),
            is_suspended=said.get("suspended") is True,
            is_delegated=said.get("delegationState") == "PENDING",
            users=frozenset([str(row["userId"]) for row in rows if row.get("userId")]),
            groups=frozenset([str(row["groupId"]) for row in rows if row.get("groupId")]),
            name=str(said.get("name") or said.get("taskDefinitionKey") or ""),
        )

    async def groups(self, user: str) -> frozenset[str]:
        """See `ports.handovers.Receivers.groups`."""
        rows = self._lists.rows("/group", {"member": user}, most=MOST_LINKS)
        return frozenset([str(row.get("id")) async for row in rows])

    async def correlate(self, execution: str, message: str, variables: Mapping[str, Variable]) -> None:
        """See `ports.handovers.Receivers.correlate`.

        Not by /message: where the instance has ceased to wait, engines look there for a process that begins with this
        message, and start it, whatever instance is named.
        """
        path = f"/execution/{quote(execution, safe='')}/messageSubscriptions/{quote(message, safe='')}/trigger"
        await self._tell(path, variables)

    async def complete(self, task_id: str, variables: Mapping[str, Variable]) -> None:
        """See `ports.handovers.Receivers.complete`."""
        await self._tell(f"/task/{quote(task_id, safe='')}/complete", variables)

    async def _tell(self, path: str, variables: Mapping[str, Variable]) -> None:
        """Send a command. What stands behind the event or the task runs before the reply, as behind a completion."""
        body = {"variables": wire.variables(variables)}
        try:
            reply = await self._transport.send("POST", path, body, limits=COMPLETION)
        except EngineDenied as exc:
            await self._probe()
            raise Forbidden(f"{str(exc).rstrip('.')}; grant it to the worker's user") from exc
        if reply.missing:
            # Not TaskLost, which stands for external tasks of ours: here a person is told that nobody waits any more.
            raise Refused(describe(reply))
        if not reply.done:
            raise refusal(reply)
