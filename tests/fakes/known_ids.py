"""Ids that a memory gave, in memory."""


class KnownIds:
    """Implements `ports.memory.KnownIds`."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.known.get(name)

    async def put(self, name: str, theirs: str) -> None:
        self.known[name] = theirs
