"""Puts the worker together: the only place that names concrete adapters."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast
from uuid import uuid4

import structlog

from worker import failpoints
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredEnding, AnchoredProvider
from worker.accounts.every import EveryProvider
from worker.domain.budgets import Budgets
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.providers import ProviderSpec
from worker.domain.stops import Kind
from worker.domain.tasks import TRACE_VARIABLES
from worker.ending import EndingPorts, Eraser, Keeper, Policy
from worker.engine import Basic, Bearer, Connection, Discovery, FixedTopics, RestEngine, RestInstances
from worker.errors import Permanent
from worker.loop.breakers import Breaker
from worker.loop.counted import Counted
from worker.loop.delivery import Delivery
from worker.loop.dependencies import PROVIDER, Dependencies
from worker.loop.formats import Formats
from worker.loop.handler import TaskHandler
from worker.loop.lease import Leases
from worker.loop.open_topics import OpenTopics
from worker.loop.poller import Poller
from worker.loop.sieve import Sieve
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.ports.accounts import Book
from worker.ports.ending import Archive
from worker.ports.engine import Topics
from worker.ports.limits import Seats
from worker.ports.outages import Outages
from worker.ports.providers import Model, Provider, ThreadProvider, Watchers
from worker.ports.sinks import Sink
from worker.ports.threads import Histories
from worker.ports.transcript import TranscriptReader, TranscriptWriter
from worker.providers import ChatModel, Client, OpenAIProvider, ResponsesModel
from worker.redis import (
    RedisAnchors,
    RedisBudgets,
    RedisFleet,
    RedisFormat,
    RedisOrders,
    RedisOutages,
    RedisOutbox,
    RedisSeats,
    RedisStops,
    RedisThreadIndex,
    RedisThreads,
    open_redis,
)
from worker.runtime import background
from worker.runtime.version import VERSION
from worker.settings import Settings, misspelt, variables
from worker.specs import assistants, budgets, providers
from worker.telemetry import metrics, spans
from worker.telemetry.logs import Event, trace
from worker.turn.charging import Charging
from worker.turn.fleet import Fleet
from worker.turn.recorder import Recorder
from worker.turn.remembering import RememberingProvider
from worker.turn.request import Ground, Rules
from worker.turn.reseed import History
from worker.turn.stops import Stopped
from worker.turn.task_turn import Turn
from worker.web import health

WAITING_PLACES_PER_SLOT = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connected:
    """One provider. Only one with conversations of its own has an archive, and accounts that are told apart.

    `seats` are there if it has limits. By `outages` workers tell each other that it cannot be asked.
    """

    spec: ProviderSpec
    provider: OpenAIProvider | ChatModel | ResponsesModel
    archive: Archive | None = None
    account: Account | None = None
    seats: Seats | None = None
    outages: Outages | None = None

    def for_turns(self, threads: Histories) -> ThreadProvider:
        """Have it as turns see it."""
        if self.account is None:
            model = cast("Model", self.provider)
            return RememberingProvider(self.spec.name, model, threads, self.spec.context_tokens)
        return AnchoredProvider(cast("Provider", self.provider), self.account, self.spec.name, self.spec.context_tokens)


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside, connected. Providers by their names; without `watchers` nobody reads along."""

    engine: RestEngine
    threads: RedisThreads
    providers: Mapping[str, Connected]
    outbox: RedisOutbox
    instances: RestInstances
    index: RedisThreadIndex
    orders: RedisOrders
    stops: RedisStops
    fleet: RedisFleet
    budgets: RedisBudgets
    formats: Formats
    transcript: TranscriptWriter | None = None
    conversations: TranscriptReader | None = None
    watchers: Watchers | None = None

    @property
    def sinks(self) -> list[Sink]:
        """The places that exchanges go to; those that Redis keeps them for."""
        return [self.transcript] if self.transcript is not None else []

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts that are told apart, by their providers' names."""
        return {name: each.account for name, each in self.providers.items() if each.account is not None}


def worker_id() -> str:
    """Name this process start. The engine checks nothing else, so it must never come twice."""
    return f"assistant-worker-{socket.gethostname()[:100]}-{os.getpid()}-{uuid4().hex[:12]}"


@asynccontextmanager
async def connect(
    settings: Settings, known: Mapping[str, ProviderSpec] | None = None, *, reads_only: bool = False
) -> AsyncIterator[Adapters]:
    """Open every adapter; nothing is reached yet.

    `known` are the providers, read from the settings if they are not given. `reads_only`: the transcript is neither
    made nor changed.
    """
    known = provider_specs(settings) if known is None else known
    async with AsyncExitStack() as stack:
        url = settings.redis_url.get_secret_value()
        redis = await stack.enter_async_context(
            open_redis(url, connections=min(2 * settings.max_tasks + 2, 64), ca_file=settings.redis_ca_file)
        )
        engine = await stack.enter_async_context(_open_engine(settings))
        mine = {"prefix": settings.redis_prefix, "engine": settings.engine_name}
        in_redis = RedisFormat(redis, prefix=settings.redis_prefix, engine=settings.engine_name)
        adapters = Adapters(
            engine=engine,
            threads=RedisThreads(
                redis,
                prefix=settings.redis_prefix,
                lease=settings.lock,
                keep=settings.thread_life,
                sinks=[TRANSCRIPT] if settings.keeps_transcript else [],
            ),
            providers={},
            outbox=RedisOutbox(redis, **mine),
            instances=engine.instances,
            index=RedisThreadIndex(redis, **mine, lease=settings.lock, keep=settings.thread_life),
            orders=RedisOrders(redis, **mine),
            stops=RedisStops(redis, **mine),
            fleet=RedisFleet(redis, **mine, worker=engine.worker_id),
            budgets=RedisBudgets(redis, **mine, keep=settings.thread_life),
            formats=Formats([in_redis]),
        )
        copies: Callable[[str], Book] | None = None
        if settings.keeps_transcript:
            adapters, copies = await _with_transcript(adapters, in_redis, settings, stack, reads_only=reads_only)

        def account(spec: ProviderSpec, provider: OpenAIProvider) -> Account:
            anchors = RedisAnchors(redis, **mine, provider=spec.name)
            second = copies(spec.name) if copies else None
            return Account(provider, anchors, second, settings.engine_name, spec.words)

        def with_workers(connected: Connected) -> Connected:
            """Add what workers share of it."""
            prefix, spec = settings.redis_prefix, connected.spec
            seats = RedisSeats(redis, prefix=prefix, spec=spec, lease=settings.lock) if spec.limits else None
            outages = RedisOutages(redis, prefix=prefix, spec=spec, worker=engine.worker_id)
            return replace(connected, seats=seats, outages=outages)

        opened = {name: with_workers(await _open_provider(spec, account, stack)) for name, spec in known.items()}
        yield failpoints.armed(replace(adapters, providers=opened))


async def _with_transcript(
    adapters: Adapters, in_redis: RedisFormat, settings: Settings, stack: AsyncExitStack, *, reads_only: bool
) -> tuple[Adapters, Callable[[str], Book]]:
    """Add the transcript; returns also where it keeps the anchors of a provider's accounts."""
    from worker import transcript  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

    url = settings.transcript_url.get_secret_value()
    database = await stack.enter_async_context(transcript.open_database(url, reads_only=reads_only))
    connected = replace(
        adapters,
        formats=Formats([in_redis, transcript.SqlFormat(database, engine=settings.engine_name)]),
        transcript=transcript.SqlTranscriptWriter(database),
        conversations=transcript.SqlTranscriptReader(database, engine=settings.engine_name),
    )
    return connected, lambda provider: transcript.SqlAnchors(database, engine=settings.engine_name, provider=provider)


def check(settings: Settings) -> None:
    """Raise Permanent where what is set could not be used, by the rules of those who use it; nothing is reached."""
    if settings.keeps_transcript:
        from worker.web import api  # noqa: PLC0415 - as above

        api.Access.of(_tokens(settings)).check_host(settings.api_host)


def _tokens(settings: Settings) -> str:
    return settings.api_tokens.get_secret_value() if settings.api_tokens else ""


def _serve_api(
    settings: Settings,
    conversations: TranscriptReader,
    engine: RestEngine,
    eraser: Eraser,
    left_out: Callable[[], list[str]],
    stopped: Stopped,
    known: Mapping[Kind, Collection[str]],
) -> AbstractAsyncContextManager[int]:
    from worker.web import api, page  # noqa: PLC0415 - as above

    access = api.Access.of(_tokens(settings))
    access.check_host(settings.api_host)

    def report(error: Exception) -> None:
        log.error(Event.API_CRASHED, trace=trace(error))

    extend = [
        api.erasing(eraser, conversations, settings.engine_name),
        api.stopping(stopped, known),
        page.routes(conversations, engine, engine_name=settings.engine_name, can_erase=True, left_out=left_out),
    ]
    served = api.app(conversations, engine, access, report=report, frame_ancestors=settings.api_frames, extend=extend)
    return api.serve(served, settings.api_host, settings.api_port)


def ending_ports(settings: Settings, adapters: Adapters) -> EndingPorts:
    """Pick what the end of conversations needs."""
    return EndingPorts(
        engine_name=settings.engine_name,
        index=adapters.index,
        orders=adapters.orders,
        instances=adapters.instances,
        provider=EveryProvider(
            {
                name: AnchoredEnding(each.archive, each.account) if each.archive and each.account else None
                for name, each in adapters.providers.items()
            }
        ),
        transcript=adapters.transcript,
        conversations=adapters.conversations,
    )


def names(specs: assistants.Specs, providers: Collection[str]) -> Mapping[Kind, Collection[str]]:
    """List what can be stopped by a name that has to be known."""
    return {"assistant": {each.name for each in specs.assistants}, "provider": set(providers)}


def policy(settings: Settings) -> Policy:
    """Pick what ends when."""
    return Policy(settings.retention_threads, settings.retention_record, settings.retention_transcript)


async def run(settings: Settings) -> bool:
    """Work until SIGTERM or SIGINT, then let go of everything; a second signal ends the grace period.

    False after an error that nobody foresaw. Its text may quote a message, so that only its kind and place are shown.
    """
    for name, meant in misspelt().items():
        log.warning(Event.SETTING_UNKNOWN, name=name, did_you_mean=meant)
    check(settings)
    known = provider_specs(settings)
    specs = assistants.load(settings.assistants_dir, known)
    stopping, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(stopping, hurry)
    try:
        async with connect(settings, known) as adapters:
            spare_collections()
            await work(settings, specs, adapters, stopping, hurry)
    except Permanent:
        raise
    except Exception as exc:  # noqa: BLE001 - see above
        log.critical(Event.WORKER_CRASHED, trace=trace(exc))
        return False
    log.info(Event.STOPPED)
    return True


def spare_collections() -> None:
    """Have Python look no more for garbage in what stays until the end, all libraries for one.

    It did so again and again, for 7 % of a worker's CPU, each time for 0.1 s in which nothing else went on.
    """
    gc.collect()
    gc.freeze()


async def work(
    settings: Settings, specs: assistants.Specs, adapters: Adapters, stopping: asyncio.Event, hurry: asyncio.Event
) -> None:
    """Wire the parts and poll until `stopping`."""
    engine, threads = adapters.engine, adapters.threads
    limits = budget_limits(settings, specs, {name: each.spec for name, each in adapters.providers.items()})
    probes = {
        "engine": engine.ping,
        "redis": threads.ping,
        "format": adapters.formats.check,
    }
    threads_of = {name: each.for_turns(threads) for name, each in adapters.providers.items()}
    async with AsyncExitStack() as stack:
        always = settings.trace_propagation == "always"
        stack.enter_context(spans.exported(engine.worker_id, always=always, content=settings.trace_content == "on"))
        dependencies = await stack.enter_async_context(
            Dependencies(
                probes,
                {name: each.ping for name, each in threads_of.items()},
                {name: Breaker(each.outages) for name, each in adapters.providers.items() if each.outages is not None},
            )
        )
        crew = await stack.enter_async_context(background.Crew(_say_crash))
        slots, stopped = Slots(settings.max_tasks), Stopped(adapters.stops)
        open_topics = OpenTopics(_topics(settings, engine), stopped)
        sieve = Sieve(engine, open_topics)
        fleet = Fleet(adapters.fleet, lambda: [(each.name, each.version) for each in specs.assistants])

        def left_out() -> list[str]:
            return [*map(str, sieve.left_out()), *dependencies.partly()]

        recorder, history, api_port = None, None, None
        if adapters.sinks:
            recorder = await stack.enter_async_context(Recorder(adapters.outbox, adapters.sinks))
        if adapters.conversations is not None:
            history = History(adapters.conversations, settings.seed_tokens)
            api_port = await stack.enter_async_context(
                _serve_api(
                    settings,
                    adapters.conversations,
                    engine,
                    Eraser(ending_ports(settings, adapters)),
                    left_out,
                    stopped,
                    names(specs, adapters.providers),
                )
            )
        await stack.enter_async_context(Keeper(ending_ports(settings, adapters), policy(settings)))
        prices = {name: each.spec.prices for name, each in adapters.providers.items()}
        handler = TaskHandler(
            Leases(engine, settings.lock, partial(dependencies.down, "engine")),
            slots,
            Turn(
                engine,
                threads_of,
                specs,
                Ground(
                    threads,
                    rules(settings),
                    stopping.is_set,
                    partial(dependencies.down, "redis"),
                    partial(dependencies.down, PROVIDER),
                    dependencies.trouble_of,
                    crew.start,
                    stopped,
                    fleet,
                    recorder,
                    history,
                    prices,
                    Charging(adapters.budgets, limits, prices) if limits else None,
                    adapters.watchers,
                    {name: each.seats for name, each in adapters.providers.items() if each.seats is not None},
                ),
            ),
            WaitingRoom(WAITING_PLACES_PER_SLOT * settings.max_tasks),
            Delivery(engine, threads),
            dependencies,
            stopping.is_set,
        )
        poller = Poller(engine, sieve, slots, handler, dependencies, stopped, stopping)

        def not_ready() -> list[str]:
            return (["stopping"] if stopping.is_set() else []) + dependencies.reasons() + stopped.reasons()

        counted = await stack.enter_async_context(
            Counted(engine, open_topics.known, partial(dependencies.is_up, "engine"))
        )
        port = await stack.enter_async_context(
            health.serve(settings.health_host, settings.health_port, not_ready, left_out, stopped.lines, counted.look)
        )
        beside = {
            "loop lag": health.measure_lag(),
            "stops": stopped.watch(),
            "outages": dependencies.watch(),
            "fleet": fleet.watch(),
            "format": adapters.formats.watch(partial(dependencies.down, "format")),
        }
        for name, watching in beside.items():
            await stack.enter_async_context(background.running(watching, name))
        metrics.INFO.labels(VERSION, settings.engine_name).set(1)
        log.info(
            Event.STARTED,
            version=VERSION,
            engine=settings.engine_url,
            redis=settings.redis_address,
            worker_id=engine.worker_id,
            health_port=port,
            api_port=api_port,
            assistants=[f"{each.name} {each.version}" for each in specs.assistants],
        )
        await poller.run(settings.grace.total_seconds(), hurry)


def _say_crash(error: Exception) -> None:
    log.error(Event.TIDYING_CRASHED, trace=trace(error))


def rules(settings: Settings) -> Rules:
    """Pick what a turn obeys."""
    return Rules(
        engine_name=settings.engine_name,
        strict=settings.thread_validation == "strict",
        retries=settings.retries,
        trouble_limit=settings.trouble_for,
        lease=settings.lock,
        input_tokens=settings.input_tokens,
    )


def _open_engine(settings: Settings) -> AbstractAsyncContextManager[RestEngine]:
    auth: Basic | Bearer | None = None
    if settings.engine_user and settings.engine_password:
        auth = Basic(settings.engine_user, settings.engine_password.get_secret_value())
    if settings.engine_token:
        auth = Bearer(settings.engine_token.get_secret_value())
    connection = Connection(
        url=settings.engine_url,
        worker_id=worker_id(),
        lock=settings.lock,
        poll=settings.poll,
        tenants=settings.tenants,
        auth=auth,
        ca_file=settings.engine_ca_file,
        also=TRACE_VARIABLES if "traces" in spans.wanted() else (),
    )
    return RestEngine.open(connection)


def provider_specs(settings: Settings) -> Mapping[str, ProviderSpec]:
    """Say which providers there are: those of the file, or the one of the settings. Raises Permanent."""
    if settings.providers_file is not None:
        return providers.load(settings.providers_file, variables())
    key = settings.openai_api_key
    spec = ProviderSpec(key=key.get_secret_value() if key else None, base_url=settings.openai_base_url)
    return {spec.name: spec}


def budget_limits(settings: Settings, specs: assistants.Specs, known: Mapping[str, ProviderSpec]) -> Budgets | None:
    """Read what calls may take; None without a file. Raises Permanent, also where a call has no bound."""
    if settings.budgets_file is None:
        return None
    limits = budgets.load(settings.budgets_file)
    budgets.check(limits, specs.assistants, known)
    return limits


async def _open_provider(
    spec: ProviderSpec, account: Callable[[ProviderSpec, OpenAIProvider], Account], stack: AsyncExitStack
) -> Connected:
    client = await stack.enter_async_context(Client.open(spec))
    match spec.api:
        case "conversations":
            provider = OpenAIProvider(client)
            return Connected(spec, provider, provider, account(spec, provider))
        case "responses":
            return Connected(spec, ResponsesModel(client))
        case "chat":
            return Connected(spec, ChatModel(client))


def _topics(settings: Settings, engine: RestEngine) -> Topics:
    return FixedTopics(settings.topics, engine) if settings.topics else Discovery(engine, settings.discovery)


def _on_signals(stopping: asyncio.Event, hurry: asyncio.Event) -> None:
    def stop() -> None:
        log.info(Event.STOPPING, at_once=stopping.is_set())
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
