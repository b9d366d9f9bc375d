"""The API on a real SQLite file, served by the real server."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER, Api
from tests.records import exchange, key
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.web.api import Access, app, serve

KEYS = {
    "a": key("instance-a"),
    "b": key("instance-b", tenant="north"),
    "c": key("business-key:order-1", assistant="critic"),
}


@pytest.fixture
async def database(tmp_path: Path, empty_record: Path) -> AsyncIterator[Database]:
    shutil.copy(empty_record, tmp_path / "record.db")
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        yield database


@pytest.fixture
async def transcript(database: Database) -> SqlTranscriptWriter:
    """Three conversations of two exchanges each: an instance's, a tenant's, and one that is shared."""
    transcript = SqlTranscriptWriter(database)
    for place, (name, thread) in enumerate(KEYS.items()):
        for number in (1, 2):
            said = exchange(10 * place + number, thread, process_instance_id=f"instance-{name}")
            await transcript.record(said)
    return transcript


@pytest.fixture
def errors() -> list[Exception]:
    """What the application reported as unforeseen."""
    return []


@pytest.fixture
async def api(database: Database, transcript: SqlTranscriptWriter, errors: list[Exception]) -> AsyncIterator[Api]:
    """The API, asked as an operator unless a test says otherwise."""
    await transcript.ping()
    application = app(SqlTranscriptReader(database), NO_CALLS, Access.of(TOKENS), report=errors.append)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Api(session, OPERATOR)


@pytest.fixture
def viewer(api: Api) -> Api:
    """The same, seen by a viewer of tenant north."""
    return Api(api.session, VIEWER)
