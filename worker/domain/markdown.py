"""Words of others within Markdown of ours. Pure."""

import re

CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Keep words on one line, and from being taken for Markdown."""
    line = CONTROL.sub("\ufffd", " ".join(text.split()))
    return "".join(f"\\{char}" if char in "\\`*_[]<>#!|&~$" else char for char in line)
