"""Who says who a person is, as the settings have it, and what doctor says of that."""

import sys
from pathlib import Path
from typing import Any

import pytest

import worker
from tests.issuers import AUDIENCE, issuing
from worker import bootstrap
from worker.bootstrap.people import anybody_may, client, open_issuer, persons
from worker.errors import Permanent
from worker.operate.doctor import issuer as doctors
from worker.operate.doctor.checks import Level
from worker.settings import Settings


def settings(url: str | None = "http://127.0.0.1:1", **more: Any) -> Settings:
    given = {"oidc_issuer": url, "oidc_audience": AUDIENCE, "oidc_roles": '{"writers": ["ask"]}'} if url else {}
    return Settings(_env_file=None, assistants_dir=Path("nowhere"), **(given | more))


async def test_without_an_issuer_there_are_no_persons_and_nothing_to_say() -> None:
    chosen = settings(None)
    async with open_issuer(chosen) as issuer:
        assert (issuer, persons(chosen, issuer), client(chosen, issuer)) == (None, None, None)
    assert [await each.run() for each in doctors.checks(chosen)] == [[]]


async def test_what_is_set_is_what_a_token_is_read_by() -> None:
    async with issuing() as server:
        chosen = settings(
            server.url,
            oidc_roles_claim="groups",
            oidc_tenants_claim="tenants",
            oidc_engine_user_claim="login",
            oidc_client_id="page",
            oidc_scope="openid",
        )
        async with open_issuer(chosen) as issuer:
            known, page = persons(chosen, issuer), client(chosen, issuer)
            assert known
            assert page
            token = server.token(groups=["writers"], roles=["none"], tenants=["north"], login="ann7")
            grant = await known.grant(token)
            login = await page.login()
    assert grant
    assert grant.person
    assert (grant.person.issuer, grant.engine_user, grant.limits.tenants) == (server.url, "ann7", frozenset({"north"}))
    assert grant.rights == frozenset({"ask"})
    assert (login.client_id, login.scope, login.issuer) == ("page", "openid", server.url)


async def test_people_bring_tokens_where_the_page_is_no_client() -> None:
    chosen = settings()
    async with open_issuer(chosen) as issuer:
        assert client(chosen, issuer) is None


def test_roles_that_cannot_be_are_said_before_anything_is_reached() -> None:
    with pytest.raises(Permanent, match="OIDC_ROLES"):
        bootstrap.check(settings(oidc_roles="{}"))
    bootstrap.check(settings(api_host="0.0.0.0"))  # noqa: S104 - nothing is listened on


async def test_packages_that_are_missing_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(worker, "oidc", raising=False)
    for name in [each for each in sys.modules if each.startswith("worker.oidc")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(Permanent, match=r"pip install 'assistant-worker\[oidc\]'"):
        async with open_issuer(settings()):
            pass
    [[found]] = [await each.run() for each in doctors.checks(settings())]
    assert (found.level, "[oidc]" in found.said) == (Level.WARNING, True)


async def test_doctor_says_whether_the_issuer_answers() -> None:
    async with issuing() as server:
        [[fine]] = [await each.run() for each in doctors.checks(settings(server.url))]
        server.keys = []
        [[keyless]] = [await each.run() for each in doctors.checks(settings(server.url))]
        server.away = True
        [[away]] = [await each.run() for each in doctors.checks(settings(server.url))]
    assert (fine.level, keyless.level, away.level) == (Level.OK, Level.WARNING, Level.WARNING)
    assert "no key" in keyless.said
    assert "503" in away.said


@pytest.mark.parametrize(
    ("may", "more"),
    [
        (False, {}),
        (False, {"api_tokens": '{"ann-0123456789abcdef": "operator"}'}),
        (False, {"api_tokens": '{"ann-0123456789abcdef": {"name": "Ann", "rights": ["read"]}}'}),
        (False, {"api_tokens": "no JSON"}),
        (True, {"api_tokens": '{"ann-0123456789abcdef": {"name": "Ann", "role": "operator"}}'}),
        (True, {"oidc_roles": '{"boss": ["hand_over"]}'}),
        (False, {"oidc_roles": '{"boss": "viewer"}'}),
        (False, {"oidc_roles": '{"boss": "operator"}', "transcript_url": "off"}),
    ],
)
def test_somebody_may_who_has_a_name_and_the_right(may: bool, more: dict[str, Any]) -> None:
    assert anybody_may("hand_over", settings(None if "oidc_roles" not in more else "http://127.0.0.1:1", **more)) is may
