"""Kill a worker before and after each of its port calls; another one finishes what it left."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from tests.faults.checkers import NOTHING, Explained, complaints
from tests.faults.evidence import Evidence, gather
from tests.faults.world import World, databases, open_world
from tests.flow.rig import SPEC
from tests.models import ServiceTask, unique
from tests.nursery import Nursery
from tests.rest import connect
from tests.waiting import wait_until
from worker import failpoints
from worker.demo.engine import Engine
from worker.demo.servers import Valkey

pytestmark = pytest.mark.timeout(600)

STARTS_AT_ONCE = 8
SLOW_SECONDS = 7.5
"""Longer than two thirds of the lock and a third of the hold, so that both are renewed while the model thinks."""

FIRST_TURN = (
    "engine.definition",
    "threads.enter",
    "account.current",
    "provider.create_thread",
    "threads.bind",
    "threads.intend",
    "provider.ask",
    "engine.set_variable",
    "threads.keep_answer",
    "engine.has_spin",
    "engine.complete",
    "threads.close",
)
"""The calls of a turn on a new thread, of two steps the first."""
SECOND_TURN = (
    "engine.definition",
    "threads.enter",
    "provider.look",
    "threads.intend",
    "provider.ask",
    "threads.keep_answer",
    "engine.has_spin",
    "engine.complete",
    "threads.close",
)
"""The calls of a turn on a thread that is known."""
BESIDE = {
    "slow answer": ("engine.extend", "threads.renew"),
    "provider in trouble": ("threads.leave", "engine.fail"),
    "refused answer": ("threads.drop_answer",),
    "map lost": ("provider.metadata",),
    "reply of complete lost": ("engine.was_completed",),
    "in the background": ("provider.start", "threads.note", "provider.follow"),
    "two ways": ("engine.origin",),
}
"""Calls that not every turn makes, by what makes it."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a worker dies, and in what story: two steps, or one of those above."""

    point: str
    story: str = "two steps"

    def __str__(self) -> str:
        return f"{self.point} ({self.story})"


def crashes() -> Iterator[Crash]:
    for when in ("before", "after"):
        yield Crash(f"{when}:engine.fetch")
        yield from (Crash(f"{when}:{call}") for call in FIRST_TURN)
        yield from (Crash(f"{when}:{call}:{1 + (call in FIRST_TURN)}") for call in SECOND_TURN)
        for story, calls in BESIDE.items():
            yield from (Crash(f"{when}:{call}", story) for call in calls)


CRASHES = [*crashes()]

ORPHANING = {"after:provider.create_thread", "before:threads.bind"}
"""After these nobody knows the conversation that was made; it stays empty."""
EXPLAINED = {
    "refused answer": Explained(retries=1),  # the bad answer costs one, and once more if nobody noted that it did
}


@dataclass(slots=True)
class Scene:
    """One crash: its own topic, instance and dead worker."""

    crash: Crash
    topic: str
    instance: str = ""
    exit_code: int | None = None


class Stage:
    """All crashes at once: what died together is finished together, by one worker, when the locks have run out."""

    def __init__(self, world: World, crashes: list[Crash]) -> None:
        self.scenes = {crash: Scene(crash, unique("topic")) for crash in crashes}
        self.evidence: Evidence
        self._world = world
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)

    async def play(self) -> None:
        world = self._world
        spec = SPEC.format(name="runner", version="1.0", timeout=60)
        background = spec.replace("timeout_seconds", "background: true\ntimeout_seconds")
        (world.rig.folder / "runner@1.0.md").write_text(background)
        await asyncio.gather(*map(self._act, self.scenes.values()))
        await world.start_worker(topics=",".join(each.topic for each in self.scenes.values()), max_tasks=50)
        await world.ended(seconds=120)
        await world.stop()
        self.evidence = await gather(world)

    async def _act(self, scene: Scene) -> None:
        world, topic = self._world, scene.topic
        assistant = "runner" if scene.crash.story == "in the background" else "analyst"
        first, second = (
            world.rig.step(name, assistant, topic=topic, documentation=f"Please do {name} of {topic}.")
            for name in ("one", "two")
        )
        world.model.answer(topic, f"This is the answer for {topic}.")
        match scene.crash.story:
            case "slow answer":
                world.model.fault("responses.create", times=1, text=topic, during=SLOW_SECONDS)
            case "provider in trouble":
                world.model.fault("responses.create", times=1, text=topic, reply="overloaded")
            case "refused answer":
                world.model.fault("responses.create", times=1, text=topic, outcome="refused")
            case "reply of complete lost":
                world.engine.spoil("/complete$", text=topic, cut="after", times=1)
        if scene.crash.story == "map lost":
            scene.instance = await self._with_its_map_lost(replace(first, topic=f"{topic}_first"), second)
        else:
            steps: dict[str, list[ServiceTask | list[ServiceTask]]] = {
                "two steps": [first, second],
                "two ways": [[first, second]],
            }
            scene.instance = await world.start(await world.rig.deploy(*steps.get(scene.crash.story, [first])))
        async with self._starting:
            worker = await world.spawn(scene.crash.point, topics=topic)
            scene.exit_code = await worker.ended(60)

    async def _with_its_map_lost(self, first: ServiceTask, second: ServiceTask) -> str:
        """An instance before its second step, whose thread only the process variable knows."""
        world = self._world
        instance = await world.start(await world.rig.deploy(first, second))
        async with self._starting:
            worker = await world.start_worker(topics=first.topic)
            await world.until_open(instance, second.id)
            await worker.stop()
        async with world.rig.redis() as redis:
            for name in [name async for name in redis.scan_iter(f"*{instance}*")]:
                await redis.delete(name)
        return instance


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest,
    engine: Engine,
    nursery: Nursery,
    valkey: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """The stage after the play, with the crashes that are asked for."""
    parameters = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = [crash for each in parameters if each and isinstance(crash := each.params.get("crash"), Crash)]
    folder = tmp_path_factory.mktemp("crashes")
    async with connect(engine) as rest, open_world(rest, nursery, valkey, next(databases), folder) as world:
        stage = Stage(world, wanted)
        await stage.play()
        yield stage


@pytest.mark.parametrize("crash", CRASHES, ids=str)
def test_every_crash_point(stage: Stage, crash: Crash) -> None:
    scene = stage.scenes[crash]
    seen = stage.evidence.of(scene.instance)

    assert scene.exit_code == -signal.SIGKILL
    assert complaints(seen, EXPLAINED.get(crash.story, NOTHING)) == []
    unused = [name for name, each in seen.conversations.items() if not each["turns"]]
    assert len(unused) <= (crash.point in ORPHANING)


async def test_no_call_of_a_turn_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(failpoints, "armed", lambda ports: failpoints.watched(ports, calls.append))
    model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
    await world.rig.start_worker()

    def is_settled() -> bool:  # until a provider is heard of, all models are read for tasks that ask none
        heard = calls[calls.index("after:account.ping") :] if "after:account.ping" in calls else []
        return heard.count("before:engine.fetch") > 1

    await wait_until(is_settled, what="polls for all tasks")
    calls.clear()
    await world.rig.run(model)
    await wait_until(lambda: calls.count("after:threads.close") == 2, what="the end of the second turn")
    made = Counter(call.removeprefix("after:") for call in calls if call.startswith("after:"))
    pings = {f"{port}.ping" for port in ("engine", "threads", "account", "provider")}
    around = pings | {"formats.check", "stops.read", "outages.look", "outages.over", "fleet.show", "engine.fetch"}

    assert {call: times for call, times in made.items() if call not in around} == Counter(FIRST_TURN + SECOND_TURN)
