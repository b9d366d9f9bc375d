"""An engine of two nodes on one PostgreSQL: what is made on the other node, and a node that dies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import mean
from time import monotonic

import pytest

from tests.faults.checkers import check
from tests.faults.world import World, calmly, databases, open_world
from tests.nursery import Nursery
from tests.rest import EngineRest, connect
from tests.servers.postgresql import PostgreSQL
from tests.setups.balancer import balancer
from worker.demo.engine import Engine
from worker.demo.servers import Valkey

POLL_SECONDS = 5
LATE_SECONDS = 4.0
"""What a poll, a turn and the question whether it is over may take beside that on a busy machine."""
INSTANCES = 30


@dataclass(frozen=True, slots=True)
class Nodes:
    """The engine's nodes; each may be killed and started again."""

    one: Engine
    two: Engine


@pytest.fixture(scope="module")
def nodes(engine: Engine) -> Iterator[Nodes]:
    """Two of the kind that all tests use, on one database."""
    with PostgreSQL() as postgresql:
        database = postgresql.create("engine")
        with Engine(engine.kind, database=database) as one, Engine(engine.kind, database=database) as two:
            yield Nodes(one, two)


@pytest.fixture
async def other(nodes: Nodes) -> AsyncIterator[EngineRest]:
    """A client of the second node."""
    async with connect(nodes.two) as rest:
        yield rest


@pytest.fixture
async def world(nodes: Nodes, nursery: Nursery, valkey: Valkey, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose own client talks to the second node, and whose workers talk to the first."""
    async with connect(nodes.two) as rest, open_world(rest, nursery, valkey, next(databases), tmp_path) as world:
        world.engine.stand_before(nodes.one.base_url)
        yield world


async def seconds_of(world: World, rest: EngineRest, model: str) -> float:
    """How long an instance of one step takes that is made on this node."""
    began = monotonic()
    instance = await rest.start(model)
    world.instances.append(instance)

    async def is_over() -> bool:
        return (await rest.request("GET", f"process-instance/{instance}"))[0] == 404

    await calmly(is_over, 30, "the end of an instance")
    return monotonic() - began


async def test_what_is_made_on_the_other_node_waits_for_the_end_of_the_poll_at_most(
    world: World, nodes: Nodes, tell: Callable[[str], None]
) -> None:
    model = await world.rig.deploy(replace(world.rig.step("one"), async_after=False))
    await world.start_worker(poll_seconds=POLL_SECONDS)

    async with connect(nodes.one) as own:
        here = [await seconds_of(world, own, model.key) for _ in range(8)]
    there = [await seconds_of(world, world.rest, model.key) for _ in range(8)]
    await world.stop()

    tell(
        f"POLL_SECONDS={POLL_SECONDS}: made on the node that is polled {mean(here):.1f} s, {max(here):.1f} s at most; "
        f"on the other {mean(there):.1f} s, {max(there):.1f} s at most"
    )
    assert mean(here) < POLL_SECONDS / 2, "the poll is woken"
    assert max(there) < POLL_SECONDS + LATE_SECONDS
    await check(world)


@pytest.mark.parametrize("in_turn", [True, False])
async def test_the_steps_of_an_instance_behind_a_balancer_wait_for_polls_unless_each_worker_has_one_node(
    world: World, nodes: Nodes, in_turn: bool, tell: Callable[[str], None]
) -> None:
    steps = [replace(world.rig.step(name), async_after=False) for name in ("one", "two", "three", "four")]
    model = await world.rig.deploy(*steps)
    async with balancer(nodes.one.base_url, nodes.two.base_url, in_turn=in_turn) as door:
        world.engine.stand_before(door.url)
        await world.start_worker(poll_seconds=POLL_SECONDS)
        async with connect(nodes.one) as own:
            took = [await seconds_of(world, own, model.key) for _ in range(4)]
        await world.stop()

    way = "each request to the next node" if in_turn else "one node for the worker"
    tell(f"POLL_SECONDS={POLL_SECONDS}, {way}: four steps took {mean(took):.1f} s, {max(took):.1f} s at most")
    assert max(took) < len(steps) * (POLL_SECONDS if in_turn else 0) + LATE_SECONDS
    await check(world)


async def test_a_node_that_is_killed_loses_nothing_doubles_nothing_and_spends_no_retry(
    world: World, nodes: Nodes, tell: Callable[[str], None]
) -> None:
    # Without asyncAfter: jobs that the killed node had taken come back after the job executor's own lock, five minutes.
    steps = [replace(world.rig.step(name), async_after=False) for name in ("one", "two", "three")]
    model = await world.rig.deploy(*steps)
    world.model.latency = timedelta(seconds=0.3)
    async with balancer(nodes.one.base_url, nodes.two.base_url) as door:
        world.engine.stand_before(door.url)
        workers = [await world.start_worker() for _ in range(2)]
        for _ in range(INSTANCES):
            await world.start(model)
        await world.turn_runs(5)
        await asyncio.to_thread(nodes.one.kill)
        killed = monotonic()
        try:
            await world.ended()
            ended = monotonic()
            await world.stop()
        finally:
            await asyncio.to_thread(nodes.one.start)

    repeated = [len(worker.lines("dependency_down")) for worker in workers]
    tell(
        f"one of two nodes killed under {INSTANCES} instances of {len(steps)} steps: {door.broken} "
        f"requests broke, all over {ended - killed:.1f} s later; outages noted by each worker: {repeated}"
    )
    assert set(door.passed) == {nodes.one.base_url, nodes.two.base_url}
    await check(world)
