"""Environments as people write them by mistake, by the hundred: refused in words, or looked at without a trace.

What `read` refuses ends the command with 2 and a line for each setting. What it takes doctor looks at, and a worker is
put together by it, without an unforeseen error. No secret is told by anybody.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hostile import seeds
from tests.unit.test_hostile import Maker
from worker import bootstrap, cli
from worker.errors import Permanent
from worker.settings import SECRETS, Settings, read

ENVIRONMENTS = 12
SECRETLESS = "none"
SECRET = "s3cr3t-of-nobody"
NOWHERE = "127.0.0.1:9"  # nobody listens there, and a connection is refused at once
FINE = {
    "ENGINE_URL": f"http://{NOWHERE}/engine-rest",
    "REDIS_URL": f"redis://:{SECRET}@{NOWHERE}/0",
    "TRANSCRIPT_URL": "off",
    "OPENAI_API_KEY": SECRET,
    "OPENAI_BASE_URL": f"http://{NOWHERE}/v1",
}
ADDRESSES = [
    *(f"{scheme}{NOWHERE}{path}" for scheme in ("", "http://", "HTTP://", "redis://") for path in ("", "/", "/x//")),
    *("http://127.0.0.1:0", "http://[::1]:9/", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:٨٠"),
    *(f"http://u:{SECRET}@{NOWHERE}", f"redis://u:{SECRET}@{NOWHERE}/x", f"redis://{SECRET}@[::1]:9/1"),
    *(f"http://{NOWHERE}?token={SECRET}", f"postgresql://u:{SECRET}@{NOWHERE}/x", f"postgresql://u:{SECRET}@/x"),
    *("sqlite:///none/none.db", "sqlite:///", "sqlite:///x.db", "unix:///none?db=²", f"redis://{NOWHERE}/²"),
    *(f"redis+cluster://{NOWHERE},[::1]:9", f"redis+sentinel://{NOWHERE}/s/0", f"rediss://{NOWHERE}", "http://\x00"),
]
WORDS = [
    "",
    " ",
    "  \t",
    "0",
    "-1",
    "²",
    "٣",
    "1e3",
    "0x1",
    "1_0",
    "9" * 40,
    "true",
    "TRUE",
    "on",
    "None",
    "never",
    "off",
]
WORDS += [",", "-", "a,-", "a, b", "{}", "[]"]
WORDS += ["/none/file", "/dev/null", ".", "*", "(", "x=(", "email", "embedded", "zep", "v2", "ÀÉ", '"quoted"', "'x'"]
SECRETLY = [
    SECRET,
    f'{{"{SECRET}": "operator"}}',
    f'{{"{SECRET}": 1}}',
    f'{{"{SECRET}"',
    f"-----BEGIN {SECRET}",
    f" {SECRET}\n",
]
MISSPELT = ["ENGINE_ULR", "OPENAI_APIKEY", "REDIS_URI", "TOPIC", "API_TOKEN", "engine_passwort", "ENGINE_PASSWORD_FLE"]


def mistaken(make: Maker, fine: Mapping[str, str]) -> dict[str, str]:
    """An environment that would be fine but for a few mistakes."""
    told = dict(fine)
    for _ in range(make.choice([0, 1, 1, 2])):
        name = make.choice([*Settings.model_fields, *(f"{each}_file" for each in SECRETS)]).upper()
        where = name.lower().removesuffix("_file")
        fits = ADDRESSES if where.endswith(("_url", "_issuer")) else SECRETLY if where in SECRETS else WORDS
        told[name] = make.choice(fits if make.random() < 0.6 else [*WORDS, f"http://{NOWHERE}"])
    if make.random() < 0.3:
        told[make.choice(MISSPELT)] = SECRET
    return {name: text for name, text in told.items() if "\0" not in text}


@pytest.fixture(autouse=True)
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any of our names, in a folder with one assistant."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bpmn" / "assistants"
    folder.mkdir(parents=True)
    (folder / "analyst.md").write_text('---\nname: analyst\nversion: "1.0"\nmodel: m\n---\nYou answer.\n', "utf-8")


@pytest.mark.parametrize("seed", seeds(ENVIRONMENTS))
def test_any_environment_is_refused_in_words_or_looked_at(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    make, looked_at = Maker(seed), 0
    for _ in range(ENVIRONMENTS):
        told = mistaken(make, FINE)
        with pytest.MonkeyPatch.context() as patch:
            for name, text in told.items():
                patch.setenv(name, text)
            code = cli.main(["doctor", "--no-calls"])
            out, err = capsys.readouterr()
            assert SECRET not in out + err, told
            assert "Traceback" not in out + err, told
            assert not re.search(r"met an? \w+Error|unforeseen", out), (told, out)
            if code == 2:
                assert out == ""
                assert all(re.match(r"[A-Z_]+\b", line) for line in err.splitlines()), (told, err)
                assert any(name in err for name in told), (told, err)
            else:
                assert (code, err) == (1, ""), (told, err)
                looked_at += 1
                begun(told)
            capsys.readouterr()
    assert looked_at, "they are not all refused at the door"


def begun(told: dict[str, str]) -> None:
    """Put a worker together as its start does, before anything is reached."""

    async def connected(settings: Settings) -> None:
        written = bootstrap.Written.read(settings)
        async with bootstrap.connect(settings, written.providers):
            pass

    why = SECRETLESS
    try:
        asyncio.run(connected(read()))
    except Permanent as exc:
        why = str(exc)
    assert why.strip()
    assert SECRET not in why, told
