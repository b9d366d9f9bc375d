"""Work on many things, some at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def portions(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield all items in their order, at most so many at a time; nothing where there are none."""
    rest = iter(items)
    while some := list(islice(rest, most)):
        yield some
