"""The two steps of the sample grant: an assessment as JSON, by the rules in the inputs, and the letter that follows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import objects

Inputs = Mapping[str, str]
Said = Sequence[str]

SURE: Final = 0.95
DOUBT: Final = 0.2
"""What each open question takes from it."""


def assess(inputs: Inputs, _said: Said) -> str:
    """JSON: what of the request the rules allow, and what is still open."""
    request, rules = _object(inputs, "request"), _object(inputs, "grant_rules")
    allowed = rules.get("eligible_kinds", [])
    items = [_item(each, allowed) for each in request.get("items", [])]
    requested = sum(int(each.get("cost_eur", 0)) for each in request.get("items", []))
    wanted = sum(each["eligible_eur"] for each in items)
    share = wanted * int(rules.get("own_share_percent", 0)) // 100
    ceiling = int(rules.get("ceiling_eur", wanted))
    eligible = min(wanted - share, ceiling)
    questions = [] if int(request.get("own_share_eur", 0)) >= share else [f"Who pays the own share of {share:,} EUR?"]
    questions += ["What is the request for?"] if not items else []
    kinds = {each.get("kind") for each in request.get("items", [])}
    assessment = {
        "decision": "grant" if eligible > 0 else "decline",
        "confidence": round(SURE - DOUBT * len(questions), 2),
        "budget": {
            "requested_eur": requested,
            "items": items,
            "own_share_eur": share,
            "ceiling_eur": ceiling,
            "eligible_eur": eligible,
        },
        "reasons": [
            f"{request.get('purpose', 'The purpose')} serves “{rules.get('purpose', 'the programme')}”.",
            f"{wanted:,} of {requested:,} EUR are of an eligible kind; {share:,} EUR of it are the own share.",
        ],
        "conditions": [f"For {kind}: {text}" for kind, text in rules.get("conditions", {}).items() if kind in kinds],
        "open_questions": questions,
    }
    return objects.write(assessment)


def letter(inputs: Inputs, said: Said) -> str:
    """The letter: what the person decided, or the assessment of this conversation where nobody was asked."""
    assessment = objects.latest(said, "budget")
    comment = inputs.get("comment", "")
    comment = "" if comment in {"(not set)", "(empty)"} else comment
    if inputs.get("board_decision") == "decline":
        return (
            f"Dear applicants,\n\nwe cannot grant your request. {comment}\n\nPlease talk to us before you apply again."
        )
    budget = assessment.get("budget", {})
    left_out = [each["item"] for each in budget.get("items", []) if not each["eligible_eur"]]
    conditions = "\n".join(f"{n}. {text}" for n, text in enumerate(assessment.get("conditions", []), 1))
    sums = [f"{budget.get(name, 0):,} EUR" for name in ("eligible_eur", "requested_eur")]
    parts = [
        "Dear applicants,",
        f"we grant you {sums[0]} of the {sums[1]} that you asked for.",
        f"Not part of it: {', '.join(left_out)}." if left_out else "",
        f"Before we pay, please send us:\n\n{conditions}" if conditions else "",
        comment,
        "The money comes within two weeks of that.",
    ]
    return "\n\n".join(filter(None, parts))


def _item(item: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    eligible = item.get("kind") in allowed
    rule = f"{item.get('kind', 'this kind')} is {'' if eligible else 'not '}among the eligible kinds"
    return {
        "item": item.get("item", "?"),
        "eligible_eur": int(item.get("cost_eur", 0)) if eligible else 0,
        "rule": rule,
    }


def _object(inputs: Inputs, name: str) -> dict[str, Any]:
    return objects.read(inputs.get(name, ""), dict)


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^Assess the request$": assess,
    r"^Draft the letter$": letter,
}
"""The steps by a word of the question's heading."""
