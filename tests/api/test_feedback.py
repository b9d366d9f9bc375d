"""Who may call an answer right or wrong over HTTP, where that is read, and what is refused."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import schemathesis
from prometheus_client import REGISTRY

from tests.api.client import NO_CALLS, OPERATOR, VIEWER, Answer, Api
from tests.api.conftest import KEYS
from tests.api.test_schema import FreshRecord, filled, validate
from tests.records import BETWEEN, START, exchange
from worker.domain.conversations import Role, message_id, session_id
from worker.ports.rates import Rate
from worker.transcript import Database, SqlFeedback, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, rating, serve

ANN = "ann-0123456789abcdef"
BEN = "ben-0123456789abcdef"
TOKENS = json.dumps(
    {
        ANN: {"role": "viewer", "name": "Ann"},
        BEN: {"role": "viewer", "tenants": ["north"], "name": "Ben"},
        OPERATOR: "operator",
        VIEWER: "viewer",
    }
)
VALIDATED = frozenset({f"{method} /api/messages/{{message_id}}/feedback" for method in ("PUT", "DELETE")})
HOSTILE = "</pre>```\n# Forged\n<script>alert(1)</script> [x](javascript:1) \x1b[2J\u202e"


def said_by(name: str, role: Role = Role.AGENT, number: int = 1, between: int = 0) -> str:
    """The id of a message in the conversation of that name."""
    thread = KEYS[name]
    return message_id("default", f"task-{thread.scope}-{thread.assistant}-{number}", 1, role, between)


A, B = said_by("a"), said_by("b", number=11)


class People:
    """Asks with anybody's token; None asks without."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, token: str | None = ANN, method: str = "GET", **options: Any) -> Answer:
        return await Api(self._session, token).get(path, method, **options)

    async def give(self, message: str, rating: str, token: str | None = ANN, **word: Any) -> Answer:
        return await self.get(f"/api/messages/{message}/feedback", token, "PUT", json={"rating": rating, **word})

    async def take_back(self, message: str, token: str | None = ANN) -> Answer:
        return await self.get(f"/api/messages/{message}/feedback", token, "DELETE")

    async def read(self, path: str, token: str = ANN) -> list[dict[str, Any]]:
        """What is said of the first answer in a list of messages."""
        items = (await self.get(path, token)).json["items"]
        [first, *_] = [each for each in items if each["role"] == "agent"]
        return list(first["feedback"])


async def served(stack: AsyncExitStack, database: Database, tokens: str) -> People:
    crashed: list[Exception] = []
    stack.callback(lambda: crashed and pytest.fail(str(crashed)))
    conversations = SqlTranscriptReader(database, engine="default")
    route = rating(conversations, SqlFeedback(database))
    application = app(conversations, NO_CALLS, Access.of(tokens), report=crashed.append, extend=[route])
    port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
    return People(await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}")))


@pytest.fixture
async def people(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[People]:
    await transcript.ping()
    async with AsyncExitStack() as stack:
        yield await served(stack, database, TOKENS)


def times(rating: str, assistant: str = "analyst") -> float:
    return REGISTRY.get_sample_value("worker_feedback_total", {"rating": rating, "assistant": assistant}) or 0


async def test_two_persons_say_what_they_think_of_an_answer_and_all_read_it_beside_it(people: People) -> None:
    first = await people.give(B, "wrong", note="The price is of last year.")
    second = await people.give(B, "right", BEN)

    assert (first.status, second.status) == (200, 200)
    told = [(each["person"], each["rating"], each["note"]) for each in second.json]
    assert told == [("Ann", "wrong", "The price is of last year."), ("Ben", "right", "")]
    assert len({each["person_id"] for each in second.json}) == 2
    session = session_id(KEYS["b"])
    for path in (f"/api/sessions/{session}/messages", "/api/instances/instance-b/messages"):
        assert await people.read(path) == await people.read(path, BEN) == second.json
    [exported] = (await people.get(f"/api/sessions/{session}/export")).json
    assert exported["messages"][1]["feedback"] == second.json
    text = (await people.get(f"/api/sessions/{session}/export?format=markdown")).text
    assert "\n*Wrong, says Ann, 20" in text
    assert "*\n\n```text\nThe price is of last year.\n```\n\n*Right, says Ben, 20" in text


async def test_a_new_word_replaces_a_persons_own_and_can_be_taken_back(people: People) -> None:
    await people.give(B, "wrong", BEN, note="No.")
    await people.give(B, "wrong", note="No.")
    changed = await people.give(B, "right")
    assert [(each["person"], each["rating"], each["note"]) for each in changed.json] == [
        ("Ben", "wrong", "No."),
        ("Ann", "right", ""),
    ]

    taken = await people.take_back(B)
    assert (taken.status, [each["person"] for each in taken.json]) == (200, ["Ben"])
    assert (await people.take_back(B)).json == taken.json, "there is nothing more"


async def test_ratings_are_counted_by_assistant_where_they_are_new(people: People) -> None:
    before = times("wrong"), times("right")
    for rating_, note in (("wrong", ""), ("wrong", "why"), ("right", "why")):
        await people.give(A, rating_, note=note)
    await people.take_back(A)

    assert (times("wrong") - before[0], times("right") - before[1]) == (1, 1)


@pytest.mark.parametrize("token", [OPERATOR, VIEWER])
async def test_a_token_without_a_name_is_told_what_it_lacks_and_reads_all_the_same(people: People, token: str) -> None:
    await people.give(A, "wrong")
    for refused in (await people.give(A, "right", token), await people.take_back(A, token)):
        assert refused.status == 403
        assert refused.json["detail"] == "This token says of nobody whose it is: give it a name in API_TOKENS."
    assert [each["rating"] for each in await people.read("/api/instances/instance-a/messages", token)] == ["wrong"]


async def test_without_a_token_nothing_is_said(people: People) -> None:
    assert (await people.give(A, "right", None)).status == 401
    assert (await people.take_back(A, None)).status == 401


async def test_limits_hold(people: People) -> None:
    for refused in (await people.give(A, "right", BEN), await people.take_back(A, BEN)):
        assert refused.status == 404
    assert await people.read("/api/instances/instance-a/messages") == []


async def test_an_answer_in_another_engine_is_not_there(people: People, transcript: SqlTranscriptWriter) -> None:
    thread = KEYS["a"]
    other = exchange(40, type(thread)("other", thread.scope, thread.assistant))
    await transcript.record(other)
    name = message_id("other", other.task_id, 1, Role.AGENT)
    assert (await people.give(name, "right")).status == 404


async def test_only_answers_are_called_right_or_wrong(people: People, transcript: SqlTranscriptWriter) -> None:
    await transcript.record(exchange(40, KEYS["a"], between=BETWEEN))
    for name in (said_by("a", Role.USER), said_by("a", Role.AGENT, 40, between=1)):
        for refused in (await people.give(name, "right"), await people.take_back(name)):
            assert (refused.status, refused.json["detail"].startswith("This is no answer")) == (409, True)
    assert (await people.give("nobody's", "right")).status == 404


async def test_an_answer_whose_words_are_gone_gets_none(people: People, transcript: SqlTranscriptWriter) -> None:
    await people.give(A, "wrong", note="secret")
    await transcript.end([session_id(KEYS["a"])], START)
    await transcript.anonymise([session_id(KEYS["a"])], START)

    refused = await people.give(A, "right")
    assert (refused.status, refused.json["detail"]) == (404, "The words of this answer are gone.")
    [left] = await people.read("/api/instances/instance-a/messages")
    assert (left["rating"], left["note"], left["person"], left["person_id"]) == ("wrong", *["[removed]"] * 2, None)


@pytest.mark.parametrize(
    "word",
    [
        {"rating": "so-so"},
        {"rating": None},
        {"rating": "right", "note": "x" * 2001},
        {"rating": "right", "note": 7},
        {"rating": "right", "note": "\ud800"},
        {"rating": "right", "person": "Ben"},
        {},
    ],
)
async def test_what_is_no_word_is_refused(people: People, word: dict[str, Any]) -> None:
    refused = await people.get(f"/api/messages/{A}/feedback", method="PUT", json=word)
    assert refused.status == 422
    assert await people.read("/api/instances/instance-a/messages") == []


async def test_a_hostile_note_is_a_text_in_every_view(people: People) -> None:
    given = await people.give(A, "wrong", note=HOSTILE + "\0" + "x" * (1999 - len(HOSTILE)))
    assert given.status == 200
    assert given.json[0]["note"].startswith(f"{HOSTILE}␀xx")
    text = (await people.get("/api/instances/instance-a/export?format=markdown")).text
    inside = text.partition("*Wrong, says Ann, ")[2].split("\n")
    assert inside[2] == "````text", "a fence that nothing in the note can end"
    assert [line for line in inside if line == "````"] == ["````"]
    assert "\x1b" not in text


async def test_whoever_sits_at_the_machine_has_a_name(database: Database, transcript: SqlTranscriptWriter) -> None:
    await transcript.ping()
    async with AsyncExitStack() as stack:
        people = await served(stack, database, "")
        assert [each["person"] for each in (await people.give(A, "right", None)).json] == ["this machine"]


def test_answers_are_as_documented(tmp_path_factory: pytest.TempPathFactory) -> None:
    errors: list[Exception] = []
    url = filled(tmp_path_factory)
    application = app(
        FreshRecord(url, SqlTranscriptReader),
        NO_CALLS,
        Access.of(TOKENS),
        report=errors.append,
        rate=Rate(burst=100_000),
        extend=[rating(FreshRecord(url, SqlTranscriptReader), FreshRecord(url, SqlFeedback))],
    )
    document: Any = schemathesis.openapi.from_asgi("/api/openapi.json", application)
    found = [each.ok() for each in document.get_all_operations()]
    own = [each for each in found if each.label in VALIDATED]
    assert {each.label for each in own} == VALIDATED
    for operation in own:
        for token in (ANN, BEN, VIEWER):
            validate(operation, token, 10)
            validate(operation, token, 10, message_id=A)
    assert errors == []
