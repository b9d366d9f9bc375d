"""What the demo asks over HTTP: the engine as its operator, the scripted model server as its auditor."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

REQUEST_SECONDS = 30
T = TypeVar("T")


class Failed(Exception):
    """The demo cannot go on; the text is the reason, `status` the engine's if it has answered."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class OpenTask:
    """An external task that nobody has completed yet. `worker` None: not locked."""

    id: str
    process: str
    activity: str
    worker: str | None
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class PersonsTask:
    """A user task that waits for a person."""

    id: str
    process: str
    activity: str


@dataclass(frozen=True, slots=True)
class Completed:
    """An external task that a worker completed."""

    task: str
    instance: str
    process: str
    activity: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Why the engine waits for somebody to look at it."""

    id: str
    process: str
    activity: str
    message: str


class EngineRest:
    """Requests to the engine. Each of them raises Failed when it is refused or not answered."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self._session = session

    async def deploy(self, name: str, files: Sequence[Path]) -> str:
        """Deploy files together, or none of them. The deployment's id."""
        form = aiohttp.FormData({"deployment-name": name, "enable-duplicate-filtering": "true"})
        for file in files:
            form.add_field(file.name, file.read_bytes(), filename=file.name, content_type="application/octet-stream")
        made = await _json(self._session, "POST", f"{self.base_url}/deployment/create", data=form)
        return str(made["id"])

    async def remove(self, deployment: str) -> None:
        """Remove a deployment with its instances and their history."""
        query = {"cascade": "true", "skipCustomListeners": "true", "skipIoMappings": "true"}
        await _json(self._session, "DELETE", f"{self.base_url}/deployment/{deployment}", params=query)

    async def start(self, key: str, variables: Mapping[str, Any], business_key: str | None = None) -> str:
        """Start an instance of the newest version; variables as the engine writes them. Its id."""
        body = {"variables": variables, "businessKey": business_key}
        started = await _json(self._session, "POST", f"{self.base_url}/process-definition/key/{key}/start", json=body)
        return str(started["id"])

    async def state(self, instance: str) -> str:
        """ACTIVE, SUSPENDED, COMPLETED, EXTERNALLY_TERMINATED or INTERNALLY_TERMINATED."""
        return str((await self._get(f"history/process-instance/{instance}"))["state"])

    async def origin(self, instance: str) -> tuple[str, str]:
        """The instance at the top of all calls that led to this one, and the deployment of this one's model."""
        row = await self._get(f"history/process-instance/{instance}")
        definition = await self._get(f"process-definition/{row['processDefinitionId']}")
        return str(row["rootProcessInstanceId"]), str(definition["deploymentId"])

    async def root(self, instance: str) -> str:
        """The instance at the top of all calls that led to this one; itself if nothing called it."""
        return str((await self._get(f"history/process-instance/{instance}"))["rootProcessInstanceId"])

    async def family(self, root: str) -> list[str]:
        """The instance and all that were called on its behalf, over or not. Reads every instance there is."""
        rows = await self._get("history/process-instance")
        return [row["id"] for row in rows if row["rootProcessInstanceId"] == root]

    async def tasks(self, instances: Sequence[str]) -> list[OpenTask]:
        """The open external tasks of these instances."""
        rows = await self._get("external-task", processInstanceIdIn=",".join(instances))
        return [
            OpenTask(
                id=row["id"],
                process=row["processDefinitionKey"],
                activity=row["activityId"],
                worker=row["workerId"],
                locked_until=_time(row["lockExpirationTime"]),
            )
            for row in rows
        ]

    async def completed(self, instances: Sequence[str]) -> list[Completed]:
        """The external tasks of these instances that workers completed."""
        rows = await self._get("history/external-task-log", successLog="true")
        done = (
            Completed(row["externalTaskId"], row["processInstanceId"], row["processDefinitionKey"], row["activityId"])
            for row in rows
        )
        return [each for each in done if each.instance in instances]

    async def persons_tasks(self) -> list[PersonsTask]:
        """The open user tasks of all instances."""
        rows = await self._get("task")
        return [PersonsTask(row["id"], _key(row["processDefinitionId"]), row["taskDefinitionKey"]) for row in rows]

    async def hand_in(self, task: PersonsTask, fields: Mapping[str, str]) -> None:
        """Complete a user task with these fields of its form."""
        url = f"{self.base_url}/task/{task.id}/submit-form"
        variables = {name: {"value": value} for name, value in fields.items()}
        await _json(self._session, "POST", url, json={"variables": variables})

    async def incidents(self, instances: Sequence[str]) -> list[Incident]:
        """The open incidents of these instances; the copies that the engine makes for those who called are left out."""
        rows = await self._get("incident")
        return [
            _incident(row)
            for row in rows
            if row["processInstanceId"] in instances and row["rootCauseIncidentId"] == row["id"]
        ]

    async def incidents_below(self, instance: str) -> list[Incident]:
        """The open incidents of an instance and of all that it called: those of which it has a copy."""
        rows = await self._get("incident")
        causes = {row["rootCauseIncidentId"] for row in rows if row["processInstanceId"] == instance}
        return [_incident(row) for row in rows if row["id"] in causes]

    async def path(self, instance: str) -> list[str]:
        """The ids of the elements that an instance has reached, in order."""
        query = {"processInstanceId": instance, "sortBy": "occurrence", "sortOrder": "asc"}
        return [row["activityId"] for row in await self._get("history/activity-instance", **query)]

    async def open_tasks(self, instance: str, activity: str) -> list[str]:
        """The ids of the open user tasks of an activity."""
        rows = await self._get("task", processInstanceId=instance, taskDefinitionKey=activity)
        return [row["id"] for row in rows]

    async def complete(self, instance: str, activity: str, variables: Mapping[str, Any]) -> None:
        """Complete the open user task of an activity. Failed: there is none."""
        tasks = await self.open_tasks(instance, activity)
        if not tasks:
            raise Failed(f"instance {instance} has no open task {activity}")
        url = f"{self.base_url}/task/{tasks[0]}/complete"
        await _json(self._session, "POST", url, json={"variables": variables})

    async def variables(self, instance: str) -> dict[str, Any]:
        """All variables of an instance, also when it is over: Json read, long texts whole, files None."""
        rows = await self._get("history/variable-instance", processInstanceId=instance, deserializeValues="false")
        return {row["name"]: _value(row) for row in rows}

    async def variable(self, instance: str, name: str) -> str | None:
        """The text of a variable, also when the instance is over; None if there is none.

        A text over 4000 characters is stored as an object, and comes as JSON; a file has to be asked for.
        """
        query = {"processInstanceId": instance, "variableName": name, "deserializeValues": "false"}
        rows = await self._get("history/variable-instance", **query)
        if not rows:
            return None
        [row] = rows
        if row["type"] == "File":
            url = f"{self.base_url}/history/variable-instance/{row['id']}/data"
            return await _answered(self._session, "GET", url, aiohttp.ClientResponse.text)
        if row["value"] is None:
            return None
        return str(json.loads(row["value"]) if row["type"] == "Object" else row["value"])

    async def _get(self, path: str, **query: str) -> Any:
        return await _json(self._session, "GET", f"{self.base_url}/{path}", params=query)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the model server counted: questions that arrived, turns that landed by thread, threads made and busy now."""

    asked: int
    turns: Mapping[str, int]
    created: int
    running: Sequence[str]

    def since(self, before: "Counts") -> "Counts":
        """What came after `before`, and what is busy now."""
        turns = {thread: count - before.turns.get(thread, 0) for thread, count in self.turns.items()}
        return Counts(self.asked - before.asked, turns, self.created - before.created, self.running)


class ModelControl:
    """The scripted model server's control interface."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def counts(self) -> Counts:
        """How often it was called since its start."""
        body = await _json(self._session, "GET", f"{self._url}/counts")
        return Counts(body["calls"].get("responses.create", 0), body["turns"], body["created"], body["running"])


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for both. Servers on this machine need no proxy, so none is looked for."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)) as session:
        yield session


async def _json(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Any:
    return await _answered(session, method, url, _body, **options)


async def _body(response: aiohttp.ClientResponse) -> Any:
    return await response.json(content_type=None)  # None for an empty body


async def _answered(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
    **options: Any,
) -> T:
    try:
        async with session.request(method, url, **options) as response:
            if response.ok:
                return await read(response)
            reason = _reason(await response.text())
            raise Failed(f"{method} {url} was answered {response.status}: {reason}", response.status)
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        raise Failed(f"{method} {url} was not answered: {exc or type(exc).__name__}") from exc


def _reason(text: str) -> str:
    """Take the engine's message out of its error object; any other text is its own reason."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["message"])
    return text


def _value(row: Mapping[str, Any]) -> Any:
    value = row["value"]
    return json.loads(value) if row["type"] in {"Json", "Object"} and isinstance(value, str) else value


def _incident(row: Mapping[str, Any]) -> Incident:
    return Incident(
        id=row["id"],
        process=_key(row["processDefinitionId"]),
        activity=row["activityId"],
        message=row["incidentMessage"] or row["incidentType"],
    )


def _time(text: str | None) -> datetime | None:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z") if text else None


def _key(definition_id: str) -> str:
    """The key of a process, out of `key:version:number`."""
    return definition_id.partition(":")[0]
