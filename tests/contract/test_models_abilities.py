"""What doctor finds out about a model by one small call, over each API."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.apis import CALLS, asking
from tests.contract.questions import assistant
from worker.demo.model import ModelServer
from worker.domain.providers import Api, ProviderSpec, Schemas
from worker.domain.stops import Kind, Stop, Stops
from worker.errors import StoreDown
from worker.operate.doctor.abilities import MOST_WRITTEN, of_model, of_window
from worker.operate.doctor.checks import Finding, Level

MODEL = "gpt-5-mini"
USER = replace(assistant(), name="analyst", timeout=timedelta(minutes=1))
STRICT = '"strict":true'
SCHEMA = "json_schema"
PASSED_OVER = "Yes, I am here."
UNKNOWN = {"message": "Unknown parameter: 'store'.", "type": "invalid_request_error", "param": "store"}


class Book:
    """`ports.stops.StopBook` that is only read."""

    def __init__(self, *stops: tuple[Kind, str], error: Exception | None = None) -> None:
        self._stops = [Stop(kind, name, "ada", datetime(2026, 5, 4, tzinfo=UTC)) for kind, name in stops]
        self._error = error

    async def read(self) -> Stops:
        if self._error is not None:
            raise self._error
        return Stops(tuple(self._stops))


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture(params=list(CALLS))
def api(request: pytest.FixtureRequest) -> Api:
    return request.param  # type: ignore[no-any-return]  # of CALLS


async def found(server: ModelServer, api: Api, said: Schemas = "loose", book: Book | None = None) -> Finding:
    spec = ProviderSpec("own", api, server.base_url, key="sk-test", schema=said)
    async with asking(spec) as asked:
        return await of_model("provider own", MODEL, spec, [USER], asked.provider, book or Book())  # type: ignore[arg-type]  # read alone


def refuse(server: ModelServer, api: Api, text: str, error: Mapping[str, Any] | None = None) -> None:
    reply = {"status": 400, "json": {"error": error or {"message": f"no {text}", "type": "invalid_request_error"}}}
    server.fault(CALLS[api], text=text, times=None, reply=reply)


async def test_one_call_is_made_that_is_bounded_and_leaves_nothing(server: ModelServer, api: Api) -> None:
    one = await found(server, api, "strict")

    assert (one.subject, one.level) == (f"call of {MODEL}", Level.OK)
    assert "tokens read" in one.said
    assert one.said.endswith("schema: strict is right")
    [asked] = [each for each in server.requests(CALLS[api]) if each["status"] == 200]
    assert MOST_WRITTEN in {asked["body"].get(name) for name in ("max_completion_tokens", "max_output_tokens")}
    assert asked["body"].get("store", False) is False
    assert server.conversations() == {}


@pytest.mark.parametrize(
    ("refused", "told", "level", "advice"),
    [
        (STRICT, "strict", Level.WARNING, "Set schema: loose for the provider own"),
        (STRICT, "loose", Level.OK, ""),
        (SCHEMA, "loose", Level.WARNING, "Set schema: none for the provider own"),
        (SCHEMA, "none", Level.OK, ""),
        ("", "none", Level.OK, ""),
    ],
)
async def test_what_the_file_says_of_schemas_is_compared_with_what_is_taken(
    server: ModelServer, api: Api, refused: str, told: Schemas, level: Level, advice: str
) -> None:
    if refused:
        refuse(server, api, refused)
    one = await found(server, api, told)

    assert one.level is level
    assert one.advice.startswith(advice) if advice else one.advice == ""
    assert len([each for each in server.requests(CALLS[api]) if each["status"] == 200]) == 1


async def test_a_schema_that_is_taken_and_passed_over_is_seen(server: ModelServer, api: Api) -> None:
    server.answer("Are you there", PASSED_OVER)
    one = await found(server, api)

    assert (one.level, "taken and not kept to" in one.said) == (Level.WARNING, True)
    assert one.advice.startswith("Set schema: none")


async def test_a_server_that_refuses_what_every_turn_brings_is_a_problem(server: ModelServer) -> None:
    refuse(server, "responses", '"store"', UNKNOWN)
    one = await found(server, "responses")

    assert one.level is Level.PROBLEM
    assert "store" in one.said
    assert (await found(server, "conversations")).level is Level.WARNING


@pytest.mark.parametrize(
    ("reply", "level"), [("quota", Level.PROBLEM), ("forbidden", Level.PROBLEM), ("server_error", Level.UNKNOWN)]
)
async def test_what_a_probe_does_not_meet_a_call_does(server: ModelServer, api: Api, reply: str, level: Level) -> None:
    server.fault(CALLS[api], times=None, reply=reply)
    assert (await found(server, api)).level is level
    assert len(server.requests(CALLS[api])) == 1


@pytest.mark.parametrize("stop", [("all", ""), ("provider", "own"), ("assistant", "analyst")])
async def test_what_is_stopped_is_not_called(server: ModelServer, stop: tuple[Kind, str]) -> None:
    one = await found(server, "chat", book=Book(stop))
    assert (one.level, "is stopped by ada" in one.said) == (Level.UNKNOWN, True)
    assert (await found(server, "chat", book=Book(error=StoreDown("no Redis")))).level is Level.UNKNOWN
    assert server.requests(CALLS["chat"]) == []
    assert (await found(server, "chat", book=Book(("topic", "x"), ("provider", "other")))).level is Level.OK


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"max_model_len": 8192}, 8192),
        ({"context_length": 4096}, 4096),
        ({"context_window": 131072}, 131072),
        ({"max_context_length": 32768}, 32768),
        ({"context_length": "much", "max_model_len": -1}, None),
        ({}, None),
    ],
)
async def test_a_window_that_the_server_tells_is_heard(
    server: ModelServer, api: Api, body: dict[str, Any], told: int | None
) -> None:
    server.fault("models.retrieve", reply={"status": 200, "json": {"id": MODEL, "object": "model", **body}})
    async with asking(ProviderSpec("own", api, server.base_url, key="sk-test")) as asked:
        card = await asked.provider.find_model(MODEL)

    assert card is not None
    assert card.context_tokens == told


@pytest.mark.parametrize(
    ("told", "said", "level"),
    [(8192, 8192, Level.OK), (8192, None, Level.OK), (4096, 8192, Level.WARNING), (None, 8192, None)],
)
def test_a_window_is_compared_with_the_file(told: int | None, said: int | None, level: Level | None) -> None:
    spec = ProviderSpec("own", "chat", "http://h/v1", context_tokens=said)
    assert [each.level for each in of_window("provider own", MODEL, spec, told)] == ([level] if level else [])
