"""What `doctor --deep` finds on a real engine, Redis and transcript."""

from collections.abc import Iterable

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker import bootstrap
from worker.domain.exchanges import TRANSCRIPT
from worker.operate import doctor
from worker.operate.doctor import Finding, Level

AREA = "stores"


async def seen(rig: Rig) -> dict[str, Finding]:
    """What is found of the stores, by its subject."""
    rows = await doctor.findings(rig.build_settings(), calls=False, deep=True)
    found: Iterable[Finding] = [each for each in rows if each.area == AREA]
    return {each.subject: each for each in found}


async def middle_of_three(rig: Rig, instances: int) -> list[str]:
    """Instances whose second step nobody does yet: the first one is answered and recorded. No worker runs any more."""
    model = await rig.deploy(rig.step("frame"), rig.step("evaluate", topic=f"{rig.topic}-later"), rig.step("recommend"))
    worker = await rig.start_worker()
    started = [await rig.rest.start(model) for _ in range(instances)]
    for instance in started:
        await rig.until_open(instance, "evaluate")
    async with bootstrap.connect(rig.build_settings()) as adapters:

        async def recorded() -> bool:
            return await adapters.outbox.backlog(TRANSCRIPT) == 0

        await wait_until(recorded, what="the transcript")
    await worker.stop()
    return started


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"], indirect=True)
async def test_where_the_stores_agree_it_says_so_and_changes_nothing(kept: Rig) -> None:
    await middle_of_three(kept, 2)
    async with kept.redis() as redis:

        async def content() -> dict[str, bytes | None]:
            """Everything but what ends by itself meanwhile."""
            keys = [key async for key in redis.scan_iter() if ":hold" not in key and "{outage" not in key]
            return {key: await redis.dump(key) for key in keys}

        before = await content()
        asked = len(kept.provider.requests())
        found = await seen(kept)
        assert await content() == before

    assert {each["method"] for each in kept.provider.requests()[asked:]} == {"GET"}
    assert {subject: each.level for subject, each in found.items()} == dict.fromkeys(
        ["formats", "clocks", "instances", "thread variables", "exchanges", "transcript and Redis"], Level.OK
    )
    assert found["instances"].said == "the engine knows the instances of 2 threads in Redis"
    assert found["thread variables"].said == "Redis names the same threads as 2 variables of running instances"
    assert found["transcript and Redis"].said == "the transcript has what was said on 2 threads in Redis"


async def test_a_store_that_is_away_leaves_the_others_findings(kept: Rig) -> None:
    await middle_of_three(kept, 1)
    kept.settings["transcript_url"] = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"

    found = await seen(kept)

    assert found["instances"].level is found["thread variables"].level is Level.OK
    assert found["formats, clocks, transcript and Redis"].level is Level.UNKNOWN
