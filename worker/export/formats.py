"""The formats of files, as the API, the commands and the page offer them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from worker.export import as_json, as_markdown
from worker.export.source import Source


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written, part by part. `name` is for programs, `label` for people, `ending` for the file's name."""

    name: str
    label: str
    media_type: str
    ending: str
    write: Callable[[Source], AsyncIterator[bytes]]


JSON = Format("json", "JSON", "application/json", "json", as_json.write)
MARKDOWN = Format("markdown", "Markdown", "text/markdown", "md", as_markdown.write)

FORMATS = {each.name: each for each in (JSON, MARKDOWN)}
