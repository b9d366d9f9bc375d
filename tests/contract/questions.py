"""Questions to put to a model, and somebody to answer them."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

from worker.domain.threads import Assistant, Question, ThreadKey, ref

KEY = "sk-secret-key"
SECRET_WORD = "marzipan"
"""Stands for all that a question must keep to itself."""

_numbers = count()


def assistant(**changes: Any) -> Assistant:
    """An assistant of which only the changes matter."""
    plain = Assistant("analyst", "1.0", "gpt-5-mini", "openai", "Answer in one sentence.", timedelta(seconds=10))
    return replace(plain, **changes)


def question(text: str = f"What goes with {SECRET_WORD}?") -> Question:
    """A question with a ref that no other question has."""
    return Question(text, ref(ThreadKey("tests", "instance", "analyst"), f"task-{next(_numbers)}", 1))
