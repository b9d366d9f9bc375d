"""Killed anywhere, the end of conversations goes on to the same end, and touches nothing else."""

import inspect
from dataclasses import replace
from typing import Any

import pytest

from tests.core.closing import Closing
from worker.ending import EndingPorts

PORTS = ("index", "orders", "instances", "provider", "transcript", "conversations")


class Killed(BaseException):
    """Stands for the death of the process: nothing of ours catches it."""


class Dying:
    """Dies before the so-manieth call of any port; 0 never."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.places: list[str] = []

    def watch(self, ports: EndingPorts) -> EndingPorts:
        watched: dict[str, Any] = {name: Watched(getattr(ports, name), name, self) for name in PORTS}
        return replace(ports, **watched)

    def reach(self, place: str) -> None:
        self.places.append(place)
        if len(self.places) == self.at:
            raise Killed(place)


class Watched:
    def __init__(self, port: Any, name: str, dying: Dying) -> None:
        self._port = port
        self._name = name
        self._dying = dying

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def watched(*args: Any, **options: Any) -> Any:
            self._dying.reach(f"{self._name}.{name}")
            return await found(*args, **options)

        return watched


async def ended(closing: Closing, way: str, instance: str, dying: Dying) -> bool:
    """Try to end an instance; False if that killed us."""
    whole = closing.ports
    closing.ports = dying.watch(whole)
    try:
        await (closing.sweep(kind="remove") if way == "sweep" else closing.erase(instance))
    except Killed:
        return False
    finally:
        closing.ports = whole
    return True


@pytest.mark.parametrize("way", ["erase", "sweep"])
async def test_killed_anywhere_it_goes_on_to_the_same_end(closing: Closing, way: str) -> None:
    bystander = await closing.speak("bystander", stored=True)
    rehearsal = Dying()
    await closing.ran("rehearsal")
    assert await ended(closing, way, "rehearsal", rehearsal)

    at, died = 1, 0
    while True:
        instance = f"instance-{at}"
        thread = await closing.speak(instance, stored=True)
        closing.finish(instance)
        dying = Dying(at)
        if await ended(closing, way, instance, dying):
            break
        died += 1
        where = f"died at {dying.places[-1]}"
        await closing.rest()
        for name in [name async for name in closing.redis.scan_iter("*:hold")]:
            await closing.redis.delete(name)  # those of the dead run out
        if way == "sweep":
            await closing.sweep(kind="remove")
        elif not await closing.resume():  # died before there was an order, or at its very end
            await closing.erase(instance)
        assert thread.id not in closing.provider.conversations, where
        assert thread.id not in closing.provider.responses.values(), where
        assert await closing.keys(f"{instance}:") == [], where
        assert await closing.texts(instance) == [], where
        assert await closing.orders.open_orders() == [], where
        assert way == "sweep" or closing.begin(instance).variables.keys() == {"frame"}, where
        at += 1

    assert died >= len(rehearsal.places) > 15
    assert bystander.id in closing.provider.conversations
    assert list(closing.provider.responses.values()) == [bystander.id]
    assert (len(await closing.keys("bystander")), len(await closing.texts("bystander"))) == (2, 2)
