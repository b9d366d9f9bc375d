"""The proxies do what their rules say, and know what the servers saw."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import aiohttp
import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.faults.history import History
from tests.faults.http_proxy import HttpProxy
from tests.faults.proxy import Proxy, Rule, Said
from tests.faults.redis_proxy import RedisProxy
from tests.faults.world import databases
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.servers import Valkey

NO_REPLY = (aiohttp.ClientError, TimeoutError)
CREATE = "POST /conversations$"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as model:
        yield model


@pytest.fixture
async def http(model: ModelServer) -> AsyncIterator[HttpProxy]:
    async with HttpProxy("provider", model.base_url, History()) as proxy:
        yield proxy


async def create(proxy: HttpProxy, seconds: float = 5) -> int:
    """Make a conversation, as a worker that has no patience and repeats nothing."""
    timeout = aiohttp.ClientTimeout(seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{proxy.url}/conversations", json={"metadata": {"a": "b"}}) as reply,
    ):
        await reply.read()
        return reply.status


async def impatient(asking: Awaitable[object], proxy: Proxy, call: str) -> None:
    """Ask, and give up a moment after the proxy knows what became of it: TimeoutError, or what the client raises."""
    client = asyncio.ensure_future(asking)

    def is_known() -> bool:
        return any(each.ended for each in proxy.history.of(proxy.server, call))

    await wait_until(is_known, what="what became of the request")
    await asyncio.wait({client}, timeout=0.3)
    if not client.done():
        client.cancel()
        await asyncio.wait({client})
        raise TimeoutError
    client.result()


async def test_what_is_not_spoiled_passes_and_is_noted(http: HttpProxy, model: ModelServer) -> None:
    assert await create(http) == 200

    [exchange] = http.history.of("provider", CREATE)
    assert (exchange.outcome, exchange.status, exchange.request) == ("ok", 200, {"metadata": {"a": "b"}})
    assert exchange.reply["id"] in model.conversations()
    assert exchange.ended is not None
    assert exchange.ended >= exchange.began


@pytest.mark.parametrize(
    ("effects", "reached", "outcome"),
    [
        ({"cut": "before"}, 0, "withheld"),
        ({"cut": "after"}, 1, "ok"),
        ({"hang": "before"}, 0, "withheld"),
        ({"hang": "after"}, 1, "ok"),
        ({"drip": 1}, 1, "ok"),
        ({"late": 60.0}, 1, "ok"),
    ],
    ids=str,
)
async def test_a_client_without_a_reply_does_not_know_what_the_server_saw(
    http: HttpProxy, model: ModelServer, effects: dict[str, float | str], reached: int, outcome: str
) -> None:
    http.spoil(CREATE, times=1, **effects)
    with pytest.raises(NO_REPLY):
        await impatient(create(http, 60), http, CREATE)

    assert len(model.requests("conversations.create")) == reached
    assert [each.outcome for each in http.history.of("provider")] == [outcome]
    assert await create(http) == 200, "the rule hits once"


async def test_a_request_comes_twice_and_a_reply_is_another(http: HttpProxy, model: ModelServer) -> None:
    http.spoil(CREATE, times=1, twice=True)
    http.spoil(CREATE, times=1, say=Said(503, "busy", "text/plain"))
    http.spoil(CREATE, times=1, say=Said(500), acted=True)

    assert [await create(http) for _ in range(3)] == [200, 503, 500]
    assert len(model.conversations()) == 3
    assert [each.outcome for each in http.history.of("provider")] == ["ok", "ok", "withheld", "ok"]


async def test_a_server_that_is_down_refuses_and_breaks_off_and_comes_back_at_its_address(http: HttpProxy) -> None:
    http.spoil(CREATE, hang="before")
    waiting = asyncio.create_task(create(http), name="a client that waits")
    await wait_until(lambda: http.history.of("provider", CREATE), what="the request")
    await http.down()
    with pytest.raises(NO_REPLY):
        await waiting
    with pytest.raises(aiohttp.ClientConnectorError):
        await create(http)
    http.heal()
    await http.up()

    assert await create(http) == 200


async def test_a_server_that_is_not_there_saw_nothing() -> None:
    async with ModelServer() as model:
        target = model.base_url
    async with HttpProxy("provider", target, History()) as proxy:
        with pytest.raises(NO_REPLY):
            await create(proxy)
        assert [each.outcome for each in proxy.history.exchanges] == ["withheld"]


def test_chance_is_the_same_for_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        rule = Rule("x", probability=0.3, seed=seed)
        return [rule.takes("x", "") for _ in range(200)]

    assert hits(1) == hits(1) != hits(2)
    assert 30 < sum(hits(1)) < 90


def test_rules_pick_by_call_text_and_number() -> None:
    rule = Rule("complete$", text="needle", skip=1, times=1)

    assert not rule.takes("POST /x/complete", "hay")
    assert not rule.takes("POST /x/fail", "needle")
    assert [rule.takes("POST /x/complete", "a needle") for _ in range(3)] == [False, True, False]


@pytest.fixture
async def cache(valkey: Valkey) -> AsyncIterator[RedisProxy]:
    async with RedisProxy("redis", valkey.port, History(), next(databases)) as proxy:
        yield proxy


@pytest.fixture
async def redis(cache: RedisProxy) -> AsyncIterator[Redis]:
    """A client that repeats nothing."""
    pool = ConnectionPool.from_url(cache.url, decode_responses=True, socket_timeout=60, retry=Retry(NoBackoff(), 0))
    async with Redis.from_pool(pool) as client:
        yield client


@pytest.mark.parametrize(
    ("effects", "counted"),
    [
        ({"cut": "before"}, 0),
        ({"cut": "after"}, 1),
        ({"hang": "before"}, 0),
        ({"hang": "after"}, 1),
        ({"say": "-LOADING Redis is loading the dataset in memory"}, 0),
        ({"late": 60.0}, 1),
        ({"drip": 1}, 1),
    ],
    ids=str,
)
async def test_a_redis_client_without_a_reply_does_not_know_either(
    cache: RedisProxy, redis: Redis, effects: dict[str, float | str], counted: int
) -> None:
    cache.spoil("^INCRBY$", times=1, **effects)
    with pytest.raises((RedisError, TimeoutError)):
        await impatient(redis.incr("n"), cache, "INCRBY")

    assert int(await redis.get("n") or 0) == counted
    [exchange] = cache.history.of("redis", "INCRBY")
    assert exchange.outcome == ("ok" if counted else "withheld")


async def test_scripts_go_by_their_names_and_errors_are_failures(cache: RedisProxy, redis: Redis) -> None:
    cache.spoil("^INCRBY$", times=1, twice=True)
    assert await redis.incr("n") == 2
    with pytest.raises(RedisError):
        await redis.lpush("n", "x")
    assert [(each.call, each.outcome) for each in cache.history.of("redis", "INCRBY|LPUSH")] == [
        ("INCRBY", "ok"),
        ("INCRBY", "ok"),
        ("LPUSH", "failed"),
    ]


async def test_a_redis_that_is_down_comes_back_at_its_address(cache: RedisProxy, redis: Redis) -> None:
    await redis.set("n", 1)
    await cache.down()
    with pytest.raises(RedisError):
        await redis.get("n")
    await cache.up()

    assert await redis.get("n") == "1"
