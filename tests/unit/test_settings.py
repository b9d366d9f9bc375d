import asyncio
import re
import subprocess
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from redis.asyncio.connection import parse_url
from yarl import URL

from tests.contract.test_redis_tls import PAIR
from worker import bootstrap
from worker.domain.addresses import RedisAddress
from worker.errors import Permanent
from worker.operate.doctor import environment
from worker.operate.doctor.checks import Level
from worker.redis.connect import open_redis
from worker.settings import Settings, explain, misspelt, read

EXAMPLE = Path(__file__).parents[2] / ".env.example"

# Self-signed, of no use to anybody.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUO3SmChLVrw2tn92ug/TtUt0cnaowCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNDI3NThaGA8yMTI2MTAyODE0Mjc1
OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFHy
ndauVexm4hXdWqaDKfmGs47rVA7MA3CTJvH5Kzx8cN+qvVJjqssvkqUJQ3uXZCSr
L+BN9xUXbQjwdqlRFxGjUzBRMB0GA1UdDgQWBBQnLC3Eewh3GaFH0F0T8eFnerXz
ijAfBgNVHSMEGDAWgBQnLC3Eewh3GaFH0F0T8eFnerXzijAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIBFNwmP4jYIZ90byvYMRMS4/VHXVNRC3in9Z
hFb2Ip8HAiEA1ts6anBl6v34mGcwmqyo9VWJfqex2PNs3xzSznFth+g=
-----END CERTIFICATE-----
"""


@pytest.fixture(autouse=True)
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without any of our names, and a working directory without .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def mistakes() -> list[str]:
    with pytest.raises(Permanent) as caught:
        read()
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///x.db?mode=ro",
        "sqlite:///:memory:",
        "postgres://u:s3cret@db/x",
        "postgresql://u:s3cret@db:x/y",
        "sqlite:x",
    ],
)
def test_an_address_of_the_transcript_is_judged_by_who_opens_it(env: Any, url: str) -> None:
    env(TRANSCRIPT_URL=url)
    [said] = mistakes()
    assert said.startswith("TRANSCRIPT_URL=***: must ")
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_tokens": '{"short": "viewer"}'}, "16 or more"),
        ({"api_tokens": "{"}, "must be JSON"),
        ({"api_host": "0.0.0.0"}, "needs API_TOKENS"),  # noqa: S104 - nothing is listened on
    ],
)
async def test_what_the_api_could_not_use_is_said_before_anything_is_reached(given: dict[str, Any], said: str) -> None:
    nowhere = Settings(_env_file=None, assistants_dir=Path("nowhere"), **given)
    with pytest.raises(Permanent, match=said):
        await bootstrap.run(nowhere)
    rows = [row for each in environment.checks(nowhere) for row in await each.run()]
    assert [row for row in rows if re.search(said, row.said) and row.level is Level.PROBLEM]
    bootstrap.check(Settings(_env_file=None, transcript_url="off", **given))


WORDS = st.text("abcXYZ019-_.%:@/?#[],+ ", max_size=12)
ADDRESSES = st.one_of(
    st.builds("{0}://{1}{2}/{3}{4}".format, st.sampled_from(["redis", "rediss", "unix"]), WORDS, WORDS, WORDS, WORDS),
    st.builds(
        "{0}://{1}host{2}/{3}{4}".format,
        st.sampled_from(["redis", "rediss+sentinel", "redis+cluster", "unix", "http", "https"]),
        st.sampled_from(["", "u:p@", "u@", ":p@"]),
        st.sampled_from(["", ":6379", ":99999", ",other:1", ":x"]) | WORDS,
        st.sampled_from(["", "0", "service/1", "service", "x"]) | WORDS,
        st.sampled_from(["", "?db=1", "?db=x", "?client_name=a", "?username=u&password=p", "?sentinel_password=x"]),
    ),
)


@given(ADDRESSES)
def test_whatever_address_is_accepted_can_be_opened(address: str) -> None:
    async def opened(chosen: Settings) -> None:
        async with open_redis(chosen.redis_url.get_secret_value(), connections=1):
            pass

    if chosen := accepted(redis_url=address):
        asyncio.run(opened(chosen))
    if chosen := accepted(engine_url=address):
        assert URL(chosen.engine_url).host


SERVERS = st.builds(
    "{0}://{1}{2}{3}{4}".format,
    st.sampled_from(["redis", "rediss", "unix"]),
    st.sampled_from(["", "u:p@", "u@", ":p@", "%75%40:%25%32@", ":@"]),
    st.sampled_from(["host", "host:6380", "[::1]", "[::1]:1", "/run/a%20b", "h%6Fst", "127.0.0.1:06379"]),
    st.sampled_from(["", "/", "/0", "/3", "/007", "/x"]),
    st.sampled_from(
        ["", "?db=2", "?db=x", "?username=v&password=%2520q", "?password=", "?client_name=a+b", "?db=1&db=2"]
    ),
)


@settings(max_examples=500)
@given(SERVERS)
def test_an_address_of_one_server_means_what_redis_py_would_read_in_it(address: str) -> None:
    try:
        ours = RedisAddress.read(address)
    except ValueError:
        return
    theirs = parse_url(address)
    assert ours.nodes == (() if "path" in theirs else ((theirs["host"], theirs.get("port", 6379)),))
    assert ours.path == theirs.get("path", "")
    assert ours.database == theirs.get("db", 0)
    for name in ("username", "password"):
        assert (getattr(ours, name) or "") == (theirs.get(name) or "")
    assert ours.options.get("client_name") == theirs.get("client_name")


def test_addresses_of_several_servers_are_taken_apart() -> None:
    several = RedisAddress.read("rediss+sentinel://u:p%40@a,[::1]:2,c:3/main/4?sentinel_password=s&ssl_certfile=c")
    assert (several.form, several.tls, several.service, several.database) == ("sentinel", True, "main", 4)
    assert several.nodes == (("a", 26379), ("::1", 2), ("c", 3))
    assert (several.username, several.password) == ("u", "p@")
    assert several.options == {"sentinel_password": "s", "ssl_certfile": "c"}
    assert "p@" not in repr(several)
    assert RedisAddress.read("redis+cluster://a,b:7").nodes == (("a", 6379), ("b", 7))


def accepted(**given: str) -> Settings | None:
    try:
        return Settings(_env_file=None, **given)  # type: ignore[arg-type]  # fields by name
    except ValidationError:
        return None


def plain(value: Any) -> str:
    """A default as it is written in .env."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_the_example_has_every_setting_once_with_its_default_and_what_it_is() -> None:
    written = re.findall(r"^# (.+)\n([A-Z_]+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    settings = [
        (field.description, name.upper(), plain(field.default)) for name, field in Settings.model_fields.items()
    ]
    assert written == settings


def test_the_example_copied_as_it_is_changes_nothing(empty_place: Path) -> None:
    untouched = read()
    (empty_place / ".env").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    assert read() == untouched


def test_defaults_are_those_that_are_promised() -> None:
    settings = read()
    assert settings.redis_url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.transcript_url.get_secret_value() == "sqlite:///transcript.db"
    assert settings.model_dump(exclude={"redis_url", "transcript_url"}) == {
        "engine_url": "http://localhost:8080/engine-rest",
        "engine_name": "default",
        "engine_user": None,
        "engine_password": None,
        "engine_token": None,
        "engine_token_url": None,
        "engine_client_id": None,
        "engine_client_secret": None,
        "engine_scope": None,
        "engine_audience": None,
        "engine_ca_file": None,
        "engine_key_file": None,
        "engine_cert_file": None,
        "redis_ca_file": None,
        "redis_prefix": "assistant-worker",
        "memory": "off",
        "memory_redact": "email,iban,card,phone",
        "memory_shared": False,
        "zep_api_key": None,
        "zep_api": "v4",
        "zep_url": "https://api.getzep.com",
        "openai_api_key": None,
        "openai_base_url": None,
        "providers_file": None,
        "budgets_file": None,
        "assistants_dir": Path("bpmn/assistants"),
        "deployed_assistants": "off",
        "topics": (),
        "handlers": (),
        "handler_slots": 10,
        "tenants": (),
        "max_tasks": 20,
        "chat_slots": 4,
        "chat_seconds": 60,
        "lock_seconds": 45,
        "poll_seconds": 10,
        "grace_seconds": 25,
        "discovery_seconds": 10,
        "retries": 3,
        "input_tokens": 20_000,
        "trouble_for_seconds": 3600,
        "thread_validation": "strict",
        "seed_tokens": 50_000,
        "thread_days": 30,
        "retention_threads_days": 30,
        "retention_transcript_days": 365,
        "retention_transcript": "keep",
        "chat_retention_days": 90,
        "decision_retention_days": None,
        "record_key": None,
        "health_host": "127.0.0.1",
        "health_port": 8090,
        "api_host": "127.0.0.1",
        "api_port": 8091,
        "api_tokens": None,
        "oidc_issuer": None,
        "oidc_audience": None,
        "oidc_roles": None,
        "oidc_roles_claim": "roles",
        "oidc_tenants_claim": None,
        "oidc_engine_user_claim": None,
        "oidc_client_id": None,
        "oidc_scope": "openid profile",
        "oidc_ca_file": None,
        "api_frames": (),
        "api_origins": (),
        "api_engine_rights": False,
        "record_service_accounts": (),
        "feed_most": 500,
        "feed_most_each": 100,
        "trace_propagation": "given",
        "trace_content": "off",
        "log_format": "json",
        "log_level": "INFO",
    }


def test_every_setting_is_read_from_the_environment(env: Any, empty_place: Path) -> None:
    (empty_place / "ca.pem").write_text(CERTIFICATE)
    (empty_place / "pair.pem").write_text(PAIR)
    given = {
        "ENGINE_URL": ("https://engine.example/engine-rest/", "https://engine.example/engine-rest"),
        "ENGINE_NAME": ("north.2", "north.2"),
        "ENGINE_TOKEN_URL": ("https://login.example/token", "https://login.example/token"),
        "ENGINE_CLIENT_ID": ("worker", "worker"),
        "ENGINE_CLIENT_SECRET": (" pass word", SecretStr(" pass word")),
        "ENGINE_SCOPE": ("engine tasks", "engine tasks"),
        "ENGINE_AUDIENCE": ("engine", "engine"),
        "ENGINE_CA_FILE": ("ca.pem", Path("ca.pem")),
        "ENGINE_KEY_FILE": ("pair.pem", Path("pair.pem")),
        "ENGINE_CERT_FILE": ("pair.pem", Path("pair.pem")),
        "REDIS_URL": ("rediss://u:p@redis.example/3", SecretStr("rediss://u:p@redis.example/3")),
        "REDIS_CA_FILE": ("ca.pem", Path("ca.pem")),
        "REDIS_PREFIX": ("team:worker", "team:worker"),
        "TRANSCRIPT_URL": ("postgresql://u:p@db/x", SecretStr("postgresql://u:p@db/x")),
        "MEMORY": ("Embedded", "embedded"),
        "MEMORY_REDACT": ("email, customer=K-[0-9]+", "email, customer=K-[0-9]+"),
        "MEMORY_SHARED": ("true", True),
        "ZEP_API_KEY": ("z_key", SecretStr("z_key")),
        "ZEP_API": ("V2", "v2"),
        "ZEP_URL": ("https://zep.example/", "https://zep.example"),
        "OPENAI_API_KEY": ("sk-1", SecretStr("sk-1")),
        "OPENAI_BASE_URL": ("http://localhost:9/v1/", "http://localhost:9/v1"),
        "PROVIDERS_FILE": ("/etc/providers.yaml", Path("/etc/providers.yaml")),
        "BUDGETS_FILE": ("/etc/budgets.yaml", Path("/etc/budgets.yaml")),
        "ASSISTANTS_DIR": ("/specs", Path("/specs")),
        "DEPLOYED_ASSISTANTS": ("openai/gpt-5-mini=4000 tenant=a", "openai/gpt-5-mini=4000 tenant=a"),
        "TOPICS": (" b, a ,,b", ("b", "a")),
        "HANDLERS": (
            "pay=shop.pay:charge, mail = shop.mail:Mail.send",
            ("pay=shop.pay:charge", "mail = shop.mail:Mail.send"),
        ),
        "HANDLER_SLOTS": ("3", 3),
        "TENANTS": ("north, south", ("north", "south")),
        "RECORD_SERVICE_ACCOUNTS": ("tasklist, portal", ("tasklist", "portal")),
        "MAX_TASKS": ("50", 50),
        "CHAT_SLOTS": ("2", 2),
        "CHAT_SECONDS": ("30", 30),
        "LOCK_SECONDS": ("30", 30),
        "POLL_SECONDS": ("5", 5),
        "GRACE_SECONDS": ("6", 6),
        "DISCOVERY_SECONDS": ("7", 7),
        "RETRIES": ("5", 5),
        "INPUT_TOKENS": ("500", 500),
        "TROUBLE_FOR_SECONDS": ("0", 0),
        "THREAD_VALIDATION": ("Optimistic", "optimistic"),
        "SEED_TOKENS": ("0", 0),
        "THREAD_DAYS": ("1", 1),
        "RETENTION_THREADS_DAYS": ("Never", None),
        "RETENTION_TRANSCRIPT_DAYS": ("0", 0),
        "RETENTION_TRANSCRIPT": ("Remove", "remove"),
        "CHAT_RETENTION_DAYS": ("7", 7),
        "DECISION_RETENTION_DAYS": ("3650", 3650),
        "HEALTH_HOST": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - only read, not listened on
        "HEALTH_PORT": ("0", 0),
        "API_HOST": ("::1", "::1"),
        "API_PORT": ("0", 0),
        "API_TOKENS": ("{}", SecretStr("{}")),
        "RECORD_KEY": ("key", SecretStr("key")),
        "OIDC_ISSUER": ("https://id.example/", "https://id.example/"),
        "OIDC_AUDIENCE": ("worker", "worker"),
        "OIDC_ROLES": ("{}", "{}"),
        "OIDC_ROLES_CLAIM": ("realm_access.roles", "realm_access.roles"),
        "OIDC_TENANTS_CLAIM": ("tenants", "tenants"),
        "OIDC_ENGINE_USER_CLAIM": ("preferred_username", "preferred_username"),
        "OIDC_CLIENT_ID": ("page", "page"),
        "OIDC_SCOPE": ("openid", "openid"),
        "OIDC_CA_FILE": ("ca.pem", Path("ca.pem")),
        "API_FRAMES": (
            "https://cockpit.example, http://localhost:8080",
            ("https://cockpit.example", "http://localhost:8080"),
        ),
        "API_ORIGINS": ("https://portal.example", ("https://portal.example",)),
        "API_ENGINE_RIGHTS": ("true", True),
        "FEED_MOST": ("0", 0),
        "FEED_MOST_EACH": ("1", 1),
        "TRACE_PROPAGATION": ("Always", "always"),
        "TRACE_CONTENT": ("On", "on"),
        "LOG_FORMAT": ("CONSOLE", "console"),
        "LOG_LEVEL": ("debug", "DEBUG"),
    }
    env(**{name: value for name, (value, _) in given.items()})
    got = {name.upper(): value for name, value in read()}
    others = dict.fromkeys(["ENGINE_USER", "ENGINE_PASSWORD", "ENGINE_TOKEN"])
    assert got == {name: value for name, (_, value) in given.items()} | others


def test_a_user_and_a_password_are_read_from_the_environment(env: Any) -> None:
    env(ENGINE_USER="demo@example", ENGINE_PASSWORD=" pass word")
    assert (read().engine_user, read().engine_password) == ("demo@example", SecretStr(" pass word"))


def test_durations_are_handed_out_with_their_unit(env: Any) -> None:
    env(LOCK_SECONDS="31", POLL_SECONDS="2", GRACE_SECONDS="3", DISCOVERY_SECONDS="4", TROUBLE_FOR_SECONDS="5")
    env(THREAD_DAYS="6")
    settings = read()
    assert settings.lock == timedelta(seconds=31)
    assert settings.poll == timedelta(seconds=2)
    assert settings.grace == timedelta(seconds=3)
    assert settings.discovery == timedelta(seconds=4)
    assert settings.trouble_for == timedelta(seconds=5)
    assert settings.thread_life == timedelta(days=6)


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none(env: Any, empty_place: Path) -> None:
    text = "MAX_TASKS=1\nRETRIES=7\nLOG_FORMAT=console\nLOG_LEVEL=\nSOMEBODY_ELSES=x\n"
    (empty_place / ".env").write_text(text)
    env(MAX_TASKS="2", RETRIES="")
    settings = read()
    assert (settings.max_tasks, settings.retries, settings.log_format) == (2, 7, "console")
    assert settings.log_level == "INFO"


def test_settings_do_not_change() -> None:
    settings = read()
    with pytest.raises(ValidationError):
        settings.max_tasks = 3  # type: ignore[misc]  # that it is refused is the point


def test_all_mistakes_are_named_at_once(env: Any) -> None:
    env(MAX_TASKS="abc", POLL_SECONDS="20", GRACE_SECONDS="19", ENGINE_USER="demo", LOG_FORMAT="xml")
    assert mistakes() == [
        "ENGINE_PASSWORD: must be set, because ENGINE_USER is",
        "MAX_TASKS=abc: must be a whole number from 1 to 1000",
        "GRACE_SECONDS=19: must be at least POLL_SECONDS (20): a stop lets the poll return",
        "LOG_FORMAT=xml: must be one of json, console",
    ]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("MAX_TASKS", 1, 1000),
        ("CHAT_SLOTS", 0, 1000),
        ("CHAT_SECONDS", 5, 600),
        ("LOCK_SECONDS", 10, 600),
        ("POLL_SECONDS", 1, 20),
        ("GRACE_SECONDS", 10, 3600),  # at least POLL_SECONDS
        ("DISCOVERY_SECONDS", 1, 3600),
        ("RETRIES", 1, 100),
        ("TROUBLE_FOR_SECONDS", 0, 604_800),
        ("THREAD_DAYS", 1, 3650),
        ("RETENTION_THREADS_DAYS", 0, 3650),
        ("RETENTION_TRANSCRIPT_DAYS", 0, 3650),
        ("CHAT_RETENTION_DAYS", 0, 3650),
        ("DECISION_RETENTION_DAYS", 0, 3650),
        ("HEALTH_PORT", 0, 65535),
    ],
)
def test_numbers_have_bounds(env: Any, name: str, low: int, high: int) -> None:
    for inside in (low, high):
        env(**{name: str(inside)})
        assert getattr(read(), name.lower()) == inside
    for outside in (low - 1, high + 1):
        env(**{name: str(outside)})
        (line,) = mistakes()
        assert line.startswith(f"{name}={outside}: must be ")


@pytest.mark.parametrize("value", ["-1", "1.5", "nev", "9" * 5000])
def test_a_retention_is_days_or_never(env: Any, value: str) -> None:
    env(RETENTION_THREADS_DAYS=value)
    assert mistakes() == [
        f"RETENTION_THREADS_DAYS={value[:80]}: must be a whole number of days from 0 to 3650, or never"
    ]
    env(RETENTION_THREADS_DAYS="never", RETENTION_TRANSCRIPT_DAYS="2")
    assert (read().retention_threads, read().retention_record) == (None, timedelta(days=2))


@pytest.mark.parametrize("value", ["1.5", "ten", "1e2", "9" * 5000])
def test_what_is_no_whole_number_is_said_to_be_none(env: Any, value: str) -> None:
    env(HEALTH_PORT=value)
    assert mistakes() == [f"HEALTH_PORT={value[:80]}: must be a whole number from 0 to 65535"]


def test_a_value_cannot_forge_a_line_of_the_message(env: Any) -> None:
    env(LOG_LEVEL="loud\x1b[31m\nMAX_TASKS=1")
    assert mistakes() == [
        r"LOG_LEVEL='loud\x1b[31m\nMAX_TASKS=1': must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ENGINE_PASSWORD": "s3cret"}, "ENGINE_PASSWORD=***: needs ENGINE_USER as well"),
        (
            {"ENGINE_TOKEN": "s3cret", "ENGINE_USER": "demo", "ENGINE_PASSWORD": "s3cret"},
            "ENGINE_TOKEN=***: cannot be combined with ENGINE_USER and ENGINE_PASSWORD; set one or the other",
        ),
        (
            {"ENGINE_USER": "demo:s3cret"},
            "ENGINE_USER=***: must not contain a colon; the password belongs in ENGINE_PASSWORD",
        ),
        (
            {"ENGINE_URL": "https://demo:s3cret@engine.example/engine-rest"},
            "ENGINE_URL=***: must not carry credentials; set ENGINE_USER and ENGINE_PASSWORD",
        ),
        (
            {"ENGINE_URL": "https://demo:s3c/ret@engine.example"},
            "ENGINE_URL=***: must not carry credentials; set ENGINE_USER and ENGINE_PASSWORD",
        ),
        (
            {"ENGINE_URL": "https://engine.example/engine-rest?token=s3cret"},
            "ENGINE_URL=***: must end with its path, without ? or #",
        ),
        (
            {"OPENAI_BASE_URL": "https://s3cret@api.example/v1"},
            "OPENAI_BASE_URL=***: must not carry credentials; set OPENAI_API_KEY",
        ),
        ({"OPENAI_API_KEY": "s3cret two"}, "OPENAI_API_KEY=***: must be one line of ASCII characters without spaces"),
        ({"ENGINE_TOKEN": "s3cret–x"}, "ENGINE_TOKEN=***: must be one line of ASCII characters without spaces"),  # noqa: RUF001 - the dash that text processors make of two
        (
            {"REDIS_URL": "redis://:s3cret/x@redis.example:6379/0"},
            (
                "REDIS_URL=***: must look like redis://user:password@host:6379/0, rediss://…, unix:///path, "
                "redis+sentinel://… or redis+cluster://…; special characters of the password as %xx"
            ),
        ),
    ],
)
def test_a_mistake_about_a_secret_does_not_show_it(env: Any, given: dict[str, str], said: str) -> None:
    env(**given)
    with pytest.raises(Permanent) as caught:
        read()
    assert str(caught.value) == said
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_validation_error_itself_shows_no_input() -> None:
    token, url = SecretStr("s3cret one"), "https://s3cret@engine.example"
    with pytest.raises(ValidationError) as caught:
        Settings(engine_token=token, engine_url=url)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert len(explain(caught.value)) == 2


def test_secrets_are_in_no_text_of_the_settings(env: Any) -> None:
    env(ENGINE_USER="demo", ENGINE_PASSWORD="s3cret", OPENAI_API_KEY="s3cret")
    env(REDIS_URL="redis://:s3cret@redis.example:6380/1?password=s3cret")
    settings = read()
    for text in (repr(settings), str(settings), settings.model_dump_json(), settings.redis_address):
        assert "s3cret" not in text


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://u:p@redis.example:6380/1?password=y", "redis://redis.example:6380/1"),
        ("rediss://:p%40q@[::1]:6379", "rediss://[::1]:6379"),
        ("unix://u:p@/run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("redis+sentinel://u:p@a:1,[::1]:2/main/3?sentinel_password=p", "redis+sentinel://a:1,[::1]:2/main/3"),
        ("rediss+sentinel://a/main", "rediss+sentinel://a/main"),
        ("redis+cluster://:p@a,b:6379", "redis+cluster://a,b:6379"),
        ("rediss+cluster://a:6379/?ssl_certfile=c&ssl_keyfile=k", "rediss+cluster://a:6379/"),
    ],
)
def test_redis_has_an_address_to_show(env: Any, url: str, address: str) -> None:
    env(REDIS_URL=url)
    assert read().redis_address == address


@pytest.mark.parametrize("url", ["http://redis", "redis://", "redis://h/zero", "redis://h:port", "redis:6379"])
def test_what_is_no_address_of_redis_is_refused(env: Any, url: str) -> None:
    env(REDIS_URL=url)
    (line,) = mistakes()
    assert line.startswith("REDIS_URL=***: must look like redis://")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("unix://", "must look like unix://user:password@/path?db=0; "),
        ("redis+sentinel://host:26379", "must look like redis+sentinel://user:password@host1:26379,"),
        ("redis+sentinel://host:26379/main/zero", "must look like redis+sentinel://"),
        ("redis+sentinel://host:x/main", "must look like redis+sentinel://"),
        ("redis+sentinel://a,,b/main", "must look like redis+sentinel://"),
        ("redis+sentinel://u:p/w@a/main", "must look like redis+sentinel://"),
        ("redis+cluster://a:6379,b:6379/1", "must look like redis+cluster://"),
        ("redis+cluster://", "must look like redis+cluster://"),
        ("redis+replica://a", "must look like redis://user:password@host:6379/0, "),
        ("sentinel://a/main", "must look like redis://user:password@host:6379/0, "),
        ("redis+cluster://a:65536", "must name ports up to 65535"),
        ("redis://a:99999/0", "must name ports up to 65535"),
        ("redis+cluster://a?db=1", "must have no options after ? but client_name"),
        ("rediss+cluster://a?db=1", "must have no options after ? but client_name, ssl_certfile, "),
        ("redis://a?ssl_certfile=x", "must have no options after ? but client_name, db, password, username"),
        ("rediss://a?ssl_cert_reqs=none", "must have no options after ? but client_name, db, "),
        ("rediss://a?ssl_check_hostname=false", "must have no options after ? but client_name, db, "),
        ("redis://a?db=1&db=2", "must have each option after ? once"),
        ("redis://a?db=abc", "must name the database by its number, such as ?db=0"),
        ("unix:///run/redis.sock?db=", "must name the database by its number, such as ?db=0"),
        ("redis://a?socket_timeout=60", "must have no options after ? but client_name, db, "),
    ],
)
def test_each_form_of_an_address_of_redis_is_explained_by_itself(env: Any, url: str, said: str) -> None:
    env(REDIS_URL=url)
    (line,) = mistakes()
    assert line.startswith(f"REDIS_URL=***: {said}")


@pytest.mark.parametrize("url", ["localhost:8080/engine-rest", "ftp://e/x", "http://", "http://e:port", "http://a b/x"])
def test_what_is_no_address_of_an_engine_is_refused(env: Any, url: str) -> None:
    env(ENGINE_URL=url)
    assert mistakes() == [f"ENGINE_URL={url}: must be an address that begins with http:// or https://"]


@pytest.mark.parametrize("name", ["TOPICS", "TENANTS", "API_FRAMES"])
@pytest.mark.parametrize("value", [",", " , ,"])
def test_a_list_that_names_nothing_is_refused_and_not_taken_for_no_limit(env: Any, name: str, value: str) -> None:
    env(**{name: value})
    (line,) = mistakes()
    assert line.endswith(": names nothing between its commas; leave it out if nothing is meant")
    assert line.startswith(f"{name}=")


@pytest.mark.parametrize("name", ["ENGINE_NAME", "REDIS_PREFIX"])
@pytest.mark.parametrize("value", ["a{b}", "a b", "ü", "x" * 65])
def test_names_that_would_break_a_key_are_refused(env: Any, name: str, value: str) -> None:
    env(**{name: value})
    (line,) = mistakes()
    assert line.startswith(f"{name}={value}: must be 1 to 64 letters, digits or ")


def test_only_the_prefix_may_hold_colons(env: Any) -> None:
    env(ENGINE_NAME="a:b", REDIS_PREFIX="a:b")
    assert mistakes() == ["ENGINE_NAME=a:b: must be 1 to 64 letters, digits or . _ -"]


def test_the_line_break_at_the_end_of_a_secrets_file_is_no_part_of_it(env: Any) -> None:
    env(OPENAI_API_KEY="sk-1\n", ENGINE_TOKEN="\n")
    settings = read()
    assert settings.openai_api_key == SecretStr("sk-1")
    assert settings.engine_token is None


CLIENT = {"ENGINE_TOKEN_URL": "https://h/token", "ENGINE_CLIENT_ID": "worker", "ENGINE_CLIENT_SECRET": "s3cret"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (CLIENT | {"ENGINE_CLIENT_ID": ""}, "ENGINE_CLIENT_ID: must be set, because ENGINE_TOKEN_URL is"),
        (CLIENT | {"ENGINE_CLIENT_SECRET": ""}, "ENGINE_CLIENT_SECRET: must be set, because ENGINE_TOKEN_URL is"),
        ({"ENGINE_CLIENT_SECRET": "s3cret"}, "ENGINE_CLIENT_SECRET=***: needs ENGINE_TOKEN_URL as well"),
        ({"ENGINE_SCOPE": "a"}, "ENGINE_SCOPE=a: needs ENGINE_TOKEN_URL as well"),
        ({"ENGINE_AUDIENCE": "a"}, "ENGINE_AUDIENCE=a: needs ENGINE_TOKEN_URL as well"),
        (
            CLIENT | {"ENGINE_TOKEN": "s3cret"},
            "ENGINE_TOKEN_URL=https://h/token: cannot be combined with ENGINE_USER or ENGINE_TOKEN; set one of them",
        ),
        (
            CLIENT | {"ENGINE_USER": "demo", "ENGINE_PASSWORD": "s3cret"},
            "ENGINE_TOKEN_URL=https://h/token: cannot be combined with ENGINE_USER or ENGINE_TOKEN; set one of them",
        ),
        (
            CLIENT | {"ENGINE_TOKEN_URL": "https://worker:s3cret@h/token"},
            "ENGINE_TOKEN_URL=***: must not carry credentials; set ENGINE_CLIENT_ID and ENGINE_CLIENT_SECRET",
        ),
    ],
)
def test_what_belongs_to_a_token_url_is_wanted_with_it_alone(env: Any, given: dict[str, str], said: str) -> None:
    env(**given)
    assert mistakes() == [said]


ISSUER = {"OIDC_ISSUER": "https://id.example", "OIDC_AUDIENCE": "worker", "OIDC_ROLES": "{}"}
PLAIN = "must be an address that begins with https://, without credentials, ? or #"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ISSUER | {"OIDC_AUDIENCE": ""}, "OIDC_AUDIENCE: must be set, because OIDC_ISSUER is"),
        (ISSUER | {"OIDC_ROLES": ""}, "OIDC_ROLES: must be set, because OIDC_ISSUER is"),
        ({"OIDC_ROLES": "{}"}, "OIDC_ROLES={}: needs OIDC_ISSUER as well"),
        ({"OIDC_CLIENT_ID": "page"}, "OIDC_CLIENT_ID=page: needs OIDC_ISSUER as well"),
        ({"OIDC_TENANTS_CLAIM": "t"}, "OIDC_TENANTS_CLAIM=t: needs OIDC_ISSUER as well"),
        (ISSUER | {"OIDC_ISSUER": "id.example"}, f"OIDC_ISSUER=id.example: {PLAIN}"),
        (ISSUER | {"OIDC_ISSUER": "https://a:s3cret@id.example"}, f"OIDC_ISSUER=***: {PLAIN}"),
        (ISSUER | {"OIDC_ISSUER": "https://id.example?a=1"}, f"OIDC_ISSUER=***: {PLAIN}"),
        (
            ISSUER | {"OIDC_ISSUER": "http://id.example"},
            "OIDC_ISSUER=http://id.example: must begin with https://: else its keys could be anybody's",
        ),
    ],
)
def test_an_issuer_is_wanted_whole_and_by_a_safe_way(env: Any, given: dict[str, str], said: str) -> None:
    env(**given)
    assert mistakes() == [said]


def test_an_issuer_of_this_machine_needs_no_tls(env: Any) -> None:
    env(**ISSUER | {"OIDC_ISSUER": "http://127.0.0.1:8080/realms/x/"})
    assert read().oidc_issuer == "http://127.0.0.1:8080/realms/x/"


def test_a_certificate_to_show_is_wanted_with_its_key_and_with_tls(env: Any, empty_place: Path) -> None:
    key, mark, certificate = PAIR.partition("-----BEGIN CERTIFICATE")
    (empty_place / "cert.pem").write_text(mark + certificate)
    (empty_place / "key.pem").write_text(key)
    env(ENGINE_URL="https://h/engine-rest", ENGINE_KEY_FILE="key.pem")
    assert mistakes() == ["ENGINE_CERT_FILE: must be set, because ENGINE_KEY_FILE is"]
    env(ENGINE_CERT_FILE="cert.pem")
    assert read().engine_cert_file == Path("cert.pem")
    env(ENGINE_URL="http://h/engine-rest")
    said = "needs an ENGINE_URL that begins with https://: without TLS nobody sees a certificate"
    assert mistakes() == [f"ENGINE_CERT_FILE=cert.pem: {said}"]
    env(ENGINE_URL="https://h/engine-rest", ENGINE_KEY_FILE="nowhere.pem")
    assert mistakes() == ["ENGINE_CERT_FILE=cert.pem: nowhere.pem cannot be read: No such file or directory"]
    env(ENGINE_KEY_FILE="")
    (line,) = mistakes()
    assert "cert.pem: must be PEM with a certificate and its own private key, without a password" in line


def test_nobody_is_asked_for_the_password_of_a_key(env: Any, empty_place: Path) -> None:
    key, _, certificate = PAIR.partition("-----BEGIN CERTIFICATE")
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:s3cret", "-v2", "aes-256-cbc"]
    locked = subprocess.run(command, input=key, capture_output=True, text=True, check=True).stdout
    (empty_place / "pair.pem").write_text(locked + "-----BEGIN CERTIFICATE" + certificate)
    env(ENGINE_URL="https://h/engine-rest", ENGINE_CERT_FILE="pair.pem")
    (line,) = mistakes()
    assert "without a password" in line


@pytest.mark.parametrize("name", ["ENGINE_CA_FILE", "OIDC_CA_FILE", "REDIS_CA_FILE"])
def test_a_ca_file_must_hold_certificates(env: Any, empty_place: Path, name: str) -> None:
    env(**{name: "nowhere.pem"})
    assert mistakes() == [f"{name}=nowhere.pem: must be a PEM file with certificates: No such file or directory"]
    (empty_place / "empty.pem").write_text("nothing\n")
    env(**{name: "empty.pem"})
    (line,) = mistakes()
    assert line.startswith(f"{name}=empty.pem: must be a PEM file with certificates: ")


def test_an_env_file_in_another_encoding_is_named(empty_place: Path) -> None:
    (empty_place / ".env").write_bytes("ENGINE_PASSWORD=schlüssel\n".encode("latin-1"))
    assert mistakes() == [".env: must be UTF-8 text"]


def test_a_name_that_is_nearly_ours_is_named_with_the_one_that_is_meant(env: Any, empty_place: Path) -> None:
    env(ENGINE_ULR="http://somewhere/engine-rest", api_token="{}", APP_PORT="80", LOG_LEVEL="INFO", PATH_INFO="/")
    (empty_place / ".env").write_text("MAX_TASK=5\nTENANTS=a\nSOMETHING_ELSE=1\n")

    assert read().max_tasks == 20
    near = misspelt()
    assert near["ENGINE_ULR"] == "ENGINE_URL"
    assert near["API_TOKEN"] == "API_TOKENS"
    assert near["MAX_TASK"] == "MAX_TASKS"
    assert not near.keys() & {"APP_PORT", "LOG_LEVEL", "PATH_INFO", "TENANTS", "SOMETHING_ELSE"}


def test_no_setting_is_taken_for_another(env: Any) -> None:
    env(**{name.upper(): "1" for name in Settings.model_fields})
    assert not misspelt().keys() & {name.upper() for name in Settings.model_fields}


def test_what_providers_refer_to_is_taken_from_where_settings_are(env: Any, empty_place: Path) -> None:
    (empty_place / ".env").write_text(
        "PROVIDERS_FILE=providers.yaml\nFIRST=written\nSECOND=written\nthird=é\n", "utf-8"
    )
    env(FIRST="set", SECOND="", FOURTH="set")
    (empty_place / "providers.yaml").write_text(
        "providers:\n  a: {api: chat, base_url: 'http://h/v1', key: env:FIRST, query: {s: env:SECOND, t: env:THIRD}}\n"
    )

    found = bootstrap.provider_specs(read())["a"]
    assert (found.key, dict(found.query)) == ("set", {"s": "written", "t": "é"})


@pytest.mark.parametrize("url", ["off", "sqlite:///transcript.db"])
async def test_exchanges_are_kept_for_every_sink_that_is_connected(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    set_to = Settings(_env_file=None, openai_api_key=SecretStr("key"), transcript_url=SecretStr(url))
    async with bootstrap.connect(set_to) as adapters:
        assert list(adapters.threads._sinks) == [sink.name for sink in adapters.sinks]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MEMORY": "embedded", "TRANSCRIPT_URL": "off"}, "MEMORY=embedded: needs a TRANSCRIPT_URL"),
        ({"MEMORY": "zep"}, "ZEP_API_KEY: is needed with MEMORY=zep: the key of a project in Zep Cloud"),
        ({"MEMORY_REDACT": "mail"}, "MEMORY_REDACT=mail: 'mail' is unknown; allowed are email, iban, card, phone"),
        ({"MEMORY_REDACT": "x=("}, "the pattern x cannot be used"),
    ],
)
def test_a_memory_needs_a_transcript_and_a_redaction_that_can_be_done(env: Any, given: Any, said: str) -> None:
    env(**given)
    [line] = mistakes()
    assert said in line
