"""A real Valkey cluster with a replica behind each primary: one that dies is replaced by the cluster itself."""

import contextlib
from functools import partial

from tests.servers.redis_cluster import Node, ValkeyCluster, await_true, is_whole, stop_replicating
from worker.demo.processes import HOST, free_port

CATCH_UP_MS = 30_000
REPLICATION = {"cluster-replica-validity-factor": "0", "repl-diskless-sync-delay": "0"}
"""0: a replica may take over however long it heard nothing of its primary, which is how writes get lost."""


class ReplicatedCluster(ValkeyCluster):
    """Three primaries, `nodes`, and the replica of each at the same place in `replicas`.

    After a second of silence the others agree that a primary is gone, and its replica asks them for their votes; two
    primaries have to live for that. All methods block.
    """

    def __init__(self) -> None:
        super().__init__()
        for node in self.nodes:
            node.options = node.options | REPLICATION
        self.replicas = [Node(node.options | {"cluster-port": str(free_port())}) for node in self.nodes]

    def keeper(self, key: str) -> int:
        """Say which primary is responsible for a key, by its number; StopIteration if that one is dead."""
        with self.replicas[0].client() as client:
            slot = client.execute_command("CLUSTER KEYSLOT", key)
        return next(number for number, node in enumerate(self.nodes) if node.running and slot in _slots(node))

    def busiest(self) -> int:
        """Say which primary has most keys, by its number."""
        return max(range(len(self.nodes)), key=lambda number: _size(self.nodes[number]))

    def catch_up(self, number: int) -> None:
        """Return when this primary's replica has every write so far."""
        with self.nodes[number].client() as primary:
            primary.execute_command("WAIT", 1, CATCH_UP_MS)

    def cut_replication(self, number: int) -> None:
        """Let this primary's replica miss every write from now on, while the primary goes on as if nothing were."""
        with self.nodes[number].client() as primary:
            stop_replicating(primary)
        await_true(partial(self._link_is, "down", number), "the end of the replication")

    def await_promotion(self, number: int) -> None:
        """Return when this primary's replica has taken over and every living server says that all is well."""
        await_true(partial(self._is_promoted, number), "the promotion")

    def _start(self, stack: contextlib.ExitStack) -> None:
        super()._start(stack)
        for node, replica in zip(self.nodes, self.replicas, strict=True):
            stack.enter_context(replica)
            with replica.client() as client, node.client() as primary:
                client.execute_command("CLUSTER MEET", HOST, node.port, node.options["cluster-port"])
                name = str(primary.execute_command("CLUSTER MYID"))
                await_true(partial(_follow, replica, name), "a replica to know its primary")
        for number in range(len(self.nodes)):
            await_true(partial(self._link_is, "up", number), "the replication")
        everybody = [*self.nodes, *self.replicas]
        for node in everybody:
            await_true(partial(_is_well, node, len(everybody)), "the whole cluster")

    def _link_is(self, state: str, number: int) -> bool:
        with self.replicas[number].client() as client:
            return bool(client.info("replication").get("master_link_status") == state)

    def _is_promoted(self, number: int) -> bool:
        everybody = [*self.nodes, *self.replicas]
        living = [node for node in everybody if node.running]
        with self.replicas[number].client() as client:
            role = client.info("replication")["role"]
        return role == "master" and all(_is_well(node, len(everybody)) for node in living)


def _slots(node: Node) -> set[int]:
    """The slots that a primary says are its own."""
    with node.client() as client:
        me = str(client.execute_command("CLUSTER MYID"))
        parts = client.execute_command("CLUSTER SLOTS")
    return {slot for first, last, *servers in parts if servers[0][2] == me for slot in range(first, last + 1)}


def _size(node: Node) -> int:
    with node.client() as client:
        return int(client.execute_command("DBSIZE"))


def _follow(replica: Node, primary: str) -> bool:
    """Whether the server has become this primary's replica; it has to have met it."""
    with replica.client() as client:
        return client.execute_command("CLUSTER REPLICATE", primary) in {True, "OK", b"OK"}


def _is_well(node: Node, nodes: int) -> bool:
    with node.client() as client:
        return is_whole(client, nodes)
