"""Each store lost alone, and all restored to different moments, in the middle of instances of several steps.

What `docs/backup.md` says of it is seen here.
"""

import pytest

from tests.keeping.conftest import STEPS, Town, say


async def test_redis_is_lost_and_every_instance_goes_on_on_its_thread(town: Town) -> None:
    await town.start(3)
    await town.work("frame", until="evaluate")

    town.stores.restore_redis(None)
    found = await town.found()
    assert "3 of 3 threads of running instances are not in Redis" in found["thread variables"].said
    assert "3 of 3 conversations of running instances" in found["transcript and Redis"].said

    await town.work("evaluate", "recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()
    assert await town.found() == {}


async def test_redis_is_restored_to_an_earlier_moment_and_nothing_is_asked_again(town: Town) -> None:
    await town.start(2)
    await town.work("frame", until="evaluate")
    copy = await town.stores.copy_redis()
    await town.start(1)
    await town.work("frame", "evaluate", until="recommend")

    town.stores.restore_redis(copy)
    found = await town.found()
    assert "1 of 3 threads of running instances are not in Redis" in found["thread variables"].said

    await town.work("recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()


async def test_the_transcript_is_lost_and_tasks_go_on(town: Town) -> None:
    [instance, *_] = await town.start(2)
    await town.work("frame", until="evaluate")
    assert await town.recorded(instance) == 2

    town.stores.restore_transcript(None)
    assert (await town.found())["transcript and Redis"].said.startswith("The transcript is empty")
    await town.start(1)
    await town.work("frame", until="evaluate")
    found = await town.found()
    assert "what was said on 2 of 3 threads in Redis is not in the transcript" in found["transcript and Redis"].said

    await town.work("evaluate", "recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()
    assert await town.recorded(instance) == 4, "what was said before is gone"


async def test_the_transcript_is_restored_and_lacks_what_was_said_since(town: Town) -> None:
    [instance] = await town.start(1)
    await town.work("frame", until="evaluate")
    copy = town.stores.copy_transcript()
    await town.work("evaluate", until="recommend")

    town.stores.restore_transcript(copy)
    await town.work("recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()
    assert await town.recorded(instance) == 4, "the step after the copy is missing"


async def test_redis_and_the_transcript_are_lost_and_every_instance_goes_on_on_its_thread(town: Town) -> None:
    """What is left says enough: the process whose thread it is, the provider what was said there."""
    await town.start(3)
    await town.work("frame", until="evaluate")

    town.stores.restore_redis(None)
    town.stores.restore_transcript(None)
    found = await town.found()
    assert "3 of 3 threads of running instances are not in Redis" in found["thread variables"].said
    assert found["transcript and Redis"].said.startswith("The transcript is empty")

    await town.work("evaluate", "recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()


async def test_redis_and_the_transcript_are_restored_to_different_moments(town: Town) -> None:
    [instance, *_] = await town.start(2)
    transcript = town.stores.copy_transcript()
    await town.work("frame", until="evaluate")
    redis = await town.stores.copy_redis()
    await town.work("evaluate", until="recommend")

    town.stores.restore_redis(redis)
    town.stores.restore_transcript(transcript)
    await town.found()
    await town.work("recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()
    assert await town.recorded(instance) == 2, "what was said between is gone"


@pytest.mark.parametrize("api", ["responses"], indirect=True)
@pytest.mark.parametrize("lost", ["redis", "transcript"])
async def test_where_the_provider_keeps_nothing_the_other_store_tells_what_was_said(town: Town, lost: str) -> None:
    instances = await town.start(2)
    await town.work("frame", until="evaluate")
    if lost == "redis":
        town.stores.restore_redis(None)
    else:
        town.stores.restore_transcript(None)
    await town.found()

    await town.work("evaluate", "recommend", until=None)
    calls = [each["body"] for each in town.rig.provider.requests("responses.create")]
    told = [str(each["input"]) for each in calls if each]  # a probe asks nothing
    assert len(told) == len(STEPS) * len(instances), "no step was asked twice"
    last = [each for each in told if "Please do recommend." in each]
    assert len(last) == len(instances)
    for each in last:
        assert "Please do frame." in each
        assert "Please do evaluate." in each
    say("The last step was told what both steps before it had said.")


async def test_the_engine_is_restored_and_steps_that_it_repeats_are_not_asked_again(town: Town) -> None:
    await town.start(2)
    await town.work("frame", until="evaluate")
    copy = town.stores.copy_engine()
    await town.work("evaluate", until="recommend")
    [later] = await town.start(1)
    await town.work("frame", until="evaluate", instances=[later])

    town.stores.restore_engine(copy)
    found = await town.found()
    assert f"1 of 3 threads in Redis are of instances that the engine does not know: {later}" in found["instances"].said

    known = [each for each in town.instances if each != later]
    await town.work("evaluate", "recommend", until=None, instances=known)
    asked = {tuple(questions) for questions in town.asked().values()}
    assert sorted(map(len, asked)) == [1, 3, 3], "each step once, and the lost instance's first one"


async def test_all_are_restored_to_different_moments_and_nothing_is_asked_again(town: Town) -> None:
    """The engine to the oldest moment, Redis not at all, the transcript to one between."""
    await town.start(3)
    await town.work("frame", until="evaluate")
    engine = town.stores.copy_engine()
    await town.work("evaluate", until="recommend")
    transcript = town.stores.copy_transcript()

    town.stores.restore_engine(engine)
    town.stores.restore_redis(None)
    town.stores.restore_transcript(transcript)
    found = await town.found()
    assert "3 of 3 threads of running instances are not in Redis" in found["thread variables"].said

    await town.work("evaluate", "recommend", until=None)
    town.check_each_was_asked_once_on_one_thread()
    assert await town.found() == {}
