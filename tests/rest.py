"""A small client of the engine's REST interface: what tests do as modeler, starter and operator."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.engines import Elsewhere
from tests.models import Model, unique
from tests.waiting import wait_until
from worker.demo.engine import Engine

CLASHES = 20
"""How often one request may lose against other transactions."""
MOST = 2000
"""Rows of a list: some engines here are set up to refuse lists without a limit."""


class EngineRest:
    """Requests to one engine; paths are relative to `/engine-rest`. Bodies and answers are JSON."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self._session = session
        self._deployments: list[str] = []

    async def request(self, method: str, path: str, body: Any = None, **params: Any) -> tuple[int, Any]:
        """Status and answer, whatever they are; the text where it is no JSON, None for an empty one."""
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
        url = f"{self.base_url}/{path.lstrip('/')}"
        async with self._session.request(method, url, json=body, params=query) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return response.status, json.loads(text) if is_json else text or None

    async def get(self, path: str, **params: Any) -> Any:
        """The answer; AssertionError unless 2xx, as in the next three."""
        return await self._expect("GET", path, None, **params)

    async def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return await self._expect("POST", path, {} if body is None else body, **params)

    async def put(self, path: str, body: Any = None, **params: Any) -> Any:
        return await self._expect("PUT", path, {} if body is None else body, **params)

    async def delete(self, path: str, **params: Any) -> Any:
        return await self._expect("DELETE", path, None, **params)

    async def deploy(self, *models: Model | Path | str, tenant: str | None = None) -> list[str]:
        """Deploys models, files or XML as one deployment; the ids of its process definitions, in no given order."""
        form = aiohttp.FormData()
        form.add_field("deployment-name", unique("test"))
        if tenant:
            form.add_field("tenant-id", tenant)
        for number, model in enumerate(models):
            xml = model.xml if isinstance(model, Model) else model
            name, content = (xml.name, xml.read_bytes()) if isinstance(xml, Path) else (f"{number}.bpmn", xml.encode())
            form.add_field(name, content, filename=name, content_type="application/octet-stream")
        async with self._session.post(f"{self.base_url}/deployment/create", data=form) as response:
            body = await response.json()
            assert response.status == 200, body
        self._deployments.append(body["id"])
        return list(body["deployedProcessDefinitions"] or {})

    def take_over(self, deployment: str) -> None:
        """Clean up what somebody else has deployed, too."""
        self._deployments.append(deployment)

    async def start(
        self,
        model: Model | str,
        variables: Mapping[str, Any] | None = None,
        business_key: str | None = None,
        *,
        tenant: str | None = None,
    ) -> str:
        """The id of a new instance of a model or key. Variables are plain values, dicts and lists as Json, or typed."""
        key = model.key if isinstance(model, Model) else model
        path = f"process-definition/key/{key}" + (f"/tenant-id/{tenant}" if tenant else "")
        typed = {name: _typed(value) for name, value in (variables or {}).items()}
        body = await self.post(f"{path}/start", {"variables": typed, "businessKey": business_key})
        return str(body["id"])

    async def state(self, instance: str) -> str:
        """ACTIVE, SUSPENDED, COMPLETED, EXTERNALLY_TERMINATED or INTERNALLY_TERMINATED."""
        return str((await self.get(f"history/process-instance/{instance}"))["state"])

    async def wait_for_end(self, instance: str, deadline_seconds: float = 60) -> None:
        """Returns when the instance is completed; AssertionError, with its incidents, when it is not in time."""

        async def completed() -> bool:
            return await self.state(instance) == "COMPLETED"

        try:
            await wait_until(completed, deadline_seconds, f"the end of instance {instance}")
        except AssertionError as exc:
            exc.add_note(f"incidents: {await self.incidents(instance)}\ntasks: {await self.tasks(instance)}")
            raise

    async def tasks(self, instance: str) -> list[dict[str, Any]]:
        """The instance's open external tasks."""
        tasks: list[dict[str, Any]] = await self.get("external-task", processInstanceId=instance, maxResults=MOST)
        return tasks

    async def incidents(self, instance: str) -> list[dict[str, Any]]:
        """The instance's open incidents."""
        incidents: list[dict[str, Any]] = await self.get("incident", processInstanceId=instance, maxResults=MOST)
        return incidents

    async def variables(self, instance: str) -> dict[str, Any]:
        """All variables of the instance by name, also when it is over; a File's value is None."""
        asked = {"processInstanceId": instance, "deserializeValues": False, "maxResults": MOST}
        rows = await self.get("history/variable-instance", **asked)
        return {row["name"]: row["value"] for row in rows}

    async def clean(self) -> None:
        """Deletes what was deployed here, with instances and history, so that nobody else finds its topics."""

        async def deleted() -> bool:  # a transaction that still runs in the instance may win against the deletion
            status, _ = await self.request("DELETE", f"deployment/{deployment}", cascade=True, skipIoMappings=True)
            return status in {204, 404}

        while self._deployments:
            deployment = self._deployments.pop()
            await wait_until(deleted, what=f"deletion of deployment {deployment}")

    async def _expect(self, method: str, path: str, body: Any, **params: Any) -> Any:
        """What the engine answers to a request that succeeds.

        A worker writes to an instance while a test deletes or changes it. The engine lets one of the two transactions
        win, rolls the other back, and says so: that one is to be sent again.
        """
        for _ in range(CLASHES):
            status, answer = await self.request(method, path, body, **params)
            if not (status == 500 and isinstance(answer, dict) and answer.get("type") == "OptimisticLockingException"):
                break
        assert 200 <= status < 300, f"{method} {path}: {status} {answer}"
        return answer


@asynccontextmanager
async def connect(engine: Engine | Elsewhere, *, outlives: bool = False) -> AsyncIterator[EngineRest]:
    """A client that cleans up behind itself; it `outlives` an engine that is started anew."""
    headers = {"Authorization": aiohttp.encode_basic_auth(engine.user, engine.password)}
    connector = aiohttp.TCPConnector(force_close=outlives)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        rest = EngineRest(engine.base_url, session)
        try:
            yield rest
        finally:
            await rest.clean()


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and "value" in value:
        return value
    if isinstance(value, dict | list):
        return {"value": json.dumps(value), "type": "Json"}
    return {"value": value}
