"""What may take long is done while the loop goes on."""

import ast
import asyncio
import time
from pathlib import Path

from worker.runtime.beside import beside, beside_if, for_reader

WORK_SECONDS = 0.3
WORKER = Path(__file__).parents[2] / "worker"
ELSEWHERE = {
    "transcript/database.py": "one look at a file, before anything is written",
    "transcript/hurried.py": "once, when the worker has ended",
    "operate": "commands, which have their process for themselves",
    "demo": "is not the worker",
}


async def ticks_during(work: asyncio.Future[object] | asyncio.Task[object]) -> int:
    """How often the loop came round while this was under way."""
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    return ticks


async def test_the_loop_goes_on_while_something_slow_is_done() -> None:
    assert await ticks_during(asyncio.ensure_future(beside(time.sleep, WORK_SECONDS))) > 10
    assert await ticks_during(asyncio.ensure_future(beside_if(True, time.sleep, WORK_SECONDS))) > 10


async def test_small_work_is_done_at_once() -> None:
    assert await ticks_during(asyncio.ensure_future(beside_if(False, time.sleep, WORK_SECONDS))) <= 1


async def test_however_many_read_turns_go_on_and_hosts_are_looked_up() -> None:
    reading = [asyncio.ensure_future(for_reader(time.sleep, WORK_SECONDS)) for _ in range(20)]
    await asyncio.sleep(0.01)  # as many of them as there are threads for have begun
    async with asyncio.timeout(WORK_SECONDS / 2):
        await beside(int)
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    for each in reading:
        each.cancel()


def test_the_threads_in_which_hosts_are_looked_up_do_nothing_else() -> None:
    found = {
        str(path.relative_to(WORKER))
        for path in WORKER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.to_thread"
    }
    assert {each for each in found if not each.startswith(tuple(ELSEWHERE))} == set()
