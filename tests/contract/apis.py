"""A question over each API that a provider can have, for the tests of what they have in common."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from tests.contract.questions import assistant, question
from tests.fakes.watcher import FakeWatcher
from worker.domain.documents import Attachment
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Answer, Assistant, Said
from worker.providers import ChatModel, Client, OpenAIProvider, ResponsesModel

CALLS: Final[dict[Api, str]] = {
    "conversations": "responses.create",
    "responses": "responses.create",
    "chat": "chat.completions.create",
}
"""What the scripted server calls a turn."""


@dataclass(slots=True)
class Asking:
    """A provider that is asked over one API, on a thread of its own where it has threads.

    With `streamed` each question has a watcher of its own, the last one is `watcher`.
    """

    api: Api
    provider: OpenAIProvider | ResponsesModel | ChatModel
    thread: str = "conv_1"
    streamed: bool = False
    watcher: FakeWatcher | None = None

    @property
    def call(self) -> str:
        """What the scripted server, and an error's text, call a turn."""
        return CALLS[self.api]

    async def ask(
        self,
        text: str = "",
        spec: Assistant | None = None,
        said: Sequence[Said] = (),
        attached: tuple[Attachment, ...] = (),
    ) -> Answer:
        """One turn."""
        put, watcher = question(text) if text else question(), FakeWatcher() if self.streamed else None
        put = replace(put, attached=attached)
        self.watcher = watcher
        if isinstance(self.provider, OpenAIProvider):
            answer = await self.provider.ask(self.thread, put, spec or assistant(), watcher)
        else:
            answer = await self.provider.ask(said, put.text, spec or assistant(), watcher=watcher, attached=attached)
        if watcher is not None:
            assert watcher.text == answer.text
        return answer


@asynccontextmanager
async def asking(spec: ProviderSpec, *, streamed: bool = False) -> AsyncIterator[Asking]:
    """Open a provider as its spec has it."""
    async with Client.open(spec) as client:
        match spec.api:
            case "conversations":
                yield Asking(spec.api, OpenAIProvider(client), streamed=streamed)
            case "responses":
                yield Asking(spec.api, ResponsesModel(client), streamed=streamed)
            case "chat":
                yield Asking(spec.api, ChatModel(client), streamed=streamed)
