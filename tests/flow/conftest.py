"""The rig of a flow test, as it comes and with a transcript."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.flow.rig import API_CALLS, Rig
from tests.models import unique
from tests.rest import EngineRest
from tests.servers.postgresql import PostgreSQL
from worker.demo.model import ModelServer
from worker.demo.processes import HOST
from worker.transcript import SqlTranscriptWriter, open_database

BOTH_DATABASES = pytest.mark.parametrize("kept", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
async def rig(engine_rest: EngineRest, redis_url: str, empty_record: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    """One assistant, `analyst`, and everything else ready; no worker runs yet."""
    folder = tmp_path / "assistants"
    folder.mkdir()
    shutil.copy(empty_record, tmp_path / "transcript.db")  # for those who keep one: its tables are made once
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


@pytest.fixture(params=API_CALLS)
def api(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One API, named in a file of providers, with a transcript."""
    api: str = request.param
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    file = tmp_path / "providers.yaml"
    base_url = rig.provider.base_url
    said = f"api: {api}, base_url: '{base_url}', key: env:FLOW_KEY, takes: [images, pdf]"
    file.write_text(f"providers:\n  openai: {{{said}}}\n")
    rig.settings |= {
        "providers_file": file,
        "openai_base_url": None,
        "openai_api_key": None,
        "api_port": 0,
        "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
    }
    return api


@pytest.fixture(scope="session")
def record_server() -> Iterator[PostgreSQL]:
    """A server for transcripts."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def empty_database(record_server: PostgreSQL) -> str:
    """The name of a database with a record that nobody has written to, to make others of."""
    name = unique("empty")
    record_server.sql(f"CREATE DATABASE {name}")

    async def make() -> None:
        async with open_database(_url(record_server, name)) as database:
            await SqlTranscriptWriter(database).ping()

    with asyncio.Runner() as runner:
        runner.run(make())
    return name


def _url(server: PostgreSQL, name: str) -> str:
    return f"postgresql://{server.user}:{server.password}@{HOST}:{server.port}/{name}"


@pytest.fixture
def kept(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Rig:
    """The rig with a transcript of its own, in SQLite unless the test says otherwise."""
    url = f"sqlite:///{tmp_path}/transcript.db"
    if getattr(request, "param", "sqlite") == "postgresql":
        server: PostgreSQL = request.getfixturevalue("record_server")
        name = unique("record")
        server.sql(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('empty_database')}")
        url = _url(server, name)
    rig.settings |= {"api_port": 0, "transcript_url": url}
    return rig
