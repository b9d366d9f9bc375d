"""What the demo asks over HTTP: the engine as its operator, the scripted model server as its auditor."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

REQUEST_SECONDS = 30


class Failed(Exception):
    """The demo cannot go on; the text is the reason."""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """An external task that nobody has completed yet. `worker` None: not locked."""

    id: str
    activity: str
    worker: str | None
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """Why the engine waits for a person."""

    id: str
    activity: str
    message: str


class EngineRest:
    """Requests to the engine. Each of them raises Failed when it is refused or not answered."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self._session = session

    async def deploy(self, name: str, files: Sequence[Path]) -> None:
        """Deploy files together, or none of them."""
        form = aiohttp.FormData({"deployment-name": name, "enable-duplicate-filtering": "true"})
        for file in files:
            form.add_field(file.name, file.read_bytes(), filename=file.name, content_type="application/octet-stream")
        await _json(self._session, "POST", f"{self.base_url}/deployment/create", data=form)

    async def start(self, key: str, variables: Mapping[str, Any]) -> str:
        """Start an instance of the newest version; variables as the engine writes them. Its id."""
        body = {"variables": variables}
        started = await _json(self._session, "POST", f"{self.base_url}/process-definition/key/{key}/start", json=body)
        return str(started["id"])

    async def state(self, instance: str) -> str:
        """ACTIVE, SUSPENDED, COMPLETED, EXTERNALLY_TERMINATED or INTERNALLY_TERMINATED."""
        return str((await self._get(f"history/process-instance/{instance}"))["state"])

    async def tasks(self, instance: str) -> list[OpenTask]:
        """The open external tasks."""
        rows = await self._get("external-task", processInstanceId=instance)
        return [
            OpenTask(row["id"], row["activityId"], row["workerId"], _time(row["lockExpirationTime"])) for row in rows
        ]

    async def incidents(self, instance: str) -> list[Incident]:
        """The open incidents."""
        rows = await self._get("incident", processInstanceId=instance)
        return [Incident(row["id"], row["activityId"], row["incidentMessage"] or row["incidentType"]) for row in rows]

    async def activity_names(self, instance: str) -> dict[str, str]:
        """The names of the activities that were reached so far, by activity id."""
        rows = await self._get("history/activity-instance", processInstanceId=instance)
        return {row["activityId"]: row["activityName"] or row["activityId"] for row in rows}

    async def variable(self, instance: str, name: str) -> str | None:
        """The text of a variable, also when the instance is over; None if there is none.

        A text over 4000 characters is stored as an object, and comes as JSON.
        """
        query = {"processInstanceId": instance, "variableName": name, "deserializeValues": "false"}
        rows = await self._get("history/variable-instance", **query)
        if not rows or rows[0]["value"] is None:
            return None
        value = rows[0]["value"]
        return str(json.loads(value) if rows[0]["type"] == "Object" else value)

    async def _get(self, path: str, **query: str) -> Any:
        return await _json(self._session, "GET", f"{self.base_url}/{path}", params=query)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the model server counted: questions that arrived, turns that landed by thread, threads made and busy now."""

    asked: int
    turns: Mapping[str, int]
    created: int
    running: Sequence[str]


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
    try:
        async with session.request(method, url, **options) as response:
            if response.ok:
                return await response.json(content_type=None)
            raise Failed(f"{method} {url} was answered {response.status}: {_reason(await response.text())}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        raise Failed(f"{method} {url} was not answered: {exc or type(exc).__name__}") from exc


def _reason(text: str) -> str:
    """Take the engine's message out of its error object; any other text is its own reason."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["message"])
    return text


def _time(text: str | None) -> datetime | None:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z") if text else None
