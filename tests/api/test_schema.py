"""Whatever fits the OpenAPI document, or does not, is answered as the document says, and never with a 5xx."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER
from tests.api.conftest import KEYS
from tests.api.test_asks import Orders, Threads
from tests.fakes.instances import FakeInstances, Process
from tests.records import exchange
from worker.chat.desk import Desk
from worker.chat.ports import ChatPorts
from worker.domain.conversations import session_id
from worker.ports.rates import Rate
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.web.api import Access, app, asking, talking

errors: list[Exception] = []


class FreshRecord:
    """A side of the record that is opened anew for each call: every case runs in an event loop of its own."""

    def __init__(self, url: str, side: Callable[[Database], object] = SqlTranscriptReader) -> None:
        self._url = url
        self._side = side

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            async with open_database(self._url) as database:
                database._ready = True  # when it was filled
                return await getattr(self._side(database), name)(*arguments, **options)

        return call


async def fill(url: str) -> None:
    async with open_database(url) as database:
        for name, thread in KEYS.items():
            await SqlTranscriptWriter(database).record(exchange(1, thread, process_instance_id=f"instance-{name}"))


def filled(folders: pytest.TempPathFactory) -> str:
    """Make a record that has some conversations; returns its address."""
    url = f"sqlite:///{folders.mktemp('schema')}/record.db"
    asyncio.run(fill(url))
    return url


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = filled(tmp_path_factory)
    conversations: Any = FreshRecord(url)
    asks: Any = FreshRecord(url, lambda database: SqlAsks(database, engine="default"))
    instances = FakeInstances()
    instances.processes["instance-a"] = Process()
    ports = ChatPorts(asks, conversations, Orders(), instances, Threads())  # type: ignore[arg-type]  # the methods that are needed
    desk = Desk(ports, lambda: None, "default", lambda: ["analyst"])
    application = app(
        conversations,
        NO_CALLS,
        Access.of(TOKENS),
        report=errors.append,
        rate=Rate(burst=100_000),
        extend=[asking(desk, conversations), talking(desk)],
    )
    return schemathesis.openapi.from_asgi("/api/openapi.json", application)


def validate(operation: Any, token: str, examples: int, **places: str) -> None:
    """Ask for one operation in so many ways; `places` are put into its path."""

    @given(case=operation.as_strategy())
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case[Any]) -> None:
        case.path_parameters |= {name: places[name] for name in case.path_parameters.keys() & places.keys()}
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    check()


@pytest.mark.parametrize("token", [OPERATOR, VIEWER], ids=["operator", "viewer"])
def test_answers_are_as_documented(document: Any, token: str) -> None:
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == 19
    for operation in operations:
        validate(operation, token, 15)
        if "{" in operation.path:
            for name, thread in KEYS.items():
                validate(
                    operation, token, 2, session_id=session_id(thread), instance_id=f"instance-{name}", name="analyst"
                )
    assert errors == []
