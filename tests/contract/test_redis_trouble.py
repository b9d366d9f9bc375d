"""What real servers say when they cannot serve: each has its own words, and all are StoreDown."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from secrets import token_bytes
from time import monotonic

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.contract.redis_wire import wire
from tests.servers.redis_cluster import Node, SentinelValkey, ValkeyCluster
from tests.waiting import wait_until
from worker.demo.servers import Valkey
from worker.domain.threads import Busy, Entered, ThreadKey
from worker.errors import StoreDown
from worker.redis import Inspection, RedisThreads, Unusable, open_redis
from worker.redis.failures import code_of, explain, spoils_a_script
from worker.redis.formats import CorruptRecord
from worker.redis.keys import Keys

KEY = ThreadKey("default", "instance-1", "analyst")
MINUTE = timedelta(minutes=1)
GENEROUS_SECONDS = 10


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A server that tests may reconfigure; each puts it right again."""
    with Node({"enable-debug-command": "yes"}) as node:
        yield node


@pytest.fixture
def admin(node: Node) -> Iterator[Redis]:
    with node.client() as client:
        yield client
        client.flushall()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisThreads]:
    async with open_redis(url, connections=5) as client:
        yield RedisThreads(client, prefix="test", lease=MINUTE, keep=timedelta(days=1))


async def refused(url: str) -> str:
    """What the worker says of a server that refuses: the same on the probe and on a turn."""
    async with opened(url) as threads:
        with pytest.raises(StoreDown) as at_probe:
            await threads.ping()
        with pytest.raises(StoreDown) as at_work:
            await threads.enter(replace(KEY, scope="another"), "task-2")
    assert str(at_probe.value) == str(at_work.value)
    assert "secret" not in str(at_work.value)
    assert not isinstance(at_work.value, CorruptRecord)
    return str(at_work.value)


async def inspected(url: str) -> str:
    async with Inspection.open(url, "test") as inspection:
        with pytest.raises(Unusable) as caught:
            await inspection.try_write()
    return f"{caught.value} {caught.value.advice}"


async def test_a_replica_takes_no_writes_and_that_may_pass(watched_valkey: SentinelValkey) -> None:
    url = watched_valkey.replica.url()
    said = await refused(url)

    assert "it is a replica, which takes no writes (READONLY). This passes if it is being replaced" in said
    assert "it is a replica" in await inspected(url)


async def test_a_full_server_is_named_and_loses_nothing_that_it_holds(node: Node, admin: Redis) -> None:
    async with opened(node.url()) as threads:
        entry = await threads.enter(KEY, "task-1")
        assert isinstance(entry, Entered)
        await threads.intend(entry.hold, 1, MINUTE)
        turn = Keys.of("test", KEY).turn("task-1")
        before = admin.hgetall(turn)
        admin.config_set("maxmemory", 1)
        try:
            said = await refused(node.url())
            assert admin.hgetall(turn) == before, "the intent of a call that may run is not taken for a bad record"
        finally:
            admin.config_set("maxmemory", 0)
        assert await threads.enter(KEY, "task-1") == Busy(), "its call may run"
        await threads.leave(entry.hold, asked=True, trouble=False)
        again = await threads.enter(KEY, "task-1")

    assert "its memory is full, and it takes no writes (OOM). Raise its maxmemory" in said
    assert isinstance(again, Entered)
    assert again.asked


async def test_a_server_that_wants_a_password_says_which_kind_is_missing(node: Node, admin: Redis) -> None:
    admin.config_set("requirepass", "right")
    try:
        without = await refused(node.url())
        wrong = await refused(node.url().replace("//", "//:secret@"))
        async with opened(node.url().replace("//", "//:right@")) as threads:
            await threads.ping()
    finally:
        with Redis(port=node.port, password="right") as client:
            client.config_set("requirepass", "")

    assert "it does not accept us (NOAUTH). Put user and password into REDIS_URL" in without
    assert "it does not accept us (WRONGPASS). Put user and password into REDIS_URL" in wrong


async def test_a_user_without_rights_is_told_apart(node: Node, admin: Redis) -> None:
    admin.acl_setuser("weak", enabled=True, passwords=["+secret"], keys=["other:*"], categories=["+@all"])
    said = await refused(node.url().replace("//", "//weak:secret@"))

    assert "its ACL denies us a command or a key (NOPERM). Grant EVAL and EVALSHA" in said


async def test_a_server_that_loads_its_data_will_pass(node: Node, admin: Redis) -> None:
    for number in range(400):
        admin.set(f"filler:{number}", token_bytes(2000))  # random: a file that shrinks is loaded between two looks
    admin.config_set("key-load-delay", 10_000)
    admin.config_set("loading-process-events-interval-bytes", 1024)
    reload = asyncio.create_task(asyncio.to_thread(admin.execute_command, "DEBUG RELOAD"))
    try:
        await wait_until(partial(is_loading, node), what="the load to begin")
        said = await refused(node.url())
    finally:
        with node.client() as other:
            other.config_set("key-load-delay", 0)
        await reload
    async with opened(node.url()) as threads:
        await threads.ping()

    assert "it is loading its data (LOADING). This passes by itself." in said


async def is_loading(node: Node) -> bool:
    def ask() -> bool:
        with node.client() as client:
            return bool(client.info("persistence")["loading"])

    return await asyncio.to_thread(ask)


async def test_a_node_of_a_cluster_asks_for_the_clusters_address(cluster: ValkeyCluster) -> None:
    slot_owners = [f"redis://127.0.0.1:{node.port}/0" for node in cluster.nodes]
    said = []
    for url in slot_owners:
        async with opened(url) as threads:
            for task in range(3):
                try:
                    await threads.enter(ThreadKey("default", f"instance-{task}", "analyst"), "task-1")
                except StoreDown as exc:
                    said.append(str(exc))

    assert len(said) == 6, "two of three nodes do not have a thread"
    assert all("it is one node of a cluster (MOVED). Begin REDIS_URL with redis+cluster://" in each for each in said)


async def test_a_single_server_is_no_cluster(valkey: Valkey) -> None:
    said = await refused(f"redis+cluster://127.0.0.1:{valkey.port}")

    assert "it is no cluster" in said
    assert "Begin REDIS_URL with redis://" in said


async def test_a_name_that_no_sentinel_knows_is_said_to_be_that(watched_valkey: SentinelValkey) -> None:
    said = await refused(watched_valkey.url().replace("/threads/", "/nobody/"))

    assert "no Sentinel was reached that knows a living master of this name" in said


async def test_a_database_that_is_not_there_is_a_wrong_address(valkey: Valkey) -> None:
    assert "it has no such database" in await refused(valkey.url(99_999))


@pytest.mark.parametrize(
    "form", ["redis://:secret@{}", "redis+sentinel://:secret@{}/main", "redis+cluster://:secret@{}"]
)
async def test_nobody_there_is_store_down_in_every_form(form: str, unused_tcp_port: int) -> None:
    await refused(form.format(f"127.0.0.1:{unused_tcp_port}"))


@pytest.mark.parametrize("form", ["redis://{}", "redis+sentinel://{}/main", "redis+cluster://{}"])
async def test_a_black_hole_stalls_a_turn_for_seconds_only(form: str, valkey: Valkey) -> None:
    async with wire(valkey.port) as hole:
        hole.silent = True
        async with opened(form.format(f"127.0.0.1:{hole.port}")) as threads:
            started = monotonic()
            with pytest.raises(StoreDown, match=r"no answer in time|no Sentinel was reached"):
                await threads.enter(KEY, "task-1")

    assert monotonic() - started < GENEROUS_SECONDS
    assert 1 <= hole.connections <= 10


async def test_latency_of_five_seconds_is_store_down_until_it_ends_and_replies_stay_with_their_questions(
    valkey: Valkey, redis_url: str
) -> None:
    async with wire(valkey.port) as slow, opened(redis_url.replace(str(valkey.port), str(slow.port))) as threads:
        await threads.ping()
        slow.delay_seconds = 5
        started = monotonic()
        down = await asyncio.gather(*(threads.enter(KEY, f"task-{n}") for n in range(8)), return_exceptions=True)
        assert monotonic() - started < GENEROUS_SECONDS
        slow.delay_seconds = 0
        await threads.ping()
        keys = [ThreadKey("default", f"quick-{number}", "analyst") for number in range(8)]
        entries = await asyncio.gather(*(threads.enter(key, "task") for key in keys))

    assert {type(each) for each in down} == {StoreDown}
    assert [isinstance(each, Entered) and each.hold.key for each in entries] == keys


OLD = "Error running script (call to f_0123): @user_script:24: @user_script: 24: -{} with the rest of a text"


@pytest.mark.parametrize("code", ["READONLY", "OOM", "NOPERM", "MISCONF", "NOREPLICAS"])
def test_trouble_that_old_servers_wrap_into_a_scripts_error_is_the_servers(code: str) -> None:
    error = ResponseError(OLD.format(code))

    assert code_of(error) == code
    assert explain(error).meaning != explain(ResponseError("anything")).meaning
    assert not spoils_a_script(error)


@pytest.mark.parametrize(
    "text",
    [
        OLD.format("WRONGTYPE Operation against a key holding the wrong kind of value"),
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "user_script:24: attempt to perform arithmetic on a nil value script: f_0123, on @user_script:24.",
    ],
)
def test_a_script_that_fails_at_what_it_finds_is_told_apart(text: str) -> None:
    assert spoils_a_script(ResponseError(text))
