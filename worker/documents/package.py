"""Open Packaging: the ZIP archive that DOCX and XLSX are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from posixpath import basename, dirname, join, normpath
from typing import IO
from zipfile import BadZipFile, ZipFile

from defusedxml.ElementTree import fromstring

from worker.documents.bounds import Bounds, Unread

MOST_PARTS = 10_000
ENCRYPTED = 0x1
"""The bit of an entry's flags."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a document. `main` is the name of the one that all others hang on."""

    content: bytes
    archive: ZipFile
    main: str

    @property
    def is_workbook(self) -> bool:
        """Whether it has sheets."""
        return self.main.startswith("xl/")

    def open(self, name: str) -> IO[bytes]:
        """Open a part."""
        return self.archive.open(name)

    def related(self, kind: str) -> list[str]:
        """Names of the parts of a kind that hang on the main one."""
        names = [target for type_, target in _relations(self.archive, self.main) if basename(type_) == kind]
        return [each for each in names if each in self.archive.namelist()]


@contextmanager
def opened(content: bytes, bounds: Bounds) -> Iterator[Parts]:
    """Open an archive that unpacks to no more than it may. Raises Unread."""
    try:
        archive = ZipFile(BytesIO(content))
    except BadZipFile:
        raise Unread("broken") from None
    with archive:
        entries = archive.infolist()
        if any(each.flag_bits & ENCRYPTED for each in entries):
            raise Unread("encrypted")
        # What an entry says of its size binds: no more of it is ever unpacked.
        if len(entries) > MOST_PARTS or sum(each.file_size for each in entries) > bounds.unpacked:
            raise Unread("unpacked")
        main = next((to for kind, to in _relations(archive, "") if basename(kind) == "officeDocument"), None)
        if main is None or not main.startswith(("word/", "xl/")):
            raise Unread("strange")
        yield Parts(content, archive, main)


def _relations(archive: ZipFile, of: str) -> list[tuple[str, str]]:
    """What hangs on a part, or on the whole: pairs of kind and name."""
    name = join(dirname(of), "_rels", f"{basename(of)}.rels")
    if name not in archive.namelist():
        return []
    root = fromstring(archive.read(name))
    return [
        (each.get("Type", ""), normpath(join("/", dirname(of), each.get("Target", ""))).lstrip("/"))
        for each in root
        if each.get("TargetMode") != "External"
    ]
