"""What of a folder is deployed: models, and what they and their people need beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.errors import Permanent
from worker.operate.lint.reading import SUFFIX, File, below, content
from worker.operate.models import files

_ALWAYS: Final = frozenset({SUFFIX, ".dmn", ".form", ".html"})
_BAD: Final = frozenset('"\\')


@dataclass(frozen=True, slots=True)
class Chosen:
    """Files by the names that they are deployed by. `left_out` looks like something that might have been meant."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...]


def choose(folder: Path, models: Iterable[File]) -> Chosen:
    """Read what is to be deployed: a JSON file only if a model names it, Markdown only if it is an assistant.

    So a folder may have variables to start with and a README beside its models. Raises Permanent.
    """
    named = {
        name
        for file in models
        for process in file.processes
        for activity in process.definition.activities.values()
        if activity.is_ours
        for _, name in files.named(activity)
    }
    chosen: dict[str, bytes] = {}
    left_out = []
    for path in sorted(below(folder, "*")):
        name = path.relative_to(folder).as_posix()
        try:
            if path.suffix in _ALWAYS or name in named or (path.suffix == ".md" and _is_assistant(path)):
                chosen[_fit(name)] = content(path)
            elif path.suffix == ".json":
                left_out.append(name)
        except OSError as exc:
            raise Permanent(f"{path} cannot be read: {exc.strerror}") from exc
    if not chosen:
        raise Permanent(f"{folder} has nothing to deploy: no model ({SUFFIX}, .dmn) and no form (.form, .html)")
    return Chosen(chosen, tuple(left_out))


def _is_assistant(path: Path) -> bool:
    """Whether it begins with a front matter, as every assistant does."""
    return content(path).removeprefix(b"\xef\xbb\xbf").startswith((b"---\n", b"---\r\n"))


def _fit(name: str) -> str:
    if not name.isprintable() or _BAD & set(name):
        raise Permanent(f"the file {name!r} cannot be deployed by this name: rename it, without quotes and backslashes")
    return name
