"""What is known of a turn while it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from worker.domain.memory import Recalled
from worker.domain.threads import Answer, Cut, Memory, Seed, Thread, ThreadKey
from worker.runtime.clock import monotonic

Use = Literal["created", "reused", "recreated", "adopted", "apart"]
APART: Final = "apart"
"""The answer is on no thread, and none is told of it."""


@dataclass(slots=True)
class TurnFacts:
    """One turn's facts, for its log line, its meta variable and its delivery. Filled as the turn goes.

    `recovered` says where an answer was found instead of asked for: journal or thread. `repaired`: the answer before
    it had the wrong form. `seed` is what a thread that was made was told, `memory` None where none was. `left_out`
    names inputs that there was no room for. `retries` and `retry_delay` are the task's own wishes. `calls` counts
    those that may have been paid, as in `Entered`, with one of this turn. `budgets` says which are nearly used up,
    `reads` how many tokens its call is thought to read. `heard` counts what persons were answered on the thread before.
    `cuts` say what is not told any more of what was said. `recalled` is what the question shows of what is remembered.
    `looked_up` names the assistant's files that say something to the question, with the beginnings of their digests.
    `rewound` are the words of the order to rewind that the thread was made for. `is_asking`: a call of the model runs,
    or its answer is being kept. `is_taken`: another worker has the task meanwhile, and waits for that.
    """

    activity: str
    assistant: str = "?"
    version: str | None = None
    provider: str | None = None
    retries: int | None = None
    retry_delay: timedelta | None = None
    key: ThreadKey | None = None
    attempt: int = 1
    calls: int = 0
    thread: Thread | None = None
    use: Use = "reused"
    seed: Seed = field(default_factory=Seed)
    memory: Memory | None = None
    cuts: tuple[Cut, ...] = ()
    rewound: str = ""
    recalled: Recalled | None = None
    looked_up: Mapping[str, str] = field(default_factory=dict)
    recovered: Literal["journal", "thread"] | None = None
    repaired: bool = False
    left_out: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    reads: int = 0
    heard: Mapping[str, int] = field(default_factory=dict)
    answer: Answer | None = None
    trouble_for: timedelta = timedelta(0)
    error: Exception | None = None
    is_asking: bool = False
    is_taken: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def phase(self, name: str) -> "_Phase":
        """Add the time inside to this phase."""
        return _Phase(self.seconds, name)


class _Phase:
    """A context manager of its own: six of `contextlib` were a fiftieth of a turn."""

    __slots__ = ("_name", "_seconds", "_started")

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + monotonic() - self._started
