"""`assistant-worker demo`: processes run by real parts on this machine, watched step by step, and proven."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp

from worker.demo import jars, small_model, stage
from worker.demo.application import Application
from worker.demo.engine import Kind
from worker.demo.jars import JarError
from worker.demo.processes import StartError
from worker.demo.rest import EngineRest, Failed, ModelControl, connection
from worker.demo.samples import BPMN
from worker.demo.screen import Screen
from worker.demo.stage import Pace, Stage
from worker.demo.watch import Watch

PROCESS: Final = "decision"
PACE: Final = Pace(lock_seconds=45, latency_seconds=1.0)
"""Slow enough to watch it."""
CRASH_PACE: Final = Pace(lock_seconds=10, latency_seconds=2.0)
"""Everybody has to wait until the dead worker's lock has run out; and it has to die in the middle of an answer."""


def main(
    *,
    once: bool,
    crash: bool,
    local: bool = False,
    engine: Kind = "operaton",
    processes: Sequence[str] = (PROCESS,),
    bpmn: Path = BPMN,
) -> int:
    """Run processes one after the other, then stay until Ctrl-C or, with `once`, end; leave nothing running.

    `local`: a small model on this machine answers, whatever the environment names.
    `bpmn` is a folder with a folder for each process and one of assistants. 0: each process was completed with a turn
    for each step, on the threads that its models want. 1: one was not, and the reason stands on the screen. 128 +
    signal: interrupted before that was clear.
    """
    screen = Screen()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        applications = [Application.read(bpmn.absolute(), process) for process in processes]
        if local:
            screen.local_title()
            small_model.install()
        else:
            screen.title(_provider())
        screen.place(jars.cache_directory())
        # Now, and not when the engine starts: a thread that downloads could not be broken off.
        jars.fetch(jars.locked(engine), console=screen.console)
        return asyncio.run(Demo(screen, applications, engine, once=once, crash=crash, local=local).run())
    except (Failed, StartError, JarError) as exc:
        screen.failure(str(exc))
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        screen.doing("")


def _provider() -> str | None:
    url = os.environ.get("OPENAI_BASE_URL", "").rpartition("@")[2]  # the worker refuses credentials in it
    return None if stage.is_scripted() else url or "OpenAI"


class Demo:
    """One run of the demo."""

    def __init__(
        self,
        screen: Screen,
        applications: Sequence[Application],
        engine: Kind,
        *,
        once: bool,
        crash: bool,
        local: bool,
    ) -> None:
        self._screen = screen
        self._applications = applications
        self._engine = engine
        self._once = once
        self._crash = crash
        self._local = local
        self._code: int | None = None
        self._signal = 0

    async def run(self) -> int:
        """Start everything, run each process, stay if that is wanted, and end everything. The exit code."""
        self._on_signals()
        pace = CRASH_PACE if self._crash else PACE
        self._screen.doing(f"starting {self._engine.capitalize()}, Valkey and what else it takes")
        assistants = self._applications[0].assistants
        try:
            async with (
                stage.set_up(assistants, pace, self._screen.ready, engine=self._engine, local=self._local) as parts,
                connection() as session,
            ):
                await self._perform(parts, session)
        except asyncio.CancelledError:
            if self._code is None:
                return 128 + self._signal
        return self._code or 0

    def _on_signals(self) -> None:
        """The first signal breaks everything off, in order; more of them do not break off the clean-up."""
        loop, running = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt(number: int) -> None:
            if running is not None and not self._signal:
                self._signal = number
                self._screen.stopping()
                running.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)

    async def _perform(self, parts: Stage, session: aiohttp.ClientSession) -> None:
        engine = EngineRest(parts.engine.base_url, session)
        model = parts.model
        control = ModelControl(model.control_url, session) if isinstance(model, stage.ScriptedModel) else None
        await self._prepare(parts, engine)
        code = 0
        for number, application in enumerate(self._applications):
            watch = Watch(application, parts, engine, control, self._screen, strict=self._once)
            code |= await self._play(application, watch, parts, crash=self._crash and number == 0)
        self._code = code
        if not self._once:
            start = f"{engine.base_url}/process-definition/key/{application.key}/start"
            self._screen.staying(start, application.variables_file)
            await watch.linger()

    async def _prepare(self, parts: Stage, engine: EngineRest) -> None:
        async with stage.side_by_side() as group:
            group.create_task(self._deploy(engine), name="deploy")
            group.create_task(parts.start_worker(), name="start worker")
        self._screen.cockpit(parts.engine.cockpit_url, parts.engine.user, parts.engine.password)

    async def _deploy(self, engine: EngineRest) -> None:
        for files in self._applications[0].folders:
            await engine.deploy(files[0].parent.name, files)

    async def _play(self, application: Application, watch: Watch, parts: Stage, *, crash: bool) -> int:
        """Run one process, watch it, and judge it."""
        await watch.start()
        self._screen.instance(
            application, watch.instance, parts.page(watch.instance), parts.conversation(watch.instance)
        )
        if crash:
            await watch.crash()
        await watch.follow(watch.ended)
        proof = await watch.proof()
        faults = proof.faults()
        self._screen.result(*await watch.result())
        if (outcome := await watch.outcome()) is not None:
            self._screen.outcome(outcome)
        if record := await watch.record():
            self._screen.record(parts.decision(record), parts.command(f"decisions show {record}"))
        self._screen.proof(str(proof), proof.account(crash=crash), faults)
        return 1 if faults else 0
