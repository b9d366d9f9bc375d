"""Whoever follows a conversation by the numbers of its messages hears each once, however late it was written."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.asks import ask
from tests.contract.transcript.conftest import Place
from tests.records import START, exchange, key
from tests.waiting import wait_until
from worker.domain.asks import State
from worker.domain.conversations import EVERYTHING, AsksSeen, Limits, MessageFilter, Subject, session_id
from worker.domain.exchanges import Exchange
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter
from worker.transcript.rows import message_rows, session_row
from worker.transcript.writing import _Written

ANALYST, CRITIC = key(), key(assistant="critic")
INSTANCE = MessageFilter(instance="instance-1")
SESSION = MessageFilter(session_id=session_id(ANALYST))


class Follower:
    """Reads what is new, and remembers how far it came in each session."""

    def __init__(self, conversations: SqlTranscriptReader, wanted: MessageFilter, within: Limits = EVERYTHING) -> None:
        self._conversations = conversations
        self._wanted = wanted
        self._within = within
        self.read: dict[str, int] = {}

    async def news(self, limit: int = 100) -> list[str]:
        found = await self._conversations.since(self._wanted, self.read, within=self._within, limit=limit)
        for number, message in found:
            self.read[message.session_id] = number
        return [message.content for _, message in found]


class SlowWrite:
    """An exchange that is written, but not committed before it is let go."""

    def __init__(self, database: Database, writer: SqlTranscriptWriter, said: Exchange) -> None:
        self._written, self._go = asyncio.Event(), asyncio.Event()
        self._record: Callable[[AsyncConnection], Awaitable[bool]] = partial(
            writer._record, [_Written(session_row(said), message_rows(said), is_talk=False)]
        )
        self._task = asyncio.create_task(database.write(self._work), name="slow write")

    async def _work(self, connection: AsyncConnection) -> None:
        await self._record(connection)
        self._written.set()
        await self._go.wait()

    async def written(self) -> None:
        await self._written.wait()

    async def commit(self) -> None:
        self._go.set()
        await self._task


async def test_each_message_comes_once_and_in_the_order_of_writing(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    follower = Follower(conversations, SESSION)
    assert await follower.news() == []
    await transcript.record(exchange(2))
    assert await follower.news() == ["Question 2?", "Answer 2."]
    await transcript.record(exchange(1), exchange(3))
    await transcript.record(exchange(1, CRITIC), exchange(2))
    assert await follower.news() == ["Question 1?", "Answer 1.", "Question 3?", "Answer 3."]
    assert await follower.news() == []


async def test_what_is_long_comes_in_parts_without_a_gap(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(*(exchange(number) for number in range(1, 6)))
    follower, heard = Follower(conversations, SESSION), list[str]()
    while news := await follower.news(limit=3):
        heard += news
    assert heard == [text for number in range(1, 6) for text in (f"Question {number}?", f"Answer {number}.")]


async def test_what_is_committed_late_is_not_missed_though_another_session_has_higher_numbers_by_then(
    place: Place, database: Database, transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1), exchange(1, CRITIC))
    follower = Follower(conversations, INSTANCE)
    assert len(await follower.news()) == 4

    slow = SlowWrite(database, transcript, exchange(2))
    await slow.written()
    quick = asyncio.create_task(transcript.record(exchange(2, CRITIC)), name="quick write")
    if not place.is_sqlite:  # which lets nobody write meanwhile
        await quick
        assert await follower.news() == ["Question 2?", "Answer 2."]
    highest = max(follower.read.values())
    await slow.commit()
    await quick

    found = await conversations.since(INSTANCE, follower.read, within=EVERYTHING)
    # Who goes by the highest number that it has seen anywhere misses them on PostgreSQL.
    assert [number > highest for number, _ in found] == ([True] * 4 if place.is_sqlite else [False] * 2)
    assert {message.session_id for _, message in found} >= {session_id(ANALYST)}
    assert (await follower.news())[:2] == ["Question 2?", "Answer 2."]


async def test_within_a_session_the_later_of_two_writers_waits_for_its_numbers(
    place: Place, database: Database, transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    follower = Follower(conversations, SESSION)
    await follower.news()

    slow = SlowWrite(database, transcript, exchange(2))
    await slow.written()
    second = asyncio.create_task(transcript.record(exchange(3)), name="second write")
    if not place.is_sqlite:
        await wait_until(lambda: place.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0")
    assert await follower.news() == []
    await slow.commit()
    await second

    assert await follower.news() == ["Question 2?", "Answer 2.", "Question 3?", "Answer 3."]


async def test_a_number_is_never_given_again_even_if_its_message_was_erased(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    shared = key("business-key:order-1")
    own = MessageFilter(session_id=session_id(shared))
    follower = Follower(conversations, own)
    await transcript.record(exchange(1, shared, process_instance_id="instance-1"))
    await transcript.record(exchange(2, shared, process_instance_id="instance-2"))
    assert len(await follower.news()) == 4

    await transcript.remove([Subject("default", instance="instance-2")])
    await transcript.record(exchange(3, shared, process_instance_id="instance-1"))
    assert await follower.news() == ["Question 3?", "Answer 3."]

    await transcript.remove([Subject("default", business_key="order-1")])
    await transcript.record(exchange(4, shared, process_instance_id="instance-1"))
    assert await follower.news() == ["Question 4?", "Answer 4."], "also where the session itself was made anew"


async def test_a_follower_hears_no_more_than_it_may_see(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    shared = key("business-key:order-1")
    await transcript.record(exchange(1), exchange(2, shared, process_instance_id="instance-1"))
    limited = Follower(conversations, INSTANCE, Limits(instances=frozenset(["instance-1"])))
    assert await limited.news() == ["Question 1?", "Answer 1."]
    assert await Follower(conversations, INSTANCE, Limits(tenants=frozenset(["north"]))).news() == []
    assert len(await Follower(conversations, INSTANCE).news()) == 4


async def test_it_is_cheap_to_ask_how_far_several_have_come(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    shared, over = key("business-key:order-1", tenant="north"), START + timedelta(days=1)
    await transcript.record(exchange(1), exchange(2, CRITIC), exchange(3, shared, process_instance_id="instance-1"))
    await transcript.record(exchange(4, shared, process_instance_id="instance-2"))
    await transcript.end([session_id(ANALYST), session_id(shared)], over)
    unknown = MessageFilter(session_id="0" * 32)

    found = await conversations.newest([SESSION, INSTANCE, unknown])

    follower = Follower(conversations, INSTANCE)
    await follower.news()
    assert unknown not in found
    assert [(each.key, each.session_id, each.ended_at) for each in found[SESSION]] == [
        (ANALYST, session_id(ANALYST), over)
    ]
    assert {each.session_id: each.number for each in found[INSTANCE]} == follower.read
    ends = {each.key: each.ended_at for each in found[INSTANCE]}
    assert ends == {ANALYST: over, CRITIC: None, shared: None}, "the end of a shared one is not the instance's"


@pytest.mark.parametrize("wanted", [SESSION, INSTANCE], ids=["session", "instance"])
async def test_it_is_seen_that_something_is_asked_and_each_change_of_that(
    database: Database, transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, wanted: MessageFilter
) -> None:
    await transcript.record(exchange(1), exchange(2, CRITIC))
    asks = SqlAsks(database, engine="default")

    async def seen() -> AsksSeen:
        found = {each.key: each.asked for each in (await conversations.newest([wanted]))[wanted]}
        assert found.get(CRITIC, AsksSeen()) == AsksSeen()
        return found[ANALYST]

    assert await seen() == AsksSeen()
    first, second = await asks.accept(ask("1")), await asks.accept(ask("2"))
    queued = await seen()
    assert (queued.last > 0, queued.queued, queued.running) == (True, 2, 0)
    [running] = await asks.claim(9, timedelta(minutes=1))
    assert await seen() == AsksSeen(queued.last, 1, 1)
    await asks.settle(running, State.ANSWERED, answer="m")
    assert await seen() == AsksSeen(queued.last, 1, 0)
    await asks.withdraw((second if running.id == first.id else first).id)
    assert await seen() == AsksSeen(queued.last)


@pytest.mark.parametrize("engine", ["default", "other"])
async def test_a_reader_of_one_engine_follows_no_other(
    database: Database, transcript: SqlTranscriptWriter, engine: str
) -> None:
    await transcript.record(exchange(1))
    bound = SqlTranscriptReader(database, engine=engine)
    assert len(await Follower(bound, INSTANCE).news()) == (2 if engine == "default" else 0)
    assert len(await bound.newest([INSTANCE, SESSION])) == (2 if engine == "default" else 0)
