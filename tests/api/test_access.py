"""Tokens, the loopback without them, and rates."""

import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import aiohttp
import pytest
from fastapi import FastAPI
from yarl import URL

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER, Api
from tests.fakes.board import Board
from tests.page.site import Deployed
from worker.domain.conversations import Limits
from worker.domain.people import Person
from worker.errors import Permanent
from worker.ports.rates import Rate
from worker.transcript import Database, SqlTranscriptReader
from worker.web import page
from worker.web.api import (
    Access,
    Known,
    MayErase,
    Memorising,
    app,
    asking,
    deciding,
    erasing,
    handing_over,
    memorising,
    rating,
    recording,
    rewinding,
    serve,
    stopping,
    talking,
    visiting,
)
from worker.web.api.gate import Buckets
from worker.web.feeds import following


def scope(client: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    named = {"host": "127.0.0.1:8091"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return {"type": "http", "client": (client, 4711), "headers": raw, "path": "/api/counts"}


async def test_roles_and_limits_come_from_the_setting() -> None:
    setting = {
        "a" * 16: "operator",
        "b" * 16: {"role": "viewer", "tenants": ["north", None], "instances": ["1", "2"]},
        "c" * 16: {"role": "viewer", "tenants": []},
    }
    access = Access.of(json.dumps(setting))
    first, second, third = [await access.grant(scope(authorization=f"Bearer {token}")) for token in setting]

    assert first
    assert second
    assert third
    # What somebody has beside all processes is theirs alone, whatever else they may see.
    own = [frozenset({each.speaker.id}) for each in (first, second, third)]
    assert len(set(own)) == 3
    assert (first.role, first.limits) == ("operator", Limits(persons=own[0]))
    assert second.role == "viewer"
    assert second.limits == Limits(frozenset({"north", None}), frozenset({"1", "2"}), persons=own[1])
    assert third.limits == Limits(tenants=frozenset(), persons=own[2])
    assert access.is_guarded
    assert "a" * 16 not in repr(vars(access)), "tokens are not kept"


async def test_rights_stand_beside_a_role_or_in_its_place_and_a_name_makes_a_person() -> None:
    setting = {
        "a" * 16: {"role": "viewer", "rights": ["ask"], "name": "Ann"},
        "b" * 16: {"rights": ["erase", "read"], "name": "Ann"},
        "c" * 16: "operator",
    }
    access = Access.of(json.dumps(setting))
    first, second, third = [await access.grant(scope(authorization=f"Bearer {token}")) for token in setting]

    assert first
    assert second
    assert third
    assert (first.role, second.role) == ("viewer", "viewer")
    assert (first.rights, second.rights) == (frozenset({"read", "ask"}), frozenset({"erase", "read"}))
    assert third.rights == {"read", "ask", "sway", "hand_over", "erase", "hold", "stop"}
    assert first.person == second.person == Person("token", "Ann", "Ann")
    assert third.person is None


def test_a_person_is_known_by_issuer_and_subject() -> None:
    ann = Person("token", "ann", "Ann")
    assert (ann.id, len(ann.id)) == (Person("token", "ann", "Ann Other").id, 32)
    assert [str(ann), str(Person("token", "Ann", "Ann"))] == ["Ann (ann)", "Ann"], "names may be of one's own choice"
    assert len({ann.id, Person("https://id.example", "ann", "Ann").id, Person("token", "ben", "Ann").id}) == 3


@pytest.mark.parametrize(
    "setting",
    [
        "secret-0123456789abcdef",
        '["secret-0123456789abcdef"]',
        "{}",
        '{"secret-short": "viewer"}',
        '{"secret 0123456789abcdef": "viewer"}',
        '{"secret-0123456789abcdef": "admin"}',
        '{"secret-0123456789abcdef": null}',
        '{"secret-0123456789abcdef": {"tenants": ["a"]}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "tenant": "a"}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "tenants": "a"}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "tenants": [1]}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "instances": [null]}}',
        '{"secret-0123456789abcdef": {"role": ["viewer"]}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "rights": "ask"}}',
        '{"secret-0123456789abcdef": {"rights": []}}',
        '{"secret-0123456789abcdef": {"rights": ["secret"]}}',
        '{"secret-0123456789abcdef": {"rights": [["read"]]}}',
        '{"secret-0123456789abcdef": {"role": null, "rights": ["read"]}}',
        '{"secret-0123456789abcdef": {"role": "admin", "rights": ["read"]}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "name": " "}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "name": "a\\nb"}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "name": 7}}',
        '{"secret-0123456789abcdef": {"role": "viewer", "name": "' + 201 * "x" + '"}}',
        '{"secret-0123456789abcdef": "viewer", "secret-0123456789abcdef": "operator"}',
        '{"secret-0123456789abcdef": {"role": "viewer", "role": "operator"}}',
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_its_tokens(setting: str) -> None:
    with pytest.raises(Permanent) as refused:
        Access.of(setting)
    assert str(refused.value).startswith("API_TOKENS: ")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "let_in"),
    [
        (scope(), True),
        (scope("::1", host="[::1]:8091"), True),
        (scope(host="localhost:8091"), True),
        (scope(host="localhost"), True),
        (scope("10.0.0.7"), False),
        (scope(host="evil.example"), False),  # a name that was bound to 127.0.0.1 anew
        (scope(host="127.0.0.1.evil.example:8091"), False),
        (scope(host=""), False),
        (scope(x_forwarded_for="10.0.0.7"), False),
        (scope(forwarded="for=10.0.0.7"), False),
        (scope(sec_fetch_site="cross-site"), False),
        (scope(sec_fetch_site="same-site"), False),
        (scope(sec_fetch_site="same-origin"), True),
        (scope(sec_fetch_site="none"), True),
        (scope(origin="http://127.0.0.1:8091"), True),
        (scope(origin="http://[::1]:8091", host="[::1]:8091"), True),
        (scope(origin="https://evil.example"), False),
        (scope(origin="http://127.0.0.1:9999"), False),  # another server here is somewhere else, too
        (scope(origin="http://localhost:8091"), False),
        (scope(origin="null"), False),
        (scope(origin=""), False),
        (scope(origin="https://evil.example", sec_fetch_site="same-origin"), False),
    ],
)
async def test_without_tokens_only_this_machine_is_let_in(asked: dict[str, Any], *, let_in: bool) -> None:
    assert (await Access().grant(asked) is not None) is let_in


async def test_a_page_from_elsewhere_does_not_use_up_what_this_machine_may_ask(database: Database) -> None:
    application = app(
        SqlTranscriptReader(database), NO_CALLS, Access(), report=print, rate=Rate(burst=3, per_second=0.01)
    )
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        here = Api(session, None)
        foreign = [(await here.get("/api/counts", headers={"Origin": "https://evil.example"})).status for _ in range(5)]
        own = [(await here.get("/api/counts")).status for _ in range(4)]

    assert foreign == [401, 401, 401, 429, 429]
    assert own == [200, 200, 200, 429]


async def test_with_tokens_this_machine_needs_one_too() -> None:
    assert await Access.of(TOKENS).grant(scope()) is None


@pytest.mark.parametrize(
    ("host", "fine"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("web", False)],  # noqa: S104 - asked, not bound
)
def test_others_than_this_machine_need_tokens(host: str, *, fine: bool) -> None:
    Access.of(TOKENS).check_host(host)
    if fine:
        Access().check_host(host)
    else:
        with pytest.raises(Permanent, match="API_TOKENS"):
            Access().check_host(host)


async def test_a_route_of_others_is_closed_and_knows_rights(database: Database) -> None:
    def extend(application: FastAPI) -> None:
        @application.post("/api/erase")
        async def erase(_: MayErase) -> str:
            return "erased"

        @application.get("/api/mine")
        async def mine(grant: Known) -> str:
            return grant.role

        @application.get("/api/forgotten")
        async def forgotten() -> str:
            return "open?"

        @application.get("/page")
        async def page() -> str:
            return "a page"

    application = app(SqlTranscriptReader(database), NO_CALLS, Access.of(TOKENS), report=print, extend=[extend])
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        operator, viewer, nobody = (Api(session, token) for token in (OPERATOR, VIEWER, None))
        assert (await operator.get("/api/erase", method="POST")).json == "erased"
        refused = await viewer.get("/api/erase", method="POST")
        assert (refused.status, refused.json["detail"]) == (403, "This needs the right erase, which this token lacks.")
        assert [(await each.get("/api/mine")).json for each in (operator, viewer)] == ["operator", "viewer"]
        for path in ("/api/erase", "/api/mine", "/api/forgotten", "/api/../api/mine", "/%61pi/forgotten"):
            asked = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
            assert (await nobody.get(asked)).status == 401, path
        for path in ("//api/forgotten", "/API/forgotten", "/./api/forgotten", "/x/../api/forgotten"):
            asked = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
            assert (await nobody.get(asked)).status == 404, path
        assert (await nobody.get("/page")).json == "a page"


async def test_each_route_names_the_right_that_is_missing(database: Database) -> None:
    record, nobody = SqlTranscriptReader(database), cast("Any", None)  # who is refused comes so far and no further
    tokens = json.dumps(
        {"r" * 16: {"rights": ["read"], "name": "Rita"}, "a" * 16: {"rights": ["ask", "sway"], "name": "Ann"}}
    )
    access = Access.of(tokens)
    extend = [
        erasing(nobody, record, "default"),
        stopping(Board(), {}),
        rewinding(nobody),
        rating(record, nobody),
        asking(nobody, record),
        handing_over(nobody, nobody, record),
        recording(nobody, record),
        deciding(nobody, nobody, nobody),
        memorising(Memorising(nobody, nobody, "default", "default", forgets_one=True)),
        talking(nobody),
        visiting(nobody, record),
        following(nobody, access),
        page.routes(record, Deployed(), engine_name="default"),
    ]
    application = app(record, NO_CALLS, access, report=lambda _: None, extend=extend)
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        reader, asker = Api(session, "r" * 16), Api(session, "a" * 16)
        paths = (await reader.get("/api/openapi.json")).json["paths"]
        told = {}
        for path, method in ((path, method.upper()) for path, methods in paths.items() for method in methods):
            answers = [await each.get(path, method) for each in (reader, asker)]
            told[method, path] = {each.json["detail"] for each in answers if each.status == HTTPStatus.FORBIDDEN}

    assert [told.pop(("GET", f"/api/{open_}")) for open_ in ("me", "login")] == [set(), set()]
    rights = dict.fromkeys(told, "read")
    for right, routes in {
        "erase": [
            "POST /api/erase",
            "GET /api/erasures/{order}",
            "DELETE /api/memory/{digest}",
            "DELETE /api/memory/{digest}/facts/{fact}",
        ],
        "stop": ["POST /api/stops", "DELETE /api/stops"],
        "sway": ["POST /api/instances/{instance_id}/rewind", "POST /api/memory/{digest}/facts/{fact}/approve"],
        "ask": [
            "POST /api/sessions/{session_id}/asks",
            "DELETE /api/asks/{ask_id}",
            "POST /api/sessions/{session_id}/remarks",
            "PATCH /api/remarks/{remark_id}",
            "POST /api/decisions/{decision_id}/what-ifs",
            "GET /api/assistants",
            "POST /api/assistants/{name}/conversations",
            "DELETE /api/sessions/{session_id}",
        ],
        "hand_over": [
            "POST /api/asks/{ask_id}/handover",
            "PATCH /api/asks/{ask_id}/handover",
            "GET /api/asks/{ask_id}/receivers",
        ],
        "hold": ["POST /api/decisions/{decision_id}/hold", "POST /api/decisions/{decision_id}/release"],
    }.items():
        for each in routes:
            method, path = each.split(" ")
            rights[method, path] = right
    assert told == {each: {f"This needs the right {right}, which this token lacks."} for each, right in rights.items()}


def test_buckets_fill_again_with_time() -> None:
    now = 0.0
    buckets = Buckets(Rate(burst=2, per_second=0.5), clock=lambda: now)

    assert [buckets.take("a") for _ in range(3)] == [timedelta(0), timedelta(0), timedelta(seconds=2)]
    assert buckets.take("b") == timedelta(0)
    now = 2.0
    assert [buckets.take("a") for _ in range(2)] == [timedelta(0), timedelta(seconds=2)]
    now = 1000.0
    assert [bool(buckets.take("a")) for _ in range(3)] == [False, False, True]


def test_buckets_remember_no_more_than_they_may() -> None:
    buckets = Buckets(Rate(burst=1, per_second=0.01), remembered=3)
    for name in "abcdef":
        buckets.take(name)
    assert list(buckets._filled) == ["d", "e", "f"]


async def test_what_was_granted_holds_until_it_is_taken_away_or_changed() -> None:
    access = Access.of('{"token-0123456789abcdef": "operator"}')
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer token-0123456789abcdef")]}
    grant = await access.grant(scope)
    assert grant is not None
    access.use(Access.of('{"token-0123456789abcdef": "operator", "other-0123456789abcdef": "viewer"}'))
    assert access.still_grants(grant)
    access.use(Access.of('{"token-0123456789abcdef": "viewer"}'))
    assert not access.still_grants(grant)
    access.use(Access())
    assert not access.still_grants(grant)
