"""Words of others within Markdown of ours. Pure."""

import re

CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_ADDRESS = re.compile(r"(?i)(?<=[a-z])(?=://)|(?<=www)(?=\.)")
"""Where a bare address of the web is one no more for readers that make links of such, as GitHub does.

Nothing keeps it from a link to an address of e-mail: cmark-gfm looks for those when escapes are characters again.
"""


def plain(text: str) -> str:
    """Keep words on one line, and from being taken for Markdown."""
    line = CONTROL.sub("\ufffd", " ".join(text.split()))
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>#!|&~$" else char for char in line)
    return _ADDRESS.sub(r"\\", escaped)
