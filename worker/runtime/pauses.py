"""How long to wait before something is tried again."""

import random


def growing(first: float, tries: int, longest: float) -> float:
    """Return the seconds to wait after so many tries: doubled with each, and spread for several workers."""
    seconds: float = min(first * 2.0 ** min(tries, 10), longest)
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing
