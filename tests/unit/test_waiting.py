"""The waiting room: who goes when, and what stays behind of those who left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from tests.samples import TASK
from tests.waiting import wait_until
from worker.domain.threads import ThreadKey
from worker.errors import Stopping
from worker.loop import waiting
from worker.loop.waiting import WaitingRoom

KEY = ThreadKey("default", "instance-1", "analyst")
OTHER = ThreadKey("default", "instance-2", "analyst")
SOON, NEVER = 0.001, 3600.0


class Visitors:
    """Tasks in the room, numbered by age; `gone` lists them in the order in which they may try."""

    def __init__(self, room: WaitingRoom) -> None:
        self.room = room
        self.gone: list[int] = []
        self.tasks: dict[int, asyncio.Task[bool]] = {}

    async def enter(self, *ages: int, key: ThreadKey = KEY) -> None:
        """Let them in, one behind the other."""
        for age in ages:
            await self._enter(age, key)

    async def _enter(self, age: int, key: ThreadKey) -> None:
        then = inside() + 1
        self.tasks[age] = asyncio.create_task(self._wait(key, age), name=f"visitor {age}")
        await wait_until(lambda: inside() == then, what=f"visitor {age} to sit")

    async def _wait(self, key: ThreadKey, age: int) -> bool:
        allowed = await self.room.wait(key, replace(TASK, created_at=TASK.created_at + timedelta(seconds=age)))
        self.gone.append(age)
        return allowed

    async def until_gone(self, *ages: int) -> None:
        """Wait until exactly these are out, in this order."""
        await wait_until(lambda: len(self.gone) >= len(ages), what=f"{ages} to go, of whom {self.gone} went")
        assert self.gone == list(ages)


def inside() -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("worker_tasks_waiting") or 0.0


@asynccontextmanager
async def room_of(places: int) -> AsyncIterator[Visitors]:
    """A room that is empty again in the end, else the test has failed."""
    visitors = Visitors(WaitingRoom(places))
    try:
        yield visitors
    finally:
        for task in visitors.tasks.values():
            task.cancel()
        await asyncio.gather(*visitors.tasks.values(), return_exceptions=True)
    assert inside() == 0
    assert not visitors.room._queues


@pytest.fixture
def only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries by himself."""
    monkeypatch.setattr(waiting, "RETRY_SECONDS", NEVER)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first tries by himself at once."""
    monkeypatch.setattr(waiting, "RETRY_SECONDS", SOON)


async def steps(number: int = 20) -> None:
    """Let everything that can happen now happen."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("only_when_woken")
async def test_each_wake_lets_the_oldest_go_and_nobody_else() -> None:
    async with room_of(10) as visitors:
        await visitors.enter(3, 1, 5, 2, 4)
        for number in range(1, 6):
            visitors.room.wake(KEY)
            await visitors.until_gone(*range(1, number + 1))
            await steps()
            assert len(visitors.gone) == number

        assert all([await task for task in visitors.tasks.values()])


@pytest.mark.usefixtures("only_when_woken")
async def test_tasks_of_the_same_age_go_as_they_came() -> None:
    async with room_of(10) as visitors:
        for number in range(3):
            await visitors.enter(number)
        for _ in range(3):
            visitors.room.wake(KEY)
            await steps()

        await visitors.until_gone(0, 1, 2)


@pytest.mark.usefixtures("only_when_woken")
async def test_wake_is_for_its_own_thread() -> None:
    async with room_of(10) as visitors:
        await visitors.enter(1)
        await visitors.enter(2, key=OTHER)
        visitors.room.wake(OTHER)
        await visitors.until_gone(2)


@pytest.mark.usefixtures("only_when_woken")
async def test_wake_where_nobody_waits_is_not_kept_for_later() -> None:
    async with room_of(10) as visitors:
        visitors.room.wake(KEY)
        await visitors.enter(1)
        await steps()
        assert visitors.gone == []


@pytest.mark.usefixtures("impatient")
async def test_first_tries_by_itself_as_other_workers_wake_nobody_here() -> None:
    async with room_of(10) as visitors:
        tasks = [visitors._wait(KEY, age) for age in (2, 1, 3)]
        await asyncio.gather(*tasks)

        assert visitors.gone == [1, 2, 3]


@pytest.mark.usefixtures("impatient")
async def test_second_waits_until_the_first_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room_of(10) as visitors:
        monkeypatch.setattr(waiting, "RETRY_SECONDS", NEVER)
        await visitors.enter(1)
        monkeypatch.setattr(waiting, "RETRY_SECONDS", SOON)
        await visitors.enter(2)
        await asyncio.sleep(20 * SOON)  # in which a second that tries by itself would have gone
        assert visitors.gone == []

        visitors.room.wake(KEY)
        await visitors.until_gone(1, 2)


@pytest.mark.usefixtures("only_when_woken")
async def test_full_room_says_no_at_once_and_takes_the_next_when_one_has_gone() -> None:
    async with room_of(2) as visitors:
        await visitors.enter(1)
        await visitors.enter(2, key=OTHER)
        assert await visitors.room.wait(KEY, TASK) is False
        assert inside() == 2

        visitors.room.wake(KEY)
        await visitors.until_gone(1)
        await visitors.enter(3)


@pytest.mark.usefixtures("only_when_woken")
@pytest.mark.parametrize("ages", [(1,), (2,), (3,), (1, 2), (1, 2, 3), (2, 3)])
async def test_cancelled_ones_leave_no_place_behind(ages: tuple[int, ...]) -> None:
    async with room_of(3) as visitors:
        await visitors.enter(1, 2, 3)
        for age in ages:
            visitors.tasks[age].cancel()
        await wait_until(lambda: inside() == 3 - len(ages), what="the cancelled to leave")
        rest = [age for age in (1, 2, 3) if age not in ages]
        for _ in rest:
            visitors.room.wake(KEY)
            await steps()

        await visitors.until_gone(*rest)
        await visitors.enter(4, 5, 6)


@pytest.mark.usefixtures("only_when_woken")
@pytest.mark.parametrize("apart", range(6))
async def test_cancellation_is_never_swallowed_by_a_wake(apart: int) -> None:
    # asyncio.wait_for did, on Python 3.11: a task that was lost went on to its turn.
    async with room_of(3) as visitors:
        await visitors.enter(1)
        visitors.room.wake(KEY)
        await steps(apart)
        cancelled = visitors.tasks[1].cancel()
        outcome = (await asyncio.gather(visitors.tasks[1], return_exceptions=True))[0]

        assert isinstance(outcome, asyncio.CancelledError) if cancelled else outcome is True


@pytest.mark.usefixtures("only_when_woken")
async def test_wake_of_one_who_is_cancelled_goes_to_the_next() -> None:
    async with room_of(3) as visitors:
        await visitors.enter(1, 2)
        visitors.room.wake(KEY)
        visitors.tasks[1].cancel()

        await visitors.until_gone(2)


@pytest.mark.usefixtures("only_when_woken")
async def test_wake_reaches_an_older_task_that_sits_down_meanwhile() -> None:
    async with room_of(3) as visitors:
        await visitors.enter(2)
        older = asyncio.create_task(visitors._wait(KEY, 1), name="older")
        visitors.tasks[1] = older
        await steps(1)
        visitors.room.wake(KEY)
        await visitors.until_gone(1)

        visitors.room.wake(KEY)
        await visitors.until_gone(1, 2)


async def test_younger_whose_pause_ends_does_not_overtake_an_older(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room_of(3) as visitors:
        monkeypatch.setattr(waiting, "RETRY_SECONDS", 0.05)
        visitors.tasks[2] = asyncio.create_task(visitors._wait(KEY, 2), name="younger")
        await steps()
        monkeypatch.setattr(waiting, "RETRY_SECONDS", 0.3)
        visitors.tasks[1] = asyncio.create_task(visitors._wait(KEY, 1), name="older")

        await wait_until(lambda: len(visitors.gone) == 2, what="both to go")
        assert visitors.gone == [1, 2]


@pytest.mark.usefixtures("only_when_woken")
async def test_closing_sends_everybody_away_at_once() -> None:
    async with room_of(3) as visitors:
        await visitors.enter(1, 2)
        await visitors.enter(3, key=OTHER)
        visitors.room.close()
        outcomes = await asyncio.gather(*visitors.tasks.values(), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [Stopping, Stopping, Stopping]


async def test_nobody_sits_down_in_a_closed_room() -> None:
    async with room_of(1) as visitors:
        visitors.room.close()
        with pytest.raises(Stopping):
            await visitors.room.wait(KEY, TASK)


@pytest.mark.usefixtures("only_when_woken")
@pytest.mark.parametrize("first", ["wake", "close"])
async def test_closing_beside_a_wake_ends_the_wait_either_way(first: str) -> None:
    async with room_of(3) as visitors:
        await visitors.enter(1, 2)
        acts: list[Callable[[], None]] = [lambda: visitors.room.wake(KEY), visitors.room.close]
        for act in acts if first == "wake" else reversed(acts):
            act()
        outcomes = await asyncio.gather(*visitors.tasks.values(), return_exceptions=True)

        assert all(outcome is True or isinstance(outcome, Stopping) for outcome in outcomes)
        assert isinstance(outcomes[1], Stopping), "the second was not woken"


@pytest.mark.usefixtures("impatient")
async def test_forty_tasks_on_four_threads_all_get_their_turn() -> None:
    keys = [replace(KEY, scope=f"instance-{number}") for number in range(4)]
    async with room_of(40) as visitors:
        gone: dict[ThreadKey, list[int]] = {key: [] for key in keys}

        async def one(key: ThreadKey, age: int) -> None:
            assert await visitors.room.wait(key, replace(TASK, created_at=TASK.created_at + timedelta(seconds=age)))
            gone[key].append(age)

        await asyncio.gather(*(one(key, age) for age in reversed(range(10)) for key in keys))

        assert gone == {key: list(range(10)) for key in keys}
