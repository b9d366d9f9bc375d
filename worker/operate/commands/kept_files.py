"""`assistant-worker files …`: files of assistants at providers that search them."""

from argparse import Namespace
from collections.abc import Awaitable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from worker import bootstrap
from worker.bootstrap import Connected
from worker.domain.file_stores import FileStore, Outcome, Removal, set_digest
from worker.ending.files import FileRemoval, named
from worker.errors import Permanent, WorkerError
from worker.operate.commands import consent, tables
from worker.operate.commands.desk import Desk, me
from worker.specs import assistants
from worker.specs.assistants import Specs

LEFT = 3
T = TypeVar("T")
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
    providers = desk.adapters.providers
    rows = [row for name, each in _removals(desk) for row in await _rows(name, each, providers[name], specs)]
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
    for name, removal in _removals(desk):
        used = () if specs is None else _used(name, desk.adapters.providers[name], specs)
        try:
            lines += await removal.remove(ids, used)
        except WorkerError as exc:  # what was removed by now is to be told all the same
            lines.append(Removal(name, "store", "", "", "failed", str(exc)))
    lines += await _unknown(desk, [each for each in options.stores if each not in {line.id for line in lines}])
    return _told(lines, options)


async def _unknown(desk: Desk, ids: Collection[str]) -> list[Removal]:
    """Remove what no note names, where its metadata say that it is ours; a line for each id."""
    lines: list[Removal] = []
    unasked: list[str] = []
    for name, removal in _removals(desk):
        if left := set(ids) - {line.id for line in lines}:
            found = await _looked_for(name, removal.remove_unknown(left))
            lines += found or []
            # Who was never to search files may have no stores at all.
            unasked += [name] if found is None and desk.adapters.providers[name].spec.file_search else []
    met = {line.id for line in lines}
    line = Removal("", "store", "", "", "gone", _NOT_OURS)
    if unasked:
        line = replace(line, outcome="failed", reason=f"could not be looked for: {', '.join(unasked)}")
    return lines + [replace(line, id=each) for each in ids if each not in met]


def _told(lines: list[Removal], options: Namespace) -> int:
    """Print the receipt, and return the exit code."""
    if options.json:
        tables.as_json({"at": datetime.now(UTC), "by": me(), "things": lines})
    else:
        rows = [(each.provider, each.what, each.id, each.name, _WORDS[each.outcome], each.reason) for each in lines]
        tables.show(["provider", "what", "id", "name", "state", "why"], rows, "There was nothing to remove.")
    return LEFT if any(each.outcome in {"unseen", "failed"} for each in lines) else 0


def _removals(desk: Desk) -> Iterator[tuple[str, FileRemoval]]:
    """Return those that can search files, also where they are not to any more: something may be there of before."""
    books = {name: each.file_book for name, each in desk.adapters.providers.items() if each.file_book is not None}
    for name, book in books.items():
        if (vendor := desk.adapters.providers[name].files) is not None:
            yield name, FileRemoval(name, vendor, book, [each for each in books.values() if each is not book])


async def _looked_for(provider: str, looking: Awaitable[T]) -> T | None:
    """Return what a provider says of what it has; None, which is said, if it cannot be asked."""
    try:
        return await looking
    except WorkerError as exc:
        tables.complain(f"{provider}: not looked for what it has: {exc}")
        return None


async def _rows(provider: str, removal: FileRemoval, connected: Connected, specs: Specs | None) -> list[dict[str, Any]]:
    kept = await removal.book.everything()
    # Who was never to search files may have none of this, and is not asked for it.
    asks = connected.spec.file_search or kept.stores
    strays = (await _looked_for(provider, removal.unknown()) or []) if asks else []
    broken = (await _looked_for(provider, removal.broken()) or {}) if kept.stores else {}
    uploads = {(each.account, each.sha256): each.id for each in kept.uploads}

    def row(entry: FileStore) -> dict[str, Any]:
        is_own = entry.account == removal.book.account
        state = broken.get(entry.id) or ("ready" if entry.ready else "being made")
        return {
            "provider": provider,
            "id": named(entry),
            "state": state if is_own else f"{state}, with another key",
            "made_at": entry.made_at,
            "files": {name: {"sha256": sha, "id": uploads.get((entry.account, sha), "")} for name, sha in entry.files},
            "used_by": _users(provider, connected, specs, entry) if is_own else [],
        }

    unknown: dict[str, Any] = {"state": "not known here", "made_at": None, "files": {}, "used_by": []}
    return [row(each) for each in kept.stores] + [{"provider": provider, "id": each, **unknown} for each in strays]


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
