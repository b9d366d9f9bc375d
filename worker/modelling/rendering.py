"""One variable → what a question shows of it. Pure; the size of what it becomes is bounded, not that of what it is."""

import base64
import json
from typing import Any

from worker.domain import foreign
from worker.domain.documents import Document
from worker.domain.tasks import Variable
from worker.domain.threads import BYTES_PER_TOKEN, size

TEXT_TYPES = (
    "text/",
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/csv",
)
TEXT_SUFFIXES = ("+json", "+xml", "+yaml")
INDENT = "    "
"""Values stand indented, so that no line of a variable can look like a heading of ours."""
JAVA = "application/x-java-serialized-object"
"""Never deserialised here: that runs code."""
_SHRINKS = 8
"""JSON may come to a shorter text than it has, by its escapes and blanks. What is longer than that is not looked at."""
_SPREAD = 8
"""Laid out, lists of digits come to six times their text; what comes to more is nested deeper than anybody reads."""
_SMALL = 2000
"""Bytes that any value may spread by when it is laid out, however small it is."""


_LONGEST_LABEL = 200
"""Characters of a file's name and of its type: whoever hands it over may say anything."""


class TooLarge(Exception):
    """A variable comes to so many bytes or more, and there is no room for them."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def section(name: str, variable: Variable | None, room: float = float("inf")) -> str:
    """Show a variable under a heading; None is one that is not set. Raises TooLarge beyond a room in bytes."""
    kind = f" ({variable.type})" if variable is not None and variable.type else ""
    shown = "(not set)" if variable is None else readable(variable, room)
    text = f"### {one_line(name)}{kind}\n\n{indented(shown)}"
    if size(text) > room:
        raise TooLarge(size(text))
    return text


def section_of(name: str, document: Document, room: float = float("inf")) -> str:
    """Show a document under a heading: what it is, then its pages. Raises TooLarge beyond a room in bytes."""
    said = (one_line(each)[:_LONGEST_LABEL] for each in (document.name, document.type))
    parts = [
        f"### {one_line(name)} ({'File' if document.name else 'Bytes'})",
        ", ".join(filter(None, [*said, f"sha256 {document.sha256}"])),
    ]
    if document.attached is not None:
        parts.append("(attached to this question as it is)")
    for page in document.pages:
        parts += [f"#### {one_line(page.mark)}"] if page.mark else []
        parts.append(indented(page.text or "(no text can be read here)"))
    text = "\n\n".join(parts)
    if (comes_to := size(text) + taken(document)) > room:
        raise TooLarge(comes_to)
    return text


def taken(document: Document) -> int:
    """Count what goes along with the question as if it were so much text, in bytes."""
    return BYTES_PER_TOKEN * document.attached.tokens if document.attached else 0


def readable(variable: Variable, room: float = float("inf")) -> str:
    """Show a value as a person would read it: text as it is, JSON laid out, content that did not come named only.

    JSON is compact where laid out it would not fit. Raises TooLarge for what cannot fit in any form.
    """
    if _is_sealed(variable):
        content = _content(variable)
        return f"({_label(variable)}: content not included)" if content is None else content
    value = variable.value
    if value is None:
        return "(empty)"
    if isinstance(value, str) and len(value) > _SHRINKS * room:
        raise TooLarge(len(value))
    if variable.type in {"Json", "Object"} and isinstance(value, str):
        return _laid_out(value, room, text=variable.info.get("objectTypeName") == "java.lang.String")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else _dumped(value, room)


def plain(variable: Variable) -> str | None:
    """Return what was meant as a text or a number, empty for null; None if this is something else."""
    value = variable.value
    if variable.type == "Object" and value is not None:
        is_string = variable.info.get("objectTypeName") == "java.lang.String" and _format(variable) != JAVA
        return _laid_out(str(value), float("inf"), text=True) if is_string else None
    if variable.type in {"File", "Bytes"} or isinstance(value, dict | list):
        return None
    return "" if value is None else str(value)


def is_unreadable(variable: Variable) -> bool:
    """Whether nothing of what this holds can be shown."""
    return _is_sealed(variable) and _content(variable) is None


def kind(variable: Variable) -> str:
    """Say of which type it is, with all that the engine tells."""
    told = (variable.info.get(name) for name in ("objectTypeName", "serializationDataFormat", "mimeType"))
    return " ".join(filter(None, [variable.type or type(variable.value).__name__, *told]))


def is_java_collection(variable: Variable) -> bool:
    """Whether this is a list, a set, a map or an array as only Java reads it; others' classes are left alone."""
    name = str(variable.info.get("objectTypeName"))
    return variable.type == "Object" and _format(variable) == JAVA and name.startswith(("java.util.", "["))


def is_text_file(variable: Variable) -> bool:
    """Whether this is a file whose content can be shown."""
    kind, name = variable.info.get("mimeType") or "", variable.info.get("filename") or ""
    # Browsers on a Windows with Excel call a CSV file so.
    is_csv = kind == "application/vnd.ms-excel" and name.lower().endswith(".csv")
    return variable.type == "File" and (is_csv or kind.startswith(TEXT_TYPES) or kind.endswith(TEXT_SUFFIXES))


def one_line(text: str) -> str:
    """Put a name on one line: whoever starts an instance may call a variable anything."""
    return " ".join(text.split())


def indented(value: str) -> str:
    """Put every line of a value behind the indent."""
    return "\n".join(INDENT + line for line in value.splitlines() or [""])


def _format(variable: Variable) -> str | None:
    return variable.info.get("serializationDataFormat")


def _is_sealed(variable: Variable) -> bool:
    """Whether its value is not what it says, or does not come at all."""
    if variable.type == "File":
        return True
    return variable.value is not None and (variable.type == "Bytes" or _format(variable) == JAVA)


def _content(variable: Variable) -> str | None:
    """Return the text in a file or in bytes, None if there is none, or it is no text."""
    if not isinstance(variable.value, str):
        return None
    if variable.type == "Bytes":
        return _text_of(variable.value)
    return variable.value if is_text_file(variable) else None


def _label(variable: Variable) -> str:
    kind = {"File": "file", "Bytes": "bytes"}.get(str(variable.type), "Java object")
    return " ".join(filter(None, [kind, variable.info.get("filename"), variable.info.get("objectTypeName")]))


def _text_of(value: str) -> str | None:
    """Read bytes, which the engine gives in base64, as text; None if they are none."""
    try:
        text = base64.b64decode(value, validate=True).decode()
    except ValueError:  # no base64, or no UTF-8
        return None
    return None if "\0" in text else text


def _laid_out(value: str, room: float, *, text: bool) -> str:
    """Lay JSON out; engines store invalid JSON unchecked, which is shown as it is. A long `text` is one JSON string."""
    try:
        read = foreign.read(value)
    except ValueError:  # or nested too deep
        return value
    return read if text and isinstance(read, str) else _dumped(read, room)


def _dumped(value: Any, room: float) -> str:
    try:
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        more = _blanks(value)
        if size(compact) + more > min(room, _SPREAD * size(compact) + _SMALL):
            return compact
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):  # nested too deep, or a number of thousands of digits
        return f"({type(value).__name__}: too large to show)"


def _blanks(value: Any) -> int:
    """Count the blanks and line ends that the layout adds, with our own indent: every line pays for its depth."""
    count, waiting = 0, [(value, 0)]
    while waiting:
        part, level = waiting.pop()
        if not isinstance(part, dict | list) or not part:
            continue
        count += len(part) * (2 * level + 2 + len(INDENT)) + 2 * level + len(INDENT)
        waiting += [(each, level + 1) for each in (part.values() if isinstance(part, dict) else part)]
    return count
