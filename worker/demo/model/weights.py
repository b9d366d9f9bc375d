"""Decision questions, as the stand-in answers them over both wires: by what is set, or always the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.demo.model import wire
from worker.demo.model.wire import ApiError, Json, invalid, missing

Weight = float | Sequence[float] | Mapping[str, float] | None
"""What is set for a question: a predicate's probability, one for each option, or by their names; None refuses it."""

PARAMETERS: Final = frozenset(
    {"input", "model", "questions", "prompt_cache_key", "prompt_cache_options", "safety_identifier"}
)
MOST_QUESTIONS, LEAST_CHOICES, MOST_CHOICES = 400, 2, 255
LIKELY: Final = 0.9
"""Of what is answered where nothing is set."""


def check_decisions(body: Json) -> None:
    """Refuse what OpenAI refuses. Raises ApiError."""
    for name in body.keys() - PARAMETERS:
        raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "input", "questions"):
        if not body.get(name):
            raise missing(name)
    wire.items(body["input"], "input")
    questions = body["questions"]
    if not isinstance(questions, list) or len(questions) > MOST_QUESTIONS:
        raise invalid("questions", f"expected an array of at most {MOST_QUESTIONS}.")
    for place, each in enumerate(questions):
        if not isinstance(each, dict) or not each.get("instructions"):
            raise missing(f"questions[{place}].instructions")
        _check_options(each, f"questions[{place}]")


def _check_options(question: Json, place: str) -> None:
    known = {"type", "name", "instructions"}
    match question.get("type"):
        case "predicate":
            pass
        case "choice":
            known |= {"choices"}
            values = [(type(each["value"]), each["value"]) for each in question.get("choices", ())]
            if not LEAST_CHOICES <= len(values) <= MOST_CHOICES or len(set(values)) < len(values):
                raise invalid(f"{place}.choices", f"expected {LEAST_CHOICES} to {MOST_CHOICES} different choices.")
        case "score":
            known |= {"levels"}
            if not all("label" in each for each in question.get("levels") or [{}]):
                raise missing(f"{place}.levels[0].label")
        case other:
            raise invalid(f"{place}.type", f"expected predicate, choice or score, got {other!r}.")
    for name in question.keys() - known:
        raise ApiError(400, f"Unknown parameter: '{place}.{name}'.", param=f"{place}.{name}", code="unknown_parameter")


def decision(body: Json, weights: Mapping[str, Weight]) -> Json:
    """Answer a request to /v1/decisions."""
    texts = map(wire.text_of, wire.items(body["input"], "input"))
    read = wire.tokens(*texts, *(str(each) for each in body["questions"]))
    answers = [_answer(each, weights) for each in body["questions"]]
    return {"model": body["model"], "answers": answers, "usage": wire.usage(read, len(answers))}


def _answer(question: Json, weights: Mapping[str, Weight]) -> Json:
    name, kind = question.get("name"), question["type"]
    if kind == "predicate":
        likely = _weighed(name, ("false", "true"), weights)
        return _or_refusal(name, likely and {"type": kind, "probability": likely[1]})
    keys, key = (question["choices"], "value") if kind == "choice" else (question["levels"], "label")
    values = [each[key] for each in keys]
    found = _weighed(name, [_label(each) for each in values], weights)
    if found is None:
        return _or_refusal(name, None)
    if kind == "choice":
        told = [{"value": value, "probability": each} for value, each in zip(values, found, strict=True)]
        return {"type": kind, "name": name, "choice": _likeliest(values, found), **_of_both(found, told)}
    told = [{"label": value, "value": at, "probability": found[at]} for at, value in enumerate(values)]
    return {"type": kind, "name": name, "score": _expected(found), **_of_both(found, told)}


def _or_refusal(name: str | None, answer: Any) -> Json:
    return {"type": "refusal", "name": name} if answer is None else {**answer, "name": name}


def _of_both(found: Sequence[float], told: object) -> Json:
    return {"confidence": _confidence(found), "probabilities": told}


def check_systemone(body: Json) -> None:
    """Refuse what servers of System One refuse. Raises ApiError."""
    questions = body.get("questions")
    if not body.get("model") or not body.get("state") or not isinstance(questions, dict) or not questions:
        raise ApiError(422, "Field required: model, state and questions.")
    for name, each in questions.items():
        fits = {"noul": (dict, type(None)), "choice": (dict,), "score": (list,)}.get(each.get("type"))
        if fits is None or not isinstance(each.get("criteria"), fits) or not each.get("instructions"):
            raise ApiError(422, f"questions.{name} is no noul, choice or score with instructions and criteria.")


def systemone(body: Json, weights: Mapping[str, Weight]) -> Json:
    """Answer a request to /v1/systemone. What is refused is missing among the answers."""
    answers = {name: _one(name, each, weights) for name, each in body["questions"].items()}
    read = wire.tokens(str(body["state"]), str(body["questions"]))
    told = {name: each for name, each in answers.items() if each is not None}
    return {"model": body["model"], "answers": told, "usage": {"input_tokens": read, "output_tokens": 0}}


def _one(name: str, question: Json, weights: Mapping[str, Weight]) -> Json | None:
    kind = question["type"]
    labels = ["false", "true"] if kind == "noul" else list(question["criteria"])
    found = _weighed(name, labels, weights)
    if found is None:
        return None
    if kind == "noul":
        return {"type": kind, "noul": found[1]}
    if kind == "choice":
        told = dict(zip(labels, found, strict=True))
        return {"type": kind, "choice": _likeliest(labels, found), **_of_both(found, told)}
    legend = {str(at): label for at, label in enumerate(labels)}
    told = dict(zip(legend, found, strict=True))
    return {"type": kind, "score": _expected(found), "legend": legend, **_of_both(found, told)}


def _weighed(name: str | None, labels: Sequence[str], weights: Mapping[str, Weight]) -> list[float] | None:
    """The probability of each option, in their order; None for what is refused."""
    wanted = weights.get(name or "", LIKELY)
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return [float(wanted.get(label, 0.0)) for label in labels]
    if isinstance(wanted, Sequence):
        return list(map(float, wanted))
    rest = (1 - wanted) / (len(labels) - 1)
    return [rest, wanted] if tuple(labels) == ("false", "true") else [wanted, *[rest] * (len(labels) - 1)]


def _likeliest(values: Sequence[Any], found: Sequence[float]) -> Any:
    return values[max(range(len(found)), key=found.__getitem__)]


def _expected(found: Sequence[float]) -> float:
    return sum(level * each for level, each in enumerate(found))


def _confidence(found: Sequence[float]) -> float:
    """1 where one option has it all, 0 where all have as much."""
    return max(0.0, (len(found) * max(found) - 1) / (len(found) - 1))


def _label(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()
