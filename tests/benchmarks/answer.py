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
}
META = json.dumps(_TOLD, separators=(",", ":"))
"""What our worker writes beside an answer."""
