"""What a decision's record can prove on engines as others set them up: by history level, and with rights."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.engines import Elsewhere
from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.flow.test_decision_record import JUDGES, panel, part, stage
from tests.models import call, element, line, loop, process, sub_process, unique
from tests.rest import MOST, EngineRest, connect
from tests.setups.test_history_levels import engines, until_over
from tests.unit.decisions.examples import parts, scores
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.engine import Engine
from worker.domain.conversations import EVERYTHING
from worker.domain.decisions import Decision
from worker.engine.info import TASK
from worker.export.verifying import verified
from worker.transcript import SqlDecisions, open_database

__all__ = ["engines", "strict", "user"]

PARTS = {**parts(), "scores": scores()}
SIGN = '<bpmn:userTask id="sign" name="Sign"/>'
LATER = '<bpmn:userTask id="later" name="Later"/>'
"""Keeps the instance, so that its variables can be read without a history."""


async def until_task(rig: Rig, instance: str, activity: str) -> str:
    """The id of a person's task that was reached."""

    async def reached() -> Any:
        incidents = await rig.rest.incidents(instance)
        assert not incidents, "\n".join(each["incidentMessage"] for each in incidents)
        tasks = await rig.rest.get("task", processInstanceId=instance, taskDefinitionKey=activity, maxResults=MOST)
        return next((each["id"] for each in tasks), None)

    found: str = await wait_until(reached, 60, f"the task {activity} for a person")
    return found


async def signed(
    rig: Rig, *, form: str = SIGN, by: EngineRest | None = None, by_hand: str = "", **started: Any
) -> tuple[str, dict[str, Any], Decision]:
    """Decide, sign and close: the instance, what the engine was told at last, and the record.

    Whoever signs is logged in `by` this client; `by_hand` is what the record's hash is made before that.
    """
    records = unique("records")
    tasks = [part(rig, name, value) for name, value in PARTS.items()]
    close = stage(records, "close", record_accepted="approved")
    model = process(line(*map(element, [*tasks, stage(records, "propose")]), form, element(close), LATER))
    await rig.rest.deploy(model)
    await rig.start_worker(**{"topics": f"{rig.topic},{records}"} | started)
    instance = await rig.rest.start(model)
    person = await until_task(rig, instance, "sign")
    if by_hand:
        await rig.rest.put(f"process-instance/{instance}/variables/decision_sha256", {"value": by_hand})
    approved = {"variables": {"approved": {"value": True, "type": "Boolean"}}}
    await (by or rig.rest).post(f"task/{person}/complete", approved)
    await until_task(rig, instance, "later")
    found = await rig.rest.get(f"process-instance/{instance}/variables", deserializeValues="false")
    async with open_database(str(rig.settings["transcript_url"])) as database:
        book = SqlDecisions(database, engine="default")
        [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
        kept = await book.last(listed.key)
    assert kept is not None
    return instance, json.loads(found["decision"]["value"]), kept


async def anchors(rig: Rig, kept: Decision) -> tuple[int, int]:
    """How much does not hold, and how many hashes outside of the database do."""
    async with bootstrap.connect(rig.build_settings()) as adapters:
        told = await verified(kept, adapters.sources)
    return len(told.problems), len(told.anchors)


def identities(kept: Decision) -> list[tuple[str, str]]:
    """How far it is proven who signed, and who it was."""
    signatures = [row["facts"] for row in kept.rows if row["kind"] == "signature"]
    texts = kept.record["texts"]
    return [
        (each["identity"], texts[each["user"]["text_sha256"]]["text"] if "user" in each else "") for each in signatures
    ]


@pytest.mark.parametrize("level", ["none", "activity", "audit", "full"])
async def test_a_record_is_made_at_each_level_and_what_it_proves(
    kept: Rig, level: str, engines: Callable[[str], Engine]
) -> None:
    own = await asyncio.to_thread(engines, level)
    async with connect(own) as rest:
        kept.rest = rest
        instance, said, record = await signed(kept)
        source = record.record["sources"]["frame"]
        problems, outside = await anchors(kept, record)
        await rest.post(f"task/{await until_task(kept, instance, 'later')}/complete", {})
        await until_over(kept, instance)
        _, left = await anchors(kept, record)

    assert (said["leader"], problems) == ("Y", 0)
    assert (source["of"], source["assistant"], source["activity"]) == ("turn", "analyst", "frame")
    assert (outside, left) == (1, int(level in {"audit", "full"})), (
        "the hash at the engine, while the instance runs and afterwards"
    )
    assert said["accepted"] is (level != "none")
    assert ("history level activity" in said["void_reason"]) is (level == "none")
    assert identities(record) == ([] if level == "none" else [("unproven", "")]), "this engine asks nobody's name"


@pytest.mark.parametrize("level", ["activity", "audit"])
async def test_what_a_called_process_said_that_is_over_is_in_the_record_where_the_history_has_it(
    kept: Rig, level: str, engines: Callable[[str], Engine]
) -> None:
    """What is over has no variables any more; level audit keeps their last values."""
    own = await asyncio.to_thread(engines, level)
    async with connect(own) as rest:
        kept.rest = rest
        records = unique("records")
        said = [part(kept, name, value) for name, value in PARTS.items()]
        child = process(line(element(said[0])))
        rest_of = [*said[1:], stage(records, "compute")]
        model = process(line(call("frame_it", child), *map(element, rest_of), LATER))
        await rest.deploy(child, model)
        await kept.start_worker(topics=f"{kept.topic},{records}")
        instance = await rest.start(model)
        if level == "audit":
            await until_task(kept, instance, "later")
            async with open_database(str(kept.settings["transcript_url"])) as database:
                book = SqlDecisions(database, engine="default")
                [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
                record = await book.last(listed.key)
            assert record is not None
            source = record.record["sources"]["frame"]
            assert (source["assistant"], source["definition"].split(":")[0]) == ("analyst", child.key)
            assert source["instance"] != instance
        else:
            [incident] = await wait_until(lambda: rest.incidents(instance), 60, "the incident")
            assert "history level audit" in incident["incidentMessage"]


async def test_at_level_audit_local_answers_are_their_judges_own(kept: Rig, engines: Callable[[str], Engine]) -> None:
    """Each instance of the sub-process has a result of the same name, with its meta, and both are gone with it."""
    own = await asyncio.to_thread(engines, "audit")
    async with connect(own) as rest:
        kept.rest = rest
        records, judges = unique("records"), panel(kept)
        local = {**judges.properties, "data.output.scope": "local"}
        judge = replace(judges, properties=local, outputs={"said": "${scores}"}, instances=0)
        tasks = [element(part(kept, name, value)) for name, value in PARTS.items() if name != "scores"]
        sitting = sub_process("sitting", line(element(judge), start="begin", end="over"), loop=loop(len(JUDGES)))
        model = process(line(*tasks, sitting, element(stage(records, "compute")), LATER))
        await rest.deploy(model)
        await kept.start_worker(topics=f"{kept.topic},{records}")
        instance = await rest.start(model)
        await until_task(kept, instance, "later")
        async with open_database(str(kept.settings["transcript_url"])) as database:
            book = SqlDecisions(database, engine="default")
            [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
            record = await book.last(listed.key)
    assert record is not None
    assert {judge: each["assistant"] for judge, each in record.record["sources"]["scores"].items()} == {
        name: name for name in JUDGES
    }


async def test_with_the_listed_rights_a_record_is_signed_by_whom_the_engine_knows(
    kept: Rig, strict: Rig, user: User
) -> None:
    await user.may_all_but()
    _, said, record = await signed(strict, topics=())

    assert (said["accepted"], said["void_reason"], said["leader"]) == (True, "", "Y")
    assert identities(record) == [("operation_log", "demo")]
    assert await anchors(kept, record) == (0, 1)


@pytest.mark.parametrize("is_hers", [True, False])
async def test_a_signature_counts_by_who_completed_the_task_and_not_by_whose_it_is(
    kept: Rig, strict: Rig, user: User, strict_engine: Engine, is_hers: bool
) -> None:
    """Ann may complete every task, and is no administrator."""
    await user.may_all_but()
    ann = User(strict.rest)
    await ann.create()
    await ann.may("UPDATE", TASK)
    form = f'<bpmn:userTask id="sign" name="Sign" camunda:assignee="{ann.name if is_hers else "ben"}"/>'
    async with connect(Elsewhere(strict_engine.base_url, strict_engine.kind, ann.name, ann.name)) as by_ann:
        _, said, record = await signed(strict, form=form, by=by_ann, topics=())

    void = "" if is_hers else "sign was completed by somebody else than who it was given to"
    assert (said["accepted"], said["void_reason"]) == (is_hers, void)
    assert identities(record) == [("operation_log", ann.name)], "the record says who it was"
    assert await anchors(kept, record) == (0, 1)


async def test_a_hash_that_an_administrator_changed_by_hand_voids_and_who_verifies_is_told(
    kept: Rig, strict: Rig, user: User
) -> None:
    await user.may_all_but()
    _, said, record = await signed(strict, by_hand="f" * 64, topics=())

    assert (said["accepted"], said["void_reason"]) == (False, "the hash that sign showed was changed by hand")
    assert identities(record) == [("operation_log", "demo")]
    async with bootstrap.connect(kept.build_settings()) as adapters:
        told = await verified(record, adapters.sources)
    assert told.problems == [], "what the record had is replaced and holds"
    assert [each for each in told.notes if "had a value that is no hash of this record" in each] != []


async def test_without_the_right_to_history_the_record_names_it_and_no_signature_counts(
    kept: Rig, strict: Rig, user: User
) -> None:
    await user.may_all_but("READ_HISTORY on process definitions")
    _, said, record = await signed(strict, topics=())

    assert (said["accepted"], said["leader"]) == (False, "Y")
    assert "READ_HISTORY on the process definition" in said["void_reason"]
    assert identities(record) == []
    assert await anchors(kept, record) == (0, 1), "what runs shows the hash"


async def test_without_the_right_to_the_historys_variables_the_record_is_an_incident_that_names_it(
    kept: Rig, strict: Rig, user: User
) -> None:
    """The engine shows that tasks were completed, and not what came with that."""
    await user.may_all_but("READ_HISTORY_VARIABLE on process definitions")
    with pytest.raises(AssertionError, match="does not show it: grant READ_HISTORY_VARIABLE"):
        await signed(strict, topics=())
    assert kept.rest is strict.rest
