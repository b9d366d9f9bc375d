"""One tree of errors. The class says what may be done about it; the text is for people.

WorkerError
├── Transient               says nothing about this task: later, retries untouched; may know `retry_after`
│   ├── EngineDown          not reachable, 5xx without an error of the engine's own, a gateway's page
│   │   ├── EngineUnreached no connection came about: what was to be told was not even sent
│   │   └── EngineDenied    401, or 403 to the probe or a poll as well: our credentials or rights
│   ├── Unanswered          no answer to what one task needs to read, though the engine's probe succeeds
│   ├── Conflict            the engine's transaction lost a race (codes 1, 10000, 10001): repeat this one request
│   ├── StoreDown           Redis is not reachable, read-only, loading, out of memory, refuses us
│   ├── ClocksDiffer        those of worker, Redis and engine are apart: nothing ends by its age
│   ├── IssuerDown          who says who a person is gives no answer
│   ├── SinkDown            a place that exchanges go to cannot be used; the same may be written again
│   │   └── TranscriptDown  the transcript's database
│   │       └── NoTranscript  there is none yet at that address
│   ├── MemoryDown          what is remembered beyond an instance cannot be read or written now
│   ├── NewerFormat         a newer worker has changed what Redis or the transcript keeps: no task is taken
│   ├── NewerRecord         what stands in Redis is of a newer worker's making: nothing of it is touched
│   ├── ModelDown           the provider certainly did not run the call: 429, 5xx, no connection
│   │   ├── ProviderAway    nobody can be reached there
│   │   ├── ProviderPaused  no repeat helps before a person acts: quota, key
│   │   │   ├── KeepsNothing  the organisation has nothing kept by its provider, and so no conversations
│   │   │   └── AnotherAccount  the key is of another account than the one that has the thread
│   │   ├── ThreadUnseen    no such conversation for this key, and nobody can tell whether it ever could see it
│   │   ├── AssistantPaused the same for this assistant alone: no right to its model
│   │   ├── FilesGone       the provider has the store with an assistant's files no more, or shows it to another key
│   │   ├── FilesOnTheWay   the provider is being given an assistant's files, which takes longer
│   │   ├── LimitReached    as many calls run, or were made in this minute, as PROVIDERS_FILE allows
│   │   ├── StoppedByOperator  an operator has stopped the assistant, or what else the call is of
│   │   └── AssistantElsewhere  another worker has the assistant, or may soon
│   ├── HistoryUnread       what a new thread has to know of what was said cannot be read now
│   ├── FileChanging        a file that an assistant looks things up in is being written
│   ├── NotProposed         what a person approves is on its way to be proposed
│   ├── ModelUnknown        the call may have run: a timeout or a cut reply. Look before asking again
│   │   └── BrokenOff       … because an operator's stop broke it off
│   └── ThreadLocked        the provider works on this conversation already
├── Permanent               a person has to change something
│   ├── BadDefinition       the BPMN model asks for something that cannot be
│   │   └── BadInput        what this instance's variables hold cannot be asked, though the model may be right
│   ├── ReadRefused         the engine refuses what one task needs to read, though its probe succeeds: a right, a limit
│   ├── UnknownAssistant    no spec of this name and version here
│   ├── BadRequest          the provider will never accept this call: model, parameter
│   │   ├── ContextFull     … because it is longer than may be sent: a shorter history may help
│   │   ├── ThreadBroken    … because of what stands on its conversation: another one may help
│   │   └── Filtered        … because of what it says: where a call has an answer, this is one
│   ├── OverBudget          a budget does not allow the call: nothing was asked
│   ├── CallsSpent          the task has made as many calls as it may, and no usable answer came
│   ├── IdsRepeated         the engine has given out an id again, under which another instance's conversation is kept
│   ├── HistoryMissing      a new thread has to know what was said before, and that is nowhere
│   ├── AskedOtherwise      a person's message came before under the same id, with another text
│   ├── StopOfOthers        who is limited to tenants may not change a stop of somebody who is not
│   ├── NoProvider          what a thread is at is not among the providers any more
│   ├── MemoryRefused       the memory does not take the key, or what was asked
│   ├── NotRedacted         nobody can tell what is in a text that is to be remembered
│   ├── Unstorable          a sink will never take this one exchange
│   ├── BadRecord           a decision's record lacks what it needs, or contradicts itself
│   └── BadCursor           no page of ours ended with this cursor
├── TurnedAway              this one request was refused, by a gateway's page or for want of a right; others may pass
├── Poisonous               workers died under this task again and again
├── Refused                 the engine does not take the result, or hands nothing over
│   ├── TooLong             … because a value does not fit its column (code 10002)
│   ├── TooMuch             the tasks of a poll have more bytes than are taken in; they are locked for us
│   └── Forbidden           … because our user lacks a right, though the probe succeeds
├── TaskLost                the task is gone or another worker's: nothing may be told to the engine
│   └── TaskGone            … because there is no such task any more
├── TaskSuspended           the engine takes nothing for it until somebody resumes it
├── ThreadGone              the conversation positively does not exist any more, for this key
│   └── ThreadObsolete      … and for no other key
└── Stopping                the worker is asked to stop and this turn has not asked yet
"""

from datetime import timedelta
from typing import ClassVar


class WorkerError(Exception):
    """Everything we raise on purpose.

    What a class means stands on it. `dependency`: what is down with it, so that nothing is fetched until a probe
    succeeds. `excludes_call`: the call of a model that ended so certainly did not run, and nobody has to look for its
    answer. `is_trouble`: it starts the clock after which trouble that is not the task's own costs a retry all the same.
    """

    dependency: ClassVar[str | None] = None
    excludes_call: ClassVar[bool] = False
    is_trouble: ClassVar[bool] = False


class Transient(WorkerError):
    """It will pass. `retry_after` is the other side's wish, `status` that of its answer; None where it has none."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class EngineDown(Transient):
    """The engine gave no answer of its own."""

    dependency = "engine"


class EngineUnreached(EngineDown):
    """The engine has heard nothing of this request."""


class EngineDenied(EngineDown):
    """The engine refuses our credentials or rights."""


class Unanswered(Transient):
    """The engine gave no answer of its own to a read for one task, and works otherwise."""

    is_trouble = True


class Conflict(Transient):
    """Two transactions of the engine collided; nothing of ours was written."""


class StoreDown(Transient):
    """Redis cannot be used now."""

    dependency = "redis"


class IssuerDown(Transient):
    """Nobody can tell now whether a token is good."""


class NewerFormat(Transient):
    """A newer worker has changed what a store keeps for our engine."""

    dependency = "format"


class ClocksDiffer(Transient):
    """The clocks of this worker, Redis and the engine are apart, so that nobody can tell how old anything is."""


class NewerRecord(Transient):
    """A newer worker wrote what stands in Redis; it can read it, and so can we once we are updated."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was written by a newer worker, and is left to it. Update this worker.")


class ModelDown(Transient):
    """The provider did not run this call."""

    excludes_call = True
    is_trouble = True


class ProviderAway(ModelDown):
    """The provider cannot be reached at all."""

    dependency = "provider"
    is_trouble = False


class ProviderPaused(ModelDown):
    """The provider will refuse every call until a person acts."""

    dependency = "provider"
    is_trouble = False


class KeepsNothing(ProviderPaused):
    """The key is good, and nothing is kept for its organisation: another API has to be named."""


class AnotherAccount(ProviderPaused):
    """The key in use cannot see the account that has the threads."""


class ThreadUnseen(ModelDown):
    """The key in use sees no such conversation, and that proves nothing."""


class AssistantPaused(ModelDown):
    """The provider will refuse this assistant's calls until a person acts; others' may be fine."""

    is_trouble = False


class FilesGone(ModelDown):
    """What the provider was to search, a `store` of files, is gone there; it is made anew from the files."""

    def __init__(
        self, message: str, *, store: str = "", retry_after: timedelta | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status)
        self.store = store


class FilesOnTheWay(ModelDown):
    """Files are uploaded and indexed for minutes; nobody keeps a slot for that."""

    is_trouble = False


class LimitReached(ModelDown):
    """The provider takes calls, but all workers together may make no more now."""

    is_trouble = False


class StoppedByOperator(ModelDown):
    """No call may start until an operator lifts the stop; the text names it."""

    is_trouble = False


class ModelUnknown(Transient):
    """The provider may or may not have run this call."""

    is_trouble = True


class AssistantElsewhere(ModelDown):
    """Another worker has the assistant that the task names, or may soon; the text says which it is."""

    is_trouble = False


class BrokenOff(ModelUnknown):
    """An operator's stop ended our wait for this call."""

    is_trouble = False


class FileChanging(Transient):
    """A file of an assistant is another one than its spec was read with; the spec will be read again."""


class HistoryUnread(Transient):
    """No thread is made that would know nothing, and has to know: later, when the transcript answers."""

    excludes_call = True
    is_trouble = True


class NotProposed(Transient):
    """What was answered is on its way to be proposed, and cannot be approved before."""


class ThreadLocked(Transient):
    """Another call runs on this conversation."""

    is_trouble = True


class Permanent(WorkerError):
    """No repeat helps."""


class BadDefinition(Permanent):
    """The BPMN model is wrong; the text names the place."""


class BadInput(BadDefinition):
    """A variable that a task wants is missing, or holds what cannot be shown; the text names it."""


class ReadRefused(Permanent):
    """The engine refuses a read made for one task, and works otherwise; the text has its words."""


class HistoryMissing(Permanent):
    """No thread is made that would know nothing, and has to know; the text says what can be done."""

    excludes_call = True


class IdsRepeated(Permanent):
    """What is kept under these ids is of an instance that the engine has forgotten, as it was lost or restored."""

    excludes_call = True

    def __init__(self, instance: str) -> None:
        super().__init__(
            f"the engine has given out the id of this task, or of instance {instance}, before: what is kept under it "
            "was said to another one, which is lost. Before anything else is started let the engine count on from "
            "where it never was, or give its workers another ENGINE_NAME (docs/backup.md, engines that count their "
            f"ids); for this one alone `assistant-worker threads erase {instance} --force` ends what is kept"
        )


class StopOfOthers(Permanent):
    """Somebody whose rights are limited asked to change a stop of somebody whose rights are not."""


class AskedOtherwise(Permanent):
    """A client has used the id of one message for another."""


class NoProvider(Permanent):
    """The provider that has a thread is not named any more."""


class UnknownAssistant(Permanent):
    """The model names an assistant that is not here."""


class BadRequest(Permanent):
    """The provider rejects the call as such. `code` is its word for why, `param` what it is about; empty if unsaid."""

    excludes_call = True

    def __init__(self, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class ContextFull(BadRequest):
    """Conversation and question together are longer than the model can read, or than the account may send."""


class ThreadBroken(BadRequest):
    """The provider refuses every call on this conversation, for what stands on it."""


class Filtered(BadRequest):
    """The provider's content filter stopped the question."""


class OverBudget(Permanent):
    """What this call may take is more than is left of a budget; the text says which, and who may raise it."""

    excludes_call = True


class CallsSpent(Permanent):
    """No call is started for this task until a person sets its retries again; the text says what to change."""


class TurnedAway(WorkerError):
    """The provider, or something before it, refused this one request; a probe tells whether it refuses every one."""

    excludes_call = True


class Poisonous(WorkerError):
    """Perhaps this task kills its worker, perhaps a neighbour did."""


class Refused(WorkerError):
    """The engine answered, and does not accept."""


class TooLong(Refused):
    """A value does not fit its database column."""


class TooMuch(Refused):
    """The reply to a poll has more bytes than are taken in, though its tasks are locked."""


class Forbidden(Refused):
    """Our user may not tell the engine this; the text names the right."""


class TaskLost(WorkerError):
    """The task is not ours any more."""


class TaskGone(TaskLost):
    """The task is nobody's any more."""


class TaskSuspended(WorkerError):
    """The instance or definition is suspended."""


class ThreadGone(WorkerError):
    """The provider says that the conversation does not exist, which it also says of another account's."""

    excludes_call = True
    is_trouble = True


class ThreadObsolete(ThreadGone):
    """It is of a kind that the provider has for nobody any more."""


class Stopping(WorkerError):
    """Nothing new is started."""

    excludes_call = True


class SinkDown(Transient):
    """A place that exchanges go to cannot be used now; nothing was written, or the same may be written again."""


class TranscriptDown(SinkDown):
    """The database of the transcript cannot be used now."""


class NoTranscript(TranscriptDown):
    """Nobody has written to this database yet, or it is another one than the worker's."""


class MemoryDown(Transient):
    """The memory gave no answer that could be relied on: nothing may be taken for absent."""


class MemoryRefused(Permanent):
    """The memory does not take our key, or this very request; no repeat helps before somebody changes something."""


class NotRedacted(Permanent):
    """It was not found out what has to be taken out of a text: it must not be remembered."""


class Unstorable(Permanent):
    """This one exchange will never be taken; others are not concerned."""


class BadCursor(Permanent):
    """No page of ours ended with this cursor."""


class BadRecord(Permanent):
    """What a decision's record is made of lacks something, or cannot be; the text names each place."""
