"""The rig of a flow test, as it comes and with a transcript."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.models import unique
from tests.rest import EngineRest
from tests.servers.postgresql import PostgreSQL
from worker.demo.model import ModelServer
from worker.demo.processes import HOST

BOTH_DATABASES = pytest.mark.parametrize("kept", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
async def rig(engine_rest: EngineRest, redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """One assistant, `analyst`, and everything else ready; no worker runs yet."""
    folder = tmp_path / "assistants"
    folder.mkdir()
    async with ModelServer() as provider:
        rig = Rig(engine_rest, provider, redis_url, folder)
        rig.assistant()
        try:
            yield rig
        finally:
            for worker in rig.workers:
                worker.stopping.set()
                worker.hurry.set()
            await asyncio.gather(*(worker.task for worker in rig.workers), return_exceptions=True)


@pytest.fixture(scope="session")
def record_server() -> Iterator[PostgreSQL]:
    """A server for transcripts."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def kept(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Rig:
    """The rig with a transcript of its own, in SQLite unless the test says otherwise."""
    url = f"sqlite:///{tmp_path}/transcript.db"
    if getattr(request, "param", "sqlite") == "postgresql":
        server: PostgreSQL = request.getfixturevalue("record_server")
        name = unique("record")
        server.sql(f"CREATE DATABASE {name}")
        url = f"postgresql://{server.user}:{server.password}@{HOST}:{server.port}/{name}"
    rig.settings |= {"api_port": 0, "transcript_url": url}
    return rig
