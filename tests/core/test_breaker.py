"""When nobody is asked, in time that jumps."""

import asyncio
from datetime import timedelta

import pytest

from worker.runtime.breaker import OPEN_SECONDS, WITHIN_SECONDS, Breaker, BreakerOpen


def refused(breaker: Breaker) -> timedelta:
    """How long it lets nobody ask."""
    with pytest.raises(BreakerOpen) as caught:
        breaker.enter()
    return caught.value.wait


def fail(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed(first=breaker.enter())


async def to_be_probed() -> tuple[Breaker, bool]:
    """One whose next request goes first, and what somebody was told who asked before it opened."""
    breaker = Breaker()
    early = breaker.enter()
    fail(breaker)
    await asyncio.sleep(OPEN_SECONDS)
    return breaker, early


async def test_three_failures_within_a_minute_stop_the_asking_for_half_a_minute() -> None:
    breaker = Breaker()
    fail(breaker, 2)
    assert breaker.enter() is False
    breaker.failed(first=False)

    assert refused(breaker) == timedelta(seconds=OPEN_SECONDS)


async def test_failures_that_lie_further_apart_stop_nothing() -> None:
    breaker = Breaker()
    for _ in range(5):
        fail(breaker, 1)
        await asyncio.sleep(WITHIN_SECONDS / 2 + 1)

    assert breaker.enter() is False


async def test_an_answer_between_them_makes_the_count_begin_anew() -> None:
    breaker = Breaker()
    fail(breaker, 2)
    breaker.answered(first=breaker.enter())
    fail(breaker, 2)

    assert breaker.enter() is False


async def test_then_one_request_goes_first_and_all_others_wait_for_what_comes_of_it() -> None:
    breaker, _ = await to_be_probed()

    assert breaker.enter() is True
    assert refused(breaker) == timedelta(seconds=1)
    breaker.answered(first=True)
    assert breaker.enter() is False


async def test_a_first_request_that_fails_stops_the_asking_again_at_once() -> None:
    breaker, _ = await to_be_probed()
    fail(breaker, 1)

    assert refused(breaker) == timedelta(seconds=OPEN_SECONDS)


async def test_a_first_request_that_nobody_waits_for_any_more_leaves_its_place_to_the_next() -> None:
    breaker, _ = await to_be_probed()
    breaker.left(first=breaker.enter())

    assert breaker.enter() is True


async def test_somebody_who_did_not_go_first_leaves_no_place() -> None:
    breaker, early = await to_be_probed()
    breaker.enter()
    breaker.left(first=early)

    assert refused(breaker) == timedelta(seconds=1)


async def test_an_answer_to_somebody_who_had_asked_before_ends_no_wait() -> None:
    breaker = Breaker()
    early = breaker.enter()
    fail(breaker, 1)
    breaker.failed(timedelta(minutes=5), first=breaker.enter())
    breaker.answered(first=early)

    assert refused(breaker) == timedelta(minutes=5)


async def test_a_failure_of_somebody_who_had_asked_before_does_not_take_the_place_of_who_goes_first() -> None:
    breaker, early = await to_be_probed()
    first = breaker.enter()
    assert breaker.failed(first=early) is False
    assert refused(breaker) == timedelta(seconds=1), "who goes first is still on its way"

    assert breaker.answered(first=first) is True
    assert breaker.enter() is False


async def test_an_answer_to_somebody_who_had_asked_before_does_not_speak_for_who_goes_first() -> None:
    breaker, early = await to_be_probed()
    first = breaker.enter()
    assert breaker.answered(first=early) is False
    breaker.failed(first=first)

    assert refused(breaker) == timedelta(seconds=OPEN_SECONDS)


async def test_how_long_it_asks_to_be_left_alone_is_waited_after_one_failure() -> None:
    breaker = Breaker()
    breaker.failed(timedelta(minutes=5), first=breaker.enter())
    await asyncio.sleep(60)

    assert refused(breaker) == timedelta(minutes=4)
    await asyncio.sleep(240)
    assert breaker.enter() is True


async def test_that_nobody_is_asked_any_more_and_that_it_is_asked_again_is_told_once() -> None:
    breaker = Breaker()
    assert [breaker.failed(first=False) for _ in range(4)] == [False, False, True, False]
    await asyncio.sleep(OPEN_SECONDS)
    assert breaker.failed(first=breaker.enter()) is False
    await asyncio.sleep(OPEN_SECONDS)

    assert [breaker.answered(first=breaker.enter()), breaker.answered(first=False)] == [True, False]
