"""Who the adapter says it is: tokens of an OAuth2 server, and certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.contract.test_engine_faults import KEY_AND_CERTIFICATE, POLL
from tests.contract.test_redis_tls import PAIR
from tests.engines import http, literal, open_engine, own_error
from tests.listening import listening
from tests.token_server import TokenServer, token_server
from tests.waiting import wait_until
from worker.engine import Basic, Bearer, Connection, OAuthClient, RestEngine, identity
from worker.errors import EngineDenied, EngineDown, Permanent


class Clock:
    """The clock by which tokens end."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(identity, "monotonic", clock)
    return clock


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    async with token_server() as server:
        yield server


class Engine:
    """Hands out no task to whoever bears the newest token."""

    def __init__(self, tokens: TokenServer) -> None:
        self.tokens = tokens
        self.url = ""
        self.headers: list[str] = []
        self.denies = False
        self.delay = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        self.headers.append(header)
        await asyncio.sleep(self.delay)
        if self.denies or not self.tokens.good(header):
            return web.Response(status=401, text=own_error("AuthenticationException"))
        return web.json_response([])

    @property
    def served(self) -> int:
        return len(self.headers)


@pytest.fixture
async def engine(tokens: TokenServer) -> AsyncIterator[Engine]:
    engine = Engine(tokens)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", engine.answer)
    async with listening(app) as address:
        engine.url = f"{address}/engine-rest"
        yield engine


@asynccontextmanager
async def known(engine: Engine, **changes: Any) -> AsyncIterator[RestEngine]:
    """An adapter that is the client which the token server knows."""
    client = {"token_url": engine.tokens.url, "id": "worker", "secret": "s3cret"} | changes
    async with open_engine(engine.url, auth=OAuthClient(**client)) as adapter:
        yield adapter


async def test_a_token_is_asked_for_once_for_many_requests(engine: Engine) -> None:
    async with known(engine) as adapter:
        await asyncio.gather(*(POLL(adapter) for _ in range(20)))
    assert (engine.served, len(engine.tokens.asked)) == (20, 1)
    assert engine.tokens.asked == [{"grant_type": "client_credentials"}]


async def test_authorities_are_read_once_for_the_token_server_and_for_an_engine_without_tls_not_at_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted(**options: Any) -> ssl.SSLContext:
        made.append(make(**options))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)

    async with open_engine(engine.url, auth=Bearer("another")) as adapter:
        with pytest.raises(EngineDenied):
            await POLL(adapter)
    assert made == []
    async with known(engine) as adapter:
        await POLL(adapter)
        engine.tokens.given.append("the newest, which nobody has")
        await POLL(adapter)
    assert (len(made), len(engine.tokens.asked)) == (1, 2)
    async with open_engine("https://engine.example/engine-rest", auth=Bearer("another")):
        assert len(made) == 2


async def test_scope_and_audience_are_asked_for_if_they_are_named(engine: Engine) -> None:
    async with known(engine, scope="engine tasks", audience="https://engine.example") as adapter:
        await POLL(adapter)
    assert engine.tokens.asked[0] == {
        "grant_type": "client_credentials",
        "scope": "engine tasks",
        "audience": "https://engine.example",
    }


async def test_names_and_secrets_of_any_characters_are_understood(engine: Engine) -> None:
    engine.tokens.client_id, engine.tokens.secret = "a:b c", "p%+ü:?"
    async with known(engine, id="a:b c", secret="p%+ü:?") as adapter:
        await POLL(adapter)


async def test_a_token_is_renewed_before_it_ends_and_nobody_waits_for_that(engine: Engine, clock: Clock) -> None:
    async with known(engine) as adapter:
        await POLL(adapter)
        clock.now += 239
        await POLL(adapter)
        assert len(engine.tokens.given) == 1
        clock.now += 2
        renewing = asyncio.ensure_future(POLL(adapter))
        await wait_until(lambda: len(engine.tokens.given) == 2, 5, "a second token")
        await renewing
        await POLL(adapter)
    assert engine.headers[-1] == "Bearer token-2"


async def test_a_token_that_is_still_good_is_used_while_the_token_endpoint_is_away(
    engine: Engine, clock: Clock
) -> None:
    async with known(engine) as adapter:
        await POLL(adapter)
        engine.tokens.instead = (503, "busy")
        clock.now += 250
        for _ in range(10):
            await POLL(adapter)
        await wait_until(lambda: len(engine.tokens.asked) == 2, 5, "a try to renew")
        for _ in range(10):
            await POLL(adapter)
        assert len(engine.tokens.asked) == 2, "not at every request"
        clock.now += 51
        with pytest.raises(EngineDown, match=r"token endpoint at 127.*answered 503") as caught:
            await POLL(adapter)
        assert not isinstance(caught.value, EngineDenied)
        engine.tokens.instead = None
        await POLL(adapter)


@pytest.mark.parametrize(("life", "good_for"), [("40", 40), (None, 10**9), ("soon", 10**9), (0.5, 0.5)])
async def test_however_its_life_is_written_a_token_is_used_until_it_ends(
    engine: Engine, clock: Clock, life: Any, good_for: float
) -> None:
    engine.tokens.life = life
    async with known(engine) as adapter:
        await POLL(adapter)
        clock.now += good_for * 0.7
        await POLL(adapter)
        assert len(engine.tokens.asked) == 1
        clock.now += good_for * 0.31
        await POLL(adapter)
        assert len(engine.tokens.asked) == (1 if good_for == 10**9 else 2)


async def test_a_token_that_the_engine_refuses_is_renewed_once_and_the_request_repeated_once(engine: Engine) -> None:
    async with known(engine) as adapter:
        await POLL(adapter)
        engine.tokens.given.append("revokes all before")
        await asyncio.gather(*(POLL(adapter) for _ in range(10)))
        assert len(engine.tokens.asked) == 2
        engine.denies, before = True, engine.served
        with pytest.raises(EngineDenied, match="does not accept our credentials"):
            await POLL(adapter)
        assert engine.served == before + 2


async def test_a_download_renews_a_refused_token_too(engine: Engine) -> None:
    async with known(engine) as adapter:
        await POLL(adapter)
        engine.tokens.given.append("revokes all before")
        assert await adapter.content("execution", "name", 100) == b"[]"


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "invalid_scope"])
async def test_a_wrong_client_is_denied(engine: Engine, error: str) -> None:
    engine.tokens.instead = (400, {"error": error, "error_description": "s3cret"})
    async with known(engine) as adapter:
        with pytest.raises(EngineDenied, match=f"gives our client no token: 400 {error}$"):
            await POLL(adapter)
    assert engine.served == 0


async def test_a_wrong_secret_is_denied_and_told_nowhere(engine: Engine) -> None:
    async with known(engine, secret="wr0ng") as adapter:
        with pytest.raises(EngineDenied, match=r"gives our client no token: 401 invalid_client$") as caught:
            await POLL(adapter)
        assert "wr0ng" not in str(caught.value) + repr(adapter) + str(vars(adapter))
    assert "wr0ng" not in repr(OAuthClient("http://h", "worker", "wr0ng"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {"error": "temporarily_unavailable"}), "answered 400 temporarily_unavailable"),
        ((400, "<html>"), "answered 400$"),
        ((400, {"error": "<script>"}), "answered 400$"),
        ((500, {"error": "invalid_client"}), "answered 500 invalid_client"),
        ((429, ""), "answered 429"),
        ((302, ""), "answered 302"),
        ((200, "<html>Sign in</html>"), "has no bearer token; is ENGINE_TOKEN_URL right?"),
        ((200, ["token"]), "has no bearer token"),
        ((200, {"access_token": "t", "token_type": "mac"}), "has no bearer token"),
        ((200, {"access_token": "two words", "token_type": "Bearer"}), "has no bearer token"),
        ((200, "x" * 200_000), "has no bearer token"),
    ],
)
async def test_trouble_at_the_token_endpoint_is_an_engine_that_is_down(
    engine: Engine, answer: tuple[int, Any], said: str
) -> None:
    engine.tokens.instead = answer
    async with known(engine) as adapter:
        with pytest.raises(EngineDown, match=said) as caught:
            await POLL(adapter)
    assert type(caught.value) is EngineDown
    assert engine.served == 0


async def test_a_token_endpoint_that_is_not_there_is_an_engine_that_is_down(engine: Engine) -> None:
    async with literal(None) as nobody:
        url = nobody.url
    async with known(engine, token_url=url) as adapter:
        with pytest.raises(EngineDown, match=r"the token endpoint at 127\.0\.0\.1:\d+ cannot be reached"):
            await asyncio.gather(*(POLL(adapter) for _ in range(5)))


async def test_who_gives_up_waiting_for_a_token_takes_nothing_from_the_others(engine: Engine) -> None:
    async with known(engine) as adapter:
        first, second = (asyncio.ensure_future(POLL(adapter)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == []
    assert len(engine.tokens.asked) == 1


async def test_a_password_is_not_said_twice(engine: Engine) -> None:
    async with open_engine(engine.url, auth=Basic("u", "wrong")) as adapter:
        with pytest.raises(EngineDenied):
            await POLL(adapter)
    assert engine.served == 1


async def test_a_token_server_of_the_engines_authority_is_trusted(engine: Engine, tmp_path: Path) -> None:
    pair = tmp_path / "pair.pem"
    pair.write_text(KEY_AND_CERTIFICATE)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair)
    async with token_server(tls=tls) as server:
        engine.tokens, client = server, OAuthClient(server.url, "worker", "s3cret")
        async with open_engine(engine.url, auth=client, ca_file=pair) as adapter:
            await POLL(adapter)
        async with open_engine(engine.url, auth=client) as adapter:
            with pytest.raises(EngineDown, match="token endpoint"):
                await POLL(adapter)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The engine's certificate, and ours: together with its key, alone, and the key alone."""
    key, _, certificate = PAIR.partition("-----BEGIN CERTIFICATE")
    texts = {
        "engine": KEY_AND_CERTIFICATE,
        "ours": PAIR,
        "cert": f"-----BEGIN CERTIFICATE{certificate}",
        "key": key,
    }
    found = {name: tmp_path / f"{name}.pem" for name in texts}
    for name, path in found.items():
        path.write_text(texts[name])
    return found


def demanding(files: dict[str, Path]) -> ssl.SSLContext:
    """A server that talks to nobody but who shows our certificate."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["cert"])
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(files["engine"])
    return tls


async def test_an_engine_that_wants_to_see_a_certificate_is_shown_ours(files: dict[str, Path]) -> None:
    async with literal(http(200, "[]"), tls=demanding(files)) as server:
        for shown in ({"cert_file": files["ours"]}, {"cert_file": files["cert"], "key_file": files["key"]}):
            async with open_engine(server.url, ca_file=files["engine"], **shown) as adapter:
                assert await POLL(adapter) == []
        seen = len(server.requests)
        for shown in ({}, {"cert_file": files["engine"]}):
            async with open_engine(server.url, ca_file=files["engine"], **shown) as adapter:
                with pytest.raises(EngineDown):
                    await POLL(adapter)
        assert len(server.requests) == seen


async def test_a_certificate_that_cannot_be_shown_stops_the_start(files: dict[str, Path]) -> None:
    with pytest.raises(Permanent, match=r"client certificate: .*must be PEM with a certificate"):
        async with open_engine("https://h/engine-rest", cert_file=files["cert"], key_file=files["engine"]):
            pass


async def test_a_password_that_is_replaced_while_it_is_refused_is_said_anew(engine: Engine) -> None:
    engine.tokens.given.append("new")
    async with open_engine(engine.url, auth=Bearer("old")) as adapter:
        with pytest.raises(EngineDenied):
            await POLL(adapter)
        engine.delay = 0.2
        asking = asyncio.ensure_future(POLL(adapter))
        await wait_until(lambda: engine.served == 2, 5, "the request")
        adapter.use(connection(engine, Bearer("new")))
        assert await asking == []


async def test_a_client_secret_that_is_replaced_while_it_is_refused_is_said_anew(engine: Engine) -> None:
    engine.tokens.secret = "new"
    engine.tokens.delay = 0.2
    client = OAuthClient(engine.tokens.url, "worker", "old")
    async with open_engine(engine.url, auth=client) as adapter:
        asking = asyncio.gather(*(POLL(adapter) for _ in range(3)))
        await wait_until(lambda: len(engine.tokens.asked) == 1, 5, "the request")
        adapter.use(connection(engine, replace(client, secret="new")))
        await asking
    assert len(engine.tokens.asked) == 2


async def test_a_replaced_certificate_is_shown_from_the_next_connection_on(files: dict[str, Path]) -> None:
    async with literal(http(200, "[]"), tls=demanding(files)) as server, known_by(server.url, files) as adapter:
        with pytest.raises(EngineDown):
            await POLL(adapter)
        usual = Connection(server.url, "w", timedelta(seconds=30), timedelta(seconds=3))
        adapter.use(replace(usual, cert_file=files["ours"]))
        assert await POLL(adapter) == []


def known_by(url: str, files: dict[str, Path]) -> AbstractAsyncContextManager[RestEngine]:
    return open_engine(url, ca_file=files["engine"], cert_file=files["engine"])


def connection(engine: Engine, auth: Bearer | OAuthClient) -> Connection:
    return Connection(engine.url, "w", timedelta(seconds=30), timedelta(seconds=3), auth=auth)
