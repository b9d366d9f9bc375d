"""The one number by which workers of several versions know whether they can share what is kept."""

from worker.errors import NewerFormat

FORMAT = 1
"""Of everything that Redis and the transcript keep for one engine.

A version that only adds (a field, a key, a column, a table) keeps the number: older workers leave alone what they do
not know. One that changes what is there counts it up. The number is noted for each engine in both stores; a worker that
meets a higher one takes no tasks.
"""


def newer(store: str, noted: int, known: int) -> NewerFormat:
    """Say that a store has a higher format than this version knows."""
    return NewerFormat(
        f"{store} has format {noted} of a newer worker, and this one knows {known}: update this worker, or stop the "
        "newer ones and restore what they changed from a copy"
    )
