"""A client for Redis as REDIS_URL says it is run: one server, a master under Sentinel, or a cluster.

    redis://[user:password@]host[:6379][/database]             one server; rediss:// with TLS
    unix://[user:password@]/path[?db=database]
    redis+sentinel://[user:password@]host[:26379],…/service[/database]
    redis+cluster://[user:password@]host[:6379],…              rediss+… with TLS, also to the Sentinels

User and password are those of the servers with the data; Sentinels that want some get `?sentinel_username=` and
`sentinel_password=`. TLS is always verified.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as NoConnection

Client = Redis | RedisCluster

REDIS_PORT = 6379
SENTINEL_PORT = 26379
TIMEOUT_SECONDS = 1
RETRIES = 2

_MANY = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^@/?#]*@)?(?P<nodes>[^@/?#]+)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)
_NODE = re.compile(r"\[(?P<six>[^\]]+)\](?::(?P<six_port>\d+))?|(?P<host>[^:\[\]]+)(?::(?P<port>\d+))?")


def open_redis(url: str, *, connections: int, ca_file: Path | None = None) -> AbstractAsyncContextManager[Client]:
    """Prepare a client that connects when it is first used. ValueError: no such form of address.

    redis-py's own defaults repeat ten times and kept one GET at a black hole for 58 s: here it is 1 s and two repeats
    for each step. Several steps still add up, so callers that must not wait set a deadline around each command.
    `connections` are at most open to one server; more commands at once than that wait for each other.
    """
    if "+" not in url.partition("://")[0]:
        return _one(url, connections, ca_file)
    parts = _MANY.fullmatch(url)
    if parts is None:
        raise ValueError("no address of a cluster or a Sentinel")
    return (_sentinel if parts["kind"] == "sentinel" else _cluster)(parts, connections, ca_file)


@asynccontextmanager
async def _one(url: str, connections: int, ca_file: Path | None) -> AsyncIterator[Redis]:
    tls = _trust(ca_file) if url.startswith("rediss://") else {}
    pool = ConnectionPool.from_url(url, max_connections=connections, retry=_retry(), **_options(), **tls)
    async with _PatientRedis.of(pool, connections) as client:
        yield client


@asynccontextmanager
async def _sentinel(parts: re.Match[str], connections: int, ca_file: Path | None) -> AsyncIterator[Redis]:
    _, service, database = f"{parts['path'] or ''}//".split("/")[:3]
    options, tls = _options_of(parts, f"/{database}", ca_file)
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    # There are several Sentinels, so none of them is asked twice.
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    asked = timeouts | {"retry": Retry(NoBackoff(), 0)} | own | tls
    async with AsyncExitStack() as stack:
        nodes = _addresses(parts["nodes"], SENTINEL_PORT)
        sentinels = Sentinel(nodes, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]  # redis-py has no types here
        stack.push_async_callback(sentinels.aclose)
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]  # as above
            unquote(service),
            sentinels,
            max_connections=connections,
            retry=_retry(),
            **options,
            **tls,
        )
        yield await stack.enter_async_context(_PatientRedis.of(pool, connections))


@asynccontextmanager
async def _cluster(parts: re.Match[str], connections: int, ca_file: Path | None) -> AsyncIterator[RedisCluster]:
    options, tls = _options_of(parts, "", ca_file)
    nodes = [ClusterNode(host, port) for host, port in _addresses(parts["nodes"], REDIS_PORT)]
    client = _PatientCluster(connections, startup_nodes=nodes, retry=_retry(), **options, **tls)
    try:
        yield client
    finally:
        await client.aclose()


class _PatientRedis(Redis):
    """A client whose commands wait for a connection, first come first served.

    redis-py's BlockingConnectionPool lets those that just returned a connection take it again: under load some waited
    for ever.
    """

    _places: asyncio.Semaphore

    @classmethod
    def of(cls, pool: ConnectionPool, connections: int) -> Self:
        """Make a client that owns this pool."""
        client = cls(connection_pool=pool)
        client.auto_close_connection_pool = True
        client._places = asyncio.Semaphore(connections)
        return client

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; see redis-py."""
        async with self._places:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py


class _PatientCluster(RedisCluster):
    """A cluster's client whose commands wait for a connection too, and that keeps to its own errors."""

    def __init__(self, connections: int, **options: Any) -> None:
        # 0: at every fifth MOVED it would close all connections, under commands that run as well.
        super().__init__(max_connections=connections, reinitialize_steps=0, **options)
        self._places = asyncio.Semaphore(connections)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; see redis-py."""
        async with self._places:
            await self.initialize()  # before it knows the cluster, it sends commands with keys to any node
            try:
                return await super().execute_command(*args, **options)
            except AttributeError as exc:
                # CLUSTERDOWN for one command closes the connections of all, which find their streams gone then.
                raise NoConnection("closed by another command") from exc


def _options_of(parts: re.Match[str], path: str, ca_file: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the servers with the data, and those of TLS, which Sentinels share."""
    # redis-py knows one host an address; everything else is read by its own rules.
    given: dict[str, Any] = {**parse_url(f"redis://{parts['user'] or ''}host{path}{parts['query'] or ''}")}
    del given["host"]
    tls = {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
    if parts["scheme"] == "rediss":
        tls = {"ssl": True, **_trust(ca_file), **tls}
    return _options() | given, tls


def _options() -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "decode_responses": True,
        "encoding_errors": "backslashreplace",
    }


def _trust(ca_file: Path | None) -> dict[str, Any]:
    return {} if ca_file is None else {"ssl_ca_certs": str(ca_file)}


def _retry() -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), RETRIES)


def _addresses(nodes: str, port: int) -> list[tuple[str, int]]:
    found = [_NODE.fullmatch(node) for node in nodes.split(",")]
    if None in found:
        raise ValueError("no address of a cluster or a Sentinel")
    return [
        (node["six"] or node["host"], int(node["six_port"] or node["port"] or port))
        for node in found
        if node is not None
    ]
