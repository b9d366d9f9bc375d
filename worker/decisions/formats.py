"""The formats that a record is exported in. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.decisions import as_docx, as_html, as_json, as_markdown, as_pdf, as_xlsx


@dataclass(frozen=True, slots=True)
class Format:
    """How a record becomes a file. `name` is for programs, `label` for people, `ending` for the file's name.

    `write` takes a record, with its rows as `rows` if they are to be in it; some raise Permanent without the extra
    [report].
    """

    name: str
    label: str
    media_type: str
    ending: str
    write: Callable[[Mapping[str, Any]], bytes]


_OFFICE: Final = "application/vnd.openxmlformats-officedocument"

FORMATS: Final = {
    each.name: each
    for each in (
        Format("json", "JSON", "application/json", "json", as_json.write),
        Format("html", "Web page", "text/html", "html", as_html.write),
        Format("markdown", "Markdown (MADR)", "text/markdown", "md", as_markdown.write),
        Format("xlsx", "Excel workbook", f"{_OFFICE}.spreadsheetml.sheet", "xlsx", as_xlsx.write),
        Format("docx", "Word document", f"{_OFFICE}.wordprocessingml.document", "docx", as_docx.write),
        Format("pdf", "PDF", "application/pdf", "pdf", as_pdf.write),
    )
}
