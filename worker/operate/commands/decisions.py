"""`assistant-worker decisions …`."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker import bootstrap
from worker.decisions import keys
from worker.decisions.comparing import Change
from worker.decisions.formats import FORMATS
from worker.decisions.texts import written
from worker.domain.conversations import EVERYTHING, every
from worker.domain.decisions import Decision, DecisionSeen
from worker.ending import Holds
from worker.ending.holds import LONGEST_REASON, Records
from worker.errors import Permanent
from worker.export.comparing import compared
from worker.export.verifying import verified
from worker.operate.commands import tables
from worker.operate.commands.desk import Desk, me
from worker.operate.commands.files import writing
from worker.runtime.beside import beside

DOES_NOT_HOLD = 4
"""The exit code where a record is not what it was."""


async def list_(desk: Desk, options: Namespace) -> int:
    """List records."""
    records = _records(desk)
    reading = every(lambda after: records.decisions(within=EVERYTHING, instance=options.instance, after=after))
    rows = [_row(each) async for each in reading]
    if options.json:
        tables.as_json(rows)
    else:
        heads = [
            "decision",
            "instance",
            "name",
            "process",
            "business key",
            "revision",
            "status",
            "changed",
            "on hold since",
        ]
        tables.show(heads, [tuple(row.values()) for row in rows], "There are no records of decisions.")
    return 0


def _row(seen: DecisionSeen) -> dict[str, str | int | None]:
    return {
        "id": seen.key.id,
        "process_instance_id": seen.key.instance,
        "name": seen.key.name,
        "definition_key": seen.definition_key,
        "business_key": seen.business_key,
        "revision": seen.revision,
        "status": seen.status,
        "changed_at": seen.changed_at.isoformat(timespec="seconds"),
        "held_since": seen.held.since.isoformat(timespec="seconds") if seen.held else None,
    }


async def show_(desk: Desk, options: Namespace) -> int:
    """Print a record, for people or as it is kept."""
    one = await _chosen(desk, options)
    content = await _written(one, "json" if options.json else "markdown")
    tables.write(content.decode(), raw=options.json)
    if one.held is not None and not options.json:
        tables.say(f"On legal hold since {tables.cell(one.held.since)} by {one.held.by}: {one.held.why}")
    return 0


async def export_(desk: Desk, options: Namespace) -> int:
    """Write a record to a file."""
    content = await _written(await _chosen(desk, options), options.format)
    with writing(options.output) as file:
        file.write(content)
    return 0


async def verify_(desk: Desk, options: Namespace) -> int:
    """Say whether a record is what it was."""
    one = await _chosen(desk, options)
    said = await verified(one, desk.adapters.sources, keys=_public_keys(desk, options))
    if options.json:
        tables.as_json(asdict(said) | {"holds": said.holds})
    else:
        for problem in said.problems:
            tables.say(f"does not hold: {problem}")
        for anchor in said.anchors:
            tables.say(f"holds against {anchor}")
        for note in said.notes:
            tables.say(note)
        word = "is what it was" if said.holds else "is NOT what it was"
        # What somebody has put there may be anything.
        number = one.record.get("revision") if isinstance(one.record, dict) else None
        tables.say(f"Revision {number or options.revision} of decision {one.id} {word}.")
    return 0 if said.holds else DOES_NOT_HOLD


async def compare_(desk: Desk, options: Namespace) -> int:
    """Say what is different between two revisions of a record."""
    one = await _chosen(desk, options)
    said = await compared(_records(desk), one.id, options.first, options.second, within=EVERYTHING)
    if said is None:
        raise Permanent(f"the record has {one.record['revision']} revisions, and not both of those")
    if options.json:
        tables.as_json(said)
        return 0
    for side in (said.before, said.after):
        lead = f"; {said.names.get(side.leader, side.leader)} leads by {written(side.lead)}" if side.leader else ""
        tables.say(f"Revision {side.revision} of {side.at}: {side.standing}{lead}")
        for each in side.signatures:
            who = f" by {each.by}" if each.by else ""
            tables.say(f"  {'accepted' if each.accepted else 'not accepted'}{who} at {each.at}{_doubt(each.doubt)}")
    rows = [
        (each.part, _place(each, said.names), each.kind, *map(_word, (each.before, each.after)))
        for each in said.changes
    ]
    tables.show(["part", "what", "how", "before", "after"], rows, "Nothing is different.")
    if said.erased:
        tables.say(f"{said.erased} texts were erased; what is different there is unknown.")
    return 0


def _doubt(doubt: str) -> str:
    return f", which does not count: {doubt}" if doubt else ""


def _place(change: Change, names: Mapping[str, str]) -> str:
    return " / ".join([*(names.get(each, each) for each in change.of), change.field])


def _word(value: Any) -> str:
    """Write a value. Empty where there is none."""
    if value is None or isinstance(value, str):
        return value or ""
    return ("yes" if value else "no") if isinstance(value, bool) else written(value)


def _public_keys(desk: Desk, options: Namespace) -> dict[str, bytes]:
    """Read the public keys that are ours: of RECORD_KEY, and those that are given. Raises Permanent."""
    own = bootstrap.record_key(desk.settings)
    found = {own.id: own.public} if own else {}
    for file in options.public_key:
        try:
            name, public = keys.read_public(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            raise Permanent(
                f"--public-key {file}: cannot be read: {getattr(exc, 'strerror', 'it is no text')}"
            ) from exc
        except Permanent as exc:
            raise Permanent(f"--public-key {file}: {exc}") from exc
        found[name] = public
    return found


async def _written(one: Decision, name: str) -> bytes:
    return await beside(FORMATS[name].write, {**one.record, "rows": list(one.rows)})


async def _chosen(desk: Desk, options: Namespace) -> Decision:
    """Find the record of an id, or of a process instance that has one. Raises Permanent."""
    records, wanted = _records(desk), options.decision
    found = await records.decision(wanted, within=EVERYTHING, revision=options.revision)
    if found is not None:
        return found
    # An instance has a record for each name, so that its id says which one only where there is one.
    page = await records.decisions(within=EVERYTHING, instance=wanted)
    if len(page.items) > 1:
        names = ", ".join(f"{each.key.id} ({each.key.name or 'without a name'})" for each in page.items)
        raise Permanent(f"the instance has several records; name one by its id: {names}")
    for each in page.items:
        found = await records.decision(each.key.id, within=EVERYTHING, revision=options.revision)
    if found is None:
        which = "" if options.revision is None else f" with a revision {options.revision}"
        raise Permanent(f"there is no record of a decision{which} by this id, or of this instance")
    return found


def _records(desk: Desk) -> Records:
    if desk.adapters.decisions is None:
        raise Permanent("there is no transcript, and so no record of a decision: TRANSCRIPT_URL is off")
    return desk.adapters.decisions


async def hold_(desk: Desk, options: Namespace) -> int:
    """Put a record on legal hold."""
    one = await _chosen(desk, options)
    await _holds(desk).hold(one.id, me(), _reason(options), within=EVERYTHING)
    tables.say(
        f"Decision {one.id} is on hold: nothing of it, nor of the messages that it cites, is erased until "
        f"`decisions release {one.id} --reason …`. Who set it, when and why stands in the record."
    )
    return 0


async def release_(desk: Desk, options: Namespace) -> int:
    """Lift a legal hold."""
    one = await _chosen(desk, options)
    await _holds(desk).release(one.id, me(), _reason(options), within=EVERYTHING)
    tables.say(
        f"Decision {one.id} is released. Orders to erase that waited go on within the hour; `threads erase --open` "
        "does it now. What is past its retention goes with the next round."
    )
    return 0


def _holds(desk: Desk) -> Holds:
    return Holds(_records(desk), bootstrap.record_key(desk.settings))


def _reason(options: Namespace) -> str:
    reason: str = options.reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise Permanent(f"--reason: say why, in at most {LONGEST_REASON} characters")
    return reason


COMMANDS = {
    "list": list_,
    "show": show_,
    "export": export_,
    "verify": verify_,
    "compare": compare_,
    "hold": hold_,
    "release": release_,
}
