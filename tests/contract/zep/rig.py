"""Adapters on the stand-in, and what they are asked to remember."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import KEY, ZepStandIn
from worker.domain.memory import Memo, MemorySubject
from worker.runtime.breaker import Breaker
from worker.zep import Connection, Dialect, ZepMemory

DIALECTS: tuple[Dialect, ...] = ("v2", "v4")
ANN = MemorySubject("a" * 32, None)
BEN = MemorySubject("b" * 32, "north")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def memo(ref: str = "0" * 12, subject: MemorySubject = ANN, instance: str = "i-1", **more: str) -> Memo:
    """An exchange about a pump, unless it says otherwise."""
    question = more.get("question", "Which pump does the site want?")
    answer = more.get("answer", f"The site wants the blue pump {ref}.")
    return Memo(subject, 1, instance, ref, "analyst", question, answer, AT)


@dataclass
class Rig:
    """`memory` is a worker's adapter; `another` makes one more, which knows nothing of what that one has seen."""

    zep: ZepStandIn
    dialect: Dialect
    known: KnownIds
    memory: ZepMemory = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        self.memory = await self.another()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def another(
        self,
        known: KnownIds | None = None,
        key: str = KEY,
        owner: str = "assistant-worker",
        breaker: Breaker | None = None,
    ) -> ZepMemory:
        connection = Connection(key, self.dialect, self.zep.url, owner)
        return await self._stack.enter_async_context(ZepMemory.open(connection, known or self.known, breaker))

    def asked(self, like: str) -> list[str]:
        """The requests so far that have this in them."""
        return [each.replace(f"/api/{self.dialect}", "") for each in self.zep.requests if like in each]
