"""The end of conversations at every provider there is."""

from collections.abc import Mapping

from worker.domain.threads import OWN, provider_of
from worker.errors import NoProvider, ThreadGone
from worker.ports.ending import EndingProvider


class EveryProvider:
    """Implements `ports.ending.EndingProvider` for several, by the addresses of threads and responses.

    None stands for one that keeps nothing by the API that it is asked over. Raises NoProvider for one that is not named
    any more, or no more over the API that something is from.
    """

    def __init__(self, providers: Mapping[str, EndingProvider | None]) -> None:
        self._providers = providers

    def keeps(self, thread_id: str) -> bool:
        """See `ports.ending.EndingProvider.keeps`. One that nobody names any more may have something."""
        _, own = provider_of(thread_id)
        return not own.startswith(OWN)

    async def metadata(self, thread_id: str, anchor: str | None) -> Mapping[str, str]:
        """See `ports.ending.EndingProvider.metadata`."""
        provider, own = self._at(thread_id)
        return await provider.metadata(own, anchor)

    async def see(self, thread_id: str) -> str:
        """See `ports.ending.EndingProvider.see`."""
        provider, own = self._at(thread_id)
        return await provider.see(own)

    async def erase_thread(self, thread_id: str, anchor: str) -> int:
        """See `ports.ending.EndingProvider.erase_thread`."""
        provider, own = self._at(thread_id)
        return await provider.erase_thread(own, anchor)

    async def erase_response(self, response_id: str, anchor: str | None) -> bool:
        """See `ports.ending.EndingProvider.erase_response`."""
        provider, own = self._at(response_id)
        return await provider.erase_response(own, anchor)

    async def conversation_of(self, response_id: str) -> str | None:
        """See `ports.ending.EndingProvider.conversation_of`."""
        name, _ = provider_of(response_id)
        if self._providers.get(name, True) is None:  # only what is known to have been given on a conversation is there
            raise ThreadGone(f"the provider {name} keeps nothing")
        provider, own = self._at(response_id)
        return await provider.conversation_of(own)

    async def run_status(self, response_id: str) -> str | None:
        """See `ports.ending.EndingProvider.run_status`."""
        provider, own = self._at(response_id)
        return await provider.run_status(own)

    async def cancel(self, response_id: str) -> None:
        """See `ports.ending.EndingProvider.cancel`."""
        provider, own = self._at(response_id)
        await provider.cancel(own)

    def _at(self, address: str) -> tuple[EndingProvider, str]:
        name, own = provider_of(address)
        if name not in self._providers:
            raise NoProvider(f"no provider is called {name}, which has it: name it in PROVIDERS_FILE again")
        provider = self._providers[name]
        if provider is None:
            raise NoProvider(
                f"the provider {name} is not asked over conversations any more, which this is from: name it with that "
                "api in PROVIDERS_FILE until it is erased"
            )
        return provider, own
