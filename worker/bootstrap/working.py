"""A worker: its parts wired, from the first poll to the end of the grace period."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from worker.bootstrap.adapters import Adapters, connect, connection, ending_ports, memory_engine
from worker.bootstrap.live import Live, names
from worker.bootstrap.people import client, open_issuer, persons
from worker.bootstrap.written import Written, allowed, policy, record_key, rules, tokens
from worker.chat.ask_turn import AskTurn
from worker.chat.asking import Asking
from worker.chat.desk import Desk
from worker.chat.handing import Handing
from worker.chat.noting import Noting
from worker.chat.ports import ChatPorts
from worker.chat.trying import Trying
from worker.chat.visiting import Visiting
from worker.documents import DocumentReader, FileShelf
from worker.domain.memory import EMBEDDED
from worker.domain.stops import Kind
from worker.ending import Eraser, Keeper, Rewinding
from worker.engine import Discovery, FixedTopics, HandlerTopics, RestEngine, classic
from worker.errors import Permanent, UnknownAssistant
from worker.loop.breakers import Breaker
from worker.loop.counted import Counted
from worker.loop.delivery import Delivery
from worker.loop.dependencies import PROVIDER, Dependencies
from worker.loop.handler import TaskHandler
from worker.loop.lease import Leases
from worker.loop.memory import SharedMemory
from worker.loop.open_topics import OpenTopics
from worker.loop.poller import Poller
from worker.loop.reloading import Reloading
from worker.loop.sieve import Sieve
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.modelling import redaction
from worker.ports.documents import Documents, Shelf
from worker.ports.engine import Topics
from worker.ports.feedback import FeedbackWriter
from worker.ports.memory import Recollection
from worker.ports.transcript import TranscriptReader
from worker.ports.visits import VisitBook
from worker.runtime import background
from worker.runtime.version import VERSION
from worker.settings import Settings, misspelt, read
from worker.specs import assistants
from worker.specs.deployed import Deployed
from worker.telemetry import exporting, metrics
from worker.telemetry.logs import Event, trace
from worker.turn.answering import Answering
from worker.turn.approving import ApprovalTurn
from worker.turn.charging import Charging
from worker.turn.file_stores import FileStores
from worker.turn.fleet import Fleet
from worker.turn.handler_turn import HandlerTurn
from worker.turn.meaning import Meaning
from worker.turn.recalling import Recalling
from worker.turn.record_turn import RecordTurn
from worker.turn.recorder import Recorder
from worker.turn.rememberer import Rememberer
from worker.turn.request import Ground
from worker.turn.reseed import History
from worker.turn.stops import Stopped
from worker.turn.task_turn import Turn
from worker.web import health

log = structlog.get_logger()

WAITING_PLACES_PER_SLOT = 4
YOUNG_OBJECTS = 10_000
"""From so many new ones on Python looks for garbage among them."""


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
    """Have Python look no more for garbage in what stays until the end, all libraries for one, and elsewhere seldom.

    It did so again and again, for 7 % of a worker's CPU, each time for 0.1 s in which nothing else went on. What is
    young then is mostly turns that run: it is looked through after some ten of them, and not several times in each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


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
    specs, known = _assistants(written, engine), names(written.specs, adapters.providers)
    renewing: list[Callable[[Settings], None]] = []
    probes = {
        "engine": engine.ping,
        "redis": threads.ping,
        "format": adapters.formats.check,
    }
    threads_of = {name: each.for_turns(threads) for name, each in adapters.providers.items()}
    async with AsyncExitStack() as stack:
        always = settings.trace_propagation == "always"
        stack.enter_context(exporting.exported(engine.worker_id, always=always, content=settings.trace_content == "on"))
        dependencies = await stack.enter_async_context(
            Dependencies(
                probes,
                {name: each.ping for name, each in threads_of.items()},
                {name: Breaker(each.outages) for name, each in adapters.providers.items() if each.outages is not None},
            )
        )
        crew = await stack.enter_async_context(background.Crew(_say_crash))
        slots, stopped = Slots(settings.max_tasks), Stopped(adapters.stops)
        open_topics = OpenTopics(_topics(settings, engine), stopped, classic.topics(settings.handlers))
        sieves = [sieve := Sieve(engine, open_topics)]
        fleet = Fleet(adapters.fleet, lambda: specs.specs.versions)

        def left_out() -> list[str]:
            return [str(entry) for each in sieves for entry in each.left_out()] + dependencies.partly()

        recorder, history, api_port = None, None, None
        chat, news = _chat(adapters), asyncio.Event()
        if adapters.sinks:
            # Entered before the poller runs, so that it ends after that: a stop's last answers are carried over.
            recorder = await stack.enter_async_context(Recorder(adapters.outbox, adapters.sinks))
        if adapters.conversations is not None and adapters.feedback is not None and adapters.visits is not None:
            history = History(adapters.conversations, settings.seed_tokens, chat.is_erased if chat else None)
            desk = Desk(chat, news.set, settings.engine_name, lambda: known["assistant"]) if chat is not None else None
            api_port = await stack.enter_async_context(
                _serve_api(
                    settings,
                    adapters,
                    adapters.conversations,
                    adapters.feedback,
                    adapters.visits,
                    left_out,
                    open_topics,
                    stopped,
                    known,
                    renewing,
                    desk if settings.chat_slots else None,
                    _talking(settings, chat, desk, adapters) if chat is not None and desk is not None else [],
                    partial(_trouble_of, dependencies, specs),
                )
            )
        await stack.enter_async_context(Keeper(ending_ports(settings, adapters), policy(settings)))
        prices = {name: each.spec.prices for name, each in adapters.providers.items()}
        seats = {name: each.seats for name, each in adapters.providers.items() if each.seats is not None}
        charging = Charging(adapters.budgets, limits, prices) if limits else None
        plain = Ground(
            threads,
            rules(settings),
            stopping.is_set,
            partial(dependencies.down, "redis"),
            partial(dependencies.down, PROVIDER),
            dependencies.trouble_of,
            crew.start,
            stopped,
            fleet,
            *_readers(stack),
            recorder,
            history,
            prices,
            charging,
            adapters.watchers,
            seats,
            await _remembering(settings, adapters, stopped, stack),
        )
        answering = Answering(threads_of, ground := _with_files(plain, adapters, stack))
        turn = Turn(
            engine,
            answering,
            specs,
            ground,
            _records(settings, adapters, stopped),
            _approvals(settings, adapters, stopped),
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

        if chat is not None and settings.chat_slots:
            asking = Asking(
                chat.asks,
                AskTurn(chat, engine, answering, specs, ground, settings.chat),
                settings.chat_slots,
                settings.lock,
                lambda: dependencies.is_up("redis") and dependencies.is_up("format") and not stopped.reasons(),
                news,
                stopping,
                hurry,
                settings.grace,
            )
            await stack.enter_async_context(asking)
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
            # Nothing is fetched before its first look.
            "stops": stopped.watch(),
            "outages": dependencies.watch(),
            "fleet": fleet.watch(),
            "format": adapters.formats.watch(partial(dependencies.down, "format")),
            **_sharing(adapters),
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
        await _polling(
            [poller, *await _handling(settings, adapters, dependencies, stopped, stopping, renewing, sieves, stack)],
            settings.grace,
            hurry,
        )


def _assistants(written: Written, engine: RestEngine) -> assistants.Current:
    providers = written.providers
    return assistants.Current(written.specs, Deployed(engine.resource, allowed(written.settings, providers), providers))


def _readers(stack: AsyncExitStack) -> tuple[Documents, Shelf]:
    """Who reads the documents of tasks, and the files of assistants: neither waits for the other."""
    return DocumentReader(), stack.enter_context(closing(FileShelf(DocumentReader())))


def _with_files(ground: Ground, adapters: Adapters, stack: AsyncExitStack) -> Ground:
    """Add the files of assistants at the providers that search them."""
    stores = {
        name: FileStores(name, each.files, each.file_book, ground.shelf)
        for name, each in adapters.providers.items()
        if each.spec.file_search and each.files is not None and each.file_book is not None
    }
    for each in stores.values():
        stack.push_async_callback(each.close)
    return replace(ground, file_stores=stores)


async def _polling(pollers: Sequence[Poller], grace: timedelta, hurry: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        for number, each in enumerate(pollers):
            group.create_task(each.run(grace.total_seconds(), hurry), name=f"poller {number}")


async def _handling(
    settings: Settings,
    adapters: Adapters,
    dependencies: Dependencies,
    stopped: Stopped,
    stopping: asyncio.Event,
    renewing: list[Callable[[Settings], None]],
    sieves: list[Sieve],
    stack: AsyncExitStack,
) -> list[Poller]:
    """Put together what serves the topics of functions, if there are any, with slots and a worker id of its own.

    By that the engine tells apart which locks are whose: each poller gives back what it does not know of.
    """
    functions = classic.load(settings.handlers)
    if not functions:
        return []
    engine = await stack.enter_async_context(RestEngine.open(connection(settings)))
    renewing.append(lambda new: engine.use(connection(new)))
    slots = Slots(settings.handler_slots, metrics.HANDLER_PLACES)
    handlers = classic.ClassicHandlers(functions, engine.worker_id, slots.keep)
    handler = TaskHandler(
        Leases(engine, settings.lock, partial(dependencies.down, "engine")),
        slots,
        HandlerTurn(engine, handlers, stopped, rules(settings)),
        WaitingRoom(0),
        Delivery(engine, adapters.threads),
        dependencies,
        stopping.is_set,
        kind="function",
    )
    topics = OpenTopics(HandlerTopics(functions, engine), stopped)
    sieves.append(sieve := Sieve(engine, topics, shown := metrics.HANDLER_POLLING))
    return [Poller(engine, sieve, slots, handler, dependencies, stopped, stopping, asks_models=False, shown=shown)]


async def _remembering(
    settings: Settings, adapters: Adapters, stopped: Stopped, stack: AsyncExitStack
) -> Recalling | None:
    """Begin to remember, and return what recalls; None where nothing is remembered beyond an instance."""
    if adapters.memory is None or adapters.memos is None or adapters.facts is None:
        return None
    redacted = redaction.read(settings.memory_redact).of
    await stack.enter_async_context(Rememberer(adapters.memory, adapters.memos, redacted))
    meaning = None
    if adapters.embedder is not None and adapters.vectors is not None:
        meaning = await stack.enter_async_context(Meaning(adapters.embedder, adapters.vectors, redacted, stopped))
    memory, leaves = adapters.memory, adapters.memory.name != EMBEDDED
    at_once = memory if meaning is None and isinstance(memory, Recollection) else None
    return Recalling(
        memory, adapters.facts, memory_engine(settings), meaning, redacted if leaves else None, at_once=at_once
    )


def _records(settings: Settings, adapters: Adapters, stopped: Stopped) -> RecordTurn:
    return RecordTurn(
        adapters.engine,
        adapters.sources,
        adapters.decisions,
        stopped,
        settings.engine_name,
        settings.record_service_accounts,
        record_key(settings),
    )


def _approvals(settings: Settings, adapters: Adapters, stopped: Stopped) -> ApprovalTurn:
    # What a person hands over from the page to a user task is completed by our own user.
    others = [*settings.record_service_accounts, *filter(None, [settings.engine_user])]
    return ApprovalTurn(adapters.engine, adapters.sources, adapters.facts, adapters.outbox, stopped, others)


def _chat(adapters: Adapters) -> ChatPorts | None:
    """Pick what it takes to talk about conversations; None where nothing is known of them."""
    if adapters.asks is None or adapters.conversations is None:
        return None
    return ChatPorts(adapters.asks, adapters.conversations, adapters.orders, adapters.instances, adapters.threads)


def _talking(settings: Settings, chat: ChatPorts, desk: Desk, adapters: Adapters) -> list[Callable[[Any], None]]:
    """Make the routes by which persons talk about conversations; those that ask, where anybody answers."""
    from worker.web import api  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

    conversations = chat.conversations
    routes = [api.asking(desk, conversations), api.talking(desk, settings.served)] if settings.chat_slots else []
    if adapters.handovers is not None:
        handing = Handing(chat, adapters.handovers, adapters.receivers, adapters.engine.has_spin)
        routes.append(api.handing_over(handing, desk, conversations))
    if adapters.remarks is not None:
        routes.append(api.recording(Noting(chat, adapters.remarks), conversations))
    return routes


def _sharing(adapters: Adapters) -> dict[str, Coroutine[Any, Any, None]]:
    """Have a memory that is apart be known to be down by all workers at once."""
    if adapters.breaker is None or adapters.forgetting is None:
        return {}
    return {"memory": SharedMemory(adapters.forgetting, adapters.breaker, adapters.sharing.of_memory()).watch()}


def _say_crash(error: Exception) -> None:
    log.error(Event.TIDYING_CRASHED, trace=trace(error))


def _topics(settings: Settings, engine: RestEngine) -> Topics:
    return FixedTopics(settings.topics, engine) if settings.topics else Discovery(engine, settings.discovery)


def _trouble_of(dependencies: Dependencies, specs: assistants.Current, assistant: str) -> str | None:
    """Say why none of those who may answer for an assistant can be asked now; None if one can, or nobody knows it."""
    try:
        chain = specs.find(assistant, None).chain
    except UnknownAssistant:
        return None
    reasons = [dependencies.trouble_of(provider) for provider, _ in chain]
    return None if None in reasons else reasons[0]


@asynccontextmanager
async def _serve_api(
    settings: Settings,
    adapters: Adapters,
    conversations: TranscriptReader,
    feedback: FeedbackWriter,
    visits: VisitBook,
    left_out: Callable[[], list[str]],
    topics: OpenTopics,
    stopped: Stopped,
    known: Mapping[Kind, Collection[str]],
    renewing: list[Callable[[Settings], None]],
    desk: Desk | None,
    talking: Sequence[Callable[[Any], None]],
    trouble_of: Callable[[str], str | None],
) -> AsyncIterator[int]:
    from worker.web import api, feeds, page  # noqa: PLC0415 - SQL takes 25 MB, which a worker without a transcript can spare

    def report(error: Exception) -> None:
        log.error(Event.API_CRASHED, trace=trace(error))

    name, engine = settings.engine_name, adapters.engine
    async with open_issuer(settings) as issuer, api.EngineSight(engine.rights, conversations.definition_keys) as sight:
        office = api.TicketOffice(adapters.tickets)
        access = api.Access.of(tokens(settings), persons(settings, issuer), office)
        access.check_host(settings.api_host)
        renewing.append(lambda new: access.use(api.Access.of(tokens(new))))
        visiting = Visiting(visits, adapters.heartbeat)
        following = feeds.Feeds(
            conversations,
            adapters.windows,
            engine=name,
            tasks=adapters.instances,
            assistants=lambda: known["assistant"],
            trouble=trouble_of,
            most=settings.feed_most,
            most_each=settings.feed_most_each,
            visiting=visiting,
            counts=adapters.feed_counts,
        )

        async def definitions() -> Collection[str]:
            names = {each.name for each in topics.every()}
            ids = {each for name in names for each in await topics.definitions(name)}
            return await engine.keys(ids, names)

        # Nobody is known to see every instance then.
        shown = tuple if settings.api_engine_rights else left_out
        extend = [
            api.erasing(eraser := Eraser(ending_ports(settings, adapters)), conversations, name, adapters.decisions),
            api.stopping(stopped, known),
            api.rewinding(Rewinding(adapters.index, conversations)),
            api.ticketing(office),
            api.rating(conversations, feedback),
            api.visiting(visits, conversations),
            *(
                [api.deciding(book, adapters.sources, Trying(book, key := record_key(settings)), key)]
                if (book := adapters.decisions) is not None
                else []
            ),
            *(
                [api.memorising(api.Memorising(facts, eraser, name, memory_engine(settings), adapters.forgets_one))]
                if (facts := adapters.facts) is not None
                else []
            ),
            *talking,
            feeds.following(following, access),
            feeds.sockets(following, access, None if desk is None else api.Intake(desk, conversations)),
            page.routes(
                conversations,
                engine,
                engine_name=name,
                can_erase=True,
                has_asks=desk is not None,
                has_memory=adapters.memory is not None,
                left_out=shown,
                definitions=definitions,
                assistants=lambda: desk.assistants if desk is not None else (),
            ),
        ]
        served = api.app(
            conversations,
            engine,
            access,
            report=report,
            frame_ancestors=settings.api_frames,
            client=client(settings, issuer),
            rates=adapters.rates,
            origins=settings.api_origins,
            sight=sight if settings.api_engine_rights else None,
            extend=extend,
        )
        async with visiting, following, api.serve(served, settings.api_host, settings.api_port) as port:
            try:
                yield port
            finally:
                following.close()  # before the server, so that each feed says why it ends


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
