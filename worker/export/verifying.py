"""Whether a decision's record is what it was, against what the engine has of its hashes and of who decided what."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from worker.decisions import chain
from worker.decisions.keys import PublicKeys
from worker.decisions.verifying import Anchor, Verified, compared, misfit
from worker.domain.decisions import HASH_SUFFIX, ID_SUFFIX, Decision
from worker.domain.evidence import Value
from worker.errors import BadRecord, WorkerError
from worker.export import outcomes, signers
from worker.ports.decisions import DecisionSources
from worker.runtime.beside import for_reader

ODD_ID = "it is of another record's id than the one that it is kept under"
ODD_HOLD = "whether it is on hold is not what the last row of a hold or release tells"
UNASKED = "the engine could not be asked for the hashes that it has"


async def check(one: Decision) -> None:
    """Return if a record is in its form; whoever may write to the database may have left none. Raises BadRecord."""
    if flaw := await for_reader(misfit, one.record, one.rows):
        raise BadRecord(flaw)


async def verified(one: Decision, sources: DecisionSources, *, keys: PublicKeys | None = None) -> Verified:
    """Verify a record. An engine that cannot be asked is a note, and no anchor.

    What is not in its form is compared with nothing. `keys` as for `decisions.verifying.verify`.
    """
    if flaw := await for_reader(misfit, one.record, one.rows):
        return Verified([flaw], [], [], 0)
    anchors, notes, problems = list[Anchor](), list[str](), list[str]()
    try:
        places = await _places(one, sources)
        for instance, output in places:
            found, others, wrong = await _anchors(one, sources, instance, output + HASH_SUFFIX)
            anchors += found
            notes += others
            problems += wrong
        for wrong, others in (await outcomes.compared(one, sources, places), await signers.compared(one, sources)):
            problems += wrong
            notes += others
    except WorkerError:
        anchors, notes, problems = [], [UNASKED], []
    wrong, others = outcomes.unplaced(one.rows)
    problems += wrong
    notes += others
    said = await for_reader(compared, one.record, one.rows, anchors, keys)
    odd = [ODD_ID] * (one.record.get("id") != one.id)
    odd += [ODD_HOLD] * (one.is_last and chain.is_held(one.rows) != (one.held is not None))
    return replace(said, problems=[*said.problems, *problems, *odd], notes=[*said.notes, *notes])


async def _places(one: Decision, sources: DecisionSources) -> Sequence[tuple[str, str]]:
    """Name the instances, and the results there, that were told of this record: by its rows, and by the engine.

    Who can write to the database can name others in the rows, and none.
    """
    told = [row["facts"] for row in one.rows if row["kind"] == "change"]
    instances = dict.fromkeys([one.key.instance, *(each["instance"] for each in told if each.get("instance"))])
    named = [(each["instance"], each["variable"]) for each in told if each.get("instance") and each.get("variable")]
    found = [(instance, output) for instance in instances for output in await sources.outputs(instance, one.id)]
    return list(dict.fromkeys([*((where, each.removesuffix(HASH_SUFFIX)) for where, each in named), *found]))


async def _anchors(
    one: Decision, sources: DecisionSources, instance: str, variable: str
) -> tuple[Sequence[Anchor], Sequence[str], Sequence[str]]:
    """Return the hashes of this record that a variable had, notes on what it had besides, and what does not hold."""
    revisions = {row["content_sha256"]: row["revision"] for row in one.rows}
    values = [each for each in await sources.values(instance, variable) if each.name == variable]
    unknown = [each for each in values if str(each.value) not in revisions] if one.is_last else []
    named = variable.removesuffix(HASH_SUFFIX) + ID_SUFFIX
    ids = [each for each in await sources.values(instance, named) if each.name == named] if values else []
    others = [each for each in unknown if not _is_of(one.id, each, ids, is_newest=each is values[-1])]
    where = f"variable {variable} of instance {instance}"
    known = [each for each in values if str(each.value) in revisions]
    # A record that was copied to another instance has hashes that the engine knows, of the one that it was copied from.
    mine = [each for each in known if one.id in _beside(each, ids) or not _beside(each, ids)]
    hashes = dict.fromkeys(
        str(each.value) for each in values if each in mine or (each in unknown and each not in others)
    )
    anchors = [Anchor(where, revisions.get(each, one.record["revision"]), each) for each in hashes]
    problems = [f"engine: {where} has its hash for another record"] if known and not mine else []
    return anchors, [f"{where} had a value that is no hash of this record"] if others else [], problems


def _beside(value: Value, ids: Sequence[Value]) -> Sequence[Any]:
    """Return the ids of records that were written together with a value."""
    return [each.value for each in ids if each.activity_instance == value.activity_instance]


def _is_of(record: str, value: Value, ids: Sequence[Value], *, is_newest: bool) -> bool:
    """Whether a value is to be a hash of this record: which one it is of, the id says that was written with it.

    A value that came without one is to be if it stands there still, and so does this record's id.
    """
    beside = _beside(value, ids)
    if beside or not value.activity_instance:
        return not beside or record in beside
    return is_newest and (not ids or ids[-1].value == record)
