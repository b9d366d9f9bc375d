"""What the extra [report] brings, which is not installed everywhere. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import Permanent


@contextmanager
def needed(label: str) -> Iterator[None]:
    """Import what a format is written with. Raises Permanent, which says how to install it."""
    try:
        yield
    except ImportError as exc:
        raise Permanent(
            f"a record is to be written as {label}, and {exc.name} is missing: pip install 'assistant-worker[report]'"
        ) from exc
