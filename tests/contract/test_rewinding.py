"""Orders to rewind: which step they mean, which threads they are for, and what a new thread is told then."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from tests.records import exchange, key
from worker.domain.conversations import EVERYTHING, Limits
from worker.domain.exchanges import Exchange
from worker.domain.threads import Cut, Entered, Thread, ThreadKey
from worker.ending import NothingToRewind, Rewinding, Rewound, Wish
from worker.errors import HistoryUnread
from worker.redis import RedisThreadIndex, RedisThreads
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.turn.reseed import History

ANALYST, CRITIC = key("i"), key("i", assistant="critic")
STEPS = [
    exchange(1, ANALYST, activity_id="frame"),
    exchange(2, CRITIC, activity_id="object", generation=2),
    exchange(3, ANALYST, activity_id="decide"),
    exchange(4, ANALYST, activity_id="decide", attempt=2, task_id="task-i-analyst-3"),
    exchange(5, CRITIC, activity_id="doubt", generation=2),
    exchange(6, ANALYST, activity_id="decide"),
    exchange(7, key("task:7"), activity_id="alone", process_instance_id="i"),
    exchange(8, key("business-key:order-1"), activity_id="order", process_instance_id="i"),
    exchange(9, ANALYST.branch, activity_id="", process_instance_id="i", user="maria"),
    exchange(10, ANALYST, activity_id="child_step", process_instance_id="called"),
]


class Desk:
    """A record, the threads in Redis, and who gives the orders."""

    def __init__(self, writer: SqlTranscriptWriter, reader: SqlTranscriptReader) -> None:
        redis, names = FakeAsyncRedis(decode_responses=True), {"prefix": "aw", "keep": timedelta(30)}
        self.writer = writer
        self.threads = RedisThreads(redis, lease=timedelta(minutes=1), **names)  # type: ignore[arg-type]  # by name
        index = RedisThreadIndex(redis, engine="default", lease=timedelta(1), **names)  # type: ignore[arg-type]  # by name
        self.history = History(reader, 1000)
        self.rewinding = Rewinding(index, reader)

    async def begin(self, thread: ThreadKey, generation: int = 1) -> Entered:
        """A thread of this key, and a task that is about to speak on it."""
        entry = await self.enter(thread)
        name = f"conv_{thread.assistant}"
        assert await self.threads.bind(entry.hold, Thread(name, generation), 0)
        return entry

    async def enter(self, thread: ThreadKey) -> Entered:
        entry = await self.threads.enter(thread, "next")
        assert isinstance(entry, Entered)
        return entry

    async def rewind(self, before: str, **wish: Any) -> dict[str, Rewound]:
        done = await self.rewinding.rewind(Wish("i", before, **wish), "ada", "moved", within=EVERYTHING)
        return {each.assistant: each for each in done}

    async def cut(self, thread: ThreadKey) -> int | None:
        """Where the thread is to be cut."""
        renewal = (await self.enter(thread)).renewal
        return renewal.before if renewal else None

    async def told(self, thread: ThreadKey, generation: int) -> list[str]:
        """The questions that the next thread of this key is told."""
        before = await self.cut(thread)
        assert before is not None
        seed = await self.history.seed(thread, cuts=[Cut(before, generation)])
        assert seed.left_out == 0
        return [each.text for each in seed.said if each.role == "user"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        writer = SqlTranscriptWriter(database)
        await writer.record(*STEPS)
        desk = Desk(writer, SqlTranscriptReader(database, engine="default"))
        await desk.begin(ANALYST)
        await desk.begin(CRITIC, 2)
        yield desk


async def test_without_more_said_it_is_the_latest_time_and_every_thread_of_the_instance(desk: Desk) -> None:
    done = await desk.rewind("decide")

    assert done == {
        "analyst": Rewound("i", "analyst", "conv_analyst"),
        "critic": Rewound("i", "critic", "conv_1", "nothing was said on it since"),
    }
    assert await desk.told(ANALYST, 2) == ["Question 1?", "Question 3?", "Question 4?"]
    renewal = (await desk.enter(ANALYST)).renewal
    assert renewal is not None
    assert (renewal.reason, renewal.by) == ("rewound to before decide: moved", "ada")


async def test_one_time_of_several_is_meant_where_it_is_named_and_repairs_are_of_the_same(desk: Desk) -> None:
    done = await desk.rewind("decide", attempt=1)

    assert [each.why for each in done.values()] == ["", ""]
    assert await desk.told(ANALYST, 2) == ["Question 1?"]
    assert await desk.told(CRITIC, 3) == ["Question 2?"], "by the time at which the step was asked"


async def test_one_assistants_thread_can_be_meant_alone(desk: Desk) -> None:
    assert list(await desk.rewind("decide", attempt=1, assistant="critic")) == ["critic"]
    assert await desk.cut(ANALYST) is None
    assert await desk.told(CRITIC, 3) == ["Question 2?"]


async def test_ordered_twice_is_ordered_once_and_a_later_order_counts(desk: Desk) -> None:
    await desk.rewind("decide")
    first = await desk.cut(ANALYST)
    await desk.rewind("decide")
    assert await desk.cut(ANALYST) == first
    await desk.rewind("frame")
    assert await desk.told(ANALYST, 2) == []


async def test_a_step_that_a_called_process_has_on_its_callers_thread_is_cut_off_there(desk: Desk) -> None:
    done = await desk.rewinding.rewind(Wish("called", "child_step"), "ada", within=EVERYTHING)
    assert [each.assistant for each in done if not each.why] == ["analyst"]
    assert (await desk.told(ANALYST, 2))[-1] == "Question 6?"


async def test_a_step_on_a_thread_of_its_own_or_a_shared_one_says_when_the_instances_are_cut(desk: Desk) -> None:
    for step in ("alone", "order"):
        done = await desk.rewind(step)
        assert (done["analyst"].why, done["critic"].why) == ("", "nothing was said on it since")
        assert (await desk.told(ANALYST, 2))[-1] == "Question 6?"


async def test_what_was_said_on_the_new_thread_is_told_to_the_next_and_what_was_cut_off_is_not(desk: Desk) -> None:
    await desk.rewind("decide", attempt=1)
    cut = await desk.cut(ANALYST)
    assert cut is not None
    again: Exchange = exchange(20, ANALYST, activity_id="decide", generation=2, cuts=(Cut(cut, 2),))
    late = exchange(19, ANALYST, activity_id="close", generation=1)
    await desk.writer.record(again, late)

    seed = await desk.history.seed(ANALYST)
    assert [each.text for each in seed.said if each.role == "user"] == ["Question 1?", "Question 20?"]
    assert seed.left_out == 0


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("i", "nowhere"), "nobody was asked at nowhere in instance i; there were frame, object, doubt"),
        (Wish("x", "decide"), "the transcript has nothing of instance x"),
        (Wish("i", "decide", attempt=3), "decide was asked 2 times in instance i"),
        (Wish("i", "decide", assistant="nobody"), "no assistant called nobody has a thread with instance i"),
    ],
)
async def test_what_is_not_there_is_said_with_what_there_is(desk: Desk, wish: Wish, said: str) -> None:
    with pytest.raises(NothingToRewind, match=said):
        await desk.rewinding.rewind(wish, "ada", within=EVERYTHING)


async def test_who_may_not_see_the_instance_finds_nothing_to_rewind(desk: Desk) -> None:
    with pytest.raises(NothingToRewind, match="has nothing of instance i"):
        await desk.rewinding.rewind(Wish("i", "decide"), "ada", within=Limits(frozenset({"north"})))
    assert await desk.cut(ANALYST) is None


async def test_nothing_is_ordered_while_what_was_said_last_is_on_its_way_to_the_record(desk: Desk) -> None:
    entry = await desk.enter(ANALYST)
    await desk.threads._list("default", f"aw:default:{{i:analyst}}:turn:{entry.hold.task_id}", ["transcript"])
    with pytest.raises(HistoryUnread, match="order it again in a moment"):
        await desk.rewind("decide")
    assert await desk.cut(ANALYST) is None


async def test_a_thread_that_redis_does_not_know_is_named(desk: Desk) -> None:
    await desk.writer.record(exchange(30, key("i", assistant="other"), activity_id="late"))
    done = await desk.rewind("decide")
    assert done["other"].why == "Redis knows no thread of it now"
