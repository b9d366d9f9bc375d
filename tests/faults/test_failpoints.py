"""The places where a worker may be told to die."""

import os
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.world import World
from worker.failpoints import VARIABLE, armed, watched


class Port:
    size = 3

    async def ask(self, question: str, *, loud: bool = False) -> str:
        if not question:
            raise ValueError("nothing to ask")
        return question.upper() if loud else question


@dataclass(frozen=True, slots=True)
class Ports:
    model: Port


async def test_calls_are_told_before_and_after_however_they_end() -> None:
    places: list[str] = []
    model = watched(Ports(Port()), places.append).model

    assert await model.ask("why", loud=True) == "WHY"
    with pytest.raises(ValueError, match="nothing"):
        await model.ask("")
    assert places == ["before:model.ask", "after:model.ask"] * 2
    assert model.size == 3


def test_nothing_is_wrapped_where_nothing_is_said() -> None:
    ports = Ports(Port())

    assert armed(ports, {}) is ports
    assert armed(ports, {VARIABLE: ""}) is ports


async def test_the_process_dies_at_the_nth_call(monkeypatch: pytest.MonkeyPatch) -> None:
    deaths: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *how: deaths.append(how))
    model: Any = armed(Ports(Port()), {VARIABLE: "after:model.ask:2"}).model

    await model.ask("one")
    assert not deaths
    await model.ask("two")
    assert [number for _, number in deaths] == [signal.SIGKILL]


@pytest.mark.parametrize("point", ["model.ask", "before:model", "before:model.nothing", "before:nobody.ask", "x"])
def test_a_place_that_does_not_exist_is_refused(point: str) -> None:
    with pytest.raises(ValueError, match="there is no such place"):
        armed(Ports(Port()), {VARIABLE: point})


async def test_a_worker_dies_where_it_is_told_to(world: World) -> None:
    worker = await world.start_worker("before:engine.fetch")

    assert await worker.ended() == -signal.SIGKILL
    assert not world.history.of("engine", text=world.rig.topic)
