"""The engine's database is lost, and an empty one is under its address, while Redis and transcript have everything."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.flow.test_calls import set_retries, until_incident
from tests.flow.test_ending import Hands, hands
from tests.keeping.conftest import STEPS, Stores, Town, opened, say
from tests.models import unique
from tests.waiting import wait_until
from worker.domain.conversations import EVERYTHING, Filter, Subject
from worker.ending.ends import MISSING_FOR

NUMBERS = "operaton.bpm.id-generator=simple\n"
"""Ids are counted by the database instead of being different everywhere."""
MANY = 60
"""Instances, of which one has an id that was given out before."""


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Stores whose engine counts its ids."""
    extra = tmp_path_factory.mktemp("settings")
    (extra / "application.properties").write_text(NUMBERS)
    with opened(tmp_path_factory.mktemp("copies"), extra) as stores:
        yield stores


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Stores:
    """Those of the module, or the numbered ones where a test wants them."""
    found: Stores = request.getfixturevalue(getattr(request, "param", "lasting"))
    return found


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with opened(tmp_path_factory.mktemp("copies")) as stores:
        yield stores


def of(town: Town, instance: str) -> Subject:
    return Subject(str(town.rig.settings["engine_name"]), instance=instance)


async def active(hand: Hands, town: Town) -> set[str | None]:
    """Instances whose conversations seem to go on."""
    assert hand.adapters.conversations is not None
    wanted = Filter(engine=str(town.rig.settings["engine_name"]), active=True)
    page = await hand.adapters.conversations.sessions(wanted, within=EVERYTHING)
    return {each.process_instance_id for each in page.items}


def conversation_of(town: Town, instance: str) -> str:
    """The conversation that was made for an instance, by what it was given."""
    [name] = [name for name, each in town.rig.provider.conversations().items() if instance in str(each["metadata"])]
    return name


async def test_the_worker_goes_on_on_the_empty_engine_and_what_was_said_before_ends_in_its_time(town: Town) -> None:
    """Given a worker in the middle of a call; when the engine comes back empty; then that answer is kept, what is
    deployed and started anew is done on conversations of its own, and the old ones go by order and by their age.
    """
    [kept, left] = old = await town.start(2)
    await town.work("frame", until="evaluate")
    town.rig.provider.fault("responses.create", text="Please do evaluate.", times=2, hold="gate")
    topics = ",".join(f"{town.rig.topic}-{step}" for step in STEPS)
    worker = await town.rig.start_worker(topics=topics)
    await wait_until(lambda: len(town.asked()) == 2 and all(len(each) == 2 for each in town.asked().values()), 30)
    await asyncio.to_thread(town.stores.engine.stop)
    town.rig.provider.release("gate")

    async def recorded() -> bool:
        return [await town.recorded(each) for each in old] == [4, 4]

    await wait_until(recorded, 30, "the answers in the transcript")
    await asyncio.to_thread(town.stores.lose_engine)

    said = (await town.found())["instances"].said
    assert said.startswith("2 of 2 threads in Redis are of instances that the engine does not know")
    town.model, town.instances = None, []
    new = await town.start(2)
    for instance in new:
        await town.rig.rest.wait_for_end(instance, 90)
    await town.until_recorded()
    await worker.stop()
    asked = town.asked()
    assert sorted(map(len, asked.values())) == [2, 2, 3, 3]
    assert len(asked[conversation_of(town, kept)]) == 2, "nothing was said there but to its own instance"
    say("Two new instances ended, each on a conversation of its own; nothing was asked on those of before.")

    ages: dict[str, Any] = {
        "retention_threads_days": 0,
        "retention_transcript_days": 0,
        "retention_transcript": "remove",
    }
    threads = {each: conversation_of(town, each) for each in old}
    async with hands(town.rig, **ages) as hand:
        receipt = await hand.eraser.erase(of(town, left))
        assert receipt.open == ()
        assert not hand.has_thread(threads[left])
        assert await hand.texts(left) == []
        say("An instance of before is erased by order at once.")

        await hand.retention.sweep()
        assert hand.has_thread(threads[kept]), "a day is left to notice a wrong address"
        assert await active(hand, town) == {kept}
    async with hands(town.rig, ahead=MISSING_FOR + timedelta(minutes=1), **ages) as hand:
        done = await hand.retention.sweep()
        assert of(town, kept) in done.ended
        assert not done.delayed
        assert not hand.has_thread(threads[kept])
        assert await hand.texts(kept) == []
        assert await hand.keys(kept) == []
        assert await active(hand, town) == set()
    say("A day later the other counts as over, and goes by its age.")
    assert await town.found() == {}


@pytest.mark.parametrize("stores", ["numbered"], indirect=True)
@pytest.mark.parametrize("renamed", [True, False])
async def test_where_ids_are_counted_no_new_instance_goes_on_with_the_conversation_of_a_lost_one(
    town: Town, *, renamed: bool
) -> None:
    """Given an empty engine that gives out an id again; then its task is an incident, which the command that it names
    ends, and others are done meanwhile; under another engine's name it is done at once.
    """
    town.stores.lose_engine()  # so that it counts from the beginning, whatever other tests have made
    old = set(await town.start(2))
    await town.work("frame", until="evaluate")
    asked = town.asked()
    town.stores.lose_engine()

    advice = (await town.found())["instances"].advice
    assert "Its ids are numbers" in advice
    assert "another ENGINE_NAME" in advice
    if renamed:
        town.rig.settings["engine_name"] = unique("engine")
    town.model, town.instances = None, []
    while not old & set(town.instances):
        assert len(town.instances) < MANY, "no id comes again"
        await town.start(1)
    [again] = old & set(town.instances)
    say(f"The empty engine has given out {again} again.")
    if not renamed:
        topics = ",".join(f"{town.rig.topic}-{step}" for step in STEPS)
        worker = await town.rig.start_worker(topics=topics)
        message = (await until_incident(town.rig, again))["incidentMessage"]
        assert f"of instance {again}, before" in message
        assert f"threads erase {again} --force" in message
        for instance in set(town.instances) - old:
            await town.rig.rest.wait_for_end(instance, 60)
        assert set(asked) <= set(town.asked()), "nothing is asked on an old conversation"
        await worker.stop()
        async with hands(town.rig) as hand:
            assert (await hand.eraser.erase(of(town, again), force=True)).open == ()
        await set_retries(town.rig, again, 1)
        say("Its first task was an incident until what was kept under the id was erased.")
    await town.work(*STEPS, until=None, instances=[again])
    assert all(town.asked()[name] == questions for name, questions in asked.items())
    say(f"{again} has ended, apart from the old conversation.")


@pytest.mark.parametrize("stores", ["numbered"], indirect=True)
async def test_where_ids_are_counted_a_restored_engine_is_kept_from_giving_them_out_again(town: Town) -> None:
    await town.start(1)
    copy = town.stores.copy_engine()
    later = set(await town.start(5))
    await town.work("frame", until="evaluate")

    town.stores.restore_engine(copy)
    town.stores.raise_next_id()
    started = await town.start(MANY)
    assert not later & set(started)
    assert min(map(int, started)) > 10**9
    say(f"Of {MANY} new instances none has the id of one of the {len(later)} that are lost.")
