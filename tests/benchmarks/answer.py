"""What every subject answers: one page of text, short enough for a String variable, and what we write beside it."""

import json

_SENTENCE = "Alternative {} costs {} thousand and meets {} of the ten requirements, with risk rated {}.\n"
ANSWER = "".join(_SENTENCE.format(number, 40 * number, number % 10, number % 5) for number in range(1, 26))

THREAD = f"conv_{'0' * 32}#1"
"""What our worker writes into its variable of a thread: the id, and the generation."""
_COUNTS = dict.fromkeys(("input", "cached", "cache_write", "output", "reasoning"), 1000)
_TOLD = {
    "assistant": "analyst",
    "version": "1.0",
    "provider": "openai",
    "model": "gpt-5.1",
    "thread": THREAD.partition("#")[0],
    "generation": 1,
    "use": "reused",
    "recreated": False,
    "seeded": 0,
    "memory": "whole",
    "untold": 0,
    "recovered": None,
    "repaired": False,
    "response": f"resp_{'0' * 32}",
    "tokens": _COUNTS,
    "cost": None,
    "budgets": [],
    "seconds": {"wait": 0.001, "thread": 0.001, "ask": 0.001},
    "fields": [],
    "type": "Text",
    "stored_as": "String",
    "task": "0" * 36,
    "attempt": 1,
    "question": "0" * 32,
    "answer": "0" * 32,
    "activity_instance": f"step_1:{'0' * 36}",
    "instructions": "0" * 64,
    "at": "2026-01-01T00:00:00.000000+00:00",
}
META = json.dumps(_TOLD, separators=(",", ":"))
"""What our worker writes beside an answer."""
