"""What of the record somebody may see who may see less of the engine: its rights hold here, too."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import compress
from typing import Final, Self

from worker.domain.conversations import Definitions, Limits
from worker.ports.rights import DefinitionRight, EngineRights
from worker.runtime.clock import monotonic
from worker.runtime.portions import portions
from worker.web.api.grants import Grant

FRESH_SECONDS: Final = 60.0
MOST_USERS: Final = 1000
AT_ONCE: Final = 8
"""Questions to the engine for one user."""

Keys = Callable[[], Awaitable[Iterable[str]]]
"""Returns the processes that the record knows, by their definitions' keys."""

NOTHING: Final = Definitions()


class EngineSight:
    """Narrows grants to what their users may see in the engine. Use as an async context manager: it owns the asking.

    The engine's word is good for `fresh` seconds.
    """

    def __init__(self, rights: EngineRights, keys: Keys, *, fresh: float = FRESH_SECONDS) -> None:
        self._rights = rights
        self._keys = keys
        self._fresh = fresh
        self._known = OrderedDict[str, tuple[asyncio.Task[Limits], float]]()

    async def __aenter__(self) -> Self:
        """Ask for nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the asking."""
        tasks = [task for task, _ in self._known.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def narrowed(self, grant: Grant) -> Grant:
        """Leave what the engine's user may see, too; nothing for who is none. Raises EngineDown, TranscriptDown."""
        if grant.engine_user is None:
            return replace(grant, limits=replace(grant.limits, definitions=NOTHING))
        # Shielded: a client that hangs up takes the answer from nobody who waits for the same one.
        told = await asyncio.shield(self._asked(grant.engine_user))
        tenants = told.tenants if grant.limits.tenants is None else grant.limits.tenants & (told.tenants or frozenset())
        return replace(grant, limits=replace(grant.limits, tenants=tenants, definitions=told.definitions))

    def _asked(self, user: str) -> asyncio.Task[Limits]:
        """Several that want to know the same at once share one answer; a failure is not kept."""
        task, at = self._known.get(user, (None, 0.0))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or monotonic() - at >= self._fresh:
            task = asyncio.create_task(self._read(user), name="rights of an engine's user")
            self._known[user] = task, monotonic()
            self._known.move_to_end(user)
            if len(self._known) > MOST_USERS:
                self._known.popitem(last=False)[1][0].cancel()
        return task

    async def _read(self, user: str) -> Limits:
        keys = sorted(await self._keys())
        tenants = await self._rights.tenants(user)
        everywhere = await self._rights.on_every_instance(user)
        running = frozenset(keys) if everywhere else await self._of(user, "READ_INSTANCE", keys)
        ended = await self._of(user, "READ_HISTORY", keys)
        instances = frozenset[str]() if everywhere else await self._rights.on_instances(user)
        # As in the engine: what has no tenant is everybody's.
        return Limits(tenants | {None}, definitions=Definitions(running, ended, instances))

    async def _of(self, user: str, right: DefinitionRight, keys: Sequence[str]) -> frozenset[str]:
        found = set[str]()
        for some in portions(keys, AT_ONCE):
            may = await asyncio.gather(*(self._rights.on_definition(user, right, key) for key in some))
            found |= set(compress(some, may))
        return frozenset(found)
