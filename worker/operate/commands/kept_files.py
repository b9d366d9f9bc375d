"""`assistant-worker files …`: files of assistants at providers that search them."""

from argparse import Namespace
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from worker import bootstrap
from worker.bootstrap import Connected
from worker.domain.file_stores import FileStore, Outcome, Removal, set_digest
from worker.ending.files import FileRemoval, named
from worker.errors import Permanent
from worker.operate.commands import consent, tables
from worker.operate.commands.desk import Desk, me
from worker.specs import assistants
from worker.specs.assistants import Specs

LEFT = 3
_WORDS: Final[dict[Outcome, str]] = {
    "removed": "removed",
    "gone": "gone already",
    "unseen": "left: not seen",
    "failed": "left: failed",
}
_NOT_OURS: Final = "nothing of ours has this id any more, if it ever was ours; nothing was looked into"


async def list_(desk: Desk, options: Namespace) -> int:
    """List the stores, what is in them, and which assistants' specs name these files."""
    specs = _specs_if_any(desk)
    rows = [row for name, each in _searching(desk) for row in await _rows(name, each, specs)]
    if options.json:
        tables.as_json(rows)
        return 0
    shown = [
        (row["provider"], row["id"], row["state"], row["made_at"], ", ".join(row["files"]), ", ".join(row["used_by"]))
        for row in rows
    ]
    tables.show(["provider", "store", "state", "made", "files", "used by"], shown, "No files are at a provider.")
    return 0


async def remove_(desk: Desk, options: Namespace) -> int:
    """Remove stores with files that no other one has, and tell what became of each."""
    if bool(options.stores) == options.unused:
        raise Permanent("name the stores by their ids, as `files list` has them, or say --unused")
    # Which are unused only specs can tell: where they cannot be read nothing is.
    specs = _specs(desk) if options.unused else None
    what = "the vector stores that no spec in ASSISTANTS_DIR names" if options.unused else ", ".join(options.stores)
    consent.ask(options, f"This removes {what} from the provider, with files that no other store of ours has.")
    ids = None if specs is not None else frozenset(options.stores)
    lines: list[Removal] = []
    for name, each in _searching(desk):
        removal = FileRemoval(name, each.files, each.file_book) if each.files and each.file_book else None
        if removal is not None:
            lines += await removal.remove(ids, _used(name, each, specs) if specs is not None else ())
    met = {line.id for line in lines}
    lines += [Removal("", "store", each, "", "gone", _NOT_OURS) for each in options.stores if each not in met]
    return _told(lines, options)


def _told(lines: list[Removal], options: Namespace) -> int:
    """Print the receipt, and return the exit code."""
    if options.json:
        tables.as_json({"at": datetime.now(UTC), "by": me(), "things": lines})
    else:
        rows = [(each.provider, each.what, each.id, each.name, _WORDS[each.outcome], each.reason) for each in lines]
        tables.show(["provider", "what", "id", "name", "state", "why"], rows, "There was nothing to remove.")
    return LEFT if any(each.outcome in {"unseen", "failed"} for each in lines) else 0


def _searching(desk: Desk) -> Iterator[tuple[str, Connected]]:
    """Those that can search files, also where they are not to any more: something may be there of before."""
    return ((name, each) for name, each in desk.adapters.providers.items() if each.file_book is not None)


async def _rows(provider: str, connected: Connected, specs: Specs | None) -> list[dict[str, Any]]:
    if connected.file_book is None:
        return []
    kept = await connected.file_book.everything()
    uploads = {(each.account, each.sha256): each.id for each in kept.uploads}

    def row(entry: FileStore) -> dict[str, Any]:
        is_own = connected.file_book is not None and entry.account == connected.file_book.account
        state = "ready" if entry.ready else "being made"
        return {
            "provider": provider,
            "id": named(entry),
            "state": state if is_own else f"{state}, with another key",
            "made_at": entry.made_at,
            "files": {name: {"sha256": sha, "id": uploads.get((entry.account, sha), "")} for name, sha in entry.files},
            "used_by": _users(provider, connected, specs, entry) if is_own else [],
        }

    return [row(each) for each in kept.stores]


def _users(provider: str, connected: Connected, specs: Specs | None, entry: FileStore) -> list[str]:
    found = specs.assistants if specs is not None and connected.spec.file_search else ()
    return [
        f"{each.name} {each.version}"
        for each in found
        if each.files and provider in dict(each.chain) and set_digest(each.files) == entry.digest
    ]


def _used(provider: str, connected: Connected, specs: Specs) -> Collection[str]:
    """Name the sets of files that specs have searched there."""
    if not connected.spec.file_search:
        return ()
    return {set_digest(each.files) for each in specs.assistants if each.files and provider in dict(each.chain)}


def _specs(desk: Desk) -> Specs:
    return assistants.load(desk.settings.assistants_dir, bootstrap.provider_specs(desk.settings))


def _specs_if_any(desk: Desk) -> Specs | None:
    """Read the specs; that they cannot be read is said, and keeps nobody from looking."""
    try:
        return _specs(desk)
    except Permanent as exc:
        for line in ("Not looked up which assistants use them:", *str(exc).splitlines()):
            tables.complain(line)
        return None


COMMANDS = {"list": list_, "remove": remove_}
