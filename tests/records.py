"""Exchanges for tests of the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.exchanges import Exchange, Utterance
from worker.domain.threads import ThreadKey

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
KEY = ThreadKey(engine="default", scope="instance-1", assistant="analyst")


def key(instance: str = "instance-1", **others: Any) -> ThreadKey:
    """Whose conversation."""
    return ThreadKey(**{"engine": "default", "scope": instance, "assistant": "analyst"} | others)


BETWEEN = (
    Utterance("Looked into the register.", "assistant"),
    Utterance("Mind the budget.", "user", "maria"),
    Utterance("The register was closed.", "developer"),
    Utterance("Looked into the archive.", "assistant"),
)
"""What may be said between question and answer: by whoever speaks, and by some of them more than once."""


def exchange(number: int = 1, thread: ThreadKey = KEY, **others: Any) -> Exchange:
    """The so-manieth exchange of a thread: asked a minute after the one before, answered five seconds later.

    `between` is what was said before the answer, `user` who asked.
    """
    question = Utterance(
        others.pop("question", f"Question {number}?"), others.pop("asked_as", "user"), others.pop("user", None)
    )
    answer = Utterance(others.pop("answer", f"Answer {number}."), others.pop("answered_as", "assistant"))
    asked_at = START + timedelta(minutes=number)
    facts: dict[str, Any] = {
        "key": thread,
        "task_id": f"task-{thread.scope}-{thread.assistant}-{number}",
        "attempt": 1,
        "process_instance_id": thread.scope,
        "activity_id": f"step_{number}",
        "activity_name": f"Step {number}",
        "definition_id": f"{others.get('definition_key', 'drones')}:3:4711",
        "definition_key": "drones",
        "definition_version": 3,
        "business_key": "order-1",
        "assistant_version": "1.0",
        "thread_id": "conv_1",
        "generation": 1,
        "messages": (question, *others.pop("between", ()), answer),
        "asked_at": asked_at,
        "answered_at": asked_at + timedelta(seconds=5),
        "response_id": f"resp_{number}",
        "model": "gpt-5",
        "input_tokens": 100,
        "output_tokens": 20,
        "seconds": 5.0,
    }
    return Exchange(**facts | others)
