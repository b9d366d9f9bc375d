"""What `assistant-worker start` makes of an engine that gives no good answer: started, not started, or unsure."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.engines import http, literal, own_error
from worker import cli

PAGE = "<html><body>Sign in to continue</body></html>"
STARTED = http(200, '{"id": "i-1"}')
NOTHING = http(200, "[]")
GONE = http(404, own_error("InvalidRequestException", None, "no such thing"))
OVER = http(200, '{"endTime": "2026-11-30T00:00:00.000+0000", "state": "COMPLETED"}')
UNSURE = "It may have been started: look for it by its business key order-7 before you start it again."


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"REDIS_URL": "redis://127.0.0.1:9/0", "TRANSCRIPT_URL": "off", "OPENAI_API_KEY": "x"}.items():
        monkeypatch.setenv(name, value)


async def start(monkeypatch: pytest.MonkeyPatch, *answers: bytes, more: tuple[str, ...] = ()) -> int:
    async with literal(*answers) as server:
        monkeypatch.setenv("ENGINE_URL", server.url)
        return await asyncio.to_thread(cli.main, ["start", "offers", "--business-key", "order-7", "--json", *more])


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Ty", http(504, PAGE, "text/html"), http(500), http(200, PAGE, "text/html")],
    ids=["hung up", "cut", "504", "500", "page"],
)
async def test_who_got_no_answer_is_told_to_look_before_it_is_started_again(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await start(monkeypatch, answer) == 6
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()[-1]) == ("", UNSURE)


@pytest.mark.parametrize(
    "answer",
    [http(404, PAGE, "text/html"), http(302, Location="https://login.example.org/"), http(401), http(429)],
    ids=["404", "302", "401", "429"],
)
async def test_what_was_sent_away_was_not_started(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await start(monkeypatch, answer) == 1
    assert "may have been started" not in capsys.readouterr().err


async def test_without_a_connection_nothing_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_URL", "http://127.0.0.1:9/engine-rest")
    assert await asyncio.to_thread(cli.main, ["start", "offers"]) == 1
    assert "may have been started" not in capsys.readouterr().err


async def test_what_was_started_is_named_though_it_may_not_be_followed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await start(monkeypatch, STARTED, http(403), more=("--follow",)) == 5
    said = capsys.readouterr()
    assert json.loads(said.out) == {"instance": "i-1"}
    assert said.err.endswith("Not followed any more. Instance i-1 was started.\n")


async def test_without_a_history_nobody_can_tell_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [STARTED, GONE, GONE, NOTHING, NOTHING, NOTHING, NOTHING]
    assert await start(monkeypatch, *answers, more=("--follow",)) == 5
    said = json.loads(capsys.readouterr().out)
    assert (said["instance"], said["end"]) == ("i-1", "unknown")


async def test_what_came_of_it_is_asked_for_again_where_the_engine_is_away_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = [NOTHING, NOTHING]
    answers = [STARTED, OVER, NOTHING, NOTHING, NOTHING, *log, http(503), NOTHING]
    assert await start(monkeypatch, *answers, more=("--follow",)) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["end"] == "completed"
    assert "No answer, it is asked again: 503" in said.err
