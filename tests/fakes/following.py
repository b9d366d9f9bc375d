"""What people who read along look at: a record, and threads on which something is being said."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.records import exchange
from worker.domain.conversations import AsksSeen, Limits, Message, MessageFilter, Newest, Role, session_id
from worker.domain.exchanges import Exchange
from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, Piece, TaskSeen, TurnSeen
from worker.errors import EngineDown, StoreDown, TranscriptDown


def _messages(said: Exchange) -> list[Message]:
    """The messages of an exchange, as far as feeds care."""
    session = session_id(said.key)
    return [
        Message(
            id=f"{said.task_id}-{said.attempt}-{role}",
            session_id=session,
            position=0,
            role=role,
            content=text,
            attachment_url=None,
            process_instance_id=said.process_instance_id,
            definition_id=said.definition_id,
            task_id=said.task_id,
            activity_id=said.activity_id,
            activity_name=said.activity_name,
            attempt=said.attempt,
            thread_id=None,
            generation=None,
            response_id=None,
            model=None,
            input_tokens=None,
            output_tokens=None,
            processing_seconds=None,
            created_at=said.answered_at,
        )
        for role, text in ((Role.USER, str(said.question.text)), (Role.AGENT, str(said.answer.text)))
    ]


@dataclass(slots=True)
class FakeRecord:
    """The parts of `ports.transcript.TranscriptReader` that feeds use. `reads` counts what was asked of it."""

    said: list[tuple[int, ThreadKey, Message]] = field(default_factory=list)
    ends: dict[str, datetime] = field(default_factory=dict)
    asked: dict[str, AsksSeen] = field(default_factory=dict)
    is_down: bool = False
    reads: int = 0

    def record(self, number: int, key: ThreadKey, **others: object) -> None:
        """Write an exchange."""
        for each in _messages(exchange(number, key, **others)):
            self.said.append((len(self.said) + 1, key, each))

    async def since(
        self, wanted: MessageFilter, read: Mapping[str, int], *, within: Limits, limit: int = 100
    ) -> Sequence[tuple[int, Message]]:
        self._check()
        return [
            (number, each)
            for number, key, each in self.said
            if self._is_in(wanted, each) and self._is_seen(key, within) and number > read.get(each.session_id, 0)
        ][:limit]

    async def hidden(self, ids: Collection[str], *, within: Limits) -> Collection[str]:
        self._check()
        return {session_id(key) for _, key, _ in self.said if not self._is_seen(key, within)}.intersection(ids)

    def _is_seen(self, key: ThreadKey, within: Limits) -> bool:
        """Whether all who spoke on a thread may be seen, and on the one that it is beside."""
        if not _newest(key, 0).is_within(within):
            return False
        seen, runs = within.definitions, session_id(key) not in self.ends
        return seen is None or all(
            seen.has(each.definition_id.partition(":")[0], each.process_instance_id, runs=runs)
            for _, whose, each in self.said
            if whose in (key, key.trunk)
        )

    async def newest(self, wanted: Collection[MessageFilter]) -> Mapping[MessageFilter, Sequence[Newest]]:
        self._check()
        found: dict[MessageFilter, dict[str, Newest]] = {}
        for each in wanted:
            for number, key, message in self.said:
                if self._is_in(each, message):
                    asked = self.asked.get(message.session_id, AsksSeen())
                    newest = replace(_newest(key, number), ended_at=self.ends.get(message.session_id), asked=asked)
                    found.setdefault(each, {})[message.session_id] = newest
        return {each: list(threads.values()) for each, threads in found.items()}

    def _is_in(self, wanted: MessageFilter, message: Message) -> bool:
        return message.session_id == wanted.session_id or message.process_instance_id == wanted.instance

    def _check(self) -> None:
        self.reads += 1
        if self.is_down:
            raise TranscriptDown("away")


def _newest(key: ThreadKey, number: int) -> Newest:
    owner = None if key.is_shared else (key.trunk or key).scope
    return Newest(session_id(key), key, owner, number, None)


@dataclass(slots=True)
class FakeWindows:
    """`ports.watching.Windows`: what is told of each thread, and how far its turn is. `looks` are the keys."""

    told: dict[ThreadKey, list[Piece]] = field(default_factory=dict)
    turns: dict[ThreadKey, TurnSeen] = field(default_factory=dict)
    told_at: dict[ThreadKey, float] = field(default_factory=dict)
    looks: list[ThreadKey] = field(default_factory=list)
    is_down: bool = False

    def tell(
        self, key: ThreadKey, text: str, *, task: str = "task-1", attempt: int = 1, run: int = 1, is_last: bool = False
    ) -> None:
        """Say more of an answer."""
        pieces = self.told.setdefault(key, [])
        name = f"0123456789ab-{run}"
        if pieces and pieces[-1].run != name:
            pieces[:] = [replace(each, text="", run="") for each in pieces]  # they are behind every reader
        offset = sum(len(each.text) for each in pieces)
        pieces.append(Piece(name, task, attempt, offset, text, is_last))
        self.told_at[key] = asyncio.get_running_loop().time()

    async def look(self, key: ThreadKey, last: Look) -> Look:
        self.looks.append(key)
        if self.is_down:
            raise StoreDown("away")
        pieces = self.told.get(key, [])
        at = self.told_at.get(key)
        silent = None if at is None else timedelta(seconds=asyncio.get_running_loop().time() - at)
        new = tuple(each for each in pieces[int(last.place or 0) :] if each.run)
        return Look(new, str(len(pieces)), silent, self.turns.get(key))


@dataclass(slots=True)
class FakeTasks:
    """`ports.watching.Tasks`, by instance."""

    known: dict[str, list[TaskSeen]] = field(default_factory=dict)
    is_down: bool = False

    async def waiting(self, instances: Collection[str]) -> Mapping[str, Sequence[TaskSeen]]:
        if self.is_down:
            raise EngineDown("away")
        return {each: self.known[each] for each in instances if each in self.known}
