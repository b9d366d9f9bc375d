"""What answers persons, put together as `worker.bootstrap` does, on the ground of the tasks and of what ends them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

from tests.asks import ADA
from tests.core.closing import Closing
from tests.core.rig import Core, Worker
from tests.fakes.engine import LOCK, Job
from tests.fakes.life import Life
from worker.chat.ask_turn import AskTurn
from worker.chat.asking import Asking
from worker.chat.desk import Desk, Wish
from worker.chat.ports import ChatPorts
from worker.domain.asks import UNFINISHED, Ask, State
from worker.domain.conversations import EVERYTHING, Message, MessageFilter, Session, session_id
from worker.domain.people import Person
from worker.domain.threads import ThreadKey
from worker.redis import RedisOutbox
from worker.turn.recorder import Recorder
from worker.turn.reseed import History

GRACE = timedelta(seconds=25)


class Chatting:
    """The ground on which persons are answered: the stores of `closing`, with a transcript that is written at once."""

    def __init__(self, core: Core, closing: Closing) -> None:
        self.core = core
        self.closing = closing
        self.provider = core.provider
        core.history = History(closing.conversations, 50_000)  # type: ignore[assignment]  # the same port
        self.asks = closing.asks
        self.ports = ChatPorts(self.asks, closing.conversations, closing.orders, closing.instances, core.threads)
        self.news = asyncio.Event()
        self.desk = Desk(self.ports, self.news.set, "default", lambda: ["analyst"])
        self.outbox = RedisOutbox(core.redis, prefix="aw", engine="default")
        self._numbers = count(1)

    @asynccontextmanager
    async def answering(
        self, *, slots: int = 4, life: Life | None = None, tasks: bool = False
    ) -> AsyncIterator[Worker]:
        """A worker that answers persons inside of the block, and takes `tasks` as well if it is to."""
        life = life or Life()
        async with Recorder(self.outbox, [self.closing.transcript]) as recorder:
            self.core.recording = recorder  # type: ignore[assignment]  # the same port
            worker = await self.core.worker(life=life)
            ports = replace(
                self.ports, asks=life.lives("asks", self.asks), threads=life.lives("threads", self.core.threads)
            )
            turn = AskTurn(
                ports, worker.engine, worker.answering, self.core.assistants, worker.ground, timedelta(seconds=60)
            )
            asking = Asking(
                ports.asks, turn, slots, LOCK, lambda: True, self.news, worker.stopping, worker.hurry, GRACE
            )
            if tasks:
                worker.start()
            await asking.__aenter__()
            try:
                yield worker
            finally:
                if life.is_over:
                    life.buried.set()
                worker.stopping.set()
                worker.hurry.set()
                await asking.__aexit__()
                await worker.stop(hurry=True)

    async def step(self, activity: str, instance: str) -> Job:
        """Have an instance come to a step, and see it completed by somebody who works."""
        self.closing.begin(instance)
        job = self.core.world.start(activity, instance=instance)
        await self.core.until_over([job])
        await self.recorded(job.task.id)
        return job

    async def recorded(self, task_id: str) -> None:
        """Let time pass until the transcript has what was said for it."""
        async with asyncio.timeout(600):
            while task_id not in {each.task_id for each in await self.messages()}:  # noqa: ASYNC110 - time jumps
                await asyncio.sleep(0.1)

    async def session(self, instance: str) -> Session:
        found = await self.closing.conversations.session(session_id(key(instance)), within=EVERYTHING)
        assert found is not None
        return found

    async def ask(self, instance: str, text: str = "Why?", person: Person = ADA, **wish: object) -> Ask:
        """Hand in what a person asks about an instance's thread."""
        client_id = str(wish.pop("client_id", next(self._numbers)))
        wanted = Wish(client_id, text, **wish)  # type: ignore[arg-type]  # fields by name
        return await self.desk.ask(await self.session(instance), person, wanted)

    async def begin(self, person: Person = ADA, name: str = "1", tenant: str | None = None) -> Session:
        """Begin a conversation that a person has beside all processes."""
        return await self.desk.begin(person, "analyst", tenant, name)

    async def said(self, talk: Session, text: str, person: Person = ADA, client_id: str = "") -> Ask:
        """Say something in a person's conversation, and see it answered."""
        ask = await self.desk.ask(talk, person, Wish(client_id or str(next(self._numbers)), text))
        over = await self.over(ask)
        assert (over.state, over.failure) == (State.ANSWERED, "")
        return over

    async def over(self, ask: Ask) -> Ask:
        """Let time pass until an ask is over; returns how it stands."""
        async with asyncio.timeout(7200):
            while (now := await self.now(ask)).state in UNFINISHED:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.2)
        if now.answer is not None:
            await self.recorded(ask.id)
        return now

    async def answered(self, instance: str, text: str = "Why?", **wish: object) -> Ask:
        """Ask, and see it answered."""
        over = await self.over(await self.ask(instance, text, **wish))  # type: ignore[arg-type]  # fields by name
        assert (over.state, over.failure) == (State.ANSWERED, "")
        return over

    async def now(self, ask: Ask) -> Ask:
        found = await self.asks.ask(ask.id)
        assert found is not None
        return found

    async def messages(self, session: str | None = None) -> list[Message]:
        found = await self.closing.conversations.messages(MessageFilter(session), within=EVERYTHING, limit=200)
        return list(found.items)

    def texts(self, conversation: str) -> list[str]:
        """What stands on a conversation at the provider."""
        return [text for _, text in self.provider.conversations[conversation].items]

    async def conversation(self, thread: ThreadKey) -> str:
        """The conversation that the map names under a key."""
        found = await self.closing.index.thread(thread)
        assert found is not None
        return found.id


def key(instance: str) -> ThreadKey:
    return ThreadKey("default", instance, "analyst")
