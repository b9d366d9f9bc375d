"""An engine that counts its ids, whose database was lost or restored, gives out again what it forgot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.core.deciding import Deciding
from tests.core.rig import Core
from tests.fakes.engine import Job
from tests.unit.decisions.examples import parts

LOST = datetime(2026, 5, 4, 9, tzinfo=UTC)
LATER = LOST + timedelta(days=1)


def begun(core: Core, instance: str, at: datetime) -> None:
    core.world.began[instance] = at.isoformat()


async def step(core: Core, activity: str, instance: str, **changes: Any) -> Job:
    """One more task of an instance, seen to its end or to its failure."""
    job = core.world.start(activity, instance=instance, **changes)
    await core.until(lambda: job.gone or job.has_incident)
    return job


async def test_a_task_with_the_id_of_a_lost_one_is_not_given_its_answer(core: Core) -> None:
    """As after a restore to the middle of an instance: it is the same one, and its tasks may come in another order."""
    begun(core, "7", LOST)
    async with core.working():
        lost = await step(core, "frame", "7", id="12", created_at=LOST)
        asked = len(core.provider.asked)
        again = await step(core, "evaluate", "7", id="12", created_at=LATER)

    assert lost.gone
    assert again.has_incident
    assert "has given out the id of this task" in again.message
    assert len(core.provider.asked) == asked


@pytest.mark.parametrize("sharing", ["instance", "root"])
async def test_an_instance_with_the_id_of_a_lost_one_does_not_go_on_with_its_conversation(
    core: Core, sharing: str
) -> None:
    properties = {**core.world.activity("frame").properties, "service.thread": sharing}
    for name in ("frame", "evaluate"):
        core.world.activity(name, properties=properties)
    begun(core, "7", LOST)
    async with core.working():
        await step(core, "frame", "7", id="12", created_at=LOST)
        begun(core, "7", LATER)
        again = await step(core, "frame", "7", id="13", created_at=LATER)
        other = await step(core, "evaluate", "8", id="14", created_at=LATER)

    assert again.has_incident
    assert "or of instance 7, before" in again.message
    assert "threads erase 7 --force" in again.message
    assert other.gone
    assert [len(each.items) for each in core.provider.conversations.values()] == [2, 2]


async def test_steps_of_one_instance_share_its_conversation(core: Core) -> None:
    begun(core, "7", LOST)
    async with core.working():
        for number, name in enumerate(("frame", "evaluate"), 12):
            assert (await step(core, name, "7", id=str(number), created_at=LOST)).gone
    assert len(core.provider.conversations) == 1


async def test_an_engine_that_does_not_say_when_an_instance_began_is_believed(core: Core) -> None:
    async with core.working():
        for number, name in enumerate(("frame", "evaluate"), 12):
            assert (await step(core, name, "7", id=str(number), created_at=LOST)).gone
    assert len(core.provider.conversations) == 1


async def test_ids_that_are_different_for_ever_cost_no_question(core: Core) -> None:
    async with core.working() as worker:
        assert (await step(core, "frame", "0e0f7c6a-33f2-11f0-b1c3-0242ac120002")).gone
        assert not worker.engine.script.named("began_at")


@pytest.mark.parametrize("is_lost", [True, False])
async def test_an_instance_with_the_id_of_a_lost_one_makes_no_revision_of_its_record(
    core: Core, deciding: Deciding, *, is_lost: bool
) -> None:
    assert core.decisions is not None
    deciding.say_all()
    for part, value in parts().items():
        deciding.say(part, value["one"] if part == "scores" else value, instance="7")
    begun(core, "7", LOST)
    assert (await deciding.reach("compute", instance="7")).gone
    [kept] = [each for each in core.decisions.kept.values() if each.key.instance == "7"]
    begun(core, "7", kept.began_at + timedelta(hours=1) if is_lost else kept.began_at - timedelta(hours=1))
    job = await deciding.reach("propose", instance="7")

    assert job.has_incident is is_lost
    assert ("has given out its id again" in job.message) is is_lost
    assert (core.decisions.kept[kept.key] == kept) is is_lost
