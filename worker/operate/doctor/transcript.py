"""The transcript: whether it is kept, and can be used. Nothing is made, migrated or written."""

from worker.domain.conversations import EVERYTHING, Filter
from worker.errors import NoTranscript, TranscriptDown
from worker.operate.doctor.checks import Check, Finding, Level
from worker.ports.transcript import TranscriptReader
from worker.settings import Settings

AREA = "transcript"


def checks(reader: TranscriptReader | None, settings: Settings) -> list[Check]:
    """Return the one check. Tasks do not need the transcript, so nothing about it stops the work."""

    async def kept() -> list[Finding]:
        if reader is None:
            return [_finding(Level.OK, "off (TRANSCRIPT_URL): threads that are made anew know nothing of before")]
        try:
            counts = await reader.counts(Filter(engine=settings.engine_name), within=EVERYTHING)
        except NoTranscript:
            return [_finding(Level.OK, "none yet: the first worker that starts makes it")]
        except TranscriptDown as exc:
            advice = "Tasks go on without it; what is said waits in Redis for seven days, and is written then."
            return [_finding(Level.WARNING, str(exc), advice)]
        return [_finding(Level.OK, f"{counts.sessions} conversations with {counts.messages} messages")]

    return [Check(AREA, "kept", kept)]


def _finding(level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, "kept", level, said, advice)
