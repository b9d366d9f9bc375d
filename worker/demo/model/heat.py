"""What the script knows of the sample frame: what people say of a town's heat, and what each of it really is."""

from dataclasses import dataclass
from typing import Final

FACTS, UNCERTAINTIES, DECISIONS, VALUES = "facts", "uncertainties", "decisions", "values"

CARES: Final = {
    "Town council": ("a promise kept and a majority for it", "whoever sits there would vote the same way again"),
    "Municipal utility": (
        "heat on the coldest day, and debt it can carry",
        "no hour of cold flats, and less debt each year",
    ),
    "Tenants": ("the price of heat in the rent", "heat takes no larger part of the rent than today"),
    "Harbour quarter residents": ("quiet, clean air and few lorries", "nobody has moved away because of the plant"),
    "Paper mill": ("money for what it gives to the river", "its heat is sold, whoever owns the mill"),
    "Housing company": ("warm flats, and a date for the oil-heated estate", "the estate in the south burns no oil"),
}
"""What each stakeholder cares about most, and the sign by which they would notice success."""

OPPOSED: Final = (
    ("Tenants", "Paper mill", "the price of waste heat"),
    ("Municipal utility", "Harbour quarter residents", "the site"),
)

RULES_OUT: Final = {
    "site": "a new plant on the old place, and any start after autumn 2031",
    "fossil": "gas as more than a bridge",
    "network": "a boiler for each house in the old town",
}
"""What a decision already taken rules out, by a word in it."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something that somebody says, its category, and the same in the form of that category.

    `name`: a decision in focus, an uncertainty in the diagram, or an objective. `options` are those of a decision in
    focus, `waits_for` what another decision waits for, `measure` that of a value, `reduced_by` belongs to an
    uncertainty.
    """

    who: str
    text: str
    category: str
    restated: str
    name: str = ""
    options: tuple[str, ...] = ()
    waits_for: str = ""
    measure: str = ""
    reduced_by: str = ""


ISSUES: Final = (
    Issue(
        "Town council",
        "Whatever we build has to run before the boiler house goes, or 5,200 flats are cold.",
        FACTS,
        "The new supply has to run by autumn 2031; 5,200 flats, the hospital and the schools hang on it.",
    ),
    Issue(
        "Town council",
        "Will we vote on this before or after the election?",
        DECISIONS,
        "When does the council vote, before or after the election?",
        waits_for="cost estimates for the sites in focus",
    ),
    Issue(
        "Municipal utility",
        "We cannot borrow without end, the network wants money too.",
        VALUES,
        "As little debt of the utility as possible.",
        name="Debt",
        measure="M€ of debt in the highest year",
    ),
    Issue(
        "Municipal utility",
        "Harbour, freight yard or the field: nobody has ever compared them.",
        DECISIONS,
        "Which site does the plant stand on?",
        name="Site",
        options=("harbour", "freight yard", "field behind the sewage works"),
    ),
    Issue(
        "Municipal utility",
        "Nobody can tell us what electricity will cost.",
        UNCERTAINTIES,
        "Price of electricity from 2031 on, depending on grid fees and wind power.",
        name="Electricity price",
        reduced_by="an offer for a ten-year supply contract",
    ),
    Issue(
        "Tenants",
        "The heating bill must not go up again.",
        VALUES,
        "As low a price of heat for tenants as possible.",
        name="Price of heat",
        measure="€ a month for a flat of 70 m²",
    ),
    Issue(
        "Tenants",
        "Last year we paid for gas and for nothing else.",
        FACTS,
        "Gas and carbon were 71 % of the cost of heat.",
    ),
    Issue(
        "Harbour quarter residents",
        "No chimney and no lorries under our windows.",
        VALUES,
        "As little noise, exhaust and lorry traffic in the quarters as possible.",
        name="Nuisance",
        measure="residents within 300 m, times lorries a day",
    ),
    Issue(
        "Harbour quarter residents",
        "Take a heat pump in the harbour basin, then you need no chimney.",
        DECISIONS,
        "Which source carries the base load?",
        name="Base load",
        options=("heat pump in the river", "waste heat of the mill", "wood chips"),
    ),
    Issue(
        "Paper mill",
        "We give 14 MW to the river, all year round.",
        FACTS,
        "The mill has 14 MW of waste heat to spare today.",
    ),
    Issue(
        "Paper mill",
        "Who signs a contract with a mill that is for sale?",
        UNCERTAINTIES,
        "Years that the mill goes on delivering, depending on who buys it.",
        name="Life of the mill",
        reduced_by="a talk with the owner and the two bidders",
    ),
    Issue(
        "Paper mill",
        "Somebody has to promise us that the heat is taken before we lay a pipe.",
        DECISIONS,
        "How is the mill tied in, if at all?",
        name="Mill contract",
        options=("no contract", "heat taken as it comes", "guaranteed delivery with a penalty"),
    ),
    Issue(
        "Housing company",
        "In ten years our flats will need a third less.",
        UNCERTAINTIES,
        "Demand for heat in 2040, depending on how many flats are insulated.",
        name="Demand in 2040",
        reduced_by="the housing company's list of renovations",
    ),
    Issue(
        "Housing company",
        "When do you connect our estate in the south?",
        DECISIONS,
        "When is the oil-heated estate in the south connected?",
        waits_for="the size of the plant, and the demand of its first winter",
    ),
    Issue(
        "Town council",
        "Free of fossil fuels by 2038 has to mean something before 2038 as well.",
        VALUES,
        "As little fossil carbon on the way to 2038 as possible.",
        name="Carbon",
        measure="t of CO₂ from 2031 to 2038",
    ),
)

ARCS: Final = (
    ("Site", "Nuisance", "who lives beside it, and how lorries get there"),
    ("Site", "Debt", "pipes and ground cost more on the field"),
    ("Site", "Base load", "a river pump needs water beside it"),
    ("Base load", "Price of heat", "fuel or electricity is most of the cost"),
    ("Base load", "Debt", "a heat pump costs more to build than boilers"),
    ("Base load", "Carbon", "what burns, or what electricity is made of"),
    ("Base load", "Nuisance", "wood chips come by lorry"),
    ("Mill contract", "Price of heat", "waste heat costs a fraction of any fuel"),
    ("Mill contract", "Carbon", "each hour of the mill's heat burns nothing"),
    ("Life of the mill", "Price of heat", "without the mill its heat has to be replaced"),
    ("Electricity price", "Price of heat", "a pump makes three of heat from one of power"),
    ("Demand in 2040", "Price of heat", "fewer kilowatt hours carry the same fixed cost"),
    ("Debt", "Price of heat", "interest is part of the price"),
)
"""Which of decisions, uncertainties and objectives bears on which other, and why."""
