"""The parts of OpenAI's JSON that we read, and what they say of an answer. Unknown fields and items are no trouble."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from worker.domain import Answer, Outcome, ref_line


class Wire(BaseModel):
    """Read-only. Its validation errors never quote what was sent: that may be message text."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)


class Part(Wire):
    """A piece of a message. Only text (`input_text`, `output_text`, `text`) and `refusal` mean something to us."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(Wire):
    """One entry of a conversation: a message, the model's reasoning, or a kind that we never asked for."""

    type: str = ""
    role: str | None = None
    status: str | None = None
    content: list[Part] = []

    @field_validator("content", mode="before")
    @classmethod
    def _only_parts(cls, value: Any) -> list[Any]:
        # Kinds other than messages keep null or something else there.
        return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []

    def is_message_of(self, role: str) -> bool:
        """Whether a user or the assistant said something here."""
        return self.type == "message" and self.role == role

    @property
    def text(self) -> str:
        """The parts in their order with nothing between; what a refusal says is part of it."""
        return "".join(part.refusal or part.text or "" for part in self.content)

    @property
    def refuses(self) -> bool:
        """Whether the model declined to answer."""
        return any(part.type == "refusal" for part in self.content)


class Usage(Wire):
    """Tokens as billed."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Failure(Wire):
    """Why a response has the status `failed`. The message is left out: it may quote the question."""

    code: str | None = None


class Reason(Wire):
    """Why a response has the status `incomplete`: `max_output_tokens` or `content_filter`."""

    reason: str | None = None


class Response(Wire):
    """What one call of the model came to. Bad outcomes come with HTTP 200 as well."""

    id: str = Field(min_length=1)
    status: str | None = None
    model: str | None = None
    output: list[Item] | None = None
    usage: Usage | None = None
    error: Failure | None = None
    incomplete_details: Reason | None = None


class Origin(Wire):
    """A response, of which only its conversation matters: an object with an id, or the id alone."""

    conversation: Any = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id."""
        named = self.conversation.get("id") if isinstance(self.conversation, dict) else self.conversation
        return named if isinstance(named, str) else None


class Items(Wire):
    """A page of a conversation, newest item first."""

    data: list[Item]


class Named(Wire):
    """An item by its id alone."""

    id: str = Field(min_length=1)


class Names(Wire):
    """A page of a conversation of which only the ids matter."""

    data: list[Named]


class Conversation(Wire):
    """A thread, without its items."""

    id: str = Field(min_length=1)
    metadata: Mapping[str, str] | None = None


class Anything(Wire):
    """A JSON object that only has to be one."""


def answer_of(response: Response) -> Answer:
    """Read the answer of this one response. The statuses `queued`, `in_progress` and `cancelled` are the caller's."""
    output = response.output or []
    usage = response.usage or Usage()
    text = "\n\n".join(_texts(output))
    outcome, detail = _outcome(response, output, text)
    return Answer(
        text=text,
        outcome=outcome,
        detail=detail,
        response_id=response.id,
        model=response.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
    )


def answer_behind(newest_first: Iterable[Item], ref: str) -> Answer | None:
    """Find the newest question that ends with this ref and has something behind it: that is its answer.

    What follows is everything up to the next question. A call that still writes has not answered yet.
    """
    mark = ref_line(ref)
    behind: list[Item] = []
    for item in newest_first:
        if not item.is_message_of("user"):
            behind.append(item)
            continue
        if behind and _last_line(item.text) == mark:
            return _found(behind[::-1])
        behind.clear()
    return None


def _found(items: Sequence[Item]) -> Answer | None:
    if any(item.status == "in_progress" for item in items):
        return None
    text = "\n\n".join(_texts(items))
    outcome, detail = _judged(items, text)
    if any(item.status == "incomplete" for item in items):
        outcome, detail = Outcome.INCOMPLETE, ""
    return Answer(text=text, outcome=outcome, detail=detail, recovered=True)


def _outcome(response: Response, output: Sequence[Item], text: str) -> tuple[Outcome, str]:
    if response.status == "failed":
        return Outcome.FAILED, (response.error.code if response.error else None) or ""
    if response.status == "incomplete":
        reason = (response.incomplete_details.reason if response.incomplete_details else None) or ""
        return Outcome.FILTERED if reason == "content_filter" else Outcome.INCOMPLETE, reason
    return _judged(output, text)


def _judged(items: Sequence[Item], text: str) -> tuple[Outcome, str]:
    """Judge what came to its end."""
    if any(item.is_message_of("assistant") and item.refuses for item in items):
        return Outcome.REFUSED, ""
    if text.strip():
        return Outcome.OK, ""
    if not items:
        return Outcome.EMPTY, "no output"
    has_message = any(item.is_message_of("assistant") for item in items)
    return Outcome.EMPTY, "a message without text" if has_message else "no message"


def _texts(items: Iterable[Item]) -> Iterator[str]:
    return (item.text for item in items if item.is_message_of("assistant") and item.text)


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2].strip()
