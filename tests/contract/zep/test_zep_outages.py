"""Zep away, busy, or not of a mind to answer us: what is asked then, and what is not."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import structlog

from tests.contract.zep.rig import ANN, BEN, Rig, memo
from tests.waiting import wait_until
from tests.zep.stand_in import KEY, Fault
from worker.domain.providers import ProviderSpec
from worker.errors import MemoryDown, MemoryRefused
from worker.loop.memory import SharedMemory
from worker.redis import RedisOutages, open_redis
from worker.runtime import background
from worker.runtime.breaker import Breaker
from worker.zep import ZepMemory
from worker.zep.transport import LARGEST_ANSWER, LONGEST_WAIT, _read, retry_after


async def test_after_three_failures_nothing_is_asked_for_a_while_by_anybody(rig: Rig) -> None:
    rig.zep.faults.append(Fault(".", 503, {"message": "away"}, times=99))
    for _ in range(3):
        with pytest.raises(MemoryDown, match="503"):
            await rig.memory.remember(memo())
    asked = len(rig.zep.requests)
    for attempt in (rig.memory.remember(memo()), rig.memory.recall(ANN, "pump", 5), rig.memory.check()):
        with pytest.raises(MemoryDown, match="not asked now") as caught:
            await attempt
        assert caught.value.retry_after is not None

    assert len(rig.zep.requests) == asked


async def test_a_second_worker_does_not_ask_a_zep_that_the_first_has_found_down(
    rig: Rig, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("loop.memory.LOOK", 0.05), ("loop.breakers.LOOK", 0.05), ("runtime.breaker.OPEN", 1.0)):
        monkeypatch.setattr(f"worker.{name}_SECONDS", seconds)
    spec = ProviderSpec("memory:zep", base_url=rig.zep.url, key=KEY)
    away = Fault(".", 503, {"message": "away"}, times=10**6)
    rig.zep.faults.append(away)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(redis_url, connections=4))
        crew = list[ZepMemory]()
        for name in ("one", "two"):
            memory = await rig.another(breaker=(breaker := Breaker()))
            outages = RedisOutages(redis, prefix="aw", spec=spec, worker=name)
            shared = SharedMemory(memory, breaker, outages)
            await stack.enter_async_context(background.running(shared.watch(), name))
            crew.append(memory)
        for _ in range(3):
            with pytest.raises(MemoryDown, match="503"):
                await crew[0].check()

        async def is_told() -> bool:
            asked = len(rig.asked("GET"))
            with pytest.raises(MemoryDown) as caught:
                await crew[1].check()
            return len(rig.asked("GET")) == asked and "not asked now" in str(caught.value)

        await wait_until(is_told, what="the other worker to hear of it")
        away.times = 0

        async def answers() -> bool:
            try:
                for each in crew:
                    await each.check()
            except MemoryDown:
                return False
            return True

        await wait_until(answers, what="both to ask again")


@pytest.mark.parametrize("status", [429, 503])
async def test_what_zep_asks_us_to_wait_is_waited(rig: Rig, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.zep.faults.append(Fault(".", status, {"message": "slow down"}, {"Retry-After": "90"}))
    with pytest.raises(MemoryDown) as caught:
        await rig.memory.remember(memo())
    assert caught.value.retry_after == timedelta(seconds=90)
    with pytest.raises(MemoryDown, match="not asked now"):
        await rig.memory.remember(memo())
    assert len(rig.zep.requests) == 1
    monkeypatch.setattr("worker.runtime.breaker.monotonic", lambda: asyncio.get_running_loop().time() + 91)
    await rig.memory.remember(memo())

    assert len(rig.zep.messages) == 2


NO_TIMES = ("Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
"""Dates that are written as such, and that no clock comes to."""


async def test_an_error_that_nobody_foresaw_leaves_the_first_place_to_the_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.zep.faults.append(Fault(".", 503, {"message": "slow down"}, {"Retry-After": "90"}))
    with pytest.raises(MemoryDown):
        await rig.memory.remember(memo())
    monkeypatch.setattr("worker.runtime.breaker.monotonic", lambda: asyncio.get_running_loop().time() + 91)
    with monkeypatch.context() as patch:
        patch.setattr("worker.zep.transport._read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await rig.memory.remember(memo())
    await rig.memory.remember(memo())

    assert len(rig.zep.messages) == 2


@pytest.mark.parametrize(
    "content",
    [
        b'{"uuid": "\xed\xa0\x80"}',
        b'{"uuid": "\\ud800"}',
        '{"uuid": "\ud800"}'.encode("utf-16", "surrogatepass"),
    ],
)
def test_half_a_character_is_replaced_however_it_is_written(content: bytes) -> None:
    assert _read(200, {}, content).said == {"uuid": "\ufffd"}


def test_a_wait_may_be_a_number_or_a_date_and_is_an_hour_at_most() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    read = [retry_after({"Retry-After": each}) for each in ("7", "99999999999999", "soon", "-5", "²", "", *NO_TIMES)]
    dated = retry_after({"Retry-After": in_a_minute})

    assert read == [timedelta(seconds=7), LONGEST_WAIT, None, None, None, None, None, None]
    assert dated is not None
    assert timedelta(seconds=50) < dated <= timedelta(seconds=60)
    assert retry_after({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == timedelta(0)


async def test_while_zep_refuses_the_key_nothing_is_recalled_and_that_is_said_once(rig: Rig) -> None:
    await rig.memory.remember(memo())
    rig.zep.keys = set()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(MemoryRefused):
                await rig.memory.recall(ANN, "Which pump?", 5)
        asked = len(rig.zep.requests)
        with pytest.raises(MemoryRefused, match="401"):
            await rig.memory.remember(memo("1" * 12))
        with pytest.raises(MemoryRefused, match="401"):
            await rig.memory.check()
    assert [each["event"] for each in lines] == ["memory_denied"]
    assert "z_secret" not in str(lines)
    assert len(rig.zep.requests) == asked + 2, "only who writes and who checks still asks"

    rig.zep.keys = {KEY}
    await rig.memory.check()
    assert len(await rig.memory.recall(ANN, "Which pump?", 5)) == 1


async def test_reading_is_off_where_the_key_lacks_a_right_and_writing_is_not(rig: Rig) -> None:
    rig.zep.faults.append(Fault("search", 403, {"message": "not in this plan"}, times=9))
    await rig.memory.remember(memo("1" * 12))
    for _ in range(2):
        with pytest.raises(MemoryRefused):
            await rig.memory.recall(ANN, "Which pump?", 5)
    asked = len(rig.zep.requests)
    with pytest.raises(MemoryRefused, match="nothing is recalled"):
        await rig.memory.recall(ANN, "Which pump?", 5)
    assert len(rig.zep.requests) == asked
    await rig.memory.remember(memo("2" * 12))
    assert len(rig.zep.messages) == 4
    with structlog.testing.capture_logs() as lines:
        await rig.memory.check()
        assert await rig.memory.recall(BEN, "Which pump?", 5) == []
        with pytest.raises(MemoryRefused, match="403"):
            await rig.memory.recall(ANN, "Which pump?", 5)
    assert lines == [], "it was said"
    rig.zep.faults = []
    await rig.memory.check()
    assert len(await rig.memory.recall(ANN, "Which pump?", 5)) == 2


async def test_an_answer_without_end_is_not_read_to_it(rig: Rig) -> None:
    rig.zep.faults.append(Fault(".", 200, " " * (LARGEST_ANSWER + 1)))
    with pytest.raises(MemoryDown, match=f"more than {LARGEST_ANSWER}"):
        await rig.memory.check()


async def test_no_redirect_is_followed_as_another_host_would_get_the_key(rig: Rig) -> None:
    rig.zep.faults.append(Fault(".", 307, "", {"Location": f"{rig.zep.url}/elsewhere"}))
    with pytest.raises(MemoryDown, match="307"):
        await rig.memory.check()

    assert len(rig.zep.requests) == 1


async def test_nobody_there_is_down(rig: Rig) -> None:
    rig.zep.url = "http://127.0.0.1:1"
    with pytest.raises(MemoryDown, match="gives no answer"):
        await (await rig.another()).check()


async def test_a_key_stands_in_no_error_and_in_no_text_of_the_connection(rig: Rig) -> None:
    rig.zep.keys = set()
    with pytest.raises(MemoryRefused) as caught:
        await rig.memory.check()

    assert KEY not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_a_recall_that_is_broken_off_counts_for_nothing(rig: Rig) -> None:
    await rig.memory.remember(memo())
    rig.zep.before = lambda _: asyncio.sleep(0.5)
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await rig.memory.recall(ANN, "Which pump?", 5)
    rig.zep.before = None

    assert len(await rig.memory.recall(ANN, "Which pump?", 5)) == 1
