"""Answers as no good model gives them: hypothesis makes them, for whatever reads, shows, finds or exports an answer."""

import json
import os

from hypothesis import strategies as st

TIMES = int(os.environ.get("HOSTILE_TIMES", "1"))
"""So many times as many as in a usual run; `make hostile` has more."""

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
