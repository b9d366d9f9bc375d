"""How many calls of a provider all workers together make: who asks has a seat there before entering the thread."""

import math
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Self, TypeVar, cast
from uuid import uuid4

from worker.domain.threads import BYTES_PER_TOKEN, Answer, Assistant, Question, Thread, ThreadKey, size
from worker.errors import LimitReached, ModelDown, ProviderAway, StoreDown, WorkerError
from worker.ports.limits import Seats
from worker.ports.providers import ThreadProvider, Watcher
from worker.runtime import background
from worker.telemetry import metrics
from worker.turn.request import Ground

ANSWER_TOKENS: Final = 500
"""What an answer is taken for while nothing is known of its assistant."""
NEW: Final = 0.2
"""The part that each answer has in what its assistant's next call is thought to take."""
LONGEST_CLOSED: Final = timedelta(seconds=60)
"""The longest that all workers wait at a provider's word to one: who tries then hears whether it still holds."""

T = TypeVar("T")


class Elsewhere(Exception):
    """Another provider is to be asked than the one that the seat is at."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


class Limits:
    """Seats for this worker's requests, and what calls of its assistants have taken of late."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._takes: dict[tuple[str, str, str], float] = {}

    def seat(self, request_id: str, instance: str) -> "Seat":
        """Have none yet. Use it as a context manager: what is taken in the body is given back, beside the work."""
        return Seat(self, request_id, instance)

    def at(self, provider: str) -> Seats | None:
        """Return the seats of a provider; None if it has no limits."""
        return self._ground.seats.get(provider)

    def thought(self, assistant: Assistant, question: int) -> int:
        """Guess the tokens of a call: as the last ones took, at first as long as instructions and question (bytes)."""
        known = self._takes.get(_named(assistant))
        if known is None:
            known = (size(assistant.told) + question) / BYTES_PER_TOKEN
            known += assistant.max_output_tokens or ANSWER_TOKENS
        return math.ceil(known)

    def learn(self, assistant: Assistant, tokens: int) -> None:
        """Note what a call took."""
        known = self._takes.get(_named(assistant), tokens)
        self._takes[_named(assistant)] = (1 - NEW) * known + NEW * tokens

    def later(self, told: Awaitable[None], provider: str) -> None:
        """Tell the seats something beside the work. Without Redis a seat ends with its lease."""

        async def tell() -> None:
            with suppress(StoreDown):
                await told

        self._ground.later(tell(), f"limits of {provider}")

    def renewing(self, seats: Seats, token: str, name: str) -> background.Later:
        """Keep a seat, for as long as it is there."""

        async def renewed() -> bool:
            try:
                return await seats.renew(token)
            except StoreDown as exc:
                self._ground.store_down(exc)
                # The lease may still run: a seat is given up only where Redis says that it is gone.
                return True

        return background.renewing(self._ground.rules.lease, renewed, name)


class Seat:
    """One request's seat for one call at a time; none where the provider has no limits."""

    def __init__(self, limits: Limits, request_id: str, instance: str) -> None:
        self._limits = limits
        self._request = request_id
        self._instance = instance
        self._provider: str | None = None
        self._seats: Seats | None = None
        self._token = ""
        self._renewing: background.Later | None = None
        self._calls = 0
        self._tokens: int | None = None

    def __enter__(self) -> Self:
        """Begin without one."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.leave()

    async def take(self, provider: str, assistant: Assistant, question: int) -> None:
        """Take one at this provider, in the place of an earlier one. Raises LimitReached, which says when to come."""
        if (leaving := self._left()) is not None:  # it would be in its own way, were that done beside the work
            await leaving
        self._provider = provider
        self._calls, self._tokens = 0, None
        seats = self._limits.at(provider)
        if seats is None:
            return
        self._token = uuid4().hex
        thought = self._limits.thought(assistant, question)
        wait = await seats.take(self._request, self._instance, self._token, thought)
        if wait is not None:
            metrics.LIMIT_WAITS.labels(provider).observe(wait.total_seconds())
            said = f"the provider {provider} is at its limits; to be tried again in {wait.total_seconds():.1f} s"
            raise LimitReached(said, retry_after=wait)
        self._seats = seats
        self._renewing = self._limits.renewing(seats, self._token, f"seat for {self._request}")

    def check(self, provider: str) -> None:
        """Return if this provider may be asked. Raises Elsewhere: a seat has to be taken there first."""
        # Which provider is asked shows only under the hold, where nobody may wait: the turn begins anew.
        if provider != self._provider and self._limits.at(provider) is not None:
            raise Elsewhere(provider)

    def leave(self) -> None:
        """Give it back, so that what it was not used for is others'."""
        if (leaving := self._left()) is not None:
            self._limits.later(leaving, self._provider or "")

    def _left(self) -> Coroutine[Any, Any, None] | None:
        """Be without a seat; returns what tells so."""
        if self._seats is None or self._renewing is None:
            return None
        self._renewing.cancel()
        leaving = self._seats.settle(self._token, self._calls, self._tokens)
        self._seats = None
        return leaving

    def counting(self, provider: ThreadProvider, assistant: Assistant) -> ThreadProvider:
        """Have the provider count its calls on this seat."""
        if self._seats is None or provider.name != self._provider:
            return provider
        return cast("ThreadProvider", _Counting(provider, self, assistant))  # the rest by __getattr__

    async def call(self, calling: Awaitable[T]) -> T:
        """Count a call. What the provider says of too many is for all workers."""
        self._calls += 1
        try:
            return await calling
        # The provider has heard nothing of it: there was no connection, or the history could not be read first.
        except (ProviderAway, StoreDown):
            self._calls -= 1
            raise
        except WorkerError as exc:
            # What is refused counts among the requests, and took no tokens.
            if exc.excludes_call:
                self._tokens = self._tokens or 0
            # Not its subclasses: those wait for something else than the account's limits.
            if type(exc) is ModelDown and exc.retry_after is not None and self._seats is not None:
                self._limits.later(self._seats.close(min(exc.retry_after, LONGEST_CLOSED)), self._provider or "")
            raise

    def answered(self, answer: Answer | None, assistant: Assistant) -> None:
        """Count what an answer took, if that is known."""
        if answer is None or (tokens := answer.took) is None:
            return
        self._tokens = (self._tokens or 0) + tokens
        self._limits.learn(assistant, tokens)


class _Counting:
    """A `ports.providers.ThreadProvider` by another, whose calls are counted on a seat."""

    def __init__(self, provider: ThreadProvider, seat: Seat, assistant: Assistant) -> None:
        self._provider = provider
        self._seat = seat
        self._assistant = assistant

    def __getattr__(self, name: str) -> Any:
        """Hand on what asks no model."""
        return getattr(self._provider, name)

    async def ask(
        self,
        key: ThreadKey,
        thread: Thread,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,
    ) -> Answer:
        """See `ports.providers.Provider.ask`."""
        answer = await self._seat.call(self._provider.ask(key, thread, question, assistant, watcher))
        self._seat.answered(answer, assistant)
        return answer

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:
        """See `ports.providers.Provider.start`."""
        return await self._seat.call(self._provider.start(key, thread, question, assistant))

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """See `ports.providers.Provider.follow`."""
        answer = await self._provider.follow(response_id, within)
        self._seat.answered(answer, self._assistant)
        return answer


def _named(assistant: Assistant) -> tuple[str, str, str]:
    return assistant.name, assistant.version, assistant.model
