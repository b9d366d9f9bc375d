"""`assistant-worker demo`: a decision taken by real parts on this machine, watched step by step, and proven."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.dev import jars, stage
from worker.dev.jars import JarError
from worker.dev.processes import StartError
from worker.dev.rest import EngineRest, Failed, ModelControl, connection
from worker.dev.screen import Screen
from worker.dev.stage import Pace, Stage
from worker.dev.watch import Watch

BPMN: Final = stage.ROOT / "bpmn"
PROCESS: Final = "decision"
RESULT: Final = "recommendation"
PACE: Final = Pace(lock_seconds=45, latency_seconds=1.0)
"""Slow enough to watch it."""
CRASH_PACE: Final = Pace(lock_seconds=10, latency_seconds=2.0)
"""Everybody has to wait until the dead worker's lock has run out; and it has to die in the middle of an answer."""


def main(*, once: bool, crash: bool, bpmn: Path = BPMN) -> int:
    """Run the demo until Ctrl-C, or with `once` to the end of the decision, and leave nothing running.

    `bpmn` is a folder of models with a folder of assistants in it. 0: the decision was completed with four turns on
    one thread. 1: it was not, and the reason stands on the screen. 128 + signal: interrupted before that was clear.
    """
    screen = Screen()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        screen.title(_provider())
        application = Application.read(bpmn.absolute())
        # Now, and not when the engine starts: a thread that downloads could not be broken off.
        jars.fetch(jars.locked("operaton"), console=screen.console)
        return asyncio.run(Demo(screen, application, once=once, crash=crash).run())
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


@dataclass(frozen=True, slots=True)
class Application:
    """What is deployed, what the process is started with, and who answers."""

    models: list[Path]
    variables_file: Path
    variables: dict[str, Any]
    assistants: Path

    @classmethod
    def read(cls, folder: Path) -> "Application":
        """Failed: the folder is not the one."""
        models, variables = sorted(folder.glob("*.bpmn")), folder / f"{PROCESS}.json"
        if not models or not variables.exists():
            raise Failed(f"{folder} has no models with a {PROCESS}.json: the demo runs from a checkout of the project")
        return cls(models, variables, json.loads(variables.read_text("utf-8")), folder / "assistants")


class Demo:
    """One run of the demo."""

    def __init__(self, screen: Screen, application: Application, *, once: bool, crash: bool) -> None:
        self._screen = screen
        self._application = application
        self._once = once
        self._crash = crash
        self._code: int | None = None
        self._signal = 0

    async def run(self) -> int:
        """Start everything, take the decision, stay if that is wanted, and end everything. The exit code."""
        self._on_signals()
        pace = CRASH_PACE if self._crash else PACE
        self._screen.doing("starting Operaton, Valkey and what else it takes")
        try:
            async with (
                stage.set_up(self._application.assistants, pace, self._screen.ready) as parts,
                connection() as session,
            ):
                engine = EngineRest(parts.engine.base_url, session)
                control = ModelControl(parts.model.control_url, session) if parts.model else None
                await self._prepare(parts, engine)
                watch = Watch(parts, engine, control, self._screen, strict=self._once)
                self._code = await self._decide(parts, watch, engine)
                if not self._once:
                    start = f"{engine.base_url}/process-definition/key/{PROCESS}/start"
                    self._screen.staying(start, self._application.variables_file)
                    await watch.linger()
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

    async def _prepare(self, parts: Stage, engine: EngineRest) -> None:
        async with stage.side_by_side() as group:
            group.create_task(engine.deploy("demo", self._application.models), name="deploy")
            group.create_task(parts.start_worker(), name="start worker")
        self._screen.cockpit(parts.engine.cockpit_url, parts.engine.user, parts.engine.password)

    async def _decide(self, parts: Stage, watch: Watch, engine: EngineRest) -> int:
        """Take the decision, watch it, and judge it."""
        variables = self._application.variables
        watch.instance = await engine.start(PROCESS, variables)
        self._screen.instance(watch.instance, str(variables["decision"]["value"]), parts.page(watch.instance))
        if self._crash:
            await watch.crash()
        await watch.follow(watch.ended)
        proof = await watch.proof()
        faults = proof.faults(crash=self._crash)
        self._screen.recommendation(await engine.variable(watch.instance, RESULT) or "There is none.")
        self._screen.proof(str(proof), proof.account(crash=self._crash), faults)
        return 1 if faults else 0
