"""The provider's port for one task: no call of what is stopped starts, and one that runs can be broken off."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from worker.domain.stops import Work
from worker.domain.threads import Answer, Assistant, Question, Said, Thread, ThreadKey
from worker.errors import BrokenOff, ModelDown, StoppedByOperator, WorkerError
from worker.ports.providers import Payer, ThreadProvider, Watcher
from worker.turn.stops import Stopped

CANCEL_SECONDS = 5.0
"""What the end of a run in the background that is broken off may take."""


class Stoppable:
    """A `ports.providers.ThreadProvider` by another. Get it by `stoppable`."""

    def __init__(self, provider: ThreadProvider, stopped: Stopped, work: Work) -> None:
        self._provider = provider
        self._stopped = stopped
        self._work = work

    def __getattr__(self, name: str) -> Any:
        """Hand on what starts no call."""
        return getattr(self._provider, name)

    async def create_thread(
        self, key: ThreadKey, generation: int, replaces: str | None = None, said: Sequence[Said] = ()
    ) -> Thread:
        """See `ports.providers.ThreadProvider.create_thread`. Raises StoppedByOperator: it may tell what was said."""
        self._stopped.check(self._work)
        return await self._provider.create_thread(key, generation, replaces, said)

    async def ask(
        self,
        key: ThreadKey,
        thread: Thread,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,
    ) -> Answer:
        """See `ports.providers.Provider.ask`. Raises StoppedByOperator, BrokenOff."""
        self._stopped.check(self._work)
        call = self._provider.ask(key, thread, question, assistant, watcher)
        return await self._stopped.breaking_off(self._work, call)

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:
        """See `ports.providers.Provider.start`. Raises StoppedByOperator, BrokenOff."""
        self._stopped.check(self._work)
        return await self._stopped.breaking_off(self._work, self._provider.start(key, thread, question, assistant))

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """See `ports.providers.Provider.follow`. What is broken off is cancelled: StoppedByOperator if it is over."""
        try:
            return await self._stopped.breaking_off(self._work, self._provider.follow(response_id, within))
        except BrokenOff as broken:
            answer = await self._cancelled(response_id, broken)
            if answer is None:
                raise
            return answer

    async def tidy(self, key: ThreadKey, thread: Thread, assistant: Assistant, payer: Payer) -> None:
        """See `ports.providers.ThreadProvider.tidy`. It may be a call, which the next answer makes up for."""
        with suppress(StoppedByOperator, BrokenOff):
            self._stopped.check(self._work)
            await self._stopped.breaking_off(self._work, self._provider.tidy(key, thread, assistant, payer))

    async def _cancelled(self, response_id: str, broken: BrokenOff) -> Answer | None:
        """Cancel a run; its answer if it had one by then, None where nobody can tell whether it goes on."""
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._provider.cancel(response_id)
                return await self._provider.follow(response_id, timedelta(0))
        except ModelDown as exc:
            raise StoppedByOperator(f"{broken}; its run is over") from exc
        except (WorkerError, TimeoutError):
            return None


def stoppable(provider: ThreadProvider, stopped: Stopped, work: Work) -> ThreadProvider:
    """Have the provider as this work may use it."""
    return cast("ThreadProvider", Stoppable(provider, stopped, work))  # the rest by __getattr__
