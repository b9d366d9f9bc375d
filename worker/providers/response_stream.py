"""A response as it is written, event by event."""

from collections.abc import Mapping
from typing import Any, Final

from worker.providers.streams import Hearing, Telling
from worker.providers.thoughts import Aloud

WAYS: Final = ({"stream": True},)
_TEXT: Final = frozenset({"response.output_text.delta", "response.refusal.delta"})
_ENDS: Final = {f"response.{status}": status for status in ("completed", "incomplete", "failed", "cancelled")}
_COMMENTARY, _FINAL = "commentary", "final_answer"


class ResponseHearing(Hearing):
    """Its last event has the whole response; where that leaves the output out, it is what the others brought."""

    def __init__(self, telling: Telling) -> None:
        super().__init__(telling)
        self._response: Mapping[str, Any] | None = None
        self._phases: dict[Any, Any] = {}
        self._items: list[Any] = []
        self._text: list[str] = []
        self._speaking: tuple[Any, Any] | None = None
        self._aloud = Aloud()

    @property
    def whole(self) -> bool:
        """Whether the last event has come."""
        return self._response is not None

    def hear(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take an event of the API; of most nothing is needed."""
        position = str(event.get("output_index"))
        if kind in _ENDS:
            response = event.get("response")
            if not isinstance(response, dict):
                raise ValueError("an end without a response")
            self._response = {"status": _ENDS[kind]} | response
            self.over = True
        elif kind in _TEXT and isinstance(event.get("delta"), str):
            self._say(position, event["delta"])
        elif kind == "response.output_item.added" and isinstance(event.get("item"), dict):
            self._phases[position] = event["item"].get("phase")
        elif kind == "response.output_item.done":
            self._items.append(event.get("item"))

    def put_together(self) -> Mapping[str, Any]:
        """Take the response of the last event."""
        response = dict(self._response or {})
        if not response.get("output"):
            response["output"] = self._items
        if not response["output"] and not response.get("output_text"):
            response["output_text"] = "".join(self._text)
        return response

    def _say(self, position: str, text: str) -> None:
        """Say what belongs to the answer: no commentary, and nothing that came before what is marked as final."""
        self.began = self.began or bool(text)
        phase = self._phases.get(position)
        if not text or phase == _COMMENTARY:
            return
        now = (position, phase)
        if self._speaking is not None and self._speaking != now:
            # What was taken for the answer was said on the way to it.
            if phase == _FINAL and self._speaking[1] != _FINAL:
                self.telling.begin()
                self._text.clear()
                self._aloud = Aloud()
            elif phase == _FINAL or self._speaking[1] != _FINAL:
                text = f"\n\n{text}"
            else:
                return
        self._speaking = now
        self._text.append(text)
        self.telling.say(self._aloud.of(text))
