"""What was found, as text for people and as JSON for programs."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.operate.commands import tables
from worker.operate.lint import sarif
from worker.operate.lint.checks import Finding
from worker.operate.lint.reading import Unread
from worker.operate.models.rules import Level


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said. `files` are those that were looked at, `remark` says which assistants are known."""

    findings: Sequence[Finding]
    unread: Sequence[Unread]
    files: Sequence[str]
    remark: str


def as_text(said: Report) -> None:
    """Print each finding with its place in front, as compilers do, and the sum below."""
    for file in said.unread:
        tables.say(str(file))
    for each in said.findings:
        tables.say("\n".join(lines(each)))
    tables.say(f"{said.remark}\n{_sum(said)}")


def lines(each: Finding) -> tuple[str, str]:
    """Tell a finding in two lines: what is wrong where, and what to do."""
    whose = f'{each.element} "{each.name}"' if each.name else each.element
    whose = f"{whose}: " if whose else ""
    said = _line(f"{each.file}:{each.line}: {each.level} {each.rule.id}: {whose}{each.said}")
    return said, _line(f"    To do: {each.advice}")


def _line(text: str) -> str:
    """Keep a text on its line, whatever a model has in its names."""
    return text.replace("\r", " ").replace("\n", " ")


def _sum(said: Report) -> str:
    counts = Counter(each.level for each in said.findings)
    found = (
        ", ".join(_count(counts[level], level.value) for level in reversed(Level) if counts[level]) or "nothing found"
    )
    unread = f", {_count(len(said.unread), 'file')} not read" if said.unread else ""
    return f"{_count(len(said.files), 'model')}: {found}{unread}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(said: Report) -> None:
    """Print an object with `findings` and `unread`, each with file and line, and `files`, the names of all models."""
    findings = [
        {
            "rule": each.rule.id,
            "level": each.level.value,
            "file": each.file,
            "line": each.line,
            "element": each.element,
            "name": each.name,
            "said": each.said,
            "advice": each.advice,
        }
        for each in said.findings
    ]
    unread = [{"file": each.file, "line": each.line, "said": each.said} for each in said.unread]
    _print({"findings": findings, "unread": unread, "files": [*said.files], "remark": said.remark})


def as_sarif(said: Report) -> None:
    """Print a log of SARIF 2.1.0."""
    _print(sarif.log(said.findings, said.unread))


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


FORMS: Final[Mapping[str, Callable[[Report], None]]] = {"text": as_text, "json": as_json, "sarif": as_sarif}
