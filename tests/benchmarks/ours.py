"""The worker as it runs, put together by bootstrap, with a meter beside it. `python -m tests.benchmarks.ours`.

Settings come from the environment. It stops by itself, as SIGTERM would stop it, when the run is over.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import structlog
from redis.asyncio.connection import AbstractConnection

from tests.benchmarks.answer import ANSWER
from tests.benchmarks.meter import Meter, hand_over
from worker import bootstrap
from worker.accounts.account import Account
from worker.bootstrap import Adapters
from worker.domain.tasks import Task
from worker.domain.threads import OPENAI, Answer, Assistant, Question, Said
from worker.ports.providers import Watcher
from worker.settings import Settings
from worker.telemetry import logs, metrics

PROVIDER_CALLS = ("create_thread", "metadata", "look", "ask", "start", "follow", "cancel", "delete_thread")
LOOK_SECONDS = 0.05


class InProcessModel:
    """Implements `ports.providers.Provider` without a server: every turn takes `seconds`, everything else no time."""

    refuses_overlap = True

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._threads: dict[str, Mapping[str, str]] = {}
        self._runs: dict[str, Answer] = {}

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:  # noqa: ARG002 - the port's
        thread_id = f"conv_{uuid4().hex}"
        self._threads[thread_id] = metadata
        return thread_id

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        return self._threads[thread_id]

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:  # noqa: ARG002 - the port's
        assert thread_id in self._threads
        return None

    async def ask(
        self,
        thread_id: str,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,  # noqa: ARG002 - the port's
    ) -> Answer:
        run = await self.start(thread_id, question, assistant)
        await asyncio.sleep(self._seconds)
        return self._runs.pop(run)

    async def start(self, thread_id: str, question: Question, assistant: Assistant) -> str:
        assert thread_id in self._threads
        run = f"resp_{uuid4().hex}"
        tokens = len(question.with_ref) // 4
        self._runs[run] = Answer(
            ANSWER, response_id=run, model=assistant.model, input_tokens=tokens, output_tokens=len(ANSWER) // 4
        )
        return run

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        await asyncio.sleep(min(self._seconds, within.total_seconds()))
        return self._runs.pop(response_id, None)

    async def cancel(self, response_id: str) -> None:
        self._runs.pop(response_id, None)

    async def erase_thread(self, thread_id: str) -> int:
        await self.delete_thread(thread_id)
        return 0

    async def delete_thread(self, thread_id: str) -> None:
        del self._threads[thread_id]

    async def ping(self) -> None:
        return


def _with_model(adapters: Adapters, model: InProcessModel) -> Adapters:
    """Put another provider in the place of the real one, whose account it has too."""
    known = adapters.accounts[OPENAI]
    account = Account(model, known._first, known._second, known._engine)
    connected = replace(adapters.providers[OPENAI], provider=model, account=account)  # type: ignore[arg-type]  # of its port
    return replace(adapters, providers={OPENAI: connected})


class Beside:
    """Counts what the worker sends to Redis, and the tasks that it parks."""

    def __init__(self) -> None:
        self._sent = 0
        send = AbstractConnection.send_packed_command

        async def counted_send(connection: AbstractConnection, *args: Any, **options: Any) -> None:
            self._sent += 1
            await send(connection, *args, **options)

        _replace(AbstractConnection, send_packed_command=counted_send)

    def __call__(self) -> dict[str, float]:
        [parked] = metrics.PARKED.collect()
        parks = sum(sample.value for sample in parked.samples if sample.name.endswith("_total"))
        return {"redis": self._sent, "parks": parks}


def watch(adapters: Adapters, meter: Meter) -> None:
    """Let the meter see every request to the engine, every fetched task and the time spent in the model."""
    engine, transport = adapters.engine, adapters.engine._transport
    send, fetch = transport.send, engine.fetch

    async def counted_send(method: str, path: str, *args: Any, **options: Any) -> Any:
        meter.sent(path)
        reply = await send(method, path, *args, **options)
        if path.endswith("/complete") and reply.done:
            meter.done(path.split("/")[2])
        return reply

    async def noted_fetch(*args: Any, **options: Any) -> list[Task]:
        polled = meter.polls()
        tasks = await fetch(*args, **options)
        for task in tasks:
            meter.brought(polled, task.id, task.created_at.timestamp(), task.fetched_at)
        return tasks

    _replace(transport, send=counted_send)
    _replace(engine, fetch=noted_fetch)
    provider = adapters.providers[OPENAI].provider
    calls = {name: getattr(provider, name) for name in PROVIDER_CALLS if hasattr(provider, name)}
    _replace(provider, **{name: _timed(call, name, meter) for name, call in calls.items()})


def _timed(call: Any, name: str, meter: Meter) -> Any:
    async def timed(*args: Any, **options: Any) -> Any:
        task_id = structlog.contextvars.get_contextvars()["task_id"]
        started = monotonic()
        if name in {"ask", "start"}:
            meter.asked.setdefault(task_id, started)
        try:
            return await call(*args, **options)
        finally:
            meter.model_seconds[task_id] += monotonic() - started

    return timed


def _replace(target: object, **methods: Any) -> None:
    for name, method in methods.items():
        setattr(target, name, method)


async def _run(options: argparse.Namespace) -> None:
    settings = Settings(_env_file=None)
    logs.configure(settings.log_format, settings.log_level, cached=True)
    written = bootstrap.Written.read(settings)
    meter, stopping = Meter(options.expect, options.stops, Beside()), asyncio.Event()
    async with bootstrap.connect(settings) as connected:
        slow = options.model_seconds
        bootstrap.spare_collections()
        adapters = connected if slow is None else _with_model(connected, InProcessModel(slow))
        watch(adapters, meter)
        ending = asyncio.create_task(_until_over(options, meter, stopping), name="until over")
        try:
            await bootstrap.work(written, adapters, stopping, asyncio.Event())
            hand_over(await ending, options.out)
        finally:
            ending.cancel()


async def _until_over(options: argparse.Namespace, meter: Meter, stopping: asyncio.Event) -> dict[str, Any]:
    """Wait for the end of the run and sum it up, before the stop adds to it."""
    if options.until is not None:
        while not options.until.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(LOOK_SECONDS)
        result = meter.so_far()
    elif options.idle_seconds is None:
        await meter.over.wait()
        result = meter.result()
    else:
        since = await meter.polling
        await asyncio.sleep(options.idle_seconds)
        result = meter.idle(since)
    stopping.set()
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-seconds", type=float, help="an in-process model this slow, instead of the provider")
    parser.add_argument("--expect", type=int, default=0, help="stop after so many completions")
    parser.add_argument("--stops", type=int, nargs="*", default=[], help="note where we stand at so many completions")
    parser.add_argument("--until", type=Path, help="stop when there is this file")
    parser.add_argument("--idle-seconds", type=float, help="stop after so long without work")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(_options()))
