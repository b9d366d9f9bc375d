"""What it means where engine, Redis and transcript tell of different things, and what to do. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.domain.conversations import Session
from worker.domain.formats import FORMAT
from worker.domain.threads import Thread, ThreadKey
from worker.operate.doctor.checks import Finding, Level
from worker.runtime.clock import CLOCKS_APART

AREA = "stores"
NAMED = 3
"""Examples in one finding."""
RECORDED_WITHIN = timedelta(minutes=10)
"""How long an exchange may wait for the transcript before somebody should look."""
ROUNDS = timedelta(days=1)
"""How long retention may take for what is due."""
_RENEW = (
    "Redis was restored to an earlier moment, or lost its last writes. Their next turns go on on the older threads, "
    "which do not know what was said since: have them replaced by ones that are told what the transcript has, with "
    "`assistant-worker threads renew THREAD`; `threads list` shows the ids."
)
_COUNTED = (
    " Its ids are numbers, which an engine that was lost or restored gives out again, and a task of a new instance "
    "with a lost one's id is an incident. Before anything is started there, give a lost engine another ENGINE_NAME; "
    "docs/backup.md says what to do for a restored one."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """How many were looked at, and whether those are all."""

    seen: int
    whole: bool

    def of(self, count: int) -> str:
        """Say how many of them."""
        return f"{count} of {self}"

    def __str__(self) -> str:
        """Say how many were looked at."""
        return f"{self.seen}{'' if self.whole else ' (there are more)'}"


def instances(
    threads: Mapping[ThreadKey, str],
    running: Collection[str],
    ended: Mapping[str, datetime | None],
    retention: timedelta | None,
    sample: Sample,
    now: datetime,
) -> list[Finding]:
    """Compare the threads in Redis, each with the instance that it ends with, with what the engine knows of these."""
    unknown = [key for key, instance in threads.items() if instance not in running and instance not in ended]
    until = None if retention is None else now - retention - ROUNDS
    due = [
        key
        for key, instance in threads.items()
        # Not due is what has no end yet, nor what the engine does not know: from when on its time runs nobody can tell.
        if until is not None and (at := ended.get(instance)) is not None and at < until
    ]
    found = []
    if unknown:
        count = sample.of(len(unknown))
        said = f"{count} threads in Redis are of instances that the engine does not know: {_such(unknown)}"
        advice = (
            "The engine was restored to an earlier moment, its history was cleaned, its user may not see them, or two "
            "engines go by one ENGINE_NAME. If it is one of the last two, mend that within a day. Otherwise nothing is "
            "to do: after a day they count as over, and go when RETENTION_THREADS_DAYS says so."
        )
        if any(threads[key].isdecimal() for key in unknown):
            advice += _COUNTED
        found.append(_finding("instances", Level.WARNING, said, advice))
    if due:
        said = f"{sample.of(len(due))} threads in Redis should have been erased a day ago or more: {_such(due)}"
        advice = (
            "See `end_delayed` in the workers' logs; `assistant-worker threads erase --ended` does it now, and says "
            "what keeps it."
        )
        found.append(_finding("instances", Level.WARNING, said, advice))
    said = f"the engine knows the instances of {sample} threads in Redis"
    return found or [_finding("instances", Level.OK, said)]


def variables(named: Mapping[ThreadKey, Thread], mapped: Mapping[ThreadKey, Thread], sample: Sample) -> list[Finding]:
    """Compare what the variables of running instances name with the map."""
    lost = [key for key in named if key not in mapped]
    both = {key: (thread, mapped[key]) for key, thread in named.items() if key in mapped and mapped[key] != thread}
    behind = [key for key, (thread, known) in both.items() if thread.generation > known.generation]
    others = [key for key in both if key not in behind]
    found = []
    if lost:
        said = f"{sample.of(len(lost))} threads of running instances are not in Redis: {_such(lost)}"
        advice = (
            "Redis has lost them. Nothing is to do: the next task of each finds its thread by the transcript or by the "
            "process variable, after a check that it belongs there."
        )
        found.append(_finding("thread variables", Level.WARNING, said, advice))
    if behind:
        said = f"{sample.of(len(behind))} running instances' variables name a later thread than Redis: {_such(behind)}"
        found.append(_finding("thread variables", Level.WARNING, said, _RENEW))
    if others:
        said = f"{sample.of(len(others))} running instances' variables name another thread than Redis: {_such(others)}"
        advice = (
            "Redis' word counts, so nothing is lost while it is there: the engine was restored to an earlier moment, "
            "or somebody wrote the variable. Should Redis be lost now, what the transcript has of it counts."
        )
        found.append(_finding("thread variables", Level.WARNING, said, advice))
    said = f"Redis names the same threads as {sample} variables of running instances"
    return found or [_finding("thread variables", Level.OK, said)]


def recorded(
    threads: Mapping[ThreadKey, Thread],
    sessions: Mapping[ThreadKey, Session],
    waiting: Collection[ThreadKey],
    sample: Sample,
) -> list[Finding]:
    """Compare the threads in Redis on which something was said with the transcript's sessions."""
    settled = {key: thread for key, thread in threads.items() if key not in waiting}
    missing = [key for key in settled if key not in sessions]
    apart = {
        key: (thread.generation, sessions[key].generation or 1)
        for key, thread in settled.items()
        if key in sessions and sessions[key].thread_id not in (None, thread.id)
    }
    behind = [key for key, (mapped, told) in apart.items() if told > mapped]
    before = [key for key in apart if key not in behind]
    found = []
    if behind:
        said = f"the transcript knows a later thread than Redis for {sample.of(len(behind))}: {_such(behind)}"
        found.append(_finding("transcript and Redis", Level.WARNING, said, _RENEW))
    if missing or before:
        such = [*missing, *before]
        said = f"what was said on {sample.of(len(such))} threads in Redis is not in the transcript: {_such(such)}"
        advice = (
            "The transcript was restored to an earlier moment, begun anew, or off for a while. Tasks go on; what was "
            "written before stays unknown to page, exports and to threads that are made anew, unless the provider or a "
            "later copy has it."
        )
        found.append(_finding("transcript and Redis", Level.WARNING, said, advice))
    said = f"the transcript has what was said on {sample} threads in Redis"
    return found or [_finding("transcript and Redis", Level.OK, said)]


def forgotten(sessions: Collection[ThreadKey], mapped: Collection[ThreadKey], sample: Sample) -> list[Finding]:
    """Compare the transcript's sessions of running instances with the map."""
    lost = [key for key in sessions if key not in mapped]
    if not lost:
        return []
    said = (
        f"{sample.of(len(lost))} conversations of running instances in the transcript are not in Redis: {_such(lost)}"
    )
    advice = "Redis has lost them. Nothing is to do: the next task of each finds its thread again by the transcript."
    return [_finding("transcript and Redis", Level.WARNING, said, advice)]


def unrecorded(waiting: Collection[ThreadKey], oldest: datetime | None, now: datetime) -> list[Finding]:
    """Judge how long exchanges have been waiting for the transcript."""
    if oldest is None or now - oldest <= RECORDED_WITHIN:
        said = f"of {len(waiting)} threads something waits for the transcript, no longer than 10 minutes"
        return [_finding("exchanges", Level.OK, said if waiting else "none waits for the transcript")]
    said = (
        f"of {len(waiting)} threads something waits for the transcript, since {oldest:%Y-%m-%d %H:%MZ} at least: "
        f"{_such(sorted(waiting, key=str))}"
    )
    advice = (
        "Start a worker with this TRANSCRIPT_URL if none runs; else see `transcript_down` and `exchange_unstorable` in "
        "its log. What waits for seven days is lost to the transcript."
    )
    return [_finding("exchanges", Level.WARNING, said, advice)]


def formats(noted: Mapping[str, int | None]) -> list[Finding]:
    """Compare the formats that the stores have noted with this version's."""
    told = ", ".join(f"{store} {'none' if number is None else number}" for store, number in noted.items())
    numbers = [number for number in noted.values() if number is not None]
    said = f"noted: {told}; this version's is {FORMAT}"
    if any(number > FORMAT for number in numbers):
        advice = "A newer worker has changed what is kept. Update this one, or stop the newer ones and restore a copy."
        return [_finding("formats", Level.PROBLEM, said, advice)]
    if len(set(numbers)) > 1:
        advice = "The stores are of different moments. Nothing is to do: the next worker that starts notes its own."
        return [_finding("formats", Level.WARNING, said, advice)]
    return [_finding("formats", Level.OK, said)]


def clocks(ahead: Mapping[str, timedelta]) -> list[Finding]:
    """Compare the clocks of the stores with ours."""
    apart = {store: by for store, by in ahead.items() if abs(by) > CLOCKS_APART}
    if not apart:
        return [_finding("clocks", Level.OK, f"those of {' and '.join(ahead)} and ours agree to the minute")]
    told = ", ".join(
        f"that of {store} is {abs(round(by.total_seconds()))} s {'ahead of' if by > timedelta(0) else 'behind'} ours"
        for store, by in apart.items()
    )
    advice = (
        "Set the clock that is wrong. Deadlines go by Redis' clock alone, so no turn suffers; times in the transcript "
        "are Redis', and nothing ends by its age while ours or the engine's is five minutes apart from it."
    )
    return [_finding("clocks", Level.WARNING, told, advice)]


def _such(keys: Sequence[ThreadKey]) -> str:
    """Name some."""
    names = [f"{key.scope} with {key.assistant}" for key in keys[:NAMED]]
    return ", ".join(names) + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
