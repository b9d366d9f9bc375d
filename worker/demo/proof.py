"""What was counted when a process instance of the demo was over, and whether that is as it should be."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """What was counted when the instance was over, with the instances that it called.

    `steps` and `conversations` are what the engine's history and the models say there had to be. `turns`, `created`,
    `threads` (those with turns on them) and `asked` are what the provider counted; `asked`, the number of questions
    that were sent, is None where only the provider knows it. `told` is what the steps on the screen said, in order.
    `in_flight` is how many questions were being answered when the worker was killed.
    """

    state: str
    steps: int
    conversations: int
    turns: int
    created: int
    threads: Sequence[str]
    told: Sequence[str | None]
    asked: int | None
    in_flight: int = 0

    def __str__(self) -> str:
        reused = self.turns - len(self.threads)
        return f"{_some(self.turns, 'turn')} · {_some(self.created, 'thread')} created · {reused} reused"

    def account(self, *, crash: bool) -> str:
        """Say which threads it were, who counted, and what a crash has cost."""
        threads = ", ".join(self.threads) or "no thread"
        if self.asked is None:
            return f"{threads}; counted in the worker's log"
        cost = ""
        if crash:
            cost = ", none of them twice" if self.asked == self.turns else ", more than once where the crash was"
        return f"{threads}; counted by the model server, which was sent {_some(self.asked, 'question')}{cost}"

    def faults(self) -> list[str]:
        """Say what is not as it should be. A crash may cost questions again, but neither a turn nor a thread."""
        faults = []
        if self.state != "COMPLETED":
            faults.append(f"the process instance is {self.state}, not COMPLETED")
        if not self.steps:
            faults.append("the engine knows of no step that an assistant answered")
        if (self.turns, self.created, len(self.threads)) != (self.steps, self.conversations, self.conversations):
            wanted = f"{_some(self.steps, 'turn')} on {_some(self.conversations, 'thread')}"
            faults.append(f"this is not {wanted}, each of them created once")
        if set(self.told) != set(self.threads) or len(self.told) != self.steps:
            faults.append("the steps on the screen do not tell of these threads")
        if self.asked is not None and self.asked > self.steps + self.in_flight:
            faults.append(f"{_some(self.asked, 'question')} were sent for {_some(self.steps, 'step')}")
        return faults


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
