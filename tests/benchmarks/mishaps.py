"""One call of the model in fifty goes wrong, each in another way."""

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.subjects import ROOT

ASSISTANTS = ROOT / "tests" / "benchmarks" / "impatient"
"""The bench's assistant with a timeout of 3 s."""
EVERY = 50
KINDS: tuple[Mapping[str, Any], ...] = (
    {"drop": True},  # a reset before anything was done
    {"cut": True},  # a reset when the answer stands on the conversation
    {"reply": "server_error"},
    {"reply": "rate_limit"},
    {"before": 4},  # too late: the answer appears after the deadline
    {"before": 600},  # never
)


def rules(tasks: int) -> list[Mapping[str, Any]]:
    """Spread two mishaps over each hundred calls, all kinds by turns.

    Not by dice: of so few, chance would make the figure. A rule does not see what one before it has taken.
    """
    return [
        {**KINDS[number % len(KINDS)], "times": 1, "skip": number * (EVERY - 1) + EVERY // 2}
        for number in range(tasks // EVERY)
    ]
