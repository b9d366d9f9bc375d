"""Feeds: what a reader is told, in which order, and how it goes on after a cut. Nothing is missed or told twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.following import FakeRecord, FakeTasks, FakeWindows
from tests.records import START, key
from worker.domain.conversations import EVERYTHING, AsksSeen, Definitions, Limits, MessageFilter, session_id
from worker.domain.threads import ThreadKey
from worker.domain.watching import Speaker, TaskSeen, TurnSeen
from worker.errors import BadCursor
from worker.web.feeds.admission import TooMany
from worker.web.feeds.events import Event
from worker.web.feeds.feed import REVOKED, Feed
from worker.web.feeds.feeds import Feeds
from worker.web.feeds.place import Place

KEY, CRITIC = key(), key(assistant="critic")
SHARED = key("business-key:order-1")
SESSION = MessageFilter(session_id=session_id(KEY))
INSTANCE = MessageFilter(instance="instance-1")


class Reading:
    """One reader: everything it was told, until it is cut off."""

    def __init__(self, feed: Feed) -> None:
        self.events: list[Event] = []
        self.beats = 0
        self._feed = feed
        self._task = asyncio.create_task(self._read(), name="reader")

    async def _read(self) -> None:
        async for event in self._feed.events():
            if event is None:
                self.beats += 1
            else:
                self.events.append(event)

    async def cut(self) -> str:
        """Cut the reader off; returns the place that it goes on from."""
        self._task.cancel()
        await asyncio.wait({self._task})
        return next((each.place for each in reversed(self.events) if each.place), "")

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def all(self, *kinds: str) -> list[tuple[str, Any]]:
        """What was told of these kinds, in short."""
        return [(each.kind, _short(each)) for each in self.events if each.kind in kinds]

    @property
    def told(self) -> list[tuple[str, Any]]:
        return self.all("message", "delta", "restarted", "lost")

    @property
    def states(self) -> list[list[tuple[str, str]]]:
        return [
            [(step["task_id"], step["state"]) for step in each.data["steps"]]
            for each in self.events
            if each.kind == "state"
        ]


def _short(event: Event) -> Any:
    match event.kind:
        case "message":
            return event.data["content"]
        case "delta":
            return event.data["offset"], event.data["text"]
    return event.data.get("attempt")


class World:
    """A record, threads, an engine, and a worker's feeds on them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.record, self.windows, self.tasks = FakeRecord(), FakeWindows(), FakeTasks()
        self.trouble: dict[str, str] = {}
        self._stack = stack
        self.feeds: Feeds

    async def start(self, most: int = 10, most_each: int = 5) -> None:
        self.feeds = await self._stack.enter_async_context(
            Feeds(
                self.record,  # type: ignore[arg-type]  # the part of it that feeds use
                self.windows,
                engine="default",
                tasks=self.tasks,
                assistants=lambda: ["analyst", "critic"],
                trouble=self.trouble.get,
                most=most,
                most_each=most_each,
            )
        )

    def read(
        self,
        wanted: MessageFilter = SESSION,
        place: str | None = "",
        within: Limits = EVERYTHING,
        may_see: Callable[[], bool] = lambda: True,
    ) -> Reading:
        at = None if place is None else Place.load(place)

        async def allowed(_: object) -> Limits | str:
            return within if may_see() else REVOKED

        return Reading(Feed(self.feeds, wanted, within, at, allowed))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(stack)
        await world.start()
        yield world


def message(text: str) -> tuple[str, str]:
    return ("message", text)


def delta(offset: int, text: str) -> tuple[str, tuple[int, str]]:
    return ("delta", (offset, text))


async def test_what_was_said_comes_first_and_what_is_said_then_as_it_comes(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read()
    await asyncio.sleep(2)
    assert reader.told == [message("Question 1?"), message("Answer 1.")]
    world.record.record(2, KEY)
    world.record.record(1, CRITIC)
    await asyncio.sleep(2)
    assert reader.told[2:] == [message("Question 2?"), message("Answer 2.")]


async def test_who_wants_only_what_is_new_is_told_nothing_of_before(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    await asyncio.sleep(2)
    world.record.record(2, KEY)
    await asyncio.sleep(2)
    assert reader.told == [message("Question 2?"), message("Answer 2.")]


async def test_an_instance_is_read_along_with_all_who_speak_in_it(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(INSTANCE)
    world.record.record(2, CRITIC)
    await asyncio.sleep(2)
    assert [text for _, text in reader.told] == ["Question 1?", "Answer 1.", "Question 2?", "Answer 2."]


async def test_an_answer_is_heard_while_it_is_written_and_then_comes_whole(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    await asyncio.sleep(2)
    for text in ("Take ", "the cheap ", "one."):
        world.windows.tell(KEY, text, task="task-instance-1-analyst-2")
        await asyncio.sleep(1)
    world.windows.tell(KEY, "", task="task-instance-1-analyst-2", is_last=True)
    await asyncio.sleep(0.3)
    world.record.record(2, KEY, answer="Take the cheap one.")
    await asyncio.sleep(0.5)

    assert reader.told == [
        delta(0, "Take "),
        delta(5, "the cheap "),
        delta(15, "one."),
        message("Question 2?"),
        message("Take the cheap one."),
    ]


async def test_who_comes_in_the_middle_hears_all_of_it_at_once(world: World) -> None:
    world.record.record(1, KEY)
    world.windows.tell(KEY, "Take ")
    world.windows.tell(KEY, "the ")
    reader = world.read(place=None)
    await asyncio.sleep(2)
    assert reader.told == [delta(0, "Take the ")]


@pytest.mark.parametrize("cut_after", range(7))
@pytest.mark.parametrize("wanted", [SESSION, INSTANCE], ids=["session", "instance"])
async def test_a_reader_that_is_cut_off_goes_on_where_it_was(
    world: World, wanted: MessageFilter, cut_after: int
) -> None:
    def write() -> list[Callable[[], None]]:
        task = "task-instance-1-analyst-2"
        return [
            lambda: world.windows.tell(KEY, "Take ", task=task),
            lambda: world.windows.tell(KEY, "the ", task=task),
            lambda: world.windows.tell(KEY, "cheap one.", task=task),
            lambda: world.windows.tell(KEY, "", task=task, is_last=True),
            lambda: world.record.record(2, KEY, answer="Take the cheap one."),
            lambda: world.record.record(3, KEY),
        ]

    world.record.record(1, KEY)
    reader, told = world.read(wanted), list[tuple[str, Any]]()
    await asyncio.sleep(2)
    for number, step in enumerate(write()):
        if number == cut_after:
            place = await reader.cut()
            told += reader.told
            step()
            await asyncio.sleep(0.3)
            reader = world.read(wanted, place)
        else:
            step()
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    told += reader.told

    assert [each for each in told if each[0] == "message"] == [
        message(text)
        for text in ("Question 1?", "Answer 1.", "Question 2?", "Take the cheap one.", "Question 3?", "Answer 3.")
    ]
    heard = ""
    for kind, data in told:
        if kind == "delta":
            assert data[0] == len(heard), "neither a gap nor a repetition"
            heard += data[1]
    assert heard in ("Take the cheap one.", "Take the ", "Take "), "no more once the whole answer is there"
    assert not [each for each in told if each[0] in ("restarted", "lost")]


async def test_another_attempt_takes_back_what_was_heard(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    world.windows.tell(KEY, "Take ")
    await asyncio.sleep(1)
    world.windows.tell(KEY, "Rather ", attempt=2, run=2)
    await asyncio.sleep(1)
    assert reader.told == [delta(0, "Take "), ("restarted", 2), delta(0, "Rather ")]


async def test_a_reader_that_was_away_meanwhile_is_told_so_too(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    world.windows.tell(KEY, "Take ")
    await asyncio.sleep(1)
    place = await reader.cut()
    world.windows.tell(KEY, "Rather ", attempt=2, run=2)
    again = world.read(place=place)
    await asyncio.sleep(1)
    assert again.told == [("restarted", 2), delta(0, "Rather ")]


async def test_what_a_dead_worker_said_is_lost(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    world.windows.tell(KEY, "Take ")
    await asyncio.sleep(60)
    assert reader.told == [delta(0, "Take "), ("lost", 1)]
    late = world.read(place=None)
    await asyncio.sleep(2)
    assert late.told == [], "who comes later is not told of it"

    world.windows.tell(KEY, "Rather ", run=2)
    await asyncio.sleep(1)
    assert reader.told[2:] == [("restarted", 1), delta(0, "Rather ")]
    assert late.told == [delta(0, "Rather ")]


async def test_what_redis_has_forgotten_is_lost_to_whoever_heard_the_beginning(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    world.windows.tell(KEY, "Take ")
    await asyncio.sleep(1)
    place = await reader.cut()
    await asyncio.sleep(1)
    world.windows.told.clear()
    world.windows.told_at.clear()
    again = world.read(place=place)
    await asyncio.sleep(2)
    assert again.told == [("lost", None)]


async def test_an_answer_that_is_in_the_record_is_not_told_in_pieces_any_more(world: World) -> None:
    world.record.record(1, KEY)
    world.windows.tell(KEY, "Answer 1.", task="task-instance-1-analyst-1")
    reader = world.read()
    await asyncio.sleep(2)
    assert reader.told == [message("Question 1?"), message("Answer 1.")]


async def test_an_answer_that_is_recorded_late_takes_nothing_from_the_one_that_is_being_written(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    world.windows.tell(KEY, "Take ", task="task-instance-1-analyst-3")
    await asyncio.sleep(1)
    world.record.record(2, KEY)
    await asyncio.sleep(2)
    world.windows.tell(KEY, "it.", task="task-instance-1-analyst-3")
    await asyncio.sleep(1)
    assert reader.told == [delta(0, "Take "), message("Question 2?"), message("Answer 2."), delta(5, "it.")]


async def test_a_slow_reader_gets_what_came_meanwhile_in_one_piece(world: World) -> None:
    world.record.record(1, KEY)
    feed = Feed(world.feeds, SESSION, EVERYTHING, Place.load(""))
    events = feed.events()
    assert (await anext(events)) is not None
    for _ in range(50):
        world.windows.tell(KEY, "word ")
        await asyncio.sleep(0.5)
    told = [await anext(events) for _ in range(3)]
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert [(each.kind, _short(each)) for each in told if each and each.kind != "state"] == [
        message("Answer 1."),
        delta(0, "word " * 50),
    ]


async def test_how_far_a_turn_is_is_told_when_it_changes(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(place=None)
    await asyncio.sleep(2)
    for state, held, repair in (
        ("", True, False),
        ("intent", True, False),
        ("intent", True, True),
        ("answered", False, False),
        ("done", False, False),
    ):
        world.windows.turns[KEY] = TurnSeen("task-2", state, 1, is_held=held, is_repair=repair)
        await asyncio.sleep(1)

    words = ("preparing", "asking", "repairing", "delivering", "delivered")
    assert reader.states == [[], *([("task-2", word)] for word in words)]


async def test_a_turn_that_waits_for_its_provider_says_why(world: World) -> None:
    world.record.record(1, KEY)
    world.windows.turns[KEY] = TurnSeen("task-2", "intent", 1, is_held=False, is_repair=False)
    reader = world.read(place=None)
    await asyncio.sleep(2)
    world.trouble["analyst"] = "its quota is used up"
    await asyncio.sleep(2)
    assert reader.states == [[("task-2", "waiting")], [("task-2", "paused")]]
    assert reader.events[-1].data["steps"][0]["text"] == "its quota is used up"


async def test_an_instance_shows_its_tasks_with_what_the_engine_says_of_them(world: World) -> None:
    world.record.record(1, KEY)
    world.windows.turns[KEY] = TurnSeen("task-2", "intent", 2, is_held=True, is_repair=False)
    world.tasks.known["instance-1"] = [
        TaskSeen("task-2", "decide", None, 2, "it took too long"),
        TaskSeen("task-3", "check", None, None, ""),
        TaskSeen("task-4", "send", None, 0, "the file is too large"),
    ]
    reader = world.read(INSTANCE, place=None)
    await asyncio.sleep(5)

    steps = reader.events[-1].data["steps"]
    assert [(each["activity_id"], each["state"], each["attempt"], each["text"]) for each in steps] == [
        ("decide", "asking", 2, ""),
        ("check", "waiting", None, ""),
        ("send", "incident", None, "the file is too large"),
    ]
    assert [(each["session_id"], each["assistant"]) for each in steps] == [
        (session_id(KEY), "analyst"),
        (None, None),
        (None, None),
    ]


async def test_an_instance_is_heard_before_anything_was_recorded_of_it(world: World) -> None:
    world.tasks.known["instance-1"] = [TaskSeen("task-1", "frame", "north", None, "")]
    reader = world.read(INSTANCE)
    await asyncio.sleep(5)
    world.windows.tell(key(tenant="north"), "Take ")
    await asyncio.sleep(1)
    assert reader.told == [delta(0, "Take ")]


async def test_on_a_shared_thread_an_instance_hears_its_own_tasks_only(world: World) -> None:
    world.record.record(1, SHARED, process_instance_id="instance-1")
    world.tasks.known["instance-1"] = [TaskSeen("mine", "decide", None, None, "")]
    reader = world.read(INSTANCE, place=None)
    await asyncio.sleep(5)
    world.windows.turns[SHARED] = TurnSeen("others", "intent", 1, is_held=True, is_repair=False)
    world.windows.tell(SHARED, "Not for you.", task="others")
    await asyncio.sleep(2)
    assert reader.told == []
    assert reader.states[-1] == [("mine", "waiting")]
    world.windows.tell(SHARED, "For you.", task="mine", run=2)
    await asyncio.sleep(2)
    assert reader.told == [delta(0, "For you.")]


async def test_a_reader_with_limits_hears_nothing_that_it_may_not_read(world: World) -> None:
    world.record.record(1, KEY)
    world.record.record(2, SHARED, process_instance_id="instance-1")
    world.tasks.known["instance-1"] = [TaskSeen("task-1", "decide", None, None, "")]
    limited = world.read(INSTANCE, within=Limits(instances=frozenset(["instance-1"])))
    of_others = world.read(INSTANCE, within=Limits(tenants=frozenset(["north"])))
    await asyncio.sleep(5)
    for each in (KEY, SHARED):
        world.windows.tell(each, f"for {each.scope}")
    await asyncio.sleep(2)
    assert limited.told == [message("Question 1?"), message("Answer 1."), delta(0, "for instance-1")]
    assert of_others.told == []


def drones(running: bool = True) -> Limits:
    """Who may see the process drones alone."""
    keys = frozenset(["drones"])
    return Limits(definitions=Definitions(running=keys) if running else Definitions(ended=keys))


def turn_of(whose: Speaker | None, task: str) -> TurnSeen:
    return TurnSeen(task, "intent", 1, is_held=True, is_repair=False, whose=whose)


OWN, CALLED = Speaker("drones", "instance-1"), Speaker("heat", "called")


@pytest.mark.parametrize("wanted", [SESSION, INSTANCE], ids=["session", "instance"])
@pytest.mark.parametrize("whose", [CALLED, Speaker("heat", "instance-1"), None], ids=["called", "migrated", "unknown"])
async def test_of_a_process_that_may_not_be_seen_nothing_is_heard_while_it_speaks(
    world: World, wanted: MessageFilter, whose: Speaker | None
) -> None:
    world.record.record(1, KEY)
    limited, of_all = world.read(wanted, place=None, within=drones()), world.read(wanted, place=None)
    await asyncio.sleep(2)
    world.windows.turns[KEY] = turn_of(OWN, "mine")
    world.windows.tell(KEY, "For you.", task="mine")
    await asyncio.sleep(2)
    assert limited.told == [delta(0, "For you.")]
    world.windows.turns[KEY] = turn_of(whose, "others")
    world.windows.tell(KEY, "Not for you.", task="others", run=2)
    await asyncio.sleep(2)
    assert of_all.told[1:] == [("restarted", 1), delta(0, "Not for you.")]
    # They are known there now, and the record may not have them yet.
    world.windows.turns[KEY] = turn_of(OWN, "next")
    world.windows.tell(KEY, "They said", task="next", run=3)
    await asyncio.sleep(2)
    assert (len(limited.told) > 1) is (whose is None)
    assert limited.states == [[], [("mine", "asking")], [], [("next", "asking")]]


async def test_whose_words_they_are_may_be_told_behind_them(world: World) -> None:
    world.record.record(1, KEY)
    limited = world.read(place=None, within=drones())
    await asyncio.sleep(2)
    world.windows.tell(KEY, "For ", task="mine")
    await asyncio.sleep(2)
    assert limited.told == []
    world.windows.turns[KEY] = turn_of(OWN, "mine")
    await asyncio.sleep(2)
    world.windows.turns[KEY] = turn_of(None, "next")
    world.windows.tell(KEY, "you.", task="mine")
    await asyncio.sleep(2)
    assert limited.told == [delta(0, "For "), delta(4, "you.")]


@pytest.mark.parametrize("thread", [KEY, KEY.branch], ids=["there", "beside it"])
async def test_where_a_process_has_spoken_that_may_not_be_seen_nothing_is_heard_any_more(
    world: World, thread: ThreadKey
) -> None:
    world.record.record(1, thread, process_instance_id="instance-1")
    world.record.record(2, KEY)
    limited = world.read(INSTANCE, place=None, within=drones())
    await asyncio.sleep(2)
    world.windows.turns[thread] = turn_of(OWN, "mine")
    world.windows.tell(thread, "For you.", task="mine")
    await asyncio.sleep(2)
    # In the same moment as the next words: the last look at the record did not have it.
    world.record.record(3, KEY, definition_key="heat", process_instance_id="called")
    world.windows.tell(thread, "Heat says that", task="mine")
    await asyncio.sleep(2)
    assert limited.told == [delta(0, "For you.")]


async def test_steps_are_those_of_processes_that_may_be_seen(world: World) -> None:
    world.record.record(1, KEY)
    world.tasks.known["instance-1"] = [
        TaskSeen("mine", "decide", None, None, "", "drones"),
        TaskSeen("moved", "send", None, 0, "the file is too large", "heat"),
    ]
    limited, of_all = world.read(INSTANCE, place=None, within=drones()), world.read(INSTANCE, place=None)
    await asyncio.sleep(5)
    assert limited.states[-1] == [("mine", "waiting")]
    assert of_all.states[-1] == [("mine", "waiting"), ("moved", "incident")]


async def test_what_is_over_is_talked_about_before_those_who_may_see_that(world: World) -> None:
    world.record.record(1, KEY)
    world.record.ends[session_id(KEY)] = START
    seeing, blind = (world.read(place=None, within=drones(running=running)) for running in (False, True))
    await asyncio.sleep(2)
    world.windows.turns[KEY] = turn_of(OWN, "ask")
    world.windows.tell(KEY, "It was cheap.", task="ask")
    await asyncio.sleep(2)
    assert (seeing.told, blind.told) == ([delta(0, "It was cheap.")], [])


def asks_told(reader: Reading) -> list[tuple[str, int, int]]:
    """What a reader was told of asks."""
    told = [each.data for each in reader.events if each.kind == "asks"]
    return [(each["session_id"], each["queued"], each["running"]) for each in told]


@pytest.mark.parametrize("wanted", [SESSION, INSTANCE], ids=["session", "instance"])
async def test_what_persons_ask_is_told_when_it_changes_and_to_who_comes_later(
    world: World, wanted: MessageFilter
) -> None:
    own = session_id(KEY)
    world.record.record(1, KEY)
    reader = world.read(wanted, place=None)
    await asyncio.sleep(2)
    assert asks_told(reader) == [], "nobody has asked anything"
    for seen in (AsksSeen(7, queued=1), AsksSeen(7, running=1), AsksSeen(7), AsksSeen(7)):
        world.record.asked[own] = seen
        await asyncio.sleep(2)
    assert asks_told(reader) == [(own, 1, 0), (own, 0, 1), (own, 0, 0)]
    later = world.read(wanted, place=None)
    await asyncio.sleep(2)
    assert asks_told(later) == [(own, 0, 0)]


async def test_what_is_asked_where_somebody_may_not_see_it_is_not_told_them(world: World) -> None:
    world.record.record(1, KEY)
    world.record.record(2, SHARED, process_instance_id="instance-1")
    world.record.record(3, CRITIC)
    world.record.record(4, CRITIC, process_instance_id="called", definition_id="heat:1:7")
    limited = world.read(INSTANCE, place=None, within=Limits(instances=frozenset(["instance-1"])))
    of_drones = world.read(INSTANCE, place=None, within=drones())
    await asyncio.sleep(2)
    for each in (KEY, SHARED, CRITIC):
        world.record.asked[session_id(each)] = AsksSeen(7, queued=1)
    await asyncio.sleep(2)
    assert {name for name, *_ in asks_told(limited)} == {session_id(KEY), session_id(CRITIC)}
    assert session_id(CRITIC) not in {name for name, *_ in asks_told(of_drones)}
    assert session_id(KEY) in {name for name, *_ in asks_told(of_drones)}


async def test_the_end_is_told_and_that_it_goes_on_again(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read(INSTANCE, place=None)
    await asyncio.sleep(2)
    world.record.ends[session_id(KEY)] = START
    await asyncio.sleep(2)
    assert [each.data for each in reader.events if each.kind == "ended"] == [{"at": START.isoformat()}]
    world.record.ends.clear()
    world.record.record(2, KEY)
    await asyncio.sleep(2)
    world.record.ends[session_id(KEY)] = START + timedelta(days=1)
    await asyncio.sleep(2)
    assert len([each for each in reader.events if each.kind == "ended"]) == 2


@pytest.mark.parametrize("part", ["record", "windows", "tasks"])
async def test_what_is_away_for_a_while_costs_nothing_but_time(world: World, part: str) -> None:
    world.record.record(1, KEY)
    reader = world.read(INSTANCE, place=None)
    await asyncio.sleep(2)
    getattr(world, part).is_down = True
    world.record.record(2, KEY)
    world.windows.tell(KEY, "Take ")
    await asyncio.sleep(10)
    getattr(world, part).is_down = False
    world.windows.tell(KEY, "it.")
    await asyncio.sleep(5)
    assert reader.all("message") == [message("Question 2?"), message("Answer 2.")]
    assert "".join(data[1] for _, data in reader.all("delta")) == "Take it."


async def test_a_feed_that_begins_while_the_record_is_away_waits_for_it(world: World) -> None:
    world.record.record(1, KEY)
    world.record.is_down = True
    reader = world.read(place=None)
    await asyncio.sleep(10)
    world.record.is_down = False
    await asyncio.sleep(2)
    world.record.record(2, KEY)
    await asyncio.sleep(2)
    assert reader.told == [message("Question 2?"), message("Answer 2.")]


async def test_a_feed_says_why_it_ends(world: World) -> None:
    world.record.record(1, KEY)
    allowed = [True]
    revoked = world.read(may_see=lambda: allowed[0])
    erased = world.read(MessageFilter(session_id=session_id(CRITIC)))
    world.record.record(1, CRITIC)
    stopped = world.read()
    await asyncio.sleep(2)
    world.record.said = [each for each in world.record.said if each[1] != CRITIC]
    await asyncio.sleep(2)
    assert erased.is_over
    allowed[0] = False
    await asyncio.sleep(20)
    assert revoked.is_over
    assert not stopped.is_over
    world.feeds.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stopped.is_over
    reasons = [each.events[-1].data["reason"] for each in (erased, revoked, stopped)]
    assert [reason.split()[-1] for reason in reasons] == ["erased.", "ended.", "place."]


async def test_a_quiet_feed_shows_that_it_lives(world: World) -> None:
    world.record.record(1, KEY)
    reader = world.read()
    await asyncio.sleep(61)
    assert reader.beats == 4


async def test_what_is_heard_of_an_answer_costs_no_read_of_the_record(world: World) -> None:
    world.record.record(1, KEY)
    readers = [world.read(place=None) for _ in range(5)]
    await asyncio.sleep(5)
    reads = world.record.reads
    for _ in range(60):
        world.windows.tell(KEY, "word ")
        await asyncio.sleep(1)
    assert all(len(each.told) == 60 for each in readers)
    assert world.record.reads - reads <= 61


async def test_there_are_so_many_feeds_and_so_many_of_one_person(world: World) -> None:
    async def opened(person: str, count: int, stack: AsyncExitStack) -> None:
        for _ in range(count):
            await stack.enter_async_context(world.feeds.admitted(person))

    async with AsyncExitStack() as first, AsyncExitStack() as others:
        await opened("a", 3, first)
        await opened("a", 2, others)
        with pytest.raises(TooMany, match="5 feeds of yours"):
            await opened("a", 1, others)
        await opened("b", 5, others)
        with pytest.raises(TooMany, match="no room"):
            await opened("c", 1, others)
        await others.aclose()
        await opened("a", 1, first)


async def test_nothing_is_looked_at_that_nobody_reads(world: World) -> None:
    world.record.record(1, KEY)
    await asyncio.sleep(10)
    assert (world.record.reads, world.windows.looks) == (0, [])
    reader = world.read()
    await asyncio.sleep(2)
    await reader.cut()
    await asyncio.sleep(2)
    reads, looks = world.record.reads, len(world.windows.looks)
    await asyncio.sleep(60)
    assert (world.record.reads, len(world.windows.looks)) == (reads, looks)


async def test_many_readers_of_one_thing_are_one_look(world: World) -> None:
    world.record.record(1, KEY)
    readers = [world.read(place=None) for _ in range(20)]
    await asyncio.sleep(5)
    reads, looks = world.record.reads, len(world.windows.looks)
    await asyncio.sleep(60)
    assert world.record.reads - reads <= 61, "one a second for all"
    assert len(world.windows.looks) - looks <= 60 / 0.15
    assert all(each.beats for each in readers)


async def test_an_answer_that_lands_is_read_once_for_all_who_read_along(world: World) -> None:
    world.record.record(1, KEY)
    readers = [world.read() for _ in range(20)]
    await asyncio.sleep(5)
    reads = world.record.reads
    world.record.record(2, KEY)
    await asyncio.sleep(5)
    assert all(each.told[-1] == message("Answer 2.") for each in readers)
    assert world.record.reads - reads <= 5 + 1 + 1, "one a second for all, and one more of what is new"


@pytest.mark.parametrize("text", ["x", "AAAA", "~", "~abc", "~" + "0" * 32 + ":x-1:3", "é", "=" * 8000])
def test_a_place_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        Place.load(text)


def test_a_place_is_the_same_when_it_comes_back() -> None:
    place = Place({session_id(KEY): 7, session_id(CRITIC): 2**40}, {session_id(KEY): ("0123456789ab-3", 12_345)})
    assert Place.load(place.dump()) == place
    assert Place.load("") == Place()
    assert place.dump().isascii()
    assert not set(place.dump()) & set(" %&=#+\r\n")
