"""Who answers in place of the script, and what of an answer of others lands on a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from worker.demo.model import wire
from worker.demo.model.wire import Json

PROVIDER_HEADER: Final = "X-Provider"
"""By which a request says whom its client takes this server for, where it stands for several."""
PATHS: Final = {
    "responses": "/responses",
    "chat": "/chat/completions",
    "decisions": "/decisions",
    "systemone": "/systemone",
}
"""Where each API has its turns."""
ModelApi = Literal["responses", "chat", "decisions", "systemone"]


@dataclass(frozen=True, slots=True)
class Asking:
    """One call of a model: its body as it came, and the items that stand on its conversation, the oldest first."""

    api: ModelApi
    provider: str
    body: Json
    earlier: Sequence[Json] = ()


class Answerer(Protocol):
    """Answers calls of models."""

    async def answer(self, asking: Asking) -> Json:
        """Return the reply's body; its ids are made here. Raises ApiError for a reply that is no answer."""
        ...


def named(reply: Mapping[str, Any]) -> Json:
    """Give each item of a response the id that a recorded one has lost."""
    output = reply.get("output")
    if not isinstance(output, list):
        return dict(reply)
    items = [{"id": wire.new_id("msg"), **each} for each in output if isinstance(each, dict)]
    return {**reply, "output": items}


def landing(reply: Mapping[str, Any]) -> list[Json]:
    """Write what a response of any server puts on a conversation, as OpenAI does."""
    items = [_item(each) for each in reply.get("output") or ()]
    if not any(each.get("role") == "assistant" for each in items) and isinstance(reply.get("output_text"), str):
        items.append(wire.message("assistant", [reply["output_text"]]))
    return items


def _item(item: Json) -> Json:
    content = item.get("content")
    return {**item, "content": [wire.text_part(content)]} if isinstance(content, str) else item
