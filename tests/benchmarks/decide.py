"""Measures what a decision's record costs. `python -m tests.benchmarks.decide`, to build/decide.json.

Eight alternatives, twelve criteria, five judges with ranges, three sets of weights, 20 000 samples; CPU seconds of one
process, the least of several times, as other work on the machine only ever adds. Then what a worker's start imports,
with and without the packages that decisions and reports need.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import machine
from worker.decisions import chain
from worker.decisions.formats import FORMATS
from worker.decisions.items import Item
from worker.decisions.record import build, facts
from worker.decisions.sampling import SAMPLES
from worker.decisions.verifying import verify

ALTERNATIVES = [f"A{number}" for number in range(8)]
CRITERIA = [f"C{number}" for number in range(12)]
JUDGES = [f"judge_{number}" for number in range(5)]
SETS = ("base", "cost", "quality")
TIMES = 5
AT = datetime(2026, 3, 1, tzinfo=UTC)
HEAVY = ("numpy", "typst", "docx", "xlsxwriter", "matplotlib")
STARTED = f"""
import json, resource, sys, time
began = time.process_time()
import worker.bootstrap, worker.cli
seconds = time.process_time() - began
print(json.dumps({{
    "cpu_seconds": round(seconds, 2),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
    "heavy": [each for each in {HEAVY} if each in sys.modules],
}}))
"""


def parts() -> Iterator[Item]:
    """All that is said for the record, with words of usual length."""
    dice = random.Random(7)  # noqa: S311 - no secret
    source = {"of": "turn", "at": AT.isoformat(), "task": "t"}

    def weights(name: str) -> dict[str, Any]:
        points = [{"objective": each, "points": dice.randint(10, 100)} for each in CRITERIA]
        return {"id": name, "kind": "base" if name == "base" else "what_if", "method": "swing", "points": points}

    def cell(alternative: str, criterion: str) -> dict[str, Any]:
        base = dice.randint(20, 80)
        return {
            "alternative": alternative,
            "criterion": criterion,
            "base": base,
            "low": base - dice.randint(1, 20),
            "high": base + dice.randint(1, 20),
            "why": "Seen in the offer, in the trial of last year, and at two customers who run it by day and by night.",
        }

    of_criteria = [
        {"id": each, "name": f"Criterion {each}", "unit": "points", "value": {"walk_away": 0, "ideal": 100}}
        for each in CRITERIA
    ]
    yield Item("frame", {"statement": "Which press is bought?", "decider": "The board"}, source)
    yield Item("objectives", {"objectives": of_criteria}, source)
    yield Item(
        "alternatives", {"alternatives": [{"id": each, "name": f"Press {each}"} for each in ALTERNATIVES]}, source
    )
    yield Item("recommendation", {"alternative": "A0", "why": "It has {sums.A0}, and leads by {lead}."}, source)
    yield Item("weights", {"sets": [weights(each) for each in SETS]}, source)
    for judge in JUDGES:
        rows = [cell(alternative, criterion) for alternative in ALTERNATIVES for criterion in CRITERIA]
        yield Item("scores", {"scores": rows}, source, judge)


def timed(work: Callable[[], Any]) -> float:
    """Return the least CPU seconds of several times."""
    spent = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return round(min(spent), 3)


def measured() -> dict[str, Any]:
    """Measure all."""
    said = list(parts())
    record = build("r1", said, "proposed")
    row = chain.row("change", None, record, AT, facts(record))
    whole = {**record, "rows": [row]}
    if problems := verify(record, [row]).problems:
        raise SystemExit(f"the record does not hold, and to verify it would break off early: {problems}")
    started = subprocess.run([sys.executable, "-c", STARTED], check=True, capture_output=True, text=True)
    return {
        "machine": machine.facts(),
        "samples": SAMPLES,
        "seconds": {
            "to make a record": timed(lambda: build("r1", said, "proposed")),
            "to verify it": timed(lambda: verify(record, [row])),
            **{f"to write it as {name}": timed(partial(each.write, whole)) for name, each in FORMATS.items()},
        },
        "start": json.loads(started.stdout),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/decide.json"))
    out = parser.parse_args().out
    found = measured()
    text = json.dumps(found, indent=2)
    sys.stdout.write(f"{text}\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)


if __name__ == "__main__":
    main()
