"""`docs/feeds.md` as tests read it: what is told, to the fields of its data, to which all that is heard is held."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worker.domain.conversations import Message
from worker.web.api.asks import Asked

PAGE = (Path(__file__).parents[1] / "docs" / "feeds.md").read_text("utf-8")
WITHOUT_PLACE = {"state", "asks", "ended", "closing"}
MAY_HAVE_PLACE = {"lost"}
"""Of a run that goes on being heard it has none of its own."""


def chapter(title: str) -> str:
    """The text of a chapter."""
    [text] = [each for each in re.split(r"^## ", PAGE, flags=re.MULTILINE) if each.startswith(title)]
    return text


def rows(title: str) -> dict[str, str]:
    """The first two columns of a chapter's table."""
    return dict(re.findall(r"^\| `?(\w+)`? \| (.+?) \|", chapter(title), re.MULTILINE))


def said(by: str) -> list[dict[str, Any]]:
    """The examples of what the client or the worker says."""
    [text] = re.findall(rf"The {by} says.*?```json\n(.*?)```", PAGE, re.DOTALL)
    return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Fields:
    """Names that an object has always, and some more that it may have."""

    always: frozenset[str]
    may: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> "Fields":
        """Read a cell of a table: behind a semicolon stand those that are there only if something holds."""
        always, _, may = text.partition(";")
        return cls(*(frozenset(re.findall(r"`(\w+)`", each)) for each in (always, may)))

    def hold(self, found: Mapping[str, Any], of: str) -> None:
        """Fail unless these are the names of what was found."""
        assert self.always <= found.keys() <= self.always | self.may, f"{of} has {sorted(found)}, not {self}"


MESSAGE = Fields(frozenset(each.name for each in fields(Message)))
ASKED = Fields(frozenset(each.name for each in fields(Asked)))
DATA = {
    kind: MESSAGE if kind == "message" else Fields.read(cell)
    for kind, cell in rows("Events").items()
    if kind != "event"
}
[_step] = re.findall(r"^Each has (.*?)\.$", chapter("Steps"), re.MULTILINE | re.DOTALL)
STEP = Fields.read(_step)


def hold_event(kind: str, data: Mapping[str, Any], place: str) -> None:
    """Fail unless an event is as the page has it."""
    DATA[kind].hold(data, kind)
    for step in data["steps"] if kind == "state" else ():
        STEP.hold(step, "a step")
    assert bool(place) is (kind not in WITHOUT_PLACE) or kind in MAY_HAVE_PLACE, f"{kind} at {place!r}"


def hold_message(message: Mapping[str, Any]) -> None:
    """Fail unless what a socket says is as the page has it: as an event, or like one of the examples."""
    kind = message["type"]
    if kind in DATA:
        Fields(frozenset({"type", "feed", "data"}), frozenset({"id"})).hold(message, kind)
        hold_event(kind, message["data"], message.get("id", ""))
        return
    [example] = [each for each in said("worker") if each["type"] == kind and ("ask" in each) is ("ask" in message)]
    Fields(frozenset(example)).hold(message, kind)
    if "data" in example:
        (ASKED if kind == "asked" else Fields(frozenset(example["data"]))).hold(message["data"], kind)
