"""What ends conversations, put together as `worker.bootstrap` does, and what there is to end in every store."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count

from tests.core.rig import KEEP, Core
from tests.fakes.clock import now
from tests.fakes.engine import LOCK
from tests.fakes.instances import FakeInstances, Process
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredEnding, AnchoredProvider
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, Session, Subject
from worker.domain.endings import Receipt, Step, Store
from worker.domain.exchanges import Exchange, Utterance
from worker.domain.threads import Answer, Entered, Thread, ThreadKey
from worker.ending import EndingPorts, Eraser, Keeper, Pace, Policy, Retention, Round
from worker.ending.ends import Ends
from worker.ending.rounds import Kind
from worker.redis import RedisAnchors, RedisOrders, RedisThreadIndex
from worker.transcript import (
    Database,
    SqlAnchors,
    SqlAsks,
    SqlDecisions,
    SqlFacts,
    SqlMemos,
    SqlTranscriptReader,
    SqlTranscriptWriter,
    SqlVisits,
)


class Closing:
    """The ground on which conversations end. `ports` may be changed before somebody is asked for who uses them.

    Workers of several engines may stand on it, by their names, each with a `Closing` of its own.
    """

    def __init__(self, core: Core, database: Database, engine: str = "default") -> None:
        self.core = core
        self.engine = engine
        self.provider = core.provider
        self.redis = core.redis
        self.instances = FakeInstances()
        self.transcript = SqlTranscriptWriter(database)
        self.conversations = SqlTranscriptReader(database)
        self.database = database
        self._tasks = count(1)
        names = {"engine": engine, "provider": "openai"}
        self.account = Account(
            core.provider, RedisAnchors(core.redis, prefix="aw", **names), SqlAnchors(database, **names), engine
        )
        self.threads = AnchoredProvider(core.provider, self.account)
        self.index = RedisThreadIndex(core.redis, prefix="aw", engine=engine, lease=LOCK, keep=KEEP)
        self.orders = RedisOrders(core.redis, prefix="aw", engine=engine)
        self.asks = SqlAsks(database, engine=engine, now=now)
        self.decisions = SqlDecisions(database, engine=engine, now=now)
        self.visits = SqlVisits(database, engine=engine, now=now)
        self.facts = SqlFacts(database, database.hurried(), engine=engine)
        self.memos = SqlMemos(database, engine=engine)
        self.ports = EndingPorts(
            engine_name=engine,
            index=self.index,
            orders=self.orders,
            instances=self.instances,
            provider=AnchoredEnding(core.provider, self.account),
            transcript=self.transcript,
            conversations=self.conversations,
            asks=self.asks,
            decisions=self.decisions,
            visits=self.visits,
            facts=self.facts,
            now=now,
        )

    def without_transcript(self) -> None:
        """Be a worker that keeps none."""
        self.ports = replace(
            self.ports, transcript=None, conversations=None, asks=None, decisions=None, visits=None, facts=None
        )

    @property
    def eraser(self) -> Eraser:
        return Eraser(self.ports)

    async def sweep(
        self,
        *,
        threads: float | None = 0,
        record: float | None = 0,
        kind: Kind = "keep",
        dry_run: bool = False,
        absent: bool = False,
        chats: float | None = None,
        decisions: float | None = None,
    ) -> Round:
        """Do a round by a policy of days."""
        await self.rest()
        retention = Retention(self.ports, Policy(_days(threads), _days(record), kind, _days(chats), _days(decisions)))
        return await retention.sweep(dry_run=dry_run, absent=absent)

    async def close(self) -> Ends:
        """Only note who is over."""
        return await Retention(self.ports, Policy(None, None, "keep")).close()

    def keeper(self, kind: Kind = "keep", pace: Pace | None = None) -> Keeper:
        return Keeper(self.ports, Policy(_days(0), _days(0), kind), pace or Pace())

    async def rest(self) -> None:
        """Wait until holds that were let go of are no more: they live for a millisecond."""
        await asyncio.sleep(0.01)

    async def resume(self, *, absent: bool = False) -> list[Receipt]:
        """Go on with open orders."""
        await self.rest()
        return await self.eraser.resume(absent=absent)

    async def erase(
        self, instance: str, *, force: bool = False, results: bool = False, absent: bool = False
    ) -> Receipt:
        await self.rest()
        return await self.eraser.erase(self.of(instance), force=force, results=results, absent=absent)

    def of(self, instance: str) -> Subject:
        return Subject(self.engine, instance=instance)

    # What there is

    def begin(self, instance: str, *, business_key: str | None = None, tenant: str | None = None) -> Process:
        """Have an instance run."""
        return self.instances.processes.setdefault(instance, Process(business_key, tenant))

    def finish(self, *instances: str) -> None:
        """Have them come to their end now."""
        for name in instances:
            process = self.begin(name)
            process.runs, process.ended_at = False, now()

    async def speak(
        self,
        instance: str,
        *,
        scope: str = "",
        assistant: str = "analyst",
        recorded: bool = True,
        stored: bool = False,
        noted: bool = True,
        between: Sequence[Utterance] = (),
    ) -> Thread:
        """Have one turn on a thread, by default the instance's own; the process goes on.

        `stored`: the provider stores the response, too. Unless it is `noted` nobody knows the thread's account.
        `between` is what was said before the answer.
        """
        await self.rest()
        process = self.begin(instance)
        key = ThreadKey(self.engine, scope or instance, assistant, process.tenant)
        task = f"task-{next(self._tasks)}"
        entry = await self.core.threads.enter(key, task)
        assert isinstance(entry, Entered)
        thread = entry.thread
        if thread is None:
            thread = await self.threads.create_thread(key, 1)
            thread = thread if noted else replace(thread, anchor=None)
            assert await self.core.threads.bind(entry.hold, thread, 0, instance)
        assert await self.core.threads.intend(entry.hold, 1, timedelta(seconds=60))
        self.provider.conversations[thread.id].items += [("user", "question"), ("assistant", "answer")]
        response_id = self.provider.store(thread.id) if stored else None
        answer = Answer("answer", response_id=response_id, thread=thread)
        said = exchange(key, task, instance, thread, response_id, process.business_key, between)
        await self.core.threads.keep_answer(entry.hold, 1, answer, published=True, exchange=None if recorded else said)
        if recorded:
            await self.transcript.record(said)
        facts = {"assistant": assistant, "version": "1.0", "thread": thread.id, "response": response_id}
        process.variables |= {
            f"assistant_thread_{assistant}": f"{thread.id}#1",
            "frame": "answer",
            "frame_meta": json.dumps(facts),
        }
        return thread

    async def ran(self, instance: str, *, business_key: str | None = None, tenant: str | None = None) -> Thread:
        """Have an instance of one turn that is over."""
        self.begin(instance, business_key=business_key, tenant=tenant)
        thread = await self.speak(instance)
        self.finish(instance)
        return thread

    async def running_call(self, instance: str, response_id: str | None = None, limit: float = 60) -> ThreadKey:
        """Have an instance whose worker died during its call, which may run in the background; its hold is over."""
        self.begin(instance)
        key = ThreadKey(self.engine, instance, "analyst")
        entry = await self.core.threads.enter(key, f"task of {instance}")
        assert isinstance(entry, Entered)
        thread = await self.threads.create_thread(key, 1)
        assert await self.core.threads.bind(entry.hold, thread, 0, instance)
        assert await self.core.threads.intend(entry.hold, 1, timedelta(seconds=limit))
        if response_id is not None:
            assert await self.core.threads.note(entry.hold, 1, response_id)
        await self.redis.delete(*await self.keys(f"{instance}:analyst}}:hold"))
        return key

    async def land(self, instance: str, thread: Thread | None, *, scope: str = "", engine: str = "default") -> None:
        """Have an exchange arrive in the transcript that a worker had in hand."""
        key, task = ThreadKey(engine, scope or instance, "analyst"), f"task-{next(self._tasks)}"
        said = exchange(key, task, instance, thread or Thread("", 1), None, None)
        await self.transcript.record(said if thread else replace(said, thread_id=None, generation=None))

    # What is left

    async def keys(self, part: str = "") -> list[str]:
        """Names of what Redis has of threads, but for the marks of those that were erased."""
        await self.rest()
        names = [str(name) async for name in self.redis.scan_iter(f"*:{{*{part}*")]
        return sorted(name for name in names if not name.endswith(":erased"))

    async def texts(self, instance: str) -> list[str]:
        page = await self.conversations.messages(MessageFilter(instance=instance), within=EVERYTHING)
        return [message.content for message in page.items]

    async def sessions(self) -> list[Session]:
        return list((await self.conversations.sessions(Filter(), within=EVERYTHING)).items)


def open_in(receipt: Receipt) -> dict[tuple[Store, str], str]:
    """Say what is open and why."""
    return {step.name: step.why for step in receipt.open}


def step_of(receipt: Receipt, store: Store, what: str) -> Step:
    return receipt.named[store, what]


def exchange(
    key: ThreadKey,
    task: str,
    instance: str,
    thread: Thread,
    response_id: str | None,
    business_key: str | None,
    between: Sequence[Utterance] = (),
) -> Exchange:
    at = now()
    messages = (Utterance("question", "user"), *between, Utterance("answer", "assistant"))
    usual = Exchange(key, task, 1, instance, "frame", "d:1:d", "d", messages, at, at)
    return replace(
        usual,
        business_key=business_key,
        thread_id=thread.id,
        generation=1,
        anchor=thread.anchor,
        response_id=response_id,
    )


def _days(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(days=number)
