"""A worker's heartbeat beside which there is no other."""

from collections.abc import Collection


class FakeHeartbeat:
    """`ports.visits.Heartbeat` of a worker that is alone."""

    name = "heartbeat"

    async def beat(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names)
