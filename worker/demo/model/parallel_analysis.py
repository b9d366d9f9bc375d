"""The steps of the sample analysis from three views: the strategist's here, those of the views beside."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from worker.demo.model import markdown as md
from worker.demo.model import three_views as views
from worker.demo.model.imaging import BUSINESS, COMMON, OPTIONS, RISK, TECHNICAL, YEARS
from worker.demo.model.three_views import BEFORE, Inputs, Said, amount, entries, listed, millions, missing, number

VERDICTS: Final = {TECHNICAL: "technical_verdict", BUSINESS: "business_verdict", RISK: "risk_verdict"}
CANDIDATES, BEYOND, TOGETHER = "All three can live with", "Beyond the budget", "With all conditions"
OPEN: Final = "For those who decide"


def set_up(inputs: Inputs, _said: Said) -> str:
    """The brief of the three specialists, out of the inputs."""
    options = {each["name"]: str(each.get("what")) for each in entries(inputs, "options") if "name" in each}
    musts = [each["name"] for each in entries(inputs, "requirements") if each.get("must")]
    endangered = [str(each).partition(":")[0] for each in entries(inputs, "constraints")]
    context = inputs.get("context", "")
    return md.page(
        f"**Decision**: {inputs.get('decision', 'not given')}",
        md.section("Options", md.bullets(options)),
        md.section(
            "Common figures", md.bullets({name: text for name, (sign, text) in COMMON.items() if sign in context})
        ),
        md.section(
            "Questions",
            md.bullets(
                {
                    "Engineer": f"how does each option meet {listed(musts) or 'what is required'}, and by when?",
                    "Economist": f"what does each option cost over {YEARS} years, and where are the first two level?",
                    "Risk officer": f"what endangers {listed(endangered) or 'the plan'}, and what is left of it?",
                }
            ),
        ),
        "Each view answers with these names, one **Ranking**, and **Conditions** with their price.",
    )


def reconcile(inputs: Inputs, _said: Said) -> str:
    """What the three agree on and not, and what each option costs once every condition is met."""
    rankings = {view: md.read(inputs.get(name, ""), "Ranking") for view, name in VERDICTS.items()}
    if not all(rankings.values()):
        return missing(f"ranking from {listed(view for view, ranks in rankings.items() if not ranks)}")
    rows = [[view, next(iter(ranks)), list(ranks)[-1], next(iter(ranks.values()))] for view, ranks in rankings.items()]
    firsts = list(dict.fromkeys(row[1] for row in rows))
    conflict = f"{listed(firsts)} each come first for somebody." if firsts[1:] else f"All three put {firsts[0]} first."
    together = _together(inputs, [name for name in rankings[TECHNICAL] if name in OPTIONS])
    budget = amount(next(iter(_besides(inputs, "Budget: ")), "")) or None
    fitting = [row for row in together if budget is None or amount(row[-3]) <= budget]
    beyond = {
        row[0]: f"{row[-3]} to invest, {millions(amount(row[-3]) - budget)} more than there is; {row[-2]} net"
        for row in together
        if budget is not None and row not in fitting
    }
    return md.page(
        md.section("Agreed", f"- None of the {len(together)} options works without conditions."),
        md.section("Conflicts", md.grid(["View", "First", "Last", "Reason for the first"], rows) + f"\n\n{conflict}"),
        md.section("Settled", md.bullets(_settled(inputs, list(rankings[BUSINESS]), [row[0] for row in together]))),
        md.section(TOGETHER, md.grid(["", *VERDICTS, "Investment", f"Net, {YEARS} years", "Rank by net"], together)),
        md.section(CANDIDATES, md.bullets({row[0]: f"{row[-3]} to invest, {row[-2]} net" for row in fitting[:2]})),
        md.section(BEYOND, md.bullets(beyond) or "- None."),
    )


def _settled(inputs: Inputs, before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    """Which figure counts where two views speak of the same thing, and what is left to those who decide."""
    built = md.read(inputs.get("technical_findings", ""), "Build").get("Shared centre", "")
    events = md.read(inputs.get("risk_register", ""), "Events")
    settled = {}
    if built and "Late opening" in events:
        months = built.rpartition("; ")[2]
        settled["Opening"] = f"the engineer's {months} count, so the risk stands that {events['Late opening']}"
    if before != after:
        settled["Order by net cost"] = (
            f"{', '.join(before)} {BEFORE}; {', '.join(after)} with all of them, which counts"
        )
    for line in _besides(inputs, ""):
        if " leads by " in line:
            settled["Certainty"] = line
    return settled | {OPEN: "how much it is worth to have the machines in one's own hands"}


def _besides(inputs: Inputs, beginning: str) -> list[str]:
    """The lines that the economist adds to the verdict and that begin so."""
    lines = md.lines(inputs.get("business_verdict", ""), "Besides")
    return [line.removeprefix("- ") for line in lines if line.startswith(f"- {beginning}")]


def _together(inputs: Inputs, names: Iterable[str]) -> list[list[str]]:
    """A row for each option: its conditions by view, then investment, net cost and rank with all of them paid."""
    conditions = {view: md.read(inputs.get(name, ""), "Conditions") for view, name in VERDICTS.items()}
    figures = {row[0]: row for row in md.rows(inputs.get("business_figures", ""), "Figures")}
    rows: list[list[str]] = []
    for name in names:
        texts = [conditions[view].get(name, "none; 0.0 M€") for view in VERDICTS]
        price = sum(amount(text.rpartition("; ")[2]) for text in texts)
        known = figures.get(name, [name, millions(OPTIONS[name].investment), millions(OPTIONS[name].net)])
        rows.append([name, *texts, *(millions(amount(known[place]) + price) for place in (1, -1))])
    rows.sort(key=lambda row: amount(row[-1]))
    return [[*row, str(rank)] for rank, row in enumerate(rows, 1)]


def recommend_course(inputs: Inputs, said: Said) -> str:
    """The candidate of the synthesis that the budget in this question pays for."""
    synthesis = md.latest(said, CANDIDATES) or ""
    candidates = md.read(synthesis, CANDIDATES)
    budget = (number(inputs.get("budget_eur", "")) or 0) / 1e6
    best = next((name for name, text in candidates.items() if amount(text) <= budget), None)
    if best is None:
        return f"**Recommendation**: none fits into {millions(budget)}." if candidates else missing("synthesis")
    row = next(row for row in md.rows(synthesis, TOGETHER) if row[0] == best)
    views = md.rows(synthesis, "Conflicts")[1:]
    settled = md.read(synthesis, "Settled")
    money = [
        ["Investment with all conditions", row[-3]],
        ["Reserve", millions(budget - amount(row[-3]))],
        ["Budget", millions(budget)],
        [f"Net over {YEARS} years with all conditions", row[-2]],
    ]
    against = {each[0]: f"puts {each[1]} first" for each in views if each[1] != best}
    against |= {name: f"beyond the budget: {text}" for name, text in md.read(synthesis, BEYOND).items()}
    return md.page(
        f"**Recommendation**: {best}, on the conditions of all three views: {row[-3]} to invest, {row[-2]} net.",
        md.section(
            "For it", md.bullets({each[0]: each[3] for each in views if each[1] == best} or {"Money": candidates[best]})
        ),
        md.section("Against it", md.bullets(against or {"Nobody": "all agree"})),
        md.section("Conditions", md.bullets(dict(zip(VERDICTS, row[1:4], strict=True)))),
        md.section("Money", md.grid(["", "Amount"], money)),
        md.section("Left open", md.bullets({name: settled[name] for name in ("Certainty", OPEN) if name in settled})),
        md.section("Next steps", "\n".join(f"{n}. {step}" for n, step in enumerate(_NEXT, 1))),
    )


_NEXT: Final = (
    "Management: letters of intent from the other parties, within 6 weeks.",
    "Engineering: apply for the radiation permit, within 8 weeks.",
    "Board: vote on 30 June. From here on it cannot be taken back.",
    "Purchasing: order, with what the conditions name, within 4 weeks of the vote.",
)


def write_white_paper(inputs: Inputs, said: Said) -> str:
    """The paper for the readers that the question names, out of the brief, the synthesis and the recommendation."""
    brief, synthesis = md.latest(said, "Common figures") or "", md.latest(said, CANDIDATES) or ""
    course = md.latest(said, "For it")
    if course is None:
        return missing("recommendation")
    question = brief.partition("\n")[0].removeprefix("**Decision**: ")
    views = {
        row[0]: f"puts {row[1]} first and {row[2]} last. For the first speaks: {row[3]}"
        for row in md.rows(synthesis, "Conflicts")[1:]
    }
    in_short = course.partition("\n")[0].replace("**", "")
    readers = inputs.get("readers", "those who decide").partition(":")[0].rstrip(".")
    return md.page(
        "# An imaging centre for Brennach",
        md.section(
            "Summary",
            f"For {_lower(readers)}. {in_short} What stays open is yours to decide.",
        ),
        md.section("The question", f"{question}\n\n" + md.bullets(md.read(brief, "Common figures"))),
        md.section("The options", md.bullets(md.read(brief, "Options"))),
        md.section("What was found", md.bullets(views)),
        md.section("Where the views differ", md.bullets(md.read(synthesis, "Settled"))),
        md.section("The recommendation", "On these conditions:\n\n" + md.bullets(md.read(course, "Conditions"))),
        md.section("What it costs", md.grid(["", "Amount"], md.rows(course, "Money")[1:])),
        md.section("What comes next", "\n".join(md.lines(course, "Next steps"))),
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^set up the analysis$": set_up,
    r"^examine the technology$": views.examine_technology,
    r"^judge feasibility$": views.judge_feasibility,
    r"^estimate costs and income$": views.estimate_money,
    r"^judge the business case$": views.judge_business_case,
    r"^find the risks$": views.find_risks,
    r"^answer the risks$": views.answer_risks,
    r"^reconcile the findings$": reconcile,
    r"^recommend a course$": recommend_course,
    r"^write the white paper$": write_white_paper,
}
"""The steps by the question's heading."""
