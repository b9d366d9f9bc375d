"""What each of the three views says in the sample analysis: of the brief that it is given, and of its own thread."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import markdown as md
from worker.demo.model import objects
from worker.demo.model.imaging import BUSINESS, EVERY, FITS, MET, OPTIONS, RISK, RISKS, TECHNICAL, YEARS, Option

Inputs = Mapping[str, str]
Said = Sequence[str]

TOLERANCE: Final = 10
"""Per cent, of each of the economist's figures."""
BEFORE: Final = "before conditions"
ANSWERED: Final = 5
"""How many risks are answered."""


def examine_technology(inputs: Inputs, _said: Said) -> str:
    """What has to be built, and how each option does by each requirement."""
    brief = inputs.get("analysis_brief", "")
    options = _options(brief)
    volume = number(md.read(brief, "Common figures").get("Volume", ""))
    built = {name: f"{each.built}; {each.months} months" for name, each in options.items()}
    needs = [each["name"] for each in entries(inputs, "requirements") if "name" in each]
    rows = [[need, *(FITS.get(need, {}).get(name, "to be examined") for name in options)] for need in needs]
    room = {name: f"{each.capacity:,} a year{_growth(each.capacity, volume)}" for name, each in options.items()}
    return md.page(
        _taken(options),
        md.section("Build", md.bullets(built)),
        md.section("Requirements", md.grid(["", *options], rows)),
        md.section("Capacity", md.bullets(room)),
        "Assumption: permit and acceptance test run beside the building; if not, 5 months more for each option.",
    )


def judge_feasibility(inputs: Inputs, said: Said) -> str:
    """The options by how many requirements they meet without a condition, then by time."""
    found = md.latest(said, "Requirements")
    if found is None:
        return missing("technical finding")
    (_, *names), *rows = md.rows(found, "Requirements")
    met = {name: [row[0] for row in rows if row[place] == MET] for place, name in enumerate(names, 1)}
    order = sorted(names, key=lambda name: (-len(met[name]), OPTIONS[name].months))
    return _verdict(
        TECHNICAL,
        {
            name: f"meets {listed(met[name]) or 'nothing'} as it stands and {len(rows) - len(met[name])} more "
            f"on a condition; {OPTIONS[name].months} months"
            for name in order
        },
        *_in_time(entries(inputs, "constraints"), order),
        "Looked at against "
        + (listed(str(each).partition(":")[0] for each in entries(inputs, "constraints")) or "no limit"),
    )


def _in_time(constraints: Iterable[Any], names: Iterable[str]) -> Iterable[str]:
    """How each option does by the months in a constraint on the supply."""
    supply = next((str(each) for each in constraints if str(each).startswith("Supply:")), "")
    if months := number(supply):
        for name in names:
            late = OPTIONS[name].months - months
            rest = f"{late} months late; its condition bridges them" if late > 0 else f"{-late} months to spare"
            yield f"Supply, {months} months: {name} takes {OPTIONS[name].months}, {rest}."


def estimate_money(inputs: Inputs, _said: Said) -> str:
    """Costs and income of the options of the brief."""
    options = _options(inputs.get("analysis_brief", ""))
    rows = [
        [name, *map(millions, (each.investment, each.cost, each.income, each.net))] for name, each in options.items()
    ]
    return md.page(
        _taken(options),
        md.section("Figures", md.grid(["", "Investment", "Cost a year", "Income a year", f"Net, {YEARS} years"], rows)),
        f"Net is the investment and {YEARS} years of cost less income, {BEFORE}; nothing is discounted.",
        md.section(
            "Sources",
            md.bullets(
                {
                    "Brief": listed(md.read(inputs.get("analysis_brief", ""), "Common figures")) or "no figures",
                    "Assumption": f"offers of two manufacturers, ±{TOLERANCE} %; wages rise as the payments do",
                }
            ),
        ),
    )


def judge_business_case(inputs: Inputs, said: Said) -> str:
    """The options by net cost, against the budget."""
    figures = {row[0]: row[1:] for row in md.rows(md.latest(said, "Figures") or "", "Figures")[1:]}
    if not figures:
        return missing("estimate")
    net = {name: amount(row[-1]) for name, row in figures.items()}
    first, *others = order = sorted(net, key=net.__getitem__)
    budget = number(inputs.get("budget_eur", ""))
    lines = [_against(name, amount(figures[name][0]), budget) for name in order]
    if others:
        ahead, behind = OPTIONS[first], OPTIONS[others[0]]
        change = (net[others[0]] - net[first]) / (YEARS * abs(behind.income - ahead.income))
        lines.append(f"{others[0]} draws level with {first} if all income is {change * 100:.1f} % higher than planned.")
        lines.append(_lead(first, net[others[0]] - net[first], net[first]))
    if budget is not None:
        lines.append(f"Budget: {millions(budget / 1e6)}, for the investment with all conditions.")
    return _verdict(
        BUSINESS, {name: f"{millions(net[name])} net over {YEARS} years, {BEFORE}" for name in order}, *lines
    )


def _lead(first: str, lead: float, net: float) -> str:
    spread = net * TOLERANCE / 100
    judged = "smaller than that: the order is not certain" if lead < spread else "larger than that"
    uncertain = f"its net is uncertain by {millions(spread)} (±{TOLERANCE} %)"
    return f"{first} leads by {millions(lead)} {BEFORE}; {uncertain}, so the lead is {judged}."


def find_risks(inputs: Inputs, _said: Said) -> str:
    """The register: every risk that belongs to an option of the brief, or to all."""
    options = _options(inputs.get("analysis_brief", ""))
    found = {name: risk for name, risk in RISKS.items() if risk.options[0] in {*options, EVERY}}
    rows = [
        [name, listed(risk.options), risk.likelihood, risk.impact, risk.likelihood * risk.impact]
        for name, risk in found.items()
    ]
    constraints = [str(each).partition(":")[0] for each in entries(inputs, "constraints")]
    return md.page(
        _taken(options),
        md.section("Events", md.bullets({name: risk.event for name, risk in found.items()})),
        md.section("Register", md.grid(["", "Belongs to", "Likelihood", "Impact", "Product"], rows)),
        f"At stake if they come true: {listed(constraints) or 'no limit that was named'}.",
    )


def answer_risks(inputs: Inputs, said: Said) -> str:
    """The five greatest risks of the register answered, and the options by the greatest that remains to each."""
    register = {row[0]: row for row in md.rows(md.latest(said, "Register") or "", "Register")[1:]}
    if not register:
        return missing("register")
    order = sorted(register, key=lambda name: -int(register[name][-1]))
    answered = order[:ANSWERED]
    left = {name: RISKS[name].left if name in answered else int(register[name][-1]) for name in order}
    remaining = {
        option: [(left[name], name) for name in order if register[name][1] in {option, EVERY}]
        for option in dict.fromkeys(register[name][1] for name in order)
        if option in OPTIONS
    }
    needs = {each.get("name") for each in entries(inputs, "requirements")}
    responses = [
        f"**{name}**: {register[name][-1]} becomes {left[name]} by {RISKS[name].response}."
        + (f" Threatens {RISKS[name].threatens}." if RISKS[name].threatens in needs else "")
        for name in answered
    ]
    greatest = {option: max(points for points, _ in risks) for option, risks in remaining.items()}
    return _verdict(
        RISK,
        {
            option: f"what remains is {greatest[option]} at most, by "
            + listed(name for points, name in remaining[option] if points == greatest[option])
            for option in sorted(greatest, key=greatest.__getitem__)
        },
        *responses,
    )


def _verdict(view: str, ranking: Mapping[str, str], *more: str) -> str:
    """A view's ranking, and the condition on which it could live with each option."""
    conditions = {name: OPTIONS[name].conditions[view] for name in ranking}
    priced = {name: f"{text}; {millions(price)}" for name, (text, price) in conditions.items()}
    return md.page(
        f"The {len(ranking)} options of the brief, by what was found on this thread. A condition's price is paid once.",
        md.section("Ranking", md.bullets(ranking)),
        md.section("Conditions", md.bullets(priced)),
        md.section("Besides", "\n".join(f"- {line}" for line in more)),
    )


def _options(brief: str) -> dict[str, Option]:
    return {name: OPTIONS[name] for name in md.read(brief, "Options") if name in OPTIONS}


def _taken(options: Iterable[str]) -> str:
    return f"Taken from the brief: {listed(options) or 'no option that is known here'}."


def _growth(capacity: int, volume: int | None) -> str:
    return f", {capacity * 100 / volume - 100:.0f} % above the brief's volume" if volume else ""


def _against(name: str, investment: float, budget: int | None) -> str:
    if budget is None:
        return f"{name}: {millions(investment)} to invest; no budget was given."
    left = budget / 1e6 - investment
    return f"{name}: {millions(investment)} to invest, {millions(abs(left))} {'left' if left >= 0 else 'missing'}."


def millions(amount: float) -> str:
    """An amount of M€ as it is written everywhere, `3.4 M€`."""
    return f"{amount:.1f} M€"


def amount(text: str) -> float:
    """The first amount in a text, such as `3.9 M€`, in M€; 0 without one."""
    found = re.search(r"(\d+\.\d) M€", text)
    return float(found[1]) if found else 0.0


def number(text: str) -> int | None:
    """The first whole number in a text, `8500000` or `6,800`."""
    found = re.search(r"\d[\d,]*", text)
    return int(found[0].replace(",", "")) if found else None


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, `A, B and C`; nothing for none."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def entries(inputs: Inputs, name: str) -> list[Any]:
    """An input that should be a JSON list; anything else is an empty one."""
    return objects.read(inputs.get(name, ""), list)


def missing(what: str) -> str:
    """What is said where the script has nothing to build on."""
    return f"No {what} reached me, neither in this conversation nor as an input, so there is nothing to go by."
