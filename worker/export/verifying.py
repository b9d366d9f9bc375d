"""Whether a decision's record is what it was, against what the engine has of its hashes."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from worker.decisions.verifying import Anchor, Verified, verify
from worker.domain.decisions import Decision
from worker.errors import WorkerError
from worker.ports.decisions import DecisionSources
from worker.runtime.beside import for_reader

UNASKED = "the engine could not be asked for the hashes that it has"


async def verified(one: Decision, sources: DecisionSources, *, is_last: bool) -> Verified:
    """Verify a record. `is_last`: it is the last revision, so that the engine can have no hash of a later one.

    An engine that cannot be asked is a note, and no anchor.
    """
    try:
        anchors = [each async for each in _anchors(one, sources, is_last=is_last)]
    except WorkerError:
        said = await for_reader(verify, one.record, one.rows)
        return replace(said, notes=[*said.notes, UNASKED])
    return await for_reader(verify, one.record, one.rows, anchors)


def _places(one: Decision) -> Iterator[tuple[str, str]]:
    """Name the instances and variables that were given a hash of this record."""
    told = [row["facts"] for row in one.rows if row["kind"] == "change"]
    yield from dict.fromkeys((each["instance"], each["variable"]) for each in told if "variable" in each)


async def _anchors(one: Decision, sources: DecisionSources, *, is_last: bool) -> AsyncIterator[Anchor]:
    revisions = {row["content_sha256"]: row["revision"] for row in one.rows}
    for instance, variable in _places(one):
        values = await sources.values(instance, variable)
        for sha256 in dict.fromkeys(str(each.value) for each in values if each.name == variable):
            if sha256 in revisions or is_last:
                revision = revisions.get(sha256, one.record["revision"])
                yield Anchor("engine", f"variable {variable} of instance {instance}", revision, sha256)
