"""Persons of an issuer at the API, beside tokens of ours."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest
from fastapi import FastAPI

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, Api
from tests.issuers import AUDIENCE, CLIENT, Issuer, issuing, rsa_key
from worker.domain.people import Person
from worker.errors import Permanent
from worker.oidc import OidcIssuer
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, Client, Known, Persons, app, roles, serve

ROLES = '{"writers": ["read", "ask"], "chiefs": "operator", "guests": "viewer"}'


@dataclass(frozen=True, slots=True)
class Served:
    """The API, and who vouches for persons there."""

    issuer: Issuer
    session: aiohttp.ClientSession

    def by(self, token: str | None) -> Api:
        return Api(self.session, token)

    async def me(self, **claims: Any) -> Any:
        """Who somebody is with a token that says this."""
        answer = await self.by(self.issuer.token(**claims)).get("/api/who")
        assert answer.status == 200, answer.text
        return answer.json


@pytest.fixture
async def served(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Served]:
    await transcript.ping()

    def extend(application: FastAPI) -> None:
        @application.get("/api/who")
        async def who(grant: Known) -> Any:
            assert grant.person
            assert grant.until
            limits = None if grant.limits.tenants is None else sorted(map(str, grant.limits.tenants))
            return {"person": grant.person, "rights": sorted(grant.rights), "id": grant.id, "tenants": limits}

    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(issuing())
        known = await stack.enter_async_context(OidcIssuer.open(issuer.url, AUDIENCE))
        persons = Persons(known, roles(ROLES), "realm.roles", "https://worker.example/tenants")
        served = app(
            SqlTranscriptReader(database),
            NO_CALLS,
            Access.of(TOKENS, persons),
            report=print,
            client=Client(known, issuer.url, CLIENT, "openid"),
            extend=[extend],
        )
        port = await stack.enter_async_context(serve(served, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Served(issuer, session)


async def test_a_person_is_who_the_issuer_says_with_the_rights_of_all_their_roles(served: Served) -> None:
    said = await served.me(realm={"roles": ["guests", "writers", "unknown", 7]})

    person = Person(served.issuer.url, "ann", "Ann")
    assert said["person"] == {"issuer": served.issuer.url, "subject": "ann", "name": "Ann"}
    assert (said["rights"], said["id"]) == (["ask", "read"], person.id)
    assert (await served.me(realm={"roles": "chiefs"}))["rights"] == sorted(
        ["read", "ask", "sway", "hand_over", "erase", "hold", "stop"]
    )


@pytest.mark.parametrize(
    "realm", [None, {}, {"roles": []}, {"roles": None}, {"roles": {"chiefs": 1}}, "chiefs", ["chiefs"]]
)
async def test_who_has_no_role_that_is_known_may_nothing(served: Served, realm: Any) -> None:
    assert (await served.me(realm=realm))["rights"] == []
    refused = await served.by(served.issuer.token(realm=realm)).get("/api/instances")
    assert (refused.status, "right read" in refused.text) == (403, True)


@pytest.mark.parametrize(
    ("tenants", "seen"),
    [
        (None, []),
        ([], []),
        ("north", ["instance-b"]),
        (["north", "south"], ["instance-b"]),
        ([None], ["instance-a", "instance-c"]),
        ([None, "north"], ["instance-a", "instance-b", "instance-c"]),
        (["*"], ["instance-a", "instance-b", "instance-c"]),
        ([7, {"*": 1}], []),
    ],
)
async def test_a_person_sees_the_conversations_of_their_tenants(served: Served, tenants: Any, seen: list[str]) -> None:
    claims = {"realm": {"roles": ["guests"]}, "https://worker.example/tenants": tenants}
    found = await served.by(served.issuer.token(**claims)).get("/api/instances")
    assert sorted(each["id"] for each in found.json["items"]) == seen


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": None, "preferred_username": "ann7"}, "ann7"),
        ({"name": " ", "email": "ann@example"}, "ann@example"),
        ({"name": 7}, "ann"),
        ({"name": "A\nnn\u202e"}, "A\ufffdnn\ufffd"),
        ({"name": "x" * 1000}, "x" * 200),
    ],
)
async def test_a_persons_name_is_the_best_that_there_is(served: Served, claims: dict[str, Any], name: str) -> None:
    assert (await served.me(**claims))["person"]["name"] == name


async def test_a_token_that_is_not_good_is_401_and_one_of_ours_is_taken_as_ever(served: Served) -> None:
    for bad in (
        {"exp": 1},
        {"aud": "other"},
        {"key": rsa_key("anybody's")},
        {"sub": ""},
        {"sub": "x" * 256},
        {"exp": 10**400},
    ):
        assert (await served.by(served.issuer.token(**bad)).get("/api/who")).status == 401
    assert (await served.by(None).get("/api/who")).status == 401
    assert (await served.by(OPERATOR).get("/api/instances")).status == 200


async def test_while_the_issuer_is_away_its_tokens_are_503_and_ours_are_taken(served: Served) -> None:
    served.issuer.away = True

    away = await served.by(served.issuer.token()).get("/api/who")

    assert (away.status, "who issued it does not answer" in away.text) == (503, True)
    assert (await served.by(OPERATOR).get("/api/instances")).status == 200
    assert (await served.by("nonsense").get("/api/instances")).status == 401
    assert (await served.by(None).get("/api/login")).status == 503


async def test_a_page_is_told_where_people_log_in_and_may_ask_there(served: Served) -> None:
    told = await served.by(None).get("/api/login")

    assert told.json == {
        "issuer": served.issuer.url,
        "client_id": CLIENT,
        "scope": "openid",
        "authorization_endpoint": f"{served.issuer.url}/authorization",
        "token_endpoint": f"{served.issuer.url}/token",
    }
    assert f"connect-src 'self' {served.issuer.url};" in told.headers["Content-Security-Policy"]


async def test_without_an_issuer_nobody_logs_in(api: Api) -> None:
    told = await Api(api.session, None).get("/api/login")
    assert (told.status, told.json) == (200, None)
    assert "connect-src 'self';" in told.headers["Content-Security-Policy"]


def test_roles_are_what_the_setting_says() -> None:
    assert roles('{"a": "viewer", "b": ["stop"]}') == {"a": {"read"}, "b": {"stop"}}


@pytest.mark.parametrize(
    "setting",
    ["", "{", "[]", "{}", '"viewer"', '{"a": "admin"}', '{"a": []}', '{"a": ["fly"]}', '{"a": null}', '{"a": [[]]}'],
)
def test_roles_that_cannot_be_are_refused(setting: str) -> None:
    with pytest.raises(Permanent, match=r"^OIDC_ROLES: "):
        roles(setting)


def test_an_issuer_guards_what_others_can_reach() -> None:
    access = Access(persons=Persons(cast("OidcIssuer", None), {}, "roles"))
    access.check_host("0.0.0.0")  # noqa: S104 - asked, not bound
    assert access.is_guarded
