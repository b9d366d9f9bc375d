"""Measures the worker against an earlier one in the same run. `python -m tests.benchmarks.against FOLDER`.

FOLDER is a checkout of the earlier one. Both run beside the same engine and servers, one right after the other, the
order changing from round to round; what is told is the median of the rounds' ratios. A machine whose speed changes
between two runs of the bench tells nothing about the worker: here it changes for both.
"""

import argparse
import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import figures, stage, subjects
from tests.benchmarks.__main__ import Bench, Extent, record_folder, say
from tests.benchmarks.figures import Result

RUNS = ("instant", "second", "server", "single")
EXTENT = Extent(1, 1600, 600, 800, 50, 8000, 60, 800, 5)


@contextmanager
def code_of(checkout: Path) -> Iterator[None]:
    """Let the subjects that start inside run the code of a checkout."""
    ours, subjects.ROOT = subjects.ROOT, checkout
    try:
        yield
    finally:
        subjects.ROOT = ours


async def measure(earlier: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return each figure of each round: the earlier worker's, and ours."""
    pairs = defaultdict[str, list[tuple[float, float]]](list)
    async with stage.open_stage() as parts, record_folder() as folder:
        four, one = (stage.model(turns, stage.TOPIC) for turns in (stage.TURNS, 1))
        await parts.rest.deploy(four, one)
        bench = Bench(parts, four, one, EXTENT, folder)
        await bench.warm_up()
        for number in range(rounds):
            sides = [earlier, subjects.ROOT]
            for name in RUNS:
                found: dict[Path, Result] = {}
                for side in sides[:: -1 if number % 2 else 1]:
                    with code_of(side):
                        found[side] = await getattr(bench, name)(_tasks(name))
                both = [figures.of_round({name: found[side]}) for side in sides]
                for figure in both[0].keys() & both[1].keys():
                    pairs[figure].append((both[0][figure], both[1][figure]))
            say(f"round {number + 1} of {rounds}")
    return pairs


def _tasks(name: str) -> int:
    return {"second": EXTENT.second_tasks, "server": EXTENT.server_tasks, "single": EXTENT.single_tasks}.get(
        name, EXTENT.tasks
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.against", description=__doc__)
    parser.add_argument("earlier", type=Path, help="folder of a checkout")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pairs = asyncio.run(measure(options.earlier.resolve(), options.rounds))
    say("| | earlier, median | ours, median | ratio, median of the rounds | min-max | ratio of the best rounds |")
    say("|---|---:|---:|---:|---:|---:|")
    for name, rounds in sorted(pairs.items()):
        say(_line(name, rounds))


def _line(name: str, rounds: Sequence[tuple[float, float]]) -> str:
    """One figure. What disturbs a round makes it worse, never better: the best ones tell most of the code."""
    best = max if "rate" in name else min
    ratios = [ours / before for before, ours in rounds]
    before, ours = zip(*rounds, strict=True)
    middles = f"{statistics.median(before):.2f} | {statistics.median(ours):.2f} | {statistics.median(ratios):.2f}"
    return f"| {name} | {middles} | {min(ratios):.2f}-{max(ratios):.2f} | {best(ours) / best(before):.2f} |"


if __name__ == "__main__":
    main()
