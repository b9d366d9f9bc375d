"""A provider of conversations that says what a test tells it to, and keeps what was said as OpenAI does."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count, pairwise

from tests.fakes.script import Script
from worker.accounts.account import PURPOSE
from worker.domain.documents import Attachment
from worker.domain.refs import ref_line
from worker.domain.threads import Answer, Assistant, Question, Said
from worker.errors import ThreadGone
from worker.ports.providers import Watcher


@dataclass(slots=True)
class Conversation:
    """What is kept: pairs of who and what, in order."""

    metadata: dict[str, str]
    items: list[tuple[str, str]] = field(default_factory=list)


def begin(watcher: Watcher | None) -> None:
    """Say that a request is made."""
    if watcher is not None:
        watcher.began()


def tell(answer: Answer, watcher: Watcher | None) -> Answer:
    """Say an answer word by word."""
    if watcher is not None:
        for word in re.findall(r"\S*\s*", answer.text):
            watcher.said(word)
    return answer


class FakeModel:
    """`ports.providers.Model`: answers with the number of the question, and remembers what it was told."""

    def __init__(self) -> None:
        self.script = Script()
        self.answer: Callable[[str], Answer] = lambda question: Answer(f"answer {len(self.told)}: {question[-20:]}")
        self.told: list[tuple[list[Said], str]] = []
        self.attached: list[list[Attachment]] = []

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",  # noqa: ARG002 - of the port
        watcher: Watcher | None = None,
        attached: Sequence[Attachment] = (),
    ) -> Answer:
        self.told.append((list(said), question))
        self.attached.append(list(attached))
        begin(watcher)
        await self.script.reach("ask", said, question, assistant)
        return tell(self.answer(question), watcher)

    async def ping(self) -> None:
        await self.script.reach("ping")


class FakeProvider:
    """`ports.providers.Provider` and `ports.ending.Archive`. `answer` answers; `script` is what comes beside."""

    refuses_overlap = True

    def __init__(self) -> None:
        self.script = Script()
        self.conversations: dict[str, Conversation] = {}
        self.anchors: dict[str, Conversation] = {}
        self.runs: dict[str, tuple[str, Question]] = {}
        self.queued: set[str] = set()
        self.responses: dict[str, str | None] = {}
        self.erased: set[str] = set()
        self.answer: Callable[[Question], Answer] = lambda question: Answer(f"answer to {question.ref}")
        self._numbers = count(1)
        self._anchors = count(1)

    @property
    def asked(self) -> list[tuple[str, Question]]:
        """Every question with its conversation, those that brought no answer included."""
        return [(args[0], args[1]) for args in self.script.named("ask") + self.script.named("start")]

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:
        if metadata.get("purpose") != PURPOSE:
            await self.script.reach("create_thread", metadata, said)
        if metadata.get("purpose") == PURPOSE:
            anchor = f"conv_anchor_{next(self._anchors)}"
            self.anchors[anchor] = Conversation(dict(metadata))
            return anchor
        thread_id = f"conv_{next(self._numbers)}"
        self.conversations[thread_id] = Conversation(dict(metadata), [(each.role, each.text) for each in said])
        return thread_id

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        if thread_id not in self.anchors:
            await self.script.reach("metadata", thread_id)
        return self._there(thread_id).metadata

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:
        await self.script.reach("look", thread_id, ref, deep)
        items = self._there(thread_id).items
        for (role, text), behind in pairwise(items):
            if role == "user" and text.rstrip().endswith(ref_line(ref)) and behind[0] == "assistant":
                return Answer(behind[1], recovered=True)
        return None

    async def ask(
        self, thread_id: str, question: Question, assistant: Assistant, watcher: Watcher | None = None
    ) -> Answer:
        self._there(thread_id)
        begin(watcher)
        await self.script.reach("ask", thread_id, question, assistant)
        return tell(self._land(thread_id, question), watcher)

    async def start(self, thread_id: str, question: Question, assistant: Assistant) -> str:
        self._there(thread_id)
        await self.script.reach("start", thread_id, question, assistant)
        response_id = f"resp_{next(self._numbers)}"
        self.runs[response_id] = (thread_id, question)
        return response_id

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        await self.script.reach("follow", response_id, within)
        if response_id not in self.runs:
            return None
        return replace(self._land(*self.runs.pop(response_id)), response_id=response_id)

    async def cancel(self, response_id: str) -> None:
        await self.script.reach("cancel", response_id)
        self.runs.pop(response_id, None)

    async def run_status(self, response_id: str) -> str | None:
        await self.script.reach("run_status", response_id)
        if response_id not in self.runs:
            return None
        return "queued" if response_id in self.queued else "in_progress"

    async def erase_thread(self, thread_id: str) -> int:
        await self.script.reach("erase_thread", thread_id)
        self.erased.add(thread_id)
        conversation = self.conversations.pop(thread_id, None)
        return len(conversation.items) if conversation else 0

    async def erase_response(self, response_id: str) -> bool:
        await self.script.reach("erase_response", response_id)
        known = response_id in self.responses or response_id in self.runs
        self.responses.pop(response_id, None)
        self.runs.pop(response_id, None)
        return known

    async def conversation_of(self, response_id: str) -> str | None:
        await self.script.reach("conversation_of", response_id)
        if response_id not in self.responses:
            raise ThreadGone("the response does not exist any more")
        return self.responses[response_id]

    async def delete_thread(self, thread_id: str) -> None:
        await self.script.reach("delete_thread", thread_id)
        self.conversations.pop(thread_id, None)

    async def ping(self) -> None:
        await self.script.reach("ping")

    def store(self, thread_id: str | None) -> str:
        """Keep a response that was given on this conversation; returns its id."""
        response_id = f"resp_{next(self._numbers)}"
        self.responses[response_id] = thread_id
        return response_id

    @contextmanager
    def another_account(self) -> Iterator[None]:
        """Show what another account has, which is nothing, until the block ends."""
        hidden = self.conversations, self.anchors, self.responses
        self.conversations, self.anchors, self.responses = {}, {}, {}
        try:
            yield
        finally:
            self.conversations, self.anchors, self.responses = hidden

    def _land(self, thread_id: str, question: Question) -> Answer:
        """Put question and answer on the thread together, as they appear at OpenAI."""
        answer = self.answer(question)
        self._there(thread_id).items += [("user", question.with_ref), ("assistant", answer.text)]
        return answer

    def _there(self, thread_id: str) -> Conversation:
        known = self.conversations | self.anchors
        if thread_id not in known:
            raise ThreadGone("the conversation does not exist any more")
        return known[thread_id]
