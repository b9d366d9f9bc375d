"""A completion as it is written, chunk by chunk."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from worker.providers.streams import Hearing, Telling
from worker.providers.thoughts import Aloud
from worker.providers.wire import parts_of

WAYS: Final = ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True})
"""OpenAI says what a stream took only if asked to; some servers know no such option, and some say it unasked."""
NOT_SAID: Final = frozenset({"thinking", "reasoning", "reasoning_text"})
"""Parts of a message that are no part of the answer, in servers that send lists of them."""


class CompletionHearing(Hearing):
    """Chunks of the first choice add up to its message. Usage, if there is any, comes behind its end."""

    def __init__(self, telling: Telling) -> None:
        super().__init__(telling)
        self._head: dict[str, Any] = {}
        self._choices: list[Any] | None = None
        # In a list: to add half a million small deltas to one text took half a minute, on the loop.
        self._content: list[Any] = []
        self._refusal: list[str] = []
        self._reason: Any = None
        self._aloud = Aloud()

    @property
    def whole(self) -> bool:
        """Whether the choice has come to its end."""
        return self._choices is not None and (self._reason is not None or self.done)

    def hear(self, kind: str, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - chunks are of one kind
        """Take a chunk."""
        self._head |= {name: event[name] for name in ("id", "model", "usage") if event.get(name)}
        if "choices" not in event:
            return
        choices = event["choices"] or []
        if not isinstance(choices, list):
            raise ValueError("choices that are none")  # noqa: TRY004 - of what came, not of a caller
        self._choices = self._choices or []
        for choice in choices:
            if isinstance(choice, dict) and not choice.get("index"):
                self._choices = [choice]
                self._take(choice)
                return

    def put_together(self) -> Mapping[str, Any]:
        """Make a completion of it."""
        joined = all(isinstance(part, str) for part in self._content)
        message = {
            "content": "".join(self._content) if joined else self._content,
            "refusal": "".join(self._refusal) or None,
        }
        choice = {"message": message, "finish_reason": self._reason}
        return self._head | {"choices": [choice] if self._choices else []}

    def _take(self, choice: Mapping[str, Any]) -> None:
        if "delta" not in choice and "message" in choice:  # all of it at once
            self._content, self._refusal = [], []
        said = choice.get("delta", choice.get("message"))
        if choice.get("finish_reason") is not None:
            self._reason = choice["finish_reason"]
        if not isinstance(said, dict):
            return
        if isinstance(said.get("refusal"), str):
            self._refusal.append(said["refusal"])
        content = said.get("content")
        parts = content if isinstance(content, list) else [content]
        self._content += [part for part in parts if part is not None]
        text = "".join(_texts(parts_of(parts)))
        self.began = self.began or bool(text)
        self.telling.say(self._aloud.of(text))


def _texts(parts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        said = part.get("text") or part.get("refusal")
        if isinstance(said, str) and part.get("type") not in NOT_SAID:
            yield said
