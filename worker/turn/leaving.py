"""Whether a thread that is still there is left for a new one, why, and what that one is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from worker.domain.tasks import Origin
from worker.domain.threads import Cut, Decision, Entered, Memory, Seed, Thread, ThreadKey
from worker.errors import (
    BadRequest,
    ContextFull,
    HistoryMissing,
    HistoryUnread,
    ThreadBroken,
    ThreadGone,
    ThreadLocked,
    WorkerError,
)
from worker.ports.providers import ThreadProvider
from worker.ports.threads import History
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event
from worker.turn.request import Ground, Request
from worker.turn.thread_variable import Keepsake

FULL, SEEDED, GAIN = 0.7, 0.3, 0.1
"""Parts of a model's window: from which on a conversation is left for a new one, what that may be told, and how much
shorter it has to be at least."""

LATE_SECONDS, LOOK_SECONDS = 5.0, 0.2
"""How long to wait for what the transcript has yet to get of a thread; and how often to look."""

log = structlog.get_logger()


@dataclass(slots=True)
class Leaving:
    """What one attempt decides about its thread. `former` is the thread that is left, `why` it is.

    `strayed`: the variable named a thread that is none of ours, or is gone; it may have been copied over the one that
    was. `unread`: nobody can tell now whether there was one. Without a variable the thread is this request's alone.
    `origin` is where its instance came from, if that had to be asked; None if nobody can tell.
    """

    ground: Ground
    provider: ThreadProvider
    request: Request
    variable: Keepsake | None
    entry: Entered
    strayed: bool = False
    unread: bool = False
    former: Thread | None = None
    why: Decision | None = None
    origin: Origin | None = field(default_factory=Origin)

    def stay(self) -> None:
        """Take a decision back."""
        self.former = self.why = None

    def moved(self, thread: Thread) -> Thread:
        """Leave a thread that is not where the assistant is asked now. Raises ThreadLocked while a call may run."""
        self._check_calls(f"a call at {thread.provider} may still run")
        tell_moved(thread, self.provider)
        return self._left(thread, Decision(f"moved to {self.provider.name}"))

    def renewed(self, thread: Thread, why: Decision) -> Thread:
        """Leave a thread because somebody says so. Raises ThreadLocked while a call of ours may run there."""
        self._check_calls("the thread is to be replaced, and a call may still run there")
        log.warning(Event.THREAD_RENEWED, thread_id=thread.id, reason=why.reason, by=why.by)
        return self._left(thread, why)

    def outgrown(self, thread: Thread) -> bool:
        """Leave a provider's thread that is so long that its model could soon read no more; one of ours is folded."""
        window, read = self.provider.context_tokens, self.entry.tokens
        # Not while a call may run there: its answer would land where nobody looks any more.
        if not self.provider.remembers or window is None or read is None or self._running_for() > timedelta(0):
            return False
        shorter = (SEEDED + GAIN) * window + self.request.tokens  # unless it is the questions that are long
        if not max(FULL * window, shorter) <= read <= window:  # of more than it can read somebody has counted otherwise
            return False
        log.info(Event.THREAD_FULL, thread_id=thread.id, reason=f"its last turn took {read} of {window} tokens")
        self._left(thread, Decision("nearly as long as its model can read"))
        return True

    def useless(self, thread: Thread, exc: ThreadGone | ContextFull | ThreadBroken | ThreadLocked) -> Thread:
        """Return a thread that is of no use any more, or is gone; raises what it was left for where it is of use."""
        match exc:
            case ThreadGone():  # validation is optimistic, or the thread went between look and use
                return thread
            # Where we keep the history, it was left out before this came: then the question alone is too long.
            case ContextFull() if self.provider.remembers:  # the new one is told the newest of it
                log.warning(Event.THREAD_FULL, thread_id=thread.id, reason=str(exc))
                return self._left(thread, Decision(str(exc)))
            case ThreadBroken() | ThreadLocked() if self._is_stuck(exc):
                return self.renewed(thread, Decision(str(exc)))
        raise exc

    def unseen(self, exc: WorkerError) -> bool:
        """Whether a thread that is to be left is left although nobody can look for an answer on it."""
        if self.entry.renewal is None:
            return False
        return isinstance(exc, BadRequest) or (exc.is_trouble and self._is_long_trouble())

    def cuts(self, generation: int) -> tuple[Cut, ...]:
        """Say what a thread of this generation is not told of what was said, whatever it is made for."""
        why = self.entry.renewal
        return (*self.entry.cuts, *(why.cut(generation) if why is not None else ()))

    async def seed(self, gone: Thread | None, cuts: Sequence[Cut]) -> Seed:
        """Say what the new thread is told: what was said on this one, or else where this instance was restarted from.

        A thread that is still there is left only if that is known, unless a person has ordered it. An instance that
        nobody knows a thread of may have been restarted without its variables. A branch is told what its trunk knows,
        too, and what a person has with an assistant alone all that was said. Raises HistoryUnread, HistoryMissing.
        """
        history, window, key = self.ground.history, self.provider.context_tokens, self.request.key
        most = None if window is None else int(SEEDED * window)
        if key.trunk is not None or key.person is not None:
            return await (self._of_branch(key.trunk, gone, most, cuts) if key.trunk else self._of_person(most))
        own = Seed()
        if gone is not None or self.strayed or self.unread:
            own = Seed(is_known=False) if history is None else await self._told(history, key, most, cuts)
        if self.unread and (own.turns or own.left_out):
            raise HistoryUnread("the transcript could not be read, and now tells of a thread of this instance")
        seed = await self._with_inherited(own, gone, most)
        self._check(seed)
        return seed

    async def _with_inherited(self, own: Seed, gone: Thread | None, most: int | None) -> Seed:
        """Put before what was said on this instance's own threads what it knew when it was restarted."""
        # A restart goes on from one instance: what several share, or a single task has, goes back to none. Nor does one
        # that begins with this task, and most threads do: it would be a request for each.
        if self.variable is None or self.variable.one_of_many or (self.variable.begins and not self.strayed):
            return own
        if own.left_out or (
            (gone is not None or self.unread) and not own.is_known
        ):  # there is no room, or nobody to tell it
            return own
        origin = await self.variable.origin()
        if own.turns or (gone is not None and not self.strayed):
            origin = origin or Origin()  # that its thread is its own is known
        else:
            self.origin = origin
        if origin is None or (origin.forerunners and self.ground.history is None):
            return Seed(is_known=False)
        if not origin.forerunners or self.ground.history is None:
            return own
        keys = [replace(self.request.key, scope=each) for each in origin.forerunners]
        return await self.ground.history.inherited(keys, self.request.place.activity_id, most, own)

    async def _of_branch(self, trunk: ThreadKey, gone: Thread | None, most: int | None, cuts: Sequence[Cut]) -> Seed:
        """Say what a branch begins with: what is known on its trunk now, and what was said on the branch before."""
        history = self.ground.history
        own, known = Seed(is_known=history is not None), Seed(is_known=False)
        if history is not None:
            if gone is not None or self.strayed:
                own = await self._told(history, self.request.key, most, cuts)
            # The trunk is cut by its next turn, which may not have been yet.
            known = await self._told(history, trunk, most, (await self.ground.threads.standing(trunk)).cuts)
        self._check(own)
        if not (own.is_known and known.is_known):
            raise HistoryUnread("a conversation beside a process's is not begun without knowing what was said there")
        return Seed(known.said + own.said, known.turns + own.turns, known.left_out + own.left_out)

    async def _of_person(self, most: int | None) -> Seed:
        """Say what was said in a conversation that no process has: whatever Redis has lost, the record knows."""
        history = self.ground.history
        seed = Seed(is_known=False) if history is None else await self._told(history, self.request.key, most)
        if not seed.is_known:
            raise HistoryUnread("what was said in this conversation cannot be read now")
        self._check(seed)
        return seed

    async def _told(self, history: History, key: ThreadKey, most: int | None, cuts: Sequence[Cut] = ()) -> Seed:
        """Read what was said. It comes to the transcript beside the turns: the newest may be on its way."""
        # Asked first: what comes between the two is read then.
        is_late = await self._is_late(key)
        seed = await history.seed(key, most, cuts)
        # Who cannot read at all need not wait for more.
        if not (is_late and seed.is_known):
            return seed
        ends_at = monotonic() + LATE_SECONDS
        # Whoever carries it over, which may be another worker, tells nobody.
        while monotonic() < ends_at and await self._is_late(key):  # noqa: ASYNC110 - see above
            await asyncio.sleep(LOOK_SECONDS)
        return await history.seed(key, most, cuts)

    async def _is_late(self, key: ThreadKey) -> bool:
        return await self.ground.threads.unrecorded(key, self.request.id)

    def memory(self, gone: Thread | None, seed: Seed) -> Memory:
        """Say what the new thread knows of what was said before."""
        if seed.turns or seed.left_out:
            return "whole" if seed.is_known and not seed.left_out else "part"
        if gone is not None and not self.strayed:
            return "whole" if self.entry.rewinds and seed.is_known else "lost"
        if gone is not None or not seed.is_known or seed.is_absent:
            return "unknown"
        # Of an instance that goes back to another one the transcript tells that nothing was said there before.
        started_late = self.origin is not None and self.origin.skipped_to and not self.origin.forerunners
        return "empty" if started_late else "whole"

    def missing(self, memory: Memory, gone: Thread | None) -> str:
        """Say what was expected to be there where a new thread knows nothing; empty where nothing was."""
        match memory:
            case "lost":
                name = gone.id if gone else ""
                return f"the thread {name} is there no more, and what was said on it is in no transcript"
            case "empty" if self.origin is not None:
                return f"the instance was started at {self.origin.skipped_to}, and nothing was said in it before"
            case "unknown" if self.origin is not None and self.origin.forerunners:
                said = "what was said there is in no transcript"
                return f"the instance was restarted from {self.origin.forerunners[0]}, and {said}"
            case "unknown" if self.unread:
                return "Redis knows no thread of this instance, and the transcript cannot be read now"
            case "unknown" if self.strayed:
                return "the thread that the process variable names is none of this instance, or is there no more"
        return ""

    def check_memory(self, memory: Memory, gone: Thread | None, seed: Seed) -> None:
        """Raise where the new thread has to know what was said before, and would not."""
        if not self.request.needs_memory or memory in {"whole", "part"}:
            return
        why = self.missing(memory, gone) or "the engine's history does not tell where the instance came from"
        wanted = "the task must not be asked without what was said before (service.thread.required), and"
        if self.ground.history is not None and self.origin is not None and not seed.is_known:
            raise HistoryUnread(f"{wanted} the transcript, which TRANSCRIPT_URL names, cannot be read now")
        raise HistoryMissing(
            f"{wanted} {why}. Start the instance anew from an earlier activity, or, if it may go on without, migrate "
            "it to a model whose task lacks that property"
        )

    def _check(self, seed: Seed) -> None:
        """Raise if a thread that is still there would be left for one that knows nothing."""
        left, why = self.former, self.why
        if self.entry.rewinds and self.ground.history is None:
            raise HistoryMissing(
                "the thread is to be left for one that ends before a step, and without a transcript nobody knows what "
                "was said before that: set TRANSCRIPT_URL"
            )
        if left is None or why is None:
            return
        # A database that is away for a moment must not cost what was said: the task comes again.
        if self.ground.history is not None and not seed.is_known:
            raise HistoryUnread(
                f"the thread {left.id} at {left.provider} is left for one at {self.provider.name} that knows what was "
                "said, and the transcript, which TRANSCRIPT_URL names, cannot be read now"
            )
        if (
            self.needs_history
            and not self.entry.rewinds
            and not seed.said
            and (self.ground.history is None or self.entry.tokens)
        ):
            raise HistoryMissing(
                f"the thread {left.id} at {left.provider} would have to be left ({why.reason}) "
                f"for one at {self.provider.name} that knows nothing, as what was said on it is in no transcript: keep "
                f"TRANSCRIPT_URL set, and let the assistant name {left.provider} and its model again, or order it: "
                "threads renew"
            )

    @property
    def needs_history(self) -> bool:
        """Whether the new thread has to know what was said before, on one that is still there for one."""
        is_left = self.former is not None and self.entry.renewal is None
        return self.request.key.is_branch or self.request.needs_memory or is_left

    def _left(self, thread: Thread, why: Decision) -> Thread:
        self.former, self.why = thread, why
        return thread

    def _check_calls(self, said: str) -> None:
        if (wait := self._running_for()) > timedelta(0):
            raise ThreadLocked(said, retry_after=wait)

    def _running_for(self) -> timedelta:
        """How long a call of ours may still run on the thread, whatever task it is for."""
        return max(self.entry.busy_for, self.entry.asked.running_for if self.entry.asked else timedelta(0))

    def _is_stuck(self, exc: ThreadBroken | ThreadLocked) -> bool:
        """Whether a thread is of no use for good, and another one can be told what was said on it."""
        # Without a transcript the new thread would know nothing: whether that is worth it is for a person to say.
        if not self.provider.remembers or self.ground.history is None or self._running_for() > timedelta(0):
            return False
        return isinstance(exc, ThreadBroken) or self._is_long_trouble()

    def _is_long_trouble(self) -> bool:
        return self.entry.trouble_for >= self.ground.rules.trouble_limit


def tell_moved(thread: Thread, provider: ThreadProvider) -> Thread:
    """Say that a thread is not where the assistant is asked now."""
    log.warning(Event.THREAD_MOVED, thread_id=thread.id, provider=thread.provider, to=provider.name)
    return thread
