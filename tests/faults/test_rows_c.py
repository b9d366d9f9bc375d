"""A Redis that is away, empty, slow, full of rubbish, or goes back in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.checkers import Explained, check
from tests.faults.cluster import ReplicatedCluster
from tests.faults.crowd import together
from tests.faults.world import World
from tests.waiting import wait_until
from worker.demo.processes import running
from worker.demo.servers import Valkey

pytestmark = pytest.mark.timeout(600)


async def two_steps(world: World) -> str:
    """Start an instance that waits for a second worker before its second step."""
    second = world.rig.step("two", topic=f"{world.rig.topic}_two")
    return await world.start(await world.rig.deploy(world.rig.step("one"), second))


@contextlib.asynccontextmanager
async def clustered() -> AsyncIterator[ReplicatedCluster]:
    """Open a cluster without blocking the tests beside this one."""
    cluster = await asyncio.to_thread(ReplicatedCluster().__enter__)
    try:
        yield cluster
    finally:
        await asyncio.to_thread(cluster.__exit__, None, None, None)


async def serve_second(world: World, **settings: Any) -> None:
    await world.start_worker(topics=f"{world.rig.topic}_two", **settings)


@together(own_valkey=True)
async def test_without_redis_at_the_start_nothing_is_fetched_until_it_is_there(world: World) -> None:
    await asyncio.to_thread(world.valkey.stop)
    await world.start(await world.rig.deploy(world.rig.step("one")))
    worker = await world.start_worker()
    await wait_until(lambda: worker.lines("dependency_down"), 30, "the loud line")
    await asyncio.sleep(1)
    assert not world.history.of("engine", text=world.rig.topic)
    assert (await worker.get("livez"))[0] == 200
    status, text = await worker.get("readyz")
    assert (status, "redis" in text) == (503, True)
    await asyncio.to_thread(world.valkey.start)
    await world.ended()
    await world.stop()

    await check(world)


@together(own_valkey=True)
async def test_redis_away_under_a_turn_lets_the_answer_through_and_starts_no_other(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    model = await world.rig.deploy(world.rig.step("one"))
    first = await world.start(model)
    worker = await world.start_worker()
    await world.turn_runs()
    await asyncio.to_thread(world.valkey.stop)
    second = await world.start(model)
    await wait_until(lambda: worker.lines("dependency_down"), 20, "the loud line")
    world.model.release("gate")
    await world.ended(first)
    assert worker.lines("journal_not_written")
    assert len(world.model.requests("responses.create")) == 1, "no turn without a decision on its thread"

    async def is_given_back() -> bool:  # a poll that was under way may bring it once more
        [waiting] = await world.rest.tasks(second)
        return (waiting["workerId"], waiting["retries"]) == (None, None)

    await wait_until(is_given_back, 20, "the other task to be given back")
    await asyncio.to_thread(world.valkey.start)
    await world.ended()
    await wait_until(worker.is_ready, 60, "readiness")
    await world.stop()

    await check(world)


@together(own_valkey=True)
async def test_a_redis_that_comes_back_empty_is_filled_from_the_process_variable(world: World) -> None:
    instance = await two_steps(world)
    worker = await world.start_worker()
    await world.until_open(instance, "two")
    await worker.stop()
    await asyncio.to_thread(world.valkey.restart)
    await serve_second(world)
    await world.ended()
    await world.stop()

    await check(world)
    meta = await world.rig.meta(instance, "two")
    assert (meta["use"], meta["generation"]) == ("adopted", 1)


@pytest.mark.parametrize(
    ("name", "command", "cure"),
    [
        ("READONLY", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        ("OOM", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        ("password", ("CONFIG", "SET", "requirepass", "s3cret"), None),
    ],
)
@together(own_valkey=True)
async def test_a_redis_that_refuses_is_named_and_its_tasks_are_given_back(
    world: World, name: str, command: tuple[str, ...], cure: tuple[str, ...] | None
) -> None:
    instance = await two_steps(world)
    worker = await world.start_worker()
    await world.until_open(instance, "two")
    async with world.rig.redis() as redis:
        await redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        world.redis.drop()
        later = await world.start(await world.rig.deploy(world.rig.step("three")))

        def told() -> list[Any]:  # an engine that is slow beside many other tests may be told as well
            return [line for line in worker.lines("dependency_down") if line["dependency"] == "redis"]

        line = (await wait_until(told, 30, "the loud line"))[0]
        assert name.lower() in line["reason"].lower()
        assert "s3cret" not in world.logs()
        assert not await worker.is_ready()
        if cure:
            await redis.execute_command(*cure)  # type: ignore[no-untyped-call]  # as above
            await world.ended(later)
            await serve_second(world)
            await world.ended()
    await world.stop()

    unfinished = frozenset() if cure else frozenset(world.instances)
    await check(world, Explained(unfinished=unfinished))


@pytest.mark.parametrize("effect", [{"late": 5.0}, {"hang": "before"}], ids=["latency", "black hole"])
@together()
async def test_a_redis_that_does_not_answer_in_time_stalls_a_turn_for_seconds_only(
    world: World, effect: dict[str, Any]
) -> None:
    rule = world.redis.spoil("^script enter", **effect)
    instance = await world.start(await world.rig.deploy(world.rig.step("one")))
    worker = await world.start_worker()
    await wait_until(lambda: rule.hits, 30, "the turn")
    line = (await wait_until(lambda: worker.lines("turn"), 30, "the end of the turn"))[0]
    assert line["verdict"] == "unlock"
    world.redis.heal()
    await world.ended(instance)
    await world.stop()

    await check(world)


@pytest.mark.parametrize("kind", ["corrupt", "foreign", "wrong type", "huge"])
@together()
async def test_rubbish_under_our_keys_counts_as_absent_and_harms_nobody_else(world: World, kind: str) -> None:
    instance = await two_steps(world)
    worker = await world.start_worker()
    await world.until_open(instance, "two")
    [task] = await world.rest.tasks(instance)
    async with world.rig.redis() as redis:
        [thread] = await redis.keys(f"*{instance}*:thread")
        turn = str(thread).removesuffix(":thread") + f":turn:{task['id']}"
        match kind:
            case "corrupt":
                await redis.hset(turn, mapping={"state": "answered", "attempt": "1", "answer": "{"})
            case "foreign":
                await redis.hset(turn, mapping={"state": "answered", "attempt": "x", "answer": '{"colour": "red"}'})
            case "wrong type":
                await redis.delete(thread)
                await redis.set(thread, "rubbish")
            case _:
                await redis.hset(turn, mapping={"state": "answered", "attempt": "1", "answer": "x" * 10_000_000})
    await serve_second(world)
    await world.ended()
    assert await worker.is_ready()
    await world.stop()

    await check(world)
    assert [line["event"] for each in world.workers for line in each.lines("record_corrupt")] == ["record_corrupt"]


@together()
async def test_a_dead_holder_blocks_its_thread_for_one_lease_at_most(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    left, right = (world.rig.step(name, topic=f"{world.rig.topic}_{name}") for name in ("left", "right"))
    await world.start(await world.rig.deploy([left, right]))
    dead = await world.start_worker(topics=left.topic)
    await world.turn_runs()
    await world.start_worker(topics=right.topic)
    await wait_until(lambda: [each for each in world.history.of("redis", "^script enter") if each.reply == ["busy"]])
    await dead.kill()
    world.model.release("gate")
    await world.start_worker(topics=left.topic)
    await world.ended()
    await world.stop()

    await check(world)


@together()
async def test_a_hold_lost_under_a_turn_binds_nothing_and_the_answer_counts(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy([world.rig.step("left"), world.rig.step("right")]))
    worker = await world.start_worker()
    await world.turn_runs()
    async with world.rig.redis() as redis:
        await redis.delete(*await redis.keys("*:hold"))
    await wait_until(
        lambda: any(each.outcome == "failed" for each in world.history.of("provider", "POST /responses")),
        what="the other turn's refusal",
    )
    await wait_until(lambda: worker.lines("hold_lost"), 20, "the loss to be seen")
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world, Explained(locked=5))
    assert len(world.model.conversations()) == 1


@together(own_valkey=True)
async def test_a_promotion_that_loses_the_last_second_costs_no_answer_and_no_thread(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    instance = await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    worker = await world.start_worker()
    await world.turn_runs()
    async with running(Valkey()) as replica:  # which has received nothing yet
        world.redis.target = replica.port
        world.redis.drop()
        world.model.release("gate")
        await world.ended()
        await world.stop()

    assert worker.lines("turn")
    await check(world)
    assert (await world.rig.meta(instance, "two"))["use"] == "adopted"


@together()
async def test_turns_outlive_a_primary_of_a_cluster_and_go_on_with_its_replica(world: World) -> None:
    """Workers find a cluster's servers by themselves, so no proxy stands before these."""
    world.model.fault("responses.create", times=9, hold="gate")
    model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
    for _ in range(9):
        await world.start(model)
    async with clustered() as cluster:
        worker = await world.start_worker(redis_url=cluster.url())
        await world.turn_runs(9)
        struck = await asyncio.to_thread(cluster.busiest)
        await asyncio.to_thread(cluster.nodes[struck].kill)
        world.model.release("gate")
        await asyncio.to_thread(cluster.await_promotion, struck)
        later = await world.start(model)
        await world.ended()
        await wait_until(worker.is_ready, 60, "readiness")
        await world.stop()

    await check(world)
    assert len(world.model.conversations()) == len(world.instances)
    assert (await world.rig.meta(later, "two"))["use"] == "reused"
