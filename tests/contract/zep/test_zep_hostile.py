"""Replies as Zep never gives them, made of those that it gives: an error of the port's, and nobody else's facts."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from tests.contract.zep.rig import ANN, BEN, Rig, memo
from tests.hostile import seeds
from tests.unit.test_hostile import Maker
from worker.domain.memory import Fact, MemorySubject
from worker.errors import MemoryDown, MemoryRefused
from worker.zep import ZepMemory, memory, transport, v4

CALLS = 40
OF_BEN = "nightingale"
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**70,
    float("inf"),
    "",
    "x",
    [],
    {},
    [None],
    "0001-01-01T00:00:00+14:00",
    "\ud800",
]


class Bent:
    """What comes in the place of replies. `strangers` are users as Zep has them who are not ours to see."""

    def __init__(self, make: Maker) -> None:
        self.make = make
        self.strangers: list[Any] = []
        self._read = transport._read

    def __call__(self, status: int, headers: Mapping[str, str], content: bytes | None) -> transport.Reply:
        if content is None or self.make.random() < 0.4:
            return self._read(status, headers, content)
        if self.make.random() < 0.1:
            status = self.make.choice([200, 204, 302, 400, 404, 409, 418, 429, 500])
        if self.make.random() < 0.1:
            return self._read(status, {"Retry-After": self.make.text()}, self.make.body())
        try:
            said = json.loads(content)
        except ValueError:
            return self._read(status, headers, content)
        if isinstance(said, dict) and "user_id" in said and self.strangers and self.make.random() < 0.3:
            said = self.make.choice(self.strangers)
        return self._read(status, headers, json.dumps(self.bend(said)).encode())

    def bend(self, said: Any) -> Any:
        """The same with some of it odd, or not there."""
        if self.make.random() < 0.03:
            return self.make.choice([*ODD, self.make.value()])
        if isinstance(said, dict):
            return {name: self.bend(each) for name, each in said.items() if self.make.random() > 0.02}
        return [self.bend(each) for each in said] if isinstance(said, list) else said


@pytest.mark.parametrize("seed", seeds(2 * CALLS, usual=2))  # in two dialects
async def test_whatever_zep_answers_is_its_ports_error_or_facts_of_the_subject(
    rig: Rig, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker(seed)
    bent = Bent(make)
    for number in range(4):
        await rig.memory.remember(memo(f"{number:012}"))
        await rig.memory.remember(memo(f"{number + 8:012}", BEN, answer=f"It is the {OF_BEN} {number}."))
    rig.zep.ingest()
    bent.strangers = [
        {"user_id": each.user_id, "uuid": each.uuid, "graph_uuid": each.graph, "metadata": each.metadata}
        for each in rig.zep.users
    ]
    monkeypatch.setattr(transport, "_read", bent)
    monkeypatch.setattr(memory, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(v4, "AGAIN_SECONDS", 0)

    worked = 0
    for _ in range(CALLS):
        asked = await rig.another()  # which no earlier call has made careful
        try:
            found = await call(asked, make)
        except (MemoryDown, MemoryRefused):
            continue
        worked += 1
        for fact in found:
            assert fact.text.strip()
            assert OF_BEN not in fact.text
            assert fact.at.isoformat()
    assert worked > CALLS / 5, "it is not all refused at the door"


@pytest.mark.parametrize("odd", [[], {"a": 1}, 7])
async def test_a_thread_whose_user_is_no_name_is_not_taken_for_ours(
    rig: Rig, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.memory.remember(memo("1" * 12))
    [ours] = rig.zep.threads
    read = transport._read

    def bent(status: int, headers: Mapping[str, str], content: bytes | None) -> transport.Reply:
        said = json.loads(content) if content else None
        if isinstance(said, dict) and ("user_uuid" in said or {"user_id", "messages"} <= said.keys()):
            said |= dict.fromkeys({"user_uuid", "user_id"} & said.keys(), odd)
        return read(status, headers, json.dumps(said).encode() if content else content)

    monkeypatch.setattr(transport, "_read", bent)
    with suppress(MemoryDown, MemoryRefused):
        await (await rig.another()).remember(memo("2" * 12))
    assert {each.metadata["ref"] for each in ours.messages} == {"1" * 12}


async def call(zep: ZepMemory, make: Maker) -> list[Fact]:
    """Ask for anything that the port has; returns what is recalled of Ann."""
    match make.choice(["recall", "recall", "recall", "remember", "check", "instance", "forget"]):
        case "remember":
            await zep.remember(memo(f"{make.randint(20, 22):012}"))
        case "check":
            await zep.check()
        case "instance":
            await zep.forget_instance(MemorySubject("c" * 32, None), "i-1")
        case "forget":
            await zep.forget(MemorySubject("c" * 32, None))
        case _:
            return await zep.recall(ANN, "Which pump does the site want?", make.choice([0, 1, 5, 500]))
    return []
