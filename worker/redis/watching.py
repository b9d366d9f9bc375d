"""Answers while they are written, told through Redis: a stream beside the thread's other keys, if somebody watches."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self
from uuid import uuid4

from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, Piece, Speaker, TurnSeen
from worker.errors import StoreDown
from worker.redis.connect import Client
from worker.redis.formats import CorruptRecord
from worker.redis.index import ENDING
from worker.redis.keys import Keys
from worker.redis.runner import Runner, ms

WATCHED_FOR = timedelta(seconds=30)
"""How long a look counts as watching."""
KEPT_FOR = timedelta(minutes=10)
"""How long an answer can be read that nobody goes on writing."""
GATHER_SECONDS = 0.1
"""Between two writes: a model says a word in less."""
AGAIN_SECONDS = 1.0
"""Before a write is tried again."""
ALIVE_SECONDS = 5.0
"""How often a call that says nothing is shown to go on."""
LONGEST = 200_000
"""Characters that are told of one answer; whoever reads along has the rest when all of it is recorded."""


class RedisWatchers:
    """Implements `ports.providers.Watchers`. Whoever is told of a call is told beside it, until the block ends."""

    def __init__(self, redis: Client, *, prefix: str) -> None:
        self._runner = Runner(redis)
        self._prefix = prefix
        self._telling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Tell no more."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def watcher(self, key: ThreadKey, task_id: str, attempt: int, *, watched: bool) -> "RedisWatcher | None":
        """See `ports.providers.Watchers.watcher`."""
        if not watched:
            return None
        watcher = RedisWatcher(self._runner, Keys.of(self._prefix, key).live, task_id, attempt)
        task = asyncio.create_task(watcher.tell(), name=f"tell of {task_id}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return watcher


class RedisWatcher:
    """Implements `ports.providers.Watcher`. What comes while a write is under way goes with the next one."""

    def __init__(self, runner: Runner, name: str, task_id: str, attempt: int) -> None:
        self._runner = runner
        self._name = name
        self._of = (task_id, attempt)
        self._call = uuid4().hex[:12]
        self._request = 0
        self._told = 0
        self._untold = ""
        self._is_over = False
        self._news = asyncio.Event()

    def began(self) -> None:
        """See `ports.providers.Watcher.began`."""
        self._request += 1
        self._told, self._untold = 0, ""
        self._news.set()

    def said(self, text: str) -> None:
        """See `ports.providers.Watcher.said`."""
        self._untold += text[: LONGEST - self._told - len(self._untold)]
        self._news.set()

    def ended(self) -> None:
        """See `ports.providers.Watcher.ended`."""
        self._is_over = True
        self._news.set()

    async def tell(self) -> None:
        """Write what is said until the call is over. What Redis did not take goes with the next write."""
        while not self._is_over:
            with suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_SECONDS):
                    await self._news.wait()
            self._news.clear()
            # What was not taken is still to be said: the next round must not wait for news of the model's first.
            if not await self._wrote():
                self._news.set()
                await asyncio.sleep(AGAIN_SECONDS)
            elif not self._is_over:
                await asyncio.sleep(GATHER_SECONDS)
        await self._wrote()  # if it did not, they hear nothing more, which says as much

    async def _wrote(self) -> bool:
        try:
            await self._write()
        except (StoreDown, CorruptRecord):
            return False
        return True

    async def _write(self) -> None:
        request, told, text = self._request, self._told, self._untold
        args = (f"{self._call}-{request}", *self._of, told, text, int(self._is_over), ms(KEPT_FOR))
        await self._runner.run_anew("say", [self._name], *args)
        # Another request may have begun while this was written, and counts from 0.
        if self._request == request:
            self._told, self._untold = told + len(text), self._untold[len(text) :]


class RedisWindows:
    """Implements `ports.watching.Windows`."""

    def __init__(self, redis: Client, *, prefix: str) -> None:
        self._runner = Runner(redis)
        self._prefix = prefix

    async def look(self, key: ThreadKey, last: Look) -> Look:
        """See `ports.watching.Windows.look`."""
        keys = Keys.of(self._prefix, key)
        names = [keys.watched, keys.live, keys.hold]
        if last.turn is not None:
            names.append(keys.turn(last.turn.task_id))
        try:
            reply = await self._runner.run("watch", names, ms(WATCHED_FOR), last.place)
        except CorruptRecord:  # of the turn's, which is for others to tell
            return last
        entries, silent, holder, *turn = reply
        return Look(
            pieces=tuple(_piece(fields) for _, fields in entries),
            place=entries[-1][0] if entries else last.place,
            silent_for=None if silent < 0 else timedelta(milliseconds=silent),
            turn=_turn("" if holder == ENDING else holder, last.turn, *turn),
        )


def _piece(fields: list[Any]) -> Piece:
    said = dict(zip(fields[::2], fields[1::2], strict=True))
    attempt, offset = int(said["attempt"]), int(said["offset"])
    return Piece(said["run"], said["task"], attempt, offset, said["text"], said["over"] == "1")


def _turn(
    holder: str, last: TurnSeen | None, state: str, attempt: str, repair: str, process: str, instance: str
) -> TurnSeen | None:
    if holder and (last is None or holder != last.task_id):
        return TurnSeen(holder, "", 1, is_held=True, is_repair=False)
    if last is None or not (holder or state):  # the journal has forgotten it: it is long over
        return None
    number = int(attempt) if attempt.isdecimal() else 1
    whose = Speaker(process, instance) if process or instance else last.whose
    return TurnSeen(last.task_id, state, number, is_held=bool(holder), is_repair=bool(repair), whose=whose)
