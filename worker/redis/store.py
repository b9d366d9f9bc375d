"""Threads in Redis: the map, the hold and the journal, changed by Lua scripts only."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from uuid import uuid4

import structlog

from worker.domain.exchanges import TRANSCRIPT, Exchange
from worker.domain.threads import (
    OPENAI,
    UNSTAMPED,
    Answer,
    Answered,
    Asked,
    Busy,
    Cut,
    Decision,
    Entered,
    Entry,
    Hold,
    Intended,
    Memory,
    Past,
    Remembered,
    Stamps,
    Standing,
    Thread,
    ThreadKey,
)
from worker.domain.watching import Speaker
from worker.errors import IdsRepeated, NewerRecord, ThreadGone
from worker.redis.connect import Client
from worker.redis.formats import (
    CorruptMap,
    CorruptRecord,
    dump,
    dump_cuts,
    dump_exchange,
    dump_former,
    dump_turn,
    load,
    load_cuts,
    load_decision,
    load_turn,
)
from worker.redis.keys import Keys, unrecorded
from worker.redis.runner import Runner, ms
from worker.telemetry.logs import Event

ANSWERED_FOR = timedelta(days=7)
"""How long an answer waits for its completion: longer than any weekend with a stopped engine."""
DONE_FOR = timedelta(hours=1)
"""How long an accepted completion is remembered for a second delivery of the same task."""
NAMES = 1000
"""Of a list that are looked through by one command."""
REFUSED_FOR = timedelta(seconds=60)
"""How long a task that found its thread busy goes before what persons ask: longer than it may be parked for that."""
MEMORIES: Final[Mapping[str, Memory]] = {each: each for each in get_args(Memory)}
WATCHED = 2
"""What intend.lua returns where somebody watches the thread."""

log = structlog.get_logger()


class RedisThreads:
    """Implements `ports.threads.Threads`. `lease` is a hold's life without renewal, `keep` the map's sliding expiry.

    `sinks` are the names of those that exchanges are kept for.
    """

    def __init__(
        self, redis: Client, *, prefix: str, lease: timedelta, keep: timedelta, sinks: Sequence[str] = (TRANSCRIPT,)
    ) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix
        self._lease = ms(lease)
        self._keep = ms(keep)
        self._sinks = tuple(sinks)

    async def enter(
        self,
        key: ThreadKey,
        task_id: str,
        retries: int | None = None,
        *,
        stamps: Stamps = UNSTAMPED,
        stands_back: bool = False,
    ) -> Entry:
        """See `ports.threads.Threads.enter`. What nobody can read counts as absent, with a line in the log."""
        keys = Keys.of(self._prefix, key)
        turn = keys.turn(task_id)
        kinds = {turn: "hash", keys.hold: "hash", keys.thread: "hash", keys.said: "list", keys.refused: "zset"}
        # In the order of enter.lua's KEYS.
        names = [*kinds]
        hold = Hold(key, task_id, uuid4().hex)
        refused_for = "" if stands_back else ms(REFUSED_FOR)
        told = (_text(retries), refused_for, stamps.task, stamps.instance)
        args = (task_id, hold.token, self._lease, self._keep, *told)
        try:
            return _entry(hold, await self._run("enter", names, *args))
        except NewerRecord as exc:
            log.warning(Event.RECORD_NEWER, task_id=task_id, reason=str(exc))
            raise
        except CorruptRecord as exc:
            log.error(Event.RECORD_CORRUPT, task_id=task_id, reason=str(exc))
            await self._discard(kinds, keys.thread if isinstance(exc, CorruptMap) else turn)
            # By the same token, as the first run may have taken the hold already.
            return _entry(hold, await self._run("enter", names, *args))

    async def bind(
        self,
        hold: Hold,
        thread: Thread,
        replaces: int,
        instance: str = "",
        *,
        former: Thread | None = None,
        why: Decision | None = None,
        said: Sequence[Remembered] = (),
        tokens: int = 0,
        memory: Memory | None = None,
        cuts: Sequence[Cut] = (),
        rewound: str = "",
        order: str = "",
        began_at: str = "",
    ) -> bool:
        """See `ports.threads.Threads.bind`."""
        keys = Keys.of(self._prefix, hold.key)
        noted = "" if memory in {None, "whole"} else f"{memory}:{hold.task_id}"
        left, cut = dump_former(former, why) if former else "", dump_cuts(cuts) if cuts else ""
        told: list[str | int] = [left, tokens, noted, cut, rewound, order, began_at, *map(dump_turn, said)]
        args = (thread.id, thread.generation, replaces, self._keep, instance, thread.anchor or "", thread.provider)
        return bool(await self._run("bind", [keys.hold, keys.thread, keys.said], hold.token, *args, *told))

    async def history(self, key: ThreadKey, thread: Thread) -> Past:
        """See `ports.threads.Histories.history`."""
        keys = Keys.of(self._prefix, key)
        found, *rest = await self._run("history", [keys.thread, keys.said], thread.id)
        if not found:
            raise ThreadGone("the thread, or some of what was said on it, is not in Redis any more")
        folded, turns = rest
        try:
            return Past(tuple(map(load_turn, turns)), _number(folded))
        except CorruptRecord as exc:
            raise ThreadGone(f"what was said on the thread cannot be read: {exc}") from exc

    async def may_fold(self, key: ThreadKey, lease: timedelta) -> str | None:
        """See `ports.threads.Histories.may_fold`."""
        token = uuid4().hex
        taken = await self._run("reserve", [Keys.of(self._prefix, key).fold], "fold", token, ms(lease))
        return token if taken else None

    async def fold(self, key: ThreadKey, thread: Thread, past: Past, count: int, entry: Remembered, lease: str) -> bool:
        """See `ports.threads.Histories.fold`."""
        keys = Keys.of(self._prefix, key)
        args = (thread.id, past.folded, count, dump_turn(entry), entry.turns, lease)
        return bool(await self._run("fold", [keys.thread, keys.said, keys.fold], *args))

    async def intend(
        self, hold: Hold, attempt: int, limit: timedelta, whose: Speaker | None = None, generation: int | None = None
    ) -> Intended | None:
        """See `ports.threads.Threads.intend`."""
        keys = Keys.of(self._prefix, hold.key)
        names = [keys.turn(hold.task_id), keys.hold, keys.thread, keys.watched]
        of = (whose.definition_key, whose.instance) if whose else ("", "")
        noted = await self._run("intend", names, hold.token, attempt, ms(limit), self._keep, *of, _text(generation))
        return Intended(watched=noted == WATCHED) if noted else None

    async def note(self, hold: Hold, attempt: int, response_id: str) -> bool:
        """See `ports.threads.Threads.note`."""
        names = [Keys.of(self._prefix, hold.key).turn(hold.task_id)]
        return bool(await self._run("note", names, attempt, response_id, self._keep))

    async def keep_answer(
        self,
        hold: Hold,
        attempt: int,
        answer: Answer,
        *,
        published: bool,
        exchange: Exchange | None = None,
        remembered: Remembered | None = None,
        tokens: int | None = None,
        person: str = "",
    ) -> Answer:
        """See `ports.threads.Threads.keep_answer`."""
        keys = Keys.of(self._prefix, hold.key)
        turn = keys.turn(hold.task_id)
        written = answer.thread.id if published and answer.thread else ""
        sinks, record = ((), "") if exchange is None else (self._sinks, dump_exchange(exchange))
        # First, and in a slot of its own: whoever drains the list finds no more than a turn without an answer yet.
        await self._list(hold.key.engine, turn, sinks)
        given_on, anchor = (answer.thread.id, answer.thread.anchor or "") if answer.thread else ("", "")
        told = dump_turn(remembered) if remembered else ""
        thread = (given_on, anchor, told, tokens or "")
        given = dump(answer)
        args = (hold.token, attempt, given, ms(ANSWERED_FOR), written, record, *thread, person)
        names = [turn, keys.hold, keys.thread, keys.said, keys.erased, *(Keys.exchanges(turn, sink) for sink in sinks)]
        kept = await self._run("keep_answer", names, *args)
        if exchange is not None and exchange.recovered is not None:
            # It was listed while no call was noted: whoever drained the list then has taken it off.
            await self._list(hold.key.engine, turn, sinks)
        if kept is None:
            raise NewerRecord("this turn in the journal")
        if kept == given:
            return answer
        try:
            return load(kept)
        except CorruptRecord:
            # An earlier one counts, and nobody can read it: then the task is told this one.
            return answer

    async def drop_answer(self, key: ThreadKey, task_id: str, attempt: int, repair: str = "") -> None:
        """See `ports.threads.Threads.drop_answer`."""
        await self._run("drop_answer", [Keys.of(self._prefix, key).turn(task_id)], attempt, self._keep, repair)

    async def note_retries(self, key: ThreadKey, task_id: str, retries: int) -> None:
        """See `ports.threads.Threads.note_retries`."""
        await self._run("note_retries", [Keys.of(self._prefix, key).turn(task_id)], retries)

    async def close(self, key: ThreadKey, task_id: str) -> None:
        """See `ports.threads.Threads.close`."""
        await self._run("close", [Keys.of(self._prefix, key).turn(task_id)], ms(DONE_FOR))

    async def renew(self, hold: Hold) -> bool:
        """See `ports.threads.Threads.renew`."""
        keys = Keys.of(self._prefix, hold.key)
        return bool(await self._run("renew", [keys.hold], hold.token, self._lease))

    async def leave(self, hold: Hold, *, asked: bool, trouble: bool, unpaid: bool = False) -> None:
        """See `ports.threads.Threads.leave`."""
        keys = Keys.of(self._prefix, hold.key)
        names = [keys.turn(hold.task_id), keys.hold, keys.thread]
        await self._run("leave", names, hold.token, int(asked), int(trouble), self._keep, int(unpaid))

    async def unrecorded(self, key: ThreadKey, but: str) -> bool:
        """See `ports.threads.Threads.unrecorded`. Goes through the names of all that is unrecorded of this engine."""
        keys = Keys.of(self._prefix, key)
        listed = unrecorded(self._prefix, key.engine, TRANSCRIPT)
        # Prefix and parts have no letter that means something in a pattern.
        names = self._redis.zscan_iter(listed, match=f"{keys.turn('')}*", count=NAMES)
        while (found := await self._runner.command(anext(names, None))) is not None:
            name = str(found[0])
            # A name alone says little: it is listed before there is an answer, and may stay a while after it.
            if name != keys.turn(but) and await self._runner.command(self._redis.hexists(name, "unrecorded")):
                return True
        return False

    async def standing(self, key: ThreadKey) -> Standing:
        """See `ports.threads.Threads.standing`."""
        keys = Keys.of(self._prefix, key)
        holder, since, answers, cuts, generation, rewind = await self._run("standing", [keys.hold, keys.thread])
        since_at = datetime.fromtimestamp(int(since) / 1000, UTC) if since.isdecimal() else None
        cut = load_decision(rewind).cut(_count(generation) + 1) if rewind else ()
        return Standing(holder or None, since_at, _count(answers), (*(load_cuts(cuts) if cuts else ()), *cut))

    async def ping(self) -> None:
        """Return if Redis runs scripts that write: a replica or a full server answers PING, and scripts that read."""
        await self._run("ping", [f"{self._prefix}:ping"])

    async def _list(self, engine: str, turn: str, sinks: Iterable[str]) -> None:
        """Put a turn on the lists of these. That of a sink which is never heard of again goes with what was for it."""
        for sink in sinks:
            life = "" if sink == TRANSCRIPT else ms(ANSWERED_FOR)  # older workers would not renew it
            await self._run("list", [unrecorded(self._prefix, engine, sink)], turn, life)

    async def _run(self, name: str, keys: list[str], *args: str | int) -> Any:
        return await self._runner.run(name, keys, *args)

    async def _discard(self, kinds: Mapping[str, str], unreadable: str) -> None:
        """Remove what is of a kind that it cannot be; if nothing is, the map or the turn's answer, unreadable."""
        found = {name: await self._runner.command(self._redis.type(name)) for name in kinds}
        spoilt = [name for name, kind in found.items() if kind not in {kinds[name], "none"}]
        if not spoilt and unreadable == next(iter(kinds)):  # the turn
            await self._run("discard", [unreadable])
            return
        for name in spoilt or [unreadable]:
            await self._runner.command(self._redis.delete(name))


def _entry(hold: Hold, reply: list[Any]) -> Entry:
    match reply:
        case ["answered", attempt, answer, repair, calls, call, memory, rewound, *heard]:
            known = _heard(heard), _memory(memory), rewound
            return Answered(load(answer), _attempt(attempt), repair, calls, call, *known)
        case ["newer"]:
            raise NewerRecord("this turn in the journal, or the thread in the map,")
        case ["another"]:
            raise IdsRepeated(hold.key.scope)
        case ["busy"]:
            return Busy()
        case ["entered", attempt, thread_id, generation, published, running, trouble, deaths, *more]:
            response, repair, anchor, provider, calls, dropped, call, *more = more
            tokens, busy, renewal, answers, memory, cuts, rewound, of, *heard = more
            thread = Thread(thread_id, _number(generation), anchor or None, provider or OPENAI) if thread_id else None
            return Entered(
                hold=hold,
                attempt=_attempt(attempt),
                thread=thread,
                published=published == "1",
                asked=None
                if running < 0
                else Asked(timedelta(milliseconds=running), response or None, call, _count(of)),
                trouble_for=timedelta(milliseconds=trouble),
                deaths=deaths,
                repair=repair,
                calls=calls,
                dropped=dropped,
                tokens=int(tokens) if tokens.isdecimal() else None,
                busy_for=timedelta(milliseconds=busy),
                renewal=load_decision(renewal) if renewal else None,
                order=renewal,
                answers=_count(answers),
                heard=_heard(heard),
                memory=_memory(memory),
                cuts=load_cuts(cuts) if cuts else (),
                rewound=rewound,
            )
    raise CorruptRecord("unknown reply")


def _heard(reply: list[str]) -> dict[str, int]:
    return {name: _count(count) for name, count in zip(reply[::2], reply[1::2], strict=True)}


def _memory(word: str) -> Memory | None:
    return MEMORIES.get(word)


def _text(number: int | None) -> str | int:
    return "" if number is None else number


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _attempt(text: str) -> int:
    if not text.isdecimal():
        raise CorruptRecord("an attempt that is no number")
    return int(text)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise CorruptMap("not a number") from exc
