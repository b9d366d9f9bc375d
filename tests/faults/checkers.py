"""What has to hold whatever went wrong. Each checker returns its complaints; none is good."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from tests.faults.evidence import Evidence, gather
from tests.faults.history import Exchange
from tests.faults.world import World

HEARSAY_SECONDS = 0.5
"""How much later than the provider a proxy may see the end of a turn, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What the faults of a test explain.

    calls    paid calls of a task beyond the first          locked   turns refused as one ran on the thread
    threads  threads in use of an instance beyond the first  retries  the least that a failure may leave
    """

    calls: int = 0
    locked: int = 0
    threads: int = 0
    retries: int = 3
    incidents: int = 0
    unfinished: frozenset[str] = field(default_factory=frozenset)


NOTHING = Explained()


def ended(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """Every started instance ended as its model says."""
    return [
        f"instance {instance} is {state}"
        for instance, state in seen.states.items()
        if state != "COMPLETED" and instance not in explained.unfinished
    ]


def completed_once(seen: Evidence, _: Explained = NOTHING) -> list[str]:
    """At most one completion of a task was accepted, by what the engine said and by what it remembers."""
    said = Counter(
        match[1]
        for each in seen.history.of("engine", r"^POST /external-task/[^/]+/(complete|bpmnError)$")
        if each.outcome == "ok" and (match := re.search(r"/external-task/([^/]+)/", each.call))
    )
    remembered = Counter(each["externalTaskId"] for each in seen.log if each["successLog"])
    return [
        f"task {task} was completed {times} times"
        for task in sorted(seen.task_ids)
        if (times := max(said[task], remembered[task])) > 1
    ]


def turns_apart(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """No turn was started on a thread on which another one ran: neither refused by the provider, nor side by side."""
    turns = [each for each in seen.history.of("provider", "POST /responses") if _thread(each) in seen.conversations]
    refused = [each for each in turns if "conversation_locked" in str(each.reply)]
    complaints = []
    if len(refused) > explained.locked:
        complaints.append(f"{len(refused)} turns met a running one, {explained.locked} are explained")
    by_thread: dict[str | None, list[Exchange]] = {}
    for each in turns:
        if each.reached:
            by_thread.setdefault(_thread(each), []).append(each)
    return complaints + [
        f"two turns at once on {thread}"
        for thread, ran in by_thread.items()
        for first, second in combinations(sorted(ran, key=lambda each: each.began), 2)
        if second.began < (first.ended or 0) - HEARSAY_SECONDS
    ]


def paid_once(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """The model was asked once for each attempt of a task, and as often again as the fault explains."""
    most = 1 + explained.calls
    asked, landed = seen.asked(), seen.landed()
    often = [
        f"{whose} was asked {times} times"
        for ref, whose in seen.refs().items()
        if (times := max(asked[ref], landed[ref])) > most
    ]
    strange = seen.strange_questions()
    return often + [f"{strange} questions belong to no task"] * bool(strange)


def recreated_only_when_gone(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """A second thread was used only after the provider had said, of the first one by its name, that it is gone."""
    threads: dict[tuple[str, ...], list[str]] = {}
    for name, conversation in seen.conversations.items():
        if conversation["turns"]:
            metadata = conversation["metadata"]
            key = tuple(metadata.get(each, "") for each in ("engine", "tenant", "scope", "assistant"))
            threads.setdefault(key, []).append(name)
    complaints = []
    for key, names in threads.items():
        unexplained = [name for name in names if not _replaces_a_gone_one(seen, name)]
        if len(unexplained) > 1 + explained.threads:
            complaints.append(f"{len(unexplained)} threads of {key} without one being gone: {unexplained}")
    return complaints


def _replaces_a_gone_one(seen: Evidence, name: str) -> bool:
    replaced = seen.conversations[name]["metadata"].get("replaces")
    made = next((each for each in seen.history.of("provider", "POST /conversations$") if _id(each) == name), None)
    return bool(
        replaced
        and made
        and any(
            each.status == 404 and replaced in _message(each) and (each.ended or 0) <= made.began
            for each in seen.history.of("provider", text="")
        )
    )


def bound_under_hold(seen: Evidence, _: Explained = NOTHING) -> list[str]:
    """No thread was written into the map by a hold that another one had replaced."""
    holders: dict[str, tuple[str, float]] = {}
    bound: dict[str, str] = {}
    complaints = []
    for each in seen.history.of("redis", "^script (enter|bind)$"):
        if each.outcome != "ok":
            continue
        keys, arguments = _script(each)
        if each.call == "script enter" and each.reply[0] == "entered":
            holders[keys[1]] = arguments[1], each.ended or 0
        elif each.call == "script bind" and each.reply == 1 and bound.get(keys[1]) != arguments[1]:
            token, since = holders.get(keys[0], ("", 0.0))
            if token != arguments[0] and since <= each.began:
                complaints.append(f"thread {arguments[1]} was bound by a hold that was lost")
            bound[keys[1]] = arguments[1]
    return complaints


def unlocked(seen: Evidence, _: Explained = NOTHING) -> list[str]:
    """After a clean stop no task is locked by one of us, but for those that wait for their next try after a failure."""
    now = datetime.now(UTC)
    return [
        f"task {each['id']} is locked by {each['workerId']} until {each['lockExpirationTime']}"
        for each in seen.tasks
        if each["workerId"] in seen.workers() and datetime.fromisoformat(each["lockExpirationTime"]) > now
        if not (each["errorMessage"] and each["retries"])
    ]


def retries_kept(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """No failure spent a retry on what the task itself did not cause. (The engine's log knows only what was before.)"""
    told = [
        (match[1], each.request)
        for each in seen.history.of("engine", "/failure$")
        if isinstance(each.request, dict) and (match := re.search(r"/external-task/([^/]+)/", each.call))
    ]
    return [
        f"task {task} was left {body['retries']} retries: {body['errorMessage']}"
        for task, body in told
        if task in seen.task_ids and body["retries"] < explained.retries
    ]


def no_incident(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """Nobody was called."""
    if len(seen.incidents) <= explained.incidents:
        return []
    return [f"incident at {each['activityId']}: {each['incidentMessage']}" for each in seen.incidents]


def silent(seen: Evidence, _: Explained = NOTHING) -> list[str]:
    """No secret and no line of a message stands in a log, nor in what the engine was told of a failure."""
    told = "\n".join(
        f"{body.get('errorMessage')}\n{body.get('errorDetails')}"
        for each in seen.history.of("engine", "/(failure|bpmnError)$")
        if isinstance(body := each.request, dict)
    )
    places: Mapping[str, str] = {"a log": seen.worker_logs, "a failure's text": told}
    return [
        f"{place} says {word!r}"
        for word in sorted(seen.secrets | seen.message_lines())
        for place, text in places.items()
        if word in text
    ]


Checker = Callable[[Evidence, Explained], list[str]]
ALL: tuple[Checker, ...] = (
    ended,
    completed_once,
    turns_apart,
    paid_once,
    recreated_only_when_gone,
    bound_under_hold,
    unlocked,
    retries_kept,
    no_incident,
    silent,
)


def complaints(seen: Evidence, explained: Explained = NOTHING) -> list[str]:
    """What any checker has to say."""
    return [f"{checker.__name__}: {each}" for checker in ALL for each in checker(seen, explained)]


async def check(world: World, explained: Explained = NOTHING) -> Evidence:
    """Gather the evidence and complain, all at once, in an AssertionError."""
    seen = await gather(world)
    told = complaints(seen, explained)
    assert not told, "\n".join(told)
    return seen


def _thread(turn: Exchange) -> str | None:
    named = turn.request.get("conversation") if isinstance(turn.request, dict) else None
    return named.get("id") if isinstance(named, dict) else named


def _id(exchange: Exchange) -> Any:
    return exchange.reply.get("id") if isinstance(exchange.reply, dict) else None


def _message(exchange: Exchange) -> str:
    error = exchange.reply.get("error") if isinstance(exchange.reply, dict) else None
    return str(error.get("message")) if isinstance(error, dict) else ""


def _script(exchange: Exchange) -> tuple[list[str], list[str]]:
    """The keys and the arguments of an EVALSHA."""
    number = int(exchange.request[2])
    return exchange.request[3 : 3 + number], exchange.request[3 + number :]
