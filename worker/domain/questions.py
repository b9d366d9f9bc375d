"""Decision questions: closed questions, whose answers are values, each with how probable it is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["predicate", "choice", "score"]
Value = bool | str | float

LIKELY = 0.5
"""The probability from which on a predicate counts as true."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value that may be chosen, or the label of a level."""

    value: str | bool
    description: str = ""

    @property
    def label(self) -> str:
        """Its value as a text; those of one question all differ."""
        return json.dumps(self.value) if isinstance(self.value, bool) else self.value


@dataclass(frozen=True, slots=True)
class DecisionQuestion:
    """One question about what a task shows.

    `options` are a choice's values, or a score's levels from the lowest to the highest; a predicate has none.
    `confidence` is what its answer has to have, from 0 to 1; None leaves that to the task.
    """

    name: str
    kind: Kind
    instructions: str
    options: tuple[Option, ...] = ()
    confidence: float | None = None

    def decided(self, value: Value, confidence: float | None, probabilities: Sequence[float]) -> dict[str, Any]:
        """Write its answer, with a probability for each option in their order."""
        weights: list[dict[str, Any]] = [
            ({"label": each.value, "value": level} if self.kind == "score" else {"value": each.value})
            | {"probability": probability}
            for level, (each, probability) in enumerate(zip(self.options, probabilities, strict=True))
        ]
        return {"type": self.kind, "value": value, "confidence": confidence, "probabilities": weights}

    def likely(self, probability: float) -> dict[str, Any]:
        """Write the answer to a predicate that is so probable."""
        confidence = max(probability, 1 - probability)
        told = {"type": self.kind, "value": probability >= LIKELY, "confidence": confidence}
        return told | {"probability": probability}

    def unweighed(self, value: Value) -> dict[str, Any]:
        """Write an answer of which nobody knows how probable it is."""
        return {"type": self.kind, "value": value, "confidence": None}

    def refused(self) -> dict[str, Any]:
        """Write that it was not answered."""
        return {"type": self.kind, "value": None, "confidence": None, "refused": True}


def written(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Write all answers, by the names of their questions, as the text of one."""
    return json.dumps(answers, ensure_ascii=False)
