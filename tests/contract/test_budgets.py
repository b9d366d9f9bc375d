"""Budgets in a real Redis: charged and corrected once, however often that is said, on a single server and a cluster."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from worker.domain.budgets import Counter, Limit, Usage
from worker.redis import RedisBudgets
from worker.redis.budgets import DAY_FOR
from worker.redis.connect import Client

DAY = date(2026, 5, 4)
COUNTER = Counter("tenant", "né:w {x}", Limit(1000, 5000), "tenant", DAY)
KEEP = timedelta(days=30)


@pytest.fixture
def book(redis: Client) -> RedisBudgets:
    return RedisBudgets(redis, prefix="aw", engine="default", keep=KEEP)


async def test_a_charge_counts_once_and_so_does_its_correction(book: RedisBudgets) -> None:
    for _ in range(2):
        assert await book.charge(COUNTER, "one", Usage(400, 2000)) == (True, Usage(400, 2000))
    assert await book.charge(COUNTER, "two", Usage(600, 3000)) == (True, Usage(1000, 5000))
    for _ in range(2):
        await book.correct(COUNTER, "one", 150, 700)

    assert await book.used(COUNTER) == Usage(750, 3700)


@pytest.mark.parametrize("most", [Usage(1001, 0), Usage(0, 5001), Usage(1001, 5001)])
async def test_what_is_more_than_is_left_is_not_charged_at_all(book: RedisBudgets, most: Usage) -> None:
    assert await book.charge(COUNTER, "one", most) == (False, Usage())
    assert await book.used(COUNTER) == Usage()


async def test_what_is_not_known_stays_charged_until_it_is(book: RedisBudgets) -> None:
    await book.charge(COUNTER, "one", Usage(400, 2000))
    await book.correct(COUNTER, "one", 150, None)
    await book.correct(COUNTER, "one", 10, None)
    assert await book.used(COUNTER) == Usage(150, 2000)
    await book.correct(COUNTER, "one", None, 700)
    await book.correct(COUNTER, "one", 10, 10)
    assert await book.used(COUNTER) == Usage(150, 700)


async def test_a_call_without_a_price_leaves_nothing_behind(book: RedisBudgets, redis: Client) -> None:
    for number in range(3):
        await book.charge(COUNTER, str(number), Usage(100, 0))
        await book.correct(COUNTER, str(number), 50, None)
    assert await book.used(COUNTER) == Usage(150, 0)
    assert [name for name in await redis.hkeys(book._name(COUNTER)) if str(name).startswith("call:")] == []


async def test_the_day_is_by_the_clock_that_all_workers_share(book: RedisBudgets, redis: Client) -> None:
    seconds = [(await redis.time())[0] for _ in range(2)]  # one of the two days if midnight is between
    assert await book.today() in {datetime.fromtimestamp(each, UTC).date() for each in seconds}


async def test_money_of_another_currency_is_counted_apart(book: RedisBudgets) -> None:
    euros = replace(COUNTER, currency="EUR")
    await book.charge(COUNTER, "one", Usage(100, 4000))
    await book.charge(COUNTER, "two", Usage(0, 1000))

    for _ in range(2):
        assert await book.charge(euros, "three", Usage(100, 5000)) == (True, Usage(200, 5000))
    assert await book.charge(euros, "four", Usage(0, 1)) == (False, Usage(200, 5000))
    await book.correct(euros, "one", 50, 3000)
    await book.correct(euros, "three", 50, 2000)
    await book.correct(COUNTER, "two", 0, 500)

    assert await book.used(euros) == Usage(100, 2000)
    assert await book.used(COUNTER) == Usage(100, 4500)
    assert [used async for _, used in book.counted("tenant", "EUR")] == [Usage(100, 2000)]


async def test_what_a_worker_has_charged_that_knew_no_currencies_counts_on(book: RedisBudgets, redis: Client) -> None:
    await book.charge(COUNTER, "one", Usage(100, 4000))
    [name] = [name async for name in redis.scan_iter(match="aw:default:budget:*")]
    await redis.hdel(name, "currency")

    assert await book.used(COUNTER) == Usage(100, 4000)
    await book.correct(COUNTER, "one", 100, 3000)
    assert await book.charge(COUNTER, "two", Usage(0, 2001)) == (False, Usage(100, 3000))


async def test_nothing_is_corrected_that_was_not_charged(book: RedisBudgets) -> None:
    await book.correct(COUNTER, "one", 150, 700)
    assert await book.used(COUNTER) == Usage()


async def test_an_answer_may_take_more_than_was_expected_and_there_is_less_left_then(book: RedisBudgets) -> None:
    await book.charge(COUNTER, "one", Usage(400, 2000))
    await book.correct(COUNTER, "one", 1200, 9000)

    assert await book.used(COUNTER) == Usage(1200, 9000)
    assert (await book.charge(COUNTER, "two", Usage(1, 0)))[0] is False


async def test_a_limit_that_is_not_there_bounds_nothing_and_large_amounts_are_exact(book: RedisBudgets) -> None:
    tokens = Counter("root", "a", Limit(tokens=10**12), "root")
    most = Usage(10**12 - 1, 10**15 + 1)
    assert await book.charge(tokens, "one", most) == (True, most)
    assert await book.charge(tokens, "two", Usage(1, 1)) == (True, Usage(10**12, 10**15 + 2))
    await book.correct(tokens, "one", 1, 10**15)
    assert await book.used(tokens) == Usage(2, 10**15 + 1)


async def test_of_many_at_once_as_many_are_charged_as_there_is_room_for(book: RedisBudgets) -> None:
    replies = await asyncio.gather(*(book.charge(COUNTER, f"call-{n}", Usage(30, 0)) for n in range(100)))
    assert sum(charged for charged, _ in replies) == 33


async def test_each_thing_that_is_counted_for_is_alone(book: RedisBudgets, redis: Client) -> None:
    others = [
        Counter("tenant", "né:w {x}", COUNTER.limit, "tenant", date(2026, 5, 5)),
        Counter("assistant", "né:w {x}", COUNTER.limit, "tenant", DAY),
        Counter("instance", "né:w {x}", COUNTER.limit, "tenant"),
        Counter("tenant", "né:w", COUNTER.limit, "tenant", DAY),
    ]
    await book.charge(COUNTER, "one", Usage(1, 1))
    another = RedisBudgets(redis, prefix="aw", engine="another", keep=KEEP)

    assert [await book.used(each) for each in others] == [Usage()] * len(others)
    assert await another.used(COUNTER) == Usage()


async def test_all_that_is_counted_for_can_be_listed(book: RedisBudgets) -> None:
    others = [
        Counter("tenant", "", COUNTER.limit, "tenant", DAY),
        Counter("instance", "a:b", COUNTER.limit, "instance"),
    ]
    for number, each in enumerate([COUNTER, *others]):
        await book.charge(each, "one", Usage(number + 1, 0))

    listed = {(each.name, each.day): used.tokens async for each, used in book.counted("tenant", "USD")}
    assert listed == {("né:w {x}", DAY): 1, ("", DAY): 2}
    assert [str(each) async for each, _ in book.counted("instance", "USD")] == ["instance a:b"]


@pytest.mark.parametrize(
    "odd", ["tenant:acme", "tenant:acme:yesterday", "tenant:a:b:2026-05-04", "tenant:", "tenant:%ff:"]
)
async def test_a_name_that_we_did_not_give_hides_nothing_else_of_the_list(
    book: RedisBudgets, redis: Client, odd: str
) -> None:
    await book.charge(COUNTER, "one", Usage(1, 1))
    await redis.set(f"aw:default:budget:{{{odd}}}", "text")

    assert (COUNTER.name, 1) in [(each.name, used.tokens) async for each, used in book.counted("tenant", "USD")]


@pytest.mark.parametrize(("counter", "life"), [(COUNTER, DAY_FOR), (Counter("task", "a", Limit(1), "task"), KEEP)])
async def test_it_is_forgotten_in_the_end(redis: Client, book: RedisBudgets, counter: Counter, life: timedelta) -> None:
    await book.charge(counter, "one", Usage(1, 1))
    [name] = [name async for name in redis.scan_iter(match="aw:default:budget:*")]
    assert life.total_seconds() - 60 < await redis.ttl(name) <= life.total_seconds()


async def test_what_nobody_can_have_written_is_forgotten(redis: Client, book: RedisBudgets) -> None:
    await book.charge(COUNTER, "one", Usage(1, 1))
    [name] = [name async for name in redis.scan_iter(match="aw:default:budget:*")]
    await redis.set(name, "text")

    assert await book.used(COUNTER) == Usage()
    assert await book.charge(COUNTER, "two", Usage(2, 1)) == (True, Usage(2, 1))
    assert await book.used(COUNTER) == Usage(2, 1)
