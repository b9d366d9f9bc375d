"""OpenAI's Responses without conversations: everything is in the question, and nothing is stored."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.domain.providers import Schemas
from worker.domain.threads import Answer, Assistant, Said
from worker.errors import BadRequest, ModelDown, ThreadGone
from worker.providers.client import SHORT_CALL, Client, answered
from worker.providers.failures import Call
from worker.providers.forms import cached, first_taken
from worker.providers.openai import answer_in, model_exists, turn
from worker.providers.wire import Origin, Response

NOBODY: Final = "resp_" + 48 * "0"
"""A response that does not exist: asking for it tells whether key and address are right."""


class ResponsesModel:
    """Implements `ports.turn.Model`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, said: Sequence[Said], question: str, assistant: Assistant, *, cache_key: str = "") -> Answer:
        """One turn, with everything that was said before it."""
        call = Call("responses.create", assistant.timeout, acts=True, model=assistant.model)
        # The short form of a message: some servers miss something in the long one of an answer.
        roles = {"developer": "system"}
        spoken = [
            {"role": roles.get(each.role, each.role), "content": each.text} for each in (*said, Said("user", question))
        ]

        def write(schemas: Schemas) -> Mapping[str, Any]:
            return cached(turn(assistant, spoken, schemas) | {"store": False}, self._client.spec, cache_key)

        async def send(body: Mapping[str, Any]) -> Response:
            return await self._client.request(call, Response, "POST", "/responses", body)

        async def asked() -> Answer:
            return answer_in(await first_taken(send, write, self._client.spec.schema), call)

        return await answered(asked())

    async def ping(self) -> None:
        """Return if the provider accepts our key and has responses: it says of one that it does not exist."""
        call = Call("responses.retrieve", SHORT_CALL, thread_id=NOBODY, probe=True)
        try:
            await self._client.request(call, Origin, "GET", f"/responses/{NOBODY}")
        except (ThreadGone, BadRequest):
            return
        raise ModelDown(f"{call.name}: the server shows a response that cannot exist")

    async def has_model(self, name: str) -> bool:
        """Whether this key can use the model. Raises ModelDown, ProviderPaused; a restricted key may not ask."""
        return await model_exists(self._client, name)
