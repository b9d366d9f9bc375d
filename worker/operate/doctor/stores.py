"""Engine, Redis and transcript against each other: samples of each, within a deadline. Nothing is made or changed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from worker.bootstrap import Adapters
from worker.domain.conversations import EVERYTHING, Filter, Session, session_id
from worker.domain.tasks import Variable, thread_variable_name
from worker.domain.threads import Thread, ThreadKey
from worker.errors import NoTranscript
from worker.modelling.result import read_thread_variable
from worker.operate.doctor import compared
from worker.operate.doctor.checks import Check, Contact, Finding
from worker.operate.doctor.compared import AREA, Sample
from worker.ports.transcript import TranscriptReader
from worker.redis import Inspection
from worker.runtime.portions import portions
from worker.settings import Settings
from worker.specs.assistants import Specs
from worker.transcript import TranscriptInfo, TranscriptInspection

MOST = 500
"""Threads, variables and turns that are looked at."""
SESSIONS = 200
"""The transcript's newest sessions that are looked at: each is read with what it counts."""
AT_ONCE = 10
"""Sessions that are asked for at a time."""
SCAN_FOR = timedelta(seconds=20)
"""How long keys are looked for: SCAN passes all keys of the database, also those of others."""
PATIENCE = timedelta(seconds=60)
"""What one comparison may take: a scan, and what is then asked of the engine and the transcript."""


def checks(
    adapters: Adapters,
    inspection: Inspection,
    tables: TranscriptInspection | None,
    to_redis: Contact,
    specs: Specs | None,
    settings: Settings,
) -> list[Check]:
    """Return the checks. They read from two stores each, and find nothing where one of them is away."""
    look = _Look(adapters, inspection, tables, specs, settings)

    def check(subject: str, compare: Callable[[], Awaitable[list[Finding]]]) -> Check:
        async def compared_() -> list[Finding]:
            await to_redis.made()
            return await compare()

        return Check(AREA, subject, compared_, patience=PATIENCE)

    return [
        check("formats", look.formats),
        check("clocks", look.clocks),
        check("instances", look.instances),
        check("thread variables", look.variables),
        check("exchanges", look.exchanges),
        *([check("transcript and Redis", look.recorded)] if adapters.conversations is not None else []),
    ]


class _Look:
    def __init__(
        self,
        adapters: Adapters,
        inspection: Inspection,
        tables: TranscriptInspection | None,
        specs: Specs | None,
        settings: Settings,
    ) -> None:
        self._adapters = adapters
        self._inspection = inspection
        self._tables = tables
        self._specs = specs
        self._settings = settings

    async def formats(self) -> list[Finding]:
        """Compare the formats that are noted."""
        noted = {"Redis": await self._inspection.format(self._settings.engine_name)}
        if (info := await self._info()) is not None:
            noted["the transcript"] = info.format
        return compared.formats(noted)

    async def clocks(self) -> list[Finding]:
        """Compare the stores' clocks with ours; the engine's has a finding of its own."""
        ahead = {"Redis": await self._inspection.clock_ahead()}
        if (info := await self._info()) is not None and info.clock_ahead is not None:
            ahead["the transcript"] = info.clock_ahead
        return compared.clocks(ahead)

    async def instances(self) -> list[Finding]:
        """Compare the threads in Redis with the engine's instances."""
        kept, whole = await self._adapters.index.some(MOST, SCAN_FOR)
        owners = {each.key: each.owner.instance for each in kept if each.thread and each.owner}
        threads = {key: instance for key, instance in owners.items() if instance is not None}
        running = await self._adapters.instances.running(set(threads.values()))
        ended = await self._adapters.instances.ended(set(threads.values()) - running)
        sample = Sample(len(threads), whole)
        return compared.instances(threads, running, ended, self._settings.retention_threads, sample, datetime.now(UTC))

    async def variables(self) -> list[Finding]:
        """Compare the variables of running instances with the map."""
        rows = await self._adapters.instances.thread_variables(MOST)
        names = {thread_variable_name(each): each for each in self._assistants()}
        named: dict[ThreadKey, Thread] = {}
        for row in rows:
            thread = read_thread_variable(Variable(row.value, "String"))
            if thread is not None and row.name in names:  # a shared thread's map has the business key in its name
                named[ThreadKey(self._settings.engine_name, row.instance, names[row.name], row.tenant)] = thread
        mapped = await self._adapters.index.named([*named])
        # As many as were asked for: there may be more.
        return compared.variables(named, mapped, Sample(len(named), len(rows) < MOST))

    async def exchanges(self) -> list[Finding]:
        """See how long exchanges have been waiting."""
        waiting = await self._adapters.index.waiting()
        return compared.unrecorded(waiting.threads, waiting.since, datetime.now(UTC))

    async def recorded(self) -> list[Finding]:
        """Compare the map with the transcript, both ways."""
        reader = self._adapters.conversations
        if reader is None:
            return []
        kept, whole = await self._adapters.index.some(MOST, SCAN_FOR)
        said_on = {each.key: each.thread for each in kept if each.thread and each.published}
        sessions = dict(await _sessions(reader, [*said_on]))
        waiting = await self._adapters.index.waiting()  # read after: what came meanwhile is among them, or recorded
        lost = await self._lost(reader)
        if not waiting.whole:  # nobody can tell what is missing
            return lost
        late = waiting.threads
        sessions |= await _sessions(reader, [key for key in said_on if key not in sessions and key not in late])
        found = compared.recorded(said_on, sessions, late, Sample(len(said_on), whole))
        return [each for each in found if each.advice] + lost or found

    async def _lost(self, reader: TranscriptReader) -> list[Finding]:
        wanted = Filter(engine=self._settings.engine_name, active=True)
        page = await reader.sessions(wanted, within=EVERYTHING, limit=SESSIONS)
        # Not those of shared threads, whose scope is a business key: they do not end with one instance.
        of_instances = {
            each.key: each.process_instance_id for each in page.items if each.scope == each.process_instance_id
        }
        running = await self._adapters.instances.running({each for each in of_instances.values() if each is not None})
        sessions = [key for key, instance in of_instances.items() if instance in running]
        mapped = await self._adapters.index.named(sessions)
        return compared.forgotten(sessions, mapped.keys(), Sample(len(sessions), page.next is None))

    async def _info(self) -> TranscriptInfo | None:
        """Ask the transcript's database; None where there is no transcript, or not yet."""
        try:
            return None if self._tables is None else await self._tables.info()
        except NoTranscript:
            return None

    def _assistants(self) -> Collection[str]:
        return set() if self._specs is None else {each.name for each in self._specs.assistants}


async def _sessions(reader: TranscriptReader, keys: Sequence[ThreadKey]) -> Mapping[ThreadKey, Session]:
    found: dict[ThreadKey, Session] = {}
    for some in portions(keys, AT_ONCE):
        read = await asyncio.gather(*(reader.session(session_id(key), within=EVERYTHING) for key in some))
        found |= {key: session for key, session in zip(some, read, strict=True) if session is not None}
    return found
