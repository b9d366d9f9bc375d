"""The steps of the sample attack: what a record says against its own recommendation, and how that will have failed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import markdown as md
from worker.demo.model import objects

Inputs = Mapping[str, str]
Said = Sequence[str]

MOST: Final = 5


def attack(inputs: Inputs, _said: Said) -> str:
    """Take from the record, which is all there is, what speaks against what it recommends."""
    text = next((value for name, value in inputs.items() if name.endswith("_text")), "")
    chosen = next((row[1] for row in md.rows(text, "Ranking") if row[0] == "1"), "")
    found = [
        {
            "who": f"the weights {name}",
            "text": f"Another leads with them: {order}. The record does not say why they count less.",
        }
        for by, name, order, *_ in _orders(text)
        if by == "weights" and not order.startswith(chosen)
    ]
    found += [
        {"text": f"Without {name} another leads: {order}. So it hangs on one criterion, and on who set its scale."}
        for by, name, order, *_ in _orders(text)
        if by == "without criterion" and not order.startswith(chosen)
    ]
    if "No agreement was measured" in text:
        found.append({"text": "One judge alone has scored, as far as the record shows: nobody has contradicted."})
    found.append({"text": "A lead of {lead} is small, and the first place is kept in {first_share:%} of cases alone."})
    return objects.write({"dissent": found[:MOST]})


def _orders(text: str) -> list[list[str]]:
    """Read the orders, with names as they are read and not as Markdown has them."""
    return [[cell.replace("\\", "") for cell in row] for row in md.rows(text, "Judges and other weights")]


def pre_mortem(_inputs: Inputs, said: Said) -> str:
    """Let it fail by what was attacked, and in one way that nobody thought of."""
    attacks: list[dict[str, Any]] = objects.latest(said, "dissent").get("dissent", [])
    ways = [
        {
            "what": f"It was done all the same. {each['text']}",
            "sign": "The first report after a quarter, if somebody compares it with the scores",
            "answer": "Name who compares it, and when it is stopped",
        }
        for each in attacks[:2]
    ]
    unseen = {
        "what": "It works, and the people who were to run it have left: nobody asked them.",
        "sign": "Two of them look for other work before it begins",
        "answer": "Ask them before it is signed",
    }
    return objects.write({"pre_mortem": [*ways, unseen]})


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^attack the proposal$": attack,
    r"^say how it failed$": pre_mortem,
}
"""The steps by the question's heading."""
