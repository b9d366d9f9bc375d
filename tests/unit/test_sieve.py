"""A definition that the engine refuses to hand over is found, left out and looked at again; nothing else stops."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.fakes.clock import Clock
from worker.domain.tasks import LeftOut, Task, Topic
from worker.errors import EngineDenied, EngineDown, Refused, WorkerError
from worker.loop import sieve as module
from worker.loop.sieve import LONGEST_PART_SECONDS, Sieve
from worker.telemetry import metrics
from worker.telemetry.logs import Event

MOST = 10


def task(topic: str, definition: str) -> Task:
    id_ = f"{topic} {definition}"
    return Task(id_, topic, "step", "instance", definition, "key", "execution", datetime.now(UTC), 0.0)


@dataclass
class FakeEngine:
    """Locks what a poll asks for, the oldest first, and then fails if a bad one is among it, as engines do."""

    tasks: list[Task] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    error: WorkerError = field(default_factory=lambda: Refused("400 InvalidRequestException"))
    outage: WorkerError | None = None
    largest: int = MOST
    locked: set[str] = field(default_factory=set)
    polls: list[Sequence[Topic]] = field(default_factory=list)
    pings: int = 0

    async def fetch(self, topics: Sequence[Topic], most: int) -> list[Task]:
        self.polls.append(topics)
        wanted = {each.name: each.definitions for each in topics}
        found = [
            each
            for each in self.tasks
            if each.id not in self.locked
            and each.topic in wanted
            and (not wanted[each.topic] or each.process_definition_id in wanted[each.topic])
        ][:most]
        self.locked |= {each.id for each in found}
        if len(found) > self.largest or any(each.process_definition_id in self.bad for each in found):
            raise self.error
        self.tasks = [each for each in self.tasks if each not in found]
        self.locked -= {each.id for each in found}
        return found

    async def ping(self) -> None:
        self.pings += 1
        if self.outage:
            raise self.outage


@dataclass
class GivenTopics:
    """Topics as a discovery has them; `known` are the definitions by topic."""

    topics: list[Topic] = field(default_factory=list)
    known: dict[str, list[str]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)

    async def current(self) -> tuple[Topic, ...]:
        return tuple(self.topics)

    def next_look(self) -> timedelta:
        return timedelta(seconds=7)

    def serves(self, task: Task) -> bool:
        return task.topic in self.known

    def suspect(self) -> None:
        self.known["suspected"] = []

    async def definitions(self, topic: str) -> tuple[str, ...]:
        return tuple(self.known.get(topic, ()))

    async def without_models(self) -> frozenset[str]:
        return frozenset(self.without)


class World:
    """A sieve, and a poller that is as simple as can be."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.topics = GivenTopics()
        self.sieve = Sieve(self.engine, self.topics)  # type: ignore[arg-type]  # it needs but these two methods
        self.served: list[str] = []
        self.outages: list[WorkerError] = []

    def has(self, **definitions: str) -> None:
        """Topics with the definitions on them, and one task of each."""
        self.topics.known = {name: ids.split() for name, ids in definitions.items()}
        self.topics.topics = [Topic(name) for name in definitions]
        self.engine.tasks = [task(name, each) for name, ids in self.topics.known.items() for each in ids]

    async def poll(self, *, gives_back: bool = True) -> None:
        topics = await self.sieve.current()
        if not topics:
            return
        try:
            tasks = await self.engine.fetch(topics, MOST)
        except WorkerError as exc:
            outage = await self.sieve.judge(exc)
            if outage:
                self.outages.append(outage)
            if gives_back:
                self.engine.locked.clear()
            return
        self.sieve.passed(tasks)
        self.served += [each.id for each in tasks]

    async def polls(self, times: int) -> None:
        for _ in range(times):
            await self.poll()

    @property
    def left_out(self) -> list[tuple[str, str]]:
        return [(each.topic, each.definition) for each in self.sieve.left_out()]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def world(clock: Clock) -> World:
    assert clock
    return World()


async def test_polls_that_go_well_are_left_as_they_are(world: World) -> None:
    world.has(t="a b", u="c")
    await world.poll()
    assert world.engine.polls == [(Topic("t"), Topic("u"))]
    assert world.served == ["t a", "t b", "u c"]
    assert world.sieve.next_look() == timedelta(seconds=7)


async def test_the_culprit_alone_is_left_out_and_all_others_are_served(world: World) -> None:
    world.has(s="a", t="b bad c", u="d", v="e")
    world.engine.bad = {"bad"}
    await world.polls(12)
    assert sorted(world.served) == ["s a", "t b", "t c", "u d", "v e"]
    assert world.sieve.left_out() == [LeftOut("t", "bad", "400 InvalidRequestException")]
    assert world.outages == []
    assert "tasks of bad on topic t are left out: 400" in str(world.sieve.left_out()[0])


async def test_it_is_found_in_halves(world: World) -> None:
    world.has(**{f"t{number}": f"d{number}" for number in range(64)})
    world.engine.bad = {"d0"}
    await world.polls(20)
    assert world.left_out == [("t0", "d0")]
    refused = 1 + 6 + 1  # the whole, down to one topic, and that by its definition
    assert world.engine.pings == refused
    assert len(world.served) == 63


async def test_polls_of_a_search_do_not_wait(world: World) -> None:
    world.has(t="a", u="bad")
    world.engine.bad = {"bad"}
    await world.poll()
    await world.sieve.current()
    assert world.sieve.next_look() == timedelta(0)
    await world.polls(4)
    await world.sieve.current()
    assert world.sieve.next_look() == timedelta(seconds=7)


async def test_several_culprits_are_all_found(world: World) -> None:
    world.has(s="bad", t="worse a", u="worst")
    world.engine.bad = {"bad", "worse", "worst"}
    await world.polls(20)
    assert world.left_out == [("s", "bad"), ("t", "worse"), ("u", "worst")]
    assert world.served == ["t a"]


async def test_only_culprits_leave_nothing_to_poll_for(world: World) -> None:
    world.has(t="bad")
    world.engine.bad = {"bad"}
    await world.polls(3)
    assert await world.sieve.current() == ()


async def test_a_definition_that_comes_later_is_served_beside_one_that_is_left_out(world: World) -> None:
    world.has(t="bad a")
    world.engine.bad = {"bad"}
    await world.polls(8)
    world.topics.known["t"].append("new")
    world.engine.tasks.append(task("t", "new"))
    await world.poll()
    assert world.served == ["t a", "t new"]


async def test_a_filter_that_is_there_already_is_narrowed(world: World) -> None:
    world.has(t="a bad")
    world.topics.topics = [Topic("t", ("a", "bad"), ("x",))]
    world.engine.bad = {"bad"}
    await world.polls(6)
    assert await world.sieve.current() == (Topic("t", ("a",), ("x",)),)


async def test_a_topic_whose_definitions_nobody_knows_is_left_out_whole(world: World) -> None:
    world.has(t="bad", u="a")
    world.topics.known = {}
    world.engine.bad = {"bad"}
    await world.polls(6)
    assert (world.left_out, world.served) == ([("t", "")], ["u a"])
    assert "tasks on topic t are left out" in str(world.sieve.left_out()[0])


async def test_what_comes_of_a_definition_that_nobody_knows_is_shut_out_by_naming_the_others(world: World) -> None:
    world.has(t="a hidden")
    world.topics.known["t"] = ["a"]
    world.engine.bad = {"hidden"}
    await world.polls(6)
    assert (world.left_out, world.served, world.outages) == ([], ["t a"], [])
    assert world.engine.polls[-1] == (Topic("t", ("a",)),)


async def test_an_engine_that_fails_the_probe_too_is_an_outage(world: World) -> None:
    world.has(t="bad")
    world.engine.bad = {"bad"}
    world.engine.outage = EngineDown("away")
    await world.poll()
    assert (world.outages, world.left_out) == ([world.engine.outage], [])


async def test_a_right_that_is_missing_is_an_outage_without_another_request(world: World) -> None:
    world.has(t="bad")
    world.engine.bad, world.engine.error = {"bad"}, EngineDenied("no")
    await world.polls(5)
    assert (world.outages, world.engine.pings) == ([world.engine.error] * 5, 0)


async def test_a_poll_without_an_answer_counts_as_refused_when_it_happens_again_and_again(world: World) -> None:
    """Such as one that would bring more than ever gets through."""
    world.has(t="bad", u="a")
    world.engine.bad, world.engine.error = {"bad"}, EngineDown("no answer in time")
    await world.polls(2)
    assert world.outages == [world.engine.error] * 2
    await world.polls(4)
    assert (world.left_out, world.served) == ([("t", "bad")], ["u a"])


async def test_a_whole_that_is_refused_though_each_part_passes_is_served_in_parts(world: World) -> None:
    world.has(t="a", u="b")
    world.engine.largest = 1
    waits = []
    for _ in range(12):
        world.has(t="a", u="b")
        for _ in range(3):
            await world.poll()
            waits.append(world.sieve.next_look().total_seconds())
    assert (world.served, world.outages) == (["t a", "u b"] * 12, [])
    assert waits[:2] == [0, 0]
    assert 1 <= waits[-2] <= LONGEST_PART_SECONDS


async def test_several_workers_that_keep_the_culprit_from_each_other_find_it(world: World) -> None:
    """What one of them has asked for in vain is under its lock until it gives it back, just before its next poll."""
    worlds = [world, World(), World()]
    world.has(t="a b c bad", u="d e")
    world.engine.bad = {"bad"}
    for each in worlds:
        each.engine, each.topics, each.sieve = world.engine, world.topics, Sieve(world.engine, world.topics)  # type: ignore[arg-type]  # as above
    chance = random.Random(1)  # noqa: S311 - to be repeated
    locked: dict[int, set[str]] = {}
    for _ in range(400):
        number = chance.randrange(3)
        each = worlds[number]
        world.engine.locked -= locked.pop(number, set())
        before = set(world.engine.locked)
        await each.poll(gives_back=False)
        locked[number] = world.engine.locked - before
    assert [each.left_out for each in worlds] == [[("t", "bad")]] * 3
    assert [each.outages for each in worlds] == [[], [], []]
    assert sorted(world.served + worlds[1].served + worlds[2].served) == ["t a", "t b", "t c", "u d", "u e"]


async def test_it_is_looked_at_again_after_growing_pauses(world: World, clock: Clock) -> None:
    world.has(t="bad", u="a")
    world.engine.bad = {"bad"}
    with capture_logs() as lines:
        await world.polls(5)
        for pause in (15, 30, 60, 120, 240, 300, 300):
            clock.now += pause - 1
            await world.poll()
            assert world.engine.polls[-1] == (Topic("u"),)
            clock.now += 1
            await world.poll()
            assert world.engine.polls[-1] == (Topic("t", ("bad",)),)
    assert [line["again_in_seconds"] for line in lines] == [15, 30, 60, 120, 240, 300, 300, 300]
    assert {(line["event"], line["topic"], line["definition"]) for line in lines} == {(Event.LEFT_OUT, "t", "bad")}


async def test_what_is_mended_is_served_again(world: World, clock: Clock) -> None:
    world.has(t="bad", u="a")
    world.engine.bad = {"bad"}
    await world.polls(5)
    assert REGISTRY.get_sample_value("worker_definitions_left_out") == 1

    world.engine.bad = set()
    clock.now += 15
    with capture_logs() as lines:
        await world.polls(2)

    assert world.served == ["u a", "t bad"]
    assert [line["event"] for line in lines] == [Event.SERVED_AGAIN]
    assert (world.left_out, REGISTRY.get_sample_value("worker_definitions_left_out")) == ([], 0)
    assert {each.name for each in await world.sieve.current()} == {"t", "u"}


async def test_what_is_left_out_for_functions_has_a_gauge_of_its_own(world: World) -> None:
    metrics.LEFT_OUT.set(7)
    world.sieve = Sieve(world.engine, world.topics, metrics.HANDLER_POLLING)  # type: ignore[arg-type]  # as in World
    world.has(t="bad", u="a")
    world.engine.bad = {"bad"}
    await world.polls(5)
    names = ("worker_definitions_left_out", "worker_handler_definitions_left_out")
    assert [REGISTRY.get_sample_value(name) for name in names] == [7, 1]


async def test_one_that_only_seemed_mended_is_left_out_for_longer(world: World, clock: Clock) -> None:
    """Another worker had its task for a moment."""
    world.has(t="bad", u="a")
    world.engine.bad = {"bad"}
    await world.polls(5)
    world.engine.locked = {"t bad"}
    clock.now += 15
    await world.poll()
    assert world.left_out == []
    world.engine.locked.clear()
    with capture_logs() as lines:
        await world.polls(5)
    assert [line["again_in_seconds"] for line in lines] == [30]


async def test_what_is_not_polled_for_any_more_is_forgotten(world: World, clock: Clock) -> None:
    world.has(t="bad", u="a")
    world.engine.bad = {"bad"}
    await world.polls(5)
    world.topics.topics = [Topic("u")]
    clock.now += 15
    await world.poll()
    assert (world.left_out, REGISTRY.get_sample_value("worker_definitions_left_out")) == ([], 0)


async def test_the_rest_is_asked_of_the_topics(world: World) -> None:
    world.has(t="a")
    assert world.sieve.serves(task("t", "a"))
    assert not world.sieve.serves(task("u", "a"))
    assert await world.sieve.definitions("t") == ("a",)
    world.sieve.suspect()
    assert "suspected" in world.topics.known


async def test_without_models_only_their_topics_are_polled_and_what_is_left_out_stays_so(world: World) -> None:
    world.has(records="a", t="b bad")
    world.topics.without = {"records"}
    world.engine.bad = {"bad"}
    await world.polls(12)
    assert await world.sieve.current(without_models=True) == (Topic("records"),)
    world.sieve.passed([])
    assert world.left_out == [("t", "bad")]


async def test_without_models_a_search_among_other_topics_ends_and_begins_anew_later(world: World) -> None:
    world.has(records="a", t="b bad")
    world.topics.without = {"records"}
    world.engine.bad = {"bad"}
    await world.polls(2)
    assert world.left_out == []
    assert await world.sieve.current(without_models=True) == (Topic("records"),)
    world.sieve.passed([])
    await world.polls(12)
    assert world.left_out == [("t", "bad")]
    assert set(world.served) == {"records a", "t b"}
