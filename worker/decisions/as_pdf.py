"""A record as a PDF, set by Typst, which is given all words as JSON. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from worker.decisions.extra import needed
from worker.decisions.report import LEGEND, report

SOURCE: Final = Path(__file__).with_name("report.typ")


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record to be printed. Whatever somebody said is text. Raises Permanent without the extra [report]."""
    with needed("PDF"):
        import typst  # noqa: PLC0415 - the extra [report] is not installed everywhere
    # No file outside of this folder can be read, and without a time the same record is the same file.
    made: bytes = typst.compile(str(SOURCE), root=str(SOURCE.parent), sys_inputs=inputs(record), timestamp=0)
    return made


def inputs(record: Mapping[str, Any]) -> dict[str, str]:
    """Give Typst a report, by the name that its source knows."""
    return {"report": json.dumps(asdict(report(record))), "legend": json.dumps(LEGEND)}
