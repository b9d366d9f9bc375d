"""Decision questions of a task: read and checked, asked by a schema where nobody weighs answers, and judged. Pure."""

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from worker.domain import foreign
from worker.domain.questions import DecisionQuestion, Option, written
from worker.domain.tasks import META_SUFFIX
from worker.errors import BadDefinition
from worker.modelling import schema

CONFIDENCE_SUFFIX: Final = "_confidence"
"""Ends the name of the variable beside a question's answer."""
UNSURE_SUFFIX: Final = "_unsure"
"""Ends the name of the variable that says whether a person should look at the answers."""
MOST_QUESTIONS: Final = 400
LEAST_OPTIONS, MOST_OPTIONS = 2, 255
"""Bounds of OpenAI's decisions, for questions and options; whoever is asked by a schema has the same."""

_NAME: Final = re.compile(r"[^\W\d]\w*")
_TAKEN: Final = (CONFIDENCE_SUFFIX, META_SUFFIX, UNSURE_SUFFIX)
_COMMON: Final = frozenset({"name", "type", "instructions", "confidence"})


class _Flaw(ValueError):
    """What is wrong with them, in words that go on behind the place where they stand."""


def is_inline(text: str) -> bool:
    """Whether these are the questions themselves, and not the name of a resource that holds them."""
    return text.startswith("[")


def read(text: str, place: str) -> tuple[DecisionQuestion, ...]:
    """Read questions. Raises BadDefinition, which names the place. Not for the loop: they may be many."""
    found, wrong = _questions_or_flaw(text)
    if wrong:
        raise BadDefinition(f"{place} {wrong}")
    return found


@lru_cache(maxsize=64)  # every task brings them
def _questions_or_flaw(text: str) -> tuple[tuple[DecisionQuestion, ...], str]:
    try:
        said = schema.parse(text)
    except ValueError as exc:
        return (), f"is no JSON: {exc}"
    if not isinstance(said, list) or not 1 <= len(said) <= MOST_QUESTIONS:
        return (), f"has to be a list of 1 to {MOST_QUESTIONS} questions"
    found: dict[str, DecisionQuestion] = {}
    for number, each in enumerate(said, 1):
        try:
            question = _question(each, found)
        except _Flaw as exc:
            named = each.get("name") if isinstance(each, dict) else None
            which = f"{number} ({named[:40]!r})" if isinstance(named, str) else str(number)
            return (), f"is wrong: question {which} {exc}"
        found[question.name] = question
    return tuple(found.values()), ""


def _question(said: Any, earlier: Container[str]) -> DecisionQuestion:
    if not isinstance(said, dict):
        raise _Flaw("is no JSON object")
    name = said.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _Flaw("needs a name of letters, digits and _ that begins with no digit")
    if name.endswith(_TAKEN):
        raise _Flaw(f"has a name that ends in {' or '.join(_TAKEN)}, as variables beside an answer do")
    if name in earlier:
        raise _Flaw("has the name of an earlier one")
    instructions = said.get("instructions")
    if not isinstance(instructions, str) or not instructions.strip():
        raise _Flaw("needs instructions: a text that says what is asked")
    kind, more = said.get("type"), said.keys() - _COMMON
    confidence = _confidence(said.get("confidence"))
    match kind:
        case "predicate":
            options: tuple[Option, ...] = ()
        case "choice":
            options = _options(said.get("choices"), "choices", "value")
            more -= {"choices"}
        case "score":
            options = _options(said.get("levels"), "levels", "label")
            more -= {"levels"}
        case _:
            raise _Flaw("needs a type: predicate, choice or score")
    if more:
        raise _Flaw(f"has {min(more)[:40]!r}, which is no part of a {kind}")
    return DecisionQuestion(name, kind, foreign.whole(instructions.strip()), options, confidence)


def _confidence(said: Any) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1:
        raise _Flaw("has a confidence that is no number from 0 to 1")
    return float(said)


def _options(said: Any, where: str, key: str) -> tuple[Option, ...]:
    """Read choices, or levels in their order; each is a value alone, or an object that describes it."""
    if not isinstance(said, list) or not LEAST_OPTIONS <= len(said) <= MOST_OPTIONS:
        raise _Flaw(f"needs {where}: a list of {LEAST_OPTIONS} to {MOST_OPTIONS}")
    options = [_option(each, where, key) for each in said]
    if len({each.label for each in options}) < len(options):
        raise _Flaw(f"says one of its {where} twice")
    return tuple(options)


def _option(said: Any, where: str, key: str) -> Option:
    parts = said if isinstance(said, dict) else {key: said}
    value, description = parts.get(key), parts.get("description", "")
    flaw = _Flaw(f"has {where} of which one is neither a {key} nor an object of {key} and description")
    if not isinstance(description, str) or parts.keys() - {key, "description"}:
        raise flaw
    if isinstance(value, bool) and key == "value":
        return Option(value, foreign.whole(description.strip()))
    if not isinstance(value, str) or not value.strip():
        raise flaw
    return Option(foreign.whole(value), foreign.whole(description.strip()))


def check_names(questions: Sequence[DecisionQuestion], output: str, suffix: str) -> None:
    """Refuse questions of which one would go into another one's variable. Raises BadDefinition."""
    taken = {output, output + META_SUFFIX, output + UNSURE_SUFFIX}
    for each in questions:
        if clash := taken & set(names(each, suffix)):
            raise BadDefinition(
                f"property data.questions: the answer to {each.name[:40]!r} would go into {min(clash)}, which the "
                "result itself takes; give the question another name, or set data.output"
            )


def names(question: DecisionQuestion, suffix: str) -> tuple[str, str]:
    """Name the variables of an answer: its value, and its confidence. `suffix` is that of a loop's iteration."""
    return f"{question.name}{suffix}", f"{question.name}{suffix}{CONFIDENCE_SUFFIX}"


def form(questions: Sequence[DecisionQuestion]) -> Mapping[str, Any]:
    """Write the JSON Schema of answers by whoever weighs none."""
    return {
        "type": "object",
        "properties": {each.name: _form(each) for each in questions},
        "required": [each.name for each in questions],
        "additionalProperties": False,
    }


def _form(question: DecisionQuestion) -> dict[str, Any]:
    if question.kind == "predicate":
        return {"type": "boolean", "description": question.instructions}
    values = [each.value for each in question.options]
    types = sorted({"boolean" if isinstance(each, bool) else "string" for each in values})
    return {"type": types[0] if len(types) == 1 else types, "enum": values, "description": question.instructions}


def listed(questions: Sequence[DecisionQuestion]) -> str:
    """Write the questions for whoever is asked by a schema: some servers show a model nothing of that."""
    return "\n".join(chain.from_iterable(map(_lines, questions)))


def _lines(question: DecisionQuestion) -> Iterator[str]:
    answers = {
        "predicate": "true or false",
        "choice": "one of those below",
        "score": "one of the levels below, in order",
    }
    yield f"- {question.name} ({answers[question.kind]}): {' '.join(question.instructions.split())}"
    for each in question.options:
        described = f": {' '.join(each.description.split())}" if each.description else ""
        yield f"  - {json.dumps(each.value, ensure_ascii=False)}{described}"


def by_form(text: str, questions: Sequence[DecisionQuestion]) -> str:
    """Write an answer that fits the form as all answers are written."""
    said = schema.parse(text)
    answers: dict[str, dict[str, Any]] = {}
    for each in questions:
        value = said[each.name]
        if each.kind == "score":
            value = float([level.value for level in each.options].index(value))
        answers[each.name] = each.unweighed(value)
    return written(answers)


def parts(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Read an answer as all of them are written."""
    read_back: Mapping[str, Mapping[str, Any]] = foreign.read(text)
    return read_back


def is_answered(text: str, questions: Sequence[DecisionQuestion]) -> bool:
    """Whether a kept answer is one to these questions, which may have been changed since."""
    try:
        said = foreign.read(text)
    except ValueError:
        return False
    if not isinstance(said, dict) or said.keys() != {each.name for each in questions}:
        return False
    return all(_answers(each, said[each.name]) for each in questions)


def _answers(question: DecisionQuestion, said: Any) -> bool:
    if not isinstance(said, dict) or said.get("type") != question.kind or not {"value", "confidence"} <= said.keys():
        return False
    return question.kind != "choice" or said["value"] in [None, *(each.value for each in question.options)]


def unsure(
    text: str, questions: Sequence[DecisionQuestion], bar: float | None, *, uncalibrated: bool
) -> tuple[str, ...]:
    """Name the questions that a person should look at: not answered, or with less confidence than there has to be.

    `uncalibrated`: an answer that nobody weighed is as good as any.
    """
    said, unsure = parts(text), []
    for each in questions:
        answer, own = said[each.name], bar if each.confidence is None else each.confidence
        if answer["value"] is None or _is_below(answer["confidence"], own, uncalibrated=uncalibrated):
            unsure.append(each.name)
    return tuple(unsure)


def _is_below(confidence: float | None, bar: float | None, *, uncalibrated: bool) -> bool:
    if bar is None:
        return False
    return not uncalibrated if confidence is None else confidence < bar
