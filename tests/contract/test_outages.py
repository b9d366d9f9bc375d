"""Outages of providers in a real Redis: noted once, probed by one worker, over for all."""

from dataclasses import replace

import pytest

from tests.waiting import wait_until
from worker.domain.outages import Outage
from worker.domain.providers import ProviderSpec
from worker.redis import RedisOutages, outages
from worker.redis.connect import Client

SPEC = ProviderSpec("gateway", base_url="https://llm.example/v1", key="sk-very-secret")


def at(redis: Client, worker: str, spec: ProviderSpec = SPEC) -> RedisOutages:
    return RedisOutages(redis, prefix="aw", spec=spec, worker=worker)


def told(outage: Outage | None) -> tuple[object, ...]:
    assert outage is not None
    return outage.found, outage.reason, outage.by, outage.tries, outage.ours


async def test_who_notes_an_outage_probes_it_and_each_step_may_be_repeated(redis: Client) -> None:
    one, two = at(redis, "one"), at(redis, "two")
    assert await one.look(probes=False) is None
    assert await one.look(probes=True) is None, "to look notes nothing"
    for _ in range(2):
        assert told(await one.note("away", "no connection", 3)) == ("away", "no connection", "one", 3, True)
    for _ in range(2):
        assert told(await two.note("paused", "quota", 0)) == ("away", "no connection", "one", 3, False)
    assert told(await two.look(probes=False)) == ("away", "no connection", "one", 3, False)
    for _ in range(2):
        await two.over()
    assert [await each.look(probes=True) for each in (one, two)] == [None, None]


async def test_a_probe_in_vain_leaves_the_next_one_to_a_worker_that_waits(redis: Client) -> None:
    one, two = at(redis, "one"), at(redis, "two")
    await one.note("away", "no connection", 0)
    for tries in (1, 1, 2):
        await one.failed("paused", "quota", tries)
    assert told(await one.look(probes=True)) == ("paused", "quota", "one", 2, True), "nobody else waits"
    assert told(await two.look(probes=True)) == ("paused", "quota", "one", 2, False)
    for _ in range(2):
        await one.failed("away", "no connection", 3)
    await two.failed("away", "not its probe", 9)
    assert told(await one.look(probes=True))[3:] == (3, False)
    assert told(await two.look(probes=True))[3:] == (3, True)


async def test_workers_that_have_probed_in_vain_do_not_take_turns_while_another_waits(redis: Client) -> None:
    one, two, other = (at(redis, name) for name in ("one", "two", "other"))
    await one.note("away", "no connection", 0)
    for number, each in enumerate((one, two), 1):
        assert told(await each.look(probes=True))[4] is True
        assert told(await other.look(probes=True))[4] is False
        await each.failed("away", "no connection", number)
    assert [told(await each.look(probes=True))[4] for each in (one, two, other)] == [False, False, True]


async def test_a_dead_workers_probe_is_anothers_when_its_lease_has_ended_and_its_note_ends_by_itself(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PROBE_LEASE", 800)
    monkeypatch.setattr(outages, "LIFE", 1600)
    dead, other = at(redis, "dead"), at(redis, "other")
    await dead.note("away", "no connection", 0)
    assert told(await other.look(probes=True))[4] is False

    async def probes() -> object:
        return told(await other.look(probes=True))[4]

    async def over() -> bool:
        return await dead.look(probes=False) is None

    await wait_until(probes, 10, "the probe of the dead worker")
    await wait_until(over, 10, "the end of a note that nobody probes")


async def test_another_key_or_address_is_another_matter_and_no_secret_is_kept(redis: Client) -> None:
    await at(redis, "one").note("paused", "key", 0)
    others = [replace(SPEC, key="sk-new"), replace(SPEC, base_url="https://b.example/v1"), replace(SPEC, name="other")]
    assert [await at(redis, "two", spec).look(probes=True) for spec in others] == [None] * 3
    name = f"aw:{{outage:gateway:{SPEC.account('aw')}}}"
    assert "secret" not in str(await redis.hgetall(name))
    assert 0 < await redis.pttl(name) <= 30_000


@pytest.mark.parametrize("since", ["99999999999999999", "-99999999999999999", "1e300"])
async def test_a_time_that_cannot_be_is_forgotten(redis: Client, since: str) -> None:
    one = at(redis, "one")
    await one.note("away", "no connection", 0)
    [name] = [each async for each in redis.scan_iter(match="aw:*outage:*")]
    await redis.hset(name, "since", since)

    assert await one.look(probes=True) is None
    assert await redis.exists(name) == 0


async def test_what_is_there_of_another_type_is_forgotten(redis: Client) -> None:
    one = at(redis, "one")
    await one.note("away", "no connection", 0)
    [name] = [each async for each in redis.scan_iter(match="aw:*outage:*")]
    await redis.set(name, "text")

    assert await one.look(probes=True) is None
    assert await one.note("away", "no connection", 0) is not None
