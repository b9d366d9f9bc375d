"""A newer worker has changed what all share: this one takes no tasks, says so, and works again when that is undone."""

from structlog.testing import capture_logs

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.domain.formats import FORMAT
from worker.redis import RedisFormat, open_redis

PREFIX = "assistant-worker"


async def test_a_worker_takes_no_tasks_under_a_newer_format_and_says_so(rig: Rig) -> None:
    async with open_redis(rig.redis_url, connections=2) as redis:
        await RedisFormat(redis, prefix=PREFIX, engine="default", format=FORMAT + 1).check()
        instance = await rig.rest.start(await rig.deploy(rig.step("frame", data_input="-")))
        with capture_logs() as lines:
            await rig.start_worker()
            [said] = await wait_until(
                lambda: [line for line in lines if line.get("dependency") == "format" and "reason" in line],
                what="a word about the format",
            )
        assert "update this worker" in said["reason"]
        assert (await rig.until_open(instance, "frame"))["workerId"] is None
        assert rig.calls("responses.create") == 0

        await redis.set(f"{PREFIX}:default:format", FORMAT)
        await rig.rest.wait_for_end(instance)
