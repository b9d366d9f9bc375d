"""The shapes of OpenAI's HTTP: errors, items, messages and responses, checked and built as plain JSON."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

Json = dict[str, Any]

MAX_ITEMS: Final = 20
MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
TOKEN_CHARACTERS: Final = 4
"""A token is four characters here: wrong for any real model, and the same every time."""

_ROLES = {"user": "input_text", "system": "input_text", "developer": "input_text", "assistant": "output_text"}


class ApiError(Exception):
    """Becomes a reply with OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": code}

    def response(self) -> web.Response:
        """The reply as it goes over the wire."""
        return web.json_response({"error": self.error}, status=self.status)


def conversation_gone(conversation_id: str) -> ApiError:
    """The one 404 that says that a conversation does not exist."""
    return ApiError(404, f"Conversation with id '{conversation_id}' not found.")


def model_not_found(model: object) -> ApiError:
    """The 404 that speaks of a model, on every path that names one."""
    message = f"The model '{model}' does not exist or you do not have access to it."
    return ApiError(404, message, param="model", code="model_not_found")


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A 400 about one parameter."""
    return ApiError(400, f"Invalid '{param}': {message}", param=param, code=code)


def missing(param: str) -> ApiError:
    """A 400 about a parameter that is not there."""
    return ApiError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def new_id(kind: str) -> str:
    """An id such as `conv_…`; nobody can guess it, so that a lost one is lost."""
    return f"{kind}_{secrets.token_hex(24)}"


def reasons(model: str) -> bool:
    """Whether a model thinks before it answers."""
    return model.startswith(("gpt-5", "o"))


def now() -> int:
    """Seconds since the epoch, as all of OpenAI's times."""
    return int(time.time())


def tokens(*texts: str) -> int:
    """How many tokens these texts cost together."""
    return sum(-(-len(text) // TOKEN_CHARACTERS) for text in texts)


def metadata(value: object) -> dict[str, str]:
    """Checks the pairs that can be put on a conversation or a response."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("metadata", "expected an object.", "invalid_type")
    if len(value) > MAX_PAIRS:
        raise invalid("metadata", f"at most {MAX_PAIRS} properties, got {len(value)}.", "object_above_max_properties")
    for key, text in value.items():
        if len(key) > MAX_KEY:
            raise invalid(
                "metadata", f"keys of at most {MAX_KEY} characters, got {len(key)}.", "string_above_max_length"
            )
        if not isinstance(text, str):
            raise invalid(f"metadata.{key}", "expected a string.", "invalid_type")
        if len(text) > MAX_VALUE:
            wanted = f"a string of at most {MAX_VALUE} characters, got {len(text)}."
            raise invalid(f"metadata.{key}", wanted, "string_above_max_length")
    return dict(value)


def items(value: object, param: str, *, limit: int | None = None) -> list[Json]:
    """Checks what a client wants to put on a conversation, and gives each item its id."""
    if isinstance(value, str):
        return [message("user", [value])]
    if not isinstance(value, list):
        raise invalid(param, "expected an array.", "invalid_type")
    if limit is not None and len(value) > limit:
        raise invalid(param, f"at most {limit} items, got {len(value)}.", "array_above_max_length")
    return [_item(raw, f"{param}[{position}]") for position, raw in enumerate(value)]


def _item(raw: object, param: str) -> Json:
    if not isinstance(raw, dict):
        raise invalid(param, "expected an object.", "invalid_type")
    kind = raw.get("type", "message" if "role" in raw else None)
    if not isinstance(kind, str):
        raise ApiError(
            400,
            f"Missing required parameter: '{param}.type'.",
            param=f"{param}.type",
            code="missing_required_parameter",
        )
    if kind != "message":
        return {**raw, "id": raw.get("id") or new_id("item")}
    role, content = raw.get("role"), raw.get("content")
    if role not in _ROLES:
        raise invalid(f"{param}.role", f"expected one of {', '.join(_ROLES)}.")
    if isinstance(content, str):
        return message(role, [content])
    if not isinstance(content, list) or not all(isinstance(part, dict) and "type" in part for part in content):
        raise invalid(f"{param}.content", "expected a string or an array of content parts.", "invalid_type")
    return {**message(role, []), "content": content}


def message(role: str, texts: Iterable[str], *, status: str = "completed") -> Json:
    """A message item; every text becomes a part of its own."""
    return message_of(role, [text_part(text, _ROLES[role]) for text in texts], status=status)


def message_of(role: str, parts: Sequence[Json], *, status: str = "completed") -> Json:
    """A message item of these parts."""
    return {"id": new_id("msg"), "type": "message", "role": role, "status": status, "content": list(parts)}


def text_part(text: str, kind: str = "output_text") -> Json:
    """A part of a message's content."""
    extra: Json = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    return {"type": kind, "text": text, **extra}


def text_of(item: Mapping[str, Any]) -> str:
    """The text of a message item, all parts joined; nothing for other items."""
    return "".join(part["text"] for part in item.get("content") or () if isinstance(part.get("text"), str))


def question_of(body: object) -> str:
    """The text of the last thing that a user said in a request of any API; empty if nobody did."""
    said = (body.get("input") or body.get("messages")) if isinstance(body, dict) else None
    if isinstance(said, str):
        return said
    items = said if isinstance(said, list) else []
    spoken = [each for each in items if isinstance(each, dict) and each.get("role") == "user"]
    content = spoken[-1].get("content") if spoken else None
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def response(request: Mapping[str, Any], conversation_id: str | None) -> Json:
    """A response that has not begun, with the request's parameters as OpenAI repeats them."""
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": now(),
        "completed_at": None,
        "status": "queued" if request.get("background") else "in_progress",
        "background": bool(request.get("background")),
        "conversation": {"id": conversation_id} if conversation_id else None,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "metadata": metadata(request.get("metadata")),
        "model": request["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "store": request.get("store") is not False,
        "temperature": 1.0 if request.get("temperature") is None else request["temperature"],
        "text": {"format": {"type": "text"}, **(request.get("text") or {})},
        "tool_choice": "auto",
        "tools": list(request.get("tools") or ()),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def usage(read: int, written: int, *, cached: int = 0, reasoning: int = 0) -> Json:
    """What a response cost. Reasoning comes on top of what was written for others."""
    written += reasoning
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": read + written,
    }


def parsed(raw: bytes) -> Any:
    """The body as JSON; None for a body that is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
