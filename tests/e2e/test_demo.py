"""The demo as a stranger starts it: what it shows, how it ends, and that it leaves nothing behind."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.waiting import wait_until
from worker.cli import command_line
from worker.demo import stage
from worker.demo.application import Application
from worker.demo.engine import Engine
from worker.demo.model import ModelServer, returning_customer
from worker.demo.processes import HOST
from worker.demo.proof import Proof
from worker.demo.rest import EngineRest, Failed, connection

ROOT = Path(__file__).parents[2]
APPLICATIONS = {
    "decision": "4 turns · 1 thread created · 3 reused",
    "approval": "2 turns · 1 thread created · 1 reused",
    "procurement": "9 turns · 3 threads created · 6 reused",
    "parallel_analysis": "10 turns · 4 threads created · 6 reused",
    "decision_frame": "8 turns · 1 thread created · 7 reused",
    "quick_decision": "3 turns · 1 thread created · 2 reused",
    "trade_study": "11 turns · 7 threads created · 4 reused",
    "dadm": "13 turns · 7 threads created · 6 reused",
    "red_team": "2 turns · 1 thread created · 1 reused",
    "returning_customer": "2 turns · 2 threads created · 0 reused",
}
"""The default first."""
STEPS = ["Frame the decision", "Find alternatives", "Evaluate alternatives", "Recommend"]
ROW = re.compile(
    r"^ (?P<number>[ \d]\d) (?P<step>\S.*?) +(?P<thread>conv_\w+…) +(?P<use>created|reused) +"
    r"(?P<tokens>[\d,]+ / [\d,]+|-) +(?P<seconds>\d+\.\d) s(?:   (?P<who>\S.*))?$",
    re.MULTILINE,
)
ENGINE = os.environ.get("TEST_ENGINE", "operaton")
START_SECONDS = 150
"""Generous: the machine may be busy."""
STOP_SECONDS = 40


@dataclass(slots=True)
class Demo:
    """A demo that runs, with what it printed so far."""

    process: asyncio.subprocess.Process
    scratch: Path
    shown: str = ""
    reading: asyncio.Task[None] = field(init=False)

    async def shows(self, pattern: str) -> None:
        await wait_until(lambda: re.search(pattern, self.shown) or self.reading.done(), START_SECONDS, pattern)
        assert re.search(pattern, self.shown), self.shown

    async def ends(self, seconds: float = START_SECONDS) -> int:
        async with asyncio.timeout(seconds):
            await self.reading
            return await self.process.wait()

    @property
    def rows(self) -> list[dict[str, str]]:
        return rows(self.shown)

    async def read(self) -> None:
        assert self.process.stdout is not None
        while text := await self.process.stdout.read(4096):
            self.shown += text.decode()


def rows(shown: str) -> list[dict[str, str]]:
    """The steps on the screen, or on a part of it."""
    return [{name: (value or "").strip() for name, value in row.groupdict().items()} for row in ROW.finditer(shown)]


@asynccontextmanager
async def demo(
    scratch: Path, *options: str, bpmn: Path | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[Demo]:
    """Start it without a key of whoever runs the tests; all its parts work in directories below `scratch`."""
    command = ["-m", "worker", "demo", *options]
    if bpmn is not None:
        flags = f"once={'--once' in options}, crash={'--crash' in options}"
        call = f"main({flags}, bpmn=Path({str(bpmn)!r}))"
        command = ["-c", f"import sys; from pathlib import Path; from worker.demo.demo import main; sys.exit({call})"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env={**ours, "TMPDIR": str(scratch), "PYTHONIOENCODING": "utf-8", **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Demo(process, scratch)
    running.reading = asyncio.create_task(running.read(), name="read the demo")
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.reading
        await process.wait()


def left_behind(scratch: Path) -> list[str]:
    """Processes that work below the directory or name it, and what is in it."""
    found = [str(path) for path in scratch.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            directory, command = str((process / "cwd").readlink()), (process / "cmdline").read_bytes().decode()
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if str(scratch) in directory or str(scratch) in command:
            found.append(f"{process.name}: {command.replace(chr(0), ' ')[:200]}")
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.mark.sweep
async def test_every_application_is_run_to_its_end_and_proven(scratch: Path) -> None:
    async with demo(scratch, "--once", "--engine", ENGINE, "--process", *APPLICATIONS) as run:
        assert await run.ends(3 * START_SECONDS) == 0, run.shown

    assert "answers are scripted" in run.shown
    assert re.search(rf"http://127\.0\.0\.1:\d+/{ENGINE}/app/cockpit/\S* +demo / demo", run.shown)
    assert re.findall(r"^\d+ turns .*$", run.shown, re.MULTILINE) == list(APPLICATIONS.values())
    assert "\x1b" not in run.shown
    assert left_behind(scratch) == []
    parts = dict(zip(APPLICATIONS, run.shown.split("\nprocess instance ")[1:], strict=True))
    assert_four_steps_on_one_thread(parts["decision"])
    assert all("/" in row["tokens"] for row in run.rows)
    assert re.search(r"\n  1 +C Mixed fleet +82\.0\n(.*\n)+\nRecommendation: C Mixed fleet", parts["decision"])
    assert "\nProposal: award to Brightline" in parts["procurement"]
    assert re.search(
        r"\n  1 +Own centre .* beyond the budget\n(.*\n)+\nRecommendation: Shared", parts["parallel_analysis"]
    )
    assert "Hired van for 3,000 EUR of a budget of 3,600 EUR. Signed: accepted." in parts["quick_decision"]
    for process in ("trade_study", "red_team"):
        assert_a_record_is_made(parts[process], "Chosen option: Battery. Signed: accepted.")
    assert_a_record_is_made(parts["dadm"], "Chosen option: Well with a link. Signed: accepted.")
    assert "## Pre-mortem" in parts["red_team"]
    assert "Not ready: When does the council vote" in parts["decision_frame"]
    assert "2,000,000" in parts["decision"].partition("\nRecommendation\n")[2]
    assert_a_person_is_stood_in_for(parts["approval"])
    assert_called_processes_are_watched(parts["procurement"])
    assert {row["who"] for row in rows(parts["parallel_analysis"])} == {
        *("strategist", "engineer", "economist", "risk_officer"),
    }
    assert "\nWhite paper\n" in parts["parallel_analysis"]
    assert '"statement": "How should' in parts["decision_frame"].partition("\nFinal frame\n")[2]


def test_every_application_is_in_that_test_and_its_default_is_the_first() -> None:
    keys = {path.name for path in (ROOT / "bpmn").iterdir() if path.is_dir()} - {"assistants"}
    assert keys == set(APPLICATIONS)
    assert command_line().parse_args(["demo"]).process == list(APPLICATIONS)[:1]


async def test_a_wrong_key_is_answered_with_the_right_ones(scratch: Path) -> None:
    async with demo(scratch, "--once", "--process", "decission") as run:
        assert await run.ends() == 1

    assert "there is no process 'decission'" in run.shown
    assert ", ".join(sorted(APPLICATIONS)) in run.shown
    assert "ready" not in run.shown


async def test_a_killed_worker_costs_neither_the_thread_nor_a_question(scratch: Path) -> None:
    async with demo(scratch, "--once", "--crash") as run:
        assert await run.ends() == 0, run.shown

    assert re.search(r"  2 Find.*\n.*worker \d+ killed \(SIGKILL\) while step 3 is being answered", run.shown)
    assert_four_steps_on_one_thread(run.shown)
    assert "found on the thread: not asked again" in run.shown
    assert "4 questions, none of them twice" in run.shown
    assert left_behind(scratch) == []


@pytest.mark.sweep
async def test_a_provider_that_takes_no_key_ends_it_with_that_reason(scratch: Path) -> None:
    async with ModelServer(key="sk-theirs") as provider:
        own = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-ours"}
        async with demo(scratch, "--once", env=own) as run:
            assert await run.ends() == 1

    assert re.search(r"The demo failed: nothing was completed .*\n.*OPENAI_API_KEY", run.shown)
    assert left_behind(scratch) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param("scripted", signal.SIGTERM, marks=pytest.mark.sweep),
        pytest.param("ready  Valkey", signal.SIGINT, marks=pytest.mark.sweep),
        ("ready  Operaton", signal.SIGTERM),
    ],
)
async def test_nothing_is_left_behind_when_it_is_interrupted_and_a_second_signal_changes_nothing(
    scratch: Path, moment: str, number: signal.Signals
) -> None:
    async with demo(scratch) as run:
        await run.shows(moment)
        run.process.send_signal(number)
        if moment != "scripted":  # nothing was started then: there is nothing to clean up
            await run.shows("Stopping")
            run.process.send_signal(signal.SIGINT)
        code = await run.ends(STOP_SECONDS)

    assert code == 128 + number, run.shown
    assert "Traceback" not in run.shown
    assert left_behind(scratch) == []


@pytest.mark.sweep
async def test_with_a_provider_of_ones_own_it_stays_up_for_more_decisions(scratch: Path) -> None:
    async with ModelServer(key="sk-ours") as provider, port_8080_taken():
        own = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-ours"}
        async with demo(scratch, env=own) as run:
            await run.shows("Ctrl-C ends it")
            assert_four_steps_on_one_thread(run.shown)
            asked = provider.counts()
            assert len(left_behind(scratch)) >= 6  # three directories, and what works in them: so it is seen below
            (first,) = {row["thread"] for row in run.rows}
            await start_another(run)
            await run.shows(r"(?s)Ctrl-C ends it.*4 Recommend ")
            await start_another(run, "approval")
            await run.shows(r"Review the assessment: a person's task; .* at http://\S+/tasklist/\S+task=\S+")
            await run.shows("1 Assess the request +conv_")  # its line may come behind what the engine does next
            run.process.send_signal(signal.SIGTERM)
            assert await run.ends(STOP_SECONDS) == 0, run.shown

    assert (asked["created"], asked["calls"]["responses.create"]) == (1, 4)
    assert f"The real provider answers: {provider.base_url}" in run.shown
    assert "counted in the worker's log" in run.shown
    for absent in ("scripted", "model server", "sk-ours", ":8080/"):
        assert absent not in run.shown
    assert [row["step"] for row in run.rows[4:]] == [*STEPS, "Assess the request"]
    assert [row["number"] for row in run.rows[4:]] == ["1", "2", "3", "4", "1"]
    assert first not in {row["thread"] for row in run.rows[4:]}
    assert left_behind(scratch) == []


@pytest.mark.sweep
async def test_a_second_case_is_told_what_the_customer_s_first_has_settled_and_nothing_of_another_customer(
    scratch: Path,
) -> None:
    async with ModelServer(key="sk-ours") as provider, port_8080_taken():
        own = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-ours"}
        async with demo(scratch, "--process", "returning_customer", env=own) as run:
            await run.shows("Ctrl-C ends it")
            await start_another(run, "returning_customer", customer_id="K-30001")
            await run.shows(r"(?s)Ctrl-C ends it.*(Settle the complaint +conv_.*){2}")
            run.process.send_signal(signal.SIGTERM)
            assert await run.ends(STOP_SECONDS) == 0, run.shown
        asked = [each["body"] for each in provider.requests("responses.create")]
        answered = [each["items"] for each in provider.conversations().values()]

    questions = [each["input"] if isinstance(each["input"], str) else each["input"][-1]["content"] for each in asked]
    remembered = re.compile(r"^### Remembered from before\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
    first, second, of_another, second_of_that = [remembered.findall(each) for each in questions]
    assert first == of_another == []
    for [told] in (second, second_of_that):
        assert told.count("    Answered: Settlement:") == 1
        assert f"    Answered: Settlement: {returning_customer.FIRST}." in told
        assert returning_customer.AGAIN not in told
    known = json.dumps(f"## Known before\n\n- {returning_customer.FIRST}.")[1:-1]
    assert [known in json.dumps(each) for each in answered] == [False, True, False, True]


@pytest.mark.sweep
async def test_a_part_that_dies_ends_it_with_what_that_said_last(scratch: Path) -> None:
    async with demo(scratch) as run:
        await run.shows(r"ready  worker .*process \d+")
        match = re.search(r"ready  worker .*process (\d+)", run.shown)
        assert match
        os.kill(int(match[1]), signal.SIGKILL)
        assert await run.ends() == 1

    assert "The demo failed: worker ended with exit code -9" in run.shown
    assert "worker_started" in run.shown
    assert left_behind(scratch) == []


async def test_a_model_that_the_engine_refuses_ends_it_with_the_engine_s_reason(engine: Engine, tmp_path: Path) -> None:
    bpmn = broken(tmp_path, "decision/decision.bpmn", 'camunda:historyTimeToLive="P400D"', "")
    [files] = [each for each in Application.read(bpmn, "decision").folders if each[0].parent.name == "decision"]

    async with connection() as session:
        with pytest.raises(Failed, match="History Time To Live"):
            await EngineRest(engine.base_url, session).deploy("decision", files)


@pytest.mark.sweep
async def test_a_step_that_cannot_be_answered_ends_it_with_the_incident(scratch: Path, tmp_path: Path) -> None:
    bpmn = broken(
        tmp_path, "decision/decision.bpmn", '"data.output" value="alternatives"', '"data.output.type" value="Poem"'
    )

    async with demo(scratch, "--once", bpmn=bpmn) as run:
        assert await run.ends() == 1

    assert [row["step"] for row in run.rows] == STEPS[:1]
    assert re.search(r"The demo failed: Find alternatives has an incident: .*Poem.*allowed are Text", run.shown)
    assert left_behind(scratch) == []


@pytest.mark.sweep
async def test_a_worker_that_does_not_start_ends_it_with_the_worker_s_own_words(scratch: Path, tmp_path: Path) -> None:
    bpmn = broken(tmp_path, "assistants/analyst.md", "max_output_tokens: 4000", "max_output_tokens: many")

    async with demo(scratch, "--once", bpmn=bpmn) as run:
        assert await run.ends() == 1

    assert "The demo failed: worker ended with exit code" in run.shown
    assert "max_output_tokens" in run.shown
    assert left_behind(scratch) == []


async def test_without_models_it_says_where_it_looked_for_them(scratch: Path, tmp_path: Path) -> None:
    async with demo(scratch, "--once", bpmn=tmp_path / "nowhere") as run:
        assert await run.ends() == 1

    assert str(tmp_path / "nowhere") in run.shown
    assert "ready" not in run.shown


def test_demos_that_start_together_do_not_choose_the_same_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_WORKER_CACHE", str(tmp_path))

    with stage._cockpit_port() as first, stage._cockpit_port() as second:
        assert first != second


SEEN = Proof(
    "COMPLETED", steps=4, conversations=1, turns=4, created=1, threads=["conv_a"], told=["conv_a"] * 4, asked=4
)


def test_a_turn_for_each_step_on_the_right_threads_is_a_proof_and_a_crash_may_cost_a_question() -> None:
    assert SEEN.faults() == []
    assert replace(SEEN, asked=None).faults() == []
    assert replace(SEEN, asked=5, in_flight=1).faults() == []
    assert replace(SEEN, conversations=2, created=2, threads=["a", "b"], told=["a", "b", "a", "a"]).faults() == []


@pytest.mark.parametrize(
    "difference",
    [
        {"state": "EXTERNALLY_TERMINATED"},
        {"turns": 5},
        {"turns": 3, "told": ["conv_a"] * 3},
        {"steps": 3},
        {"steps": 0, "turns": 0, "created": 0, "conversations": 0, "threads": [], "told": [], "asked": 0},
        {"conversations": 2},
        {"created": 2},
        {"threads": ["conv_a", "conv_b"]},
        {"told": ["conv_a", "conv_a", "conv_b", "conv_a"]},
        {"told": ["conv_a"] * 3},
        {"asked": 5},
        {"asked": 6, "in_flight": 1},
    ],
    ids=str,
)
def test_whatever_differs_from_that_is_no_proof(difference: dict[str, Any]) -> None:
    assert replace(SEEN, **difference).faults()


def assert_four_steps_on_one_thread(shown: str) -> None:
    found = rows(shown)
    assert [row["number"] for row in found] == ["1", "2", "3", "4"]
    assert [row["step"] for row in found] == STEPS
    assert [row["use"] for row in found] == ["created", "reused", "reused", "reused"]
    assert len({row["thread"] for row in found}) == 1
    assert not any(row["who"] for row in found), "there is one assistant only"
    assert "\n4 turns · 1 thread created · 3 reused\n" in shown


def assert_a_person_is_stood_in_for(shown: str) -> None:
    assess = r" +1 Assess.*\n"  # the worker's line may come behind what the engine does next
    note = r".*Review the assessment: a person's task.* chooses .*board_decision=grant.*\n"
    assert re.search(rf"({assess}{note}|{note}{assess}) +2 Draft", shown)
    assert re.search(r"\n  To be paid +13,440\n\nProposed: grant,.* Decided by the board: grant\.", shown)
    assert "we grant you 13,440 EUR" in shown.partition("\nLetter\n")[2]


def assert_a_record_is_made(shown: str, reached: str) -> None:
    assert re.search(r"\n    Close the record +by code +\d", shown)
    assert re.search(rf"\n  1 +\S.*\n(.*\n)+\n{re.escape(reached)}\n", shown)
    assert re.search(r"\nrecord +http://\S+/decisions/([0-9a-f]{32})\n.* assistant-worker decisions show \1\n", shown)
    assert "- Status: accepted" in shown


def assert_called_processes_are_watched(shown: str) -> None:
    found = rows(shown)
    shared = {row["thread"] for row in found if row["who"] in {"buyer", "buyer in negotiation"}}
    apart = {row["thread"] for row in found if row["who"] == "buyer in supplier_review"}
    assert (len(shared), len(apart), shared & apart) == (1, 2, set())


@asynccontextmanager
async def port_8080_taken() -> AsyncIterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # taken already, which is as good
            other.bind((HOST, 8080))
            other.listen()
        yield


async def start_another(run: Demo, key: str = "decision", **changed: str) -> None:
    """Start an instance as the screen says, or in the same way of another process, or with texts changed."""
    url, variables = promised_command(run)
    url, variables = url.replace("decision", key), Path(str(variables).replace("decision", key))
    texts = {name: {"type": "String", "value": text} for name, text in changed.items()}
    body = {"variables": json.loads(variables.read_text("utf-8")) | texts}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert response.status == 200


def promised_command(run: Demo) -> tuple[str, Path]:
    """Address and variables of the command on the screen, so that nobody needs a curl."""
    match = re.search(r"curl .*\$\(cat (\S+)\).* (http://\S+/start)\n", run.shown)
    assert match, run.shown
    return match[2], Path(match[1])


def broken(directory: Path, file: str, old: str, new: str) -> Path:
    """A copy of the process application with one mistake in it."""
    bpmn = directory / "bpmn"
    shutil.copytree(ROOT / "bpmn", bpmn)
    text = (bpmn / file).read_text("utf-8")
    assert old in text
    (bpmn / file).write_text(text.replace(old, new), "utf-8")
    return bpmn
