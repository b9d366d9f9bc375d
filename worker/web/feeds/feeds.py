"""Everybody who reads along at this worker: one look at record, Redis and engine for all of them together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

import structlog

from worker.chat.visiting import Visiting
from worker.domain.conversations import AsksSeen, Limits, Message, MessageFilter, Newest, session_id
from worker.domain.people import Person
from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, Speaker, Step, TaskSeen
from worker.errors import ReadRefused, Transient
from worker.ports.admission import FeedCounts
from worker.ports.transcript import TranscriptReader
from worker.ports.watching import Tasks, Windows
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.runtime.pauses import set_within
from worker.telemetry.logs import Event, trace
from worker.web.feeds.admission import Admission
from worker.web.feeds.live import Live
from worker.web.feeds.steps import steps

RECORD_SECONDS = 1.0
LANDING_SECONDS = 0.2
"""Between two looks at the record, in general and while an answer that was heard is on its way there."""
LANDS_WITHIN_SECONDS = 5.0
WINDOW_SECONDS = 0.15
WINDOW_SECONDS_EACH = 0.003
"""Between two looks at threads, and for each of many, so that they take their share of the loop and no more."""
QUIET_ROUNDS = 3
"""A thread on which nothing goes on is looked at in one of so many rounds."""
READS_AT_ONCE = 4
"""Of the record: its other readers have more connections than that."""
ENGINE_SECONDS = 3.0
PATIENCE_SECONDS = 5.0

T = TypeVar("T")
Trouble = Callable[[str], str | None]
"""Why an assistant's provider cannot be asked now, None if it can."""

log = structlog.get_logger()


@dataclass(slots=True)
class Topic:
    """What some read along: a session or an instance. `news` are theirs, one each, set where there may be something.

    `newest` is of the record, from when on it `is_known`. `guessed` are threads on which nothing was said yet, as far
    as the record knows. `steps` is None before anybody has looked.
    """

    wanted: MessageFilter
    news: list[asyncio.Event] = field(default_factory=list)
    newest: Mapping[str, Newest] = field(default_factory=dict)
    guessed: Mapping[str, Newest] = field(default_factory=dict)
    tasks: Sequence[TaskSeen] = ()
    steps: Sequence[Step] | None = None
    is_known: bool = False
    is_gone: bool = False

    @property
    def threads(self) -> Mapping[str, Newest]:
        """All threads of it."""
        return {**self.guessed, **self.newest}

    @property
    def ended_at(self) -> datetime | None:
        """When all of it has ended that has an end of its own; None while it goes on, or if nobody knows."""
        ends = [each.ended_at for each in self.newest.values() if not self._is_shared(each)]
        return max(filter(None, ends), default=None) if None not in ends else None

    def concerns(self, thread: Newest, task_id: str) -> bool:
        """Whether a task on one of its threads is its own: on one that it shares others have tasks, too."""
        return not self._is_shared(thread) or any(each.id == task_id for each in self.tasks)

    def _is_shared(self, thread: Newest) -> bool:
        return self.wanted.instance is not None and thread.process_instance_id != self.wanted.instance

    def wake(self) -> None:
        """Say that there may be something."""
        for each in self.news:
            each.set()


def _speaks_within(thread: Newest, whose: Speaker | None, within: Limits) -> bool:
    """Whether who speaks on a thread may be seen: nobody of whom it is not known whether they may."""
    if within.definitions is None or thread.key.person is not None:
        return True
    runs = thread.ended_at is None
    return whose is not None and within.definitions.has(whose.definition_key, whose.instance, runs=runs)


class Feeds:
    """Knows what is read along, and looks at that. Inside of its block it works; it ends when the block does.

    `most` feeds may be open here, and `most_each` of one person at all workers that `counts` know of. Without `tasks`
    nothing is asked of the engine, whose name is `engine`. `assistants` are the names of those that may begin to speak.
    `visiting` hears who is at which session.
    """

    def __init__(
        self,
        conversations: TranscriptReader,
        windows: Windows,
        *,
        engine: str,
        tasks: Tasks | None = None,
        assistants: Callable[[], Collection[str]] = tuple,
        trouble: Trouble = lambda _: None,
        most: int,
        most_each: int,
        visiting: Visiting | None = None,
        counts: FeedCounts | None = None,
    ) -> None:
        self._visiting = visiting
        self._admission = Admission(most, most_each, counts)
        self.conversations = conversations
        self._reads: dict[Hashable, asyncio.Task[Any]] = {}
        self._room = asyncio.Semaphore(READS_AT_ONCE)
        self._windows = windows
        self._engine = engine
        self._tasks = tasks
        self._assistants = assistants
        self._trouble = trouble
        self._topics: dict[MessageFilter, Topic] = {}
        self._lives: dict[str, Live] = {}
        self._any, self._look_soon = asyncio.Event(), asyncio.Event()
        self._lands_until = float("-inf")
        self._stack = AsyncExitStack()
        self.is_closing = False

    async def __aenter__(self) -> Self:
        """Begin to look."""
        work = {
            "record": self._follow_record(),
            "threads": self._follow_threads(),
            "engine": self._follow_engine(),
            "counts": self._follow_counts(),
        }
        for name, looking in work.items():
            await self._stack.enter_async_context(background.running(looking, f"feeds: {name}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no more."""
        self.close()
        await self._stack.aclose()
        await self._admission.close()
        await asyncio.gather(*self._reads.values(), return_exceptions=True)

    async def unread(
        self, wanted: MessageFilter, read: Mapping[str, int], within: Limits
    ) -> Sequence[tuple[int, Message]]:
        """Return what the record has behind these numbers of sessions, see `TranscriptReader.since`."""
        since = partial(self.conversations.since, wanted, dict(read), within=within)
        return await self._once((wanted, frozenset(read.items()), within), since)

    async def newest(self, *wanted: MessageFilter) -> Mapping[MessageFilter, Sequence[Newest]]:
        """Return how far the record is, see `TranscriptReader.newest`."""
        return await self._once(frozenset(wanted), partial(self.conversations.newest, wanted))

    async def _once(self, name: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return what a read of the record returns: one for all who want the same at the same time, as many do when an
        answer lands. It comes to its end even if they are gone by then: to break one off costs a connection.
        """
        task = self._reads.get(name)
        if task is None:
            task = self._reads[name] = asyncio.create_task(self._in_turn(read), name="feeds: a read")
            task.add_done_callback(lambda _: self._reads.pop(name))
        return await asyncio.shield(task)

    async def _in_turn(self, read: Callable[[], Awaitable[T]]) -> T:
        async with self._room:
            return await read()

    def close(self) -> None:
        """Have every feed end, and let none begin."""
        self.is_closing = True
        for topic in self._topics.values():
            topic.wake()

    def admitted(self, person: str, *, shared: bool = True) -> AbstractAsyncContextManager[None]:
        """See `Admission.admitted`."""
        return self._admission.admitted(person, shared=shared)

    def visited(self, wanted: MessageFilter, person: Person) -> AbstractContextManager[None]:
        """Have a person be at what is read along inside of the block, if it is a session."""
        if self._visiting is None or wanted.session_id is None:
            return nullcontext()
        return self._visiting.at(wanted.session_id, person)

    @contextmanager
    def watching(self, wanted: MessageFilter) -> Iterator[tuple[Topic, asyncio.Event]]:
        """Watch something inside of the block: the event is set where there may be something new."""
        topic, news = self._topics.setdefault(wanted, Topic(wanted)), asyncio.Event()
        topic.news.append(news)
        self._any.set()
        self._look_soon.set()
        try:
            yield topic, news
        finally:
            topic.news.remove(news)
            if not topic.news:
                del self._topics[wanted]
                self._watch()

    async def sees(self, wanted: MessageFilter, within: Limits) -> bool:
        """Whether the record has this to be read along by who may see so much. Raises TranscriptDown."""
        read: Callable[[], Awaitable[object]]
        if wanted.session_id is not None:
            read = partial(self.conversations.session, wanted.session_id, within=within)
        else:
            read = partial(self.conversations.instance, str(wanted.instance), within=within)
        return await self._once(("sees", wanted, within), read) is not None

    async def heard(self, topic: Topic, within: Limits) -> Sequence[tuple[str, Live]]:
        """Find what was said there up to now that concerns it, as far as it may be seen. Raises TranscriptDown."""
        lives = [(session, live) for session, live in self._on(topic) if self._may_hear(topic, session, within)]
        if not lives or within.definitions is None:
            return lives
        # As they are now, and asked behind them: an answer may repeat what has hidden its conversation meanwhile.
        lives = [(session, replace(live)) for session, live in lives]
        hidden = await self._hidden(frozenset(session for session, _ in lives), within)
        return [(session, live) for session, live in lives if session not in hidden]

    async def asked(
        self, topic: Topic, known: Mapping[str, AsksSeen], within: Limits
    ) -> tuple[Mapping[str, AsksSeen], Collection[str]]:
        """Find of which threads of it what persons asked is not as it is `known`, and which of these may not be seen.

        Raises TranscriptDown.
        """
        changed = {name: each for name, each in topic.newest.items() if each.asked != known.get(name, AsksSeen())}
        hidden = {name for name, each in changed.items() if not each.is_within(within)}
        if within.definitions is not None and (shown := frozenset(changed.keys() - hidden)):
            hidden |= {*await self._hidden(shown, within)}
        return {name: each.asked for name, each in changed.items()}, hidden

    async def _hidden(self, sessions: frozenset[str], within: Limits) -> Collection[str]:
        read = partial(self.conversations.hidden, sessions, within=within)
        return await self._once(("hidden", sessions, within), read)

    def _on(self, topic: Topic) -> Iterator[tuple[str, Live]]:
        """Name the threads on which something is said that concerns it."""
        for session, thread in topic.threads.items():
            live = self._lives.get(session)
            if live is not None and topic.concerns(thread, live.task_id):
                yield session, live

    def _may_hear(self, topic: Topic, session: str, within: Limits) -> bool:
        """Whether a reader may hear whose words these are, and of whom they may tell, before the record has them."""
        thread, live = topic.threads[session], self._lives[session]
        whose = (live.speakers.get(live.task_id), *live.spoke)
        return thread.is_within(within) and all(_speaks_within(thread, each, within) for each in whose)

    def steps(self, topic: Topic, within: Limits) -> Sequence[Step] | None:
        """List the steps of processes that may be seen; None before anybody has looked."""
        if topic.steps is None or within.definitions is None:
            return topic.steps
        tasks = {each.id: Speaker(each.definition_key, topic.wanted.instance or "") for each in topic.tasks}
        return [each for each in topic.steps if self._is_step_of(each, topic, tasks.get(each.task_id), within)]

    def _is_step_of(self, step: Step, topic: Topic, whose: Speaker | None, within: Limits) -> bool:
        if whose is not None and within.definitions is not None:
            return within.definitions.has(whose.definition_key, whose.instance, runs=True)
        thread, live = topic.threads.get(step.session_id or ""), self._lives.get(step.session_id or "")
        return (
            thread is not None and live is not None and _speaks_within(thread, live.speakers.get(step.task_id), within)
        )

    def live(self, session: str) -> Live | None:
        """Find what is being said there, if it is watched."""
        return self._lives.get(session)

    def _watch(self) -> None:
        """Watch all threads of all topics, and no others."""
        watched = {name: each.key for topic in self._topics.values() for name, each in topic.threads.items()}
        self._lives = {name: self._lives.get(name) or Live(key) for name, key in watched.items()}
        if not self._topics:
            self._any.clear()

    async def _follow_record(self) -> None:
        while True:
            await self._any.wait()
            self._look_soon.clear()
            await self._tried(self._look_at_record, "the record")
            pause = LANDING_SECONDS if monotonic() < self._lands_until else RECORD_SECONDS
            await set_within(self._look_soon, pause)

    async def _look_at_record(self) -> None:
        found = await self.newest(*self._topics)
        for wanted, topic in self._topics.items():
            topic.is_known = True
            newest = {each.session_id: each for each in found.get(wanted, ())}
            if newest != topic.newest:
                topic.is_gone = not newest and wanted.session_id is not None
                topic.newest = newest
                topic.wake()
        self._watch()

    async def _follow_threads(self) -> None:
        round_ = 0
        while True:
            await self._any.wait()
            # On a quiet thread a call begins some time after its turn.
            everywhere = round_ % QUIET_ROUNDS == 0
            some = {name: live for name, live in self._lives.items() if everywhere or not live.is_quiet}
            await self._tried(partial(self._look_at_threads, some), "the threads")
            await asyncio.sleep(max(WINDOW_SECONDS, WINDOW_SECONDS_EACH * len(some)))
            round_ += 1

    async def _look_at_threads(self, lives: Mapping[str, Live]) -> None:
        looks = await asyncio.gather(*(self._windows.look(live.key, live.last) for live in lives.values()))
        pairs = zip(lives.items(), looks, strict=True)
        changed = {session for (session, live), look in pairs if self._heard(live, look)}
        for topic in self._topics.values():
            if not changed.isdisjoint(topic.threads):
                topic.wake()
            if not lives.keys().isdisjoint(topic.threads):
                self._tell_steps(topic)

    def _heard(self, live: Live, look: Look) -> bool:
        was_over, held = live.is_over, live.last.turn is not None and live.last.turn.is_held
        changed = live.hear(look)
        if (live.is_over and not was_over) or (held and look.turn is not None and not look.turn.is_held):
            self._lands_until = monotonic() + LANDS_WITHIN_SECONDS
            self._look_soon.set()
        return changed

    async def _follow_engine(self) -> None:
        while self._tasks is not None:
            await self._any.wait()
            await self._tried(self._look_at_engine, "the engine")
            await asyncio.sleep(ENGINE_SECONDS)

    async def _look_at_engine(self) -> None:
        assert self._tasks is not None  # noqa: S101 - see above
        topics = {topic.wanted.instance: topic for topic in self._topics.values() if topic.wanted.instance}
        if not topics:
            return
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await self._tasks.waiting([*topics])
        for instance, topic in topics.items():
            topic.tasks = found.get(instance, ())
            topic.guessed = {each.session_id: each for each in self._guessed(instance, topic.tasks)}
            self._tell_steps(topic)
        self._watch()

    def _guessed(self, instance: str, tasks: Sequence[TaskSeen]) -> Iterator[Newest]:
        """Name the threads that an instance may begin: most have it as their scope."""
        for tenant in {each.tenant for each in tasks}:
            for assistant in self._assistants():
                key = ThreadKey(self._engine, instance, assistant, tenant)
                yield Newest(session_id(key), key, instance, 0, None)

    def _tell_steps(self, topic: Topic) -> None:
        turns = [
            (session, live.key, live.last.turn)
            for session, thread in topic.threads.items()
            if (live := self._lives.get(session)) is not None
            and live.last.turn is not None
            and topic.concerns(thread, live.last.turn.task_id)
        ]
        now = steps(turns, topic.tasks, self._trouble)
        if now != topic.steps and topic.is_known and all(self._is_seen(session) for session in topic.newest):
            topic.steps = now
            topic.wake()

    def _is_seen(self, session: str) -> bool:
        live = self._lives.get(session)
        return live is not None and live.was_looked_at

    async def _follow_counts(self) -> None:
        while True:
            await self._admission.until_due()
            await self._tried(self._admission.tell, "counts of feeds")

    async def _tried(self, look: Callable[[], Awaitable[None]], where: str) -> None:
        """Look; who reads along hears less while that is not possible, and misses nothing of the record."""
        try:
            await look()
        except (Transient, ReadRefused, TimeoutError):
            pass  # said by those whose work it stops
        except Exception as exc:  # noqa: BLE001 - its text may quote what was said
            log.error(Event.FEEDS_CRASHED, where=where, trace=trace(exc))
