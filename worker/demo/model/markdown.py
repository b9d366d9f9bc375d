"""Answers as Markdown: written section by section, and read back from the answers of earlier turns."""

import re
from collections.abc import Iterable, Mapping, Sequence


def latest(said: Sequence[str], heading: str) -> str | None:
    """The newest answer that has this section."""
    return next((text for text in reversed(said) if f"## {heading}\n" in text), None)


def lines(text: str, heading: str) -> list[str]:
    """The lines under a heading, without the empty ones."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.strip()]


def read(text: str, heading: str) -> dict[str, str]:
    """The list under a heading: names and what is said of them, as `bullets` wrote them."""
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.*)$", "\n".join(lines(text, heading)), re.MULTILINE))


def rows(text: str, heading: str) -> list[list[str]]:
    """The table under a heading, as `grid` wrote it."""
    found = [line for line in lines(text, heading) if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def page(*blocks: str) -> str:
    """Sections and paragraphs, one below the other."""
    return "\n\n".join(blocks)


def section(heading: str, text: str) -> str:
    """A text under its heading."""
    return f"## {heading}\n{text}"


def bullets(entries: Mapping[str, str]) -> str:
    """A list of names and what is said of each."""
    return "\n".join(f"- **{name}**: {text}" for name, text in entries.items())


def grid(header: Sequence[object], body: Iterable[Sequence[object]]) -> str:
    """A table."""
    every = [f"| {' | '.join(map(str, row))} |" for row in [header, *body]]
    return "\n".join([every[0], "|---" * len(header) + "|", *every[1:]])
