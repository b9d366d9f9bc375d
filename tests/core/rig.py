"""The worker's parts, put together on fakes as `worker.bootstrap` does on the real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from tests.fakes.decisions import FakeBook, FakeSources
from tests.fakes.documents import FakeDocuments, FakeShelf
from tests.fakes.engine import LOCK, FakeEngine, FakeTopics, Job, World
from tests.fakes.file_vendor import FakeVendor
from tests.fakes.life import Life
from tests.fakes.provider import FakeModel, FakeProvider
from tests.fakes.redis import StrictRedis
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredProvider
from worker.decisions.keys import SigningKey
from worker.domain.budgets import Budgets
from worker.domain.documents import Kind
from worker.domain.exchanges import Exchange
from worker.domain.prices import Prices
from worker.domain.providers import Limits, ProviderSpec
from worker.domain.threads import NOTHING, Assistant, Cut, Seed, Thread, ThreadKey
from worker.errors import BadDefinition, EngineDown, HistoryUnread, UnknownAssistant
from worker.loop.breakers import Breaker
from worker.loop.delivery import Delivery
from worker.loop.dependencies import PROVIDER, Dependencies
from worker.loop.handler import TaskHandler
from worker.loop.lease import Leases
from worker.loop.open_topics import OpenTopics
from worker.loop.poller import Poller
from worker.loop.sieve import Sieve
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.ports.memory import FactBook
from worker.ports.providers import ThreadProvider, Watchers
from worker.redis import (
    RedisAnchors,
    RedisBudgets,
    RedisFileStores,
    RedisFleet,
    RedisOutages,
    RedisOutbox,
    RedisSeats,
    RedisStops,
    RedisThreads,
)
from worker.runtime import background
from worker.runtime.background import Crew
from worker.runtime.clock import monotonic
from worker.turn.answering import Answering
from worker.turn.approving import ApprovalTurn
from worker.turn.charging import Charging
from worker.turn.file_stores import FileStores
from worker.turn.fleet import Fleet
from worker.turn.recalling import Recalling
from worker.turn.record_turn import RecordTurn
from worker.turn.remembering import RememberingProvider
from worker.turn.request import Ground, Rules
from worker.turn.stops import Stopped
from worker.turn.task_turn import Turn

GRACE_SECONDS = 25.0
KEEP = timedelta(days=30)
FIRST_STEP_SECONDS, LONGEST_STEP_SECONDS = 0.05, 5.0
"""Between two looks at what a test waits for. A look costs a turn of the loop, and some wait for hours."""


class FakeAssistants:
    """`ports.providers.Assistants` by name."""

    def __init__(self) -> None:
        self.known: dict[str, Assistant] = {}
        self.came_with: list[tuple[str, str | None]] = []
        self.add("analyst")

    def add(self, name: str, **changes: object) -> Assistant:
        usual = {"version": "1.0", "model": "m", "provider": "openai", "instructions": "Be brief."}
        self.known[name] = Assistant(name=name, timeout=timedelta(seconds=60), **(usual | changes))  # type: ignore[arg-type]  # fields by name
        return self.known[name]

    async def deployed(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        if not definition_id:
            raise EngineDown("200 and a list: that is no definition")  # as engines say it
        if name not in self.known:
            raise BadDefinition(f"no {name} came with {definition_id}")
        self.came_with.append((definition_id, tenant))
        return self.known[name]

    def find(self, name: str, version: str | None) -> Assistant:
        if name not in self.known or version not in (None, self.known[name].version):
            raise UnknownAssistant(f"no assistant is called {name!r}")
        return self.known[name]


def _no_crash(error: Exception) -> None:
    raise AssertionError("nothing that nobody waits for may crash") from error


@dataclass(slots=True)
class FakeRecording:
    """`ports.transcript.Recording` that remembers."""

    kept: list[Exchange] = field(default_factory=list)
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1

    def keep(self, exchange: Exchange) -> None:
        self.kept.append(exchange)


@dataclass(slots=True)
class FakeHistory:
    """`ports.threads.History` that tells what a test says; `meanwhile` happens while it is read the next time."""

    told: Seed = field(default_factory=Seed)
    threads: dict[str, Thread] = field(default_factory=dict)
    asked: list[ThreadKey] = field(default_factory=list)
    is_down: bool = False
    most: int | None = None
    handed_down: Seed = field(default_factory=Seed)
    restarted: list[tuple[list[str], str]] = field(default_factory=list)
    cuts: tuple[Cut, ...] = ()
    then: Seed = NOTHING
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def seed(self, key: ThreadKey, most: int | None = None, cuts: Sequence[Cut] = ()) -> Seed:
        self.asked.append(key)
        self.most, self.cuts = most, tuple(cuts)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return Seed(is_known=False) if self.is_down else self.told

    async def inherited(
        self, keys: Sequence[ThreadKey], activity: str, most: int | None = None, then: Seed = NOTHING
    ) -> Seed:
        self.restarted.append(([key.scope for key in keys], activity))
        self.most, self.then = most, then
        before = self.handed_down
        return replace(before, said=before.said + then.said, turns=before.turns + then.turns)

    async def thread(self, key: ThreadKey) -> Thread | None:
        if self.is_down:
            raise HistoryUnread("the transcript cannot be read now")
        return self.threads.get(key.scope)

    async def anchor(self, key: ThreadKey, thread: Thread) -> str | None:  # noqa: ARG002 - without a transcript
        return None


@dataclass(slots=True)
class Worker:
    """One worker's parts on the common ground, under a worker id of its own."""

    engine: FakeEngine
    topics: FakeTopics
    dependencies: Dependencies
    stopped: Stopped
    fleet: Fleet
    slots: Slots
    turn: Turn
    handler: TaskHandler
    poller: Poller
    stopping: asyncio.Event
    hurry: asyncio.Event
    life: Life
    answering: Answering
    ground: Ground
    _running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Poll, until `stop`."""
        self._running = asyncio.create_task(self.poller.run(GRACE_SECONDS, self.hurry), name=self.engine.worker_id)

    async def stop(self, *, hurry: bool = False) -> None:
        """Stop as a signal does; `hurry` as a second one does. A dead one is buried."""
        if self.life.is_over and self._running is not None:
            self._running.cancel()
            self.life.buried.set()
            await asyncio.wait({self._running})
            return
        self.stopping.set()
        if hurry:
            self.hurry.set()
        if self._running is not None:
            # Who waits for it may be cancelled, and be asked to stop it again.
            await asyncio.shield(self._running)


class Core:
    """The ground that all workers of a test stand on.

    `provider` has conversations. With `several` there is the provider `local` too, which is a `model` without any, and
    with `has_spare` another one, `spare`. All have a `window` of so many tokens, and take what `takes` says as it is.
    With `weighing` there is the provider `judge`, too, which answers decision questions alone. `searches` are the files
    of a provider that searches them itself. Without `records` there is no transcript. With `tells_outages` workers tell
    each other of providers that are down.
    """

    def __init__(self) -> None:
        self.world = World()
        self.provider = FakeProvider()
        self.model = FakeModel()
        self.spare = FakeModel()
        self.documents = FakeDocuments()
        self.shelf = FakeShelf()
        self.searches: FakeVendor | None = None
        self.watchers: Watchers | None = None
        self.window: int | None = None
        self.takes: frozenset[Kind] = frozenset()
        self.several = False
        self.has_spare = False
        self.weighing = False
        self.judge = FakeModel()
        self.prices: dict[str, Prices] = {}
        self.budgets: Budgets | None = None
        self.limits: dict[str, Limits] = {}
        self.tells_outages = False
        self.redis = StrictRedis()
        self.assistants = FakeAssistants()
        self.recording = FakeRecording()
        self.history = FakeHistory()
        self.records = True
        self.decisions: FakeBook | None = FakeBook()
        self.record_key: SigningKey | None = None
        self.recalling: Recalling | None = None
        self.facts: FactBook | None = None
        self.threads = RedisThreads(self.redis, prefix="aw", lease=LOCK, keep=KEEP)
        self.stops = RedisStops(self.redis, prefix="aw", engine="default")
        self.book = RedisBudgets(self.redis, prefix="aw", engine="default", keep=KEEP)
        self._stack = AsyncExitStack()
        self._workers: list[Worker] = []

    def seats(self, provider: str = "openai", key: str = "sk-test") -> RedisSeats:
        """Seats of one account at a provider that has limits."""
        spec = ProviderSpec(provider, key=key, limits=self.limits[provider])
        return RedisSeats(self.redis, prefix="aw", spec=spec, lease=LOCK)

    def _file_stores(self, key: str, life: Life) -> dict[str, FileStores]:
        """Say who searches the files of assistants, but for the worker."""
        if self.searches is None:
            return {}
        spec = ProviderSpec("openai", key=key)
        book = RedisFileStores(self.redis, prefix="aw", engine="default", spec=lambda: spec)
        return {"openai": FileStores("openai", life.lives("files", self.searches), book, self.shelf)}

    def rules(self, *, strict: bool = True, trouble_limit: timedelta = timedelta(hours=1)) -> Rules:
        """What turns obey."""
        return Rules("default", strict, 3, trouble_limit, LOCK, 20_000)

    async def worker(
        self,
        *,
        slots: int = 4,
        strict: bool = True,
        topics: FakeTopics | None = None,
        life: Life | None = None,
        key: str = "sk-test",
        provider: FakeProvider | None = None,
        specs: FakeAssistants | None = None,
    ) -> Worker:
        """Put a worker together; its dependencies have been probed, unless workers tell each other of outages.

        `life` says when it dies. `provider` is how it sees that, and `specs` are the assistants that it has,
        if not those of the others.
        """
        life = life or Life()
        engine = life.lives("engine", FakeEngine(self.world, f"worker-{len(self._workers) + 1}"))
        threads, model = life.lives("threads", self.threads), life.lives("model", self.model)
        stopping = asyncio.Event()
        provider = life.lives("provider", provider or self.provider)
        account = Account(
            provider, RedisAnchors(self.redis, prefix="aw", engine="default", provider="openai"), None, "default"
        )
        providers: dict[str, ThreadProvider] = {
            "openai": AnchoredProvider(provider, account, "openai", self.window, self.takes)
        }
        if self.several:
            providers["local"] = RememberingProvider("local", model, threads, self.window, takes=self.takes)
        if self.has_spare:
            spare = life.lives("spare", self.spare)
            providers["spare"] = RememberingProvider("spare", spare, threads, self.window, takes=self.takes)
        if self.weighing:
            judge = life.lives("judge", self.judge)
            providers["judge"] = RememberingProvider("judge", judge, threads, self.window, weighs=True)
        dependencies = await self._stack.enter_async_context(
            Dependencies(
                {"engine": engine.ping, "redis": self.threads.ping},
                {name: each.ping for name, each in providers.items()},
                {name: self._breaker(name, key, engine.worker_id, life) for name in providers if self.tells_outages},
            )
        )
        if self.tells_outages:
            await self._stack.enter_async_context(background.running(dependencies.watch(), "outages"))
        else:
            await dependencies.all_up()
        crew = await self._stack.enter_async_context(Crew(_no_crash))
        room = Slots(slots)
        stopped = Stopped(self.stops)
        await stopped.look()

        has = specs or self.assistants
        fleet = Fleet(
            RedisFleet(self.redis, prefix="aw", engine="default", worker=engine.worker_id),
            lambda: [(each.name, each.version) for each in has.known.values()],
        )

        def redis_down(error: Exception) -> None:
            dependencies.down("redis", error)

        def engine_down(error: Exception) -> None:
            dependencies.down("engine", error)

        ground = Ground(
            threads,
            self.rules(strict=strict),
            stopping.is_set,
            redis_down,
            partial(dependencies.down, PROVIDER),
            dependencies.trouble_of,
            crew.start,
            stopped,
            fleet,
            self.documents,
            self.shelf,
            self.recording if self.records else None,
            self.history if self.records else None,
            self.prices,
            Charging(life.lives("budgets", self.book), self.budgets, self.prices) if self.budgets else None,
            self.watchers,
            {name: life.lives("seats", self.seats(name)) for name in self.limits},
            self.recalling,
            self._file_stores(key, life),
        )
        answering = Answering(providers, ground)
        book = None if self.decisions is None else life.lives("decisions", self.decisions)
        records = RecordTurn(engine, FakeSources(self.world), book, stopped, "default", ["tasklist"], self.record_key)
        outbox = RedisOutbox(self.redis, prefix="aw", engine="default")
        approvals = ApprovalTurn(engine, FakeSources(self.world), self.facts, outbox, stopped, ["tasklist"])
        turn = Turn(engine, answering, has, ground, records, approvals)
        handler = TaskHandler(
            Leases(engine, LOCK, engine_down),
            room,
            turn,
            WaitingRoom(4 * slots),
            Delivery(engine, threads),
            dependencies,
            stopping.is_set,
        )
        topics = topics or FakeTopics()
        sieve = Sieve(engine, OpenTopics(topics, stopped))
        poller = Poller(engine, sieve, room, handler, dependencies, stopped, stopping)
        hurry = asyncio.Event()
        worker = Worker(
            engine,
            topics,
            dependencies,
            stopped,
            fleet,
            room,
            turn,
            handler,
            poller,
            stopping,
            hurry,
            life,
            answering,
            ground,
        )
        self._workers.append(worker)
        return worker

    def _breaker(self, provider: str, key: str, worker: str, life: Life) -> Breaker:
        outages = RedisOutages(self.redis, prefix="aw", spec=ProviderSpec(provider, key=key), worker=worker)
        return Breaker(life.lives("outages", outages))

    @asynccontextmanager
    async def working(self, **options: object) -> AsyncIterator[Worker]:
        """A worker that polls inside of the block."""
        worker = await self.worker(**options)  # type: ignore[arg-type]  # those of `worker`
        worker.start()
        try:
            yield worker
        finally:
            await worker.stop()

    async def until(self, true: Callable[[], object], within: timedelta = timedelta(minutes=30)) -> None:
        """Let time pass until this is true; the longer it takes, the longer are the steps in which that is seen."""
        began = monotonic()
        async with asyncio.timeout(within.total_seconds()):
            while not true():  # noqa: ASYNC110 - time costs nothing here, and nothing tells when it is true
                await asyncio.sleep(min(max(FIRST_STEP_SECONDS, (monotonic() - began) / 100), LONGEST_STEP_SECONDS))

    async def until_over(self, jobs: Sequence[Job]) -> None:
        """Let time pass until these are completed, thrown or deleted."""
        await self.until(lambda: all(job.gone for job in jobs))

    async def end(self) -> None:
        """Stop whoever works, and hang up."""
        for worker in self._workers:
            await worker.stop(hurry=True)
        await self._stack.aclose()
        await self.redis.aclose()
