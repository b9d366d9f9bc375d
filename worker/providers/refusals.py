"""What a refusal's body says, whatever vendor wrote it, and by which words each says that something does not exist.

A provider's message is looked at and never told further, because it may quote the question or the key.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from worker.providers.reading import loads

NOT_FOUND: Final = 404
POLICIES: Final = frozenset(
    {"bio_policy", "content_policy_violation", "image_content_policy_violation", "misalignment_policy_violation"}
)
"""Codes of content that a policy of the provider's does not allow."""

Topic = Literal["", "no_model", "gone", "full", "too_large", "broken", "filtered", "keeps_nothing", "no_right"]
"""What a body says, by words that we know: the model or what was asked for does not exist, the model cannot read so
much, the account may not send so much at once, what stands on the conversation cannot be gone on with, the content
filter stopped it, the organisation has nothing kept, the key is good and has no right to this.
"""

Place = Literal["error object", "error", "detail", "message", "no error", "a page"]
"""Where a body has its words. Only an error object is the API's own for certain; `a page` is what is no JSON object."""


@dataclass(frozen=True, slots=True)
class Said:
    """A body's words: the error's code, type and param as code words, empty where it has none, and its message."""

    place: Place
    code: str = ""
    kind: str = ""
    param: str = ""
    message: str = ""
    strings: frozenset[str] = frozenset()

    @classmethod
    def by(cls, body: bytes) -> "Said":
        """Read a body of any shape."""
        try:
            value = loads(body)
        except (ValueError, RecursionError):
            return cls("a page")
        if isinstance(value, list) and len(value) == 1:  # Gemini's compatible API wraps the object so
            value = value[0]
        if not isinstance(value, dict):
            return cls("a page")
        place, words = _words(value)
        return cls(
            place,
            word(words.get("code")),
            word(words.get("type")),
            word(words.get("param")),
            _text(words.get("message")) or _text(words.get("error")),
            frozenset(each for each in words.values() if isinstance(each, str)),
        )


def _words(body: Mapping[str, Any]) -> tuple[Place, Mapping[str, Any]]:
    """Find the object that has the words."""
    for name in ("error", "detail"):
        if isinstance(body.get(name), dict):
            return "error object", body[name]
    if body.get("object") == "error":  # vLLM before it had an `error` around it
        return "error object", body
    for place in ("error", "detail", "message"):
        if isinstance(body.get(place), str):
            return place, {**body, "message": body[place]}
    return "no error", body


@dataclass(frozen=True, slots=True)
class Shape:
    """How a vendor says that something does not exist. A condition that is None fits everything; all must fit.

    `source` is where it was seen. `words` is a pattern in which NAME stands for what was asked for, by its whole name;
    without one the code alone says it.
    """

    source: str
    statuses: Container[int] = frozenset({NOT_FOUND})
    places: Container[Place] = frozenset({"error object"})
    codes: Container[str] | None = None
    kinds: Container[str] | None = None
    words: re.Pattern[str] | None = None
    names_it: bool = False

    def fits(self, status: int, said: Said, name: str) -> bool:
        """Whether the body says in this way that the thing of this name does not exist."""
        return (
            status in self.statuses
            and said.place in self.places
            and (self.codes is None or said.code in self.codes)
            and (self.kinds is None or said.kind in self.kinds)
            and (self.words is None or _says(self.words, said.message, name))
            and (not self.names_it or any(_says(_NAME, each, name) for each in said.strings))
        )


_NAME: Final = re.compile(r"NAME")
_MISSING: Final = re.compile(
    r"NAME['\"`]?,? (was |is |could |can)?(not (be )?found|not exist|does not exist|no longer exists|(been )?deleted)"
    r"|(no|unknown|missing)( such)? (conversation|response|item|vector store|file( object)?)"
    r"( found)?( with)?( the)?( id)?:? ['\"`]?NAME"
    r"|(conversation|response|item) (does not exist|not found):? ['\"`]?NAME",
    re.IGNORECASE,
)
"""Not "item x not found in conversation NAME", and no path: there something else is missing."""

GONE: Final = (
    Shape("OpenAI, as reported", kinds={"invalid_request_error"}, codes={""}, words=_MISSING),
    Shape("OGX 1.5.0, ogx_api/common/errors.py", kinds={""}, codes={""}, words=_MISSING),
    Shape("OGX 1.5.0, seen", places={"detail"}, words=_MISSING),
    Shape(
        "OGX 1.5.0, seen of vector stores",
        {400},
        kinds={""},
        codes={""},
        words=re.compile(r"\AVector_store 'NAME' not"),
    ),
    Shape("Azure AI Foundry, as reported", codes={"not_found", "NotFound", "ResourceNotFound"}, words=_MISSING),
    Shape("Azure AI Foundry, as reported", codes={"conversation_not_found"}, names_it=True),
    Shape("gateways that write errors anew, as reported", places={"message"}, words=_MISSING),
)
"""How providers say that this very conversation, response, item, file or vector store is gone. Of a conversation two
calls must say so before anybody acts on it, see `OpenAIProvider`."""

NO_MODEL: Final = (
    # Also with 403 and 400: a project without the right to a model is told that there is none.
    Shape("OpenAI, its errors guide", statuses=range(400, 500), codes={"model_not_found"}),
    Shape("Azure OpenAI, as reported", codes={"DeploymentNotFound"}),
    Shape(
        "vLLM, entrypoints/openai",
        kinds={"NotFoundError"},
        words=re.compile(r"model [`'\"]?NAME[`'\"]? does not exist"),
    ),
    Shape(
        "OGX 1.5.0, ogx_api/common/errors.py",
        statuses={400, 404},
        places={"error object", "detail"},
        words=re.compile(r"Model '?NAME'? not found"),
    ),
    Shape(
        "Ollama, server/routes.go",
        places={"error object", "error"},
        words=re.compile(r"model ['\"]?NAME['\"]? not found"),
    ),
    Shape(
        "LiteLLM, proxy/route_llm_request.py",
        statuses={400, 404},
        places={"error object", "detail", "error"},
        words=re.compile(r"Invalid model name passed in model=NAME"),
    ),
    Shape(
        "LiteLLM 1.108.7, asked for one model",
        places={"detail"},
        words=re.compile(r"model `NAME` does not exist or is not accessible"),
    ),
    Shape("OpenRouter, as reported", statuses={400, 404}, words=re.compile(r"NAME is not a valid model ID")),
)
"""How providers say that they have no model of this name, or none for this key."""

_ANY: Final = range(200, 600)
"""LM Studio reports errors with 200, Ollama some refusals with 500."""

OTHERS: Final[Mapping[Topic, tuple[Shape, ...]]] = {
    "full": (
        Shape("OpenAI, its errors guide", _ANY, codes={"context_length_exceeded"}),
        Shape("llama.cpp, tools/server", _ANY, kinds={"exceed_context_size_error"}),
        Shape(
            "vLLM, DeepSeek, OpenRouter, as reported",
            _ANY,
            words=re.compile(r"\A(This \w+'s )?maximum context length (is|of) \d", re.IGNORECASE),
        ),
        Shape("SGLang, as reported", _ANY, words=re.compile(r"longer than the model's context length")),
        Shape(
            "Ollama 0.32, as reported",
            _ANY,
            places={"error object", "error"},
            words=re.compile(r"(input|prompt) length exceeds (the|maximum) context length"),
        ),
        Shape(
            "LM Studio 0.4, as reported",
            _ANY,
            places={"error object", "error"},
            words=re.compile(r"context length of (only )?\d+ tokens|is greater than the context length"),
        ),
        Shape("LiteLLM 1.108.7, seen", _ANY, words=re.compile(r"\A(litellm\.)?ContextWindowExceededError:")),
        Shape(
            "llama.cpp's words, which OGX 1.5.0 passes on",
            _ANY,
            places={"error object", "detail"},
            words=re.compile(r"request \(\d+ tokens\) exceeds the available context size \(\d+ tokens\)"),
        ),
        Shape("Anthropic's compatible API, as reported", _ANY, words=re.compile(r"prompt is too long: \d+ tokens")),
    ),
    "too_large": (
        Shape(
            "OpenAI and, with 413, Groq, as reported",
            {413, 429},
            words=re.compile(r"Request too large for (model )?\S+ (in organization|on tokens)"),
        ),
    ),
    "broken": (
        Shape(
            "OpenAI, as reported: a response that was cut left its reasoning alone",
            {400},
            words=re.compile(r"of type '\w+' was provided without its required (following|preceding)? ?\w*"),
        ),
        Shape(
            "OpenAI, as reported: half of a tool's call",
            {400},
            words=re.compile(r"\ANo tool (output|call) found for function call"),
        ),
        Shape("OpenAI, as reported", {400}, codes={"invalid_encrypted_content"}),
    ),
    "filtered": (
        Shape("OpenAI, its errors guide, and responses that failed", {200, 400}, codes={"invalid_prompt"}),
        Shape("OpenAI, responses that failed", {200, 400}, codes=POLICIES),
        Shape("Azure OpenAI, as reported", {200, 400}, codes={"content_filter"}),
        Shape("LiteLLM, litellm/exceptions.py", {400}, words=re.compile(r"ContentPolicyViolationError")),
        Shape("OpenRouter, its errors guide", {403}, words=re.compile(r"input was flagged")),
    ),
    "keeps_nothing": (Shape("OpenAI, as reported", range(400, 500), words=re.compile(r"Zero Data Retention")),),
    # With 401, which elsewhere says that the key is wrong.
    "no_right": (Shape("OpenAI, restricted keys, as reported", {401, 403}, words=re.compile(r"Missing scopes?:")),),
}
"""How providers say the rest."""


def topic_of(status: int, said: Said, thread_id: str | None, model: str | None) -> Topic:
    """Find what a body says, if it is anything that we know."""
    # First: a model that is missing must never pass for a thread that is gone.
    if says_no_model(status, said, model):
        return "no_model"
    if says_gone(status, said, thread_id):
        return "gone"
    return next((topic for topic, shapes in OTHERS.items() if any(each.fits(status, said, "") for each in shapes)), "")


def says_gone(status: int, said: Said, name: str | None) -> bool:
    """Whether the conversation, response or item of this id does not exist any more."""
    return any(shape.fits(status, said, name or "") for shape in GONE)


def says_no_model(status: int, said: Said, name: str | None) -> bool:
    """Whether the model of this name does not exist. The name of the parameter says it, too."""
    if said.param == "model" and status == NOT_FOUND:
        return True
    return any(shape.fits(status, said, name or "") for shape in NO_MODEL)


def word(value: object) -> str:
    """Keep a code word; sentences are dropped, because they may be message text."""
    text = "" if value is None else str(value)
    return text if re.fullmatch(r"[\w.\[\]:-]{1,80}", text, re.ASCII) else ""


def _says(pattern: re.Pattern[str], text: str, name: str) -> bool:
    # "Invalid URL (GET /v1/conversations/conv_1)" has the id too, but in an address: there the route is missing.
    if not name and "NAME" in pattern.pattern:
        return False
    whole_name = rf"(?<![\w/-]){re.escape(name)}(?![\w/-])"
    return re.search(pattern.pattern.replace("NAME", whole_name), text, pattern.flags) is not None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
