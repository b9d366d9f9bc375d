"""What the API answers, and to whom."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from markdown_it import MarkdownIt

from tests.api.client import GUEST, NO_CALLS, OPERATOR, VIEWER, Answer, Api
from tests.api.conftest import KEYS
from tests.records import BETWEEN, exchange
from worker.domain.conversations import session_id
from worker.domain.money import Money
from worker.export import FORMATS
from worker.ports.rates import Rate
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.web.api import Access, app, serve

IDS = {name: session_id(thread) for name, thread in KEYS.items()}


def named(sessions: Sequence[Any]) -> str:
    names = {each: name for name, each in IDS.items()}
    return "".join(sorted(names[session["id"]] for session in sessions))


async def test_sessions_come_page_by_page(api: Api) -> None:
    first = (await api.get("/api/sessions?limit=2")).json
    second = (await api.get("/api/sessions", params={"limit": 2, "after": first["next"]})).json

    assert [named([session]) for session in first["items"] + second["items"]] == ["c", "b", "a"]
    assert second["next"] is None
    assert first["items"][1]["tenant"] == "north"
    assert first["items"][1]["started_at"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("engine=default", "abc"),
        ("engine=other", ""),
        ("instance=instance-a", "a"),
        ("instance=instance-c", "c"),
        ("business_key=order-1", "abc"),
        ("definition_key=drones&assistant=critic", "c"),
        ("tenant=north&tenant=south", "b"),
        ("active=true", "abc"),
        ("active=false", ""),
        ("since=2026-05-04T09:15:00Z", "c"),
        ("until=2026-05-04T11:05:00%2B02:00", "a"),
    ],
)
async def test_every_filter_filters(api: Api, query: str, found: str) -> None:
    assert named((await api.get(f"/api/sessions?{query}")).json["items"]) == found
    assert (await api.get(f"/api/counts?{query}")).json["sessions"] == len(found)


async def test_an_assistant_is_summed_up_as_far_as_one_may_see(api: Api, viewer: Api) -> None:
    theirs = (await api.get("/api/assistants/analyst/summary")).json
    mine = (await viewer.get("/api/assistants/analyst/summary")).json
    nobodys = (await api.get("/api/assistants/nobody/summary")).json

    assert named(theirs["recent"]) == "ab"
    assert theirs["counts"]["sessions"] == 2
    assert theirs["counts"]["messages"] == sum(session["messages"] for session in theirs["recent"])
    assert named(mine["recent"]) == "b"
    assert mine["counts"]["sessions"] == 1
    assert (nobodys["recent"], nobodys["counts"]["messages"]) == ([], 0)


async def test_one_session_and_what_was_said_in_it(api: Api) -> None:
    session = (await api.get(f"/api/sessions/{IDS['a']}")).json
    page = (await api.get(f"/api/sessions/{IDS['a']}/messages?limit=3")).json
    rest = (await api.get(f"/api/sessions/{IDS['a']}/messages", params={"after": page["next"]})).json
    back = (await api.get(f"/api/sessions/{IDS['a']}/messages?newest=true&limit=1")).json

    assert (session["messages"], session["assistant"]) == (4, "analyst")
    said = [message["content"] for message in page["items"] + rest["items"]]
    assert said == ["Question 1?", "Answer 1.", "Question 2?", "Answer 2."]
    assert [message["content"] for message in back["items"]] == ["Answer 2."]


async def test_instances_with_their_messages_by_activity(api: Api) -> None:
    listed = (await api.get("/api/instances")).json["items"]
    one = (await api.get("/api/instances/instance-c")).json
    said = (await api.get("/api/instances/instance-c/messages?activity=step_21")).json["items"]

    assert [instance["id"] for instance in listed] == ["instance-c", "instance-b", "instance-a"]
    assert (one["messages"], one["input_tokens"]) == (4, 200)
    assert [message["content"] for message in said] == ["Question 21?", "Answer 21."]


async def test_answers_tell_their_cost_and_sums_what_is_not_known(api: Api, transcript: SqlTranscriptWriter) -> None:
    priced = exchange(3, KEYS["a"], cached_tokens=60, reasoning_tokens=5, cost=Money("0.0123", "USD"))
    await transcript.record(priced)
    spent = {
        "answers": 3,
        "unpriced": 2,
        "input_tokens": 300,
        "cached_tokens": 60,
        "cache_write_tokens": 0,
        "output_tokens": 60,
        "reasoning_tokens": 5,
        "cost": [{"amount": "0.0123", "currency": "USD"}],
    }

    said = (await api.get(f"/api/sessions/{IDS['a']}/messages")).json["items"]
    text = (await api.get(f"/api/sessions/{IDS['a']}/export?format=markdown")).text

    assert [each["cost"] for each in said[-3:]] == [None, None, {"amount": "0.0123", "currency": "USD"}]
    assert (said[-1]["cached_tokens"], said[-1]["reasoning_tokens"]) == (60, 5)
    assert (await api.get(f"/api/sessions/{IDS['a']}/cost")).json == spent
    assert (await api.get(f"/api/instances/{priced.process_instance_id}/cost")).json == spent
    assert "100 + 20 tokens, 0.0123 USD*" in text


async def test_what_stands_between_question_and_answer_is_told_in_its_place_and_as_what_it_is(
    api: Api, transcript: SqlTranscriptWriter
) -> None:
    longer = exchange(3, KEYS["a"], between=BETWEEN, user="paul")
    await transcript.record(longer)
    texts = [each.text for each in longer.messages]

    said = (await api.get(f"/api/sessions/{IDS['a']}/messages")).json["items"][-6:]
    [exported] = (await api.get(f"/api/sessions/{IDS['a']}/export")).json
    text = (await api.get(f"/api/sessions/{IDS['a']}/export?format=markdown")).text
    hit = (await api.get("/api/search?q=archive")).json["items"][0]

    for found in (said, exported["messages"][-6:]):
        assert [each["content"] for each in found] == texts
        assert [each["is_between"] for each in found] == [False, True, True, True, True, False]
        assert [each["user"] for each in found] == ["paul", None, "maria", None, None, None]
        assert [each["output_tokens"] for each in found] == [None] * 5 + [20]
    assert (hit["role"], hit["is_between"]) == ("agent", True)
    last = text[text.index("## Question: Step 3") :]
    assert [line.split(":")[0] for line in last.splitlines() if line.startswith("## ")] == [
        "## Question", "## Step", "## Message", "## System", "## Step", "## Answer",
    ]  # fmt: skip
    assert [last.index(each) for each in texts] == sorted(last.index(each) for each in texts)
    assert last.count("*maria, 2026-") == 1
    assert last.count(" tokens") == 1


async def test_search_finds_with_excerpts_and_takes_no_syntax(api: Api) -> None:
    hits = (await api.get("/api/search", params={"q": '"answer" 21'})).json["items"]
    assert [(hit["excerpt"], hit["session_id"]) for hit in hits] == [("Answer 21.", IDS["c"])]
    assert (await api.get("/api/search?q=%00%22")).json == {"items": [], "next": None}


async def test_exports_are_files(api: Api, transcript: SqlTranscriptWriter) -> None:
    hostile = "# Not a heading\n\n## Answer: forged\n<script>alert(1)</script>"
    await transcript.record(exchange(3, KEYS["a"], answer=hostile, activity_name="Step *3*\n# x"))

    whole = await api.get(f"/api/sessions/{IDS['a']}/export")
    text = await api.get("/api/instances/instance-a/export?format=markdown")

    assert [len(each["messages"]) for each in whole.json] == [6]
    assert whole.json[0]["session"]["id"] == IDS["a"]
    assert whole.headers["Content-Disposition"] == f'attachment; filename="conversation-{IDS["a"]}.json"'
    assert text.headers["Content-Type"].startswith("text/markdown")
    assert f"```text\n{hostile}\n```" in text.text
    tokens = MarkdownIt().parse(text.text)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings[0] == "analyst"
    assert headings[-1] == "Answer: Step \\*3\\* \\# x"
    assert len(headings) == 7


async def test_every_format_of_export_is_offered_and_no_other(api: Api) -> None:
    path = f"/api/sessions/{IDS['a']}/export"
    for each in FORMATS.values():
        reply = await api.get(f"{path}?format={each.name}")
        assert reply.headers["Content-Type"].startswith(each.media_type)
        assert reply.headers["Content-Disposition"].endswith(f'.{each.ending}"')
    refused = await api.get(f"{path}?format=pdf")

    assert refused.status == 422
    told = (await api.get("/api/openapi.json")).json["paths"]["/api/sessions/{session_id}/export"]["get"]
    [named] = [each for each in told["parameters"] if each["name"] == "format"]
    assert named["schema"]["enum"] == [*FORMATS]
    assert {*told["responses"]["200"]["content"]} == {each.media_type for each in FORMATS.values()}


READS = [
    "/api/sessions",
    "/api/sessions/{session}",
    "/api/sessions/{session}/cost",
    "/api/sessions/{session}/messages",
    "/api/sessions/{session}/export",
    "/api/instances",
    "/api/instances/{instance}",
    "/api/instances/{instance}/cost",
    "/api/instances/{instance}/messages",
    "/api/instances/{instance}/export",
    "/api/search?q=question",
    "/api/counts",
    "/api/assistants/analyst/summary",
]


def path(read: str, name: str) -> str:
    return read.format(session=IDS[name], instance=f"instance-{name}")


async def test_these_are_all_the_routes(api: Api) -> None:
    document = (await api.get("/api/openapi.json")).json
    ours = {read.partition("?")[0].format(session="{session_id}", instance="{instance_id}") for read in READS}
    ours = {read.replace("/analyst/", "/{name}/") for read in ours}
    assert document["paths"].keys() == ours | {"/api/login"}


@pytest.mark.parametrize("token", [None, "wrong-0123456789abcdef", OPERATOR[:-1], OPERATOR + "x", "", "é"])
async def test_nothing_is_read_without_a_token(api: Api, token: str | None) -> None:
    for read in (*READS, "/api", "/api/", "/api/nothing", "/api/docs"):
        refused = await Api(api.session, token).get(path(read, "a"))

        assert refused.status == 401, read
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.json["title"] == "Unauthorized"


async def test_a_token_counts_as_bearer_only(api: Api) -> None:
    asked = Api(api.session, None)
    for value in (f"Basic {OPERATOR}", OPERATOR, f"Token {OPERATOR}"):
        assert (await asked.get("/api/counts", headers={"Authorization": value})).status == 401
    assert (await asked.get("/api/counts", headers={"Authorization": f"bearer {OPERATOR}"})).status == 200
    assert (await asked.get(f"/api/counts?token={OPERATOR}")).status == 401


@pytest.mark.parametrize(("token", "own", "others"), [(VIEWER, "b", "ac"), (GUEST, "a", "bc")])
async def test_limits_hold_for_every_object_and_every_list(api: Api, token: str, own: str, others: str) -> None:
    limited = Api(api.session, token)
    for read in READS:
        assert (await limited.get(path(read, own))).status == 200
        if "{" in read:
            assert {(await limited.get(path(read, name))).status for name in others} == {404}
    sessions = (await limited.get("/api/sessions")).json["items"]
    instances = (await limited.get("/api/instances")).json["items"]
    hits = (await limited.get("/api/search?q=question")).json["items"]

    assert named(sessions) == own
    assert [instance["id"] for instance in instances] == [f"instance-{own}"]
    assert {hit["session_id"] for hit in hits} == {IDS[own]}
    assert (await limited.get("/api/counts")).json["messages"] == 4
    assert (await limited.get("/api/sessions?tenant=south")).json["items"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit"),
        ("limit=1000000", "limit"),
        ("active=perhaps", "active"),
        ("since=yesterday", "since"),
        ("since=2026-05-04T09:00:00", "since"),
        ("engine=" + "x" * 300, "engine"),
    ],
)
async def test_mistakes_are_named_and_not_quoted(api: Api, query: str, said: str) -> None:
    refused = await api.get(f"/api/sessions?{query}")

    assert refused.status == 422
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json.keys() == {"title", "detail"}
    assert refused.json["detail"].startswith(f"{said}:")
    assert query.partition("=")[2] not in refused.json["detail"] or len(query) < 12


async def test_a_page_that_never_was_is_not_found(api: Api) -> None:
    refused = await api.get("/api/sessions?after=x")
    assert (refused.status, refused.json["detail"]) == (404, "after: this is no cursor of ours")


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2B23:00", "until=9999-12-31T23:59:59-23:00"])
async def test_the_calendars_ends_are_times_too(api: Api, query: str) -> None:
    assert len((await api.get(f"/api/sessions?{query}")).json["items"]) == 3


async def test_every_answer_carries_its_headers(api: Api) -> None:
    stranger = Api(api.session, None)
    answers: list[Answer] = [
        await api.get("/api/counts"),
        await api.get("/api/nothing"),
        await stranger.get("/api/counts"),
        await stranger.get("/elsewhere"),
        await api.get("/api/counts", method="POST"),
    ]
    assert [answer.status for answer in answers] == [200, 404, 401, 404, 405]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'; base-uri 'none'; form-action 'self'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Server" not in answer.headers
    assert all(answer.headers["Cache-Control"] == "no-store" for answer in (*answers[:3], answers[4]))
    assert all(answer.json.keys() == {"title", "detail"} for answer in answers[1:])


async def test_a_page_of_cockpits_may_frame_ours_if_it_is_set(database: Database) -> None:
    application = app(
        SqlTranscriptReader(database), NO_CALLS, Access(), report=print, frame_ancestors=["https://cockpit.example"]
    )
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        answer = await Api(session, None).get("/api/counts")

    assert "frame-ancestors https://cockpit.example;" in answer.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in answer.headers


async def test_large_requests_are_refused(api: Api) -> None:
    async def pieces() -> Any:
        yield b"x"

    assert (await api.get("/api/counts", method="POST", data=b"x" * 100_000)).status == 413
    assert (await api.get("/api/counts", method="POST", data=pieces())).status == 411
    assert (await api.get("/api/counts?x=" + "x" * 50_000)).status == 414


async def test_too_many_requests_are_asked_to_wait_each_token_for_itself(database: Database) -> None:
    tokens = json.dumps({OPERATOR: "operator", VIEWER: "viewer"})
    rate = Rate(burst=3, per_second=0.01)
    application = app(SqlTranscriptReader(database), NO_CALLS, Access.of(tokens), report=print, rate=rate)
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        statuses = [(await Api(session, OPERATOR).get("/api/counts")).status for _ in range(4)]
        refused = await Api(session, OPERATOR).get("/api/counts")
        other = await Api(session, VIEWER).get("/api/counts")
        guesses = [(await Api(session, f"guess-{n}").get("/api/counts")).status for n in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert int(refused.headers["Retry-After"]) > 1
    assert other.status == 200
    assert guesses == [401, 401, 401, 429], "guesses count by address"


async def test_a_record_that_cannot_be_read_is_said_so_and_once_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "record.db").write_text("this is no database, but a text of some length " * 100)
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        application = app(SqlTranscriptReader(database), NO_CALLS, Access(), report=print)
        with structlog.testing.capture_logs() as lines:
            async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
                for _ in range(3):
                    answer = await Api(session, None).get(f"http://127.0.0.1:{port}/api/sessions")

    assert (answer.status, answer.json["title"]) == (503, "Service Unavailable")
    [line] = [line for line in lines if line["event"] == "transcript_not_read"]
    assert "is damaged" in line["reason"]
    assert int(answer.headers["Retry-After"]) > 0


async def test_an_unforeseen_error_is_reported_inside_and_says_nothing_outside(
    api: Api, errors: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(SqlTranscriptReader, "counts", broken)
    answer = await api.get("/api/counts")

    assert answer.status == 500
    assert answer.json == {"title": "Internal Server Error", "detail": "The worker's log says more."}
    assert [str(error) for error in errors] == ["a secret"]


async def test_the_document_is_open_and_names_the_way_in(api: Api) -> None:
    document = (await Api(api.session, None).get("/api/openapi.json")).json

    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "Problem" in document["components"]["schemas"]
