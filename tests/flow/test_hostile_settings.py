"""Worker processes whose environments are wrong as people get them wrong: each says which setting, or works.

What more of them come to before anything is reached, tests/unit/test_hostile_settings.py shows.
"""

import asyncio
import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.flow.command import environment
from tests.flow.rig import Rig
from tests.nursery import Child, shared
from tests.unit.test_hostile import Maker
from tests.unit.test_hostile_settings import MISSPELT, SECRET, mistaken
from tests.waiting import wait_until
from worker.demo.processes import HOST
from worker.errors import Permanent
from worker.settings import read
from worker.telemetry.logs import Event

pytestmark = pytest.mark.timeout(300)

TAKEN, REFUSED = 9, 3
"""Environments that make good settings, though odd ones, and that make none."""
AT_ONCE = 3
MAY_BE_DOWN = {"engine": "ENGINE_", "redis": "REDIS_", "provider": "OPENAI_", "format": "TRANSCRIPT_"}
"""What need not be reached where a setting that begins so was changed: the address of nobody is one."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker process with an environment of this kind, in which `changed` is not as it should be."""

    child: Child
    log: Path
    changed: frozenset[str]

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8") if self.log.exists() else ""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Lines of its log with this event, of those that are written to their end; a complaint is no JSON."""
        complete = [line for line in self.said.splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"]
        return [line for line in map(json.loads, complete) if line["event"] == event]

    async def is_refused_or_works(self) -> bool:
        """Whether it has come so far that it can be judged."""
        if self.child.returncode is not None:
            return True
        started = self.lines(Event.STARTED)
        return bool(started) and self.is_explained(await not_ready(started[0]["health_port"]))

    def is_explained(self, reasons: list[str]) -> bool:
        """Whether nothing keeps it from taking tasks but that a changed address leads nowhere."""
        allowed = [what for what, name in MAY_BE_DOWN.items() if any(each.startswith(name) for each in self.changed)]
        return all(reason.startswith(tuple(allowed)) and "not probed" not in reason for reason in reasons)


async def not_ready(port: int) -> list[str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/readyz") as reply:
        reasons: list[str] = json.loads(await reply.text()).get("reasons", [])
        return reasons


def environments(fine: Mapping[str, str]) -> list[dict[str, str]]:
    """Some of either kind, always the same ones for the same settings."""
    taken, refused = list[dict[str, str]](), list[dict[str, str]]()
    made = (mistaken(Maker(seed), fine) for seed in count())
    while len(taken) < TAKEN or len(refused) < REFUSED:
        told = next(made)
        if any(told[name].strip() for name in changed(told, fine) - set(MISSPELT)):
            (taken if are_settings(told) else refused).append(told)
    return taken[:TAKEN] + refused[:REFUSED]


def changed(told: Mapping[str, str], fine: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name in told if told[name] != fine.get(name))


def are_settings(told: Mapping[str, str]) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", dict(told))
        try:
            read()
        except Permanent:
            return False
    return True


async def test_a_worker_says_which_setting_is_wrong_or_becomes_ready(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # which has no .env
    fine = environment(rig, openai_api_key=SECRET, transcript_url="sqlite:///transcript.db", api_port=0)
    nursery = await asyncio.to_thread(shared)
    places = asyncio.Semaphore(AT_ONCE)

    async def outcome(number: int, told: Mapping[str, str]) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        async with places:
            child = await nursery.fork(told, folder, folder / "log")
            begun = Begun(child, folder / "log", changed(told, fine))
            try:
                await wait_until(begun.is_refused_or_works, 90, f"a verdict on {begun}")
                child.signal(signal.SIGTERM)
                code = await child.wait()
            finally:
                child.signal(signal.SIGKILL)
                await child.wait()
        judge(begun, code)
        return code

    async with asyncio.TaskGroup() as group:
        outcomes = [
            group.create_task(outcome(number, told), name=f"environment {number}")
            for number, told in enumerate(environments(fine))
        ]
    assert 0 in {each.result() for each in outcomes}, "they are not all refused"


def judge(begun: Begun, code: int) -> None:
    """See that it ended in words, with a line for each wrong setting or after a stop."""
    assert SECRET not in begun.said, begun
    assert "Traceback" not in begun.said, begun.said
    if code == 2:
        complaint = [line for line in begun.said.splitlines() if line[0] != "{"]
        assert all(re.match(r"[A-Z_]+\b", line) for line in complaint), complaint
        assert any(name in line for name in begun.changed for line in complaint), (begun, complaint)
    else:
        assert (code, begun.lines(Event.WORKER_CRASHED)) == (0, []), begun.said
        assert begun.lines(Event.STOPPED)
