"""`assistant-worker init`: a folder to start from, with an assistant, a process, settings and a Compose file."""

import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from worker.errors import Permanent
from worker.modelling.properties import BAD_OUTCOMES, PROPERTIES
from worker.operate.commands import tables

# Under their own names git would leave out `.env` here, and go by that `.gitignore` in this repository.
_HIDDEN: Final = "dot-"
"""What names here begin with that begin with a dot in the folder."""
_SETTINGS: Final = ".env"
_FOR_AGENTS: Final = "AGENTS.md"


def begin(folder: Path, *, overwrite: bool) -> None:
    """Write the files and say what comes next. Permanent: some are there already and stay, or one cannot be written."""
    files = dict(_files(resources.files(__package__) / "starting_folder"))
    # Also a link that leads nowhere: to write to its name makes the file that it leads to.
    there = [name for name in files if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise Permanent(f"{folder} has {', '.join(there)} already. Nothing was written; --overwrite replaces them")
    try:
        for name, text in files.items():
            _write(folder / name, text)
    except OSError as exc:
        raise Permanent(f"{exc.filename} cannot be written: {exc.strerror}") from exc
    tables.say("\n".join([f"Written to {folder.absolute()}:", *(f"  {name}" for name in files)]))
    tables.say(
        f"Next: cd {folder}, set OPENAI_API_KEY in {_SETTINGS}, then\n"
        "  docker compose up --detach    starts an engine and Valkey; if you have your own, name them in .env\n"
        "  assistant-worker doctor       says what is missing\n"
        "  assistant-worker run          works until Ctrl-C\n"
        "README.md says how to start the process, and AGENTS.md tells a coding assistant how to change it."
    )


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = above + each.name.replace(_HIDDEN, ".", 1)
        if each.is_dir():
            yield from _files(each, f"{name}/")
        else:
            text = each.read_text("utf-8")
            yield name, _taught(text) if name == _FOR_AGENTS else text


def _taught(text: str) -> str:
    """Put in which properties there are: the table is one, so that nobody is taught what no worker reads."""
    rows = [f"| `{each.name}` | {each.values} | {each.absent} |" for each in PROPERTIES]
    table = "\n".join(["| name | value | if absent |", "|---|---|---|", *rows])
    outcomes = ", ".join(f"`{each}`" for each in BAD_OUTCOMES)
    return text.replace("{properties}", table).replace("{outcomes}", outcomes)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600 if path.name == _SETTINGS else 0o666)  # as far as the umask allows; it will hold a key
    path.write_text(text, "utf-8")
