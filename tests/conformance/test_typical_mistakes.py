"""The typical mistakes, deployed all the same: what an engine and a worker make of each is what the table says."""

import asyncio
from pathlib import Path
from typing import Any, assert_never

import pytest

from tests.flow.rig import Rig
from tests.models import unique
from tests.typical import (
    MODEL,
    NAMES,
    QUESTION,
    SALARY,
    SCHEMA,
    TAKEN,
    TYPICAL,
    Failure,
    NothingToStart,
    Refused,
    Silent,
    Waits,
)
from tests.waiting import wait_until
from worker.loop import delivery


class Tried:
    """A mistake on the engine. What it is offered names it, so that its questions are told from others'."""

    def __init__(self, rig: Rig, name: str, folder: Path) -> None:
        self.mistake = TYPICAL[name]
        self.offer = f"What is offered in: {name}."
        self.instance = ""
        self.refused = ""
        self._rig = rig
        self._key = unique("process")
        self._folder = folder

    async def deploy(self) -> None:
        """Deploy it; start an instance, if there is anything to start."""
        self._folder.mkdir()
        self.mistake.write(self._folder, **dict(zip(NAMES, (self._key, unique("one"), unique("two")), strict=True)))
        try:
            found = await self._rig.rest.deploy(self._folder / MODEL, self._folder / SCHEMA)
        except AssertionError as exc:
            self.refused = str(exc)
            return
        if found:
            given = {"offer": self.offer, "salary": SALARY}
            self.instance = await self._rig.rest.start(self._key, given)

    async def became(self) -> object:
        """Wait for what is expected, and say what it has become, as that says it."""
        expected = self.mistake.on_engine
        if self.refused:
            is_so = isinstance(expected, Refused) and expected.said in self.refused
            return expected if is_so else Refused(self.refused)
        if not self.instance:
            return NothingToStart()
        match expected:
            case Refused() | NothingToStart():
                return self.instance
            case Failure() as failure:
                return await self._failed(failure)
            case Waits(activity):
                return await self._waits(activity)
            case Silent() as silent:
                return await self._asked_on(silent) if silent.rounds else await self._ended(silent)
            case never:
                assert_never(never)

    async def _failed(self, failure: Failure) -> Failure:
        task = await self._rig.until_failed(self.instance)
        incidents = await self._rig.rest.incidents(self.instance)
        said = failure.said if failure.said in task["errorMessage"] else task["errorMessage"]
        assert bool(incidents) == (task["retries"] == 0)
        return Failure(task["activityId"], said, at_once=bool(incidents))

    async def _waits(self, activity: str) -> Waits:
        """It is there, and nobody has locked it or said anything of it."""
        task = await self._rig.until_open(self.instance, activity)
        untouched = (task["workerId"], task["errorMessage"], task["retries"]) == (None, None, None)
        return Waits(activity if untouched else str(task))

    async def _asked_on(self, silent: Silent) -> Silent:
        await wait_until(lambda: len(self._questions(QUESTION)) >= silent.rounds, what="the rounds")
        assert await self._rig.rest.state(self.instance) == "ACTIVE"
        await self._rig.rest.delete(f"process-instance/{self.instance}")
        return silent

    async def _ended(self, silent: Silent) -> Silent:
        rest = self._rig.rest
        await rest.wait_for_end(self.instance)
        variables = await rest.variables(self.instance)
        has = {name: variables.get(name) for name in silent.has}
        lacks = "" if silent.lacks in variables else silent.lacks
        ends = await rest.get("history/activity-instance", processInstanceId=self.instance, activityType="noneEndEvent")
        ended_at = ",".join(each["activityId"] for each in ends)
        asked = silent.asked if self._questions(silent.asked) else ""
        return Silent(has, lacks, asked, ended_at)

    def _questions(self, part: str) -> list[str]:
        return [each for each in self._rig.questions() if self.offer in each and part in each]


async def test_each_becomes_what_the_table_says(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REFUSAL_PAUSES_SECONDS", (0.1, 0.1))
    tried = {name: Tried(rig, name, tmp_path / str(number)) for number, name in enumerate(TYPICAL)}
    for each in tried.values():
        if each.mistake.refuses:
            rig.provider.fault("responses.create", question=[each.offer], outcome="refused", times=None)
        if each.mistake.again:
            rig.provider.answer(each.offer, '{"good": false}')
    rig.provider.answer(QUESTION, TAKEN)
    rig.provider.answer("offer", '{"good": true}')
    await asyncio.gather(*(each.deploy() for each in tried.values()))
    await rig.start_worker(topics="", discovery_seconds=1)

    found: dict[str, Any] = {name: await tried[name].became() for name in sorted(TYPICAL, key=rank)}
    assert {name: each for name, each in found.items() if each != TYPICAL[name].on_engine} == {}


def rank(name: str) -> int:
    """Look first at what costs as long as it runs, and last at what nobody takes: a worker has been at work then."""
    match TYPICAL[name].on_engine:
        case Silent(rounds=rounds) if rounds:
            return 0
        case Waits():
            return 2
    return 1
