"""Recalling by a clock that does not jump: redaction has a thread, and its time."""

import threading

from tests.core.remembering import FakeMemory, known_of
from worker.domain.memory import Recalled
from worker.modelling.subjects import named
from worker.runtime.breaker import FAILURES
from worker.turn.recalling import Recalling

ADA = named("variable:customer", "ada", None, "default").digest


async def test_a_question_that_takes_long_to_redact_is_not_sent_and_makes_no_outage() -> None:
    memory, over = FakeMemory(), threading.Event()

    def slow(text: str, _: float) -> str:
        over.wait(30)
        return text

    recalling = Recalling(memory, memory, "default", redacted=slow, deadline_seconds=1.0)
    try:
        for _ in range(FAILURES + 1):
            known = await known_of(recalling, "ada")
            assert known.recalled == Recalled(ADA, why="the question could not be redacted")
            assert known.remember is not None
            assert known.remember.generation == memory.generation
    finally:
        over.set()
    assert memory.script.named("recall") == []
