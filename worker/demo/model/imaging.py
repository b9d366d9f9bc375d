"""What the script knows of the sample analysis: invented figures of three ways to a hospital's imaging centre."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

YEARS: Final = 10


@dataclass(frozen=True, slots=True)
class Option:
    """One way to go. Money in M€, `cost` and `income` a year; `capacity` is Brennach's part, in examinations a year.

    `conditions` by view: what it is, and its price, which is paid once.
    """

    built: str
    months: int
    capacity: int
    investment: float
    cost: float
    income: float
    conditions: Mapping[str, tuple[str, float]]

    @property
    def net(self) -> float:
        """What it costs over the horizon, without conditions."""
        return self.investment + YEARS * (self.cost - self.income)


TECHNICAL, BUSINESS, RISK = "Technical", "Business", "Risk"

OPTIONS: Final = {
    "Own centre": Option(
        "new wing beside the emergency department, shielding, 14 people on shift, 4 of them new",
        20,
        9_400,
        7.9,
        2.6,
        1.1,
        {
            TECHNICAL: ("a CT on a truck under contract for outages", 0.3),
            BUSINESS: ("contracts with the practices before building starts", 0.0),
            RISK: ("remote reading at night until all posts are filled", 0.4),
        },
    ),
    "Shared centre": Option(
        "a hall in Tallach, a joint archive, patient transport by the quarter of an hour",
        26,
        8_900,
        3.9,
        2.1,
        0.3,
        {
            TECHNICAL: ("a new CT of its own in the emergency department, and both networks joined", 1.4),
            BUSINESS: ("the company's costs are split by use, not by beds", 0.1),
            RISK: ("an exit clause, transport at night, and spare parts for the old CT bought now", 0.4),
        },
    ),
    "Contractor": Option(
        "two prefabricated rooms in the yard, power supply, the contractor's staff",
        11,
        7_200,
        0.9,
        2.9,
        0.5,
        {
            TECHNICAL: ("a second shift on three evenings a week", 0.5),
            BUSINESS: ("a price per examination above the agreed volume", 0.3),
            RISK: ("a right to buy the machines after five years", 0.1),
        },
    ),
}

MET: Final = "met"
FITS: Final[Mapping[str, Mapping[str, str]]] = {
    "Emergency CT": {"Own centre": MET, "Shared centre": "if a CT of its own stands in the house", "Contractor": MET},
    "MRI wait": {"Own centre": MET, "Shared centre": MET, "Contractor": "if evenings are in the contract"},
    "Volume": {"Own centre": MET, "Shared centre": MET, "Contractor": "if a second shift is worked"},
    "Reports": {
        "Own centre": "if the posts are filled",
        "Shared centre": "if both networks are joined",
        "Contractor": MET,
    },
    "Outage": {
        "Own centre": "if a truck is on call",
        "Shared centre": "if a CT of its own stands in the house",
        "Contractor": MET,
    },
}
"""How each option does by each requirement."""

COMMON: Final = {
    "Volume": ("6,800", "6,800 examinations a year are expected"),
    "Time": ("22 months", "support for the old CT ends in 22 months"),
    "Distance": ("18 km", "18 km to Tallach"),
    "Staff": ("two of five", "two of five radiologists' posts are vacant"),
}
"""Figures that all views share: what the context has to say for them to count, and how they read."""


@dataclass(frozen=True, slots=True)
class Risk:
    """What may happen to some of the options; likelihood and impact from 1 to 5. `threatens` names a requirement."""

    options: tuple[str, ...]
    event: str
    likelihood: int
    impact: int
    response: str
    left: int
    threatens: str


EVERY: Final = "every option"
RISKS: Final = {
    "Vacant posts": Risk(
        ("Own centre",), "nobody applies, and the machines stand still at night", 4, 4, "remote reading", 10, "Reports"
    ),
    "Late opening": Risk(
        ("Shared centre",),
        "three owners need longer than the old CT lasts",
        3,
        5,
        "spare parts bought now",
        6,
        "Outage",
    ),
    "No decision": Risk(
        (EVERY,), "the old CT fails before its successor is ordered", 3, 5, "a date for the vote", 5, "Outage"
    ),
    "Low volume": Risk(
        ("Own centre",), "the practices send their patients elsewhere", 3, 4, "contracts before building", 8, "Volume"
    ),
    "Lock-in": Risk(
        ("Contractor",), "after ten years nobody in the house can run a scanner", 4, 3, "a right to buy", 8, "Volume"
    ),
    "Price clause": Risk(
        ("Contractor",), "wages rise, and the yearly price with them", 3, 3, "a cap of 2 % a year", 4, "Volume"
    ),
    "Partner leaves": Risk(
        ("Shared centre",), "a partner is merged and cancels its share", 2, 3, "an exit clause", 3, "Volume"
    ),
}
"""By short names. The first five by likelihood times impact are answered; the others stay as they are."""
