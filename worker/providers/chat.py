"""Chat completions: the API that every server of models has. Nothing is kept there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from pydantic import Field, field_validator

from worker.domain.providers import Schemas
from worker.domain.threads import Answer, Assistant, Outcome, Said
from worker.providers.client import Client, counted, counting_failures
from worker.providers.failures import Call
from worker.providers.forms import first_taken, instructions, named
from worker.providers.openai import model_exists
from worker.providers.wire import Maybe, Part, Plain, Tokens, Wire, objects, parts_of

_THOUGHT: Final = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
"""Reasoning that a server has left in the answer."""


class ChatMessage(Wire):
    """What the model said. Some servers send a list of parts."""

    content: list[Part] = Field(default_factory=list)
    refusal: Maybe[str] = None

    @field_validator("content", mode="before")
    @classmethod
    def _only_parts(cls, value: Any) -> Any:
        return parts_of(value)


class Choice(Wire):
    """One answer; we never ask for more."""

    message: ChatMessage
    finish_reason: Maybe[str] = None


class Usage(Wire):
    """Tokens as billed."""

    prompt_tokens: Tokens = None
    completion_tokens: Tokens = None


class Completion(Plain):
    """What one call came to."""

    id: Maybe[str] = None
    model: Maybe[str] = None
    choices: list[Choice]
    usage: Maybe[Usage] = None

    @field_validator("choices", mode="before")
    @classmethod
    def _only_choices(cls, value: Any) -> Any:
        return objects(value)


class ChatModel:
    """Implements `ports.turn.Model`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, said: Sequence[Said], question: str, assistant: Assistant) -> Answer:
        """One turn, with everything that was said before it."""
        call = Call("chat.completions.create", assistant.timeout, acts=True, model=assistant.model)

        def write(schemas: Schemas) -> Mapping[str, Any]:
            return _turn(said, question, assistant, schemas)

        async def send(body: Mapping[str, Any]) -> Completion:
            return await self._client.request(call, Completion, "POST", "/chat/completions", body)

        with counting_failures():
            return counted(_answer(await first_taken(send, write, self._client.spec.schema)))

    async def ping(self) -> None:
        """Return if the provider accepts our key and has chat completions."""
        await self._client.takes("chat.completions.create", "/chat/completions")

    async def has_model(self, name: str) -> bool:
        """Whether this key can use the model. Raises ModelDown, ProviderPaused; a restricted key may not ask."""
        return await model_exists(self._client, name)


def _turn(said: Sequence[Said], question: str, assistant: Assistant, schemas: Schemas) -> dict[str, Any]:
    """Write the body of a turn."""
    system = [instructions(assistant, schemas), *(each.text for each in said if each.role == "developer")]
    body: dict[str, Any] = {
        "model": assistant.model,
        "messages": [{"role": "system", "content": "\n\n".join(system)}, *_messages([*said, Said("user", question)])],
    }
    if assistant.temperature is not None:
        body["temperature"] = assistant.temperature
    if assistant.max_output_tokens is not None:
        body["max_tokens"] = assistant.max_output_tokens
    if assistant.output_schema is not None and schemas != "none":
        body["response_format"] = {"type": "json_schema", "json_schema": named(assistant, schemas)}
    return body


def _messages(said: Iterable[Said]) -> Iterator[dict[str, str]]:
    """Say who said what. Templates of small models want the two to take turns, and nobody else to speak."""
    for role, spoken in groupby((each for each in said if each.role != "developer"), key=lambda each: each.role):
        yield {"role": role, "content": "\n\n".join(each.text for each in spoken)}


def _answer(completion: Completion) -> Answer:
    """Read the answer of the one choice."""
    usage = completion.usage or Usage()
    text, reason, refused = "", "", False
    if completion.choices:
        [choice, *_] = completion.choices
        text = _THOUGHT.sub("", "".join(part.text or part.refusal or "" for part in choice.message.content), count=1)
        reason, refusal = choice.finish_reason or "", choice.message.refusal or ""
        refused = bool(refusal) or any(part.type == "refusal" for part in choice.message.content)
        text = text or refusal
    outcome, detail = _outcome(text, reason, refused=refused)
    return Answer(
        text=text,
        outcome=outcome,
        detail=detail,
        response_id=completion.id,
        model=completion.model,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def _outcome(text: str, reason: str, *, refused: bool) -> tuple[Outcome, str]:
    match reason:
        case "content_filter":
            return Outcome.FILTERED, reason
        case "length":
            return Outcome.INCOMPLETE, "max_output_tokens"
        case "error":
            return Outcome.FAILED, reason
    if refused:
        return Outcome.REFUSED, ""
    return (Outcome.OK, "") if text.strip() else (Outcome.EMPTY, "no text")
