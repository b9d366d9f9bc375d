"""Rounds and looks come at their times, one worker does each, and what fails in one keeps nothing of the others."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing
from worker.ending.keeper import BETWEEN_LOOKS, BETWEEN_ROUNDS, LEASE, Pace
from worker.errors import EngineDown, StoreDown

ROUND = "aw:default:round"


def spread(first: float, pause: float = 1.0) -> Pace:
    """Choose when the first round is due, as a part of an hour, and how long pauses are."""
    return Pace(between=lambda least, _: first if least == 0 else pause)


def times(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, float]]]:
    """Note when looks and rounds begin, in minutes from now."""
    loop, found = asyncio.get_running_loop(), list[tuple[str, float]]()
    began = loop.time()
    taken = {False: "look", True: "round"}
    lock, threads = closing.orders.lock, closing.index.threads

    async def locked(*args: object) -> bool:
        found.append((taken[False], round((loop.time() - began) / 60, 2)))
        return await lock(*args)  # type: ignore[arg-type]  # handed on

    async def all_threads() -> object:
        found[-1] = (taken[True], found[-1][1])
        return await threads()

    monkeypatch.setattr(closing.orders, "lock", locked)
    monkeypatch.setattr(closing.index, "threads", all_threads)
    return lambda: found


async def test_looks_come_every_five_minutes_and_a_round_every_hour(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = times(closing, monkeypatch)
    async with closing.keeper(pace=spread(first=0.5)):
        await asyncio.sleep(100 * 60 + 1)

    found = done()
    assert [at for _, at in found] == [5.0 * number for number in range(1, 21)]
    assert [at for what, at in found if what == "round"] == [30.0, 90.0]


@pytest.mark.parametrize(("pause", "first"), [(0.8, 4.0), (1.2, 6.0)])
async def test_workers_that_start_together_do_not_look_together(
    closing: Closing, monkeypatch: pytest.MonkeyPatch, pause: float, first: float
) -> None:
    done = times(closing, monkeypatch)
    async with closing.keeper(pace=spread(first=1.0, pause=pause)):
        await asyncio.sleep(7 * 60)

    assert done()[0] == ("look", first)


async def test_the_first_round_is_within_an_hour_whatever_the_dice_say(closing: Closing) -> None:
    thread = await closing.ran("instance")
    async with closing.keeper():
        await asyncio.sleep((BETWEEN_ROUNDS + 1.2 * BETWEEN_LOOKS).total_seconds())
        assert thread.id not in closing.provider.conversations


async def test_nothing_is_done_after_the_end(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    done = times(closing, monkeypatch)
    async with closing.keeper():
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds() * 1.3)
    before = len(done())
    await asyncio.sleep(3 * BETWEEN_ROUNDS.total_seconds())

    assert len(done()) == before == 1


async def test_a_stop_in_the_middle_of_a_round_leaves_the_rest_and_the_lock_to_the_next_worker(
    closing: Closing,
) -> None:
    thread = await closing.ran("instance")
    closing.provider.script.next("erase_thread", 3600.0)
    async with closing.keeper(pace=spread(first=0.0)):
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds() + 60)
        assert closing.provider.script.named("erase_thread") == [(thread.id,)]
    assert thread.id in closing.provider.conversations

    await asyncio.sleep(0.01)
    assert await closing.keeper().round()
    assert thread.id not in closing.provider.conversations


async def test_a_look_sees_who_is_over_and_does_nothing_else(closing: Closing) -> None:
    thread = await closing.ran("instance")
    assert await closing.keeper("remove").look()

    [session] = await closing.sessions()
    assert not session.is_active
    assert thread.id in closing.provider.conversations
    assert await closing.texts("instance") == ["question", "answer"]


async def test_of_two_at_once_one_does_the_round(closing: Closing) -> None:
    await closing.ran("instance")
    closing.provider.script.next("erase_thread", 600.0)
    first, second = closing.keeper(), closing.keeper()
    at_it = asyncio.create_task(first.round())
    await asyncio.sleep(8 * LEASE.total_seconds())

    assert not await second.round(), "the lock is renewed for as long as it takes"
    assert not await second.look()
    assert await at_it
    await asyncio.sleep(0.01)
    assert await second.round(), "and let go of at the end"
    assert len(closing.provider.script.named("erase_thread")) == 1


async def test_the_lock_of_one_who_died_runs_out(closing: Closing) -> None:
    await closing.orders.lock("dead", LEASE)
    assert not await closing.keeper().round()
    await asyncio.sleep(LEASE.total_seconds() + 1)
    assert await closing.keeper().round()


async def test_orders_that_cannot_be_read_keep_nothing_that_is_due_by_age(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await closing.ran("instance")

    async def spoilt() -> list[str]:
        raise KeyError("a secret")

    monkeypatch.setattr(closing.orders, "open_orders", spoilt)
    with capture_logs() as lines:
        assert await closing.keeper().round() is False

    assert thread.id not in closing.provider.conversations
    [line] = [each for each in lines if each["event"] == "end_delayed"]
    assert "unforeseen KeyError" in line["reason"]
    assert "secret" not in str(lines)


async def test_an_engine_that_is_away_delays_a_round_and_the_next_one_does_it(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.instances.script.next("running", EngineDown("away"))
    with capture_logs() as lines:
        assert await closing.keeper().round() is False
    assert [(each["what"], each["reason"]) for each in lines if each["event"] == "end_delayed"] == [("round", "away")]

    await asyncio.sleep(0.01)
    assert await closing.keeper().round()
    assert thread.id not in closing.provider.conversations


@pytest.mark.parametrize("method", ["lock", "unlock"])
async def test_a_round_whose_lock_cannot_be_had_or_let_go_of_is_said_to_have_failed(
    closing: Closing, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def down(*_: object) -> bool:
        raise StoreDown("Redis is away")

    monkeypatch.setattr(closing.orders, method, down)
    with capture_logs() as lines:
        assert await closing.keeper().round() is False

    assert [each["reason"] for each in lines if each["event"] == "end_delayed"] == ["Redis is away"]


async def test_a_renewal_of_the_lock_that_fails_is_said_and_the_round_goes_on(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await closing.ran("instance")
    closing.provider.script.next("erase_thread", LEASE.total_seconds())
    lock, calls = closing.orders.lock, 0

    async def second_fails(*args: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreDown("a moment")
        return await lock(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(closing.orders, "lock", second_fails)
    with capture_logs() as lines:
        assert await closing.keeper().round()

    assert calls >= 3, "it is tried again"
    assert [each["what"] for each in lines if each["event"] == "end_delayed"] == ["lock of the round"]
    assert thread.id not in closing.provider.conversations
