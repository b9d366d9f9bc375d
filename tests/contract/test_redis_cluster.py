"""What a cluster adds to the store's contract, beside the suite that runs on it as on every other server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.servers.redis_cluster import ValkeyCluster
from tests.waiting import wait_until
from worker.domain.threads import Entered, ThreadKey
from worker.errors import StoreDown
from worker.redis import Inspection, RedisThreads, open_redis
from worker.redis.keys import Keys


def many(count: int) -> list[ThreadKey]:
    return [ThreadKey("default", f"instance-{number}", "analyst") for number in range(count)]


@pytest.fixture
async def threads(cluster_url: str) -> AsyncIterator[RedisThreads]:
    async with open_redis(cluster_url, connections=4) as client:
        yield of(client)


def of(client: object) -> RedisThreads:
    return RedisThreads(client, prefix="test", lease=timedelta(minutes=1), keep=timedelta(days=1))  # type: ignore[arg-type]


async def test_threads_are_spread_and_each_is_on_one_server(threads: RedisThreads, cluster: ValkeyCluster) -> None:
    for key in many(30):
        await threads.enter(key, "task-1")

    where: list[set[str]] = []
    for node in cluster.nodes:
        with node.client() as client:
            where.append({str(name).rpartition("}")[0] for name in client.keys("*")})
    assert all(where), "every server has some"
    assert sum(len(tags) for tags in where) == 30, "none is on two"


async def test_keys_of_two_threads_cannot_meet_in_one_script(threads: RedisThreads) -> None:
    one, two = (Keys.of("test", key) for key in many(2))

    with pytest.raises(StoreDown):
        await threads._run("bind", [one.hold, two.thread], "token", "conv_1", 1, 0, 1000)


async def test_first_commands_at_once_and_more_than_connections_all_succeed(threads: RedisThreads) -> None:
    entries = await asyncio.gather(*(threads.enter(key, "task-1") for key in many(60)))

    assert {type(entry) for entry in entries} == {Entered}


async def test_scripts_that_the_servers_have_forgotten_are_sent_again(
    threads: RedisThreads, cluster: ValkeyCluster
) -> None:
    await threads.ping()
    for node in cluster.nodes:
        with node.client() as client:
            client.script_flush()

    assert {type(await threads.enter(key, "task-1")) for key in many(10)} == {Entered}


async def test_one_reachable_node_of_those_named_is_enough(cluster_url: str, unused_tcp_port: int) -> None:
    url = cluster_url.replace("://", f"://127.0.0.1:{unused_tcp_port},")
    async with open_redis(url, connections=2) as client:
        await of(client).ping()


async def test_doctor_may_look_at_a_cluster(cluster_url: str) -> None:
    async with Inspection.open(cluster_url, "test") as inspection:
        await inspection.try_write()
        info = await inspection.info()

    assert (info.product, info.policy, info.append_only, info.snapshots) == ("Valkey", "noeviction", False, "")


async def test_a_server_that_goes_and_comes_back_costs_store_down_and_nothing_else() -> None:
    kinds: set[type[Exception]] = set()
    over = asyncio.Event()

    async def work(threads: RedisThreads, key: ThreadKey) -> None:
        while not over.is_set():
            try:
                await threads.enter(key, "task-1")
            except Exception as exc:  # noqa: BLE001 - which ones there are is the question
                kinds.add(type(exc))
                await asyncio.sleep(0.01)  # a failure without a round trip must not starve the loop

    with ValkeyCluster() as cluster:
        async with open_redis(cluster.url(), connections=20) as client:
            threads = of(client)
            workers = [asyncio.create_task(work(threads, key)) for key in many(30)]
            await asyncio.to_thread(cluster.nodes[1].kill)
            await wait_until(lambda: kinds, what="somebody to notice")
            await asyncio.to_thread(cluster.nodes[1].start)
            await wait_until(lambda: all_enter(threads), 30, "the cluster to be whole again")
            over.set()
            await asyncio.gather(*workers)

    assert kinds == {StoreDown}


async def all_enter(threads: RedisThreads) -> bool:
    entries = await asyncio.gather(*(threads.enter(key, "task-1") for key in many(30)), return_exceptions=True)
    return all(isinstance(entry, Entered) for entry in entries)
