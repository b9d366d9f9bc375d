"""What is asked of an assistant on a thread, whoever asks, and the ground on which every such turn stands."""

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from worker.domain.budgets import Counter
from worker.domain.conversations import session_id
from worker.domain.documents import Attachment
from worker.domain.memory import Recalled, ToRemember
from worker.domain.prices import Prices
from worker.domain.threads import (
    SAFE_BYTES_PER_TOKEN,
    Answer,
    Assistant,
    Hold,
    Outcome,
    Question,
    Remembered,
    Said,
    ThreadKey,
    ref,
    size,
)
from worker.domain.watching import Speaker
from worker.errors import BadDefinition, StoreDown
from worker.ports.documents import Documents, Shelf
from worker.ports.limits import Seats
from worker.ports.providers import Watchers
from worker.ports.sinks import Recording
from worker.ports.threads import History, Threads
from worker.runtime import background
from worker.turn.charging import Charging
from worker.turn.file_stores import FileStores
from worker.turn.fleet import Fleet
from worker.turn.recalling import Recalling
from worker.turn.retelling import is_fact
from worker.turn.stops import Stopped


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a process a request comes from, in the words of the transcript."""

    process_instance_id: str
    activity_id: str
    activity_name: str
    definition_id: str
    definition_key: str
    definition_version: int | None = None
    business_key: str | None = None

    @property
    def speaker(self) -> Speaker:
        """Say whose it is; of one instance that speaks on the conversation of another, the definition's id tells."""
        named, colon, _ = self.definition_id.partition(":")
        return Speaker(named if colon else self.definition_key, self.process_instance_id)


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to be answered on one thread.

    `id` names it for good: a request that comes again under its id, after a crash or a Retry, is the same one. The
    assistant's schema and timeout are the ones that hold here. `most_calls` bounds how often it may ask, `counters` are
    the budgets that its calls count for. `fact` names what the answer settles, None where it is only said. `person` is
    who asks, by name, None where a task does. `needs_memory`: it is not asked on a thread that should know what was
    said before, and knows nothing. `recalled` is what its text shows of what is remembered of others like it, and
    `remember` of whom its answer is to be, if it `fits` the form, which may take
    seconds to tell. What is `attached` goes along with the text. `words` are what the assistant's files are searched
    for, put together only where there are any; the text, where nothing is said. With a `flaw` it was asked and cannot
    be put together any more: an answer that is there counts, and where none is the flaw is raised. `began_at` is the
    stamp of the instance whose thread it is, see `domain.threads.Stamps`.
    """

    id: str
    key: ThreadKey
    text: str
    assistant: Assistant
    place: Place
    most_calls: int
    fact: str | None = None
    counters: tuple[Counter, ...] = ()
    person: str | None = None
    needs_memory: bool = False
    recalled: Recalled | None = None
    remember: ToRemember | None = None
    fits: Callable[[Answer], bool] | None = None
    attached: tuple[Attachment, ...] = ()
    words: Callable[[], str] | None = None
    flaw: BadDefinition | None = None
    began_at: str = ""

    @property
    def tokens(self) -> int:
        """What a model reads of it at most, beside what was said before."""
        form = self.assistant.output_schema
        asked = size(self.text) + size(self.assistant.told) + (size(json.dumps(form)) if form else 0)
        return asked // SAFE_BYTES_PER_TOKEN + 1 + sum(each.tokens for each in self.attached)

    def remembered(self, answer: Answer) -> Remembered | None:
        """What a history that we keep is to have of this turn; None where it can be of no use to later ones."""
        # What was cut or filtered would be told again with every later question, and weights are on no thread.
        if answer.weighed or answer.outcome not in {Outcome.OK, Outcome.REFUSED}:
            return None
        fact = self.fact if answer.outcome is Outcome.OK and is_fact(answer.text) else None
        return Remembered((Said("user", self.text), Said("assistant", answer.text)), fact)

    def question(self, attempt: int) -> Question:
        """What this attempt puts on the thread."""
        return Question(self.text, ref(self.key, self.id, attempt), session_id(self.key), self.attached)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that a turn obeys. `lease` is how long a hold lives without renewal.

    `strict` validates every thread before its use; otherwise the use itself is the proof. `input_tokens` bounds what a
    task is shown that does not say what it wants to see.
    """

    engine_name: str
    strict: bool
    retries: int
    trouble_limit: timedelta
    lease: timedelta
    input_tokens: int


Later = Callable[[Coroutine[Any, Any, None], str], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all turns of a worker stand on. `store_down` is told when Redis cannot be reached beside a call.

    `provider_down` is told when a provider cannot be asked, by its name. `trouble_of` says why one cannot be asked now,
    None if it can. `later` takes work that nobody waits for. `stopped` is what operators have stopped, `fleet` the
    other workers, `documents` reads those that tasks are given, `shelf` has the files of assistants, and `file_stores`
    has them at the providers that search them themselves. `prices` by
    provider, and `seats` of those that have limits.

    Without `recording` exchanges go nowhere, without `history` no transcript can be read, without `charging` there are
    no budgets, without `watchers` nobody reads along, without `recalling` nothing is remembered beyond an instance.
    """

    threads: Threads
    rules: Rules
    stopping: Callable[[], bool]
    store_down: Callable[[Exception], None]
    provider_down: Callable[[Exception, str], None]
    trouble_of: Callable[[str], str | None]
    later: Later
    stopped: Stopped
    fleet: Fleet
    documents: Documents
    shelf: Shelf
    recording: Recording | None = None
    history: History | None = None
    prices: Mapping[str, Prices] = field(default_factory=dict)
    charging: Charging | None = None
    watchers: Watchers | None = None
    seats: Mapping[str, Seats] = field(default_factory=dict)
    recalling: Recalling | None = None
    file_stores: Mapping[str, FileStores] = field(default_factory=dict)

    def renewing(self, hold: Hold, request: str, lost: Callable[[], None] = lambda: None) -> background.Later:
        """Renew the hold of a request in a block; losing it, which `lost` is told, stops nothing there."""
        return background.renewing(self.rules.lease, partial(self.renew, hold, lost), f"hold for {request}")

    async def renew(self, hold: Hold, lost: Callable[[], None]) -> bool:
        """Renew a hold once; whether it is still ours, as far as anybody can tell."""
        try:
            held = await self.threads.renew(hold)
        except StoreDown as exc:
            # Redis may be back before the lease is over.
            self.store_down(exc)
            return True
        if not held:
            lost()
        return held
