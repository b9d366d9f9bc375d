"""How an instance stands that changes while it is asked about."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest

from worker.engine.failures import Reply
from worker.engine.lists import Lists
from worker.engine.runs import RestRuns
from worker.engine.transport import Transport

AT = "2026-01-01T00:00:00.000+0000"


class Engine(Lists):
    """One instance whose only task throws an error that is caught, which ends it, after some requests."""

    def __init__(self, ends_after: int) -> None:
        self._left = ends_after

    async def send(self, _: str, path: str) -> Reply:
        assert path == "/history/process-instance/i"
        ended = {"endTime": AT, "state": "COMPLETED"} if self._over() else {"endTime": None, "state": "ACTIVE"}
        return Reply(200, json.dumps(ended).encode())

    async def rows(
        self, path: str, query: Mapping[str, str] | None = None, *_: Any, **__: Any
    ) -> AsyncIterator[dict[str, Any]]:
        over = self._over()
        task = {"id": "task:1", "activityId": "task", "activityType": "serviceTask", "parentActivityInstanceId": "i"}
        caught = {"id": "b:1", "activityId": "b", "activityType": "boundaryError", "endTime": AT}
        match path:
            case "/history/activity-instance":
                yield task | ({"endTime": AT, "canceled": True} if over else {"endTime": None, "canceled": False})
                if over:
                    yield caught
            case "/external-task" if not over:
                yield {"id": "t", "activityInstanceId": "task:1", "activityId": "task"}
            case "/history/external-task-log" if query and "creationLog" in query:
                yield {"activityInstanceId": "task:1"}

    def end(self) -> None:
        self._left = 0

    def _over(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("requests", range(8))
async def test_one_that_ends_between_two_requests_runs_or_is_over_as_it_ended(requests: int) -> None:
    engine = Engine(requests)
    runs = RestRuns(cast("Transport", engine), engine)
    run = await runs.look("i")
    assert (run.end, run.why) in [(None, ""), ("completed", "")]
    engine.end()
    assert (await runs.look("i")).end == "completed"
