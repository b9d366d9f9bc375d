"""A record as one page that needs nothing else and loads nothing. Pure."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from worker.decisions.report import LEGEND, Section, Share, Table, report

# A text with `</script>` would end the element, and what follows it be read as HTML.
_IN_SCRIPTS: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --bar: #4a7fc1; --low: #c27c2c; --zero: #c0392b; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
body { overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td { overflow-wrap: break-word; min-width: 3rem; max-width: 24rem; }
td:first-child:not(:last-child) { min-width: 6rem; }
td.share { white-space: nowrap; }
td.share svg { width: 4rem; height: .7rem; margin-right: .5rem; }
td.share .track { fill: var(--line); } td.share .bar { fill: var(--bar); }
.plot .line { display: grid; grid-template-columns: 14rem 1fr 8rem; gap: .6rem; align-items: center; }
.plot .line { margin: .3rem 0; }
.plot .line svg { width: 100%; height: 1rem; }
.plot .track { fill: var(--line); } .plot .low { fill: var(--low); } .plot .high { fill: var(--bar); }
.plot .zero { fill: var(--zero); }
.plot .legend svg { width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; }
@media (max-width: 40rem) { .plot .line { grid-template-columns: 1fr; gap: .1rem; } }
dt { font-weight: 600; } dd { margin: 0 0 .4rem; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record to be read, with itself in it as JSON. Whatever somebody said is text; there is no script."""
    made = report(record)
    title = _text(made.title)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<dl>",
        *(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in made.facts.items()),
        "</dl>",
        *(line for section in made.sections for line in _section(section, 2)),
        "</main>",
        f'<script type="application/json" id="record">{_data(record)}</script>',
        "</body>\n</html>\n",
    ]
    return "\n".join(parts).encode()


def _data(record: Mapping[str, Any]) -> str:
    """Write JSON that a page's reader takes for nothing else. What reads it as JSON has every letter back."""
    return json.dumps(record).translate(_IN_SCRIPTS)


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"<h{level}>{_text(section.title)}</h{level}>"
    yield from (f"<p>{_text(each)}</p>" for each in section.words)
    if section.points:
        yield "<ul>"
        yield from (f"<li>{_text(each)}</li>" for each in section.points)
        yield "</ul>"
    for table in section.tables:
        yield from _table(table)
    for below in section.below:
        if below.points:
            yield from _section(below, level + 1)


def _plot(table: Table) -> Iterator[str]:
    yield f'<div class="plot" role="img" aria-label="{_text(table.title)}; the table below has the figures">'
    marks = "".join(f"{_drawn(_rect(kind, 0, 1))}{_text(said)}" for kind, said in LEGEND.items())
    yield f'<p class="legend"><strong>{_text(table.title)}</strong>{marks}</p>'
    for bar in table.plot:
        rects = _rect("track", 0, 1) + "".join(_rect(kind, *ends) for kind, ends in bar.parts.items())
        yield f'<div class="line"><span>{_text(bar.label)}</span>{_drawn(rects)}<span>{_text(bar.text)}</span></div>'
    yield "</div>"


def _drawn(rects: str) -> str:
    return f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{rects}</svg>'


def _rect(kind: str, start: float, end: float) -> str:
    return f'<rect class="{kind}" x="{100 * start:.2f}" width="{100 * (end - start):.2f}" height="10"/>'


def _table(table: Table) -> Iterator[str]:
    if table.plot:
        yield from _plot(table)
    yield f'<div class="wide" role="region" aria-label="{_text(table.title)}" tabindex="0">'
    yield f"<table><caption>{_text(table.title)}</caption>"
    head = "".join(f'<th scope="col">{_text(each)}</th>' for each in table.head)
    yield f"<thead><tr>{head}</tr></thead><tbody>"
    yield from (f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    yield "</tbody></table></div>"


def _cell(cell: str | Share) -> str:
    if isinstance(cell, str):
        return f"<td>{_text(cell)}</td>"
    width = 100 * min(1.0, max(0.0, cell.share))
    bar = f'<rect class="track" width="100" height="10"/><rect class="bar" width="{width:.1f}" height="10"/>'
    drawn = f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>'
    return f'<td class="share">{drawn}{_text(cell.text)}</td>'


def _text(text: str) -> str:
    return escape(text)
