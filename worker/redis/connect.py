"""A client for Redis as REDIS_URL says it is run: one server, a master under Sentinel, or a cluster.

    redis://[user:password@]host[:6379][/database]             one server; rediss:// with TLS
    unix://[user:password@]/path[?db=database]
    redis+sentinel://[user:password@]host[:26379],…/service[/database]
    redis+cluster://[user:password@]host[:6379],…              rediss+… with TLS, also to the Sentinels

User and password are those of the servers with the data; Sentinels that want some get `?sentinel_username=` and
`sentinel_password=`. TLS is always verified.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from hiredis import pack_command
from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from worker.domain.addresses import RedisAddress

Client = Redis | RedisCluster

TIMEOUT_SECONDS = 1
RETRIES = 2
"""Behind the first try. The driver repeats what lost its reply, too: for that, scripts go by their caller's token."""
STALL = timedelta(seconds=3)
"""The longest that a command may take. The driver's own steps (find the primary, connect, log in, ask) add up."""
LONGEST_QUEUE = timedelta(seconds=20)
"""The longest that a command may take where many wait, and replies come all the time: it is we who are slow then."""
BATCHES_AT_ONCE = 4
"""Connections that are used at once: a batch that hangs, for STALL at most, holds up none of the others."""
LARGEST_BATCH = 20
"""Commands that share a connection. If it breaks, nobody knows of any of them whether it was carried out."""

_Asked = tuple[tuple[Any, ...], dict[str, Any], asyncio.Future[Any]]
"""A command, the driver's options for it, and who waits for its reply."""


def open_redis(url: str, *, connections: int, ca_file: Path | None = None) -> AbstractAsyncContextManager[Client]:
    """Prepare a client that connects when it is first used. ValueError: no such form of address.

    redis-py's own defaults repeat ten times and kept one GET at a black hole for 58 s: here it is 1 s and two repeats
    for each step. Several steps still add up, so callers that must not wait set a deadline around each command.
    `connections` are at most open to one server; more commands at once than that wait for each other.
    """
    address = RedisAddress.read(url)
    match address.form:
        case "server" | "socket":
            return _one(address, connections, ca_file)
        case "sentinel":
            return _sentinel(address, connections, ca_file)
        case "cluster":
            return _cluster(address, connections, ca_file)


@asynccontextmanager
async def _one(address: RedisAddress, connections: int, ca_file: Path | None) -> AsyncIterator[Redis]:
    kind: type[Connection | UnixDomainSocketConnection] = _TLS if address.tls else _TCP
    options = {"db": address.database, **_options(address), **_trust(address, ca_file)}
    if address.form == "socket":
        kind, options["path"] = _Socket, address.path
    else:
        [(options["host"], options["port"])] = address.nodes
    pool = ConnectionPool(kind, max_connections=connections, retry=_retry(), **options)
    async with _PatientRedis.of(pool, connections) as client:
        yield client


@asynccontextmanager
async def _sentinel(address: RedisAddress, connections: int, ca_file: Path | None) -> AsyncIterator[Redis]:
    own = {name.removeprefix("sentinel_"): value for name, value in address.options.items() if "sentinel" in name}
    tls = {"ssl": True, **_trust(address, ca_file)} if address.tls else {}
    # There are several Sentinels, so none of them is asked twice.
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    asked = timeouts | {"retry": Retry(NoBackoff(), 0)} | own | tls
    async with AsyncExitStack() as stack:
        sentinels = Sentinel([*address.nodes], sentinel_kwargs=asked)  # type: ignore[no-untyped-call]  # redis-py has no types here
        stack.push_async_callback(sentinels.aclose)
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]  # as above
            address.service,
            sentinels,
            max_connections=connections,
            connection_class=_ManagedTLS if address.tls else _Managed,
            retry=_retry(),
            db=address.database,
            **_options(address),
            **tls,
        )
        yield await stack.enter_async_context(_PatientRedis.of(pool, connections))


@asynccontextmanager
async def _cluster(address: RedisAddress, connections: int, ca_file: Path | None) -> AsyncIterator[RedisCluster]:
    tls = {"ssl": True, **_trust(address, ca_file)} if address.tls else {}
    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    client = _PatientCluster(connections, startup_nodes=nodes, retry=_retry(), **_options(address), **tls)
    try:
        yield client
    finally:
        with suppress(RedisError):  # a server that does not hang up within a second is no trouble of the worker's
            await client.aclose()


class _Quick:
    """A connection that writes commands down by hiredis, as redis-py does only where it waits for no loop."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """See redis-py, which takes apart names of two words, and half a surrogate pair as it was told to."""
        with suppress(UnicodeEncodeError):
            if " " not in args[0]:
                # 5 µs for what redis-py's own packing takes 85 µs for.
                return [pack_command(args)]
        return super().pack_command(*args)  # type: ignore[misc, no-any-return]  # of the connection that it is mixed into

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - redis-py's
        **options: Any,
    ) -> Any:
        """See redis-py, which sets a timer for every reply, also where it came together with the one before.

        Where only its beginning did, the time of its batch is the bound.
        """
        parser: Any = self._parser  # type: ignore[attr-defined]  # as above
        if timeout is None and parser._reader is not None and parser._reader.has_data():  # noqa: SLF001 - see redis-py's can_read
            timeout = math.inf
        return await super().read_response(disable_decoding, timeout, **options)  # type: ignore[misc]  # as above


class _TCP(_Quick, Connection):
    pass


class _TLS(_Quick, SSLConnection):
    pass


class _Socket(_Quick, UnixDomainSocketConnection):
    pass


class _Managed(_Quick, SentinelManagedConnection):
    pass


class _ManagedTLS(_Quick, SentinelManagedSSLConnection):
    pass


class _PatientRedis(Redis):
    """A client that sends together what is asked for at the same time, and whose commands wait for their turn.

    With a connection for each command, half of a worker's CPU was the driver's: a task, two timers and two system calls
    for each. redis-py's BlockingConnectionPool moreover lets those that just returned a connection take it again: under
    load some commands waited for ever. Each command has its reply, or a TimeoutError, within STALL since Redis was last
    heard of. A thousand answers at once are seconds of work for us; where the wait for one's own turn counted, that was
    taken for an outage of Redis, which stopped all work and made the next such crowd.
    """

    _places: int
    _waiting: deque[_Asked]
    _batches: set[asyncio.Task[None]]
    _asked: dict[asyncio.Future[Any], float]
    """When each reply was asked for that is not there yet, the oldest one first; one timer for all of them."""
    _heard: float
    """When a reply came last, by the loop's clock."""
    _timer: asyncio.TimerHandle | None

    @classmethod
    def of(cls, pool: ConnectionPool, connections: int) -> Self:
        """Make a client that owns this pool."""
        client = cls(connection_pool=pool)
        client.auto_close_connection_pool = True
        client._places = min(connections, BATCHES_AT_ONCE)
        client._waiting, client._batches = deque(), set()
        client._asked, client._timer, client._heard = {}, None, -math.inf
        return client

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; see redis-py."""
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        if not self._waiting:
            # When this turn of the loop is over: what other tasks ask for in it goes along.
            loop.call_soon(self._send)
        self._waiting.append((args, options, reply))
        self._asked[reply] = now = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(now + STALL.total_seconds(), self._look)
        try:
            return await reply
        finally:
            del self._asked[reply]

    def _look(self) -> None:
        """End the waiting of those whose time is over, and look again when the next one's is."""
        loop = asyncio.get_running_loop()
        now, self._timer = loop.time(), None
        for reply, asked in self._asked.items():
            due = min(max(asked, self._heard) + STALL.total_seconds(), asked + LONGEST_QUEUE.total_seconds())
            if due > now:
                self._timer = loop.call_at(due, self._look)
                return
            if not reply.done():
                reply.set_exception(TimeoutError())

    def _send(self) -> None:
        """Send what waits, in batches; what finds no place waits for the end of one."""
        while self._waiting and len(self._batches) < self._places:
            commands = [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGEST_BATCH))]
            # A task of its own: whoever asked may be cancelled, and the others' replies come all the same.
            batch = asyncio.create_task(self._run(commands), name="redis")
            self._batches.add(batch)
            batch.add_done_callback(self._done)

    def _done(self, batch: asyncio.Task[None]) -> None:
        self._batches.discard(batch)
        self._send()

    async def _run(self, commands: list[_Asked]) -> None:
        """Have one reply for each command, or the same error for all; without those that nobody waits for any more."""
        asked = [each for each in commands if not each[2].done()]
        # No transaction: these are commands of several callers, and each is whole by itself.
        pipeline = self.pipeline(transaction=False)
        for args, options, _ in asked:
            pipeline.execute_command(*args, **options)
        try:
            # One that goes on without end would have its connection later, perhaps to a server that is primary no more.
            async with asyncio.timeout(STALL.total_seconds()):
                replies = await pipeline.execute(raise_on_error=False)
            self._heard = asyncio.get_running_loop().time()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait
            replies = [exc] * len(asked)
        for (_, _, reply), said in zip(asked, replies, strict=True):
            # Whoever waited for it was cancelled meanwhile.
            if reply.done():
                continue
            if isinstance(said, Exception):
                reply.set_exception(said)
            else:
                reply.set_result(said)


def bounds_itself(client: Client) -> bool:
    """Whether each command of this client ends within STALL, and nothing swallows a cancellation."""
    return isinstance(client, _PatientRedis)


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


def _options(address: RedisAddress) -> dict[str, Any]:
    login = {
        "username": address.username,
        "password": address.password,
        "client_name": address.options.get("client_name"),
    }
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "decode_responses": True,
        # A text may hold half a surrogate pair, which UTF-8 has no form for.
        "encoding_errors": "backslashreplace",
        **{name: value for name, value in login.items() if value is not None},
    }


def _trust(address: RedisAddress, ca_file: Path | None) -> dict[str, Any]:
    """Return what TLS needs: an authority of one's own, and a certificate for those who want to see one."""
    if not address.tls:
        return {}
    own = {name: value for name, value in address.options.items() if name.startswith("ssl_")}
    return own if ca_file is None else own | {"ssl_ca_certs": str(ca_file)}


def _retry() -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), RETRIES)
