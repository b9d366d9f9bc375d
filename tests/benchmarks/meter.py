"""What a subject process notes of its own run, and how it hands that over: one JSON file."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, process_time, time
from typing import Any

NOBODYS = "assistant-worker-asks"
_KINDS = {
    "/fetchAndLock": "poll",
    "/complete": "complete",
    "/extendLock": "extend",
    "/xml": "definition",
    "/statistics": "discovery",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the process stood at one moment: monotonic clock and its own CPU time in seconds, requests so far.

    `beside` has what else was counted, and `tasks` the completions.
    """

    at: float
    cpu: float
    requests: Counter[str]
    beside: Mapping[str, float]
    tasks: int


@dataclass(slots=True)
class Meter:
    """Counts from the poll that brought the first task to the last of `expected` completions.

    All times are monotonic seconds; `wall` added to one gives Unix time, as the engine's `createTime` is. At each of
    `stops` completions it notes where the process stands; `beside` tells what else to count.
    """

    expected: int
    stops: Collection[int] = ()
    beside: Callable[[], Mapping[str, float]] = dict
    passed: list[Mark] = field(default_factory=list)
    wall: float = field(default_factory=lambda: time() - monotonic())
    requests: Counter[str] = field(default_factory=Counter)
    created: dict[str, float] = field(default_factory=dict)
    fetched: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    completed: dict[str, float] = field(default_factory=dict)
    model_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    first: Mark | None = None
    last: Mark | None = None
    polling: asyncio.Future[Mark] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self) -> Mark:
        """Note where we stand."""
        return Mark(monotonic(), process_time(), self.requests.copy(), self.beside(), len(self.completed))

    def sent(self, path: str) -> None:
        """Count a request to the engine; `path` as it is sent."""
        address = path.partition("?")[0]
        kind = next((kind for end, kind in _KINDS.items() if address.endswith(end)), "")
        kind = kind or ("variable" if "/variables/" in address else "other")
        self.requests["other" if NOBODYS in address else kind] += 1

    def polls(self) -> Mark:
        """Note that a poll is about to be sent; the first one resolves `polling`."""
        mark = self.mark()
        if not self.polling.done():
            self.polling.set_result(mark)
        return mark

    def brought(self, polled: Mark, task_id: str, created_at: float, fetched_at: float) -> None:
        """Note a fetched task; `polled` is from before the poll, `created_at` Unix time."""
        self.first = self.first or polled
        self.created[task_id] = created_at - self.wall
        self.fetched[task_id] = fetched_at

    def done(self, task_id: str) -> None:
        """Note an accepted completion."""
        self.completed[task_id] = monotonic()
        if len(self.completed) in self.stops:
            self.passed.append(self.mark())
        if len(self.completed) == self.expected:
            self.last = self.mark()
            self.over.set()

    def result(self) -> dict[str, Any]:
        """Sum the run up: seconds, counts, bytes of memory; lists have one entry per completed task."""
        assert self.first is not None, "no task came"
        assert self.last is not None, "not every task was completed"
        ends = sorted(self.completed.values())
        tasks = list(self.completed)
        return {
            "tasks": len(tasks),
            "since_first_fetch_seconds": ends[-1] - self.first.at,
            "since_first_completion_seconds": ends[-1] - ends[0],
            "cpu_seconds": self.last.cpu - self.first.cpu,
            "peak_bytes": peak_bytes(),
            "requests": dict(self.last.requests - self.first.requests),
            "own_seconds": [self.completed[each] - self.fetched[each] - self.model_seconds[each] for each in tasks],
            "pick_up_seconds": [self.fetched[each] - self.created[each] for each in tasks],
            "question_seconds": [self.asked[each] - self.created[each] for each in tasks if each in self.asked],
            "marks": self._marks(self.first, self.last),
        }

    def so_far(self) -> dict[str, Any]:
        """Sum up a run that somebody ended, which may have brought nothing."""
        last = self.mark()
        return {"marks": self._marks(self.first or last, last), "peak_bytes": peak_bytes()}

    def _marks(self, first: Mark, last: Mark) -> list[dict[str, Any]]:
        return [
            {
                "tasks": mark.tasks,
                "at": mark.at,
                "cpu": mark.cpu,
                "requests": dict(mark.requests),
                "beside": dict(mark.beside),
            }
            for mark in (first, *self.passed, last)
        ]

    def idle(self, since: Mark) -> dict[str, Any]:
        """Sum up what happened since then."""
        now = self.mark()
        return {
            "seconds": now.at - since.at,
            "cpu_seconds": now.cpu - since.cpu,
            "requests": dict(now.requests - since.requests),
            "peak_bytes": peak_bytes(),
        }


def peak_bytes(pid: int | str = "self") -> int:
    """The most memory that a process ever had resident: VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def hand_over(result: dict[str, Any], out: Path) -> None:
    """Write the result where the bench looks for it."""
    out.write_text(json.dumps(result), "utf-8")
