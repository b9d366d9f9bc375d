"""Text of Word documents, with tables, text boxes and notes, as it reads when all changes are accepted.

Read here and not by a library: python-docx leaves out what stands in tracked insertions, content controls and text
boxes, and nobody would know.
"""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse

from worker.documents.bounds import Pages
from worker.documents.package import Parts

_GONE = frozenset({"del", "moveFrom", "Fallback"})
"""What is deleted, or stands elsewhere; the last is for those who cannot read what stands beside it."""
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_NOTES = {"footnoteReference": "footnote", "endnoteReference": "endnote"}
_BOXES = frozenset({"p", "tc", "tr", "footnote", "endnote"})
"""What has text of its own."""
_OTHERS = ("header", "footer", "footnotes", "endnotes")


def read(parts: Parts, pages: Pages) -> None:
    """Read the body, and what stands around it."""
    pages.begin("")
    with parts.open(parts.main) as part:
        for line in _lines(part):
            pages.line(line)
    for kind in _OTHERS:
        said = set[str]()
        for name in parts.related(kind):
            with parts.open(name) as part:
                lines = list(_lines(part))
            # Each section has headers of its own, which mostly say the same.
            if lines and "\n".join(lines) not in said:
                pages.begin(kind)
                pages.line("\n".join(lines))
                said.add("\n".join(lines))


def _lines(part: IO[bytes]) -> Iterator[str]:
    """Yield paragraphs, and rows of tables on one line each. What stands within something else goes into its text."""
    boxes: list[list[str]] = []
    gone = 0
    for event, element in iterparse(part, events=("start", "end")):
        tag = _local(element.tag)
        if tag in _GONE:
            gone += 1 if event == "start" else -1
        if event == "start":
            if tag in _BOXES:
                boxes.append([])
            continue
        if tag in _BOXES:
            text = _closed(tag, element, boxes.pop())
            if not gone and boxes:
                # A text box stands within a paragraph.
                boxes[-1].append(f"\n{text}\n" if tag == "p" else text)
            elif not gone and text.strip():
                yield text
        elif not gone and boxes and (said := _said(tag, element)):
            boxes[-1].append(said)
        element.clear()  # long documents would otherwise stand in memory as a tree


def _closed(tag: str, element: Element, inside: list[str]) -> str:
    match tag:
        case "tr":
            return " | ".join(inside)
        case "tc":
            return " ".join("\n".join(inside).split())
        case "p":
            return "".join(inside).strip("\n")
        case _:
            return f"[{tag} {_id(element)}] " + " ".join("".join(inside).split())


def _said(tag: str, element: Element) -> str:
    if tag == "t":
        return element.text or ""
    if tag in _NOTES:
        return f"[{_NOTES[tag]} {_id(element)}]"
    return _SIGNS.get(tag, "")


def _id(element: Element) -> str:
    return next((value for name, value in element.items() if _local(name) == "id"), "")


def _local(name: str) -> str:
    """Leave the namespace out: there is another one for each edition of the standard."""
    return name.rpartition("}")[2]
