"""The memory: whether it can be used, and what has yet to be remembered. Nothing is changed."""

from worker.domain.memory import Backlog
from worker.errors import MemoryDown, MemoryRefused, TranscriptDown
from worker.operate.doctor.checks import Check, Finding, Level
from worker.ports.memory import Memory, Memos, Vectors
from worker.settings import Settings

AREA = "memory"
MUCH = 1000


def checks(
    memory: Memory | None, memos: Memos | None, settings: Settings, embeddings: str = "", vectors: Vectors | None = None
) -> list[Check]:
    """Return the checks. No turn needs the memory, so nothing about it stops the work.

    `embeddings` is the model by which facts are to be found, if there is one, and `vectors` where that can be kept.
    """

    async def used() -> list[Finding]:
        if memory is None:
            return [_finding("used", Level.OK, "off (MEMORY): nothing is remembered beyond an instance")]
        try:
            await memory.check()
        except (MemoryDown, MemoryRefused) as exc:
            advice = "Turns go on without it. A transcript that no worker of this version has used yet has no memory."
            return [_finding("used", Level.WARNING, str(exc), advice)]
        return [_finding("used", Level.OK, f"{memory.name}; taken out before: {settings.memory_redact}")]

    async def waiting() -> list[Finding]:
        if memos is None:
            return []
        try:
            return of_backlog(await memos.backlog(), keeps=memory is not None)
        except TranscriptDown:
            return []  # the transcript's finding says why

    async def meaning() -> list[Finding]:
        return [] if memory is None or not embeddings else await of_meaning(embeddings, vectors)

    return [Check(AREA, "used", used), Check(AREA, "waiting", waiting), Check(AREA, "embeddings", meaning)]


async def of_meaning(embeddings: str, vectors: Vectors | None) -> list[Finding]:
    """Say whether facts are found by what they mean."""
    if vectors is None:
        said = f"facts are found by their words: {embeddings} is asked where they are in PostgreSQL alone"
        advice = "Keep what is remembered in PostgreSQL (MEMORY=embedded), or take embeddings out."
        return [_finding("embeddings", Level.WARNING, said, advice)]
    try:
        is_installed = await vectors.is_installed()
    except TranscriptDown:
        return []  # the transcript's finding says why
    if is_installed:
        return [_finding("embeddings", Level.OK, f"facts are found by what they mean, too: {embeddings}")]
    said = "facts are found by their words: the database has no extension vector"
    return [_finding("embeddings", Level.WARNING, said, "Install pgvector, and CREATE EXTENSION vector there.")]


def of_backlog(backlog: Backlog, *, keeps: bool) -> list[Finding]:
    """Judge what has yet to be remembered."""
    if not any((backlog.waiting, backlog.proposed)):
        return [_finding("waiting", Level.OK, "nothing: all is remembered")] if keeps else []
    said = f"{backlog.waiting} answers have yet to be remembered"
    if backlog.waiting and not keeps:
        return [_finding("waiting", Level.WARNING, f"{said}, and MEMORY is off", "Set MEMORY, or leave it: they go.")]
    if backlog.late:
        advice = "Mend what that says; they are tried every hour. See `memo_late` in a worker's log."
        return [_finding("waiting", Level.WARNING, f"{said}, {backlog.late} are refused: {backlog.why}", advice)]
    if backlog.waiting > MUCH:
        return [_finding("waiting", Level.WARNING, said, "See `memory_down` in a worker's log.")]
    proposed = f", {backlog.proposed} are proposed, and wait for a person" if backlog.proposed else ""
    return [_finding("waiting", Level.OK, said + proposed)]


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
