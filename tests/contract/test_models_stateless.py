"""Models that are told everything with every question: how servers of them take it, in bodies that were recorded."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.questions import KEY, assistant
from worker.demo.model import ModelServer
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Said
from worker.errors import BadRequest, ContextFull, ModelDown, ProviderPaused
from worker.providers import ChatModel, Client, ResponsesModel

Model = ChatModel | ResponsesModel
CALLS = {"chat": "chat.completions.create", "responses": "responses.create"}
MODELS: dict[str, type[ChatModel] | type[ResponsesModel]] = {"chat": ChatModel, "responses": ResponsesModel}

LLAMA_FULL = "request (5032 tokens) exceeds the available context size (2048 tokens), try increasing it"
LITELLM_FULL = (
    "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - "
    f"{LLAMA_FULL}\nmodel=smollm2. context_window_fallbacks=None. fallbacks=None.\n\nSet 'context_window_fallback' - "
    "https://docs.litellm.ai/docs/routing#fallbacks\n\nLiteLLM: model group 'smollm2' failed with the error above. No "
    "fallback was attempted."
)
LITELLM = {"type": "invalid_request_error", "param": None, "code": "400"}
FULL_BODIES: list[Any] = [
    {
        "error": {
            "code": 400,
            "message": LLAMA_FULL,
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5032,
            "n_ctx": 2048,
        }
    },
    {"error": {"message": LITELLM_FULL, **LITELLM}},
    {"error": {"message": f"Error code: 400 - {LLAMA_FULL}"}},
    {"detail": f"Invalid value for 'model': mock/smollm2. {LLAMA_FULL}"},
    {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, you requested 5032 tokens in the "
        "messages. Please reduce the length of the messages.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
    {"error": {"message": "Too long.", "code": "context_length_exceeded", "param": "messages"}},
]


@pytest.fixture(params=CALLS)
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the two."""
    api: Api = request.param
    return api


@pytest.fixture
def call(api: Api) -> str:
    """What a turn calls over it."""
    return CALLS[api]


@pytest.fixture
async def model(server: ModelServer, api: Api) -> AsyncIterator[Model]:
    """It, on the scripted server."""
    async with Client.open(ProviderSpec(api=api, base_url=server.base_url, key=KEY)) as client:
        yield MODELS[api](client)


@pytest.mark.parametrize("body", FULL_BODIES, ids=str)
async def test_refusal_of_what_is_too_long_is_told_from_others(
    model: Model, server: ModelServer, call: str, body: Any
) -> None:
    server.fault(call, reply={"status": 400, "json": body})

    with pytest.raises(ContextFull):
        await model.ask([], "Which one?", assistant(output_schema={"type": "object"}))
    assert server.counts()["calls"][call] == 1, "the schema is not at fault"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "litellm.BadRequestError: OpenAIException - 'ContextWindowExceededError:'", **LITELLM}},
        {"error": {"message": "'This model's maximum context length is 10 tokens' is no question", **LITELLM}},
        {"error": {"code": 400, "message": "Cannot determine type of 'item'", "type": "invalid_request_error"}},
    ],
    ids=str,
)
async def test_other_refusals_shorten_nothing(model: Model, server: ModelServer, call: str, body: Any) -> None:
    server.fault(call, reply={"status": 400, "json": body})

    with pytest.raises(BadRequest) as caught:
        await model.ask([], "Which one?", assistant())
    assert not isinstance(caught.value, ContextFull)


async def test_every_message_says_that_it_is_one(server: ModelServer) -> None:
    """llama.cpp, and so LiteLLM before it: 400 "Cannot determine type of 'item'" of an answer that does not."""
    said = [Said("developer", "A note."), Said("user", "One?"), Said("assistant", "Two.")]
    async with Client.open(ProviderSpec(api="responses", base_url=server.base_url, key=KEY)) as client:
        await ResponsesModel(client).ask(said, "Three?", assistant())

    [request] = server.requests("responses.create")
    assert request["body"]["input"] == [
        {"type": "message", "role": "system", "content": "A note."},
        {"type": "message", "role": "user", "content": "One?"},
        {"type": "message", "role": "assistant", "content": "Two."},
        {"type": "message", "role": "user", "content": "Three?"},
    ]


REFUSED = [
    {"error": {"code": 400, "message": "'messages' is required", "type": "invalid_request_error"}},
    {"error": {"message": "/responses: Missing required parameter: 'input'.", **LITELLM, "param": "input"}},
    {"error": {"message": "{'errors': [{'loc': ['body', 'input'], 'msg': 'Field required', 'type': 'missing'}]}"}},
]


@pytest.mark.parametrize("body", REFUSED, ids=str)
async def test_provider_that_refuses_a_call_for_nothing_has_the_api(
    model: Model, server: ModelServer, call: str, body: Any
) -> None:
    server.fault(call, reply={"status": 400, "json": body})

    await model.ping()


async def test_probe_runs_no_model(model: Model, server: ModelServer, call: str) -> None:
    await model.ping()

    assert [request["body"] for request in server.requests(call)] == [{}]
    assert server.counts()["running"] == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"detail": "Not Found"}, ModelDown),
        (404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, ModelDown),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, ModelDown),
        (200, {"error": "Unexpected endpoint or method. (POST /v1/nothing)"}, ModelDown),
        (401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, ProviderPaused),
        (
            400,
            {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}},
            ProviderPaused,
        ),
    ],
    ids=str,
)
async def test_probe_fails_where_a_turn_would(
    model: Model, server: ModelServer, call: str, status: int, body: Any, error: type[Exception]
) -> None:
    server.fault(call, reply={"status": status, "json": body})

    with pytest.raises(error) as caught:
        await model.ping()
    assert type(caught.value) is error


async def test_key_that_may_not_list_models_pings(model: Model, server: ModelServer) -> None:
    server.fault("models.*", times=None, reply="forbidden")

    await model.ping()


@pytest.mark.parametrize(("name", "there"), [("gpt-5-mini", True), ("gpt-0", False)])
async def test_models_that_are_not_shown_alone_are_looked_for_in_the_list(
    model: Model, server: ModelServer, name: str, *, there: bool
) -> None:
    body = {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
    server.fault("models.retrieve", reply={"status": 404, "json": body})

    assert bool(await model.find_model(name)) is there
