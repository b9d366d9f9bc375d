"""Puts the worker together: the only place that names concrete adapters."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self, cast
from uuid import uuid4

import structlog

from worker import failpoints
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredEnding, AnchoredProvider
from worker.accounts.every import EveryProvider
from worker.domain.budgets import Budgets
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.prices import Prices
from worker.domain.providers import ProviderSpec
from worker.domain.stops import Kind
from worker.domain.tasks import TRACE_VARIABLES
from worker.ending import EndingPorts, Eraser, Keeper, Policy
from worker.engine import (
    Auth,
    Basic,
    Bearer,
    Connection,
    Discovery,
    FixedTopics,
    OAuthClient,
    RestEngine,
    RestInstances,
)
from worker.errors import BadDefinition, Permanent, ReadRefused, TaskLost, UnknownAssistant
from worker.loop.breakers import Breaker
from worker.loop.counted import Counted
from worker.loop.delivery import Delivery
from worker.loop.dependencies import PROVIDER, Dependencies
from worker.loop.formats import Formats
from worker.loop.handler import TaskHandler
from worker.loop.lease import Leases
from worker.loop.open_topics import OpenTopics
from worker.loop.poller import Poller
from worker.loop.reloading import Reloading
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
from worker.redis.connect import Client as RedisClient
from worker.runtime import background
from worker.runtime.beside import beside
from worker.runtime.version import VERSION
from worker.settings import Settings, misspelt, read, variables
from worker.specs import assistants, budgets, providers
from worker.telemetry import metrics, spans
from worker.telemetry.logs import Event, trace
from worker.turn.charging import Charging
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
    client: Client
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
class Sharing:
    """Makes what workers share of a provider, by the key that its spec has."""

    redis: RedisClient
    settings: Settings
    worker_id: str

    def of(self, spec: ProviderSpec) -> tuple[Seats | None, Outages]:
        """Make its seats, if it has limits, and what is told of its outages."""
        prefix, lease = self.settings.redis_prefix, self.settings.lock
        seats = RedisSeats(self.redis, prefix=prefix, spec=spec, lease=lease) if spec.limits else None
        return seats, RedisOutages(self.redis, prefix=prefix, spec=spec, worker=self.worker_id)


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
    budgets: RedisBudgets
    formats: Formats
    sharing: Sharing
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

        sharing = Sharing(redis, settings, engine.worker_id)
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
            budgets=RedisBudgets(redis, **mine, keep=settings.thread_life),
            formats=Formats([in_redis]),
            sharing=sharing,
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
            seats, outages = sharing.of(connected.spec)
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
    renewing: "list[Callable[[Settings], None]]",
) -> AbstractAsyncContextManager[int]:
    from worker.web import api, page  # noqa: PLC0415 - as above

    access = api.Access.of(_tokens(settings))
    access.check_host(settings.api_host)
    renewing.append(lambda new: access.use(api.Access.of(_tokens(new))))

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


def names(specs: assistants.Specs, providers: Collection[str]) -> dict[Kind, Collection[str]]:
    """List what can be stopped by a name that has to be known."""
    return {"assistant": {each.name for each in specs.assistants}, "provider": set(providers)}


def policy(settings: Settings) -> Policy:
    """Pick what ends when."""
    return Policy(settings.retention_threads, settings.retention_record, settings.retention_transcript)


@dataclass(frozen=True, slots=True)
class Written:
    """What people have written: settings, and the files that these name, which may change while the worker runs."""

    settings: Settings
    providers: Mapping[str, ProviderSpec]
    specs: assistants.Specs
    limits: Budgets | None

    @classmethod
    def read(cls, settings: Settings) -> Self:
        """Read what the settings name. Raises Permanent, with every mistake and its line."""
        check(settings)
        known = provider_specs(settings)
        specs = assistants.load(settings.assistants_dir, known)
        return cls(settings, known, specs, budget_limits(settings, specs, known))

    @property
    def files(self) -> list[Path]:
        """All of these files."""
        chosen = self.settings
        named = (chosen.engine_cert_file, chosen.engine_key_file, chosen.providers_file, chosen.budgets_file)
        of_providers = [file for each in self.providers.values() for file in each.files]
        files = [chosen.assistants_dir, *chosen.secret_files.values(), *of_providers, *named]
        return [each for each in files if each is not None]


_LIVE = frozenset(
    {"engine_user", "engine_password", "engine_token", "engine_token_url", "engine_client_id", "engine_client_secret"}
    | {"engine_scope", "engine_audience", "engine_cert_file", "engine_key_file", "openai_api_key", "api_tokens"}
    | {"providers_file", "budgets_file", "assistants_dir"}
)
"""Settings that take effect while the worker runs."""


@dataclass(slots=True)
class Live:
    """What the parts of a worker go by, and can be changed while it runs: all of it at once, or nothing.

    The mappings are those that the parts look into.
    """

    written: Written
    reread: Callable[[], Settings]
    adapters: Adapters
    dependencies: Dependencies
    turn: Turn
    specs: assistants.Current
    names: dict[Kind, Collection[str]]
    prices: dict[str, Prices]
    seats: dict[str, Seats]
    charging: Charging | None
    renewing: Sequence[Callable[[Settings], None]]

    def files(self) -> list[Path]:
        """What is to be looked at."""
        return self.written.files

    async def take(self) -> list[str]:
        """Read everything again and go by it; return what has changed. See `loop.reloading.Reloading`."""
        old, new = self.written, await beside(lambda: Written.read(self.reread()))
        _check_fixed(old, new)
        await _check_named(self.adapters.engine, old.specs, new.specs)
        self.adapters.engine.use(_connection(new.settings))  # may raise, so it comes first
        for renew in self.renewing:
            renew(new.settings)
        changed = list(_changed_settings(old.settings, new.settings))
        if _auth(old.settings) != _auth(new.settings):
            self.dependencies.renew("engine")
        for name, spec in new.providers.items():
            if spec != old.providers[name]:
                self._provider(name, old.providers[name], spec)
                changed.append(f"provider {name}")
        if self.charging is not None and new.limits is not None:
            self.charging.use(new.limits)
            changed += ["budgets"] if new.limits != old.limits else []
        self.specs.specs = new.specs
        self.names |= names(new.specs, new.providers)
        changed += _changed_assistants(old.specs, new.specs)
        self.written = new
        return changed

    def _provider(self, name: str, old: ProviderSpec, new: ProviderSpec) -> None:
        connected = self.adapters.providers[name]
        connected.client.use(new)
        self.prices[name] = new.prices
        seats, outages = self.adapters.sharing.of(new)
        if seats is None:
            self.seats.pop(name, None)
        elif old.limits != new.limits or old.key != new.key:
            self.seats[name] = seats
        if (old.key, old.headers, old.query) != (new.key, new.headers, new.query):
            if connected.account is not None:
                connected.account.forget()
            self.turn.renew(name)
            self.dependencies.renew(PROVIDER, name, outages)


def _check_fixed(old: Written, new: Written) -> None:
    """Raise Permanent where the worker would have to be connected anew."""
    if (old.limits is None) != (new.limits is None):
        raise Permanent("BUDGETS_FILE: that there are budgets, or none any more, takes a restart")
    if odd := sorted(old.providers.keys() ^ new.providers.keys()):
        raise Permanent(f"PROVIDERS_FILE: a provider that comes or goes takes a restart: {', '.join(odd)}")
    for name, spec in new.providers.items():
        for part in ("api", "base_url", "ca_file", "proxy", "context_tokens"):
            if getattr(spec, part) != getattr(old.providers[name], part):
                raise Permanent(f"{spec.words.address}: a change of {part} of the provider {name} takes a restart")


async def _check_named(engine: RestEngine, old: assistants.Specs, new: assistants.Specs) -> None:
    """Raise Permanent if running instances may come to a task whose assistant would be gone; EngineDown, Transient."""
    if {(each.name, each.version) for each in old.assistants} <= {(each.name, each.version) for each in new.assistants}:
        return
    for deployed in await engine.deployed():
        if not deployed.instances:
            continue
        try:
            definition = await engine.definition(deployed.id)
        except (BadDefinition, ReadRefused, TaskLost):
            continue  # nobody can be asked for it either
        for activity in definition.activities.values():
            said = activity.properties
            name, version = said.get("service.name", "").strip(), said.get("service.version", "").strip() or None
            if activity.is_ours and _knows(old, name, version) and not _knows(new, name, version):
                what = f"{name} {version}" if version else name
                raise Permanent(
                    f"ASSISTANTS_DIR: {what} is gone, but {deployed.instances} running instances of {deployed.key} "
                    f"version {deployed.version} may come to {activity.id}, which names it; put it back until they end"
                )


def _knows(specs: assistants.Specs, name: str, version: str | None) -> bool:
    try:
        specs.find(name, version)
    except UnknownAssistant:
        return False
    return True


def _changed_settings(old: Settings, new: Settings) -> Iterator[str]:
    for name in Settings.model_fields:
        if getattr(old, name) != getattr(new, name):
            yield name.upper() if name in _LIVE else f"{name.upper()}, which takes effect after a restart"


def _changed_assistants(old: assistants.Specs, new: assistants.Specs) -> list[str]:
    changed = [each for each in old.assistants if each not in new.assistants]
    changed += [each for each in new.assistants if each not in old.assistants]
    return sorted({f"assistant {each.name} {each.version}" for each in changed})


async def run(settings: Settings) -> bool:
    """Work until SIGTERM or SIGINT, then let go of everything; a second signal ends the grace period.

    False after an error that nobody foresaw. Its text may quote a message, so that only its kind and place are shown.
    """
    for name, meant in misspelt().items():
        log.warning(Event.SETTING_UNKNOWN, name=name, did_you_mean=meant)
    written = Written.read(settings)
    stopping, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(stopping, hurry)
    try:
        async with connect(settings, written.providers) as adapters:
            spare_collections()
            await work(written, adapters, stopping, hurry, read)
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
    written: Written,
    adapters: Adapters,
    stopping: asyncio.Event,
    hurry: asyncio.Event,
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Wire the parts and poll until `stopping`; with `reread` what people write is read again while it works."""
    settings, limits = written.settings, written.limits
    engine, threads = adapters.engine, adapters.threads
    specs, known = assistants.Current(written.specs), names(written.specs, adapters.providers)
    renewing: list[Callable[[Settings], None]] = []
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
                    known,
                    renewing,
                )
            )
        await stack.enter_async_context(Keeper(ending_ports(settings, adapters), policy(settings)))
        prices = {name: each.spec.prices for name, each in adapters.providers.items()}
        seats = {name: each.seats for name, each in adapters.providers.items() if each.seats is not None}
        charging = Charging(adapters.budgets, limits, prices) if limits else None
        turn = Turn(
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
                recorder,
                history,
                prices,
                charging,
                adapters.watchers,
                seats,
            ),
        )
        handler = TaskHandler(
            Leases(engine, settings.lock, partial(dependencies.down, "engine")),
            slots,
            turn,
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
        live = Live(
            written, reread or read, adapters, dependencies, turn, specs, known, prices, seats, charging, renewing
        )
        reloading = Reloading(live.files, live.take)
        port = await stack.enter_async_context(
            health.serve(
                settings.health_host,
                settings.health_port,
                not_ready,
                left_out,
                stopped.lines,
                reloading.lines,
                counted.look,
            )
        )
        beside = {
            "loop lag": health.measure_lag(),
            "stops": stopped.watch(),
            "outages": dependencies.watch(),
            "format": adapters.formats.watch(partial(dependencies.down, "format")),
        }
        if reread is not None:
            _on_hangup(reloading.ask, stopping)
            beside["reloading"] = reloading.watch()
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
            assistants=[f"{each.name} {each.version}" for each in written.specs.assistants],
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
    return RestEngine.open(_connection(settings))


def _connection(settings: Settings) -> Connection:
    return Connection(
        url=settings.engine_url,
        worker_id=worker_id(),
        lock=settings.lock,
        poll=settings.poll,
        tenants=settings.tenants,
        auth=_auth(settings),
        ca_file=settings.engine_ca_file,
        also=TRACE_VARIABLES if "traces" in spans.wanted() else (),
        cert_file=settings.engine_cert_file,
        key_file=settings.engine_key_file,
    )


def _auth(settings: Settings) -> Auth | None:
    """Say who we are to the engine."""
    if settings.engine_user and settings.engine_password:
        return Basic(settings.engine_user, settings.engine_password.get_secret_value())
    if settings.engine_token:
        return Bearer(settings.engine_token.get_secret_value())
    if settings.engine_token_url and settings.engine_client_id and settings.engine_client_secret:
        return OAuthClient(
            settings.engine_token_url,
            settings.engine_client_id,
            settings.engine_client_secret.get_secret_value(),
            settings.engine_scope,
            settings.engine_audience,
        )
    return None


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
            return Connected(spec, provider, client, provider, account(spec, provider))
        case "responses":
            return Connected(spec, ResponsesModel(client), client)
        case "chat":
            return Connected(spec, ChatModel(client), client)


def _topics(settings: Settings, engine: RestEngine) -> Topics:
    return FixedTopics(settings.topics, engine) if settings.topics else Discovery(engine, settings.discovery)


def _on_signals(stopping: asyncio.Event, hurry: asyncio.Event) -> None:
    def stop() -> None:
        log.info(Event.STOPPING, at_once=stopping.is_set())
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _on_hangup(ask: Callable[[], None], stopping: asyncio.Event) -> None:
    # Of a terminal that is closed it says that nobody is there any more.
    act = stopping.set if sys.stdin is not None and sys.stdin.isatty() else ask
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)
