"""An engine, a Redis and a transcript that can be copied, lost and restored: each a server of its own."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import backups
from tests.flow.rig import Rig
from tests.models import Model, unique
from tests.rest import EngineRest, connect
from tests.servers.postgresql import PostgreSQL
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.engine import Engine
from worker.demo.model import ModelServer
from worker.demo.processes import HOST
from worker.demo.servers import CLEAN_ENVIRONMENT, Valkey
from worker.domain.conversations import EVERYTHING, MessageFilter
from worker.domain.exchanges import TRANSCRIPT
from worker.operate import doctor
from worker.operate.doctor import Finding

STEPS = ("frame", "evaluate", "recommend")


@dataclass(slots=True)
class Stores:
    """The three stores, each of which can be copied and restored by the commands of `docs/backup.md`.

    A copy is the folder that it lies in.
    """

    postgresql: PostgreSQL
    valkey: Valkey
    engine: Engine
    folder: Path

    def copy_engine(self) -> Path:
        return self._copy(backups.commands("Back up", "engine.dump"))

    def restore_engine(self, copy: Path) -> None:
        self.engine.stop()
        self._run(backups.commands("Restore", "engine.dump"), copy)
        self.engine.start()
        say("The engine is restored.")

    def lose_engine(self) -> None:
        """Have the engine begin with an empty database, under its old address."""
        self.engine.stop()
        self._run(_without_copy(backups.commands("Restore", "engine.dump")), self.folder)
        self.engine.start()
        say("The engine's database is lost: it begins with an empty one.")

    def raise_next_id(self) -> None:
        """Keep an engine that counts its ids from giving them out again. The engine is stopped meanwhile."""
        self.engine.stop()
        self._run(backups.commands("Restore", "next.dbid"), self.folder)
        self.engine.start()

    def copy_transcript(self) -> Path:
        return self._copy(backups.commands("Back up", "transcript.dump"))

    def restore_transcript(self, copy: Path | None) -> None:
        """Put a copy in its place; None: an empty database."""
        restoring = backups.commands("Restore", "transcript.dump")
        self._run(_without_copy(restoring) if copy is None else restoring, copy or self.folder)
        say(f"The transcript {'is lost' if copy is None else 'is restored'}.")

    async def copy_redis(self) -> Path:
        """Have the append-only file written anew, and copy its folder."""
        [before, rewriting, copying, after] = backups.commands("Back up", "redis-copy").splitlines()
        wanted = re.findall(r"(\w+):(\d)", rewriting)
        assert wanted
        async with Redis.from_url(self.valkey.url()) as client:  # its own client is in no wheel
            command: Callable[..., Awaitable[Any]] = client.execute_command
            await command(*_words(before))
            await command(*_words(rewriting))

            async def written() -> bool:
                info = await client.info("persistence")
                return all(str(info[name]) == value for name, value in wanted)

            await wait_until(written, what="the append-only file")
            copy = self._copy(copying)
            await command(*_words(after))
        return copy

    def restore_redis(self, copy: Path | None) -> None:
        """Put a copy in its place; None: nothing at all is left."""
        self.valkey.stop()
        if copy is None:
            shutil.rmtree(self.valkey.directory / "appendonlydir")
        else:
            self._run(backups.commands("Restore", "redis-copy"), copy)
        self.valkey.start()
        say(f"Redis {'is lost' if copy is None else 'is restored'}.")

    def _copy(self, copying: str) -> Path:
        copy = self.folder / unique("copy")
        copy.mkdir()
        self._run(copying, copy)
        return copy

    def _run(self, commands: str, folder: Path) -> None:
        here = {
            "HOST": HOST,
            "ADMIN": self.postgresql.user,
            "USER": self.postgresql.user,
            "ENGINE_DATABASE": "engine",
            "TRANSCRIPT_DATABASE": "record",
            "/var/lib/redis": str(self.valkey.directory),
        }
        told = {
            "PATH": f"{self.postgresql._binaries()}:{os.environ['PATH']}",
            "PGPORT": str(self.postgresql.port),
            "PGPASSWORD": self.postgresql.password,
        }
        backups.run(commands, here, folder, {**CLEAN_ENVIRONMENT, **told})


def _without_copy(restoring: str) -> str:
    """The commands that leave an empty database."""
    return "\n".join(line for line in restoring.splitlines() if "pg_restore" not in line)


def _words(line: str) -> list[str]:
    """What a line gives to redis-cli."""
    command, *words = line.partition("#")[0].split()
    assert command == "redis-cli"
    return words


@dataclass(slots=True)
class Town:
    """Instances of three steps on stores that a test loses."""

    rig: Rig
    stores: Stores
    instances: list[str] = field(default_factory=list)
    model: Model | None = None

    async def start(self, count: int) -> list[str]:
        """Start instances, each with one conversation from its first step to its last."""
        if self.model is None:
            self.model = await self.rig.deploy(
                *(self.rig.step(step, topic=f"{self.rig.topic}-{step}", data_input="-") for step in STEPS)
            )
        started = [await self.rig.rest.start(self.model) for _ in range(count)]
        self.instances += started
        return started

    async def work(self, *steps: str, until: str | None, instances: list[str] | None = None) -> None:
        """Have a worker do these steps until the instances wait at another one, or are over; all of it recorded."""
        topics = ",".join(f"{self.rig.topic}-{step}" for step in steps)
        worker = await self.rig.start_worker(topics=topics)
        for instance in self.instances if instances is None else instances:
            await (self.rig.until_open(instance, until) if until else self.rig.rest.wait_for_end(instance, 60))
        await self.until_recorded()
        await worker.stop()

    async def until_recorded(self) -> None:
        """Wait until a worker has carried all of it to the transcript: one that is stopped leaves that to others."""
        async with bootstrap.connect(self.rig.build_settings()) as adapters:

            async def recorded() -> bool:
                return await adapters.outbox.backlog(TRANSCRIPT) == 0

            await wait_until(recorded, 60, what="the transcript")

    async def found(self) -> dict[str, Finding]:
        """What `doctor --deep` says of the stores, by its subject, where something is to be said."""
        rows = await doctor.findings(self.rig.build_settings(), calls=False, deep=True)
        found = {each.subject: each for each in rows if each.area == "stores" and each.level is not doctor.Level.OK}
        for each in found.values():
            say(f"doctor --deep, {each.subject}: {each.said}")
        if not found:
            say("doctor --deep finds nothing in the stores.")
        return found

    def asked(self) -> dict[str, list[str]]:
        """The questions on each conversation, by their last line, which names each."""
        found: dict[str, list[str]] = {}
        for request in self.rig.provider.requests("responses.create"):
            body = request["body"]
            conversation = body["conversation"]
            name = conversation["id"] if isinstance(conversation, dict) else conversation
            content = body["input"] if isinstance(body["input"], str) else body["input"][-1]["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            found.setdefault(name, []).append(text.splitlines()[-1])
        return found

    def check_each_was_asked_once_on_one_thread(self) -> None:
        """Each instance has one conversation, on which each of its steps was asked once."""
        asked = self.asked()
        assert len(asked) == len(self.instances)
        for questions in asked.values():
            assert len(questions) == len(set(questions)) == len(STEPS)
        say(f"{len(asked)} instances ended, each on one conversation, each of its {len(STEPS)} steps asked once.")

    async def recorded(self, instance: str) -> int:
        """How many messages of an instance the transcript has."""
        async with bootstrap.connect(self.rig.build_settings(), reads_only=True) as adapters:
            assert adapters.conversations is not None
            page = await adapters.conversations.messages(MessageFilter(instance=instance), within=EVERYTHING)
            return len(page.items)


def say(text: str) -> None:
    """Say what was seen."""
    sys.stdout.write(f"{text}\n")


@pytest.fixture
def api(request: pytest.FixtureRequest) -> str:
    """How the provider is spoken to: as one with conversations, unless the test says otherwise."""
    return str(getattr(request, "param", "conversations"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with opened(tmp_path_factory.mktemp("copies")) as stores:
        yield stores


@contextmanager
def opened(folder: Path, extra: Path | None = None) -> Iterator[Stores]:
    """Start all three; `extra` as for the engine."""
    with PostgreSQL() as postgresql, Valkey(persistent=True) as valkey:
        database = postgresql.create("engine")
        postgresql.create("record")
        with Engine(database=database, extra=extra) as engine:
            yield Stores(postgresql, valkey, engine, folder)


@pytest.fixture
async def rest(stores: Stores) -> AsyncIterator[EngineRest]:
    async with connect(stores.engine, outlives=True) as rest:
        yield rest


@pytest.fixture
async def town(
    request: pytest.FixtureRequest,
    stores: Stores,
    rest: EngineRest,
    tmp_path: Path,
    api: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Town]:
    """All stores as they are after the tests before, and instances of this test alone; each has an ENGINE_NAME."""
    folder = tmp_path / "assistants"
    folder.mkdir()
    record = (
        f"postgresql://{stores.postgresql.user}:{stores.postgresql.password}@{HOST}:{stores.postgresql.port}/record"
    )
    async with ModelServer() as provider:
        rig = Rig(rest, provider, stores.valkey.url(), folder)
        providers = tmp_path / "providers.yaml"
        providers.write_text(f"providers: {{openai: {{api: {api}, base_url: '{provider.base_url}', key: env:KEY}}}}\n")
        monkeypatch.setenv("KEY", "test-key-never-logged")
        rig.settings |= {"transcript_url": record, "api_port": 0, "engine_name": unique("engine")}
        rig.settings |= {"providers_file": providers, "openai_base_url": None, "openai_api_key": None}
        rig.assistant()
        say(f"\n--- {request.node.name} ---")
        try:
            yield Town(rig, stores)
        finally:
            for worker in rig.workers:
                worker.stopping.set()
                worker.hurry.set()
            await asyncio.gather(*(worker.task for worker in rig.workers), return_exceptions=True)
