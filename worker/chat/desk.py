"""Where persons hand in what they ask: from then on it is safe, and any worker answers it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from worker.chat.ports import ChatPorts
from worker.domain.asks import Ask, Running, State, Talk, ask_id, chat_key
from worker.domain.conversations import Session, session_id
from worker.domain.people import Person
from worker.domain.threads import ThreadKey
from worker.errors import EngineDown, Permanent, StoreDown, UnknownAssistant, Unstorable

Mode = Literal["enqueue", "reject", "interrupt"]
"""What becomes of an ask whose thread is in use.

It waits its turn, or is not accepted, or takes the place of what the same person has waiting there.
"""

MOST_WAITING = 100
"""Asks of one person that may wait for their answers at once."""


class Erased(Permanent):
    """What it is about is erased, or about to be."""


class Outdated(Permanent):
    """The person does not know the newest answers."""


class TooManyAsked(Permanent):
    """The person has as many asks waiting as anybody may have."""


class Occupied(Permanent):
    """It was to be answered at once or not at all, and something else runs."""

    def __init__(self, running: Running) -> None:
        super().__init__(str(running))
        self.running = running


class Unbroken(Permanent):
    """It was to take the place of what the same person has asked, and that is being answered already."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person hands in: a message under a name of the client's. The rest as in `Ask`."""

    client_id: str
    text: str
    on_thread: bool = False
    mode: Mode = "enqueue"
    as_of: int | None = None
    attachments: Sequence[str] = ()


class Desk:
    """Takes asks about sessions that whoever asks may see. Every method may raise TranscriptDown.

    `accepted` hears that there is something to answer. `assistants` are the names of those that persons may talk to
    beside the processes of `engine`.
    """

    def __init__(
        self,
        ports: ChatPorts,
        accepted: Callable[[], None],
        engine: str = "default",
        assistants: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._ports = ports
        self._asks = ports.asks
        self._accepted = accepted
        self._engine = engine
        self._assistants = assistants

    @property
    def assistants(self) -> list[str]:
        """The names of those that persons may talk to."""
        return sorted(self._assistants())

    async def begin(self, person: Person, assistant: str, tenant: str | None, client_id: str) -> Session:
        """Begin a conversation that a person has beside all processes; one that is there under its name is the same.

        Raises UnknownAssistant, Erased.
        """
        if assistant not in self._assistants():
            raise UnknownAssistant(f"no assistant is called {assistant}")
        key = chat_key(self._engine, tenant, person, assistant, client_id)
        await self._asks.begin(key, person)
        session = await self._ports.session(session_id(key))
        with suppress(StoreDown):  # it is looked at again before anything is answered
            if await self._ports.is_erased(session):
                raise Erased("it is erased, or about to be")
        if session is None:
            raise Erased("it has just been removed")
        return session

    async def ask(self, session: Session, person: Person, wish: Wish) -> Ask:
        """Accept an ask; returns when it is safe. A message that comes again is the one that is there.

        Raises AskedOtherwise, Erased, Outdated, Occupied, TooManyAsked, Unbroken.
        """
        ask = await self._made(session, person, wish)
        if await self._asks.ask(ask.id) is None:
            await self._check(session, ask, wish)
            if wish.mode == "interrupt" and not await self._asks.make_way(ask):
                # Of no call that waits for its reply, as these do, a provider shows that it has ended.
                raise Unbroken("a question of yours is being answered, and nobody can tell that such a call has ended")
        try:
            kept = await self._asks.accept(ask)
        except Unstorable as exc:
            raise Erased("its conversation has just been removed") from exc
        self._accepted()
        return kept

    async def _made(self, session: Session, person: Person, wish: Wish) -> Ask:
        place, now = await self._ports.place(session), datetime.now(UTC)
        about = session.key
        return Ask(
            id=ask_id(about, person, wish.client_id),
            about=about,
            target=about if wish.on_thread or not await self._runs(session, place.instance) else about.branch,
            person=person,
            client_id=wish.client_id,
            text=wish.text,
            instance=place.instance,
            definition_id=place.definition_id,
            definition_key=session.definition_key,
            definition_version=session.definition_version,
            business_key=session.business_key,
            created_at=now,
            due_at=now,
            on_thread=wish.on_thread,
            as_of=wish.as_of,
            attachments=tuple(wish.attachments),
        )

    async def _runs(self, session: Session, instance: str) -> bool:
        """Whether steps may still follow; where nobody can tell they may."""
        if session.key.person is not None:
            return False
        if not session.is_active and session.process_instance_id is not None:
            return False
        try:
            return await self._ports.runs(session.key, instance)
        except EngineDown:
            return True

    async def _check(self, session: Session, ask: Ask, wish: Wish) -> None:
        """Refuse what can be seen now to come to nothing; the rest is looked at when it is its turn."""
        # However fast they may come, a thread answers one at a time.
        if await self._asks.waiting(ask.person, MOST_WAITING) >= MOST_WAITING:
            raise TooManyAsked(f"{MOST_WAITING} questions of yours are not answered yet: wait, or withdraw some")
        if wish.mode == "reject" and (before := await self._asks.oldest(ask.target)) is not None:
            raise Occupied(Running("an ask", before.created_at, before.person.name))
        with suppress(StoreDown):  # an ask that is safe waits for Redis
            if await self._ports.is_erased(session):
                raise Erased("it is erased, or about to be")
            standing = await self._ports.threads.standing(ask.target)
            if wish.as_of is not None and wish.as_of < standing.answers:
                raise Outdated(f"there are {standing.answers} answers by now, and {wish.as_of} were known")
            if wish.mode == "reject" and standing.holder is not None:
                raise Occupied(Running("a step of the process", standing.since))

    async def talk(self, session: Session) -> Talk:
        """Say what was asked about a session, and what `as_of` a next ask on its target would bring."""
        place = await self._ports.place(session)
        target = session.key.branch if await self._runs(session, place.instance) else session.key
        return Talk(await self._asks.of_session(session.id), await self._answers(target))

    async def _answers(self, target: ThreadKey) -> int | None:
        try:
            return (await self._ports.threads.standing(target)).answers
        except StoreDown:
            return None

    async def find(self, ask_id: str) -> Ask | None:
        """One ask."""
        return await self._asks.ask(ask_id)

    async def withdraw(self, ask: Ask) -> Ask:
        """Withdraw an ask that nobody has begun with. Raises Occupied with one that somebody has."""
        now = await self._asks.withdraw(ask.id)
        if now is None or now.state is not State.WITHDRAWN:
            raise Occupied(Running("its answer"))
        return now
