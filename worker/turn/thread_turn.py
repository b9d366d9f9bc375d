"""Request → answer, under the hold: find the thread, find the answer on it, or ask, and keep. Knows no BPMN."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from worker.domain.threads import Answer, Assistant, Cut, Entered, Memory, Seed, Thread
from worker.errors import (
    BadRequest,
    ContextFull,
    HistoryMissing,
    HistoryUnread,
    ModelUnknown,
    Stopping,
    StoreDown,
    ThreadBroken,
    ThreadGone,
    ThreadLocked,
    WorkerError,
)
from worker.ports.providers import ThreadProvider
from worker.runtime import background
from worker.telemetry import metrics
from worker.telemetry.logs import Event
from worker.turn import calls
from worker.turn.call import LANDING_TIME, Call
from worker.turn.charging import Bill
from worker.turn.facts import TurnFacts
from worker.turn.keeping import Keeping
from worker.turn.leaving import Leaving, tell_moved
from worker.turn.looking_up import check_store, looked_up
from worker.turn.request import Ground, Request
from worker.turn.thread_variable import Keepsake

PUBLISH_PATIENCE_SECONDS = 5.0
"""How long an answer in hand waits for the thread variable, which the next turn writes again otherwise.

Less would cost a slow engine most: it carries a request out that we gave up, and gets the same one with each turn.
"""

log = structlog.get_logger()


@dataclass(slots=True)
class ThreadTurn:
    """One attempt's time under the hold. Without a variable the thread is this request's alone."""

    ground: Ground
    provider: ThreadProvider
    request: Request
    variable: Keepsake | None
    entry: Entered
    facts: TurnFacts
    bound: Thread | None = field(init=False)
    call: Call = field(init=False)
    bill: Bill = field(init=False)
    leaving: Leaving = field(init=False)
    keeping: Keeping = field(init=False)
    intended: bool = False
    has_answer: bool = False

    def __post_init__(self) -> None:
        """Start from what the map says, and with the question that this attempt would put."""
        self.bound = self.entry.thread
        self.leaving = Leaving(self.ground, self.provider, self.request, self.variable, self.entry)
        self.bill = Bill(self.ground.charging, self.request.counters, self.ground.prices)
        self.keeping = Keeping(self.ground, self.provider, self.request, self.entry, self.facts, self.bill)
        self.call = Call(
            self.ground.threads,
            self.provider,
            self.entry.hold,
            self.entry.attempt,
            self.request.question(self.entry.attempt),
            self.request.assistant,
            self.facts,
            self.entry.asked,
            self.ground.watchers,
        )

    async def answer(self) -> Answer | None:
        """Return the answer that counts, or None if the hold was lost before anything was asked.

        Lets go of the hold on every way out; withdraws the intent if no call of this task can be running.
        """
        # A lease is short, so that a dead worker's thread is soon free; a call may take many minutes.
        async with self.ground.renewing(self.entry.hold, self.request.id, self._hold_lost):
            try:
                answer = await self._find_or_ask()
            # Also at a cancellation: who comes next must not wait for the lease to run out.
            except BaseException as exc:
                # First the run, while the hold still tells whether another worker has the task by now.
                await self.call.end(exc)
                await self._leave(exc)
                raise
            # An answer let go of the hold in the script that kept it; where Redis did not keep it, the hold runs out.
            if answer is None:
                await self._leave(None)
            return answer

    async def _leave(self, cause: BaseException | None) -> None:
        known = cause if isinstance(cause, WorkerError) else None
        refused = known is not None and (known.excludes_call or isinstance(known, ThreadLocked))
        # Unless a call certainly did not run, its intent stays: the next attempt then looks before it asks.
        ours_may_run = self.call.run is not None or (self.intended and not refused)
        # The journal has one intent for a task: to withdraw it would also hide what an earlier delivery left running.
        asked = ours_may_run or self.call.earlier is not None
        unpaid = not self.call.began and (refused or not self.intended)
        with suppress(StoreDown):  # then the hold runs out by itself
            trouble = known is not None and known.is_trouble
            await self.ground.threads.leave(self.entry.hold, asked=asked, trouble=trouble, unpaid=unpaid)
        if unpaid:
            await self.bill.release()

    async def _find_or_ask(self) -> Answer | None:
        # Of a thread that was made by a turn that died: what it knows has yet to be said.
        self.facts.memory, self.facts.cuts = self.entry.memory, self.entry.cuts
        self.facts.rewound = self.entry.rewound
        thread, gone = await self._known_thread()
        if thread is not None and self._must_look():
            try:
                found = await self._found(thread)
            except ThreadGone:
                # An earlier answer has gone with it: it is asked anew.
                thread, gone = None, thread
            else:
                if found is not None:
                    return await self._keep(found, published=self.entry.published)
        if self.request.flaw is not None:
            raise self.request.flaw
        # Behind the look, which costs nothing: the last call that is allowed may have left its answer on the thread.
        calls.check(self.entry, self.request)
        # Nor does an answer that is there wait for files, which may have become bad since it was asked.
        self._shows(await looked_up(self.ground, self.request, self.facts))
        if thread is None:
            return await self._ask_anew(gone)
        if self.entry.renewal is not None:
            return await self._ask_anew(self.leaving.renewed(thread, self.entry.renewal))
        if self.facts.use == "reused" and self.leaving.outgrown(thread):
            with suppress(HistoryUnread, HistoryMissing):  # then it goes on for as long as it can
                return await self._ask_anew(thread)
            self.leaving.stay()
        return await self._ask_here(thread)

    def _shows(self, assistant: Assistant) -> None:
        """Ask the assistant with what it is shown of its files."""
        self.request = self.leaving.request = replace(self.request, assistant=assistant)
        self.call.assistant = assistant

    async def _ask_here(self, thread: Thread) -> Answer | None:
        """Ask on a thread that is there; on a new one where it turns out to be of no use any more."""
        # Into the map first: the script that keeps the answer notes nothing of a thread that the map does not name.
        if self.facts.use == "adopted" and not await self._bind(thread):
            return None
        try:
            return await self._ask(thread)
        except (ThreadGone, ContextFull, ThreadBroken, ThreadLocked) as exc:
            gone = self.leaving.useless(thread, exc)
        # That call was refused: should no new thread come of it, nothing runs, and the intent is withdrawn.
        self.intended = False
        await self.bill.release()  # that call did not run, and the next one reads something else
        return await self._ask_anew(gone)

    async def _ask_anew(self, gone: Thread | None) -> Answer | None:
        """Ask on a new thread in the place of this one, if there was any."""
        thread = await self._create(gone)
        return None if thread is None else await self._ask(thread)

    async def _found(self, thread: Thread) -> Answer | None:
        """Look for the answer of an earlier attempt. Raises ThreadGone."""
        try:
            # A run that was noted by its id; whatever else may have been asked shows on the thread.
            found = await self.call.resume(thread) or await self._look(thread)
        except ThreadGone:
            raise
        except WorkerError as exc:
            if not self.leaving.unseen(exc):
                raise
            found = None
        if found is None:
            self.call.let_earlier_end()
            return None
        self.facts.recovered = self.facts.recovered or "thread"
        return replace(found, thread=thread)

    def _must_look(self) -> bool:
        if self.entry.renewal is not None:
            # What is about to be left need not be shown to be there; only an answer on it matters.
            return self.entry.asked is not None
        return self.ground.rules.strict or self.entry.asked is not None or self.facts.use == "adopted"

    async def _known_thread(self) -> tuple[Thread | None, Thread | None]:
        """Return the thread by the map or else by the process variable, and one that is known to be gone."""
        if self.entry.thread is not None:
            return self._here(self.entry.thread)
        thread = None if self.variable is None else await self._remembered(self.variable)
        if thread is None:
            return None, None
        if not self.provider.holds(thread):
            return None, tell_moved(thread, self.provider)
        adopted, gone = await self._adopted(thread)
        self.leaving.strayed = adopted is None
        return adopted, gone

    async def _remembered(self, keepsake: Keepsake) -> Thread | None:
        """Return what is known beside Redis. Raises HistoryUnread where no new one may be made unless that is known."""
        try:
            return await keepsake.read()
        except HistoryUnread:
            if keepsake.one_of_many:
                raise
            # Before the first step of a model nothing was said; of any other nobody can tell now.
            self.leaving.unread = not keepsake.begins
            return None

    async def _adopted(self, thread: Thread) -> tuple[Thread | None, Thread | None]:
        """Take a thread that nobody knows but the process variable, if it is ours; as above."""
        # The variable names no account. Without one a 404 proves nothing: another account's key hears the same.
        if thread.anchor is None and self.ground.history is not None:
            thread = replace(thread, anchor=await self.ground.history.anchor(self.request.key, thread))
        reason = "the conversation belongs to somebody else"
        try:
            # Anybody may write a process variable, and call activities copy it: only the conversation says whose it is.
            belongs = await self.provider.belongs(self.request.key, thread)
        except ThreadGone:
            return None, thread
        except BadRequest as exc:  # not even the form of an id of this provider's
            belongs, reason = False, str(exc)
        if not belongs:
            log.warning(Event.THREAD_VARIABLE_REJECTED, reason=reason)
            return None, None
        self.facts.use = "adopted"
        return await self.provider.seen(thread), None

    def _here(self, thread: Thread) -> tuple[Thread | None, Thread | None]:
        """Leave a thread that is not where the assistant is asked now."""
        return (thread, None) if self.provider.holds(thread) else (None, self.leaving.moved(thread))

    async def _look(self, thread: Thread) -> Answer | None:
        self.facts.thread = thread
        with self.facts.phase("look"):
            return await self.provider.look(thread, self.call.question.ref, deep=self.entry.asked is not None)

    async def _create(self, gone: Thread | None) -> Thread | None:
        """Create and bind a thread; None if the hold was lost, and then the new conversation is deleted again."""
        # The map may have been lost, and its count with it; the thread that the variable names brings its own.
        generation = max((known.generation for known in (self.bound, gone) if known), default=0) + 1
        try:
            with self.facts.phase("create"):
                cuts = self.leaving.cuts(generation)
                seed = await self.leaving.seed(gone, cuts)
                memory = self.leaving.memory(gone, seed)
                self.leaving.check_memory(memory, gone, seed)
                thread, told = await self._create_with(gone, generation, seed)
            # Where not all was told, the provider did not take it.
            memory = memory if told is seed else "lost"
            bound = await self._bind(thread, told, memory, cuts)
        except (ModelUnknown, StoreDown, asyncio.CancelledError):
            # There may be a conversation now that nobody knows of, and the API lists none: it can only be counted.
            metrics.THREADS.labels("possibly_orphaned").inc()
            raise
        if not bound:
            # The thread is another turn's to make now, and nobody would ever find this conversation again.
            await self._discard(thread, told)
            return None
        self.facts.use = "created" if gone is None else "recreated"
        self.facts.seed, self.facts.memory, self.facts.cuts = told, memory, cuts
        self.facts.rewound = self._rewound()
        if missing := self.leaving.missing(memory, gone):
            log.warning(Event.THREAD_EMPTY, thread_id=thread.id, memory=memory, reason=missing)
        return thread

    async def _bind(
        self, thread: Thread, seed: Seed | None = None, memory: Memory | None = None, cuts: Sequence[Cut] = ()
    ) -> bool:
        replaces = self.bound.generation if self.bound else 0
        # What is said to it stands in the history only where we keep one: others were told when the thread was made.
        if await self.ground.threads.bind(
            self.entry.hold,
            thread,
            replaces,
            self.request.place.process_instance_id,
            former=self.leaving.former,
            why=self.leaving.why,
            said=seed.by_turns if seed and not self.provider.remembers else (),
            tokens=seed.tokens if seed else 0,
            memory=memory,
            cuts=cuts,
            rewound=self._rewound(),
            order=self.entry.order,
            began_at=self.request.began_at,
        ):
            self.bound = thread
            return True
        # Where the hold is not lost an order has come since: who enters next carries it out.
        await self.ground.renew(self.entry.hold, self._hold_lost)
        return False

    def _rewound(self) -> str:
        """Return the words of the order that a new thread is made for, if it is one to rewind."""
        why = self.entry.renewal
        return why.reason if why is not None and self.entry.rewinds else ""

    async def _create_with(self, gone: Thread | None, generation: int, seed: Seed) -> tuple[Thread, Seed]:
        """Create a thread that knows the seed; one without it where the provider does not take that."""
        key, replaces = self.request.key, gone.id if gone else None
        try:
            return await self.provider.create_thread(key, generation, replaces, seed.said), seed
        except BadRequest as exc:
            if not seed.said or self.leaving.needs_history or self.entry.rewinds:
                raise
            log.warning(Event.THREAD_NOT_SEEDED, reason=str(exc))
        return await self.provider.create_thread(key, generation, replaces, ()), Seed()

    async def _discard(self, thread: Thread, seed: Seed) -> None:
        """Delete a conversation that lost against another; nothing was said on it but its seed."""
        log.info(Event.THREAD_DISCARDED, thread_id=thread.id)
        metrics.THREADS.labels("discarded").inc()
        with suppress(WorkerError):
            await self.provider.discard(thread, seeded=bool(seed.said))

    async def _ask(self, thread: Thread) -> Answer | None:
        """Note the intent, ask, and keep the answer."""
        self.facts.thread = thread
        # The last moment at which nothing is asked: from the intent on somebody would have to look for an answer.
        if self.ground.stopping():
            raise Stopping("the worker is stopping")
        self.facts.reads = self._tokens()
        # Before the intent: a death between the two leaves too much counted, and never too little.
        self.facts.budgets = await self.bill.charge(self.entry.hold.token, self.request.assistant, self.facts.reads)
        limit = self.request.assistant.timeout + LANDING_TIME
        remember, whose = self.request.remember, self.request.place.speaker
        # Where nobody could tell it counts as the first: whoever finds the answer remembers it of no forgotten subject.
        generation = None if remember is None else remember.generation or 0
        intended = await self.ground.threads.intend(self.entry.hold, self.entry.attempt, limit, whose, generation)
        if intended is None:
            self._hold_lost()
            return None
        self.intended, self.call.watched = True, intended.watched
        self.facts.calls = self.entry.calls + 1
        metrics.THREADS.labels(self.facts.use).inc()
        self.facts.is_asking = True
        try:
            return await self._asked(thread)
        finally:
            self.facts.is_asking = False

    async def _asked(self, thread: Thread) -> Answer:
        """Call the model, keep the answer, and write the thread variable meanwhile."""
        if self.variable is None or self._is_published(self.variable, thread):
            return await self._keep(await self.call.call(thread), published=True)
        # Beside the call, which takes longer; the variable matters only once the map is lost.
        async with background.running(self.variable.write(thread), f"publish for {self.request.id}") as publishing:
            answer = await self.call.call(thread)
            await asyncio.wait({publishing}, timeout=PUBLISH_PATIENCE_SECONDS)
            published = publishing.done() and publishing.exception() is None and publishing.result()
            return await self._keep(answer, published=published)

    def _tokens(self) -> int:
        """Say how many tokens this call will read: all that was said on the thread, and what is said now."""
        known = self.entry.tokens if self.facts.use == "reused" and self.entry.tokens else 0
        return known + self.request.tokens + self.facts.seed.tokens

    def _is_published(self, variable: Keepsake, thread: Thread) -> bool:
        if variable.one_of_many:
            return variable.came_with(thread)
        return self.facts.use == "adopted" or (self.facts.use == "reused" and self.entry.published)

    async def _keep(self, answer: Answer, *, published: bool) -> Answer:
        # From here on the hold is let go of, and a renewal that is on its way finds none.
        self.has_answer = True
        if answer.found_nothing:
            check_store(self.ground, self.request.assistant)
        return await self.keeping.keep(answer, published=published)

    def _hold_lost(self) -> None:
        if self.has_answer:
            return
        log.warning(Event.HOLD_LOST)
        metrics.HOLDS_LOST.inc()
