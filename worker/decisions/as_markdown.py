"""A record as Markdown, with front matter and headings of MADR 4. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.decisions.report import Report, Section, Share, Table, report, status
from worker.domain.markdown import plain

_NO_YAML = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_OPENS_BLOCK = re.compile(r"^(\d*)([-+=:.)])")


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record to be read, and kept beside code. Nothing that somebody said is taken for Markdown or YAML."""
    made = report(record)
    rows = record.get("rows", ())
    front = {
        "status": status(record),
        **({"date": rows[-1]["at"][:10]} if rows else {}),
        "decision-makers": [made.decider],
        "consulted": list(made.stakeholders),
        "record": record["id"],
        "revision": record["revision"],
        "content_sha256": record["content_sha256"],
    }
    # A record without a frame has no decider yet.
    lines = ["---", *(f"{name}: {_yaml(value)}" for name, value in front.items() if value != [""]), "---", ""]
    return "\n".join([*lines, *_body(made), ""]).encode()


def words(record: Mapping[str, Any]) -> str:
    """Write it without the front matter: what is read on a form, and by assistants."""
    return "\n".join([*_body(report(record)), ""])


def _body(made: Report) -> Iterator[str]:
    yield from (f"# {plain(made.title)}", "", *(f"- {name}: {_words(value)}" for name, value in made.facts.items()))
    for section in made.sections:
        yield from _section(section, "##")


def _yaml(value: Any) -> str:
    """Write JSON, which YAML reads as well once nothing in it ends a line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return (
        json.dumps(_NO_YAML.sub("\ufffd", value), ensure_ascii=False) if isinstance(value, str) else json.dumps(value)
    )


def _section(section: Section, heading: str) -> Iterator[str]:
    yield from ("", f"{heading} {plain(section.title)}")
    for each in section.words:
        yield from ("", _words(each))
    if section.points:
        yield from ("", *(f"- {_words(each)}" for each in section.points))
    for table in section.tables:
        yield from ("", f"**{plain(table.title)}**", "", *_table(table))
    for below in section.below:
        if below.points:
            yield from _section(below, f"{heading}#")


def _table(table: Table) -> Iterator[str]:
    yield _row(table.head)
    yield _row(["---"] * len(table.head), is_plain=True)
    yield from map(_row, table.rows)


def _row(cells: Sequence[str | Share], *, is_plain: bool = False) -> str:
    texts = [each.text if isinstance(each, Share) else each for each in cells]
    return f"| {' | '.join(texts if is_plain else map(plain, texts))} |"


def _words(text: str) -> str:
    """Keep words from opening a list or a heading of their own."""
    return _OPENS_BLOCK.sub(r"\1\\\2", plain(text))
