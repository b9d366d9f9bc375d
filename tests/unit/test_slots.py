"""Slots: never more turns at once than there are, and nothing is fetched that has none."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from prometheus_client import REGISTRY

from tests.waiting import wait_until
from worker.loop.slots import Slots


def in_flight() -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("worker_turns_in_flight") or 0.0


def test_the_metric_says_how_many_slots_there_are() -> None:
    Slots(7)
    assert REGISTRY.get_sample_value("worker_slots") == 7


async def inside(part: AbstractAsyncContextManager[None], until: asyncio.Event) -> None:
    async with part:
        await until.wait()


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("size", [1, 3])
async def test_never_more_turns_at_once_than_slots(size: int) -> None:
    slots, running, most = Slots(size), 0, 0

    async def turn() -> None:
        nonlocal running, most
        async with slots.turn():
            running += 1
            most = max(most, running)
            assert in_flight() == running
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(turn() for _ in range(20)))

    assert most == size
    assert (slots.free, in_flight()) == (size, 0)


async def test_slots_are_given_first_come_first_served() -> None:
    slots, served = Slots(1), list[int]()

    async def turn(number: int) -> None:
        async with slots.turn():
            served.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(turn, range(10)))

    assert served == list(range(10))


async def test_tasks_that_wait_for_a_slot_are_not_free_places() -> None:
    slots, until = Slots(2), asyncio.Event()
    tasks = [asyncio.create_task(inside(slots.turn(), until), name=f"turn {number}") for number in range(5)]
    await wait_until(lambda: in_flight() == 2, what="two to run")

    assert slots.free == 0
    until.set()
    await asyncio.gather(*tasks)
    assert slots.free == 2


@pytest.mark.parametrize("which", ["running", "waiting"])
async def test_cancelled_turn_gives_its_slot_back(which: str) -> None:
    slots, until = Slots(1), asyncio.Event()
    running = asyncio.create_task(inside(slots.turn(), until), name="running")
    waiting = asyncio.create_task(inside(slots.turn(), until), name="waiting")
    await wait_until(lambda: in_flight() == 1, what="one to run")
    await cancelled(running if which == "running" else waiting)
    until.set()
    await asyncio.gather(running, waiting, return_exceptions=True)

    assert (slots.free, in_flight()) == (1, 0)
    async with asyncio.timeout(5), slots.turn():
        assert slots.free == 0


async def test_turn_that_raises_gives_its_slot_back() -> None:
    slots = Slots(1)
    with pytest.raises(RuntimeError):
        async with slots.turn():
            raise RuntimeError

    assert (slots.free, in_flight()) == (1, 0)


async def test_what_goes_on_of_a_turn_keeps_its_slot_from_who_waits_until_it_is_over() -> None:
    slots, until = Slots(1), asyncio.Event()
    async with slots.turn():
        waiting = asyncio.create_task(inside(slots.turn(), until), name="waiting")
        await asyncio.sleep(0)
        over = slots.keep()
    until.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.shield(waiting)
    assert (slots.free, in_flight()) == (0, 1)

    over()
    await waiting
    assert (slots.free, in_flight()) == (1, 0)


async def test_what_is_over_before_its_turn_has_left_keeps_nothing() -> None:
    slots = Slots(1)
    async with slots.turn():
        slots.keep()()
    assert (slots.free, in_flight()) == (1, 0)
    async with slots.turn():
        assert (slots.free, in_flight()) == (0, 1)


async def test_in_a_backlog_nothing_is_fetched_ahead_of_slots_that_are_all_kept() -> None:
    slots, over = Slots(5), list[Callable[[], None]]()
    for _ in range(5):
        async with slots.turn():
            over.append(slots.keep())
    assert slots.welcome(backlog=True) == 0
    over.pop()()
    assert slots.welcome(backlog=True) == 2
    for each in over:
        each()
    assert (slots.welcome(backlog=True), in_flight()) == (6, 0)


async def test_delivery_needs_no_slot() -> None:
    slots = Slots(1)
    async with slots.turn(), asyncio.timeout(5), slots.delivery(), slots.delivery():
        assert slots.free == 0
    assert slots.free == 1


async def test_as_many_deliveries_as_slots_stop_the_fetching() -> None:
    slots = Slots(2)
    async with slots.delivery():
        assert slots.free == 2
        async with slots.delivery():
            assert slots.free == 0
        assert slots.free == 2


async def test_some_welcome_returns_at_once_while_there_is_one() -> None:
    async with asyncio.timeout(5):
        await Slots(1).some_welcome(backlog=False)


@pytest.mark.parametrize("kind", ["turn", "delivery"])
@pytest.mark.parametrize("end", ["finished", "cancelled"])
async def test_some_welcome_returns_as_soon_as_one_is(kind: str, end: str) -> None:
    slots, until = Slots(1), asyncio.Event()
    part = slots.turn() if kind == "turn" else slots.delivery()
    holder = asyncio.create_task(inside(part, until), name="holder")
    await wait_until(lambda: slots.free == 0, what="no free slot")
    waiter = asyncio.create_task(slots.some_welcome(backlog=False), name="waiter")
    await asyncio.sleep(0)
    assert not waiter.done()

    if end == "finished":
        until.set()
    else:
        holder.cancel()
    async with asyncio.timeout(5):
        await waiter
    await asyncio.gather(holder, return_exceptions=True)


async def test_some_welcome_goes_on_waiting_when_somebody_was_quicker() -> None:
    slots, first, second = Slots(1), asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(inside(slots.turn(), first), name="one")
    other = asyncio.create_task(inside(slots.turn(), second), name="other")
    waiter = asyncio.create_task(slots.some_welcome(backlog=False), name="waiter")
    await wait_until(lambda: in_flight() == 1, what="one to run")
    first.set()
    await one
    await wait_until(lambda: in_flight() == 1, what="the other to run")
    assert not waiter.done()

    second.set()
    async with asyncio.timeout(5):
        await asyncio.gather(other, waiter)
