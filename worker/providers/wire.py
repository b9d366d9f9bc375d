"""The parts of OpenAI's JSON that we read, and what they say of an answer. Unknown fields and items are no trouble."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from worker.domain.refs import is_marked
from worker.domain.threads import Answer, Outcome
from worker.providers.thoughts import without_thought

T = TypeVar("T")
MOST_TOKENS: Final = 2**31 - 1
"""No model bills more for one call; databases and metrics take less than JSON can say."""


def _or_nothing(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Do without what cannot be read: an answer is not lost for what is said beside it."""
    try:
        return read(value)
    except ValidationError:
        return None


Maybe = Annotated[T | None, WrapValidator(_or_nothing)]
Id = Annotated[str, Field(min_length=1, pattern=r"^[^\ufffd]+$")]
"""Leads to something only if it is exactly what was sent: one that could not be read whole is none."""
Tokens = Maybe[Annotated[int, Field(ge=0, le=MOST_TOKENS)]]


class Wire(BaseModel):
    """Read-only. Its validation errors never quote what was sent: that may be message text."""

    # Some servers number what is a text to the API, as llama.cpp does its error codes.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)


class Annotation(Wire):
    """Something beside a text. Only which file it goes by (`file_citation`) means something to us."""

    type: Maybe[str] = None
    filename: Maybe[str] = None


class Part(Wire):
    """A piece of a message. Only text (`input_text`, `output_text`, `text`) and `refusal` mean something to us."""

    type: Maybe[str] = None
    text: Maybe[str] = None
    refusal: Maybe[str] = None
    annotations: Maybe[list[Annotation]] = None

    @field_validator("annotations", mode="before")
    @classmethod
    def _only_objects(cls, value: Any) -> Any:
        return objects(value)


class Item(Wire):
    """One entry of a conversation: a message, the model's reasoning, or a kind that we never asked for.

    `phase` is `commentary` or `final_answer` where the model tells the two apart. `results` are those of a search, None
    where they are not said.
    """

    type: Maybe[str] = None
    role: Maybe[str] = None
    status: Maybe[str] = None
    phase: Maybe[str] = None
    content: list[Part] = []
    results: Maybe[list[Any]] = None

    @field_validator("content", mode="before")
    @classmethod
    def _only_parts(cls, value: Any) -> list[Any]:
        # OGX lists what a user said as a plain string. Kinds other than messages keep null or something else there.
        return parts_of(value)

    def is_message_of(self, role: str) -> bool:
        """Whether a user or the assistant said something here. What has a role and no type is a message too."""
        return self.role == role and self.type in {None, "", "message"}

    @property
    def text(self) -> str:
        """The parts in their order with nothing between; what a refusal says is part of it."""
        return "".join(part.refusal or part.text or "" for part in self.content)

    @property
    def refuses(self) -> bool:
        """Whether the model declined to answer."""
        return any(part.type == "refusal" for part in self.content)


class Details(Wire):
    """What of the tokens was read from the provider's cache or written to it, or was the model's reasoning."""

    cached_tokens: Tokens = None
    cache_write_tokens: Tokens = None
    reasoning_tokens: Tokens = None


class Usage(Wire):
    """Tokens as billed; none where the number is none. The one API has them by the one names, chat by the others."""

    input_tokens: Tokens = Field(None, validation_alias=AliasChoices("input_tokens", "prompt_tokens"))
    output_tokens: Tokens = Field(None, validation_alias=AliasChoices("output_tokens", "completion_tokens"))
    input_details: Maybe[Details] = Field(
        None, validation_alias=AliasChoices("input_tokens_details", "prompt_tokens_details")
    )
    output_details: Maybe[Details] = Field(
        None, validation_alias=AliasChoices("output_tokens_details", "completion_tokens_details")
    )

    def on(self, answer: Answer) -> Answer:
        """Note on an answer what it took."""
        read, written = self.input_details or Details(), self.output_details or Details()
        return replace(
            answer,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=read.cached_tokens,
            cache_write_tokens=read.cache_write_tokens,
            reasoning_tokens=written.reasoning_tokens,
        )


class Failure(Wire):
    """Why a response has the status `failed`. The message is left out: it may quote the question."""

    code: str | None = None


class Reason(Wire):
    """Why a response has the status `incomplete`: `max_output_tokens` or `content_filter`."""

    reason: str | None = None


class Response(Wire):
    """What one call of the model came to. Bad outcomes come with HTTP 200 as well.

    `output_text` is all that some servers send in place of `output`. Without an id it is an answer all the same.
    """

    id: Maybe[Id] = None
    status: str | None = None
    model: Maybe[str] = None
    output: list[Item] | None = None
    output_text: Maybe[str] = None
    usage: Maybe[Usage] = None
    error: Maybe[Failure] = None
    incomplete_details: Maybe[Reason] = None

    @field_validator("output", mode="before")
    @classmethod
    def _only_items(cls, value: Any) -> Any:
        return objects(value)

    @model_validator(mode="after")
    def _is_one(self) -> "Response":
        if self.id is None and not self.output and not self.output_text:
            raise ValueError("neither an id nor an output")
        return self


class Origin(Wire):
    """A response, of which only its conversation matters: an object with an id, or the id alone."""

    conversation: Any = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id."""
        named = self.conversation.get("id") if isinstance(self.conversation, dict) else self.conversation
        return named if isinstance(named, str) else None


class Plain(Wire):
    """What is no report of an error: some servers send those with HTTP 200, LM Studio for any path it has not."""

    @model_validator(mode="before")
    @classmethod
    def _no_error(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("error"):
            raise ValueError("an error in place of what was asked for")
        return value


class Items(Plain):
    """A page of a conversation, newest item first."""

    data: list[Item]

    @field_validator("data", mode="before")
    @classmethod
    def _only_items(cls, value: Any) -> Any:
        return objects(value)


class Named(Wire):
    """An item by its id alone."""

    id: Id


class Names(Plain):
    """A page of a conversation of which only the ids matter."""

    data: list[Named]


class ModelCard(Plain):
    """What a server says of one of its models: each in words of its own how much it can read, if at all."""

    id: Maybe[str] = None
    max_model_len: Maybe[int] = None
    context_length: Maybe[int] = None
    context_window: Maybe[int] = None
    max_context_length: Maybe[int] = None

    @property
    def context_tokens(self) -> int | None:
        """How much it can read, if the server says so: vLLM, OpenRouter and Together, Groq, Mistral."""
        told = (self.max_model_len, self.context_length, self.context_window, self.max_context_length)
        return next((each for each in told if each is not None and each > 0), None)


class ModelCards(Plain):
    """All models of a server."""

    data: list[ModelCard]


class Conversation(Plain):
    """A thread, without its items."""

    id: Id
    metadata: Mapping[str, str] | None = None

    @field_validator("metadata", mode="before")
    @classmethod
    def _only_pairs(cls, value: Any) -> Any:
        return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


class Upload(Wire):
    """A file that was uploaded."""

    id: Id
    filename: Maybe[str] = None


W = TypeVar("W", bound=Wire)


class Page(Plain, Generic[W]):
    """A page of a list. Of a vector store the id and the metadata matter, as of a conversation."""

    data: list[W]
    has_more: Maybe[bool] = None


class Indexed(Plain):
    """How a file in a vector store stands."""

    status: Maybe[str] = None
    last_error: Maybe[Failure] = None


class Anything(Plain):
    """A JSON object that only has to be one."""


def answer_of(response: Response) -> Answer:
    """Read the answer of this one response. The statuses `queued`, `in_progress` and `cancelled` are the caller's."""
    output = _with_told(response.output or [], response.output_text)
    usage = response.usage or Usage()
    text = _text(output)
    outcome, detail = _outcome(response, output, text)
    answer = Answer(text=text, outcome=outcome, detail=detail, response_id=response.id, model=response.model)
    cited = tuple(dict.fromkeys(_cited(output)))
    return usage.on(replace(answer, cited=cited, found_nothing=_found_nothing(output)))


def answer_behind(newest_first: Iterable[Item], ref: str) -> Answer | None:
    """Find the newest question that ends with this ref and has something behind it: that is its answer.

    What follows is everything up to the next question. A call that still writes has not answered yet.
    """
    behind: list[Item] = []
    for item in newest_first:
        if not item.is_message_of("user"):
            behind.append(item)
            continue
        if behind and is_marked(item.text, ref):
            return _found(behind[::-1])
        behind.clear()
    return None


def _found(items: Sequence[Item]) -> Answer | None:
    # Half an answer would be kept as the whole.
    if any(item.status == "in_progress" for item in items):
        return None
    text = _text(items)
    outcome, detail = _judged(items, text)
    # A search that was cut off says nothing of the answer behind it.
    if any(item.status == "incomplete" for item in items if item.type != "file_search_call"):
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
    said = _answering(items)
    if any(item.refuses for item in said):
        return Outcome.REFUSED, ""
    if text.strip():
        return Outcome.OK, ""
    if not items:
        return Outcome.EMPTY, "no output"
    return Outcome.EMPTY, "a message without text" if said else "no message"


def _text(items: Iterable[Item]) -> str:
    return without_thought("\n\n".join(item.text for item in _answering(items) if item.text))


def _cited(items: Iterable[Item]) -> Iterator[str]:
    """Name the files that an answer goes by, as the provider calls them."""
    parts = (part for item in _answering(items) for part in item.content)
    for each in (each for part in parts for each in part.annotations or ()):
        if each.type == "file_citation" and each.filename:
            yield each.filename


def _found_nothing(items: Iterable[Item]) -> bool:
    """Whether files were searched, and it is said that nothing was found."""
    searches = [item for item in items if item.type == "file_search_call"]
    return bool(searches) and all(item.results == [] for item in searches)


def _answering(items: Iterable[Item]) -> list[Item]:
    """Pick the assistant's messages; where it marked its final answer, what it said on the way there is left out."""
    said = [item for item in items if item.is_message_of("assistant")]
    # Newer models may say in a message of its own what they are about to do.
    return [item for item in said if item.phase == "final_answer"] or said


def _with_told(output: list[Item], output_text: str | None) -> list[Item]:
    if not output_text or any(item.is_message_of("assistant") for item in output):
        return output
    return [*output, Item.model_validate({"role": "assistant", "content": output_text})]


def parts_of(content: Any) -> list[Any]:
    """Read content in any of its forms: a list of parts, a text alone, nothing."""
    parts = content if isinstance(content, list) else [content]
    texts = ({"type": "text", "text": part} if isinstance(part, str) else part for part in parts)
    return [part for part in texts if isinstance(part, dict)]


def objects(value: Any) -> Any:
    """Leave out of a list what is no object: it says nothing."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else value
