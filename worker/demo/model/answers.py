"""What is answered: the steps of the sample processes, and for any other question what the conversation holds.

A pure function of the question and the earlier messages, so that the same conversation always gets the same answers.
"""

import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.demo.model import (
    approval,
    dadm,
    decision,
    decision_frame,
    parallel_analysis,
    procurement,
    quick_decision,
    red_team,
    returning_customer,
    schema,
    trade_study,
)

_REF = re.compile(r"\s*\(ref [0-9a-f]{12}\)\s*$")
_INPUT = r"^### ([^\n(]+?)(?: \([^\n]*\))?$\n?(.*?)(?=^### |\Z)"
_QUOTED_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart: its heading, what it asks for, and its inputs by name, without their types."""

    title: str
    body: str
    inputs: Mapping[str, str]
    wants_json: bool = False


def answer(question: str, earlier: Sequence[Message]) -> str:
    """The answer to a question behind these messages. Never repeats the ref of a question."""
    text = without_ref(question)
    asked = parsed(text)
    said = [message.text for message in earlier if message.role == "assistant"]
    for word, step in _STEPS.items():
        if re.search(word, asked.title, re.IGNORECASE) and (step is not decision.frame or "drone" in text):
            return step(asked.inputs, said)
    return _general(asked, [without_ref(message.text) for message in earlier if message.role == "user"])


def without_ref(question: str) -> str:
    """Return a question without the line by which its worker finds it again."""
    return _REF.sub("", question)


def formed(text: str, question: str, wanted: Mapping[str, Any]) -> str:
    """The answer in the form that the request's `text.format`, or else the question itself, asks for."""
    if wanted.get("type") == "json_schema":
        return text if schema.fits(text, wanted["schema"]) else schema.instance(wanted["schema"], text)
    if parsed(question).wants_json and not schema.fits(text, {}):
        return json.dumps({"answer": text}, ensure_ascii=False)
    return text


def parsed(text: str) -> Question:
    """Takes a question apart as far as it has the usual form; anything else is all body."""
    body, *sections = re.split(r"^## (?=(?:Inputs|Form|Correction)$)", text, flags=re.MULTILINE)
    headed = {name: rest for name, _, rest in (section.partition("\n") for section in sections)}
    title, _, body = body.strip().partition("\n")
    if not title.startswith("# "):
        title, body = "", f"{title}\n{body}"
    inputs = re.findall(_INPUT, headed.get("Inputs", ""), re.MULTILINE | re.DOTALL)
    return Question(
        title.removeprefix("# ").strip(),
        body.strip(),
        {name: _value(value) for name, value in inputs},
        wants_json="JSON" in headed.get("Form", ""),
    )


def _value(text: str) -> str:
    """The value under an input's heading, which stands indented or between fences."""
    return re.sub(r"\A```\w*\n|\n```\Z", "", textwrap.dedent(text.strip("\n")).strip())


def _general(asked: Question, questions: Sequence[str]) -> str:
    """Shows what the conversation holds, which is how a reader sees that it is remembered."""
    count = len(questions)
    seen = f"I see {count} earlier turn{'' if count == 1 else 's'} in this conversation"
    last = f"; the last one asked: “{_beginning(questions[-1])}”." if questions else "."
    lines = [seen + last, f"You ask: “{_beginning(asked.title or asked.body)}”."]
    if asked.inputs:
        lines.append(f"Inputs given: {', '.join(asked.inputs)}.")
    return "\n\n".join([*lines, "This is a scripted answer; only the sample processes are answered at length."])


def _beginning(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTED_CHARACTERS else flat[: _QUOTED_CHARACTERS - 1] + "…"


_STEPS: Final[Mapping[str, Callable[[Mapping[str, str], Sequence[str]], str]]] = {
    **parallel_analysis.STEPS,
    **decision_frame.STEPS,
    **procurement.STEPS,
    **approval.STEPS,
    **returning_customer.STEPS,
    **quick_decision.STEPS,
    **trade_study.STEPS,
    **red_team.STEPS,
    **dadm.STEPS,
    r"\bframe\b": decision.frame,
    r"\b(evaluate|evaluation|score)\b": decision.evaluate,  # before alternatives: "Evaluate alternatives"
    r"\brecommend": decision.recommend,
    r"\balternatives\b": decision.find_alternatives,
}
"""The steps by the question's heading, or, for the sample decision, by a word of it, which comes last."""
