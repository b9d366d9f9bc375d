"""Whose conversation, what is asked on it and what comes back."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from worker.domain.documents import AssistantFile, Attachment
from worker.domain.memory import NO_WISH, MemoryWish
from worker.domain.money import Money
from worker.domain.questions import DecisionQuestion
from worker.domain.refs import ref_line

SHARED_SCOPE = "business-key:"
"""Begins the scope of threads that instances share by business key."""

TASK_SCOPE = "task:"
"""Begins the scope of threads that end with the process instance that has bound them, such as a single task's."""

BRANCH_SCOPE = TASK_SCOPE + "branch:"
"""Begins the scope of threads on which persons talk beside another one, whose scope is the rest."""

PERSON_SCOPE = TASK_SCOPE + "person:"
"""Begins the scope of threads of persons, beside all processes; the person's id and the conversation's name follow.

To older workers it is a task's thread that no instance has bound, and those end none of them.
"""

OPENAI = "openai"
"""The provider of threads that were made before others were known, and of assistants that name none."""

BYTES_PER_TOKEN = 4
"""What a token is taken for: about right for English, too little for most other languages, so budgets err high."""

MOST_TOKENS = 20_000_000
"""Of one call: no model reads as many by far. Who says more would shut budgets and limits for days."""

SAFE_BYTES_PER_TOKEN = 3
"""What a token is taken for where it has to be enough: few texts need more tokens than that."""


LONGEST_MODEL = 200
"""Characters of a model's name, by whoever answers."""


def size(text: str) -> int:
    """Count bytes as they are sent."""
    return len(text.encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Assistant:
    """A versioned spec: who answers, with which model, by which instructions.

    `timeout` bounds one model call from the outside. `output_schema` is a JSON Schema or None. With `background` the
    provider runs the call by itself and outlives us: whoever has its response id can fetch the answer. `fallback` names
    provider and model of who answers while the own provider is away, in order; with `stays` a thread that has moved to
    one of them stays there. `questions` are decision questions, for whoever weighs answers; `output_schema` is their
    form for whoever does not. `memory` is what its tasks want of the memory, as far as they say nothing themselves. In
    `files` it looks things up; `looked_up` is what one call of it is shown of them, `file_store` the vector store at
    the provider that one call searches.
    """

    name: str
    version: str
    model: str
    provider: str
    instructions: str
    timeout: timedelta
    temperature: float | None = None
    max_output_tokens: int | None = None
    output_schema: Mapping[str, Any] | None = None
    background: bool = False
    fallback: tuple[tuple[str, str], ...] = ()
    stays: bool = False
    questions: tuple[DecisionQuestion, ...] = ()
    memory: MemoryWish = NO_WISH
    files: tuple[AssistantFile, ...] = ()
    looked_up: str = ""
    file_store: str = ""

    @property
    def told(self) -> str:
        """What stands before everything that is said, with each call anew: on no thread is any of it kept."""
        return f"{self.instructions}\n\n{self.looked_up}" if self.looked_up else self.instructions

    @property
    def chain(self) -> tuple[tuple[str, str], ...]:
        """Provider and model of everybody who may answer, in order."""
        return ((self.provider, self.model), *self.fallback)


@dataclass(frozen=True, slots=True)
class Intended:
    """A call was noted that may start now. `watched`: somebody reads along on its thread."""

    watched: bool = False


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """Whose conversation: what one scope and one assistant share, and nobody else.

    The scope is the id of a process instance, the task's own or its root's; or `business-key:<key>`, or `task:<id>`. A
    branch is `task:branch:` and the scope that it is beside: older workers, too, end it with its instance. A person's
    own is `task:person:<person>:<name>`.
    """

    engine: str
    scope: str
    assistant: str
    tenant: str | None = None

    def metadata(self) -> dict[str, str]:
        """The same as conversation metadata: values of at most 512 characters, as OpenAI accepts them."""
        values = {
            "engine": self.engine,
            "tenant": self.tenant or "",
            "scope": self.scope,
            "assistant": self.assistant,
        }
        return {name: _short(value) for name, value in values.items()}

    @property
    def is_branch(self) -> bool:
        """Whether persons talk there beside another thread, which hears nothing of it."""
        return self.scope.startswith(BRANCH_SCOPE)

    @property
    def branch(self) -> "ThreadKey":
        """Where persons talk beside this thread; a branch is its own, and so is what is of no process."""
        return self if self.is_branch or self.person else replace(self, scope=BRANCH_SCOPE + self.scope)

    @property
    def trunk(self) -> "ThreadKey | None":
        """The thread that a branch is beside; None of any other."""
        return replace(self, scope=self.scope.removeprefix(BRANCH_SCOPE)) if self.is_branch else None

    @property
    def person(self) -> str | None:
        """The id of the person whose thread this is, beside all processes; None of any other."""
        owned = self.scope.startswith(PERSON_SCOPE)
        return self.scope.removeprefix(PERSON_SCOPE).partition(":")[0] if owned else None

    @property
    def is_shared(self) -> bool:
        """Whether instances share it by business key, or the thread that it is beside."""
        return (self.trunk or self).scope.startswith(SHARED_SCOPE)


def _short(value: str, limit: int = 512) -> str:
    """Keep a long value recognisable: its beginning and a digest of the whole."""
    if len(value) <= limit:
        return value
    return value[: limit - 65] + "#" + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


def address(provider: str, name: str) -> str:
    """Say where a conversation or a response is, by one text: ids mean something to their provider alone."""
    return name if provider == OPENAI else f"{provider}/{name}"


def provider_of(address: str) -> tuple[str, str]:
    """Read it back: the provider's name, and the id there. Neither names nor OpenAI's ids have a slash."""
    provider, slash, name = address.partition("/")
    return (provider, name) if slash else (OPENAI, address)


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation at a provider. The generation counts how often it had to be made anew, from 1.

    The id means something to its provider alone. `anchor` names the account that it is in, see `Anchor`; None where
    nobody noted that. It says nothing about which conversation this is.
    """

    id: str
    generation: int
    anchor: str | None = field(default=None, compare=False)
    provider: str = OPENAI

    @property
    def address(self) -> str:
        """Where it is, whatever the provider."""
        return address(self.provider, self.id)

    @property
    def is_ours(self) -> bool:
        """Whether we keep what is said on it. A provider that is asked over another API by now may have had both."""
        return self.id.startswith(OWN)


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a thread is left for a new one although it is still there, and who decided that: a person, or a worker.

    `before`: the new one is told only what was said before this position of the record; None for all.
    """

    reason: str
    by: str = "worker"
    before: int | None = None

    def cut(self, generation: int) -> "tuple[Cut, ...]":
        """Say what a thread of this generation, which is made for it, is not told; nothing if it is told all."""
        return () if self.before is None else (Cut(self.before, generation),)


class Cut(NamedTuple):
    """Nobody is told any more what stands from this position of the record on, on threads of earlier generations."""

    position: int
    generation: int

    def hides(self, position: int, generation: int | None) -> bool:
        """Whether a message is of what is not told any more."""
        return position >= self.position and (generation or 0) < self.generation

    @classmethod
    def read(cls, pairs: object) -> "tuple[Cut, ...]":
        """Read what was written as a list of pairs; what else stands there is left out."""
        listed = pairs if isinstance(pairs, list | tuple) else []
        return tuple(
            cls(*each) for each in listed if isinstance(each, list | tuple) and [*map(type, each)] == [int, int]
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """A small conversation that is never erased, by which an account at the provider is known again.

    Providers answer 404 for what another account has as they do for what is gone. Only a key that reads the anchor
    sees the account's threads, so only to it a 404 says that one of them is gone. `left`: a person has said that this
    account is used no more.
    """

    id: str
    made_at: datetime
    left: bool = False


OWN = "own_"
"""Begins the ids of threads whose history we keep."""

BEFORE = "-"
"""In the place of an anchor's id: the account of threads from before anchors were noted."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message that a thread is told when it is made, in the provider's words for who speaks."""

    role: Literal["user", "assistant", "developer"]
    text: str


def size_of_all(said: Iterable[Said]) -> int:
    """Count the bytes of several messages as they are sent."""
    return sum(size(each.text) for each in said)


def left_out_note(turns: int) -> Said:
    """Tell a model what it is not told."""
    plural = "" if turns == 1 else "s"
    return Said("developer", f"{turns} earlier turn{plural} of this conversation had to be left out.")


@dataclass(frozen=True, slots=True)
class Seed:
    """What a recreated thread is told of its forerunner: so many turns, and so many older ones left out.

    `is_known`: whether anybody could say what that is. `is_absent`: whoever could has nothing at all of the forerunner.
    `began_at` is the activity that it was first asked at, as far as that was looked for.
    """

    said: tuple[Said, ...] = ()
    turns: int = 0
    left_out: int = 0
    is_known: bool = True
    is_absent: bool = False
    began_at: str = ""

    @property
    def tokens(self) -> int:
        """What a model reads of it at most."""
        return size_of_all(self.said) // SAFE_BYTES_PER_TOKEN

    @property
    def by_turns(self) -> "list[Remembered]":
        """What was said, question by question."""
        turns: list[list[Said]] = []
        for each in self.said:
            if each.role == "user" or not turns:
                turns.append([])
            turns[-1].append(each)
        return [Remembered(tuple(turn)) for turn in turns]


NOTHING = Seed()
"""Nothing was said."""

Memory = Literal["whole", "part", "lost", "unknown", "empty"]
"""What a thread that was made knows of what was said before, which may have been nothing.

`lost`: nothing, though there was something. `unknown`: nothing, and nobody can tell whether there was something.
`empty`: nothing, as its instance was started behind what comes before.
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A turn of a history that we keep, or what several turns became.

    `fact` names what its answer settles, by activity and result; None where it is only said. `facts` is what the turns
    that this one stands for had settled, word for word, the newest under each name. `turns`: for how many it stands.
    """

    said: tuple[Said, ...]
    fact: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    turns: int = 1

    @property
    def settled(self) -> Mapping[str, str]:
        """All that is settled here, by its name."""
        return self.facts if self.fact is None else {**self.facts, self.fact: self.said[-1].text}

    @property
    def size(self) -> int:
        """How long it is, in bytes."""
        return size_of_all(self.said) + sum(map(size, (*self.facts, *self.facts.values())))


@dataclass(frozen=True, slots=True)
class Past:
    """A history as it stands, the oldest turn first. The first one stands for `folded` ones, unless that is 0."""

    turns: tuple[Remembered, ...] = ()
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn puts on the thread. The ref is its last line, so that it can be found there again.

    Questions with one `cache_key` follow each other, and what was read for one need not be read again for the next.
    What is `attached` goes along; a history that we keep has the text alone.
    """

    text: str
    ref: str
    cache_key: str = ""
    attached: tuple[Attachment, ...] = ()

    @property
    def with_ref(self) -> str:
        """The text as sent."""
        return f"{self.text}\n\n{ref_line(self.ref)}"

    @property
    def size(self) -> int:
        """How long it is without its ref, in bytes; what is attached counts as so much text."""
        return size(self.text) + SAFE_BYTES_PER_TOKEN * sum(each.tokens for each in self.attached)


def ref(key: ThreadKey, task_id: str, attempt: int) -> str:
    """12 hex digits that name one attempt of one task on one thread.

    The thread is part of it because ids of tasks may be mere numbers, which another engine has as well.
    """
    named = json.dumps([key.engine, key.tenant, key.scope, key.assistant, task_id, attempt])
    return hashlib.sha256(named.encode()).hexdigest()[:12]


class Outcome(StrEnum):
    """What an answer is worth. The names are those of the `error.<outcome>` task properties.

    Over budget is no answer: nothing was asked. Unsure is one to decision questions that is well as such, and kept so:
    that a task wants more confidence is for this task to say.
    """

    OK = "ok"
    REFUSED = "refused"
    FILTERED = "filtered"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    EMPTY = "empty"
    INVALID = "invalid"
    OVER_BUDGET = "over_budget"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one question. An answer found on the thread knows no response id and no tokens.

    `detail` says more about a bad outcome in the provider's code words, never in message text. Cached tokens and those
    written to the cache are part of the input, reasoning of the output; None where the provider does not say. `cost` is
    by the price of its day, None where nobody knows it. `untold`: of so many earlier turns of the thread the model was
    not told every word. `weighed`: the text is answers to decision questions, with their probabilities, as
    `questions.written` has them. `cited` are the files that it goes by, as the provider calls them, and
    `found_nothing`: files were searched in vain; both are kept nowhere. Of a `model` whose name is longer than any the
    beginning is kept, as it is stored and shown.
    """

    text: str
    outcome: Outcome = Outcome.OK
    detail: str = ""
    response_id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Money | None = None
    recovered: bool = False
    thread: Thread | None = None
    untold: int = 0
    weighed: bool = False
    cited: tuple[str, ...] = ()
    found_nothing: bool = False

    @property
    def counted(self) -> tuple[int, int] | None:
        """Tokens read and written, as they were said; None where nobody knows them.

        Some servers send zeros for what they do not count. Weights are not written, and take none.
        """
        read, written = self.input_tokens, self.output_tokens
        uncounted = self.text and not written and not self.weighed
        return None if read is None or written is None or uncounted else (read, written)

    @property
    def took(self) -> int | None:
        """Tokens read and written together; None also where what is said of them cannot be."""
        counted = self.counted
        return None if counted is None or sum(counted) > MOST_TOKENS else sum(counted)

    def __post_init__(self) -> None:
        """Bound what nobody else does."""
        if self.model is not None and len(self.model) > LONGEST_MODEL:
            object.__setattr__(self, "model", f"{self.model[: LONGEST_MODEL - 1]}…")


@dataclass(frozen=True, slots=True)
class Stamps:
    """When the engine made a task, and the instance whose thread it is, in its own words.

    They tell both from earlier ones of the same ids, which an engine that counts its ids gives out again where its
    database is lost or restored. Empty where ids are never given out again, and where nobody can tell.
    """

    task: str = ""
    instance: str = ""


UNSTAMPED = Stamps()


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to start a turn on a thread, for one task. The token tells it from every other hold."""

    key: ThreadKey
    task_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An earlier attempt may have put this question; its call can run for `running_for` more at most.

    `response_id` is where the answer of a background run can be fetched, `call` the token of the hold under which the
    call was made, if that is known. `generation` is that of the memory's subject by which it was put; 0 is also what
    nobody has noted.
    """

    running_for: timedelta
    response_id: str | None = None
    call: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Another task holds the thread."""


@dataclass(frozen=True, slots=True)
class Answered:
    """This task has an answer already; nothing is asked. All but `call`, which is as in Asked, is as in Entered."""

    answer: Answer
    attempt: int
    repair: str = ""
    calls: int = 0
    call: str = ""
    heard: Mapping[str, int] = field(default_factory=dict)
    memory: Memory | None = None
    rewound: str = ""


@dataclass(frozen=True, slots=True)
class Entered:
    """We hold the thread. `thread` is what the map says; `published` whether the engine knows it too.

    `trouble_for` is how long this task has been failing for reasons that are not its own, `deaths` how many workers in
    a row took it and were not heard of again. `repair` is what was wrong with the attempt before, if this one is to
    put it right. `calls` counts the calls that may have been paid for this task since a person last set its retries,
    `dropped` those whose answer came and was of no use. `tokens` is what the last turn on this thread read and wrote.
    `busy_for` is how long a call of any task may still run on the thread; `renewal` says that it is to be left, as the
    words of `order` have it. `answers` is how many have been kept under this key since the map knows it, and `heard`
    how many of them were to persons, by their names. `memory` is what was noted when the thread was made, if that was
    for this task, or nothing has been answered on it yet. `cuts` say what is not told any more of what was said under
    this key. `rewound` are the words of the order to rewind that the thread was made for, empty where it was not.
    """

    hold: Hold
    attempt: int
    thread: Thread | None = None
    published: bool = False
    asked: Asked | None = None
    trouble_for: timedelta = timedelta(0)
    deaths: int = 0
    repair: str = ""
    calls: int = 0
    dropped: int = 0
    tokens: int | None = None
    busy_for: timedelta = timedelta(0)
    renewal: Decision | None = None
    order: str = ""
    answers: int = 0
    heard: Mapping[str, int] = field(default_factory=dict)
    memory: Memory | None = None
    cuts: tuple[Cut, ...] = ()
    rewound: str = ""

    @property
    def rewinds(self) -> bool:
        """Whether the thread is left for one that ends before something that was said."""
        return self.renewal is not None and self.renewal.before is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thread stands: who holds it, by the id of a task or an ask, since when, and `answers` as in Entered.

    `cuts` as there, with the one that its next turn makes where the instance was rewound.
    """

    holder: str | None
    since: datetime | None
    answers: int
    cuts: tuple[Cut, ...] = ()


Entry = Busy | Answered | Entered
