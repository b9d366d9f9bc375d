"""Workers that tell each other of themselves, on one server and on a cluster."""

from datetime import timedelta

from tests.waiting import wait_until
from worker.domain.fleet import Member
from worker.redis import RedisFleet
from worker.redis.connect import Client


async def test_each_worker_sees_all_that_were_heard_of_lately(redis: Client) -> None:
    first, second = [RedisFleet(redis, prefix="test", engine="a:b{c}", worker=name) for name in ("one", "two")]
    another = RedisFleet(redis, prefix="test", engine="other", worker="three")
    assert await first.workers() == []
    for _ in range(2):  # as after a lost reply
        await first.show("1.0", [("analyst", "1.0")])
    await second.show("1.1", [])
    await another.show("1.0", [])

    one, two = Member("one", "1.0", frozenset({("analyst", "1.0")})), Member("two", "1.1", frozenset())
    assert sorted(await second.workers(), key=lambda each: each.worker) == [one, two]

    async def forgotten() -> bool:
        return await first.workers(timedelta(milliseconds=50)) == []

    await wait_until(forgotten, what="the time to pass")


async def test_it_is_known_since_when_something_is_wanted(redis: Client) -> None:
    fleet = RedisFleet(redis, prefix="test", engine="default", worker="one")
    assert await fleet.wanted("analyst", "2.0") == timedelta(0)

    async def longer() -> bool:
        return await fleet.wanted("analyst", "2.0") > timedelta(milliseconds=20)

    await wait_until(longer, what="the time to pass")
    assert await fleet.wanted("analyst", "2.1") == timedelta(0)
