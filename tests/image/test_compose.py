"""Each worker of docker/compose.yaml as it is written there: its environment, secrets, mounts and rights.

What Compose would do besides is done here: hosts have their names, and ports are given where those of the image may be
taken. The one thing that is told otherwise is where the provider is, as OpenAI cannot be asked.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.image.composed import make_secrets, network, options, run_sample
from tests.image.container import Container
from tests.rest import EngineRest
from tests.servers.postgresql import PostgreSQL
from tests.unit.test_compose import SERVICES, WORKERS
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port, running
from worker.demo.servers import Valkey


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guide's commands have made the secrets."""
    folder = tmp_path_factory.mktemp("composed")
    make_secrets(folder)
    return folder


@pytest.fixture(scope="module")
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """As the image of PostgreSQL makes it of the password."""
    password = secret(folder, "postgres_password")
    with PostgreSQL() as server:
        server.sql(f"CREATE ROLE assistant LOGIN PASSWORD '{password}'")
        for name in WORKERS:
            server.sql(f'CREATE DATABASE "{name}" OWNER assistant')
        yield server


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """One that no worker has seen: each finds the same database there, and another account at its provider."""
    with Valkey() as server:
        yield server


def secret(folder: Path, name: str) -> str:
    return (folder / "docker" / "secrets" / name).read_text("utf-8").strip()


def results(printed: str) -> list[dict[str, Any]]:
    """The engine's replies, one behind the other."""
    found, decoder, rest = [], json.JSONDecoder(), printed.strip()
    while rest:
        reply, end = decoder.raw_decode(rest)
        found.append(reply)
        rest = rest[end:].strip()
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WORKERS)
async def test_a_worker_reads_its_secrets_as_compose_mounts_them_and_gives_the_sample_its_answers(
    name: str, folder: Path, postgresql: PostgreSQL, engine: Engine, valkey: Valkey, engine_rest: EngineRest
) -> None:
    told = dict(SERVICES[name]["environment"])
    host = told["ENGINE_URL"].removeprefix("http://").partition(":")[0]
    postgresql.sql(f'ALTER DATABASE "{name}" RENAME TO assistant')
    is_local = "PROVIDERS_FILE" in told
    key = None if is_local else secret(folder, "openai_api_key")
    async with ModelServer(key=key, any_model=is_local) as provider:
        hosts = {host: (8080, engine.port), "valkey": (6379, valkey.port), "postgres": (5432, postgresql.port)}
        if is_local:
            hosts["ollama"] = (11434, provider.port)
        else:
            told["OPENAI_BASE_URL"] = provider.base_url
        told |= {"API_PORT": str(free_port())}
        async with network(hosts) as named:
            container = Container(told, more=[*options(name, folder), *named])
            async with running(container):
                deployed, started = results(await asyncio.to_thread(run_sample, engine.base_url))
                engine_rest.take_over(deployed["id"])
                await engine_rest.wait_for_end(started["id"], 120)
                doctor = await asyncio.to_thread(container.runs, "assistant-worker", "doctor")
                assert doctor.returncode == 0, doctor.stdout

                sessions = f"http://{HOST}:{told['API_PORT']}/api/sessions"
                [token] = json.loads(secret(folder, "api_tokens"))
                async with aiohttp.ClientSession() as client:

                    async def recorded() -> list[tuple[str, int]]:
                        async with client.get(sessions, headers={"Authorization": f"Bearer {token}"}) as reply:
                            assert reply.status == 200
                            return [(each["engine"], each["messages"]) for each in (await reply.json())["items"]]

                    async def whole() -> bool:
                        return await recorded() == [(told["ENGINE_NAME"], 8)]

                    await wait_until(whole, 30, "the conversation in the transcript")
                    async with client.get(sessions) as reply:
                        assert reply.status == 401
    # Kept where TRANSCRIPT_URL_FILE says: nothing of it is in the container.
    assert postgresql.sql("SELECT count(*) FROM messages", "assistant") == "8"
    postgresql.sql("DROP DATABASE assistant WITH (FORCE)")
