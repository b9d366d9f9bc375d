"""The demo leaves an instance when it has shown all of it, also what no assistant was asked for."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from worker.demo.rest import Completed
from worker.demo.watch import Watch
from worker.telemetry.logs import Event

DONE = [Completed(name, "instance-1", "study", name) for name in ("frame", "close")]


class Engine:
    """One instance, which is over."""

    async def start(self, *_: Any) -> str:
        return "instance-1"

    async def state(self, _: str) -> str:
        return "COMPLETED"

    async def family(self, instance: str) -> list[str]:
        return [instance]

    async def root(self, instance: str) -> str:
        return instance

    async def completed(self, _: Any) -> list[Completed]:
        return DONE


def line(activity: str) -> dict[str, Any]:
    return {
        "event": Event.TURN,
        "definition": "study",
        "activity": activity,
        "process_instance_id": "instance-1",
        "verdict": "complete",
        "seconds": 0.1,
    }


async def test_an_instance_is_over_when_the_line_of_its_last_step_came_though_code_did_that() -> None:
    application: Any = SimpleNamespace(
        key="study", variables={}, steps={("study", "frame"): object()}, names={}, is_plain=True
    )
    engine: Any = Engine()
    watch = Watch(application, MagicMock(), engine, None, MagicMock(), strict=True)
    await watch.start()

    await watch._show(line("frame"))
    assert not await watch.ended(), "the next instance's watch would take the line for one of its own"
    await watch._show(line("close"))
    assert await watch.ended()
