"""A few things of many, by name."""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

MOST: Final = 10_000

T = TypeVar("T")


class Lately(Generic[T]):
    """What was learned last, by name, of so many names at most."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._values = OrderedDict[str, T]()

    def get(self, name: str) -> T | None:
        """Return it, None if it is not, or not any more, known."""
        if name in self._values:
            self._values.move_to_end(name)
        return self._values.get(name)

    def keep(self, name: str, value: T) -> T:
        """Know it, for what was not asked for longest if there is no room; and return it."""
        self._values[name] = value
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value

    def forget(self, name: str) -> None:
        """Know it no more."""
        self._values.pop(name, None)
