"""Answers and inputs as JSON: written, and read back from the answers of earlier turns."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

K = TypeVar("K", dict[str, Any], list[Any])


def latest(said: Sequence[str], member: str) -> dict[str, Any]:
    """The newest answer that is a JSON object with this member."""
    return next((found for text in reversed(said) if member in (found := read(text, dict))), {})


def read(text: str, kind: type[K]) -> K:
    """JSON of this kind; anything else is an empty one."""
    try:
        value = json.loads(text)
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def write(value: Any) -> str:
    """JSON to be read by people."""
    return json.dumps(value, ensure_ascii=False, indent=2)
