"""A model that remembers nothing, and the history that we keep for it in place of a provider's conversation."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from worker.domain.threads import Answer, Assistant, Question, Said, Thread, ThreadKey, left_out_note, ref
from worker.errors import BadDefinition, ContextFull, ThreadGone
from worker.ports.turn import Histories, Model
from worker.runtime.clock import monotonic

MOST_TURNS = 1000
"""Turns of a history that are ever sent along; what was said before them stays in the transcript."""
SAFE_BYTES_PER_TOKEN = 3
"""For the model's window: few texts need more tokens. What does all the same is shortened when it is refused."""
ROOM_FOR_ANSWER = 0.25
"""The part of the window that an answer may take if its assistant does not say how long it may be."""


class RememberingProvider:
    """Implements `ports.turn.ThreadProvider` for a model that is told everything with every question.

    `context_tokens` is the model's window, None where nobody said so: then the model's own refusal tells.
    """

    overlaps = True
    remembers = False

    def __init__(self, name: str, model: Model, histories: Histories, context_tokens: int | None = None) -> None:
        self.name = name
        self._model = model
        self._histories = histories
        self._context_tokens = context_tokens

    async def create_thread(
        self,
        key: ThreadKey,
        generation: int,
        replaces: str | None = None,  # noqa: ARG002 - of the port
        said: Sequence[Said] = (),  # noqa: ARG002 - the script that binds the thread has it
    ) -> Thread:
        """Name a thread. Nobody but the map knows it, so that there is nothing to undo."""
        return Thread(f"{_beginning(key)}{uuid4().hex}", generation, provider=self.name)

    async def belongs(self, key: ThreadKey, thread: Thread) -> bool:
        """See `ports.turn.ThreadProvider.belongs`. A thread that the map has lost has lost its history, too."""
        if not thread.id.startswith(_beginning(key)):
            return False
        raise ThreadGone("the thread, and what was said on it, is not in Redis any more")

    async def look(self, thread: Thread, ref: str, *, deep: bool = False) -> Answer | None:  # noqa: ARG002 - of the port
        """Find nothing: an answer that was not kept is nowhere. The history is looked at where it is read, by `ask`."""
        return None

    async def ask(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> Answer:
        """Ask with as much of the history as the model can read, newest first, whole turns only."""
        ends_at = monotonic() + assistant.timeout.total_seconds()
        turns, before = await self._histories.history(key, thread, MOST_TURNS)
        sent = self._fitting(turns, question, assistant)
        while True:
            rest = replace(assistant, timeout=timedelta(seconds=max(ends_at - monotonic(), 0.001)))
            try:
                said = _flat(sent, before + len(turns) - len(sent))
                return await self._model.ask(said, question.text, rest, cache_key=question.cache_key)
            except ContextFull:
                if not sent:
                    raise
                sent = sent[(len(sent) + 1) // 2 :]

    async def start(self, key: ThreadKey, thread: Thread, question: Question, assistant: Assistant) -> str:  # noqa: ARG002 - of the port
        """Refuse: what runs in the background has to be stored by its provider. Specs are checked for that."""
        raise BadDefinition(f"assistant {assistant.name} cannot run in the background: {self.name} keeps nothing")

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:  # noqa: ARG002 - of the port
        """Find nothing."""
        return None

    async def cancel(self, response_id: str) -> None:
        """Do nothing: nothing runs in the background."""

    async def discard(self, thread: Thread, *, seeded: bool) -> None:
        """Do nothing: see `create_thread`."""

    async def seen(self, thread: Thread) -> Thread:
        """Return it: no account has it."""
        return thread

    async def ping(self) -> None:
        """Return if the provider can be asked. Raises as `ports.turn.Model.ping`."""
        await self._model.ping()

    def _fitting(self, turns: Sequence[list[Said]], question: Question, assistant: Assistant) -> Sequence[list[Said]]:
        if self._context_tokens is None:
            return turns
        answer = assistant.max_output_tokens or int(ROOM_FOR_ANSWER * self._context_tokens)
        room = SAFE_BYTES_PER_TOKEN * (self._context_tokens - answer)
        room -= len(question.text.encode(errors="replace")) + len(assistant.instructions.encode())
        first = len(turns)
        while first and (room := room - _size(turns[first - 1])) >= 0:
            first -= 1
        return turns[first:]


def _beginning(key: ThreadKey) -> str:
    """Begin the ids of a key's threads: a variable that was copied from another instance is told by it."""
    return f"own_{ref(key, '', 0)}_"


def _size(turn: Sequence[Said]) -> int:
    return sum(len(each.text.encode(errors="replace")) for each in turn)


def _flat(turns: Sequence[list[Said]], left_out: int) -> list[Said]:
    said = [each for turn in turns for each in turn]
    return [left_out_note(left_out), *said] if left_out else said
