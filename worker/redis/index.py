"""Everything that Redis keeps, thread by thread, and its end. Looks by SCAN, which holds nobody up."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from worker.domain.endings import Kept, TurnKept, Unrecorded
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.threads import OPENAI, Decision, Hold, Thread, ThreadKey
from worker.errors import NewerRecord, StoreDown
from worker.redis.connect import Client
from worker.redis.formats import KNOWN, CorruptRecord, dump_decision, is_newer, load_former, named
from worker.redis.keys import Keys, read_name, stem, unrecorded
from worker.redis.runner import Runner, moment, ms
from worker.redis.store import ANSWERED_FOR
from worker.runtime.clock import monotonic
from worker.runtime.portions import portions

ERASED_FOR = ANSWERED_FOR + timedelta(days=1)
"""How long it is known that a thread was erased: longer than a call, and what waits in a worker's memory, together."""
ENDING = "ending"
"""Stands in a hold where otherwise the task does."""
STEP = 1000
"""Keys that the server looks at before it serves others."""
AT_ONCE = 50
"""Hashes that are asked for at once."""
MOST_WAITING = 10_000
"""Turns that wait for the transcript whose names are read; their contents may be long, and are for a few only."""
KINDS = frozenset({"thread", "hold", "said", "fold", "refused", "turn", "watched", "live", "erased"})
"""What is a thread's. Exchanges for sinks, and whatever a newer version keeps there, go where all is to go."""


class RedisThreadIndex:
    """Implements `ports.ending.ThreadIndex` for one engine. `lease` and `keep` as for `RedisThreads`."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, lease: timedelta, keep: timedelta) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix
        self._engine = engine
        self.lease = lease
        self._keep = keep

    async def now(self) -> datetime:
        """See `ports.ending.ThreadIndex.now`."""
        return moment(await self._runner.run("clock", [f"{stem(self._prefix, self._engine)}:clock"]))

    async def threads(self) -> list[Kept]:
        """See `ports.ending.ThreadIndex.threads`."""
        names: defaultdict[ThreadKey, list[tuple[str, str]]] = defaultdict(list)
        async for name in self._scan(f"{stem(self._prefix, self._engine)}:{{*"):
            # That somebody watches, or has erased it, leaves nothing of a thread.
            found = read_name(name, self._prefix, self._engine)
            if found is not None and found.kind not in {"watched", "erased"}:
                names[found.key].append((found.kind, name))
        keys = sorted(names, key=lambda key: (key.tenant or "", key.scope, key.assistant))
        hashes = await self._hashes([self._keys(key).thread for key in keys])
        return [_kept(key, fields, names[key]) for key, fields in zip(keys, hashes, strict=True)]

    async def providers(self, within: timedelta) -> tuple[Mapping[str, int], bool]:
        """Count the threads of the map by their providers; False behind that: time was up before all were seen."""
        found, names = Counter[str](), _Bounded(self._scan(self._maps), within)
        async for some in names.portions():
            for fields in await self._hashes(some):
                if fields.get("id"):
                    found[fields.get("provider") or OPENAI] += 1
        return found, names.whole

    async def some(self, most: int, within: timedelta) -> tuple[list[Kept], bool]:
        """Look at the map of so many threads at most, not at their turns; False behind that: there may be more."""
        found, names = list[Kept](), _Bounded(self._scan(self._maps), within, most)
        async for some in names.portions():
            for name, fields in zip(some, await self._hashes(some), strict=True):
                if (read := read_name(name, self._prefix, self._engine)) is not None:
                    found.append(_kept(read.key, fields, ()))
        return found, names.whole

    async def named(self, keys: Sequence[ThreadKey]) -> Mapping[ThreadKey, Thread]:
        """Say which threads the map names under these keys; nothing where it has none."""
        hashes = await self._hashes([self._keys(key).thread for key in keys])
        read = {key: _kept(key, fields, ()).thread for key, fields in zip(keys, hashes, strict=True)}
        return {key: thread for key, thread in read.items() if thread is not None}

    async def waiting(self) -> Unrecorded:
        """See `ports.ending.ThreadIndex.waiting`."""
        name = unrecorded(self._prefix, self._engine, TRANSCRIPT)
        turns = cast("list[str]", await self._runner.command(self._redis.zrange(name, 0, MOST_WAITING - 1)))
        read = [read_name(turn, self._prefix, self._engine) for turn in turns]
        since = [
            int(value)
            for fields in await self._hashes(turns[:AT_ONCE])
            for field, value in fields.items()
            if field.startswith("at:") and value.isdecimal()
        ]
        oldest = datetime.fromtimestamp(min(since) / 1_000_000, UTC) if since else None
        # As many as were asked for: there may be more.
        return Unrecorded(
            frozenset(each.key for each in read if each is not None), oldest, whole=len(turns) < MOST_WAITING
        )

    async def thread(self, key: ThreadKey) -> Thread | None:
        """See `ports.ending.ThreadIndex.thread`."""
        [fields] = await self._hashes([self._keys(key).thread])
        if fields.get("schema", KNOWN) != KNOWN:
            raise NewerRecord("the thread in the map")
        return _kept(key, fields, ()).thread

    async def turns(self, kept: Kept) -> list[TurnKept]:
        """See `ports.ending.ThreadIndex.turns`."""
        now = await self._runner.run("clock", [self._keys(kept.key).hold])
        hashes = await self._hashes(kept.turns)
        return [_turn(name, fields, int(now)) for name, fields in zip(kept.turns, hashes, strict=True) if fields]

    async def reserve(self, key: ThreadKey) -> Hold | None:
        """See `ports.ending.ThreadIndex.reserve`."""
        hold = Hold(key, ENDING, uuid4().hex)
        args = (ENDING, hold.token, ms(self.lease))
        return hold if await self._runner.run("reserve", [self._keys(key).hold], *args) else None

    async def renew(self, hold: Hold) -> bool:
        """See `ports.ending.ThreadIndex.renew`."""
        return bool(await self._runner.run("renew", [self._keys(hold.key).hold], hold.token, ms(self.lease)))

    async def release(self, hold: Hold) -> None:
        """See `ports.ending.ThreadIndex.release`."""
        # By the script that asks whose it is: a hold that ran out may be a turn's by now.
        await self._runner.run("renew", [self._keys(hold.key).hold], hold.token, 1)

    async def forget(self, hold: Hold, kept: Kept, *, unrecorded: bool) -> int:
        """See `ports.ending.ThreadIndex.forget`."""
        keys = self._keys(kept.key)
        if unrecorded:
            await self._unlist(kept.turns)
        thread_id = kept.thread.id if kept.thread else ""
        strange = kept.strange if unrecorded else ()  # sinks or a newer worker may have plans with it
        names = [keys.hold, keys.erased, keys.thread, keys.said, keys.live, *kept.turns, *strange]
        args = (hold.token, thread_id, int(unrecorded), len(strange), ms(ERASED_FOR))
        removed = int(await self._runner.run("forget", names, *args))
        if removed < 0:
            raise StoreDown("the hold on a thread was lost while it was ended")
        return removed

    async def remember(self, key: ThreadKey) -> None:
        """See `ports.ending.ThreadIndex.remember`."""
        keys = self._keys(key)
        for name in (keys.thread, keys.said):
            await self._runner.command(self._redis.pexpire(name, ms(self._keep)))

    async def anchor(self, key: ThreadKey, thread: Thread) -> None:
        """See `ports.ending.ThreadIndex.anchor`."""
        await self._runner.run("anchor_thread", [self._keys(key).thread], thread.id, thread.anchor or "")

    async def replace(self, key: ThreadKey, thread: Thread, why: Decision) -> bool:
        """See `ports.ending.ThreadIndex.replace`."""
        kind = "renew" if why.before is None else "rewind"
        noted = await self._runner.run("replace", [self._keys(key).thread], thread.id, dump_decision(why), kind)
        if noted == "newer":
            raise NewerRecord("the thread in the map")
        return bool(noted)

    @property
    def _maps(self) -> str:
        return f"{stem(self._prefix, self._engine)}:{{*}}:thread"

    def _keys(self, key: ThreadKey) -> Keys:
        return Keys.of(self._prefix, key)

    async def _unlist(self, turns: Iterable[str]) -> None:
        """Take turns off the list of those that the transcript has yet to get."""
        if names := list(turns):
            await self._runner.command(self._redis.zrem(unrecorded(self._prefix, self._engine, TRANSCRIPT), *names))

    async def _hashes(self, names: Iterable[str]) -> list[Mapping[str, str]]:
        found: list[Mapping[str, str]] = []
        for some in portions(names, AT_ONCE):
            found += await asyncio.gather(*(self._hash(name) for name in some))
        return found

    async def _hash(self, name: str) -> Mapping[str, str]:
        try:
            return cast("Mapping[str, str]", await self._runner.command(self._redis.hgetall(name)))
        except CorruptRecord:  # nobody's: as if it were not there, and it goes with the thread
            return {}

    async def _scan(self, pattern: str) -> AsyncIterator[str]:
        """Find names, each once, on all servers; one that comes or goes meanwhile may be among them or not."""
        seen: set[str] = set()
        names = self._redis.scan_iter(match=pattern, count=STEP)
        while True:
            # Name by name, so that each step is bounded like any command.
            name = await self._runner.command(anext(names, None))
            if name is None:
                return
            if name not in seen:
                seen.add(name)
                yield name


class _Bounded:
    """Names, some at a time, until there are so many or time is up. `whole`: those were all."""

    def __init__(self, names: AsyncIterator[str], within: timedelta, most: int | None = None) -> None:
        self._names = names
        self._ends_at = monotonic() + within.total_seconds()
        self._left = most
        self.whole = True

    async def portions(self) -> AsyncIterator[list[str]]:
        some: list[str] = []
        async for name in self._names:
            if self._left == 0 or monotonic() > self._ends_at:
                self.whole = False
                break
            if self._left is not None:
                self._left -= 1
            some.append(name)
            if len(some) == AT_ONCE:
                yield some
                some = []
        if some:
            yield some


def _kept(key: ThreadKey, fields: Mapping[str, str], names: Iterable[tuple[str, str]]) -> Kept:
    generation = fields.get("generation", "")
    # A generation that nobody can read makes the conversation no less one that is to end.
    number = int(generation) if generation.isdecimal() else 0
    anchor, provider = fields.get("anchor") or None, fields.get("provider") or OPENAI
    thread = Thread(fields["id"], number, anchor, provider) if fields.get("id") else None
    turns = sorted(name for kind, name in names if kind == "turn")
    strange = sorted(name for kind, name in names if kind not in KINDS)
    former = [load_former(text) for name, text in fields.items() if name.startswith("former:")]
    left = tuple(filter(None, former))
    published = fields.get("published") == "1"
    return Kept(key, thread, fields.get("instance") or None, left, tuple(turns), tuple(strange), published)


def _turn(name: str, fields: Mapping[str, Any], now_ms: int) -> TurnKept:
    state, deadline = fields.get("state", "open"), fields.get("deadline", "")
    # By the server's clock, which wrote the deadline.
    late = now_ms - int(deadline) if state == "intent" and deadline.isdecimal() else -1
    attempt = fields.get("attempt", "1")
    stored, instances = named(fields)
    return TurnKept(
        name=name,
        task_id=Keys.task_of(name),
        state=state,
        attempt=int(attempt) if attempt.isdecimal() else 1,
        unrecorded="unrecorded" in fields,
        overdue=timedelta(milliseconds=late) if late >= 0 else None,
        response_id=fields.get("response") or None,
        newer=is_newer(fields),
        stored=stored,
        instances=instances,
    )
