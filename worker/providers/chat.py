"""Chat completions: the API that every server of models has. Nothing is kept there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

from pydantic import Field, field_validator

from worker.domain.documents import Attachment
from worker.domain.providers import Schemas
from worker.domain.threads import Answer, Assistant, Outcome, Said
from worker.errors import BadRequest, ModelUnknown
from worker.ports.providers import Watcher
from worker.providers.chat_stream import NOT_SAID, WAYS, CompletionHearing
from worker.providers.client import Client
from worker.providers.failures import Call
from worker.providers.forms import cached, first_taken, instructions, named
from worker.providers.openai import find_model
from worker.providers.streams import Telling
from worker.providers.thoughts import without_thought
from worker.providers.watching import Streaming
from worker.providers.wire import Maybe, ModelCard, Part, Plain, Usage, Wire, objects, parts_of

_GAVE_UP: Final = frozenset({"error", "insufficient_system_resource", "abort"})
"""Words of OpenRouter, of DeepSeek, and of vLLM and SGLang for what others say with a 5xx; the text ends anywhere."""


class ChatMessage(Wire):
    """What the model said. Some servers send a list of parts."""

    content: list[Part] = Field(default_factory=list)
    refusal: Maybe[str] = None

    @field_validator("content", mode="before")
    @classmethod
    def _only_parts(cls, value: Any) -> Any:
        return parts_of(value)


class Choice(Wire):
    """One answer; we never ask for more. Azure leaves the message out where its filter stopped it."""

    message: Maybe[ChatMessage] = None
    finish_reason: Maybe[str] = None


class Completion(Plain):
    """What one call came to."""

    id: Maybe[str] = None
    model: Maybe[str] = None
    choices: list[Choice]
    usage: Maybe[Usage] = None

    @field_validator("choices", mode="before")
    @classmethod
    def _only_choices(cls, value: Any) -> Any:
        return [] if value is None else objects(value)


class ChatModel:
    """Implements `ports.providers.Model`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streaming = Streaming(*WAYS)
        self._reasoning: set[str] = set()
        """Models that have refused `max_tokens`."""

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
        call = Call("chat.completions.create", assistant.timeout, acts=True, model=assistant.model)

        async def put(more: Mapping[str, Any], telling: Telling | None) -> Answer:
            def write(schemas: Schemas) -> Mapping[str, Any]:
                body = _turn(said, question, assistant, schemas, attached)
                return cached(body | {**more}, self._client.spec, cache_key)

            send = partial(self._send, call, telling)
            return _answer(await first_taken(send, write, self._client.spec.schema), call)

        return await self._streaming.answer(put, assistant.model, watcher)

    async def _send(self, call: Call, telling: Telling | None, body: Mapping[str, Any]) -> Completion:
        """Send a turn. OpenAI's reasoning models want its limit by another name, which few other servers know."""
        if call.model in self._reasoning:
            body = _renamed(body)
        try:
            return await self._post(call, telling, body)
        except BadRequest as exc:
            if (exc.code, exc.param) != ("unsupported_parameter", "max_tokens"):
                raise
        # Remembered, or each call of this model would be refused once.
        self._reasoning.add(str(call.model))
        return await self._post(call, telling, _renamed(body))

    async def _post(self, call: Call, telling: Telling | None, body: Mapping[str, Any]) -> Completion:
        hearing = CompletionHearing(telling) if telling else None
        return await self._client.request(call, Completion, "POST", "/chat/completions", body, hearing)

    async def ping(self) -> None:
        """Return if the provider accepts our key and has chat completions."""
        await self._client.takes("chat.completions.create", "/chat/completions")

    async def find_model(self, name: str) -> ModelCard | None:
        """What is said of a model; None where this key cannot use it. Raises ModelDown, ProviderPaused."""
        return await find_model(self._client, name)

    async def try_out(self, question: str, assistant: Assistant, schemas: Schemas) -> Answer:
        """Ask a question that nobody keeps, in one form alone. Raises as `ask` does."""
        call = Call("chat.completions.create", assistant.timeout, acts=True, model=assistant.model)
        return _answer(await self._send(call, None, _turn([], question, assistant, schemas)), call)


def _turn(
    said: Sequence[Said],
    question: str,
    assistant: Assistant,
    schemas: Schemas,
    attached: Sequence[Attachment] = (),
) -> dict[str, Any]:
    """Write the body of a turn."""
    # Notes of ours about the history go into it: a second message of the system's is what small models' templates
    # refuse.
    system = [instructions(assistant, schemas), *(each.text for each in said if each.role == "developer")]
    messages = list(_messages([*said, Said("user", question)]))
    if attached:
        messages[-1]["content"] = [{"type": "text", "text": messages[-1]["content"]}, *map(_part, attached)]
    body: dict[str, Any] = {
        "model": assistant.model,
        "messages": [{"role": "system", "content": "\n\n".join(system)}, *messages],
    }
    if assistant.temperature is not None:
        body["temperature"] = assistant.temperature
    if assistant.max_output_tokens is not None:
        body["max_tokens"] = assistant.max_output_tokens
    if assistant.output_schema is not None and schemas != "none":
        body["response_format"] = {"type": "json_schema", "json_schema": named(assistant, schemas)}
    return body


def _part(attachment: Attachment) -> dict[str, Any]:
    if attachment.is_image:
        return {"type": "image_url", "image_url": {"url": attachment.data_url}}
    return {"type": "file", "file": {"filename": attachment.name, "file_data": attachment.data_url}}


def _renamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say how long an answer may be as OpenAI's reasoning models want it."""
    return {"max_completion_tokens" if name == "max_tokens" else name: value for name, value in body.items()}


def _messages(said: Iterable[Said]) -> Iterator[dict[str, Any]]:
    """Say who said what. Templates of small models want the two to take turns, and nobody else to speak."""
    for role, spoken in groupby((each for each in said if each.role != "developer"), key=lambda each: each.role):
        yield {"role": role, "content": "\n\n".join(each.text for each in spoken)}


def _answer(completion: Completion, call: Call) -> Answer:
    """Read the answer of the one choice. Raises ModelUnknown where the server gave up on it."""
    choice = completion.choices[0] if completion.choices else Choice()
    message, reason = choice.message or ChatMessage(), choice.finish_reason or ""
    if reason in _GAVE_UP:
        raise ModelUnknown(f"{call.name}: the provider gave up on an answer (finish_reason {reason})")
    said = [part for part in message.content if part.type not in NOT_SAID]
    refused = bool(message.refusal) or any(part.type == "refusal" for part in said)
    text = without_thought("".join(part.text or part.refusal or "" for part in said)) or message.refusal or ""
    outcome, detail = _outcome(text, reason, refused=refused)
    usage = completion.usage or Usage()
    answer = Answer(text=text, outcome=outcome, detail=detail, response_id=completion.id, model=completion.model)
    return usage.on(answer)


def _outcome(text: str, reason: str, *, refused: bool) -> tuple[Outcome, str]:
    match reason.partition(":")[0]:  # Gemini says what the filter found
        case "content_filter":
            return Outcome.FILTERED, "content_filter"
        case "length" | "model_length":  # the latter is Mistral's for the end of the window
            return Outcome.INCOMPLETE, "max_output_tokens"
    if refused:
        return Outcome.REFUSED, ""
    return (Outcome.OK, "") if text.strip() else (Outcome.EMPTY, "no text")
