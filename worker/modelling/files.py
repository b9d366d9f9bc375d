"""Files among a task's inputs: a text, a document that is read, or a picture that goes along with the question."""

import base64
from contextlib import suppress
from dataclasses import dataclass, replace

from worker.domain import foreign
from worker.domain.documents import (
    LARGEST,
    OLDER,
    TOKENS_OF_A_PICTURE,
    Attachment,
    Document,
    Form,
    Kind,
    Page,
    digest,
    form_of,
    image_type,
)
from worker.domain.tasks import Task, Variable
from worker.errors import BadInput
from worker.modelling.rendering import is_text_file, kind, one_line
from worker.ports.documents import Documents
from worker.ports.engine import Engine
from worker.runtime.beside import beside_if

LARGE = 1_000_000
"""Bytes that take more than a few milliseconds to digest."""
LONGEST_LABEL = 100
"""Characters of a file's name in an incident."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads documents, and which the provider `takes` as they are."""

    documents: Documents
    takes: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class Files:
    """Reads the files of one task, and bytes in which there is a document."""

    task: Task
    engine: Engine
    reading: Reading
    room: int

    async def read(self, name: str, variable: Variable) -> Variable | Document:
        """Return a text in its variable, and of a document its pages; what neither is as it came. Raises BadInput."""
        content = await self._content(name, variable)
        if content is None:
            return variable
        if content.startswith(OLDER):
            raise self._bad(name, variable, "is of an older Office or has a password: save it as DOCX, XLSX or PDF")
        type_, image = variable.info.get("mimeType") or "", image_type(content)
        form = form_of(content, type_)
        if form is None and image is None:
            return self._text(name, variable, content)
        sha256 = await beside_if(len(content) > LARGE, digest, content)
        document = Document(variable.info.get("filename") or "", type_, sha256)
        if image is not None:
            return replace(document, attached=self._attached(name, variable, Attachment(document.name, image, content)))
        if form == "pdf" and "pdf" in self.reading.takes:
            tokens = TOKENS_OF_A_PICTURE * len(await self._pages(name, variable, content, "pages"))
            attached = Attachment(document.name or f"{name}.pdf", "application/pdf", content, tokens)
            return replace(document, attached=self._attached(name, variable, attached))
        return replace(document, pages=await self._pages(name, variable, content, form or "pdf"))

    def _attached(self, name: str, variable: Variable, attachment: Attachment) -> Attachment:
        """Let it go along as it is. Raises BadInput where the provider does not take it."""
        if attachment.is_image and "images" not in self.reading.takes:
            raise self._bad(
                name,
                variable,
                "is a picture, and nobody has said that the assistant's provider takes any: hand over what it shows "
                "as a text, or have whoever runs the worker say so in PROVIDERS_FILE, takes: [images]",
            )
        return attachment

    async def _pages(self, name: str, variable: Variable, content: bytes, form: Form) -> tuple[Page, ...]:
        """Have it read. Raises BadInput also where it has no text, or more than there is room for."""
        try:
            pages = await self.reading.documents.read(content, form, self.room, variable.info.get("encoding"))
        except BadInput as exc:
            raise self._bad(name, variable, str(exc)) from exc
        if pages is None:
            raise no_room(f"the text of the document in input {name!r}", self.room + 1, self.room)
        if form != "pages" and not any(page.text.strip() for page in pages):
            raise self._bad(
                name,
                variable,
                "has no text that can be read, as a scan has none: hand over a copy with text, which programs that "
                "recognise text make, or the text itself",
            )
        return pages

    async def _content(self, name: str, variable: Variable) -> bytes | None:
        """Return what is in it; None where that is no base64."""
        if variable.type == "Bytes":
            written = str(variable.value or "")
            with suppress(ValueError):
                return await beside_if(len(written) > LARGE, base64.b64decode, written, validate=True)
            return None
        if not fits_an_address(name):
            raise BadInput(
                f"the file in input {name!r} cannot be asked for: engines refuse addresses with a slash in a name, and "
                "take dots alone for another one"
            )
        most = max(LARGEST, self.room)
        content = await self.engine.content(self.task.execution_id, name, most)
        if content is None:
            raise self._bad(
                name, variable, f"has more than {most:,} bytes: hand over the part that is needed, or its text"
            )
        return content

    def _text(self, name: str, variable: Variable, content: bytes) -> Variable:
        if not is_text_file(variable):
            return variable
        if len(content) > self.room:
            raise no_room(f"the file in input {name!r}", len(content), self.room)
        text = foreign.text(content, variable.info.get("encoding"))
        # Whatever its type says: who uploads a file chooses that, and often it is the form's usual one.
        if "\0" in text:
            raise no_text(name, variable)
        return replace(variable, value=text)

    def _bad(self, name: str, variable: Variable, why: str) -> BadInput:
        label = one_line(variable.info.get("filename") or "")[:LONGEST_LABEL]
        return BadInput(f"the document in input {name!r}{f' ({label})' if label else ''} {why}")


def fits_an_address(name: str) -> bool:
    """Whether engines can be asked for a variable of this name."""
    return not ("/" in name or "\\" in name or name in {".", ".."})


def no_text(name: str, variable: Variable) -> BadInput:
    """Say that nothing of a variable can be shown, and what to do."""
    return BadInput(
        f"nothing of input {name!r} can be read, it is of type {kind(variable)}: hand over its text, a list or a map "
        "as JSON, or do not name it"
    )


def no_room(what: str, comes_to: int, room: float, before: str = "") -> BadInput:
    """Say what is too large for a question, and what to do. Sizes are in bytes."""
    return BadInput(
        f"{what} comes to at least {comes_to:,} bytes in the question, and INPUT_TOKENS leaves room for {room:,.0f}"
        f"{before}: hand over the part that is needed, name fewer inputs, or raise that setting of the worker"
    )
