"""The chat completions of the stand-in: the same turns in another dress. Nothing of them is kept."""

from collections.abc import Mapping
from typing import Any, Final

from worker.demo.model import parts, wire
from worker.demo.model.wire import ApiError, Json, invalid, missing

PARAMETERS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
"""What chat.completions.create takes. Others are refused, as OpenAI does."""

_ROLES: Final = ("developer", "system", "user", "assistant")
_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}


def as_response(body: Json) -> Json:
    """Read a request as one for a response that nobody keeps. Raises ApiError for what OpenAI refuses."""
    for name in body.keys() - PARAMETERS:
        raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise missing("messages")
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise invalid(f"messages[{position}].role", f"expected one of {', '.join(_ROLES)}.")
        if not isinstance(message.get("content"), str | list):
            raise invalid(f"messages[{position}].content", "expected a string or an array.", "invalid_type")
    if body.get("max_tokens") is not None and wire.reasons(str(body.get("model"))):
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise ApiError(400, text, param="max_tokens", code="unsupported_parameter")
    if body.get("stream_options") and not body.get("stream"):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise ApiError(400, text, param="stream_options")
    wanted = body.get("response_format") or {"type": "text"}
    if wanted.get("type") == "json_schema":
        wanted = {"type": "json_schema", **wanted["json_schema"]}
    return {
        "model": body.get("model"),
        "input": [{"role": each["role"], "content": _parts(each)} for each in messages],
        "max_output_tokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "text": {"format": wanted},
        "stream": body.get("stream"),
        "store": False,
    }


def _parts(message: Json) -> Any:
    if isinstance(message["content"], str):
        return message["content"]
    return [parts.of_chat(part, message["role"]) for part in message["content"]]


def completion(response: Mapping[str, Any]) -> Json:
    """Show a response as a completion. Raises ApiError for one that failed: completions know no such status."""
    if response["status"] == "failed":
        raise ApiError(500, response["error"]["message"], kind="server_error", code=response["error"]["code"])
    said = [item for item in response["output"] if item.get("type") == "message"]
    refusals = [part["refusal"] for item in said for part in item["content"] if "refusal" in part]
    reason = (response["incomplete_details"] or {}).get("reason")
    message: Json = {
        "role": "assistant",
        "content": None if refusals else "".join(map(wire.text_of, said)),
        "refusal": refusals[0] if refusals else None,
        "annotations": [],
    }
    usage = response["usage"]
    return {
        "id": response["id"].replace("resp_", "chatcmpl-"),
        "object": "chat.completion",
        "created": response["created_at"],
        "model": response["model"],
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS.get(reason or "", "stop")}
        ],
        "usage": {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": usage["input_tokens_details"],
            "completion_tokens_details": usage["output_tokens_details"],
        },
    }
