"""Decision questions asked several times, their choices in another order each time, and what that comes to. Pure."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, Final

from worker.domain import foreign
from worker.domain.money import Money
from worker.domain.questions import DecisionQuestion, Value, written
from worker.domain.threads import Answer, Outcome
from worker.modelling.questions import is_answered, parts

MOST_ORDERS: Final = 10
_TOKENS: Final = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was answered in a task's earlier orders, and what was wrong with the attempt before, if anything."""

    answers: tuple[Answer, ...] = ()
    wrong: str = ""

    def noted(self, answer: Answer) -> str:
        """Write it with one more answer, for the next attempt."""
        return _written(Earlier((*self.answers, answer)))

    def after(self, wrong: str) -> str:
        """Write it for an attempt that is to put this right."""
        return _written(replace(self, wrong=wrong)) if self.answers else wrong


def read(noted: str, questions: Sequence[DecisionQuestion]) -> Earlier:
    """Read what was noted for this attempt. Answers to other questions, which a task had before, count for nothing."""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        said = foreign.read(noted)
        answers = tuple(_answer(each) for each in said["orders"])
        is_same = all(is_answered(each.text, questions) for each in answers)
        return Earlier(answers if is_same else (), str(said["wrong"]))
    return Earlier(wrong=noted)


def _written(earlier: Earlier) -> str:
    told = [
        {
            "text": each.text,
            "model": each.model,
            "tokens": [getattr(each, name) for name in _TOKENS],
            "cost": each.cost and each.cost.told,
        }
        for each in earlier.answers
    ]
    return json.dumps({"orders": told, "wrong": earlier.wrong}, ensure_ascii=False)


def _answer(said: Mapping[str, Any]) -> Answer:
    tokens = dict(zip(_TOKENS, said["tokens"], strict=True))
    return Answer(said["text"], model=said["model"], weighed=True, cost=Money.read(said["cost"]), **tokens)


def turned(questions: Sequence[DecisionQuestion], order: int) -> tuple[DecisionQuestion, ...]:
    """Ask choices in another order: the nth time the nth comes first, and when each has been that, backwards.

    Levels of scores stay from the lowest to the highest.
    """
    return tuple(_turned(each, order) if each.kind == "choice" else each for each in questions)


def _turned(question: DecisionQuestion, order: int) -> DecisionQuestion:
    options = question.options
    first, is_backwards = order % len(options), order // len(options) % 2 == 1
    following = options[first:] + options[:first]
    return replace(question, options=(following[0], *reversed(following[1:])) if is_backwards else following)


def together(answers: Sequence[Answer], questions: Sequence[DecisionQuestion]) -> Answer:
    """Put the answers of all orders together: the last one, with means, and with what all of them took."""
    said = [parts(each.text) for each in answers]
    found = {each.name: _mean(each, [one[each.name] for one in said]) for each in questions}
    is_refused = all(each["value"] is None for each in found.values())
    outcome = Outcome.REFUSED if is_refused else Outcome.OK
    tokens: dict[str, Any] = {name: _sum([getattr(each, name) for each in answers]) for name in _TOKENS}
    return replace(answers[-1], text=written(found), outcome=outcome, cost=_cost(answers), **tokens)


def agreement(text: str) -> float | None:
    """Say how far the orders agreed on the question that they agreed least on; None where there was one alone."""
    return min((each["agreement"] for each in parts(text).values() if "agreement" in each), default=None)


def _mean(question: DecisionQuestion, said: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    known = [each for each in said if each["value"] is not None]
    if not known:
        return {**question.refused(), "agreement": 1.0}
    if question.kind == "predicate":
        mean = question.likely(fsum(each["probability"] for each in known) / len(known))
    else:
        chances = [_chances(question, each) for each in known]
        probabilities = [fsum(each[option.value] for each in chances) / len(known) for option in question.options]
        value = _value(question, known, probabilities)
        mean = question.decided(value, _confidence(question, value, known), probabilities)
    same = sum(_is_same(question, each["value"], mean["value"]) for each in known)
    return {**mean, "agreement": same / len(said)}


def _chances(question: DecisionQuestion, said: Mapping[str, Any]) -> Mapping[Any, float]:
    key = "label" if question.kind == "score" else "value"
    return {each[key]: each["probability"] for each in said["probabilities"]}


def _value(question: DecisionQuestion, known: Sequence[Mapping[str, Any]], probabilities: Sequence[float]) -> Value:
    """Take the likeliest choice, of equals the first in the model's order; of a score the mean."""
    if question.kind == "score":
        return fsum(each["value"] for each in known) / len(known)
    return question.options[probabilities.index(max(probabilities))].value


def _confidence(question: DecisionQuestion, value: Value, known: Sequence[Mapping[str, Any]]) -> float | None:
    """Take the mean; an order that says something else is not confident of this at all."""
    own = [each["confidence"] if _is_same(question, each["value"], value) else 0.0 for each in known]
    return None if None in own else fsum(own) / len(own)


def _is_same(question: DecisionQuestion, one: Value, other: Value) -> bool:
    """Whether two answers are alike: of a score the same level, the nearest one."""
    if question.kind == "score":
        return round(float(one)) == round(float(other))
    return type(one) is type(other) and one == other


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if len(known) == len(counts) else None


def _cost(answers: Sequence[Answer]) -> Money | None:
    costs = [each.cost for each in answers if each.cost is not None]
    currencies = {each.currency for each in costs}
    if len(costs) < len(answers) or len(currencies) != 1:
        return None
    return Money.of(sum(each.billionths for each in costs), currencies.pop())
