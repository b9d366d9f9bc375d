"""Findings as SARIF 2.1.0, which editors and code hosts show at the lines. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from worker.operate.lint.checks import Finding
from worker.operate.lint.reading import Unread
from worker.operate.models.rules import OF_PROVIDERS, Rule
from worker.runtime.version import VERSION

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES: Final = [each for each in Rule if each not in OF_PROVIDERS]


def log(findings: Sequence[Finding], unread: Sequence[Unread]) -> dict[str, Any]:
    """Make the log of one run. Files are named from the working directory where they lie below it."""
    driver = {"name": "assistant-worker", "version": VERSION, "rules": [_rule(each) for each in _RULES]}
    invocation: dict[str, Any] = {"executionSuccessful": not unread}
    if unread:
        invocation["toolExecutionNotifications"] = [_notification(each) for each in unread]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [_result(each) for each in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.about},
        "defaultConfiguration": {"level": rule.level.value},
    }


def _result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": _place(finding.file, finding.line)}
    if finding.element:
        location["logicalLocations"] = [{"name": finding.element, "kind": "element"}]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": _RULES.index(finding.rule),
        "level": finding.level.value,
        "message": {"text": f"{finding.element}: {_said(finding)}" if finding.element else _said(finding)},
        "locations": [location],
    }


def _said(finding: Finding) -> str:
    return f"{finding.said}. {finding.advice}" if finding.advice else finding.said


def _notification(file: Unread) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": file.said},
        "locations": [{"physicalLocation": _place(file.file, file.line)}],
    }


def _place(file: str, line: int) -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(file)}, "region": {"startLine": line}}


def _uri(file: str) -> str:
    path = Path(file).absolute()
    try:
        return quote(path.relative_to(Path.cwd()).as_posix())
    except ValueError:
        return path.as_uri()
