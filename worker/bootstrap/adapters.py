"""The outside, connected: the only place that names concrete adapters."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol, cast
from uuid import uuid4

from worker import failpoints
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredEnding, AnchoredProvider
from worker.accounts.every import EveryProvider
from worker.bootstrap.written import provider_specs
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.memory import EMBEDDED
from worker.domain.providers import SEARCHING, ProviderSpec
from worker.domain.tasks import TRACE_VARIABLES
from worker.ending import EndingPorts
from worker.engine import Auth, Basic, Bearer, Connection, OAuthClient, RestEngine, RestInstances, RestReceivers
from worker.loop.formats import Formats
from worker.ports.accounts import Book
from worker.ports.asks import AskBook, AskEraser
from worker.ports.decisions import DecisionBook, DecisionEraser, DecisionHolds, DecisionReader, DecisionSources
from worker.ports.ending import Archive, Counting
from worker.ports.feedback import FeedbackWriter
from worker.ports.file_stores import FileVendor, StoreBook
from worker.ports.handovers import HandoverBook
from worker.ports.limits import Seats
from worker.ports.memory import Embedder, FactBook, Memory, Memos, Vectors
from worker.ports.outages import Outages
from worker.ports.providers import Model, Provider, ThreadProvider, Watchers
from worker.ports.remarks import RemarkBook
from worker.ports.sinks import Sink
from worker.ports.threads import Histories
from worker.ports.transcript import TranscriptReader, TranscriptWriter
from worker.ports.visits import VisitBook
from worker.providers import (
    ChatModel,
    Client,
    DecisionsModel,
    Embeddings,
    OpenAIFiles,
    OpenAIProvider,
    ResponsesModel,
    SystemOneModel,
)
from worker.redis import (
    RedisAnchors,
    RedisBudgets,
    RedisFeedCounts,
    RedisFileStores,
    RedisFleet,
    RedisFormat,
    RedisHeartbeat,
    RedisKnownIds,
    RedisOrders,
    RedisOutages,
    RedisOutbox,
    RedisRates,
    RedisSeats,
    RedisStops,
    RedisThreadIndex,
    RedisThreads,
    RedisTickets,
    RedisWatchers,
    RedisWindows,
    open_redis,
)
from worker.redis.connect import Client as RedisClient
from worker.runtime.breaker import Breaker
from worker.settings import Settings
from worker.telemetry import exporting
from worker.turn.remembering import RememberingProvider


class Asks(AskBook, AskEraser, Protocol):
    """Where it is kept what persons ask."""


class Decisions(DecisionBook, DecisionReader, DecisionHolds, DecisionEraser, Protocol):
    """Where records of decisions are kept."""


class Visits(VisitBook, Counting, Protocol):
    """Where it is kept who was at which session."""


@dataclass(frozen=True, slots=True)
class Connected:
    """One provider. Only one with conversations of its own has an archive, and accounts that are told apart.

    `seats` are there if it has limits, `files` and `file_book` if it can search files. By `outages` workers tell each
    other that it cannot be asked.
    """

    spec: ProviderSpec
    provider: OpenAIProvider | ChatModel | ResponsesModel | DecisionsModel | SystemOneModel
    client: Client
    archive: Archive | None = None
    account: Account | None = None
    seats: Seats | None = None
    outages: Outages | None = None
    files: FileVendor | None = None
    file_book: StoreBook | None = None

    def for_turns(self, threads: Histories) -> ThreadProvider:
        """Have it as turns see it."""
        if self.account is None:
            model = cast("Model", self.provider)
            return remembering(self.spec, model, threads)
        spec = self.spec
        return AnchoredProvider(
            cast("Provider", self.provider), self.account, spec.name, spec.context_tokens, spec.takes
        )


@dataclass(frozen=True, slots=True)
class Sharing:
    """Makes what workers share of a provider, by the key that its spec has."""

    redis: RedisClient
    settings: Settings
    worker_id: str

    def of_memory(self) -> Outages:
        """Make what is told of outages of the memory that is apart, by the key that it has."""
        key = self.settings.zep_api_key
        where = f"{self.settings.zep_url}#{self.settings.zep_api}"
        spec = ProviderSpec("memory:zep", base_url=where, key=key.get_secret_value() if key else "")
        return RedisOutages(self.redis, prefix=self.settings.redis_prefix, spec=spec, worker=self.worker_id)

    def of(self, spec: ProviderSpec) -> tuple[Seats | None, Outages]:
        """Make its seats, if it has limits, and what is told of its outages."""
        prefix, lease = self.settings.redis_prefix, self.settings.lock
        seats = RedisSeats(self.redis, prefix=prefix, spec=spec, lease=lease) if spec.limits else None
        return seats, RedisOutages(self.redis, prefix=prefix, spec=spec, worker=self.worker_id)


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside, connected. Providers by their names; without `watchers` nobody reads along.

    The `breaker` is that of a memory which is apart. `embedder` and `vectors` are there if a provider has embeddings.
    """

    engine: RestEngine
    threads: RedisThreads
    providers: Mapping[str, Connected]
    outbox: RedisOutbox
    instances: RestInstances
    receivers: RestReceivers
    sources: DecisionSources
    index: RedisThreadIndex
    orders: RedisOrders
    stops: RedisStops
    fleet: RedisFleet
    budgets: RedisBudgets
    rates: RedisRates
    feed_counts: RedisFeedCounts
    tickets: RedisTickets
    formats: Formats
    sharing: Sharing
    windows: RedisWindows
    heartbeat: RedisHeartbeat
    transcript: TranscriptWriter | None = None
    conversations: TranscriptReader | None = None
    asks: Asks | None = None
    decisions: Decisions | None = None
    feedback: FeedbackWriter | None = None
    handovers: HandoverBook | None = None
    remarks: RemarkBook | None = None
    visits: Visits | None = None
    watchers: Watchers | None = None
    memos: Memos | None = None
    facts: FactBook | None = None
    memory: Memory | None = None
    forgetting: Memory | None = None
    breaker: Breaker | None = None
    embedder: Embedder | None = None
    vectors: Vectors | None = None

    @property
    def sinks(self) -> list[Sink]:
        """The places that exchanges go to; those that Redis keeps them for."""
        return [self.transcript] if self.transcript is not None else []

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts that are told apart, by their providers' names."""
        return {name: each.account for name, each in self.providers.items() if each.account is not None}

    @property
    def forgets_one(self) -> bool:
        """Whether one fact can be forgotten by itself: a memory that is apart may have made others of it."""
        return self.forgetting is None or self.forgetting.name == EMBEDDED


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
            open_redis(
                url,
                connections=min(2 * (settings.max_tasks + settings.chat_slots) + 2, 64),
                ca_file=settings.redis_ca_file,
            )
        )
        engine = await stack.enter_async_context(RestEngine.open(connection(settings)))
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
                # Nothing is kept for a sink that is not there: nobody would take it out again.
                sinks=[TRANSCRIPT] if settings.keeps_transcript else [],
            ),
            providers={},
            outbox=RedisOutbox(redis, **mine),
            instances=engine.instances,
            receivers=engine.receivers,
            sources=engine.sources,
            index=RedisThreadIndex(redis, **mine, lease=settings.lock, keep=settings.thread_life),
            orders=RedisOrders(redis, **mine),
            stops=RedisStops(redis, **mine),
            fleet=RedisFleet(redis, **mine, worker=engine.worker_id),
            budgets=RedisBudgets(redis, **mine, keep=settings.thread_life),
            rates=RedisRates(redis, prefix=settings.redis_prefix),
            feed_counts=RedisFeedCounts(redis, **mine, worker=engine.worker_id),
            tickets=RedisTickets(redis, prefix=settings.redis_prefix),
            formats=Formats([in_redis]),
            sharing=sharing,
            windows=RedisWindows(redis, prefix=settings.redis_prefix),
            heartbeat=RedisHeartbeat(redis, **mine, worker=engine.worker_id),
            watchers=await stack.enter_async_context(RedisWatchers(redis, prefix=settings.redis_prefix)),
        )
        copies: Callable[[str], Book] | None = None
        if settings.keeps_transcript:
            model = next((each.embeddings for each in known.values() if each.embeddings), None)
            adapters, copies = await _with_transcript(adapters, in_redis, settings, model, stack, reads_only=reads_only)

        def account(spec: ProviderSpec, provider: OpenAIProvider) -> Account:
            anchors = RedisAnchors(redis, **mine, provider=spec.name)
            second = copies(spec.name) if copies else None
            return Account(provider, anchors, second, settings.engine_name, spec.words)

        def with_workers(connected: Connected) -> Connected:
            """Add what workers share of it."""
            seats, outages = sharing.of(connected.spec)
            connected = replace(connected, seats=seats, outages=outages)
            # Also where it is not to search any more: what it has can be listed and removed.
            if connected.spec.api not in SEARCHING:
                return connected
            client = connected.client
            book = RedisFileStores(redis, **mine, spec=lambda: client.spec)
            return replace(connected, files=OpenAIFiles(client, settings.engine_name), file_book=book)

        opened = {name: with_workers(await _open_provider(spec, account, stack)) for name, spec in known.items()}
        embedders = [Embeddings(each.client, each.spec.embeddings) for each in opened.values() if each.spec.embeddings]
        embedder = embedders[0] if embedders else None
        yield failpoints.armed(replace(adapters, providers=opened, embedder=embedder))


async def _with_transcript(
    adapters: Adapters,
    in_redis: RedisFormat,
    settings: Settings,
    embeddings: str | None,
    stack: AsyncExitStack,
    *,
    reads_only: bool,
) -> tuple[Adapters, Callable[[str], Book]]:
    """Add the transcript; returns also where it keeps the anchors of a provider's accounts.

    `embeddings` is the model that embeds what is remembered, if there is one.
    """
    from worker import transcript  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

    url = settings.transcript_url.get_secret_value()
    database = await stack.enter_async_context(transcript.open_database(url, reads_only=reads_only))
    breaker = Breaker()
    zep = await _zep(settings, adapters.sharing.redis, breaker, stack)
    vectors = None
    if embeddings is not None and settings.memory == EMBEDDED and not database.is_sqlite:
        vectors = transcript.SqlVectors(database, engine=settings.engine_name, model=embeddings)
    embedded = transcript.EmbeddedMemory(database, database.hurried(), engine=settings.engine_name, vectors=vectors)
    connected = replace(
        adapters,
        formats=Formats([in_redis, transcript.SqlFormat(database, engine=settings.engine_name)]),
        transcript=transcript.SqlTranscriptWriter(database),
        conversations=transcript.SqlTranscriptReader(database, engine=settings.engine_name),
        asks=transcript.SqlAsks(database, engine=settings.engine_name, tenants=settings.served),
        decisions=transcript.SqlDecisions(database, engine=settings.engine_name),
        feedback=transcript.SqlFeedback(database),
        handovers=transcript.SqlHandovers(database),
        remarks=transcript.SqlRemarks(database),
        visits=transcript.SqlVisits(database, engine=settings.engine_name),
        # Also while nothing is remembered: what was is there to be seen and forgotten.
        memos=transcript.SqlMemos(database, engine=settings.engine_name),
        facts=transcript.SqlFacts(
            database, database.hurried(), engine=memory_engine(settings), own_engine=settings.engine_name
        ),
        memory={"zep": zep, "embedded": embedded}.get(settings.memory),
        # Whoever has a key is asked to forget, whatever is remembered now: it may have something of before.
        forgetting=zep or embedded,
        breaker=breaker if zep else None,
        vectors=vectors,
    )
    return connected, lambda provider: transcript.SqlAnchors(database, engine=settings.engine_name, provider=provider)


def memory_engine(settings: Settings) -> str:
    """Name the engine in what names a subject; empty where engines share what they remember."""
    return "" if settings.memory_shared else settings.engine_name


async def _zep(settings: Settings, redis: RedisClient, breaker: Breaker, stack: AsyncExitStack) -> Memory | None:
    """Open the memory in Zep, if there is a key."""
    if settings.zep_api_key is None:
        return None
    from worker import zep  # noqa: PLC0415 - who has none need not read it

    prefix = settings.redis_prefix  # tells installations apart, in Zep as in Redis
    known = RedisKnownIds(redis, prefix=prefix, memory="zep")
    where = zep.Connection(settings.zep_api_key.get_secret_value(), settings.zep_api, settings.zep_url, owner=prefix)
    return await stack.enter_async_context(zep.ZepMemory.open(where, known, breaker))


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
        case "decisions":
            return Connected(spec, DecisionsModel(client), client)
        case "systemone":
            return Connected(spec, SystemOneModel(client), client)


def remembering(spec: ProviderSpec, model: Model, histories: Histories) -> RememberingProvider:
    """Have one that keeps nothing as turns see it."""
    return RememberingProvider(spec.name, model, histories, spec.context_tokens, weighs=spec.weighs, takes=spec.takes)


async def model_of(spec: ProviderSpec, stack: AsyncExitStack) -> Model:
    """Open a provider as one that keeps nothing: over its own API, or over responses where that keeps conversations."""
    client = await stack.enter_async_context(Client.open(spec))
    kinds = {"chat": ChatModel, "decisions": DecisionsModel, "systemone": SystemOneModel}
    return cast("Model", kinds.get(spec.api, ResponsesModel)(client))


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
        asks=adapters.asks,
        decisions=adapters.decisions,
        visits=adapters.visits,
        facts=adapters.facts,
        memory=adapters.forgetting,
    )


def connection(settings: Settings) -> Connection:
    """Say how the engine is reached, as a worker of a new name."""
    return Connection(
        url=settings.engine_url,
        worker_id=worker_id(),
        lock=settings.lock,
        poll=settings.poll,
        tenants=settings.tenants,
        auth=auth(settings),
        ca_file=settings.engine_ca_file,
        also=TRACE_VARIABLES if "traces" in exporting.wanted() else (),
        cert_file=settings.engine_cert_file,
        key_file=settings.engine_key_file,
    )


def auth(settings: Settings) -> Auth | None:
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
