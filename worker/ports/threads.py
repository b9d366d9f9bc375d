"""What is known of threads: whose they are, who may use them, what was said on them. Errors as in `ports.engine`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.exchanges import Exchange
from worker.domain.threads import (
    NOTHING,
    UNSTAMPED,
    Answer,
    Cut,
    Decision,
    Entry,
    Hold,
    Intended,
    Memory,
    Past,
    Remembered,
    Seed,
    Stamps,
    Standing,
    Thread,
    ThreadKey,
)
from worker.domain.watching import Speaker


class Threads(Protocol):
    """Which thread belongs to whom, who may start a turn on it, and what is known of each turn.

    Every method may raise StoreDown, and may be repeated after a lost reply with the same effect.
    """

    async def enter(
        self,
        key: ThreadKey,
        task_id: str,
        retries: int | None = None,
        *,
        stamps: Stamps = UNSTAMPED,
        stands_back: bool = False,
    ) -> Entry:
        """Read journal, hold and map, and take the hold unless the task is answered, or its thread is busy.

        That is while another task holds it, and while an earlier delivery of this one does under which a call may run:
        for a lease at most, if its worker is dead. `stands_back`: it is what a person asks, and is busy as well while a
        task that was refused is yet to come again.

        Any other hold of its own a task that comes again takes over: the engine gave the task to us, so its earlier
        worker has lost it, and starts no call any more. `retries` are those that it came with, None before its first
        failure: more than were noted are a person's doing, and its calls and its trouble count from 0 again. Raises
        NewerRecord, and IdsRepeated where what is noted is of other `stamps` than these, each with nothing changed.
        """
        ...

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
        """Write the map. False, and nothing written, if the hold is lost or the generation is not `replaces`.

        So it is where an order to rewind is there that is not this `order`, which `enter` brought: it came since.

        `replaces` is 0 where the map has nothing. `instance` is the process instance that binds, with which threads of
        a single task end. `former` is the replaced thread if it is still there: it is remembered with `why` it
        was left, to be erased with this one. `said`: turns that the history begins with, where we keep it.
        `tokens` is what the thread begins with, `memory` what that is of what was said before. `cuts` take
        the place of those that are noted, if there are any. `rewound` are the words of the order that it is made for.
        `began_at` is the stamp of the instance whose thread it is, empty where that is not known.
        """
        ...

    async def intend(
        self, hold: Hold, attempt: int, limit: timedelta, whose: Speaker | None = None, generation: int | None = None
    ) -> Intended | None:
        """Note that a call starts now and ends within `limit` by Redis' clock; it counts as paid, once for each hold.

        `whose` it is is told to those who read along, see `ports.watching.Windows`. `generation` is that of the
        memory's subject by which the question is put, None if nothing is to be remembered: `Asked` brings back that of
        the attempt's first call.

        None if it must not start: the hold is lost, or another delivery of the task has brought the answer.
        """
        ...

    async def note(self, hold: Hold, attempt: int, response_id: str) -> bool:
        """Note where the answer of the intended call can be fetched. Needs no hold.

        False, and nothing noted, if this attempt's call is not the one that runs: `Asked` brings the id back.
        """
        ...

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
        """Keep the answer and let go of the hold; return the answer that counts, the first one of this attempt.

        Needs no hold. `published` notes that the engine has the thread variable. `exchange` is what the sinks are to
        have of it; its times are set here. `remembered` is added to the history that we keep of its thread, if this
        answer counts and the map still names that. `tokens` is what the next turn there reads beside its question, None
        where nobody knows. `person` is whom it answers, by name, if that is nobody's task. Raises NewerRecord: a newer
        worker has the task, and keeps its answer.
        """
        ...

    async def drop_answer(self, key: ThreadKey, task_id: str, attempt: int, repair: str = "") -> None:
        """Drop this attempt's answer, so that the next one asks anew; `repair` tells it what was wrong with this."""
        ...

    async def note_retries(self, key: ThreadKey, task_id: str, retries: int) -> None:
        """Note how many retries the engine has been told in a failure, if anything is known of this turn."""
        ...

    async def close(self, key: ThreadKey, task_id: str) -> None:
        """The engine accepted the completion; the journal entry may go after an hour."""
        ...

    async def renew(self, hold: Hold) -> bool:
        """Hold on for another lease. False if the hold is lost."""
        ...

    async def leave(self, hold: Hold, *, asked: bool, trouble: bool, unpaid: bool = False) -> None:
        """Let go without an answer. `asked` False withdraws the intent: no call of this task can be running.

        `trouble` starts the clock of `Entered.trouble_for` if it does not run yet. `unpaid`: this hold's own call
        certainly did not run, and does not count, whatever an earlier one does.
        """
        ...

    async def unrecorded(self, key: ThreadKey, but: str) -> bool:
        """Whether the transcript has yet to get something that was said on this thread, but for that of task `but`."""
        ...

    async def standing(self, key: ThreadKey) -> Standing:
        """Say how a thread stands now."""
        ...

    async def ping(self) -> None:
        """Return if the store can be used."""
        ...


class Histories(Protocol):
    """What was said on threads of providers that remember nothing."""

    async def history(self, key: ThreadKey, thread: Thread) -> Past:
        """Return what was said on a thread.

        Raises ThreadGone where the map does not name it or some of it is lost, NewerRecord, StoreDown.
        """
        ...

    async def may_fold(self, key: ThreadKey, lease: timedelta) -> str | None:
        """Be the one who folds a thread's history, for so long, by this token; None if somebody is. Raises StoreDown.

        Needs no hold. Whoever fails keeps it for its time, so that no other tries at once.
        """
        ...

    async def fold(self, key: ThreadKey, thread: Thread, past: Past, count: int, entry: Remembered, lease: str) -> bool:
        """Put one entry in the place of the oldest `count` ones. Needs no hold, and ends the lease. Raises StoreDown.

        False, and nothing changed, if the thread is another one by now, or was folded since `past` was read.
        """
        ...


class History(Protocol):
    """What was said on threads that are gone."""

    async def seed(self, key: ThreadKey, most: int | None = None, cuts: Sequence[Cut] = ()) -> Seed:
        """Return what a recreated thread has to know, in so many tokens at most. Never raises: see `Seed.is_known`.

        Nothing is told of what is behind these cuts, or those that the record knows of.
        """
        ...

    async def inherited(
        self, keys: Sequence[ThreadKey], activity: str, most: int | None = None, then: Seed = NOTHING
    ) -> Seed:
        """Return what was said before a restart, and `then`, in so many tokens at most. Never raises.

        `keys` are those of the instances that it goes back to, the latest first. Of that one it is what was said before
        this activity was first asked, or the one that `then` began at, of each one before it what was said before the
        later one began. Where nothing is
        kept of any of them it is absent: nobody can tell whether there was something.
        """
        ...

    async def thread(self, key: ThreadKey) -> Thread | None:
        """Return the thread that was last spoken on under this key, with its anchor; None if there is none.

        Raises HistoryUnread where nobody can tell.
        """
        ...

    async def anchor(self, key: ThreadKey, thread: Thread) -> str | None:
        """Return which account a thread is in, as its anchor; None if that is not known. Never raises."""
        ...
