"""What of a folder is deployed: models, and what they and their people need beside them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.domain import deployed
from worker.domain.tasks import has_expression
from worker.engine.definitions import attribute, extensions
from worker.errors import Permanent
from worker.operate.lint.reading import SUFFIX, File, Folder, Process, below, content
from worker.operate.models import files
from worker.specs import assistants

_ALWAYS: Final = frozenset({SUFFIX, ".dmn", ".form"})
_TOLD: Final = frozenset({".json", ".md", ".html"})
_FORMS: Final = ("embedded:deployment:", "camunda-forms:deployment:")
"""How a model names a form that is deployed with it."""
_BAD: Final = frozenset('"\\')


@dataclass(frozen=True, slots=True)
class Chosen:
    """Files by the names that they are deployed by. `left_out` looks like something that might have been meant."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...]


def choose(folder: Path, models: Sequence[File]) -> Chosen:
    """Read what is to be deployed: beside models, decisions and forms only what a model names.

    So a folder may have variables to start with, the house's assistants, and pages that are no forms beside its models.
    Raises Permanent.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(below(folder, "*"))}
    named = _named(models, [name for name, path in paths.items() if _is_spec(name, path)], Folder(folder, deep=True))
    chosen: dict[str, bytes] = {}
    left_out = []
    for name, path in paths.items():
        try:
            if path.suffix in _ALWAYS or name in named:
                chosen[_fit(name)] = content(path)
            elif path.suffix in _TOLD and (path.suffix != ".md" or _is_assistant(path)):
                left_out.append(name)
        except OSError as exc:
            raise Permanent(f"{path} cannot be read: {exc.strerror}") from exc
    if not chosen:
        raise Permanent(f"{folder} has nothing to deploy: no model ({SUFFIX}, .dmn) and no form (.form)")
    return Chosen(chosen, tuple(left_out))


def _named(models: Sequence[File], specs: Collection[str], folder: Folder) -> set[str]:
    """Name the files that models name, and those that these name; `specs` are all that a task might take."""
    found: set[str] = set()
    for process in (each for file in models for each in file.processes):
        found |= {*_forms(process)}
        for activity in process.definition.activities.values():
            if activity.is_ours:
                found |= {name for _, name in files.named(activity)}
                found |= {spec} if (spec := files.spec(activity)) else set()
            if activity.is_for_assistant and "assistant" in activity.parameters:
                found |= {*_given(process, activity.id, specs)}
    schemas = (assistants.schema_file(folder.text(spec) or "") for spec in found & {*specs})
    return found | {each for each in schemas if each}


def _forms(process: Process) -> Iterator[str]:
    for element in process.element.iter():
        key = attribute(element, "formKey").strip()
        yield from (key.removeprefix(each) for each in _FORMS if key.startswith(each))


def _given(process: Process, task: str, specs: Collection[str]) -> Iterator[str]:
    """Name what a task's input parameter `assistant` may stand for: of an expression nobody knows, so all there are."""
    for element in (each for each in process.element.iter() if each.get("id") == task):
        for each in extensions(element, "inputOutput", "inputParameter"):
            said = (each.text or "").strip()
            if each.get("name") != "assistant":
                continue
            if len(each) or has_expression(said):
                yield from specs
            elif name := deployed.named(said, process.key):
                yield deployed.file_of(name)


def _is_spec(name: str, path: Path) -> bool:
    """Whether a task might take this for its assistant: by `deployment:` only files at the top can be named."""
    return path.suffix == ".md" and "/" not in name and _is_assistant(path)


def _is_assistant(path: Path) -> bool:
    """Whether it begins with a front matter, as every assistant does. Raises Permanent."""
    try:
        with path.open("rb") as file:
            return file.read(8).removeprefix(b"\xef\xbb\xbf").startswith((b"---\n", b"---\r\n"))
    except OSError as exc:
        raise Permanent(f"{path} cannot be read: {exc.strerror}") from exc


def _fit(name: str) -> str:
    if not name.isprintable() or _BAD & set(name):
        raise Permanent(f"the file {name!r} cannot be deployed by this name: rename it, without quotes and backslashes")
    return name
