"""Who is at a session is written beside the feeds, kept up, and closed by who keeps it, or when nobody does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress

import pytest
from structlog.testing import capture_logs

from tests.asks import ADA, MARY
from tests.core.closing import Closing
from tests.fakes.life import Life
from tests.fakes.script import Script
from worker.chat import visiting
from worker.chat.visiting import Visiting
from worker.domain.conversations import session_id
from worker.domain.threads import ThreadKey
from worker.domain.visits import SILENCE, Left, Stay, Visit
from worker.errors import StoreDown, TranscriptDown
from worker.ports.visits import HEARD_WITHIN, Heartbeat
from worker.redis import RedisHeartbeat
from worker.telemetry import metrics
from worker.transcript import SqlVisits

SESSION = session_id(ThreadKey("default", "a", "analyst"))
A_BEAT = visiting.BEAT_SECONDS + 2 * visiting.GATHER_SECONDS


class Book:
    """The book of one worker, which can be away from it. `kept` is how many visits were written each time."""

    def __init__(self, book: SqlVisits) -> None:
        self.script = Script()
        self.kept: list[int] = []
        self._book = book

    async def keep(self, heartbeat: str, stays: Sequence[Stay]) -> None:
        await self.script.reach("keep")
        await self._book.keep(heartbeat, stays)
        self.kept.append(len(stays))

    async def heartbeats(self) -> Collection[str]:
        await self.script.reach("heartbeats")
        return await self._book.heartbeats()

    async def close(self, gone: Collection[str]) -> Left:
        await self.script.reach("close", gone)
        return await self._book.close(gone)


class Heart:
    """A heartbeat in Redis, which can be away from its worker."""

    def __init__(self, heart: Heartbeat) -> None:
        self.script = Script()
        self.name = heart.name
        self._heart = heart

    async def beat(self) -> None:
        await self.script.reach("beat")
        await self._heart.beat()

    async def stop(self) -> None:
        await self._heart.stop()

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        await self.script.reach("gone")
        return await self._heart.gone(names)


class Replica:
    """One worker, at which people read sessions along."""

    def __init__(self, closing: Closing, name: str) -> None:
        self.book = Book(closing.visits)
        self.heart = Heart(RedisHeartbeat(closing.redis, prefix="aw", engine="default", worker=name))
        self.life = Life()
        self.visiting = Visiting(self.life.lives("book", self.book), self.life.lives("heart", self.heart))  # type: ignore[arg-type]  # the part that it uses
        self._stack = AsyncExitStack()

    async def start(self) -> "Replica":
        await self._stack.enter_async_context(self.visiting)
        return self

    async def stop(self) -> None:
        with suppress(asyncio.CancelledError):  # of one that was killed
            await self._stack.aclose()

    def kill(self) -> None:
        """From here on nothing of it is heard any more."""
        self.life.is_over = True


class House:
    """Workers on the same stores, and what these have."""

    def __init__(self, closing: Closing) -> None:
        self.closing = closing
        self.replicas: list[Replica] = []

    async def replica(self, name: str = "one") -> Replica:
        self.replicas.append(await Replica(self.closing, name).start())
        return self.replicas[-1]

    async def visits(self) -> Sequence[Visit]:
        return await self.closing.visits.of_session(SESSION)

    async def here(self) -> list[str]:
        return sorted(each.person for each in await self.visits() if each.is_open)

    async def only(self) -> Visit:
        [visit] = await self.visits()
        return visit


@pytest.fixture
async def house(closing: Closing) -> AsyncIterator[House]:
    await closing.speak("a")
    house = House(closing)
    yield house
    for each in house.replicas:
        each.life.buried.set()
        await each.stop()


@contextmanager
def counted(result: str) -> Iterator[Callable[[], float]]:
    counter = metrics.VISITS.labels(result)._value
    before = counter.get()
    yield lambda: counter.get() - before


async def test_who_reads_along_is_there_until_they_go(house: House) -> None:
    one = await house.replica()
    with counted("opened") as opened, counted("closed") as closed:
        with one.visiting.at(SESSION, ADA), one.visiting.at(SESSION, MARY):
            await asyncio.sleep(1)
            assert await house.here() == ["Ada", "Mary"]
            await asyncio.sleep(599)
            assert await house.here() == ["Ada", "Mary"]
        await asyncio.sleep(1)
        assert (await house.here(), opened(), closed()) == ([], 2, 2)
    assert [each.duration_seconds for each in await house.visits()] == pytest.approx([600, 600], abs=0.1)


async def test_who_was_there_is_written_once_for_all_that_come_together_and_kept_up_by_one_write(house: House) -> None:
    one = await house.replica()
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(one.visiting.at(SESSION, ADA))
        await asyncio.sleep(1)
        assert [each for each in one.book.kept if each] == [50]
        await asyncio.sleep(2 * A_BEAT)
        assert [each for each in one.book.kept if each] == [50, 50, 50]
    keys = [str(name) async for name in house.closing.redis.scan_iter("*heartbeat*")]
    assert keys == ["aw:default:heartbeat:{one}"], "and there is one key for all of them"


async def test_who_stops_closes_what_it_keeps_and_its_heartbeat(house: House) -> None:
    one = await house.replica()
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(60)
        await one.stop()
        assert (await house.only()).duration_seconds == pytest.approx(60, abs=0.1)
    assert await one.heart.gone([one.heart.name]) == {one.heart.name}


async def test_of_two_workers_none_closes_the_others_living_visits(house: House) -> None:
    one, two = await house.replica("one"), await house.replica("two")
    with one.visiting.at(SESSION, ADA), two.visiting.at(SESSION, MARY):
        for _ in range(10):
            await asyncio.sleep(60)
            assert await house.here() == ["Ada", "Mary"]


async def test_visits_of_a_dead_worker_are_closed_by_another_one_when_it_was_last_heard_of(house: House) -> None:
    one, two = await house.replica("one"), await house.replica("two")
    with one.visiting.at(SESSION, ADA), two.visiting.at(SESSION, MARY), counted("lost") as lost:
        await asyncio.sleep(100)
        one.kill()
        await asyncio.sleep(HEARD_WITHIN.total_seconds() + 2 * A_BEAT)
        assert (await house.here(), lost()) == (["Mary"], 1)
        [gone] = [each for each in await house.visits() if not each.is_open]
        assert gone.person == "Ada"
        assert gone.duration_seconds == pytest.approx(100, abs=A_BEAT)


async def test_without_a_redis_nobody_is_gone_before_they_are_silent(house: House) -> None:
    one, two = await house.replica("one"), await house.replica("two")
    two.heart.script.always("gone", StoreDown("away"))
    with one.visiting.at(SESSION, ADA), counted("silent") as silent:
        await asyncio.sleep(100)
        one.kill()
        await asyncio.sleep(SILENCE.total_seconds() - 2 * A_BEAT)
        assert await house.here() == ["Ada"]
        await asyncio.sleep(4 * A_BEAT)
        assert (await house.here(), silent()) == ([], 1)


async def test_a_worker_whose_heartbeat_redis_lacks_keeps_what_it_is_heard_to_keep(house: House) -> None:
    one = await house.replica("one")
    await house.replica("two")
    one.heart.script.always("beat", StoreDown("away"))
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(600)
        assert await house.here() == ["Ada"]


async def test_a_record_that_is_away_is_said_once_and_gets_what_it_has_missed(house: House) -> None:
    one = await house.replica()
    with capture_logs() as lines, counted("opened") as opened:
        one.book.script.always("keep", TranscriptDown("The disk is full."))
        await asyncio.sleep(A_BEAT)
        assert lines == [], "nobody is here"
        with one.visiting.at(SESSION, ADA):
            await asyncio.sleep(300)
        with one.visiting.at(SESSION, MARY):
            await asyncio.sleep(300)
            assert (await house.visits(), opened()) == ([], 0)
            one.book.script.always("keep", None)
            await asyncio.sleep(A_BEAT)
            assert [(each.person, each.is_open) for each in await house.visits()] == [("Mary", True), ("Ada", False)]
            assert opened() == 2
        one.book.script.next("keep", TranscriptDown("The disk is full."))
        await asyncio.sleep(60)
    told = [line["reason"] for line in lines if line["event"] == "visits_not_written"]
    assert told == ["The disk is full."] * 2, "once for each time that it is away"
    assert (await house.visits())[1].duration_seconds == pytest.approx(300, abs=0.1)


async def test_what_others_took_for_silent_goes_on_where_its_worker_lives(house: House) -> None:
    one = await house.replica("one")
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(60)
        one.book.script.always("keep", TranscriptDown("away"))
        await house.replica("two")
        await asyncio.sleep(SILENCE.total_seconds() + A_BEAT)
        assert await house.here() == []
        one.book.script.always("keep", None)
        await asyncio.sleep(A_BEAT)
        assert await house.here() == ["Ada"]
    await asyncio.sleep(1)
    visit = await house.only()
    assert visit.duration_seconds == pytest.approx(60 + SILENCE.total_seconds() + 2 * A_BEAT, abs=0.1)


async def test_what_nobody_foresaw_is_told_by_its_kind_and_holds_up_nothing(house: House) -> None:
    one = await house.replica()
    one.book.script.next("close", ValueError("Ada"))
    with capture_logs() as lines:
        await asyncio.sleep(A_BEAT)
    [line] = lines
    assert line["event"] == "visits_not_written"
    assert line["reason"].startswith("ValueError < ")
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(A_BEAT)
        assert await house.here() == ["Ada"]


async def test_of_many_that_cannot_be_written_those_that_are_over_are_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "MOST_UNWRITTEN", 5)
    one = await house.replica()
    one.book.script.always("keep", TranscriptDown("away"))
    with one.visiting.at(SESSION, ADA):
        for _ in range(6):
            with one.visiting.at(SESSION, MARY):
                pass
        await asyncio.sleep(A_BEAT)
        one.book.script.always("keep", None)
        await asyncio.sleep(A_BEAT)
        assert [each.person for each in await house.visits()] == ["Ada"]


async def test_a_visit_goes_with_an_order_to_erase_and_the_receipt_says_so(house: House) -> None:
    one = await house.replica()
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(1)
        house.closing.finish("a")
        receipt = await house.closing.erase("a")
        assert [(step.what, step.count) for step in receipt.steps if step.what == "visits"] == [("visits", 1)]
        await asyncio.sleep(10 * A_BEAT)
        assert (receipt.completed_at is not None, await house.visits()) == (True, [])


@pytest.mark.parametrize(("kind", "left"), [("keep", ["Ada"]), ("anonymise", ["[removed]"]), ("remove", [])])
async def test_visits_end_as_the_record_of_their_session_does(house: House, kind: str, left: list[str]) -> None:
    one = await house.replica()
    with one.visiting.at(SESSION, ADA):
        await asyncio.sleep(1)
    await asyncio.sleep(1)
    house.closing.finish("a")
    await house.closing.sweep(kind=kind)  # type: ignore[arg-type]  # one of them
    assert [each.person for each in await house.visits()] == left
