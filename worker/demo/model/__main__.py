"""`python -m worker.demo.model`: the scripted model server as a program of its own; SIGTERM or SIGINT end it."""

import argparse
import asyncio
import signal
from datetime import timedelta
from pathlib import Path

from worker.demo.model import ModelServer


def main() -> None:
    """Reads the options and serves."""
    parser = argparse.ArgumentParser(prog="python -m worker.demo.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--store", type=Path, help="keep conversations and responses in this file")
    parser.add_argument("--key", help="refuse every other API key")
    parser.add_argument("--latency", type=float, default=0, metavar="SECONDS", help="how long a turn takes")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    latency = timedelta(seconds=options.latency)
    async with ModelServer(port=options.port, key=options.key, store=options.store, latency=latency) as server:
        print(f"model server ready: {server.base_url}", flush=True)  # noqa: T201 - whoever starts us reads it
        await stop.wait()


if __name__ == "__main__":
    main()
