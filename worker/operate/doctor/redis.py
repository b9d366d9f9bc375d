"""Redis: whether it takes our writes and scripts, and whether it keeps what it is given."""

import re

from worker.domain.stops import Stops
from worker.errors import StoreDown
from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.redis import Inspection, RedisInfo, RedisStops, RedisThreads, Unusable
from worker.settings import Settings

AREA = "Redis"
OLDEST = 6
"""The scripts were seen to run from this version of Redis on."""


def checks(
    inspection: Inspection, threads: RedisThreads, book: RedisStops, contact: Contact, settings: Settings
) -> list[Check]:
    """Return the checks of Redis. The contact is a write that changes nothing."""
    address = settings.redis_address

    async def writes() -> list[Finding]:
        try:
            await contact.made()
        except Unusable as exc:
            return [_finding("writes", Level.PROBLEM, f"{exc} (at {address})", exc.advice)]
        return [_finding("writes", Level.OK, f"Redis at {address} takes them")]

    async def scripts() -> list[Finding]:
        await contact.made()
        try:
            await threads.ping()
        except StoreDown as exc:
            return [_finding("scripts", Level.PROBLEM, str(exc), "Let the worker's user run EVALSHA and EVAL.")]
        return [_finding("scripts", Level.OK, "run")]

    async def stops() -> list[Finding]:
        await contact.made()
        return stopped(await book.read())

    async def keeping() -> list[Finding]:
        info = await inspection.info()
        return [version(info), eviction(info), persistence(info)]

    return [
        Check(AREA, "writes", writes, Level.PROBLEM, f"See whether Redis at {address} is overloaded or cut off."),
        Check(AREA, "scripts", scripts),
        Check(AREA, "stops", stops),
        Check(AREA, "version, eviction, persistence", keeping),
    ]


def stopped(stops: Stops) -> list[Finding]:
    """Say what operators have stopped; where nothing is, there is nothing to say."""
    lift = "Its tasks wait with their retries unchanged. To lift it: assistant-worker resume"
    known = [_finding(each.what, Level.WARNING, str(each), f"{lift} {each.words}") for each in stops.known]
    return known + [
        _finding("stops", Level.WARNING, line, "Look at it with the newest worker.") for line in stops.ignored
    ]


def version(info: RedisInfo) -> Finding:
    """Name what it is."""
    if info.version is None:
        return _finding("version", Level.UNKNOWN, "Redis does not say")
    said = f"{info.product} {info.version}"
    number = re.match(r"\d+", info.version)
    if number and int(number[0]) < OLDEST:
        advice = f"Take Redis {OLDEST} or newer, or Valkey."
        return _finding("version", Level.WARNING, f"{said}: too old for anybody to have tried", advice)
    return _finding("version", Level.OK, said)


def eviction(info: RedisInfo) -> Finding:
    """Judge what Redis drops when its memory is full. Every key of ours has an expiry, so volatile-* drops them too."""
    policy = info.policy
    advice = "Set maxmemory-policy to noeviction, or give the worker a Redis of its own that has it."
    if policy is None:
        return _finding(
            "eviction", Level.UNKNOWN, "Redis does not say its maxmemory-policy", f"{advice} Ask its owner."
        )
    if policy.startswith("allkeys"):
        said = f"{policy}: when memory is full, Redis drops threads and answers, also of running instances"
        return _finding("eviction", Level.PROBLEM, said, advice)
    if policy.startswith("volatile"):
        said = f"{policy}: when memory is full, Redis drops keys that have an expiry, which all of ours have"
        return _finding("eviction", Level.WARNING, said, advice)
    return _finding("eviction", Level.OK, f"{policy}: when memory is full, the worker waits and nothing is lost")


def persistence(info: RedisInfo) -> Finding:
    """Judge what a restart of Redis leaves."""
    if info.append_only:
        return _finding("persistence", Level.OK, "append-only file: a crash costs a second or so")
    if info.snapshots:
        said = f"snapshots (save {info.snapshots}): a crash costs what came after the last one"
        return _finding("persistence", Level.OK, said)
    advice = "Set appendonly to yes (appendfsync everysec)."
    if info.append_only is None or info.snapshots is None:
        return _finding(
            "persistence", Level.UNKNOWN, "Redis does not say what it keeps on disk", f"{advice} Ask its owner."
        )
    said = (
        "none: a restart of Redis forgets threads, holds and answers. Threads are found again by their process "
        "variables; turns that were under way may be asked, and paid, twice"
    )
    return _finding("persistence", Level.WARNING, said, advice)


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
