"""What the transcript keeps of conversations, and how its readers ask for it.

A session is everything that is said under one thread key; a recreated thread goes on in the same session. Ids of
sessions and messages follow from what they are of, so whoever writes them again writes the same rows. Every time is
aware and UTC.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from worker.domain.feedback import Feedback
from worker.domain.memory import Remembrance
from worker.domain.money import Money
from worker.domain.threads import PERSON_SCOPE, SHARED_SCOPE, TASK_SCOPE, ThreadKey
from worker.errors import Unstorable

T = TypeVar("T")


class Role(StrEnum):
    """Who speaks, in the words of the transcript."""

    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"


PROVIDER_ROLES: Mapping[str, Role] = {
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.AGENT,
    "agent": Role.AGENT,
    "model": Role.AGENT,
    "ai": Role.AGENT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
}
"""Providers' words for who speaks. This is the one place where they become ours."""


def role_of(provider_role: str) -> Role:
    """Return the transcript's word for a provider's. Raises Unstorable, which names it."""
    try:
        return PROVIDER_ROLES[provider_role]
    except KeyError:
        raise Unstorable(f"no role of the transcript is known for the provider's {provider_role[:40]!r}") from None


REMOVED = "[removed]"
"""Stands where words were that are not kept any more."""

REMARK = "remark"
MOST_ATTACHMENTS = 10
"""Links that come with one message."""
"""In a message's metadata: it was said elsewhere, and somebody has recorded it."""


def session_id(key: ThreadKey) -> str:
    """Name the session of a thread key: 32 hex digits, no two keys alike."""
    return digest("session", key.engine, key.tenant, key.scope, key.assistant)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    """Microseconds since 1970: where in the record what was said at this time stands."""
    return (time - EPOCH) // timedelta(microseconds=1)


def message_id(engine: str, task_id: str, attempt: int, role: Role, number: int = 0) -> str:
    """Name one message of an exchange: 32 hex digits. Question and answer have number 0, the others count from 1."""
    return digest("message", engine, task_id, str(attempt), role, *([str(number)] if number else []))


def digest(*parts: str | None) -> str:
    """Make an id of what it is of: 32 hex digits, others for any other parts."""
    named = bytearray()
    for part in parts:
        # Lengths keep parts apart, and None from the empty text.
        raw = None if part is None else part.encode(errors="surrogatepass")
        named += b"-;" if raw is None else b"%d:%b;" % (len(raw), raw)
    return hashlib.sha256(named).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation. Process facts are those of its earliest exchange, assistant and thread of its latest.

    `process_instance_id` is None where instances share it by business key, and where a person has it beside all
    processes: then no process fact is known, and it does not end but go. `messages` is counted when it is read.
    `duration_seconds` is set with `ended_at`. `thread_erased_at`: since then the provider has nothing of it any more.
    """

    id: str
    kind: str
    engine: str
    scope: str
    process_instance_id: str | None
    definition_key: str
    definition_version: int | None
    business_key: str | None
    tenant: str | None
    assistant: str
    assistant_version: str | None
    thread_id: str | None
    generation: int | None
    user: str | None
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    is_active: bool
    messages: int
    thread_erased_at: datetime | None = None
    anonymised_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> ThreadKey:
        """The thread that it is of."""
        return ThreadKey(self.engine, self.scope, self.assistant, self.tenant)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an exchange. Positions grow with time within a session, and an exchange's follow each other.

    `is_between`: it is neither the question nor the answer, and has the question's time, or it is a remark. `user` is
    the person who speaks, if it is one, or who has recorded it. The answer carries response, model, tokens and cost as
    `Answer` has them, `processing_seconds`, and in `metadata` outcome, detail, use, recovered, repaired, and what
    spoke, see `Exchange`; `feedback` is what people say of it, the earliest first. `remembered` is what became of it
    beyond its instance, None where nothing was to be remembered.
    """

    id: str
    session_id: str
    position: int
    role: Role
    content: str
    attachment_url: str | None
    process_instance_id: str
    definition_id: str
    task_id: str
    activity_id: str
    activity_name: str
    attempt: int
    thread_id: str | None
    generation: int | None
    response_id: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    processing_seconds: float | None
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Money | None = None
    user: str | None = None
    is_between: bool = False
    feedback: Sequence[Feedback] = ()
    remembered: Remembrance | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it is the agent's answer; what else the agent says is none."""
        return self.role is Role.AGENT and not self.is_between

    @property
    def is_remark(self) -> bool:
        """Whether it was said elsewhere, to no assistant and by none of them."""
        return REMARK in self.metadata

    @property
    def attachments(self) -> Sequence[str]:
        """Links that come with it. A reader who knows only one of them has the first."""
        links: Sequence[str] | None = self.metadata.get("attachments")
        return links or ([self.attachment_url] if self.attachment_url else [])


@dataclass(frozen=True, slots=True)
class Instance:
    """A process instance that an assistant spoke in, by what the transcript knows of it.

    `is_active`: one of its conversations has not ended. Shared conversations count with what was said in it.
    """

    id: str
    engine: str
    definition_id: str
    definition_key: str
    definition_version: int | None
    business_key: str | None
    tenant: str | None
    started_at: datetime
    last_at: datetime
    is_active: bool
    sessions: int
    messages: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ActivityCounts:
    """What was said at one activity of an instance. A turn is one task; `attempts` counts its repetitions too.

    `seconds` is the sum over all answers. `outcome` is that of the newest answer.
    """

    id: str
    name: str
    turns: int
    attempts: int
    input_tokens: int
    output_tokens: int
    seconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What messages name that providers may have, by addresses: conversations, each with its anchor as far as that is
    known, and stored responses, each with the conversation that it was given on.
    """

    threads: Mapping[str, str | None] = field(default_factory=dict)
    responses: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found, with the place that shows why. `excerpt` is plain text."""

    message_id: str
    session_id: str
    process_instance_id: str
    activity_id: str
    activity_name: str
    assistant: str
    business_key: str | None
    role: Role
    position: int
    created_at: datetime
    excerpt: str
    is_between: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is, counted when asked."""

    sessions: int
    active_sessions: int
    instances: int
    messages: int
    input_tokens: int
    output_tokens: int


Opened = Literal["instance", "session"]
"""What begins with a question."""

By = Literal["all", "instance", "definition", "day", "assistant", "model"]
"""What answers that are summed have in common. A day is one of UTC."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What answers took and cost together, as far as that is known.

    Each currency has its sum in `cost`. What the `unpriced` answers cost nobody knows: it comes on top.
    """

    answers: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Sequence[Money] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. `next` is the cursor of the page behind it, None at the end."""

    items: Sequence[T]
    next: str | None


async def every(read: Callable[[str | None], Awaitable[Page[T]]]) -> AsyncGenerator[T, None]:
    """Yield each item of a list, page by page. `read` takes the cursor of a page, None for the first one."""
    after = None
    while True:
        page = await read(after)
        for item in page.items:
            yield item
        if (after := page.next) is None:
            return


@dataclass(frozen=True, slots=True)
class Definitions:
    """Processes by their definitions' keys: whose instances may be seen while they run, and when they are over.

    `instances` may be seen besides, while they run.
    """

    running: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    instances: frozenset[str] = frozenset()

    def has(self, key: str, instance: str, *, runs: bool) -> bool:
        """Whether an instance of a process may be seen, which runs or is over."""
        return key in self.running or instance in self.instances if runs else key in self.ended


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader may see; None sets no limit. None among the tenants stands for conversations without tenant.

    A limit to instances hides conversations that instances share by business key. One to definitions hides those in
    which an instance spoke that may not be seen. What is said beside a conversation is seen by who may see that one: it
    knows what was said there. Of the conversations that persons have beside all processes only those of these `persons`
    are seen, by their ids: nobody's, unless that is said.
    """

    tenants: frozenset[str | None] | None = None
    instances: frozenset[str] | None = None
    definitions: Definitions | None = None
    persons: frozenset[str] | None = frozenset()

    @property
    def hides_processes(self) -> bool:
        """Whether there may be processes that cannot be seen."""
        return (self.tenants, self.instances, self.definitions) != (None, None, None)

    def has_instance(self, instance: str) -> bool:
        """Whether a process instance may be seen, as far as its id tells."""
        return self.instances is None or instance in self.instances

    def has_thread(self, key: ThreadKey, instance: str | None) -> bool:
        """Whether a thread may be seen, as far as its key tells, and the instance that it ends with, if it has one."""
        if key.person is not None and self.persons is not None and key.person not in self.persons:
            return False
        if self.tenants is not None and key.tenant not in self.tenants:
            return False
        return self.instances is None or (instance in self.instances and not key.is_shared)


EVERYTHING = Limits(persons=None)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are wanted; None leaves a field open.

    `instance` and `definition_key` also find shared sessions in which it, or an instance of that process, spoke. The
    time span wants some of the session in it: `since` belongs to it, `until` does not. `ended_until` is the latest end
    that is wanted.

    `parts`: business key, definition key and assistant are parts of what is wanted, in capitals or not; processes of
    the keys `or_definitions` are wanted beside those that the definition key finds. `free`: those that persons have
    beside all processes.
    """

    engine: str | None = None
    instance: str | None = None
    business_key: str | None = None
    definition_key: str | None = None
    assistant: str | None = None
    tenants: frozenset[str] | None = None
    active: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    ended_until: datetime | None = None
    thread_erased: bool | None = None
    anonymised: bool | None = None
    parts: bool = False
    or_definitions: frozenset[str] = frozenset()
    free: bool | None = None


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages are wanted: of a session, an instance, one of its activities, an engine; those from a time on.

    `id` wants one alone.
    """

    session_id: str | None = None
    instance: str | None = None
    activity_id: str | None = None
    engine: str | None = None
    since: datetime | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class AsksSeen:
    """How it stands with what persons asked of one thread: it differs whenever anything of that has changed.

    `last` is the number of the newest. `queued` are those that wait for their turn, `running` those that are being
    answered, be it beside the thread.
    """

    last: int = 0
    queued: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Newest:
    """How far the record has come with what was said on one thread: the number of its newest message.

    Of an instance only what was said in it counts, and `ended_at` is None on a thread that it shares with others.
    """

    session_id: str
    key: ThreadKey
    process_instance_id: str | None
    number: int
    ended_at: datetime | None
    asked: AsksSeen = AsksSeen()

    def is_within(self, limits: Limits) -> bool:
        """Whether a reader with these limits may see the session; which processes spoke there only the record tells."""
        return limits.has_thread(self.key, self.process_instance_id)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose transcript ends: one process instance's, a business key's, or a person's. Exactly one of these is set.

    Or it is `memory`, the digest of a subject that is forgotten: no transcript ends with it.

    `tenants` says whose; None those of all, None among them the one of processes without tenant. With an instance it
    leaves out what processes of other tenants said on threads that are named after this one. `person` is an id, and
    with a `chat` it is one conversation of theirs, by its name.
    """

    engine: str
    instance: str | None = None
    business_key: str | None = None
    tenants: frozenset[str | None] | None = None
    person: str | None = None
    chat: str | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        if [self.instance, self.business_key, self.person, self.memory].count(None) != 3:  # noqa: PLR2004 - all but one
            raise ValueError("a subject is an instance, a business key, a person, or one of the memory's")
        if self.person is None and self.chat is not None:
            raise ValueError("a chat is a person's")

    @property
    def limits(self) -> Limits:
        """What of the transcript may be its."""
        return Limits(self.tenants, persons=frozenset() if self.person is None else frozenset([self.person]))

    def has(self, key: ThreadKey) -> bool:
        """Whether a thread is one of those that this person has beside all processes."""
        return self.person is not None and self.person == key.person and self.chat in (None, _chat(key))

    @property
    def ordered_tenants(self) -> tuple[str | None, ...] | None:
        """The tenants in the same order always, to be written down."""
        return None if self.tenants is None else tuple(sorted(self.tenants, key=lambda tenant: tenant or ""))


def owner(key: ThreadKey, instance: str | None) -> Subject | None:
    """Tell with whose end a thread ends; None where nobody can. `instance` is one that speaks, or spoke, on it."""
    if key.scope.startswith(SHARED_SCOPE):
        shared_by = key.scope.removeprefix(SHARED_SCOPE)
        return Subject(key.engine, business_key=shared_by, tenants=frozenset([key.tenant]))
    if key.person is not None:
        return Subject(key.engine, person=key.person, chat=_chat(key))
    instance = instance if key.scope.startswith(TASK_SCOPE) else key.scope
    return Subject(key.engine, instance=instance) if instance else None


def _chat(key: ThreadKey) -> str:
    return key.scope.removeprefix(PERSON_SCOPE).partition(":")[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How many rows a step of ending changed. `held`: how many messages it left, as records on hold cite them."""

    sessions: int
    messages: int
    feedback: int = 0
    held: int = 0
