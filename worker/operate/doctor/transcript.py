"""The transcript: whether it is kept, can be used, and has everything. Nothing is made, migrated or written."""

from worker.domain.conversations import EVERYTHING, Filter
from worker.domain.exchanges import TRANSCRIPT
from worker.errors import NoTranscript, TranscriptDown
from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.ports.transcript import TranscriptReader
from worker.redis import RedisOutbox
from worker.settings import Settings
from worker.transcript import TranscriptInfo, TranscriptInspection

AREA = "transcript"
MUCH = 1000
"""Turns that wait: more than a busy minute leaves behind."""


def checks(
    reader: TranscriptReader | None,
    inspection: TranscriptInspection | None,
    outbox: RedisOutbox,
    to_redis: Contact,
    settings: Settings,
) -> list[Check]:
    """Return the checks. Tasks do not need the transcript, so nothing about it stops the work."""

    async def kept() -> list[Finding]:
        if reader is None:
            said = "off (TRANSCRIPT_URL): threads that are made anew know nothing of before"
            return [_finding("kept", Level.OK, said)]
        try:
            counts = await reader.counts(Filter(engine=settings.engine_name), within=EVERYTHING)
        except NoTranscript:
            return [_finding("kept", Level.OK, "none yet: the first worker that starts makes it")]
        except TranscriptDown as exc:
            advice = "Tasks go on without it; what is said waits in Redis for seven days, and is written then."
            return [_finding("kept", Level.WARNING, str(exc), advice)]
        return [_finding("kept", Level.OK, f"{counts.sessions} conversations with {counts.messages} messages")]

    async def tables() -> list[Finding]:
        try:
            return [] if inspection is None else [of_tables(await inspection.info())]
        except TranscriptDown:
            return []  # the finding above says why

    async def backlog() -> list[Finding]:
        await to_redis.made()
        turns = await outbox.backlog(TRANSCRIPT)
        return [waiting(turns, keeps=reader is not None)] if turns or reader else []

    return [Check(AREA, "kept", kept), Check(AREA, "tables", tables), Check(AREA, "waiting", backlog)]


def of_tables(info: TranscriptInfo) -> Finding:
    """Name the tables' version, and how large they are."""
    size = f"{info.size / 1_000_000:.1f} MB"
    if info.tables == info.newest:
        return _finding("tables", Level.OK, f"version {info.tables}, {size}")
    said = f"version {info.tables} of a newer worker, which has only added to {info.newest}; {size}"
    return _finding("tables", Level.OK, said)


def waiting(turns: int, *, keeps: bool) -> Finding:
    """Judge what Redis has and the transcript has not."""
    said = f"{turns} turns in Redis, which the transcript does not have yet"
    if turns and not keeps:
        advice = "Set the workers' TRANSCRIPT_URL within seven days of their answers, or leave it: they go then."
        return _finding("waiting", Level.WARNING, f"{said}, and TRANSCRIPT_URL is off", advice)
    if turns > MUCH:
        advice = "See `transcript_down` in a worker's log; they are written by themselves once it is mended."
        return _finding("waiting", Level.WARNING, said, advice)
    return _finding("waiting", Level.OK, said if turns else "nothing: the transcript has all that was said")


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
