"""Has one request answered on its thread; a refusal is weighed before it counts for more than this request."""

from collections.abc import Mapping

from worker.domain.stops import Work
from worker.domain.threads import Answer, Assistant, Entered
from worker.errors import AssistantPaused, ProviderAway, ProviderPaused, Transient, TurnedAway
from worker.ports.providers import ThreadProvider
from worker.turn.facts import TurnFacts
from worker.turn.limits import Limits, Seat
from worker.turn.pauses import Pauses
from worker.turn.request import Ground, Request
from worker.turn.stoppable import stoppable
from worker.turn.thread_turn import ThreadTurn
from worker.turn.thread_variable import Keepsake


class Answering:
    """One worker's way to its providers, for whoever asks: what all requests of it learn of limits and refusals."""

    def __init__(self, providers: Mapping[str, ThreadProvider], ground: Ground) -> None:
        self.providers = providers
        self.pauses = Pauses()
        self.limits = Limits(ground)
        self._ground = ground

    async def answer(
        self,
        request: Request,
        keepsake: Keepsake | None,
        work: Work,
        seat: Seat,
        entry: Entered,
        facts: TurnFacts,
    ) -> Answer | None:
        """Find the answer or ask for it, see `ThreadTurn.answer`. `work` is what the call is of."""
        try:
            answer = await self._on_thread(request, keepsake, work, seat, entry, facts)
        except (AssistantPaused, TurnedAway) as exc:
            meant = await self._weighed(exc, request)
            if meant is exc:
                raise
            raise meant from exc
        # An answer that was found says nothing of how calls are taken now.
        if answer is not None and not facts.recovered:
            self.pauses.answered(request.assistant, request.id)
        return answer

    async def _on_thread(
        self,
        request: Request,
        keepsake: Keepsake | None,
        work: Work,
        seat: Seat,
        entry: Entered,
        facts: TurnFacts,
    ) -> Answer | None:
        # The stop outside of the seat: what it refuses is not counted there.
        provider = seat.counting(self._of(request.assistant), request.assistant)
        provider = stoppable(provider, self._ground.stopped, work)
        return await ThreadTurn(self._ground, provider, request, keepsake, entry, facts).answer()

    async def _weighed(self, refusal: AssistantPaused | TurnedAway, request: Request) -> Exception:
        """Say whose a refusal is: the provider's if a probe meets the same, else the assistant's or the request's."""
        if isinstance(refusal, TurnedAway):
            try:
                await self._of(request.assistant).ping()
            except (ProviderPaused, ProviderAway) as trouble:
                return trouble
            except Transient as trouble:
                return ProviderAway(f"{refusal}; a probe fared no better: {trouble}")
        return self.pauses.refused(request.assistant, request.id, refusal)

    def _of(self, assistant: Assistant) -> ThreadProvider:
        return self.providers[assistant.provider]
