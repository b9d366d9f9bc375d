"""The end of conversations: by age when their process is over, or at once by order. Both may be killed and go on."""

from worker.ending.erasing import Eraser, StillRuns
from worker.ending.holds import HeldAlready, Holds, NotHeld
from worker.ending.keeper import Keeper, Pace
from worker.ending.ports import EndingPorts, runs, sessions
from worker.ending.repair import Stuck, overdue
from worker.ending.retention import Retention
from worker.ending.rewinding import NothingToRewind, Rewinding, Rewound, Wish
from worker.ending.rounds import Policy, Round

__all__ = [
    "EndingPorts",
    "Eraser",
    "HeldAlready",
    "Holds",
    "Keeper",
    "NotHeld",
    "NothingToRewind",
    "Pace",
    "Policy",
    "Retention",
    "Rewinding",
    "Rewound",
    "Round",
    "StillRuns",
    "Stuck",
    "Wish",
    "overdue",
    "runs",
    "sessions",
]
