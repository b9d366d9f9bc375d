"""Whether a decision's record is what it was, against what the engine has of its hashes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from worker.decisions import chain
from worker.decisions.keys import PublicKeys
from worker.decisions.verifying import Anchor, Verified, verify
from worker.domain.decisions import HASH_SUFFIX, ID_SUFFIX, Decision
from worker.domain.evidence import Value
from worker.errors import WorkerError
from worker.ports.decisions import DecisionSources
from worker.runtime.beside import for_reader

ODD_HOLD = "whether it is on hold is not what the last row of a hold or release tells"
UNASKED = "the engine could not be asked for the hashes that it has"


async def verified(
    one: Decision, sources: DecisionSources, *, is_last: bool, keys: PublicKeys | None = None
) -> Verified:
    """Verify a record. `is_last`: it is the last revision, so that the engine can have no hash of a later one.

    An engine that cannot be asked is a note, and no anchor. `keys` as for `verify`.
    """
    anchors, notes = list[Anchor](), list[str]()
    try:
        for instance, variable in _places(one):
            found, others = await _anchors(one, sources, instance, variable, is_last=is_last)
            anchors += found
            notes += others
    except WorkerError:
        anchors, notes = [], [UNASKED]
    said = await for_reader(verify, one.record, one.rows, anchors, keys)
    odd = is_last and chain.is_held(one.rows) != (one.held is not None)
    return replace(said, problems=[*said.problems, *[ODD_HOLD] * odd], notes=[*said.notes, *notes])


def _places(one: Decision) -> Iterator[tuple[str, str]]:
    """Name the instances and variables that were given a hash of this record."""
    told = [row["facts"] for row in one.rows if row["kind"] == "change"]
    yield from dict.fromkeys((each["instance"], each["variable"]) for each in told if "variable" in each)


async def _anchors(
    one: Decision, sources: DecisionSources, instance: str, variable: str, *, is_last: bool
) -> tuple[Sequence[Anchor], Sequence[str]]:
    """Return the hashes of this record that a variable had, and notes on what it had besides."""
    revisions = {row["content_sha256"]: row["revision"] for row in one.rows}
    values = [each for each in await sources.values(instance, variable) if each.name == variable]
    unknown = [each for each in values if str(each.value) not in revisions] if is_last else []
    named = variable.removesuffix(HASH_SUFFIX) + ID_SUFFIX
    asks = any(each.activity_instance for each in unknown)
    ids = [each for each in await sources.values(instance, named) if each.name == named] if asks else []
    others = [each for each in unknown if not _is_of(one.id, each, ids, is_newest=each is values[-1])]
    where = f"variable {variable} of instance {instance}"
    hashes = dict.fromkeys(
        str(each.value) for each in values if str(each.value) in revisions or (each in unknown and each not in others)
    )
    anchors = [Anchor(where, revisions.get(each, one.record["revision"]), each) for each in hashes]
    return anchors, [f"{where} had a value that is no hash of this record"] if others else []


def _is_of(record: str, value: Value, ids: Sequence[Value], *, is_newest: bool) -> bool:
    """Whether a value is to be a hash of this record: which one it is of, the id says that was written with it.

    A value that came without one is to be if it stands there still, and so does this record's id.
    """
    beside = [each.value for each in ids if each.activity_instance == value.activity_instance]
    if beside or not value.activity_instance:
        return not beside or record in beside
    return is_newest and (not ids or ids[-1].value == record)
