"""OpenAI's Responses without conversations: everything is in the question, and nothing is stored."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.documents import Attachment
from worker.domain.providers import Schemas
from worker.domain.threads import Answer, Assistant, Said
from worker.ports.providers import Watcher
from worker.providers.client import Client
from worker.providers.failures import Call
from worker.providers.file_stores import searching
from worker.providers.forms import cached, first_taken
from worker.providers.openai import answer_in, asked, find_model, short_form, try_out, turn
from worker.providers.response_stream import WAYS, ResponseHearing
from worker.providers.streams import Telling
from worker.providers.watching import Streaming
from worker.providers.wire import ModelCard, Response


class ResponsesModel:
    """Implements `ports.providers.Model`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streaming = Streaming(*WAYS)

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",
        watcher: Watcher | None = None,
        attached: Sequence[Attachment] = (),
    ) -> Answer:
        """One turn, with everything that was said before it."""
        call = Call("responses.create", assistant.timeout, acts=True, model=assistant.model)
        spoken = [*map(short_form, said), asked(question, attached)]

        async def put(more: Mapping[str, Any], telling: Telling | None) -> Answer:
            def write(schemas: Schemas) -> Mapping[str, Any]:
                return cached(turn(assistant, spoken, schemas) | {"store": False, **more}, self._client.spec, cache_key)

            async def send(body: Mapping[str, Any]) -> Response:
                hearing = ResponseHearing(telling) if telling else None
                return await self._client.request(call, Response, "POST", "/responses", body, hearing)

            async with searching(self._client, assistant):
                return answer_in(await first_taken(send, write, self._client.spec.schema), call)

        return await self._streaming.answer(put, assistant.model, watcher)

    async def ping(self) -> None:
        """Return if the provider accepts our key and has responses. Those that keep none have none to look for."""
        await self._client.takes("responses.create", "/responses")

    async def find_model(self, name: str) -> ModelCard | None:
        """What is said of a model; None where this key cannot use it. Raises ModelDown, ProviderPaused."""
        return await find_model(self._client, name)

    async def try_out(self, question: str, assistant: Assistant, schemas: Schemas) -> Answer:
        """Ask a question that nobody keeps, in one form alone. Raises as `ask` does."""
        return await try_out(self._client, question, assistant, schemas)
