"""Who answers for an assistant: its own model, or of its fallback the first whose provider can be asked."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from worker.domain.threads import Assistant, Entered
from worker.errors import AssistantPaused, FilesGone, ModelDown, StoppedByOperator
from worker.ports.providers import ThreadProvider
from worker.telemetry.logs import Event
from worker.turn import verdict
from worker.turn.request import Ground

SOON = timedelta(seconds=4)
"""When a task is there again, at the latest, that nobody fetches before there is somebody to ask."""

log = structlog.get_logger()


@dataclass(slots=True)
class Fallback:
    """Who is asked for one task. `closed` says of providers that it has met why they cannot be asked.

    `lost_files`: it has met one that had the assistant's files no more, and has them stored anew.
    """

    ground: Ground
    providers: Mapping[str, ThreadProvider]
    closed: dict[str, str] = field(default_factory=dict)
    lost_files: bool = False

    def first(self, assistant: Assistant) -> str:
        """Name the provider that answers, as far as is known before the thread is. One at its limits is not away."""
        up = (provider for provider, _ in assistant.chain if not self._is_closed(provider))
        return next(up, assistant.provider)

    async def after(self, assistant: Assistant, provider: str, away: ModelDown) -> str:
        """Name who is asked next, where this provider cannot be; raises what it met where nobody is.

        One that has the assistant's files no more is asked again once, with files that are stored anew.
        """
        if isinstance(away, FilesGone):
            if (stores := self.ground.file_stores.get(provider)) is not None:
                await stores.gone(assistant.files, away.store)
            if self.lost_files:
                raise away
            self.lost_files = True
            return provider
        self.closed[provider] = str(away)
        if self.closed.keys() >= dict(assistant.chain).keys():
            raise away
        self.ground.provider_down(away, provider)
        return self.first(assistant)

    def choose(self, assistant: Assistant, entry: Entered) -> Assistant:
        """Choose the assistant's own model, or the first of its fallback whose provider can be asked.

        A thread stays where it is without a transcript that what was said could be told from, and where a call may have
        left its answer. Raises AssistantPaused, or StoppedByOperator: nobody can answer now.
        """
        here = entry.thread.provider if entry.thread else None
        chain = list(assistant.chain)
        if assistant.stays:
            # The thread's own provider comes first; the others stay in their order.
            chain.sort(key=lambda each: each[0] != here)
        known = self.providers.get(here or "")
        may_be_there = entry.asked is not None and known is not None and known.remembers
        if may_be_there or (here is not None and self.ground.history is None):
            chain = [each for each in chain if each[0] == here] or chain[:1]
        for provider, model in chain:
            if self._is_closed(provider):
                continue
            if provider == assistant.provider:
                return assistant
            log.warning(Event.FALLBACK, provider=provider, model=model, instead_of=assistant.provider)
            # What keeps no conversations keeps no runs either.
            background = assistant.background and self.providers[provider].remembers
            return replace(assistant, provider=provider, model=model, background=background)
        first, _ = chain[0]
        if (stop := self.ground.stopped.provider(first)) is not None:
            raise StoppedByOperator(str(stop))
        # A task that a parked poll has brought; of a single provider no other is fetched before it can be asked.
        longest = verdict.PARKED_FOR if len(self.providers) > 1 else SOON
        wait = longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads repeats, guards nothing
        trouble = self.closed.get(first) or self.ground.trouble_of(first)
        raise AssistantPaused(f"the provider {first} is away: {trouble}", retry_after=wait)

    def _is_closed(self, provider: str) -> bool:
        """Whether a provider cannot be asked now."""
        if provider in self.closed or self.ground.trouble_of(provider) is not None:
            return True
        return self.ground.stopped.provider(provider) is not None
