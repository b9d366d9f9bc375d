"""The commands of docs/operate.md, as somebody would type them."""

import shlex
from pathlib import Path

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"


async def test_every_command_of_the_page_for_operators_runs(kept: Rig) -> None:
    worker = await kept.start_worker()
    await kept.run(await kept.deploy(kept.step("frame")))
    await worker.stop()
    commands = [shlex.split(line) for line in PAGE.read_text().splitlines() if line.startswith("assistant-worker ")]

    assert len(commands) == 10
    for program, *arguments in commands:
        done = await assistant_worker(environment(kept), *arguments)
        assert (program, done.code, done.err) == ("assistant-worker", 0, ""), (arguments, done.out)
