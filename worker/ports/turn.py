"""What a turn needs from the outside: the architecture on one page.

Every method raises only `worker.errors`; adapters translate their driver's errors once. Cancellation passes through.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.exchanges import Exchange
from worker.domain.tasks import Definition, Task, TaskState, Topic, Variable
from worker.domain.threads import (
    Answer,
    Assistant,
    Decision,
    Entry,
    Hold,
    Past,
    Question,
    Remembered,
    Said,
    Seed,
    Thread,
    ThreadKey,
)


class Engine(Protocol):
    """A BPMN engine's REST API, seen by one worker id. All methods may raise EngineDown.

    Where a method concerns one task, the engine's own no is that task's: reads raise ReadRefused, and Unanswered or
    Conflict where that may pass; what tells the engine something raises Forbidden where a right is missing.
    """

    async def fetch(self, topics: Sequence[Topic], max_tasks: int, wait: timedelta = timedelta.max) -> list[Task]:
        """Lock and return up to `max_tasks` tasks, by priority and then the oldest first.

        Waits at the engine for the first one, not longer than `wait`, nor than the worker's own time for a poll. Raises
        Refused where the engine itself says no to this poll; tasks may be locked all the same.
        """
        ...

    async def ping(self) -> None:
        """Return if the engine takes polls from us at all."""
        ...

    async def extend(self, task_id: str, duration: timedelta | None = None) -> None:
        """Set the lock to now + duration (the worker's lock duration if None), longer or shorter.

        A lock that ran out and was not taken by another worker is taken back. Raises TaskLost, TaskSuspended.
        """
        ...

    async def complete(self, task_id: str, variables: Mapping[str, Variable], local: Mapping[str, Variable]) -> None:
        """Hand in the result. Raises Conflict, TooLong, Refused, TaskLost, TaskSuspended.

        After EngineDown the completion may have happened: ask `was_completed` when the repeat finds no task.
        """
        ...

    async def was_completed(self, task_id: str) -> bool:
        """Whether the engine's history has an accepted completion of this task."""
        ...

    async def fail(self, task_id: str, message: str, details: str, retries: int, delay: timedelta) -> None:
        """Report a failure; `retries` 0 makes an incident. The message is cut at 666 characters by engines."""
        ...

    async def bpmn_error(self, task_id: str, code: str, message: str, variables: Mapping[str, Variable]) -> None:
        """Throw a BPMN error that the model catches. Uncaught, it ends the path without an incident."""
        ...

    async def unlock(self, task_id: str) -> None:
        """Give the task back at once. The engine does not check whose lock it is; only call it for a live lock."""
        ...

    async def state(self, task_id: str) -> TaskState:
        """What the engine says of the task now. Raises TaskLost when it is gone."""
        ...

    async def locked(self) -> list[str]:
        """Ids of all tasks that our worker id has locked, those we never heard of included."""
        ...

    async def definition(self, definition_id: str) -> Definition:
        """The model's external tasks with documentation; one request per definition, then cached."""
        ...

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        """One variable of the instance as it is now, None if there is none. Raises TaskLost without instance."""
        ...

    async def set_variable(self, process_instance_id: str, name: str, variable: Variable) -> None:
        """Write one variable of the instance. Raises TaskLost without instance."""
        ...

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        """Content of a File variable that this execution sees; None if it has more than `most` bytes."""
        ...

    async def as_json(self, execution_id: str, name: str, most: int) -> str | None:
        """JSON of a Java object in a variable that this execution sees; None beyond `most` bytes.

        Raises ReadRefused where the engine itself cannot read the object.
        """
        ...

    async def root_instance(self, process_instance_id: str) -> str:
        """The instance that no call activity started, at the top of this one's callers; it may be itself."""
        ...

    async def forerunners(self, process_instance_id: str) -> Sequence[str] | None:
        """Return the instances that this one was restarted from, the latest first; None if nobody can tell."""
        ...

    async def resource(self, definition_id: str, name: str) -> str:
        """Text of a file that was deployed with the definition. Raises BadDefinition when there is none, TaskLost."""
        ...

    async def has_spin(self) -> bool:
        """Whether the engine stores Json variables and JSON-serialised objects; asked once, then cached."""
        ...


class Format(Protocol):
    """The format of what one store keeps for our engine, see `domain.formats`."""

    async def check(self) -> None:
        """Return if it is ours, and note ours where it is lower. Raises NewerFormat."""
        ...


class Topics(Protocol):
    """What to poll for."""

    async def current(self) -> tuple[Topic, ...]:
        """Return the topics to poll for now; looks for new ones when the last look is old. Never raises."""
        ...

    def next_look(self) -> timedelta:
        """Say in how long `current` looks again: a poll has to be over by then, as none is ever broken off."""
        ...

    def serves(self, task: Task) -> bool:
        """Whether a fetched task is ours to answer."""
        ...

    def suspect(self) -> None:
        """Look again before the next poll: a task came that is not ours."""
        ...

    async def definitions(self, topic: str) -> tuple[str, ...]:
        """Ids of the definitions that may bring tasks of ours on this topic, as far as known. Never raises."""
        ...


class Threads(Protocol):
    """Which thread belongs to whom, who may start a turn on it, and what is known of each turn.

    Every method may raise StoreDown, and may be repeated after a lost reply with the same effect.
    """

    async def enter(self, key: ThreadKey, task_id: str, retries: int | None = None) -> Entry:
        """Read journal, hold and map, and take the hold unless the task is answered or another task holds it.

        A task that comes again takes its own earlier hold over: the engine gave the task to us, so its earlier
        worker has lost it. `retries` are those that it came with, None before its first failure: more than were noted
        are a person's doing, and its calls and its trouble count from 0 again. Raises NewerRecord, with nothing
        changed.
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
    ) -> bool:
        """Write the map. False, and nothing written, if the hold is lost or the generation is not `replaces`.

        `replaces` is 0 where the map has nothing. `instance` is the process instance that binds, with which threads of
        a single task end. `former` is the replaced thread if it is still there: it is remembered with `why` it
        was left, to be erased with this one. `said`: turns that the history begins with, where we keep it.
        """
        ...

    async def intend(self, hold: Hold, attempt: int, limit: timedelta) -> bool:
        """Note that a call starts now and ends within `limit` by Redis' clock; it counts as paid, once for each hold.

        False if it must not start: the hold is lost, or another delivery of the task has brought the answer.
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
    ) -> Answer:
        """Keep the answer and let go of the hold; return the answer that counts, the first one of this attempt.

        Needs no hold. `published` notes that the engine has the thread variable. `exchange` is what the sinks are to
        have of it; its times are set here. `remembered` is added to the history that we keep of its thread, if this
        answer counts and the map still names that. Raises NewerRecord: a newer worker has the task, and keeps its
        answer.
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

    async def seed(self, key: ThreadKey, most: int | None = None) -> Seed:
        """Return what a recreated thread has to know, in so many tokens at most. Never raises: see `Seed.is_known`."""
        ...

    async def inherited(self, keys: Sequence[ThreadKey], activity: str) -> Seed:
        """Return what was said before a restart. Never raises.

        `keys` are those of the instances that it goes back to, the latest first. Of that one it is what was said before
        this activity was first asked, of each one before it what was said before the later one began.
        """
        ...

    async def thread(self, key: ThreadKey) -> Thread | None:
        """Return the thread that was last spoken on under this key, with its anchor; None if unknown. Never raises."""
        ...

    async def anchor(self, key: ThreadKey, thread: Thread) -> str | None:
        """Return which account a thread is in, as its anchor; None if that is not known. Never raises."""
        ...


class Watcher(Protocol):
    """Whoever reads an answer while it is written.

    Both methods return at once and never raise: whoever cannot keep up drops what it has to. Nothing here is the
    answer; that is what the call returns, and it may come without a word of it having been said.
    """

    def began(self) -> None:
        """Begin: a request is made. What was said before is void: it was not the answer, or is being asked again."""
        ...

    def said(self, text: str) -> None:
        """Take more of the answer's text: what goes behind that which was said since `began`."""
        ...


class Watchers(Protocol):
    """Who reads along."""

    async def watcher(self, key: ThreadKey, task_id: str, attempt: int) -> Watcher | None:
        """Return who watches this attempt's call, which begins now; None: nobody, and then nothing is streamed.

        Never raises, and holds the call up no longer than one look at Redis.
        """
        ...


class Model(Protocol):
    """A provider that is told with each question what was said before, and keeps nothing of it.

    Every method may raise ModelDown, ProviderPaused, ModelUnknown, TurnedAway.
    """

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",
        watcher: Watcher | None = None,
    ) -> Answer:
        """One turn. Bad outcomes are answers too. Raises BadRequest, ContextFull. Ends within `assistant.timeout`.

        `cache_key` as in `Question`. A watcher hears the answer while it is written, and changes nothing of it.
        """
        ...

    async def ping(self) -> None:
        """Return if the provider accepts our key."""
        ...


class Payer(Protocol):
    """Who pays for a call that answers no request."""

    async def pay(self, assistant: Assistant, input_tokens: int, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call that reads so many tokens at most, under the budgets of whom it is made for.

        Raises OverBudget, StoreDown, and whatever the call raises.
        """
        ...


class ThreadProvider(Protocol):
    """A provider as turns see it, whoever keeps what was said on its threads.

    Methods raise what `Provider` says, AnotherAccount and ThreadUnseen. ThreadGone from here is safe to act on.
    """

    name: str
    """As the assistants' specs have it."""
    context_tokens: int | None
    """What its models can read, None where nobody said so."""
    remembers: bool
    """Whether the provider keeps what was said. Otherwise each answer is kept by us, with its question."""

    def holds(self, thread: Thread) -> bool:
        """Whether this is a thread of the API that the provider is asked over by now."""
        ...

    @property
    def overlaps(self) -> bool:
        """Whether a call may start while an earlier one may still run: it is refused then, or leaves no trace."""
        ...

    async def create_thread(
        self, key: ThreadKey, generation: int, replaces: str | None = None, said: Sequence[Said] = ()
    ) -> Thread:
        """Create a thread that begins with what was said. `replaces` is the id of the one before."""
        ...

    async def belongs(self, key: ThreadKey, thread: Thread) -> bool:
        """Whether a thread that nobody knows but a process variable is this key's."""
        ...

    async def look(self, thread: Thread, ref: str, *, deep: bool = False) -> Answer | None:
        """See `Provider.look`."""
        ...

    async def ask(
        self,
        key: ThreadKey,
        thread: Thread,
        question: Question,
        assistant: Assistant,
        watcher: Watcher | None = None,
    ) -> Answer:
        """See `Provider.ask`."""
        ...

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:
        """See `Provider.start`."""
        ...

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """See `Provider.follow`."""
        ...

    async def cancel(self, response_id: str) -> None:
        """See `Provider.cancel`."""
        ...

    async def discard(self, thread: Thread, *, seeded: bool) -> None:
        """Delete a thread that was just made, with what it was told if it is `seeded`."""
        ...

    async def seen(self, thread: Thread) -> Thread:
        """Say of a thread that was just used which account it is in. Never raises."""
        ...

    async def tidy(self, key: ThreadKey, thread: Thread, assistant: Assistant, payer: Payer) -> None:
        """Make room in a history that we keep, once an answer is out. Nobody waits for it. Never raises."""
        ...

    async def ping(self) -> None:
        """Return if it can be used."""
        ...


class Provider(Protocol):
    """A provider's conversations and answers.

    Every method may raise ModelDown, ProviderPaused, ModelUnknown, and all but `ping` TurnedAway; those with a thread
    also ThreadGone, only after a positive answer that this thread does not exist, for this key at least: turns go
    through `accounts.anchored.AnchoredProvider`.
    """

    refuses_overlap: bool
    """Whether the provider itself refuses a second turn on a busy conversation (ThreadLocked)."""

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:
        """Create a conversation that begins with what was said, and return its id.

        Metadata are at most 16 pairs, values of 512 characters.
        """
        ...

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given."""
        ...

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:
        """Find the answer to the question that ends with this ref among the newest items; None if there is none.

        Validates the thread at the same price. `deep` reads 100 items instead of 20.
        """
        ...

    async def ask(
        self, thread_id: str, question: Question, assistant: Assistant, watcher: Watcher | None = None
    ) -> Answer:
        """One turn. Bad outcomes (refused, incomplete …) are answers too.

        Raises ThreadLocked, BadRequest. Ends within `assistant.timeout`. `watcher` as in `Model.ask`.
        """
        ...

    async def start(self, thread_id: str, question: Question, assistant: Assistant) -> str:
        """Begin a turn that goes on without us, and return its response id at once. Raises as `ask` does."""
        ...

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """Wait for the end of a turn that was started; None if the provider does not know it (any more).

        One that is not over in time is cancelled. ModelDown: it has ended without an answer, nothing of it runs or
        comes any more. ModelUnknown: it may still run.
        """
        ...

    async def cancel(self, response_id: str) -> None:
        """End a turn that was started; one that is over, or is not known, is fine."""
        ...

    async def erase_thread(self, thread_id: str) -> int:
        """Delete a conversation with all that was said on it; how many items went. May be repeated."""
        ...

    async def delete_thread(self, thread_id: str) -> None:
        """Delete an empty conversation; one that is gone already is fine."""
        ...

    async def ping(self) -> None:
        """Return if the provider accepts our key and has conversations. Raises ModelDown, ProviderPaused."""
        ...


class Assistants(Protocol):
    """The specs of ASSISTANTS_DIR."""

    def find(self, name: str, version: str | None) -> Assistant:
        """Return the named version, the highest one if None. Raises UnknownAssistant, which lists what there is."""
        ...
