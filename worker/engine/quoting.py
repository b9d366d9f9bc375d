"""What an engine's error repeats of the request: values that go to it are what was said, and no error's to tell."""

import re
from collections.abc import Iterator
from typing import Any

WORDS, CHARACTERS = 3, 16
"""A run of so many words, or so long a one, that a request has too was taken from it; so was any whole value."""
SHORTEST_VALUE = 4
LEFT_OUT = "[…]"
LOOKED_THROUGH = 2_000_000
"""Characters of a request. A message that quotes begins with the beginning."""

NAMES = frozenset({"type", "valueInfo", "workerId", "errorCode"})
"""Fields that hold no answer, nor a part of one."""

_WORD = re.compile(r"\w+")
_EDGES = re.compile(r"^\W+|\W+$")


def unquoted(message: str, sent: Any) -> str:
    """Leave out of a message, which has single blanks, what it has from the values of a request's JSON."""
    values = {" ".join(text.split()) for text in _values(sent)}
    # Apart by what no message has, or a run could seem to go from the end of one value into the beginning of another.
    everything = "\0".join(values)
    whole = {_EDGES.sub("", value) for value in values}
    words = list(_WORD.finditer(message))
    kept, done, place = list[str](), 0, 0
    while place < len(words):
        count = _repeated(words[place:], message, everything)
        end = words[place + count - 1].end() if count else 0
        run = message[words[place].start() : end]
        if count >= WORDS or len(run) >= CHARACTERS or (len(run) >= SHORTEST_VALUE and run in whole):
            kept += [message[done : words[place].start()], LEFT_OUT]
            done, place = end, place + count
        else:
            place += 1
    return "".join([*kept, message[done:]])


def _repeated(words: list[re.Match[str]], message: str, everything: str) -> int:
    """Count the words from the first on that stand in the same way in what was sent."""
    count = 0
    while count < len(words) and message[words[0].start() : words[count].end()] in everything:
        count += 1
    return count


def _values(sent: Any) -> Iterator[str]:
    """Find texts and numbers, but for names."""
    left, waiting = LOOKED_THROUGH, [sent]
    while waiting and left > 0:
        match waiting.pop():
            case str() | int() | float() as value:
                yield str(value)[:left]
                left -= len(str(value)[:left])
            case dict(fields):
                waiting += [value for name, value in fields.items() if name not in NAMES]
            case list(items):
                waiting += items
