"""Regular expressions of others, searched for a bounded time, with the meaning that Python's `re` gives them.

A search cannot be ended from outside: `re` backtracks for years over thirty characters, and no other thread runs
meanwhile. `regex` knows a timeout, and lets others run. An engine without backtracking would be no way out: schemas
use lookaheads and backreferences. `re` still says what is a pattern; where `regex` reads the same text in another way,
that is written so that both mean the same. What remains: letters newer than Python's tables, classes beside a group
that is for ASCII alone, and capitals of the dotless i.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import regex

LONGEST = 2000
"""Characters. To build a pattern takes time as well, and nobody can end that."""

LARGEST = 10_000
"""Characters that a pattern comes to with its counts written out, which `regex` does: `(a{2000}){2000}` takes 1 GB."""

_TOKEN = re.compile(r"\\N\{[^}]*\}|\\.|\{\d+(?:,\d*)?\}|\{,\d*\}|.", re.DOTALL)
_WORD, _SPACE = r"\p{L}\p{N}_", r"\s\x1c-\x1f"
"""What `re` takes for \\w and \\s: `regex` adds accents, and leaves superscript digits and four controls out."""
_MEMBERS = {r"\w": _WORD, r"\s": _SPACE}
_OTHERS = {r"\W": _WORD, r"\S": _SPACE}
_NOT_EMPTY = "" if re.search(r"\B", "") else r"(?!\A\Z)"
"""Before Python 3.14 an empty text had no place that is no border of a word."""
_ESCAPES = {
    **{token: f"[{members}]" for token, members in _MEMBERS.items()},
    **{token: f"[^{members}]" for token, members in _OTHERS.items()},
    r"\b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    r"\B": f"(?:{_NOT_EMPTY}(?<=[{_WORD}])(?=[{_WORD}])|{_NOT_EMPTY}(?<![{_WORD}])(?![{_WORD}]))",
}


class TooSlow(Exception):
    """The search took longer than it was given."""


def flaw(pattern: str) -> str:
    """Say why a text is no pattern that can be used; empty if it is one."""
    if len(pattern) > LONGEST:
        return f"it has more than {LONGEST} characters"
    try:
        with _without_hints():
            re.compile(pattern)
        if written_out(pattern) > LARGEST:
            return f"its counts multiply to more than {LARGEST:,} characters"
        _compiled(pattern)
    except (re.error, regex.error, OverflowError) as exc:
        return str(exc)
    except RecursionError:
        return "it is nested too deep"
    return ""


def written_out(pattern: str) -> int:
    """Say how many characters a pattern of `re` comes to when its counts are written out, at most."""
    sizes, last, place = [0], 0, 0
    while match := _TOKEN.match(pattern, place):
        piece, place = match[0], match.end()
        if piece == "[":
            _, place = _set(pattern, place, is_ascii=True)
        if piece == "(":
            sizes.append(0)
        elif piece == ")":
            last = max(sizes.pop(), 1)
            sizes[-1] += last
        elif counts := [int(count) for count in re.findall(r"\d+", piece)] if piece[0] == "{" else []:
            sizes[-1] += last * (max(counts) - 1)
            last *= max(counts)
        else:
            last = 1
            sizes[-1] += 1
    return sum(sizes)


def is_in(pattern: str, text: str, seconds: float) -> bool:
    """Whether the pattern, which has no flaw, is found in a text. Raises TooSlow."""
    try:
        return _compiled(pattern).search(text, timeout=max(seconds, 0.001), concurrent=True) is not None
    # `regex` keeps places to go back to, and some patterns fill the memory before the time is up.
    except (TimeoutError, MemoryError) as exc:
        raise TooSlow from exc


def replaced(pattern: str, by: str, text: str, seconds: float) -> str:
    """Return the text with each place of the pattern, which has no flaw, replaced. Raises TooSlow."""
    try:
        return _compiled(pattern).sub(lambda _: by, text, timeout=max(seconds, 0.001), concurrent=True)
    except (TimeoutError, MemoryError) as exc:
        raise TooSlow from exc


@contextmanager
def _without_hints() -> Iterator[None]:
    """Leave out what Python says of patterns that may mean something else in a later version, such as `[[a]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@lru_cache(maxsize=128)
def _compiled(pattern: str) -> "regex.Pattern[str]":
    with _without_hints():
        flags = re.compile(pattern).flags
        is_ascii = bool(flags & re.ASCII) or re.search(r"\(\?[a-zA-Z]*a", pattern) is not None
        return regex.compile(_translated(pattern, is_ascii=is_ascii), regex.V0, cache_pattern=False)


def _translated(pattern: str, *, is_ascii: bool) -> str:
    r"""Write a pattern of `re` so that `regex` reads the same in it.

    A brace that counts nothing and a bracket in a set are mere characters to `re`; `regex` reads a fuzzy match and a
    named class there. Unless the pattern is for ASCII alone, classes such as \w become what `re` takes for them.
    """
    written: list[str] = []
    place = 0
    while match := _TOKEN.match(pattern, place):
        piece = match[0]
        place = match.end()
        if piece == "[":
            piece, place = _set(pattern, place, is_ascii=is_ascii)
        elif piece in ("{", "}"):
            piece = f"\\{piece}"
        written.append(piece if is_ascii else _ESCAPES.get(piece, piece))
    return "".join(written)


def _set(pattern: str, place: int, *, is_ascii: bool) -> tuple[str, int]:
    """Write the set that begins before this place; returns it and the place behind it."""
    negated = pattern.startswith("^", place)
    begin = place = place + negated
    members, others = "", []
    while place == begin or pattern[place] != "]":
        match = _TOKEN.match(pattern, place)
        piece = match[0] if match else ""
        place += len(piece)
        if not is_ascii and piece in _OTHERS:
            others.append(_ESCAPES[piece])
        else:
            members += r"\[" if piece == "[" else piece if is_ascii else _MEMBERS.get(piece, piece)
    if not others:
        return f"[{'^' * negated}{members}]", place + 1
    # What is not of a class cannot stand in a set with other characters: one of several sets, then.
    some = "|".join([*([f"[{chr(92) * members.startswith('^')}{members}]"] if members else []), *others])
    return f"(?:(?!{some})(?s:.))" if negated else f"(?:{some})", place + 1
