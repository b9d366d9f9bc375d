"""The findings as a table that fits terminals and pipes, with nothing cut off."""

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.operate.doctor.checks import Finding, Level
from worker.operate.screen import line

_STYLES = {Level.OK: "green", Level.UNKNOWN: "dim", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def show(findings: Sequence[Finding], screen: Console) -> None:
    """Print the table, and the sum below it."""
    table = Table(box=box.ROUNDED, show_lines=True)
    # Fold: a word longer than its column is broken, by default it would lose its end.
    for name, most in (("Area", 16), ("Checked", 34), ("Result", 9), ("Finding, and what to do", None)):
        table.add_column(name, overflow="fold", max_width=most)
    for each in findings:
        table.add_row(line(each.area), line(each.subject), _level(each), _words(each))
    screen.print(table)
    screen.print(summary(findings))


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
