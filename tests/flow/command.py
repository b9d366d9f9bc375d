"""`python -m worker …` as a process of its own, told everything by its environment."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
from pydantic import SecretStr

from tests.flow.rig import Rig
from tests.nursery import shared
from tests.waiting import wait_until
from worker.demo.processes import HOST, Process, running
from worker.demo.stage import PYTHON_ENVIRONMENT

COMMAND = (sys.executable, "-m", "worker", "run")
SECONDS = 60
"""How long a command may take."""


class Command(Process):
    """A worker by `python -m worker run`; it counts as started when its log says so."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__("worker", COMMAND, ready=self._says_so, env=env)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Lines of its JSON log with this event."""
        complete, _, _ = self.log.read_text("utf-8").rpartition("\n")
        parsed = [json.loads(line) for line in complete.splitlines()]
        return [line for line in parsed if line["event"] == event]

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its probes."""
        port = self.lines("worker_started")[0]["health_port"]
        async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/{path}") as reply:
            return reply.status, await reply.text()

    async def until_ready(self) -> None:
        """Wait until it takes tasks."""

        async def is_ready() -> bool:
            return (await self.get("readyz"))[0] == 200

        await wait_until(is_ready, 30, "readiness")

    async def exit_code(self, seconds: float = 40) -> int:
        """Wait for its end by itself."""
        return await asyncio.to_thread(self.wait, seconds)

    def _says_so(self) -> bool:
        # In a whole line, which is read then; and in the whole log, whose end may be full of tasks by now.
        complete, _, _ = self.log.read_text("utf-8").rpartition("\n") if self.log.exists() else ("", "", "")
        return "worker_started" in complete


class Forked(Command):
    """The same, forked from a process that has imported it: that saves two seconds of CPU."""

    def kill(self) -> None:
        """Kill it alone: it has no group of its own, and dies with the nursery."""
        if self.running:
            self.signal(signal.SIGKILL)
            self.wait(SECONDS)

    def _spawn(self, _: list[str]) -> None:
        assert self._env is not None
        started = shared().spawn(self._env, self.directory, self.log)
        self._popen = cast("subprocess.Popen[bytes]", started)  # it has the part of one that a Process uses


def environment(rig: Rig, **settings: object) -> dict[str, str]:
    """The whole environment of a worker: what the rig's workers get, changed by `settings`; None leaves one out."""
    values: dict[str, Any] = dict(rig.build_settings())
    texts = {
        name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value not in (None, ())
    }
    texts["TOPICS"] = ",".join(values["topics"])
    texts |= {name.upper(): str(value) for name, value in settings.items()}
    left_out = {name.upper() for name, value in settings.items() if value is None}
    return {**PYTHON_ENVIRONMENT, **{name: text for name, text in texts.items() if name not in left_out}}


@asynccontextmanager
async def started(rig: Rig, **settings: object) -> AsyncIterator[Command]:
    """A worker process that has started, and is gone afterwards."""
    async with running(Forked(environment(rig, **settings))) as command:
        yield command


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, code: int, out: Path, err: Path) -> Self:
        """Read what it printed."""
        return cls(code, out.read_text("utf-8"), err.read_text("utf-8"))

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


async def assistant_worker(env: Mapping[str, str], *arguments: str, folder: Path | None = None) -> Ran:
    """Run a command of the worker's to its end, in a folder if that matters."""
    nursery = await asyncio.to_thread(shared)
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        child = await nursery.fork(env, folder or Path.cwd(), out, arguments=arguments, errors=err)
        try:
            async with asyncio.timeout(SECONDS):
                code = await child.wait()
        finally:
            child.signal(signal.SIGKILL)
        return Ran.of(code, out, err)


async def refused(env: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and complaint of a worker that does not start."""
    ran = await assistant_worker(env, "run")
    assert ran.out == ""
    return ran.code, ran.err
