"""Stopping over HTTP: operators only, within their limits, and nothing that there is not."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import schemathesis

from tests.api.client import NO_CALLS, OPERATOR, VIEWER, Answer, Api
from tests.api.test_schema import validate
from tests.fakes.board import Board
from worker.domain.stops import Kind, Stop
from worker.ports.rates import Rate
from worker.transcript import Database, SqlTranscriptReader
from worker.web.api import Access, app, serve, stopping

NORTH = "north-0123456789abcdef"
ONE = "one-0123456789abcdef"
ANN = "ann-0123456789abcdef"
TOKENS = json.dumps(
    {
        OPERATOR: "operator",
        VIEWER: "viewer",
        NORTH: {"role": "operator", "tenants": ["north"]},
        ANN: {"rights": ["stop"], "name": "Ann"},
        ONE: {"role": "operator", "tenants": ["north"], "instances": ["instance-a"]},
    }
)
NAMES: dict[Kind, list[str]] = {"assistant": ["analyst"], "provider": ["openai"]}
VALIDATED = frozenset({"GET /api/stops", "POST /api/stops", "DELETE /api/stops"})
AT = datetime(2026, 5, 4, tzinfo=UTC)
ALL = Stop("all", "", "ann", AT, "an incident")
NORTHERN = Stop("tenant", "north", "ann", AT)


@pytest.fixture
def board() -> Board:
    return Board()


async def served(stack: AsyncExitStack, database: Database, board: Board, tokens: str) -> aiohttp.ClientSession:
    crashed: list[Exception] = []
    stack.callback(lambda: crashed and pytest.fail(str(crashed)))
    conversations, route = SqlTranscriptReader(database), stopping(board, NAMES)
    application = app(conversations, NO_CALLS, Access.of(tokens), report=crashed.append, extend=[route])
    port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
    return await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))


@pytest.fixture
async def ask(database: Database, board: Board) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        session = await served(stack, database, board, TOKENS)

        async def asked(method: str, token: str | None = OPERATOR, query: str = "", **wish: Any) -> Answer:
            more = {"json": wish} if wish else {}
            return await Api(session, token).get(f"/api/stops{query}", method, **more)

        yield asked


async def test_an_operator_stops_sees_and_lifts(ask: Any, board: Board) -> None:
    ordered = await ask("POST", kind="assistant", name="analyst", reason="too dear", now=True)
    assert ordered.status == 200
    [stop] = board.stops
    assert (stop.kind, stop.name, stop.reason, stop.now) == ("assistant", "analyst", "too dear", True)
    assert stop.by.startswith("the token ")
    assert OPERATOR not in ordered.text
    assert (await ask("GET", VIEWER)).json == [ordered.json]

    lifted = await ask("DELETE", query="?kind=assistant&name=analyst")
    assert (lifted.status, lifted.json, board.stops) == (200, [], [])
    again = await ask("DELETE", query="?kind=assistant&name=analyst")
    assert (again.status, again.json["detail"]) == (404, "assistant analyst is not stopped.")


async def test_a_stop_is_ordered_by_the_person_whose_token_it_is(ask: Any, board: Board) -> None:
    assert (await ask("POST", ANN, kind="all")).json["by"] == "Ann"
    assert [stop.by for stop in board.stops] == ["Ann"]


async def test_viewers_and_strangers_change_nothing(ask: Any, board: Board) -> None:
    board.stops = [ALL]
    for token, status in ((VIEWER, 403), (None, 401)):
        assert (await ask("POST", token, kind="all")).status == status
        assert (await ask("DELETE", token, "?kind=all")).status == status
    assert (await ask("GET", None)).status == 401
    assert board.stops == [ALL]


async def test_a_token_with_limits_has_its_own_tenants_stops_and_no_others(ask: Any, board: Board) -> None:
    board.stops = [ALL, NORTHERN, Stop("tenant", "south", "ann", AT)]
    assert [each["name"] for each in (await ask("GET", NORTH)).json] == ["north"]
    assert (await ask("GET", ONE)).json == []
    for kind, name in (("tenant", "south"), ("all", ""), ("assistant", "analyst"), ("topic", "north")):
        assert (await ask("POST", NORTH, kind=kind, name=name)).status == 403
        assert (await ask("DELETE", NORTH, f"?kind={kind}&name={name}")).status == 403
    assert (await ask("POST", ONE, kind="tenant", name="north")).status == 403
    board.stops.remove(NORTHERN)
    ordered = await ask("POST", NORTH, kind="tenant", name="north")
    assert (ordered.status, ordered.json["limited"]) == (200, True)
    assert (await ask("POST", NORTH, kind="tenant", name="north", now=True)).status == 200
    lifted = await ask("DELETE", NORTH, "?kind=tenant&name=north")
    assert (lifted.status, len(board.stops)) == (200, 2)


async def test_a_token_with_limits_changes_no_stop_of_somebody_without(ask: Any, board: Board) -> None:
    board.stops = [NORTHERN]
    for refused in (
        await ask("POST", NORTH, kind="tenant", name="north"),
        await ask("DELETE", NORTH, "?kind=tenant&name=north"),
    ):
        assert (refused.status, "somebody without limits" in refused.json["detail"]) == (403, True)
    assert board.stops == [NORTHERN]
    assert (await ask("POST", kind="tenant", name="north")).json["limited"] is False
    assert (await ask("DELETE", query="?kind=tenant&name=north")).status == 200
    assert (await ask("POST", NORTH, kind="tenant", name="north")).status == 200
    assert (await ask("DELETE", query="?kind=tenant&name=north")).status == 200


@pytest.mark.parametrize(
    ("wish", "status", "said"),
    [
        ({"kind": "assistant", "name": "analist"}, 404, "did you mean 'analyst'? There are: analyst"),
        ({"kind": "all", "name": "analyst"}, 404, "all takes no name"),
        ({"kind": "topic"}, 404, "say which topic"),
        ({"kind": "region", "name": "eu"}, 422, "kind: Input should be"),
        ({"kind": "all", "until": "tomorrow"}, 422, "until: Extra inputs are not permitted"),
    ],
)
async def test_what_cannot_be_stopped_is_refused_with_what_can(
    ask: Any, board: Board, wish: Any, status: int, said: str
) -> None:
    answer = await ask("POST", **wish)
    assert (answer.status, said in answer.json["detail"]) == (status, True)
    assert board.stops == []


async def test_without_redis_nothing_changes_and_what_was_known_is_told(ask: Any, board: Board) -> None:
    board.stops, board.away = [ALL], True
    assert (await ask("POST", kind="topic", name="t")).status == 503
    assert (await ask("DELETE", query="?kind=all")).status == 503
    assert len((await ask("GET")).json) == 1


async def test_without_tokens_a_page_from_elsewhere_can_lift_nothing(database: Database, board: Board) -> None:
    board.stops = [ALL]
    async with AsyncExitStack() as stack:
        api = Api(await served(stack, database, board, ""), None)
        for method, query, more in (("DELETE", "?kind=all", {}), ("POST", "", {"json": {"kind": "all"}})):
            foreign = await api.get(f"/api/stops{query}", method, headers={"Origin": "http://evil.example"}, **more)
            assert foreign.status == 401
        assert board.stops == [ALL]
        ordered = await api.get("/api/stops", "POST", json={"kind": "topic", "name": "t"})
        assert (ordered.status, ordered.json["by"]) == (200, "this machine, over the API")


def test_answers_are_as_documented() -> None:
    errors: list[Exception] = []
    application = app(
        None,  # type: ignore[arg-type]  # not asked
        NO_CALLS,
        Access.of(TOKENS),
        report=errors.append,
        rate=Rate(burst=100_000),
        extend=[stopping(Board([ALL, NORTHERN]), NAMES)],
    )
    document: Any = schemathesis.openapi.from_asgi("/api/openapi.json", application)
    found = [each.ok() for each in document.get_all_operations()]
    own = [each for each in found if each.label in VALIDATED]
    assert {each.label for each in own} == VALIDATED
    for operation in own:
        for token in (OPERATOR, NORTH, VIEWER):
            validate(operation, token, 15)
    assert errors == []
