"""The steps of the sample procurement, worked out from the offers and from what the conversation says of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import markdown as md
from worker.demo.model import objects

Inputs = Mapping[str, str]
Said = Sequence[str]

WEIGHTS, MUSTS, FIGURES = "Weights", "Knock-out criteria", "Figures"
MET, RESERVED, NOT_MET = "Met", "Met on a condition", "Not met"
RECORD, POINTS, SUMS, TALKS, ORDER = "Record", "Points", "Sums", "Points to negotiate", "What would swap the order"
ON_CONDITION: Final = "only on a condition"
PRICE: Final = "Price"
PRICE_WEIGHT: Final = 40


def criteria(inputs: Inputs, _said: Said) -> str:
    """The weights of price and wishes, which add up to 100, and what must be."""
    requirements = _list(inputs, "requirements")
    wishes = [each["name"] for each in requirements if not each.get("must")]
    share, rest = divmod(100 - PRICE_WEIGHT, len(wishes) or 1)
    weights = {PRICE: f"{PRICE_WEIGHT}; the lowest price gets all, others in proportion"}
    weights |= {name: f"{share + (rest if name == wishes[0] else 0)}; all or nothing" for name in wishes}
    return md.page(
        f"**Purchase**: {inputs.get('purchase', 'not said')}",
        md.section(MUSTS, md.bullets({each["name"]: _need(each) for each in requirements if each.get("must")})),
        md.section(WEIGHTS, md.bullets(weights)),
        "Evidence: a data sheet for every figure, two references, a signed statement for every promise.",
    )


def check(inputs: Inputs, _said: Said) -> str:
    """One offer, requirement by requirement."""
    offer, requirements = _object(inputs, "offer"), _list(inputs, "requirements")
    grid = [
        [each["name"], _need(each), offer.get(each["field"], "not said"), _judged(each, offer)] for each in requirements
    ]
    figures = {"Supplier": str(offer.get("supplier", "not named")), PRICE: f"{int(offer.get('price_eur', 0)):,} EUR"}
    return md.page(
        md.section(FIGURES, md.bullets(figures)),
        md.section("Check", md.grid(["Requirement", "Needed", "Offered", "Judged"], grid)),
        md.section(
            "Reservations", md.bullets({f"Reservation {n}": text for n, text in _numbered(offer.get("reservations"))})
        ),
    )


def rate(inputs: Inputs, said: Said) -> str:
    """The review: the check of this conversation in short, beside the supplier's record."""
    checked = md.latest(said, "Check") or ""
    figures = md.read(checked, FIGURES)
    judged = [(row[0], row[-1]) for row in md.rows(checked, "Check")[1:]]
    verdicts = {
        verdict: ", ".join(name for name, each in judged if each == verdict.lower()) or "none"
        for verdict in (MET, RESERVED, NOT_MET)
    }
    reservations = md.read(checked, "Reservations").values()
    conditions = {
        name: text for name, verdict in judged if verdict == RESERVED.lower() for text in reservations if name in text
    }
    return md.page(
        f"**Review of {figures.get('Supplier', 'an offer that was not shown')}**",
        md.section(FIGURES, md.bullets(figures)),
        md.section("Requirements", md.bullets(verdicts)),
        md.section("Reservations", md.bullets(conditions) or "- None that touches a requirement."),
        md.section(RECORD, inputs.get("supplier_record", "No record was given.")),
        f"Questions: what would make {_first(verdicts[NOT_MET])} good? Which reference shows it? Who signs for it?",
    )


def compare(inputs: Inputs, said: Said) -> str:
    """Points for each reviewed offer, by the weights that this conversation set."""
    weights = {name: _number(text) for name, text in md.read(md.latest(said, WEIGHTS) or "", WEIGHTS).items()}
    reviews = [inputs[name] for name in ("review_a", "review_b") if "## Requirements" in inputs.get(name, "")]
    offers = {md.read(each, FIGURES).get("Supplier", "?"): each for each in reviews}
    prices = {name: _number(md.read(each, FIGURES).get(PRICE, "0")) for name, each in offers.items()}
    lowest = min(prices.values(), default=0)
    points = {
        name: [
            round(weight * lowest / prices[name], 1) if criterion == PRICE else weight * _has(offers[name], criterion)
            for criterion, weight in weights.items()
        ]
        for name in offers
    }
    sums = {name: round(sum(each), 1) for name, each in points.items()}
    places = [sorted(sums.values(), reverse=True).index(each) + 1 for each in sums.values()]
    grid: list[list[object]] = [
        [criterion, weight, *(f"{each[n]:.1f}" for each in points.values())]
        for n, (criterion, weight) in enumerate(weights.items())
    ]
    grid += [["**Sum**", sum(weights.values()), *(f"{each:.1f}" for each in sums.values())], ["**Rank**", "", *places]]
    musts = md.read(md.latest(said, MUSTS) or "", MUSTS)
    return md.page(
        md.section(MUSTS, md.bullets({name: _knocked(each, musts) for name, each in offers.items()})),
        md.section(POINTS, md.grid(["Criterion", "Weight", *points], grid)),
        md.section(SUMS, md.bullets({name: f"{each:.1f} points; {prices[name]:,} EUR" for name, each in sums.items()})),
        md.section("Gaps", md.bullets({name: md.read(each, "Requirements")[NOT_MET] for name, each in offers.items()})),
        md.section(ORDER, _swap(sums, weights)),
    )


def _knocked(review: str, musts: Mapping[str, str]) -> str:
    """What a review says of the knock-out criteria: those that fail, and on what condition others do not."""
    found = md.read(review, "Requirements")
    failed = [name for name in found[NOT_MET].split(", ") if name in musts]
    reserved = {name: text for name, text in md.read(review, "Reservations").items() if name in musts}
    said = f"fails {', '.join(failed)}" if failed else "fails none"
    return "; ".join([said, *(f"{name} {ON_CONDITION}: {text}" for name, text in reserved.items())])


def _condition(knocked: str) -> tuple[str, str]:
    """The knock-out criterion that is met on a condition, and what the offer says; empty where there is none."""
    found = re.search(rf"; (.+?) {ON_CONDITION}: (.*?)(?:;|$)", knocked)
    return (found[1], found[2]) if found else ("", "")


def find_points(inputs: Inputs, said: Said) -> str:
    """What to talk about with each supplier: the gaps of the comparison that stands in this conversation."""
    compared = md.latest(said, SUMS) or ""
    gaps, musts = md.read(compared, "Gaps"), md.read(compared, MUSTS)
    points = {}
    for name, gap in gaps.items():
        reserved = _condition(musts.get(name, ""))[0]
        first = f"withdraw the reservation on {reserved} and " if reserved else ""
        points[name] = f"{first}make good {gap}; otherwise a lower price"
    return md.page(
        md.section(TALKS, md.bullets(points)),
        "**In return**: an earlier first payment, and the second reference visit.",
        f"**Rules kept**: {inputs.get('negotiation_rules', 'none given')}",
    )


def brief(inputs: Inputs, said: Said) -> str:
    """The page for the talks."""
    talks = md.read(md.latest(said, TALKS) or "", TALKS)
    questions = {name: f"How will you {text.partition(';')[0]}?" for name, text in talks.items()}
    return md.page(
        "**To both, in the same words**: we judge by the published criteria, and nothing else.",
        md.section("Questions", md.bullets(questions)),
        "**Not to be said**: anything of the other offer, anything of the estimate.",
        f"**Final offers**: due {inputs.get('final_offers_due', 'at a date to be set')}, with every figure signed.",
    )


def propose(inputs: Inputs, said: Said) -> str:
    """The offer with the most points, what is to be settled with its supplier, and its distance from the estimate."""
    sums = md.read(md.latest(said, SUMS) or "", SUMS)
    compared = md.latest(said, SUMS) or ""
    best = max(sums, key=lambda name: _points(sums[name]), default="nobody")
    price = _number(sums.get(best, "").partition(";")[2])
    estimate = _number(inputs.get("estimate_eur", "0"))
    distance = f"{abs(price - estimate):,} EUR {'below' if price <= estimate else 'above'} the estimate"
    settled = {"Nothing": "no knock-out criterion is met on a condition"}
    name, text = _condition(md.read(compared, MUSTS).get(best, ""))
    if name:
        settled = {name: f"the offer says “{text}”. That is a knock-out criterion: without its withdrawal, no award"}
    wishes = md.read(compared, "Gaps").get(best, "none")
    return md.page(
        f"**Proposal**: award to {best} for {price:,} EUR, {distance}.",
        md.section(SUMS, md.bullets(sums)),
        md.section("To be settled in writing", md.bullets(settled)),
        md.section("Wished for", md.bullets({wishes: "more points if it is made good, and no condition of the award"})),
        md.section(ORDER, md.lines(md.latest(said, ORDER) or f"## {ORDER}\nUnknown.", ORDER)[0]),
    )


def _first(names: str) -> str:
    return names.partition(",")[0]


def _swap(sums: Mapping[str, float], weights: Mapping[str, int]) -> str:
    if len(sums) < 2:  # noqa: PLR2004 - one offer has no rival
        return "Nothing: there are not two offers."
    first, second = sorted(sums, key=lambda name: -sums[name])[:2]
    ahead = round(sums[first] - sums[second], 1)
    enough = next(
        (f"{name} alone ({weight})" for name, weight in weights.items() if name != PRICE and weight > ahead),
        "the price",
    )
    return f"{first} is {ahead:.1f} points ahead of {second}; {second} would pass by making good {enough}."


def _has(review: str, criterion: str) -> bool:
    return criterion in md.read(review, "Requirements").get(MET, "").split(", ")


def _need(requirement: Mapping[str, Any]) -> str:
    bound = "at least" if "at_least" in requirement else "at most"
    return f"{bound} {requirement.get(bound.replace(' ', '_'), '?')} {requirement.get('unit', '')}".rstrip()


def _judged(requirement: Mapping[str, Any], offer: Mapping[str, Any]) -> str:
    value = offer.get(requirement.get("field", ""))
    if not isinstance(value, int | float):
        return NOT_MET.lower()
    if not requirement.get("at_least", value) <= value <= requirement.get("at_most", value):
        return NOT_MET.lower()
    reserved = any(text.startswith(str(requirement["name"])) for _, text in _numbered(offer.get("reservations")))
    return (RESERVED if reserved else MET).lower()


def _numbered(entries: Any) -> list[tuple[int, str]]:
    return list(enumerate(map(str, entries), 1)) if isinstance(entries, list) else []


def _number(text: str) -> int:
    """The first whole number in a text; 0 without one."""
    match = re.search(r"\d[\d,]*", text)
    return int(match[0].replace(",", "")) if match else 0


def _points(text: str) -> float:
    """The points that a text begins with; 0 without any."""
    match = re.match(r"\d+\.\d", text)
    return float(match[0]) if match else 0.0


def _list(inputs: Inputs, name: str) -> list[dict[str, Any]]:
    """An input that should be a JSON list of objects; anything else is an empty one."""
    listed = objects.read(inputs.get(name, ""), list)
    return [each for each in listed if isinstance(each, dict) and "name" in each]


def _object(inputs: Inputs, name: str) -> dict[str, Any]:
    return objects.read(inputs.get(name, ""), dict)


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^Set the criteria$": criteria,
    r"^Check the offer$": check,
    r"^Rate the supplier$": rate,
    r"^Compare the offers$": compare,
    r"^Find the points$": find_points,
    r"^Write the brief$": brief,
    r"^Propose the award$": propose,
}
"""The steps by a word of the question's heading."""
