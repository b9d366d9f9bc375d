"""`assistant-worker templates`: element templates for Camunda Modeler, written into a folder, or held against it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.errors import Permanent
from worker.operate.commands import tables
from worker.operate.templates.kinds import KINDS, template
from worker.specs import assistants

DIFFERENT: Final = 1
"""The exit code of `--check` where the folder has something else than what would be written."""


def templates(folder: Path, *, directory: Path | None, check: bool) -> int:
    """Write the templates, or only look whether they are there as they would be. Returns the exit code.

    `directory` has the assistants whose names are offered. Raises Permanent where files cannot be read or written.
    """
    names = None if directory is None else sorted({each.name for each in assistants.load(directory, None).assistants})
    return _compare(folder, names) if check else _write(folder, names)


def texts(names: Sequence[str] | None) -> dict[str, str]:
    """Return the files by name. `names` are the assistants to choose from, None where any may be written."""
    return {
        f"assistant-worker-{kind.id}.json": json.dumps(template(kind, names), indent=2, ensure_ascii=False) + "\n"
        for kind in KINDS
    }


def _write(folder: Path, names: Sequence[str] | None) -> int:
    files = texts(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8", newline="\n")
    except OSError as exc:
        raise Permanent(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc
    tables.say("\n".join([f"Written to {folder}:", *(f"  {name}" for name in files)]))
    return 0


def _compare(folder: Path, names: Sequence[str] | None) -> int:
    wrong = []
    for name, text in texts(names).items():
        try:
            # As text: who checks it out may have other ends of lines.
            found = (folder / name).read_text("utf-8")
        except FileNotFoundError:
            wrong.append(f"{folder / name} is not there")
        except (OSError, UnicodeDecodeError) as exc:
            raise Permanent(f"{folder / name} cannot be read: {getattr(exc, 'strerror', 'it is no text')}") from exc
        else:
            wrong += [] if found == text else [f"{folder / name} is not what would be written"]
    if not wrong:
        tables.say(f"The templates in {folder} are what would be written.")
        return 0
    tables.say("\n".join([*wrong, "Write them anew: the same command without --check."]))
    return DIFFERENT
