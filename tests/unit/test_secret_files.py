"""Secrets that stand in files of their own."""

import os
import re
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from worker import bootstrap
from worker.decisions.keys import key_id
from worker.errors import Permanent
from worker.operate.doctor import environment
from worker.operate.doctor.checks import Finding, Level
from worker.runtime.secret_file import LARGEST
from worker.settings import SECRETS, Settings, misspelt, read

EXAMPLE = Path(__file__).parents[2] / ".env.example"

GOOD = {
    "ENGINE_PASSWORD": " pass wörd ",
    "ENGINE_TOKEN": "s3cret",
    "ENGINE_CLIENT_SECRET": "s3cret",
    "REDIS_URL": "redis://:s3cret@redis.example/1",
    "TRANSCRIPT_URL": "postgresql://u:s3cret@db/x",
    "ZEP_API_KEY": "z_s3cret",
    "OPENAI_API_KEY": "sk-s3cret",
    "API_TOKENS": '{"s3cret-s3cret-s3cret": "viewer"}',
    "RECORD_KEY": "s3cret",
}


@pytest.fixture(autouse=True)
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake() -> str:
    with pytest.raises(Permanent) as caught:
        read()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_every_setting_that_is_or_holds_a_secret_is_known_as_one() -> None:
    assert {name.upper() for name in SECRETS} == GOOD.keys()


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_stand_in_a_file_and_the_line_break_at_its_end_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path, name: str, end: str
) -> None:
    (empty_place / "secret").write_text(GOOD[name] + end, "utf-8", newline="")
    monkeypatch.setenv(f"{name}_FILE", "secret")
    if name == "ENGINE_PASSWORD":
        monkeypatch.setenv("ENGINE_USER", "demo")
    if name == "ENGINE_CLIENT_SECRET":
        monkeypatch.setenv("ENGINE_TOKEN_URL", "https://h/token")
        monkeypatch.setenv("ENGINE_CLIENT_ID", "worker")
    settings = read()
    assert getattr(settings, name.lower()) == SecretStr(GOOD[name])
    assert settings.secret_files == {name: Path("secret")}
    assert "s3cret" not in repr(settings)
    assert misspelt() == {}


def test_the_name_of_the_file_may_stand_in_dotenv_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path
) -> None:
    (empty_place / ".env").write_text("OPENAI_API_KEY_FILE=old\nENGINE_TOKEN_FILE=\n")
    (empty_place / "new").write_text("sk-new")
    monkeypatch.setenv("openai_api_key_file", "new")
    assert read().openai_api_key == SecretStr("sk-new")
    assert read().engine_token is None


def test_a_secret_that_is_set_and_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, empty_place: Path) -> None:
    (empty_place / ".env").write_text("OPENAI_API_KEY=s3cret\n")
    (empty_place / "key").write_text("sk-1")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "key")
    assert mistake() == "OPENAI_API_KEY_FILE=key: cannot be combined with OPENAI_API_KEY; set one or the other"


def test_what_is_wrong_with_a_file_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, empty_place: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "key")
    why = "cannot be read: No such file or directory; name a file that the worker's user may read"
    assert mistake() == f"OPENAI_API_KEY_FILE=***: {why}", "it may be the key itself"
    for path in (f"{empty_place}/nowhere/key", "secrets/openai.key", "./secrets/openai", "openai.key"):
        monkeypatch.setenv("OPENAI_API_KEY_FILE", path)
        assert mistake() == f"OPENAI_API_KEY_FILE={path}: {why}"
    (empty_place / "secrets").mkdir()
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "secrets/openai")
    assert mistake() == f"OPENAI_API_KEY_FILE=secrets/openai: {why}"
    for secret in (
        "/q8Zk+V/1mJ0xw==",
        "q8Zk+V/1mJ0xw==",
        "/q8Zk1mJ0xw==",
        "sk-proj-4711",
        "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl",
    ):
        monkeypatch.setenv("OPENAI_API_KEY_FILE", secret)
        assert mistake() == f"OPENAI_API_KEY_FILE=***: {why}"

    monkeypatch.setenv("OPENAI_API_KEY_FILE", "key")
    said = "OPENAI_API_KEY_FILE=key: "

    (empty_place / "key").mkdir()
    assert mistake() == f"{said}is no file; name a file that the worker's user may read"
    (empty_place / "key").rmdir()

    for nothing in ("", "\n", "  \r\n"):
        (empty_place / "key").write_text(nothing)
        assert mistake() == f"{said}is empty; write the secret into it, or leave OPENAI_API_KEY_FILE out"

    (empty_place / "key").write_text("s3cret" * LARGEST)
    assert mistake() == f"{said}has more than {LARGEST} bytes, which no secret has; is it the right file?"

    (empty_place / "key").write_bytes("s3cretä".encode("latin-1"))
    assert mistake() == f"{said}is no UTF-8 text; save it as UTF-8"

    (empty_place / "key").write_text("s3cret two")
    assert mistake() == f"{said}must be one line of ASCII characters without spaces"


def test_a_pipe_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, empty_place: Path) -> None:
    os.mkfifo(empty_place / "pipe")
    monkeypatch.setenv("ENGINE_TOKEN_FILE", "pipe")
    assert mistake() == "ENGINE_TOKEN_FILE=pipe: is no file; name a file that the worker's user may read"


def test_all_mistakes_with_files_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_TOKEN_FILE", "nowhere")
    monkeypatch.setenv("REDIS_URL_FILE", "nowhere")
    monkeypatch.setenv("MAX_TASKS", "0")
    assert [line.partition("=")[0] for line in mistake().splitlines()] == [
        "ENGINE_TOKEN_FILE",
        "REDIS_URL_FILE",
        "MAX_TASKS",
    ]


def test_the_example_offers_a_file_for_each_secret_and_for_nothing_else() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert re.findall(r"^([A-Z_]+)=.*\n# or ([A-Z_]+)=/run/secrets/[a-z_]+$", text, re.MULTILINE) == [
        (name.upper(), f"{name.upper()}_FILE") for name in SECRETS
    ]
    assert text.count("# or ") == len(SECRETS)


@pytest.mark.parametrize("where", ["a.key", "sub/b.key"])
def test_a_providers_key_by_the_name_of_a_setting_may_be_in_that_settings_file(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path, where: str
) -> None:
    (empty_place / "sub").mkdir()
    (empty_place / where).write_text("sk-1\n")
    (empty_place / "sub" / "providers.yaml").write_text(
        "providers:\n  a: {api: chat, base_url: 'http://h/v1', key: env:OPENAI_API_KEY}\n"
    )
    monkeypatch.setenv("PROVIDERS_FILE", "sub/providers.yaml")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", where)
    found = bootstrap.provider_specs(read())["a"]
    assert found.key == "sk-1"


async def test_doctor_says_which_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, empty_place: Path) -> None:
    (empty_place / "token").write_text("s3cret")
    monkeypatch.setenv("ENGINE_TOKEN_FILE", "token")
    rows = [row for each in environment.checks(read()) for row in await each.run()]
    [row] = [row for row in rows if row.subject == "ENGINE_TOKEN_FILE"]
    assert (row.level, row.said) == (Level.OK, "token")


async def test_doctor_says_which_key_signs_decision_records_and_quotes_none(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path
) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    monkeypatch.setenv("RECORD_KEY_FILE", "key.pem")
    monkeypatch.setenv("TRANSCRIPT_URL", "off")

    async def finding(text: str) -> Finding:
        (empty_place / "key.pem").write_text(text)
        rows = [row for each in environment.checks(read()) for row in await each.run()]
        [row] = [row for row in rows if row.subject == "decision records"]
        return row

    right, wrong = await finding(pem), await finding(pem.replace("M", "s3cret", 1))
    name = key_id(private.public_key().public_bytes_raw())
    assert (right.level, right.said) == (Level.OK, f"their rows are signed by the key {name}")
    assert (wrong.level, wrong.said[:16]) == (Level.PROBLEM, "RECORD_KEY_FILE:")
    assert "s3cret" not in wrong.said
