"""The outbox in a real Redis and the transcript in a real database: everything arrives once and in order."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from tests.records import BETWEEN, exchange, key
from tests.waiting import wait_until
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, session_id
from worker.domain.exchanges import TRANSCRIPT, Exchange
from worker.domain.threads import Answer, Entered, Hold
from worker.errors import SinkDown, TranscriptDown, Unstorable
from worker.ports.sinks import Sink
from worker.redis import RedisOutbox, RedisThreads, open_redis
from worker.redis.keys import Keys
from worker.redis.outbox import LOOKED_AT
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.turn.recorder import AT_ONCE, Carrier, Recorder

MINUTE = timedelta(minutes=1)


class Parts:
    """One Redis and one database, as two workers would share them."""

    def __init__(self, threads: RedisThreads, outbox: RedisOutbox, database: Database) -> None:
        self.threads, self.outbox = threads, outbox
        self.transcript, self.conversations = SqlTranscriptWriter(database), SqlTranscriptReader(database)

    async def hold(self, given: Exchange) -> Hold:
        entry = await self.threads.enter(given.key, given.task_id)
        assert isinstance(entry, Entered)
        await self.threads.intend(entry.hold, given.attempt, MINUTE)
        return entry.hold

    async def answer(self, given: Exchange) -> None:
        hold = await self.hold(given)
        await self.threads.keep_answer(hold, given.attempt, Answer(given.answer.text), published=False, exchange=given)

    async def recorded(self, thread: str = "instance-1") -> list[str]:
        """What the agent said on a thread, in order."""
        wanted, after, said = MessageFilter(session_id=session_id(key(thread))), None, []
        while True:
            page = await self.conversations.messages(wanted, within=EVERYTHING, after=after)
            said += [each.content for each in page.items if each.role == "agent"]
            if page.next is None:
                return said
            after = page.next


@pytest.fixture
async def parts(redis_url: str, tmp_path: Path) -> AsyncIterator[Parts]:
    async with open_redis(redis_url, connections=20) as redis, open_database(f"sqlite:///{tmp_path}/t.db") as database:
        threads = RedisThreads(redis, prefix="test", lease=MINUTE, keep=MINUTE, sinks=(TRANSCRIPT, "memory"))
        yield Parts(threads, RedisOutbox(redis, prefix="test", engine="default"), database)


class Moody:
    """A transcript that is away for the first calls, and never takes what it is told not to."""

    name = TRANSCRIPT

    def __init__(self, transcript: SqlTranscriptWriter, away: int = 0, refuses: str = "") -> None:
        self._transcript = transcript
        self.away = away
        self._refuses = refuses
        self.calls = 0

    async def ping(self) -> None:
        """It answers, and takes nothing all the same."""

    async def record(self, *given: Exchange) -> None:
        self.calls += 1
        if self.away:
            self.away -= 1
            raise TranscriptDown("away")
        if any(each.task_id == self._refuses for each in given):
            raise Unstorable("never")
        await self._transcript.record(*given)


class Memory:
    """A second sink, which is away until it is told to be there."""

    name = "memory"

    def __init__(self) -> None:
        self.away = True
        self.taken: list[Exchange] = []

    async def ping(self) -> None:
        if self.away:
            raise SinkDown("away")

    async def record(self, *given: Exchange) -> None:
        await self.ping()
        self.taken.extend(given)


def carrier(parts: Parts, sink: Sink | None = None) -> Carrier:
    return Carrier(parts.outbox, sink or parts.transcript)


def recorder(parts: Parts, *sinks: Sink) -> Recorder:
    return Recorder(parts.outbox, sinks or [parts.transcript])


async def test_a_thousand_turns_while_the_store_is_away_are_all_there_afterwards_in_order(parts: Parts) -> None:
    turns = [exchange(number) for number in range(1000)]
    moody = Moody(parts.transcript, away=3)
    busy = carrier(parts, moody)
    for number, turn in enumerate(turns):
        await parts.answer(turn)
        if number in {10, 500, 999}:
            assert not await busy.drain()
    assert await parts.recorded() == []
    assert await busy.drain()

    assert await parts.recorded() == [turn.answer.text for turn in turns]
    assert await parts.outbox.backlog(TRANSCRIPT) == 0
    assert moody.calls == 3 + 1000 / AT_ONCE


async def test_a_sink_that_is_away_for_a_thousand_turns_keeps_nothing_from_the_transcript_and_gets_all_in_order(
    parts: Parts, redis_url: str
) -> None:
    turns, memory = [exchange(number) for number in range(1000)], Memory()
    to_transcript, to_memory = carrier(parts), carrier(parts, memory)
    for number, turn in enumerate(turns):
        await parts.answer(turn)
        await parts.threads.close(turn.key, turn.task_id)
        if number % 250 == 249:
            assert await to_transcript.drain()
            assert not await to_memory.drain()
    assert await parts.recorded() == [turn.answer.text for turn in turns]
    assert [await parts.outbox.backlog(sink) for sink in (TRANSCRIPT, "memory")] == [0, 1000]
    async with open_redis(redis_url, connections=1) as redis:
        name = Keys.of("test", turns[0].key).turn(turns[0].task_id)
        assert await redis.pttl(name) <= timedelta(hours=1) / timedelta(milliseconds=1), "the transcript has it"
        assert await redis.pttl(Keys.exchanges(name, "memory")) > timedelta(days=6) / timedelta(milliseconds=1)

        memory.away = False
        assert await to_memory.drain()
        assert [(each.task_id, each.messages) for each in memory.taken] == [
            (each.task_id, each.messages) for each in turns
        ]
        assert await parts.outbox.backlog("memory") == 0
        assert [name for name in await redis.keys() if "memory" in name] == []


async def test_a_name_that_we_did_not_give_holds_nothing_up_on_the_list(parts: Parts, redis_url: str) -> None:
    turn = exchange(1)
    async with open_redis(redis_url, connections=1) as redis:
        for odd in ("%ff", "%fe"):
            name = f"{Keys.of('test', turn.key).turn('')}{odd}"
            await redis.zadd("test:default:unrecorded", {name: 0})
            await (redis.set(name, "text") if odd == "%ff" else redis.hset(name, "schema", "99"))
        await parts.answer(turn)
        assert await carrier(parts).drain()

    assert await parts.recorded() == [turn.answer.text]


async def test_two_workers_bring_each_sink_everything_once(parts: Parts) -> None:
    turns, memory = [exchange(number) for number in range(50)], Memory()
    memory.away = False
    async with recorder(parts, parts.transcript, memory), recorder(parts, parts.transcript, memory):
        for turn in turns:
            await parts.answer(turn)

        async def drained() -> bool:
            return not any([await parts.outbox.backlog(sink) for sink in (TRANSCRIPT, "memory")])

        await wait_until(drained, 90, "the outbox to be empty")
    assert await parts.recorded() == [turn.answer.text for turn in turns]
    assert sorted(each.task_id for each in memory.taken) == sorted(each.task_id for each in turns)


async def test_a_store_that_is_dead_from_the_start_is_said_at_once_and_not_said_to_be_back_before_it_is(
    parts: Parts,
) -> None:
    class Dead(Moody):
        async def ping(self) -> None:
            if self.away:
                raise TranscriptDown("away. Mend it.")

    dead = Dead(parts.transcript, away=1)
    busy = carrier(parts, dead)
    with structlog.testing.capture_logs() as captured:
        assert [await busy.drain() for _ in range(3)] == [False] * 3
        await parts.answer(exchange(1))
        assert not await busy.drain()
        assert len(await parts.outbox.claim(TRANSCRIPT, 10)) == 1, "nothing was claimed that could not be written"
        dead.away = 0
        assert await busy.drain()

    assert [(line["event"], line.get("reason")) for line in captured] == [
        ("transcript_down", "away. Mend it."),
        ("transcript_up", None),
    ]


async def test_one_row_that_is_never_taken_delays_no_other(parts: Parts) -> None:
    turns = [exchange(number) for number in range(5)]
    for turn in turns:
        await parts.answer(turn)
    assert await carrier(parts, Moody(parts.transcript, refuses=turns[1].task_id)).drain()

    assert await parts.recorded() == [turn.answer.text for turn in turns if turn is not turns[1]]
    assert await parts.outbox.backlog(TRANSCRIPT) == 1
    assert await parts.outbox.claim(TRANSCRIPT, 10) == []  # it is due again in an hour


async def test_two_workers_that_drain_one_outbox_write_everything_once(parts: Parts) -> None:
    threads = [f"instance-{number}" for number in range(20)]
    turns = [exchange(number, key(thread)) for thread in threads for number in range(5)]
    for turn in turns:
        await parts.answer(turn)
    async with recorder(parts), recorder(parts):

        async def drained() -> bool:
            return await parts.outbox.backlog(TRANSCRIPT) == 0

        await wait_until(drained, 90, "the outbox to be empty")

    for thread in threads:
        assert await parts.recorded(thread) == [f"Answer {number}." for number in range(5)]
    counts = await parts.conversations.counts(Filter(), within=EVERYTHING)
    assert (counts.sessions, counts.messages) == (20, 200)


async def test_a_turn_without_an_answer_yet_stays_on_the_list(parts: Parts) -> None:
    turn = exchange(1)
    await parts.answer(turn)
    await carrier(parts).drain()
    await parts.threads.drop_answer(turn.key, turn.task_id, 1)
    second = exchange(1, attempt=2, answer="Better.")
    hold = await parts.hold(second)
    await parts.threads._run(
        "list", ["test:default:unrecorded"], "test:default:{instance-1:analyst}:turn:" + turn.task_id, ""
    )
    await carrier(parts).drain()
    assert await parts.outbox.backlog(TRANSCRIPT) == 1, "a call runs"

    await parts.threads.keep_answer(hold, 2, Answer("Better."), published=False, exchange=second)
    await carrier(parts).drain()
    assert await parts.recorded() == ["Answer 1.", "Better."]
    assert await parts.outbox.backlog(TRANSCRIPT) == 0


async def test_a_turn_that_is_listed_anew_while_it_is_settled_is_not_forgotten(parts: Parts) -> None:
    turn = exchange(1)
    await parts.answer(turn)
    [pending] = await parts.outbox.claim(TRANSCRIPT, 10)
    await parts.transcript.record(pending.exchanges[1])
    await parts.threads.drop_answer(turn.key, turn.task_id, 1)
    await parts.answer(exchange(1, attempt=2, answer="Better."))
    await parts.outbox.settle(pending, frozenset({1}))
    await carrier(parts).drain()

    assert await parts.recorded() == ["Answer 1.", "Better."]


async def test_the_journal_keeps_what_the_transcript_lacks_although_the_task_is_over(
    parts: Parts, redis_url: str
) -> None:
    turn = exchange(1)
    await parts.answer(turn)
    await parts.threads.close(turn.key, turn.task_id)
    name = "test:default:{instance-1:analyst}:turn:" + turn.task_id
    async with open_redis(redis_url, connections=1) as redis:
        assert await redis.pttl(name) > timedelta(days=6) / timedelta(milliseconds=1)
        await carrier(parts).drain()
        assert 0 < await redis.pttl(name) <= timedelta(hours=1) / timedelta(milliseconds=1)


async def test_what_the_transcript_has_yet_to_get_of_a_thread_is_known_whatever_else_waits(parts: Parts) -> None:
    others = [exchange(number, thread=key(f"instance-{number}")) for number in range(2, 12)]
    for turn in [exchange(1), *others, exchange(1, thread=key("instance-1*"))]:
        await parts.answer(turn)
    await parts.hold(exchange(12))  # a call that runs has said nothing yet

    async def unrecorded(but: str = "") -> bool:
        return await parts.threads.unrecorded(key("instance-1"), but)

    assert (await unrecorded(), await unrecorded(but=exchange(1).task_id)) == (True, False)
    assert await parts.threads.unrecorded(key("instance-1*"), "")
    await carrier(parts).drain()
    assert not await unrecorded()


async def test_a_turn_whose_answer_was_dropped_is_listed_no_longer_until_the_next_one(parts: Parts) -> None:
    turn = exchange(1)
    await parts.answer(turn)
    await parts.threads.drop_answer(turn.key, turn.task_id, 1)
    await carrier(parts).drain()
    assert await parts.outbox.backlog(TRANSCRIPT) == 0

    await parts.answer(exchange(1, attempt=2, answer="Better."))
    await carrier(parts).drain()
    assert await parts.recorded() == ["Answer 1.", "Better."]


async def test_what_a_newer_version_has_added_is_left_out_and_what_it_changed_is_left_to_it(
    parts: Parts, redis_url: str
) -> None:
    async with open_redis(redis_url, connections=1) as redis:
        for number, change in enumerate([{"mood": "new"}, {"schema": 3}]):
            await parts.answer(exchange(number))
            name = "test:default:{instance-1:analyst}:turn:" + exchange(number).task_id
            kept = json.loads(await redis.hget(name, "exchange:1") or "")
            await redis.hset(name, "exchange:1", json.dumps(kept | change))
        await carrier(parts).drain()
        assert await redis.hexists(name, "exchange:1")

    assert await parts.recorded() == ["Answer 0."]
    assert await parts.outbox.backlog(TRANSCRIPT) == 1


async def test_an_error_that_nobody_foresaw_keeps_one_exchange_back_and_no_other(parts: Parts) -> None:
    class Broken(Moody):
        async def record(self, *given: Exchange) -> None:
            if any(each.task_id == exchange(0).task_id for each in given):
                raise RuntimeError("unforeseen")
            await super().record(*given)

    for number in range(3):
        await parts.answer(exchange(number))
    await carrier(parts, Broken(parts.transcript)).drain()

    assert await parts.recorded() == ["Answer 1.", "Answer 2."]


async def test_what_redis_could_not_take_goes_from_memory(parts: Parts) -> None:
    moody = Moody(parts.transcript, away=1)
    async with recorder(parts, moody) as busy:
        busy.keep(exchange(1))

        async def there() -> bool:
            return await parts.recorded() == ["Answer 1."]

        await wait_until(there, 30, "the exchange from memory")
    assert moody.calls == 2


async def test_messages_between_question_and_answer_come_to_every_sink_in_their_place(parts: Parts) -> None:
    turns, memory = [exchange(number, between=BETWEEN[:number]) for number in range(5)], Memory()
    memory.away = False
    for turn in turns:
        await parts.answer(turn)
    for sink in (parts.transcript, memory):
        assert await carrier(parts, sink).drain()
    for turn in (turns[3], turns[1]):  # both were recorded, and nobody was told
        await parts.transcript.record(turn)

    wanted = MessageFilter(session_id=session_id(turns[0].key))
    page = await parts.conversations.messages(wanted, within=EVERYTHING)
    assert [each.content for each in page.items] == [each.text for turn in turns for each in turn.messages]
    assert [each.messages for each in memory.taken] == [turn.messages for turn in turns]


async def test_an_exchange_that_nobody_can_read_is_dropped_and_said(parts: Parts, redis_url: str) -> None:
    await parts.answer(exchange(1))
    async with open_redis(redis_url, connections=1) as redis:
        name = "test:default:{instance-1:analyst}:turn:" + exchange(1).task_id
        await redis.hset(name, "exchange:1", "{broken")
    assert await carrier(parts).drain()
    assert await parts.outbox.backlog(TRANSCRIPT) == 0


async def test_end_of_the_recorder_carries_over_what_came_last(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came too late for its rounds, of which the last one is broken off here before it has claimed anything."""

    class Slow(Moody):
        async def ping(self) -> None:
            self.calls += 1
            if self.calls == 1:
                await asyncio.Event().wait()

    monkeypatch.setattr("worker.turn.recorder.LAST_SECONDS", 60.0)  # a file that others keep busy takes its time
    slow = Slow(parts.transcript)
    async with recorder(parts, slow):
        await wait_until(lambda: slow.calls, what="the first look at the store")
        await parts.answer(exchange(1))
    assert await parts.recorded() == ["Answer 1."]


async def test_whether_something_of_a_task_is_on_its_way_is_told(parts: Parts) -> None:
    await parts.answer(exchange(1))
    assert await parts.outbox.has_any(TRANSCRIPT, {"task-other", exchange(1).task_id})
    assert not await parts.outbox.has_any(TRANSCRIPT, {"task-other"})
    others = {f"turn:another-{number}": number for number in range(LOOKED_AT)}
    await parts.outbox._redis.zadd(parts.outbox._list(TRANSCRIPT), others)
    assert await parts.outbox.has_any(TRANSCRIPT, {"task-other"}), "nobody can tell where there are more"
