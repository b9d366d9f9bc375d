"""The engine: whether it lets us work, what it is, what we may do there, and what it can store."""

from worker.bootstrap.people import anybody_may
from worker.engine import EngineInfo, Kept, RestEngine
from worker.engine.info import OF_PERSONS, TO_HAND_OVER, Rights
from worker.errors import EngineDenied, EngineDown
from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.runtime.clock import CLOCKS_APART
from worker.settings import Settings

AREA = "engine"
TO_FIND = "to find the topics"
"""How the right to see definitions begins in `EngineInfo.lacking`."""
NOBODYS_TASK = "assistant-worker-doctor"
"""An id that no task has: engines make UUIDs or numbers."""


def checks(engine: RestEngine, contact: Contact, settings: Settings) -> list[Check]:
    """Return the checks of the engine. The contact is one empty fetch."""

    async def fetching() -> list[Finding]:
        try:
            await contact.made()
        except EngineDenied as exc:
            return [_finding("fetching tasks", Level.PROBLEM, str(exc), _credentials(settings))]
        return [_finding("fetching tasks", Level.OK, f"the engine at {settings.engine_url} hands out tasks")]

    async def info() -> list[Finding]:
        await reached(contact)
        told = await engine.info(of_persons(settings))
        # Who lacks a right to all definitions may have it for single ones, for which nobody asked.
        sees_any = not told.lacking or bool(await engine.deployed())
        return [version(told), rights(told, sees_any=sees_any), clock(told)]

    async def history() -> list[Finding]:
        await reached(contact)
        try:
            # Asked for its refusal alone: `history` looks into this log only where an instance runs.
            await engine.was_completed(NOBODYS_TASK)
        except EngineDenied as exc:
            advice = "Let the worker read the history: after a lost reply it looks there whether its result arrived."
            return [_finding("history", Level.WARNING, str(exc), advice)]
        return [history_of(await engine.history())]

    async def spin() -> list[Finding]:
        await contact.made()  # refused credentials would look like an engine without Spin
        return [results(spin=await engine.has_spin())]

    start = f"Start the engine, or correct ENGINE_URL, which is {settings.engine_url} now."
    return [
        Check(AREA, "fetching tasks", fetching, Level.PROBLEM, start),
        Check(AREA, "version, rights, clock", info),
        Check(AREA, "history", history),
        Check(AREA, "Spin", spin),
    ]


async def reached(contact: Contact) -> None:
    """Wait for the first request to end; raise EngineDenied if it did so.

    Then nothing else is asked: engines lock a user after some wrong passwords, and we would spend them all at once.
    """
    try:
        await contact.made()
    except EngineDenied:
        raise
    except EngineDown:
        return


def of_persons(settings: Settings) -> Rights:
    """List the rights that are needed for what persons do over the API."""
    sees = OF_PERSONS if settings.api_engine_rights else {}
    return {**sees, **(TO_HAND_OVER if anybody_may("hand_over", settings) else {})}


def version(info: EngineInfo) -> Finding:
    """Name the engine. The API does not tell the product, but only Camunda counts from 7."""
    product = "Camunda 7" if info.version.startswith("7.") else "Operaton or CIB seven"
    return _finding("version", Level.OK, f"{product}, version {info.version}")


def rights(info: EngineInfo, *, sees_any: bool) -> Finding:
    """Judge what is lacking. Who sees some definitions may well have the other rights for those, too."""
    if not info.lacking:
        return _finding("rights", Level.OK, "all that the worker needs, with every definition")
    said = f"none {'; none '.join(info.lacking)}"
    if sees_any or not any(lack.startswith(TO_FIND) for lack in info.lacking):
        advice = (
            "Grant the worker's user these rights, for all definitions or at least for those that it is to work on."
        )
        return _finding("rights", Level.WARNING, f"{said}, unless for single definitions", advice)
    advice = "Grant the worker's user these rights, for all definitions or for those that it is to work on."
    return _finding("rights", Level.PROBLEM, f"{said}, and no definition that it can see", advice)


def clock(info: EngineInfo) -> Finding:
    """Compare the clocks. No turn depends on it, but people compare logs with Cockpit, and ends go by their age."""
    ahead = info.clock_ahead
    if ahead is None:
        return _finding("clock", Level.UNKNOWN, "the engine's answer has no date")
    seconds = round(ahead.total_seconds())
    if abs(ahead) <= CLOCKS_APART:
        return _finding("clock", Level.OK, "the engine's and ours agree to the minute")
    said = f"the engine's is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} ours"
    advice = (
        "Set the clock that is wrong. The worker's log and Cockpit will not match, and while they "
        "are five minutes apart nothing ends by its age."
    )
    return _finding("clock", Level.WARNING, said, advice)


def history_of(kept: Kept) -> Finding:
    """Judge what the history keeps; where it keeps nothing the worker looks into it in vain."""
    match kept:
        case Kept.ALL:
            return _finding("history", Level.OK, "keeps instances and what became of external tasks (level full)")
        case Kept.SOME:
            return _finding(
                "history", Level.OK, "keeps instances; whether also external tasks (level full) is not seen"
            )
        case Kept.NOTHING:
            said = (
                "does not know an instance that runs: the history level is none, or the worker's user may not read it. "
                "That a process is over is then noticed a day later, exports lack called processes that ended, and a "
                "completion whose reply was lost is done again"
            )
            advice = "Set the engine's history level to activity or higher, and grant READ_HISTORY."
            return _finding("history", Level.WARNING, said, advice)
    return _finding("history", Level.UNKNOWN, "answers; what it keeps is seen when an instance runs")


def results(*, spin: bool) -> Finding:
    """Say what the engine's plugins mean for results."""
    if spin:
        return _finding("Spin", Level.OK, "the engine has it: Json results and texts of any length are stored as such")
    said = (
        "the engine does not have it: Json results become text, and what is longer than 4000 characters becomes a "
        "File, which expressions cannot read; <output>_meta says how a result was stored"
    )
    advice = "Add the Spin plugin with JSON to the engine, or let no expression look at long or Json results."
    return _finding("Spin", Level.WARNING, said, advice)


def _credentials(settings: Settings) -> str:
    if settings.engine_token_url:
        return (
            "Correct ENGINE_CLIENT_ID and ENGINE_CLIENT_SECRET, and what ENGINE_SCOPE and ENGINE_AUDIENCE ask for, and "
            "give this client the right to external tasks."
        )
    if settings.engine_token:
        return "Put a valid token into ENGINE_TOKEN, and give its user the right to external tasks."
    if settings.engine_user:
        return "Correct ENGINE_USER and ENGINE_PASSWORD, and give this user the right to external tasks."
    return "Set ENGINE_USER and ENGINE_PASSWORD, ENGINE_TOKEN, or ENGINE_TOKEN_URL: the engine wants to know who asks."


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
