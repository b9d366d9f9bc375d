"""The files that are looked at: models as they were written, and what lies beside them."""

import fnmatch
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from worker.domain import foreign
from worker.domain.tasks import Definition
from worker.engine import definitions
from worker.engine.order import BPMN
from worker.errors import BadDefinition, Permanent

SUFFIX: Final = ".bpmn"
_INSTALLED: Final = "node_modules"
"""A folder of thousands of files that are others' packages, models among them."""
MOST_BYTES: Final = 4 * definitions.LONGEST
"""Of a model in UTF-16 or UTF-32, the longest is as long; of what lies beside it, more is nothing that people write."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that cannot be read, where in it that shows, and why."""

    file: str
    line: int
    said: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: not read: {self.said}"


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """One process of a file; `key` is its id, by which others call it. Two of one key are two."""

    key: str
    element: Element
    definition: Definition


class Folder:
    """What lies beside a model, and would be deployed with it. `deep`: with what lies below it, named from here."""

    def __init__(self, path: Path, *, deep: bool = False) -> None:
        self._path = path
        self._deep = deep

    @property
    def place(self) -> str:
        """Where its files are, in words."""
        return f"in the folder {self._path}, as files are named from there" if self._deep else "beside the model"

    @cached_property
    def names(self) -> frozenset[str]:
        """The files' names; by these, as some systems find a file by others, too."""
        try:
            if self._deep:
                return frozenset(each.relative_to(self._path).as_posix() for each in below(self._path, "*"))
            return frozenset(each.name for each in self._path.iterdir() if each.is_file())
        except OSError:
            return frozenset()

    def text(self, name: str) -> str | None:
        """Return what a file holds. None where there is none of exactly this name, or it cannot be read."""
        if name not in self.names:
            return None
        try:
            return foreign.text(content(self._path / name), None)
        except OSError:
            return None

    @cached_property
    def forms(self) -> Mapping[str, Any]:
        """The forms of Camunda Modeler, by their ids."""
        found: dict[str, Any] = {}
        for name in sorted(each for each in self.names if each.endswith(".form")):
            form = self.form(name)
            if isinstance(form, dict) and isinstance(form.get("id"), str):
                found[form["id"]] = form
        return found

    def form(self, name: str) -> Any:
        """Return the form in a file; None where that holds none."""
        text = self.text(name)
        try:
            return None if text is None else foreign.read(text)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class File:
    """A model. `name` is the file's as it was given, `flaw` what is wrong with how it is encoded, empty if nothing."""

    name: str
    model: definitions.Model
    processes: tuple[Process, ...]
    folder: Folder
    flaw: str = ""

    def line(self, element: Element) -> int:
        """Where an element starts."""
        return self.model.lines.get(element, 1)


def read(paths: Iterable[Path], together: Folder | None = None) -> tuple[list[File], list[Unread]]:
    """Read all models that these files and folders hold, each once, and say which cannot be read.

    What they name is looked for in the folder that all are deployed from `together`. Without that it is looked for as
    it would be named if a folder that is given here was deployed, and beside a file that is given.
    """
    files: dict[str, File] = {}
    unread: list[Unread] = []
    folders: dict[tuple[Path, bool], Folder] = {}
    for path in paths:
        is_folder = path.is_dir()
        found = sorted(below(path, f"*{SUFFIX}")) if is_folder else [path]
        if not found:
            unread.append(Unread(str(path), 1, f"the folder holds no {SUFFIX} file"))
        for each in found:
            known = os.path.realpath(each)
            if known in files:
                continue
            try:
                top = path if is_folder else each.parent
                folder = together or folders.setdefault((top, is_folder), Folder(top, deep=is_folder))
                files[known] = _file(each, folder)
            except OSError as exc:
                unread.append(Unread(str(each), 1, f"cannot be read: {exc.strerror}"))
            except BadDefinition as exc:
                unread.append(_unread(each, exc))
    return list(files.values()), unread


def all_read(paths: Iterable[Path], together: Folder | None) -> list[File]:
    """Read as `read` does. Raises Permanent, a line for each model that cannot be read."""
    models, unread = read(paths, together)
    if unread:
        raise Permanent("\n".join(map(str, unread)))
    return models


def deployed_from(folder: Path | None) -> Folder | None:
    """Take a folder for that which all is deployed from; None where none is said. Raises Permanent if it is none."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise Permanent(f"{folder} is no folder")
    return Folder(folder, deep=True)


def below(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files in a folder, at whatever depth, but for what is hidden, and what npm has installed."""
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".") and each != _INSTALLED]
        for name in fnmatch.filter(names, pattern):
            if not name.startswith(".") and (path := Path(place) / name).is_file():
                yield path


def content(path: Path) -> bytes:
    """Read a file. Raises OSError, also where it is larger than anything that people write."""
    with path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise OSError(0, f"it has more than {MOST_BYTES:,} bytes")
    return found


def _file(path: Path, folder: Folder) -> File:
    written = content(path)
    xml = definitions.decoded(written)
    model = definitions.parsed(xml, str(path), with_lines=True)
    _check(model)
    processes = []
    for element in model.processes():
        key = element.get("id", "")
        processes.append(Process(key, element, definitions.definition(model, key, key)))
    return File(str(path), model, tuple(processes), folder, _flaw(written, xml))


def _check(model: definitions.Model) -> None:
    """Raise BadDefinition for what holds nothing that could be looked at, and would so be found to be sound."""
    if model.root.tag != f"{BPMN}definitions":
        found = model.root.tag.rpartition("}")[2]
        raise BadDefinition(f"it is no BPMN 2.0 model: its outermost element is {found!r}, and not BPMN's definitions")


def _flaw(content: bytes, xml: str) -> str:
    if not definitions.is_readable(xml) or content[:2] in {b"<\0", b"\0<", b"\xff\xfe", b"\xfe\xff"}:
        return "it is not in UTF-8: engines hand it out as if it were, so that signs become others or it is no XML"
    try:
        content.decode()
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        return f"it says that it is in UTF-8, and the byte at {exc.start} (line {line}) is not: signs there are lost"
    return ""


def _unread(path: Path, exc: BadDefinition) -> Unread:
    cause = exc.__cause__
    if isinstance(cause, ParseError):
        line, column = cause.position
        said = str(cause).partition(": line")[0]
        return Unread(str(path), line, f"it is no well-formed XML: {said}, at column {column + 1}")
    return Unread(str(path), 1, str(exc))
