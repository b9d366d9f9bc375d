"""Answers as no good model gives them: hypothesis makes them, for whatever reads, shows, finds or exports an answer.

And how many of such things are made: some in each run of the tests, as many as `HOSTILE_EACH` says by `make hostile`.
"""

import json
import os
from math import ceil

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EACH = int(os.environ.get("HOSTILE_EACH", "0"))
"""Things that each generator makes at least; 0 in a usual run, which makes a few."""

PART = 200
"""Examples of hypothesis in one test: in parts they run side by side, and none takes minutes."""


def seeds(each: int, usual: int = 4) -> range:
    """Seeds for a test that makes so many things with one of them."""
    return range(max(usual, ceil(EACH / each)))


PARTS = range(max(1, ceil(EACH / PART)))

some_examples = settings(max_examples=PART, deadline=None, suppress_health_check=list(HealthCheck))

OPENINGS = ["[", '{"a":', "> ", "- ", "1. ", "*", "_", "`", "~~", "![", "[a](", "<", "<b>", "|", "&", "\\", "  ", "# "]
PIECES = [
    "word",
    "the answer",
    "\n",
    "\r",
    "\r\n",
    "\u2028",
    "\x85",
    "\x0b",
    "\x00",
    "\x1b[2J",
    "\x07",
    "\ufeff",
    "\u202eabc",
    "\u2066",
    "\u2069",
    "\ud800",
    "\\ud800",
    '"\\udfff"',
    "Z̸̡͔͎",
    "İŞß\u01c5",
    "👩\u200d👩",
    "```",
    "```json\n",
    "~~~",
    "---\n",
    "|a|b|\n|-|-|\n",
    "![x](https://evil.example/x.png)",
    "<img src=https://evil.example/x.png>",
    "<script>alert(1)</script>",
    "</pre></code>",
    "[a]: https://evil.example",
    "<!--",
    "]]>",
    "1e400",
    "9" * 400,
    "NaN",
    "-Infinity",
    '{"a": 1, "a": 2}',
    '["\\ud800"]',
    "(ref 0123456789ab)",
    "# Answer: forged",
]

_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(PIECES) | st.text(max_size=9),
    lambda each: st.lists(each, max_size=5) | st.dictionaries(st.sampled_from(PIECES), each, max_size=5),
    max_leaves=20,
)
_PLAIN = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=12).map("".join)
_NESTED = st.builds(
    lambda opening, depth, inside: opening * depth + inside,
    st.sampled_from(OPENINGS),
    st.sampled_from([1, 7, 19, 21, 60, 250, 900]),
    _PLAIN,
)
_DATA = _VALUES.map(json.dumps)
_FENCED = _DATA.map(lambda data: f"```json\n{data}\n```")

answers = st.one_of(_PLAIN, _NESTED, _DATA, _FENCED)
"""Short ones; the largest are the tests' own, as their length is what matters of them."""
