"""Seats for calls at a provider, the same on fakeredis, a real server and a cluster."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from tests.waiting import wait_until
from worker.domain.providers import Limits, ProviderSpec
from worker.redis import RedisSeats
from worker.redis.connect import Client

LEASE = timedelta(seconds=30)
SPEC = ProviderSpec(
    "gateway",
    base_url="https://llm.example/v1",
    key="sk-very-secret",
    limits=Limits(at_once=3, requests_per_minute=6, tokens_per_minute=60_000),
)


def seats_of(redis: Client, spec: ProviderSpec = SPEC, *, lease: timedelta = LEASE, **limits: int) -> RedisSeats:
    """Another worker's, with limits of its own if any are named."""
    return RedisSeats(redis, prefix="aw", spec=replace(spec, limits=Limits(**limits)) if limits else spec, lease=lease)


@pytest.fixture
def seats(redis: Client) -> RedisSeats:
    return seats_of(redis)


async def contents(redis: Client) -> dict[str, Any]:
    """All that is kept, but for when the meters' time is over."""
    everywhere: dict[str, Any] = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(redis, RedisCluster) else {}
    found: dict[str, Any] = {}
    for name in sorted(map(str, await redis.keys("aw:*", **everywhere))):
        kind = await redis.type(name)
        found[name] = await (redis.hgetall(name) if kind == "hash" else redis.zrange(name, 0, -1, withscores=True))
    return found


async def test_the_key_is_neither_in_names_nor_in_values_and_all_names_share_a_slot(
    seats: RedisSeats, redis: Client
) -> None:
    for number in range(3):
        await seats.take(f"task-{number}", "instance", f"token-{number}", 1000)
    await seats.close(timedelta(seconds=1))
    found = await contents(redis)

    assert "secret" not in str(found)
    assert "llm.example" not in str(found)
    tag = f"aw:{{limits:gateway:{SPEC.account('aw')}}}:"
    assert all(name.startswith(tag) for name in found), found.keys()
    assert all([0 < await redis.pttl(name) <= 7_200_000 for name in found]), "nothing is kept of who is gone for good"


def test_an_account_is_told_by_address_and_key_alone_and_differently_under_another_prefix() -> None:
    account = SPEC.account("aw")

    assert len(account) == 16
    assert replace(SPEC, headers={"X": "y"}, limits=Limits(at_once=1)).account("aw") == account
    others = [replace(SPEC, key="sk-other").account("aw"), replace(SPEC, base_url=None).account("aw")]
    assert len({account, SPEC.account("other"), *others}) == 4


async def test_another_key_of_the_same_provider_has_seats_of_its_own(redis: Client) -> None:
    one, two = (seats_of(redis, replace(SPEC, key=key), at_once=1) for key in ("sk-1", "sk-2"))

    assert [await each.take("task", "instance", "token", 0) for each in (one, two)] == [None, None]


async def kept(seats: RedisSeats) -> bool:
    """Have a seat kept; whether it is still the same one."""
    wait = await seats.take("task-9", "nine", "token-9", 5000)
    return wait is not None and timedelta(seconds=1) < wait < timedelta(seconds=20)


Step = Callable[[RedisSeats], Awaitable[object]]
REPEATED: dict[str, Step] = {
    "take": lambda seats: seats.take("task-0", "one", "token-0", 1000),
    "kept": kept,
    "renew": lambda seats: seats.renew("token-0"),
    "give back": lambda seats: seats.settle("token-0", 0, None),
    "settle": lambda seats: seats.settle("token-0", 2, 9000),
}


@pytest.mark.parametrize("name", REPEATED)
async def test_a_step_repeated_after_a_lost_reply_has_the_same_effect(
    name: str, seats: RedisSeats, redis: Client
) -> None:
    await seats.take("task-0", "one", "token-0", 1000)
    if name == "kept":
        await seats.take("task-8", "one", "token-8", 1000)
    first = await REPEATED[name](seats)
    before = await contents(redis)
    again = await REPEATED[name](seats)

    assert again == first
    assert _timeless(await contents(redis)) == _timeless(before)


def _timeless(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out when leases end."""
    return {name: [each for each, _ in kept] if name.endswith(":taken") else kept for name, kept in found.items()}


async def test_a_seat_is_kept_for_its_task_and_taken_when_its_time_has_come(redis: Client) -> None:
    seats = seats_of(redis, requests_per_minute=60)
    other = seats_of(redis, requests_per_minute=60)
    while not (wait := await seats.take("mine", "one", "token", 0)):
        await seats.take("others", "two", str(wait), 0)
        await asyncio.sleep(0)
        await seats.settle("token", 1, None)
    later = await other.take("newcomer", "two", "token-2", 0)

    assert later is not None
    assert later > wait, "what is kept is no one else's"

    async def taken() -> bool:
        return await other.take("mine", "one", "token-3", 0) is None

    await wait_until(taken, wait.total_seconds() + 10, "the seat at whichever worker comes with the task")


async def test_a_lease_that_is_not_renewed_frees_its_seat_and_one_that_is_renewed_does_not(redis: Client) -> None:
    seats = seats_of(redis, lease=timedelta(milliseconds=700), at_once=2)
    assert await seats.take("dead", "one", "dead", 0) is None
    assert await seats.take("alive", "two", "alive", 0) is None
    assert await seats.take("late", "three", "late", 0) is not None
    for _ in range(4):
        await asyncio.sleep(0.2)  # longer than a lease in all: this is what is promised
        assert await seats.renew("alive")

    async def taken() -> bool:
        assert await seats.renew("alive")
        return await seats.take("another", "four", "another", 0) is None

    await wait_until(taken, 20, "the dead worker's seat")
    assert not await seats.renew("dead")
    assert await seats.take("one more", "five", "one more", 0) is not None, "the living one's is not free"


async def test_closed_seats_are_taken_by_nobody_for_so_long(redis: Client) -> None:
    seats = seats_of(redis, at_once=9)
    await seats.close(timedelta(seconds=20))
    await seats.close(timedelta(seconds=1))
    wait = await seats.take("task", "instance", "token", 0)

    assert wait is not None
    assert timedelta(seconds=18) < wait <= timedelta(seconds=20), "the longest word counts"


async def test_what_is_there_of_another_type_is_forgotten(seats: RedisSeats, redis: Client) -> None:
    await seats.take("a", "instance", "token", 1)
    for name in list(await contents(redis)):
        await redis.set(name, "text")
    assert await seats.take("b", "instance", "other", 1) is None
    await seats.settle("other", 1, 1)
