"""Refusals that are about the question or the assistant: filters, windows, limits, parameters, retention."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.apis import Asking
from tests.contract.questions import KEY, SECRET_WORD, assistant, question
from worker.demo.model import ModelServer
from worker.domain.threads import Outcome
from worker.errors import (
    BadRequest,
    ContextFull,
    Filtered,
    ModelDown,
    ModelUnknown,
    ProviderPaused,
    ThreadBroken,
    WorkerError,
)
from worker.providers import OpenAIProvider
from worker.providers.failures import limit_reset
from worker.providers.refusals import OTHERS, Said, topic_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def error(message: str, **words: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | words}


FILTERED: list[tuple[int, Any, str]] = [
    (
        400,
        error(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            type=None,
            param="prompt",
            code="content_filter",
            status=400,
            innererror={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
            },
        ),
        "content_filter",
    ),
    (400, error("Invalid prompt: it was flagged by our usage policy.", code="invalid_prompt"), "invalid_prompt"),
    (400, error("Not under our policy.", code="bio_policy"), "bio_policy"),
    (
        400,
        error("litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException", type=None, code="400"),
        "content_filter",
    ),
    (
        403,
        {"error": {"code": 403, "message": 'x requires moderation on y. Your input was flagged for "z".'}},
        "content_filter",
    ),
]

FULL: list[tuple[int, Any]] = [
    (400, {"detail": "Invalid value. request (5032 tokens) exceeds the available context size (2048 tokens)"}),
    (400, error("Your input exceeds the context window.", code="context_length_exceeded", param="input")),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 4096,
            }
        },
    ),
    (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    (400, error("This model's maximum context length is 8192 tokens.", type="BadRequestError", code=400)),
    (400, error("This endpoint's maximum context length is 131072 tokens.", type=None, code=400)),
    (400, error("The input (9000 tokens) is longer than the model's context length (4096 tokens).", code=400)),
    (400, {"error": "the input length exceeds the context length"}),
    (500, error("input length exceeds maximum context length", type="api_error")),
    (
        400,
        {
            "error": "Trying to keep the first 6547 tokens when context the overflows. However, the model is loaded "
            "with context length of only 4096 tokens, which is not enough."
        },
    ),
    (200, {"error": "Reached context length of 4096 tokens with model (arch: gemma)."}),
    (
        400,
        {
            "error": "The number of tokens to keep from the initial prompt is greater than the context length "
            "(n_keep: 13055>= n_ctx: 4096)."
        },
    ),
    (400, error("litellm.ContextWindowExceededError: OpenAIException", type=None, code="400")),
    (400, error("prompt is too long: 210000 tokens > 200000 maximum")),
]

TOO_LARGE: list[tuple[int, Any]] = [
    (
        429,
        error(
            "Request too large for gpt-5 in organization org-1 on tokens per min (TPM): Limit 30000, Requested 36055.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
    ),
    (
        413,
        error(
            "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 8000.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
    ),
]

KEEPS_NOTHING = error(
    "Conversation ID cannot be used for this organization due to Zero Data Retention.",
    param="conversation",
    code="unsupported_parameter",
)

BROKEN = [
    error(
        "Item 'rs_68f2' of type 'reasoning' was provided without its required following item.",
        type="invalid_request_error",
        param="input",
    ),
    error("Item 'msg_1' of type 'message' was provided without its required 'reasoning' item: 'rs_1'.", param="input"),
    error("No tool output found for function call call_1.", type="invalid_request_error", param="input"),
    error("The encrypted content gAAA… could not be verified.", code="invalid_encrypted_content"),
]

NO_RIGHT = error(
    "You have insufficient permissions for this operation. Missing scopes: model.request. Check your role."
)

FALSE_FRIENDS: list[tuple[int, Any]] = [
    (400, error("Unsupported parameter.", code="unsupported_parameter", param="temperature")),
    (400, error("max_tokens is too large for a context length that you did not exceed.", param="max_tokens")),
    (429, error("Rate limit reached for gpt-5: Limit 30000, Used 29000, Requested 2000.", code="rate_limit_exceeded")),
    (500, error("Your input was flagged.", type="server_error")),
    (403, error("You have insufficient permissions for this operation.")),
]


def refusal(status: int, body: Any) -> dict[str, Any]:
    return {"reply": {"status": status, "json": body}}


@pytest.mark.parametrize(("status", "body", "code"), FILTERED, ids=str)
async def test_question_that_a_filter_stops_is_answered_as_filtered(
    turns: Asking, server: ModelServer, counted: Any, status: int, body: Any, code: str
) -> None:
    server.fault(turns.call, **refusal(status, body))

    answer = await turns.ask(spec=assistant(output_schema=SCHEMA))

    assert (answer.outcome, answer.text, answer.detail) == (Outcome.FILTERED, "", code)
    assert len(server.requests(turns.call)) == 1, "not asked again without the schema"
    assert counted("model_calls", "filtered") == 1


async def test_filter_that_stops_what_is_asked_without_the_schema_answers_too(
    turns: Asking, server: ModelServer
) -> None:
    server.fault(turns.call, **refusal(400, error("Invalid schema.", code="invalid_json_schema")))
    server.fault(turns.call, **refusal(400, FILTERED[0][1]))

    assert (await turns.ask(spec=assistant(output_schema=SCHEMA))).outcome is Outcome.FILTERED


async def test_run_in_the_background_that_a_filter_stops_at_once_is_told_as_an_error(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault("responses.create", **refusal(400, FILTERED[0][1]))

    with pytest.raises(Filtered, match="content filter stopped the question"):
        await model.start(thread, question(), assistant())


@pytest.mark.parametrize(("status", "body"), [*FULL, *TOO_LARGE], ids=str)
async def test_request_that_is_too_long_is_told_so_once(
    turns: Asking, server: ModelServer, status: int, body: Any
) -> None:
    server.fault(turns.call, **refusal(status, body))

    with pytest.raises(ContextFull, match="shorten the inputs") as caught:
        await turns.ask(spec=assistant(output_schema=SCHEMA))

    assert ("a minute" in str(caught.value)) == ((status, body) in TOO_LARGE)
    assert len(server.requests(turns.call)) == 1


async def test_body_that_something_on_the_way_finds_too_large_may_be_shortened_where_it_has_the_history(
    turns: Asking, server: ModelServer
) -> None:
    server.fault(turns.call, times=None, reply={"status": 413, "text": "<html>413 Request Entity Too Large</html>"})

    with pytest.raises(BadRequest, match="nothing so large: shorten the inputs") as caught:
        await turns.ask()
    assert isinstance(caught.value, ContextFull) == (turns.api != "conversations")


@pytest.mark.parametrize("body", BROKEN, ids=str)
async def test_conversation_that_cannot_be_gone_on_with_is_told_from_a_bad_question(
    turns: Asking, server: ModelServer, body: Any
) -> None:
    server.fault(turns.call, times=None, **refusal(400, body))

    with pytest.raises(BadRequest) as caught:
        await turns.ask(spec=assistant(output_schema=SCHEMA))
    if turns.api == "conversations":
        assert type(caught.value) is ThreadBroken
        assert len(server.requests(turns.call)) == 1, "neither the schema nor a stream is at fault"
    else:
        assert type(caught.value) is BadRequest, "there is no conversation"


async def test_organisation_without_conversations_is_told_which_api_it_has(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault(times=None, **refusal(400, KEEPS_NOTHING))

    for call in (model.create_thread({}), model.ask(thread, question(), assistant()), model.metadata(thread)):
        with pytest.raises(ProviderPaused, match=r"zero data retention.*`api: responses`"):
            await call


@pytest.mark.parametrize(
    ("param", "line"),
    [
        ("temperature", "temperature"),
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("max_output_tokens", "max_output_tokens"),
    ],
)
async def test_parameter_that_a_model_does_not_take_is_named_as_the_line_of_the_spec(
    turns: Asking, server: ModelServer, param: str, line: str
) -> None:
    body = error(f"Unsupported value: '{param}'.", code="unsupported_value", param=param)
    server.fault(turns.call, **refusal(400, body))

    with pytest.raises(BadRequest, match=f"'gpt-5-mini' does not take this `{line}`: change or remove that line"):
        await turns.ask()
    assert len(server.requests(turns.call)) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, error("You exceeded your current quota.", code="insufficient_quota"), ProviderPaused),
        (200, error("Upstream failed.", code=502), ModelUnknown),
        (200, {"error": "Unexpected endpoint or method. (POST /v1/x)"}, ModelUnknown),
    ],
)
async def test_error_that_comes_with_success_is_read_by_its_words(
    turns: Asking, server: ModelServer, status: int, body: Any, kind: type[WorkerError]
) -> None:
    server.fault(turns.call, **refusal(status, body))

    with pytest.raises(WorkerError) as caught:
        await turns.ask()
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8.64s"}, "", 8.64),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 360),
        (
            {
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-requests": "23h59m",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "20ms",
            },
            "",
            0.02,
        ),
        ({"x-ratelimit-reset-requests": "1h2m", "x-ratelimit-reset-tokens": "1m30.5s"}, "", 90.5),
        ({"x-ratelimit-reset-requests": "9999h"}, "", 3600),
        ({"x-ratelimit-reset-requests": "soon"}, "", None),
        ({"x-ratelimit-reset-requests": ""}, "", None),
        ({}, "Limit 10000, Used 8554, Requested 3082. Please try again in 9.816s. Visit x.", 9.816),
        ({}, "Please try again in 6m0s.", 360),
        ({}, "Please try again in 864ms.", 0.864),
        ({}, "Please retry after 26 seconds.", 26),
        ({"x-ratelimit-reset-tokens": "1h"}, "Please try again in 2s.", 2),
        ({}, "Try again later.", None),
        ({}, "", None),
    ],
)
def test_wait_is_taken_from_the_limit_that_is_used_up_or_from_the_text(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert limit_reset(headers, message) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8s"}, 8),
        (429, {"retry-after": "3", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8s"}, 3),
        (429, {"retry-after-ms": "1500", "retry-after": "3"}, 1.5),
        (503, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8s"}, None),
    ],
)
async def test_wait_for_a_limit_reaches_the_error(
    turns: Asking, server: ModelServer, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server.fault(turns.call, reply={"status": status, "message": "Slow down.", "headers": headers})

    with pytest.raises(ModelDown) as caught:
        await turns.ask()
    assert caught.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def said(body: Any) -> Said:
    return Said.by(json.dumps(body).encode())


BODIES: list[tuple[str, int, Any]] = [
    *(("filtered", status, body) for status, body, _ in FILTERED),
    *(("full", status, body) for status, body in FULL),
    *(("too_large", status, body) for status, body in TOO_LARGE),
    ("keeps_nothing", 400, KEEPS_NOTHING),
    *(("broken", 400, body) for body in BROKEN),
    ("no_right", 401, NO_RIGHT),
]


@pytest.mark.parametrize(
    ("topic", "shape"),
    [pytest.param(topic, each, id=each.source) for topic, shapes in OTHERS.items() for each in shapes],
)
def test_every_row_of_the_other_topics_has_its_body(topic: str, shape: Any) -> None:
    assert any(shape.fits(status, said(body), "") for known, status, body in BODIES if known == topic)


@pytest.mark.parametrize(("topic", "status", "body"), BODIES, ids=str)
def test_every_body_has_one_topic(topic: str, status: int, body: Any) -> None:
    assert topic_of(status, said(body), "conv_1", "gpt-5-mini") == topic


@pytest.mark.parametrize(("status", "body"), FALSE_FRIENDS, ids=str)
def test_words_that_only_resemble_mean_nothing(status: int, body: Any) -> None:
    assert topic_of(status, said(body), "conv_1", "gpt-5-mini") == ""


async def test_nothing_that_a_refusal_quotes_is_told_further(turns: Asking, server: ModelServer) -> None:
    for status, body in [*FULL, *TOO_LARGE, *((400, body) for body in BROKEN)]:
        quoting = json.loads(json.dumps(body).replace("tokens", f"tokens {SECRET_WORD} {KEY}"))
        server.clear_faults()
        server.fault(turns.call, times=None, **refusal(status, quoting))
        with pytest.raises(WorkerError) as caught:
            await turns.ask()
        assert SECRET_WORD not in repr(caught.value)
        assert KEY not in repr(caught.value)
