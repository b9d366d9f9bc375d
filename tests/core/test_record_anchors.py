"""Which values of a record's hash, as the engine's history has them, are to be hashes of this record."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.deciding import KEY, Deciding
from tests.core.rig import Core
from tests.fakes.decisions import FakeSources
from tests.unit.decisions.examples import weights
from worker.decisions import chain, hashing
from worker.decisions.verifying import Verified
from worker.domain.decisions import Decision, DecisionKey
from worker.domain.evidence import Value
from worker.export.verifying import verified

OTHERS = {"decision_sha256": "f" * 64, "decision_id": "e" * 32}
NOTE = "variable decision_sha256 of instance a had a value that is no hash of this record"


@pytest.fixture
async def proposed(deciding: Deciding) -> Deciding:
    deciding.say_all()
    await deciding.reach("compute")
    deciding.say("weights", {"sets": [weights(quality=200)]})
    await deciding.reach("propose")
    return deciding


async def verify(core: Core, one: Decision) -> Verified:
    return await verified(one, FakeSources(core.world), is_last=True)


def forged(one: Decision, kept: int) -> Decision:
    """What somebody makes of it who can write to the database: all but the first rows anew."""
    content = {**one.record["content"], "dissent": {"dissent": []}}
    record: dict[str, Any] = {**one.record, "content": content, "content_sha256": hashing.sha256(content)}
    rows = list(one.rows[:kept])
    for row in one.rows[kept:]:
        is_now = row["revision"] == record["revision"]
        made = {**record, "revision": row["revision"]} | ({} if is_now else {"content_sha256": "d" * 64})
        rows.append(chain.row(row["kind"], rows[-1] if rows else None, made, one.changed_at, row["facts"]))
    return replace(one, record=record, rows=tuple(rows))


async def test_every_hash_that_the_engine_has_holds(core: Core, proposed: Deciding) -> None:
    found = await verify(core, proposed.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)
    assert NOTE not in found.notes


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_record_that_was_made_anew_has_another_hash(core: Core, proposed: Deciding, kept: int) -> None:
    found = await verify(core, forged(proposed.kept, kept))
    assert "engine: variable decision_sha256 of instance a has another hash of revision 2" in found.problems


async def test_what_a_parent_gave_by_all_of_its_variables_is_of_its_own_record(core: Core, deciding: Deciding) -> None:
    core.world.past.by_hand("a", **OTHERS)
    deciding.say_all()
    await deciding.reach("compute")
    found = await verify(core, deciding.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)
    assert NOTE in found.notes


async def test_what_a_called_process_gave_back_is_of_its_own_record(core: Core, proposed: Deciding) -> None:
    core.world.past.by_hand("a", **OTHERS)
    found = await verify(core, proposed.kept)
    assert (found.problems, NOTE in found.notes) == ([], True)


async def test_two_records_may_have_a_result_of_the_same_name(core: Core, proposed: Deciding) -> None:
    for part in [each for each in core.world.definitions["choose:1:c"].activities if each != "compute"]:
        activity = core.world.definitions["choose:1:c"].activities[part]
        if "record.part" in activity.properties:
            core.world.activity(part, definition="choose:1:c", properties={**activity.properties, "record.id": "site"})
    proposed.say("weights", {"sets": [weights(quality=50)]})
    await proposed.reach("compute", activity="other", record_id="site")
    assert core.decisions is not None
    site = core.decisions.kept[DecisionKey("default", "a", "site")]
    assert site.record["content_sha256"] != proposed.kept.record["content_sha256"]
    for one in (core.decisions.kept[KEY], site):
        found = await verify(core, one)
        assert (found.problems, len(found.anchors)) == ([], 1)
        assert NOTE in found.notes


async def test_a_hash_without_an_id_has_to_hold_while_it_stands_there(core: Core, deciding: Deciding) -> None:
    core.world.past.by_hand("a", decision_sha256="c" * 64)
    deciding.say_all()
    await deciding.reach("compute")
    assert (await verify(core, deciding.kept)).holds
    core.world.past.by_hand("a", decision_sha256="c" * 64)
    found = await verify(core, deciding.kept)
    assert found.problems == ["engine: variable decision_sha256 of instance a has another hash of revision 1"]


async def test_without_a_history_what_stands_there_now_has_to_hold(core: Core, proposed: Deciding) -> None:
    core.world.past.is_kept = False
    assert (await verify(core, proposed.kept)).anchors
    core.world.past.values.append(Value("v", "a", "decision_sha256", "c" * 64, "String"))
    assert not (await verify(core, proposed.kept)).holds
