"""What a sample process came to: its ranking as a table, and the recommendation, read from its results.

The scripted answers have the headings that are read here. Where a real model words it otherwise, there is no outcome to
show, and the last answer, which is shown in full, has to do.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.demo.model import markdown as md

Results = Mapping[str, str]
Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A table, its header first, and in a sentence or two what was reached."""

    rows: Sequence[Row]
    reached: str


def outcome(process: str, results: Mapping[str, str | None]) -> Outcome | None:
    """The outcome of a process by its key; None where its results do not show one."""
    _, read = _READERS.get(process, ((), None))
    if read is None:
        return None
    try:
        rows, reached = read({name: text or "" for name, text in results.items()})
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return Outcome(rows, reached.replace("**", "")) if rows[1:] and reached else None


def results_of(process: str) -> Sequence[str]:
    """The names of the variables that an outcome is read from."""
    return _READERS.get(process, ((), None))[0]


def _decision(results: Results) -> tuple[list[Row], str]:
    ranked = [(row[-1], row[0], row[-2]) for row in md.rows(results["evaluation"], "Weighted sums")[2:]]
    return [("Rank", "Alternative", "Points"), *ranked], _first(results["recommendation"])


def _parallel_analysis(results: Results) -> tuple[list[Row], str]:
    beyond = md.read(results["synthesis"], "Beyond the budget")
    ranked = [
        (rank, name, investment, net, "beyond the budget" if name in beyond else "")
        for name, *_, investment, net, rank in md.rows(results["synthesis"], "With all conditions")[1:]
    ]
    return [("Rank", "Option", "Investment", "Net", ""), *ranked], _first(results["recommendation"])


def _procurement(results: Results) -> tuple[list[Row], str]:
    *_, ranks = md.rows(results["comparison"], "Points")
    sums = md.read(results["comparison"], "Sums")
    ranked = [(rank, name, *text.split("; ")) for rank, (name, text) in zip(ranks[2:], sums.items(), strict=True)]
    return [("Rank", "Offer", "Points", "Price"), *sorted(ranked)], _first(results["award_proposal"])


def _approval(results: Results) -> tuple[list[Row], str]:
    assessment = json.loads(results["assessment"])
    budget = assessment["budget"]
    items = [(each["item"], f"{each['eligible_eur']:,}") for each in budget["items"]]
    sums = [("Own share", f"-{budget['own_share_eur']:,}"), ("To be paid", f"{budget['eligible_eur']:,}")]
    board = results["board_decision"] or "was not asked"
    proposed = f"{assessment['decision']}, {budget['eligible_eur']:,} of {budget['requested_eur']:,} EUR"
    return [("Item", "Eligible, EUR"), *items, *sums], f"Proposed: {proposed}. Decided by the board: {board}."


def _decision_frame(results: Results) -> tuple[list[Row], str]:
    frame = json.loads(results["final_frame"])
    rows = [
        *(("to be decided", *each.split(": ", 1)) for each in frame["focus"]),
        *(("wanted", each["name"], f"{each['better']} {each['measure']}") for each in frame["objectives"]),
        *(("uncertain", each["name"], each["reduced_by"]) for each in frame["uncertainties"]),
    ]
    left = [f"{each['point']} ({each['settled_by']})" for each in frame["open_points"]]
    ready = "Ready to be signed." if frame["ready"] else f"Not ready: {' '.join(left)}"
    return [("", "Name", "Question, measure, or what reduces it"), *rows], f"{frame['statement']} {ready}"


def _quick_decision(results: Results) -> tuple[list[Row], str]:
    ways = json.loads(results["weighing"])["alternatives"]
    ranked = [(str(each["rank"] or "-"), each["name"], f"{each['sum']:.1f}", each["why_not"]) for each in ways]
    sentence = json.loads(results["recommendation"])["sentence"]
    return [
        ("Rank", "Alternative", "Points", ""),
        *ranked,
    ], f"{sentence} Signed: {results['signature'] or 'not in time'}."


def _record(results: Results) -> tuple[list[Row], str]:
    """Read a decision's record, as the worker put it into words."""
    decision, text = json.loads(results["decision"]), results["decision_text"]
    ranked = [row[:3] for row in md.rows(text, "Ranking") if row[0].isdecimal() or row[0] in _UNRANKED]
    [chosen] = [line for line in md.lines(text, "Decision Outcome")[:1] if line]
    how = "accepted" if decision["accepted"] else decision["void_reason"] or "rejected"
    return [("Rank", "Option", "Sum"), *ranked], f"{chosen} Signed: {how}."


def _returning_customer(results: Results) -> tuple[list[Row], str]:
    known = md.lines(results["settlement"], "Known before")
    return [("Known before",), *((each.removeprefix("- "),) for each in known if each)], _first(results["settlement"])


def _first(text: str) -> str:
    return text.partition("\n")[0]


_UNRANKED: Final = {"excluded", "not ranked"}
_READERS: Final[Mapping[str, tuple[Sequence[str], Callable[[Results], Any]]]] = {
    "decision": (("evaluation", "recommendation"), _decision),
    "parallel_analysis": (("synthesis", "recommendation"), _parallel_analysis),
    "procurement": (("comparison", "award_proposal"), _procurement),
    "approval": (("assessment", "board_decision"), _approval),
    "decision_frame": (("final_frame",), _decision_frame),
    "trade_study": (("decision", "decision_text"), _record),
    "dadm": (("decision", "decision_text"), _record),
    "red_team": (("decision", "decision_text"), _record),
    "returning_customer": (("settlement",), _returning_customer),
    "quick_decision": (("weighing", "recommendation", "signature"), _quick_decision),
}
"""By the key of a process the results that its outcome is read from, and how."""
