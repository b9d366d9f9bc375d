"""The issuer's adapter on a real server: which tokens are good, and what it is asked for when."""

import asyncio
import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.issuers import AUDIENCE, Issuer, ec_key, issuing, public, raw, rsa_key
from worker.errors import IssuerDown
from worker.oidc import OidcIssuer
from worker.oidc import issuer as adapter


class Clock:
    """The clock by which keys become old."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(adapter, "monotonic", clock)
    return clock


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


@pytest.fixture
async def known(issuer: Issuer) -> AsyncIterator[OidcIssuer]:
    async with OidcIssuer.open(issuer.url, AUDIENCE) as known:
        yield known


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"key": ec_key("two"), "kid": "two", "alg": "ES256"},
        {"aud": ["other", AUDIENCE]},
        {"exp_in": -10},  # the clocks may be somewhat apart
        {"nbf_in": 10},
        {"iat": None},
    ],
)
async def test_a_token_of_the_issuers_is_good(issuer: Issuer, known: OidcIssuer, how: dict[str, Any]) -> None:
    said = await known.claims(issuer.token(**how))
    assert said is not None
    assert (said["iss"], said["sub"]) == (issuer.url, "ann")


@pytest.mark.parametrize(
    "how",
    [
        {"key": rsa_key("anybody's")},
        {"key": ec_key("anybody's"), "kid": "two", "alg": "ES256"},
        {"key": ec_key("two"), "kid": "one", "alg": "ES256"},  # the other key's algorithm
        {"kid": "two"},
        {"kid": "unknown"},
        {"kid": None},
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"exp_in": -60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf_in": 60},
        {"iat_in": 60},
        {"aud": "other"},
        {"aud": [f"{AUDIENCE}/"]},
        {"aud": []},
        {"aud": None},
        {"aud": {AUDIENCE: 1}},
        {"iss": "https://id.example"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
    ],
    ids=lambda how: " ".join(f"{name}={str(value)[:20]}" for name, value in how.items()),
)
async def test_a_token_that_is_another_ones_or_not_for_us_or_not_now_is_none(
    issuer: Issuer, known: OidcIssuer, how: dict[str, Any]
) -> None:
    try:
        token = issuer.token(**how)
    except (TypeError, OverflowError, ValueError):  # the library makes no such token
        token = raw({"alg": "RS256", "kid": "one"}, issuer.claims(**how))
    assert await known.claims(token) is None


def keyed(secret: bytes, issuer: Issuer, **header: Any) -> str:
    """A token that is signed with a secret."""
    body = raw({"alg": "HS256", "kid": "one", **header}, issuer.claims()).rpartition(".")[0]
    signature = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "hs256", "RS256 ", None, 7, ["RS256"]]
)
async def test_a_token_that_nobody_signed_is_none_whatever_it_calls_itself(
    issuer: Issuer, known: OidcIssuer, algorithm: Any
) -> None:
    for signature in (b"", b"x" * 256):
        token = raw({"alg": algorithm, "kid": "one", "typ": "JWT"}, issuer.claims(), signature=signature)
        assert await known.claims(token) is None


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
async def test_a_public_key_is_no_secret(issuer: Issuer, known: OidcIssuer, algorithm: str) -> None:
    key = rsa_key("one").public_key()
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.PEM, PublicFormat.PKCS1),
    ):
        assert await known.claims(keyed(key.public_bytes(encoding, form), issuer, alg=algorithm)) is None


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": public(rsa_key("anybody's"), kid="one")},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/x"},
        {"kid": "../../../dev/null"},
        {"kid": "' OR 1=1 --"},
    ],
)
async def test_a_token_does_not_bring_its_own_key(issuer: Issuer, known: OidcIssuer, header: dict[str, Any]) -> None:
    import jwt  # noqa: PLC0415

    headers = {"kid": "one", **header}
    token = jwt.encode(issuer.claims(), rsa_key("anybody's"), algorithm="RS256", headers=headers)
    assert await known.claims(token) is None
    assert set(issuer.asked) <= {"/.well-known/openid-configuration", "/jwks"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "....",
        "ä.ö.ü",
        raw(b"[" * 9000, {}),
        raw(b'{"alg":' + b"[" * 9000, {}),
        raw(b"[]", {}),
        raw({"alg": "RS256", "kid": "one"}, b"\xff\xfe"),
        raw({"alg": "RS256", "kid": "one"}, b"[" * 9000),
        raw({"alg": "RS256", "kid": 1}, {}),
        raw({"alg": "RS256", "kid": {"a": 1}}, {}),
        raw({"alg": "RS256", "kid": "\ud800"}, {}),
    ],
)
async def test_what_is_no_token_is_none(known: OidcIssuer, token: str) -> None:
    assert await known.claims(token) is None


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kid": "bad", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "bad", "kty": "RSA"},
        {"kid": "bad", "kty": ["RSA"]},
        {"kid": ["bad"], "kty": "RSA"},
        public(rsa_key("one"), kid="bad", use="enc"),
        public(rsa_key("one"), kid="bad", alg="RS512"),
        public(rsa_key("short", 1024), kid="bad"),
        public(ec_key("two"), kid="bad", crv="P-521"),
        public(ec_key("two"), kid="bad", x="AAAA"),
        "bad",
        None,
    ],
)
async def test_a_key_that_cannot_be_used_is_left_out_and_the_others_are_used(
    issuer: Issuer, known: OidcIssuer, key: Any
) -> None:
    issuer.keys.insert(0, key)
    assert await known.claims(issuer.token()) is not None
    assert await known.claims(issuer.token(kid="bad")) is None
    assert await known.claims(keyed(b"secret", issuer, kid="bad")) is None


async def test_a_single_key_needs_no_name(issuer: Issuer, known: OidcIssuer) -> None:
    issuer.keys = [public(rsa_key("one"))]
    assert await known.claims(issuer.token(kid=None)) is not None


async def test_a_new_key_is_looked_for_at_most_once_a_minute(issuer: Issuer, known: OidcIssuer, clock: Clock) -> None:
    new: dict[str, Any] = {"key": rsa_key("new"), "kid": "new"}
    assert await known.claims(issuer.token()) is not None
    issuer.keys.append(public(rsa_key("new"), kid="new"))
    assert await known.claims(issuer.token(**new)) is None
    clock.now += 59
    for number in range(5):
        assert await known.claims(issuer.token(kid=f"invented-{number}")) is None
    assert issuer.asked.count("/jwks") == 1
    clock.now += 2
    assert await known.claims(issuer.token(**new)) is not None
    assert issuer.asked.count("/jwks") == 2


async def test_a_key_that_was_taken_back_is_good_for_ten_minutes_at_most(
    issuer: Issuer, known: OidcIssuer, clock: Clock
) -> None:
    assert await known.claims(issuer.token()) is not None
    issuer.keys = [public(ec_key("two"), kid="two")]
    clock.now += 599
    assert await known.claims(issuer.token()) is not None
    clock.now += 2
    assert await known.claims(issuer.token()) is None


async def test_many_that_come_first_ask_once(issuer: Issuer, known: OidcIssuer) -> None:
    issuer.delay = 0.05
    tokens = [issuer.token(sub=str(number)) for number in range(20)]
    assert all(await asyncio.gather(*map(known.claims, tokens)))
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]


async def test_an_issuer_that_is_away_from_the_beginning_is_asked_again_soon(
    issuer: Issuer, known: OidcIssuer, clock: Clock
) -> None:
    issuer.away = True
    for _ in range(3):
        with pytest.raises(IssuerDown, match="answered 503"):
            await known.claims(issuer.token())
    assert len(issuer.asked) == 1
    assert await known.claims(raw({"alg": "none"}, issuer.claims())) is None, "that needs no key"
    issuer.away = False
    clock.now += 5
    assert await known.claims(issuer.token()) is not None


async def test_what_is_known_holds_for_an_hour_while_the_issuer_is_away(
    issuer: Issuer, known: OidcIssuer, clock: Clock
) -> None:
    assert await known.claims(issuer.token()) is not None
    issuer.away = True
    clock.now += 3000
    assert await known.claims(issuer.token()) is not None
    with pytest.raises(IssuerDown):
        await known.claims(issuer.token(kid="new"))
    clock.now += 601
    with pytest.raises(IssuerDown):
        await known.claims(issuer.token())
    issuer.away = False
    clock.now += 5
    assert await known.claims(issuer.token()) is not None


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"issuer": "https://id.example"}, "it calls itself 'https://id.example'"),
        ({"issuer": None}, "it calls itself"),
        ({"jwks_uri": "file:///etc/passwd"}, "no jwks_uri"),
        ({"jwks_uri": None}, "no jwks_uri"),
        ({"token_endpoint": 7}, "no token_endpoint"),
        ({"more": "x" * 2_000_000}, "more than"),
    ],
)
async def test_a_configuration_that_cannot_be_is_no_issuer(
    issuer: Issuer, known: OidcIssuer, about: dict[str, Any], said: str
) -> None:
    issuer.about = about
    with pytest.raises(IssuerDown, match=said):
        await known.claims(issuer.token())


async def test_nobody_at_the_address_is_an_issuer_that_is_away() -> None:
    async with issuing() as gone:
        token = gone.token()
    async with OidcIssuer.open(gone.url, AUDIENCE) as known:
        with pytest.raises(IssuerDown, match=r"127\.0\.0\.1"):
            await known.claims(token)
        with pytest.raises(IssuerDown):
            await known.endpoints()


async def test_where_people_log_in_is_the_issuers_word(issuer: Issuer, known: OidcIssuer) -> None:
    endpoints = await known.endpoints()
    assert (endpoints.authorization, endpoints.token) == (f"{issuer.url}/authorization", f"{issuer.url}/token")
