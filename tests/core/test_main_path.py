"""One instance and one assistant: one thread; others: others. The shortest way to see the core at work."""

from tests.core.rig import Core


async def test_four_steps_of_an_instance_share_one_thread_and_another_instance_has_its_own(core: Core) -> None:
    async with core.working():
        for step in ("frame", "alternatives", "evaluate", "recommend"):
            await core.until_over([core.world.start(step, instance="a")])
        other = core.world.start("frame", instance="b")
        await core.until_over([other])

    threads = [thread for thread, _ in core.provider.asked]
    assert len(threads) == 5
    assert len(set(threads[:4])) == 1
    assert threads[4] not in threads[:4]
    assert {len(job.completed_by) for job in core.world.jobs.values()} == {1}
    assert other.results["frame"].value == f"answer to {core.provider.asked[4][1].ref}"
