"""Measures a worker while many people read along. `python -m tests.benchmarks.watchers`.

A real engine and Valkey, a worker as a process of its own with a transcript, and a model server that writes slowly. All
feeds are open before anything is answered. Told is what the worker takes, how long an answer's first words are on their
way to a feed from the moment when they pass a bare reader between worker and model, and how long other readers wait.
The same instances run once more with nobody reading along. Nothing is asserted about speed.
"""

import argparse
import asyncio
import json
import re
import resource
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
from aiohttp import web

from tests.api.reading import EventStream, event_stream
from tests.benchmarks.figures import percentile
from tests.benchmarks.machine import cpu_seconds, open_files
from tests.benchmarks.meter import peak_bytes
from tests.flow.command import Command, started
from tests.flow.rig import Rig
from tests.models import Model
from tests.rest import connect
from worker.demo.engine import Engine
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port, running
from worker.demo.servers import Valkey

WORDS = "Take the cheap one, because the dear one is no better, as far as anybody knows by now. " * 3
PAUSE = 0.15
"""Seconds between two words."""
NOTICED_SECONDS = 20.0
"""How long the first step takes, so that all feeds are open, and known of, before the second begins."""
MARK = re.compile(r"watched-(\d+)-(\d+)")


class BareReader:
    """Hands all on between worker and model, piece by piece, and notes when the first words of an answer pass."""

    def __init__(self, target: str) -> None:
        self.passed: dict[str, float] = {}
        self._target = target.rsplit("/v1", 1)[0]
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve at the address that this yields."""
        runner = web.ServerRunner(web.Server(self._pass_on, access_log=None))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            await runner.setup()
            port = free_port()
            await web.TCPSite(runner, HOST, port).start()
            try:
                yield f"http://{HOST}:{port}/v1"
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name in ("Authorization", "Content-Type")}
        found = MARK.search(body.decode())
        async with self._session.request(
            request.method, f"{self._target}{request.path_qs}", data=body, headers=headers
        ) as reply:
            response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                if found and b"output_text.delta" in piece:
                    self.passed.setdefault(found[0], monotonic())
                await response.write(piece)
            return response


def token(number: int) -> str:
    """Name somebody: each may ask only so often."""
    return f"watcher-{number:016}"


def told(values: Sequence[float]) -> str:
    """Median and 95th percentile of seconds."""
    return ", ".join(f"p{each} {1000 * percentile(values, each):.0f} ms" for each in (50, 95)) if values else "none"


async def first_words(stream: EventStream) -> float:
    """When the first words of the second answer came."""
    await stream.next("delta", within=120)
    return monotonic()


async def until_whole(stream: EventStream) -> None:
    """Read on until the second answer is there whole."""
    while (await stream.next("message", within=120)).data["content"] != WORDS:
        pass


async def read_meanwhile(session: aiohttp.ClientSession, seconds: list[float], over: asyncio.Event) -> None:
    """Ask for the list of conversations twice a second, as a page does."""
    while not over.is_set():
        began = monotonic()
        async with session.get("/api/sessions", headers={"Authorization": f"Bearer {token(0)}"}) as reply:
            await reply.read()
            assert reply.status == 200, reply.status
        seconds.append(monotonic() - began)
        await asyncio.sleep(0.5)  # the pace of a page, which this measures beside


@dataclass(frozen=True, slots=True)
class Place:
    """What is measured: a worker process with its API, and the bare reader before its model."""

    rig: Rig
    model: Model
    bare: BareReader
    worker: Command
    port: int

    async def measure(self, batch: int, threads: int, each: int) -> str:
        """Start so many instances, each with so many who read along from its beginning to its end."""
        others, over, limit = list[float](), asyncio.Event(), aiohttp.TCPConnector(limit=0)
        cpu = cpu_seconds(self.worker.pid)
        began = monotonic()
        async with (
            aiohttp.ClientSession(
                f"http://{HOST}:{self.port}", connector=limit, timeout=aiohttp.ClientTimeout(None)
            ) as session,
            AsyncExitStack() as feeds,
        ):
            names = [f"watched-{batch}-{number}" for number in range(threads)]
            instances = [await self.rig.rest.start(self.model, {"who": name}) for name in names]
            opened = [
                (
                    name,
                    await feeds.enter_async_context(
                        event_stream(session, f"/api/instances/{instance}/feed", token(number))
                    ),
                )
                for number, (name, instance) in enumerate(zip(names, instances, strict=True), 1)
                for _ in range(each)
            ]
            reading = asyncio.create_task(read_meanwhile(session, others, over))
            firsts = await asyncio.gather(*(first_words(stream) for _, stream in opened))
            late = [at - self.bare.passed[name] for (name, _), at in zip(opened, firsts, strict=True)]
            await asyncio.gather(*(until_whole(stream) for _, stream in opened))
            for instance in instances:
                await self.rig.rest.wait_for_end(instance, 120)
            cpu = cpu_seconds(self.worker.pid) - cpu
            files = open_files(self.worker.pid)
            over.set()
            await reading
        return (
            f"{threads} instances, {len(opened)} feeds: {monotonic() - began:.0f} s, {cpu:.1f} s CPU, "
            f"{peak_bytes(self.worker.pid) / 2**20:.0f} MB at most, {files} open files\n"
            f"  first words behind the bare reader: {told(late)}\n"
            f"  {len(others)} other readers: {told(others)}"
        )


async def measure(threads: int, each: int) -> None:
    """Measure with nobody who reads along, with all, and with nobody once more."""
    async with (
        running(Engine()) as engine,
        running(Valkey()) as valkey,
        connect(engine) as rest,
        ModelServer() as provider,
        AsyncExitStack() as stack,
    ):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rig, bare, port = Rig(rest, provider, valkey.url(0), folder), BareReader(provider.base_url), free_port()
        rig.assistant(timeout=60)
        provider.fault("responses.create", text="Please do one", during=NOTICED_SECONDS, times=None)
        provider.answer("Please do two", WORDS)
        provider.fault("responses.create", text="Please do two", stream={"pause": PAUSE}, times=None)
        model = await rig.deploy(rig.step("one", data_input="who"), rig.step("two", data_input="who"))
        settings = {
            "openai_base_url": await stack.enter_async_context(bare.serving()),
            "transcript_url": f"sqlite:///{folder}/transcript.db",
            "api_port": port,
            "api_tokens": json.dumps({token(number): {"role": "viewer"} for number in range(threads + 1)}),
            "max_tasks": threads,
            "feed_most": threads * each,
            "feed_most_each": threads * each,
        }
        worker = await stack.enter_async_context(started(rig, **settings))
        place = Place(rig, model, bare, worker, port)
        for batch, watching in enumerate((0, each, 0)):  # the first warms up
            print(await place.measure(batch, threads, watching), flush=True)  # noqa: T201 - a command


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watchers", description=__doc__)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--each", type=int, default=10)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(measure(options.threads, options.each))


if __name__ == "__main__":
    main()
