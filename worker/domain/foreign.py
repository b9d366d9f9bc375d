"""JSON and text that others wrote: variables, answers, replies, models, what stands in a store. Pure.

No other module calls `json.loads`, but for the page, which keeps numbers as they were written: here is the one place
that knows how such a text can go wrong.
"""

import codecs
import json
from collections.abc import Callable
from typing import Any

DEEPEST = 200
"""Objects and lists within each other. What people and models write has ten; each level costs whoever walks it."""
ODD_ENCODINGS = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"})


class TooDeep(ValueError):
    """It may be JSON, but nested deeper than anybody is to follow it."""

    def __init__(self) -> None:
        super().__init__(f"it is nested deeper than {DEEPEST} levels")


def read(
    text: str | bytes,
    *,
    constant: Callable[[str], Any] | None = None,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    number: Callable[[str], float] | None = None,
) -> Any:
    """Read JSON of at most DEEPEST levels. Raises ValueError, whatever is wrong; its text quotes nothing.

    `constant`, `pairs` and `number` are the hooks of `json.loads` for NaN and its like, for objects and for numbers.
    """
    value = read_flat(text, constant=constant, pairs=pairs, number=number)
    extent(value)
    return value


def read_flat(
    text: str | bytes,
    *,
    constant: Callable[[str], Any] | None = None,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    number: Callable[[str], float] | None = None,
) -> Any:
    """Read JSON of which only parts at known places matter, so that its depth does not. Otherwise as `read`."""
    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=pairs, parse_float=number, parse_int=number)
    except json.JSONDecodeError as exc:
        raise ValueError(f"{exc.msg} at line {exc.lineno}, column {exc.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("it is in no encoding of Unicode") from None
    except RecursionError:
        raise TooDeep from None


def text(content: bytes, encoding: str | None) -> str:
    """Read bytes in the encoding that somebody says; what is no text becomes replacement characters.

    A byte order mark goes before what is said. Python knows encodings that are none of a text, or take a square of
    their length: those are read as UTF-8, and so are those that nobody knows.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        name = codecs.lookup(encoding or "utf-8").name
        is_odd = name in {"utf-8", "ascii"} or name.replace("_", "-") in ODD_ENCODINGS
        return content.decode("utf-8-sig" if is_odd else name, errors="replace")
    except (LookupError, ValueError):  # nobody knows it, or it is no name at all
        return content.decode("utf-8-sig", errors="replace")


def whole(text: str) -> str:
    """Join halves of characters, which JSON can name one by one; those without their other half become U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def extent(value: Any, most: float = float("inf")) -> int:
    """Count the values in a value, itself included, up to a few more than `most`. Raises TooDeep.

    A value that is shared counts wherever it stands, as whoever walks it meets it there again.
    """
    count, waiting = 1, [(value, 1)]
    while waiting and count <= most:
        part, level = waiting.pop()
        if not isinstance(part, dict | list):
            continue
        if level > DEEPEST:
            raise TooDeep
        count += len(part)
        inside = part.values() if isinstance(part, dict) else part
        waiting += [(each, level + 1) for each in inside if isinstance(each, dict | list)]
    return count
