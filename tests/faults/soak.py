"""Faults that take minutes, or more memory than the tests have: `python -m tests.faults.soak [part …]`, or all parts.

    engine   the engine is stopped for minutes, with tasks in hand, waiting, and not fetched yet
    redis    the same with a Redis that keeps its data
    backlog  ten thousand tasks lie there, each with a thread of its own
    crowd    a fifth as many, and all of them have one thread: its turns come one after the other
    huge     a file of 50 MB and a text of 15 MB, with sound tasks beside them

Each part has servers of its own, and what is stopped is the server's process. It prints one line of JSON per part; the
exit code is 1 if a promise was broken.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from tests.faults import load, outage
from tests.faults.ground import Ground, open_ground, say
from worker.demo.processes import StartError

Part = Callable[[Ground, argparse.Namespace], Awaitable[dict[str, Any]]]
PARTS: dict[str, Part] = {
    "engine": lambda ground, options: outage.engine(ground, timedelta(minutes=options.minutes)),
    "redis": lambda ground, options: outage.redis(ground, timedelta(minutes=options.minutes)),
    "backlog": lambda ground, options: load.backlog(ground, options.tasks),
    "crowd": lambda ground, options: load.crowd(ground, options.tasks // 5),
    "huge": lambda ground, _: load.huge(ground),
}


async def play(name: str, options: argparse.Namespace) -> bool:
    """Play one part; whether it was sound."""
    say(f"--- {name}")
    try:
        async with open_ground() as ground:
            facts = await PARTS[name](ground, options)
    except (AssertionError, ExceptionGroup, StartError):
        traceback.print_exc()
        return False
    say(json.dumps({"part": name} | facts))
    return True


async def main() -> int:
    """Play the parts that the command line names; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which ones; without any all of them")
    parser.add_argument("--minutes", type=float, default=3.5, help="how long a server is away")
    parser.add_argument("--tasks", type=int, default=10_000, help="how many lie there, in the part backlog")
    options = parser.parse_args()
    sound = [await play(name, options) for name in options.parts or PARTS]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
