"""The findings as a table or a list that fits terminals and pipes, with nothing cut off, and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.operate.doctor.checks import Finding, Level
from worker.operate.screen import line

TABLE_COLUMNS = 100
"""On a narrower screen the table would break words; a list does not."""

_STYLES = {Level.OK: "green", Level.UNKNOWN: "dim", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def show(findings: Sequence[Finding], screen: Console) -> None:
    """Print the findings, and the sum below them."""
    screen.print(_table(findings) if screen.width >= TABLE_COLUMNS else _list(findings))
    screen.print(summary(findings))


def as_json(findings: Sequence[Finding]) -> str:
    """Write them for programs: a list of objects with level, area, subject, said and advice, all of them texts.

    The level is ok, unknown, warning or problem; the advice is empty where nothing needs doing.
    """
    rows = [
        {
            "level": each.level.name.lower(),
            "area": each.area,
            "subject": each.subject,
            "said": each.said,
            "advice": each.advice,
        }
        for each in findings
    ]
    return json.dumps(rows, indent=2)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.ROUNDED, show_lines=True)
    # Fold: a word longer than its column is broken, by default it would lose its end.
    for name, most in (("Area", 16), ("Checked", 34), ("Result", 9), ("Finding, and what to do", None)):
        table.add_column(name, overflow="fold", max_width=most)
    for each in findings:
        table.add_row(line(each.area), line(each.subject), _level(each), _words(each))
    return table


def _list(findings: Sequence[Finding]) -> Group:
    """Each finding below the other, with the whole width for itself."""
    parts: list[RenderableType] = []
    for each in findings:
        parts.append(Text.assemble(_level(each), ": ", line(each.area), ", ", line(each.subject)))
        parts.append(Padding(_words(each), (0, 0, 0, 2), expand=False))
    return Group(*parts)


def summary(findings: Sequence[Finding]) -> Text:
    """Say in a line how it stands."""
    counts = Counter(each.level for each in findings)
    listed = ", ".join(_count(level, counts[level]) for level in reversed(Level) if counts[level])
    if counts[Level.PROBLEM]:
        return Text(f"The work would stop, or not begin: {listed}.", style=_STYLES[Level.PROBLEM])
    return Text(f"Nothing found that would stop the work: {listed}.", style=_STYLES[Level.OK])


def _count(level: Level, number: int) -> str:
    counted = level in {Level.WARNING, Level.PROBLEM} and number > 1
    return f"{number} {level.value}{'s' if counted else ''}"


def _level(finding: Finding) -> Text:
    return Text(finding.level.value, style=_STYLES[finding.level])


def _words(finding: Finding) -> Text:
    words = line(finding.said)
    if finding.advice:
        words.append("\n").append_text(Text.assemble(("To do: ", "bold"), line(finding.advice)))
    return words
