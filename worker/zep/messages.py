"""A memo as messages of Zep's, which takes no long ones and no very short ones. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from worker.domain import foreign
from worker.domain.memory import Memo

LONGEST: Final = 4096
"""Characters of one message."""
SHORTEST: Final = 2
"""Characters too: what has fewer is joined to its neighbour."""
MOST_AT_ONCE: Final = 30
"""Messages of one request."""

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One piece of a memo. `part` counts from 1, over question and answer: with the ref it names the piece."""

    role: Role
    name: str | None
    text: str
    memo: Memo
    part: int

    @property
    def metadata(self) -> dict[str, Any]:
        """What is found of it again. Zep takes at most ten names, and values that are plain."""
        return {
            "ref": self.memo.ref,
            "instance": self.memo.instance,
            "number": self.memo.number,
            "part": self.part,
        }

    @property
    def at(self) -> datetime:
        """When it was said."""
        return self.memo.at


def messages(memo: Memo) -> list[Message]:
    """Lay a memo out: the same memo gives the same messages, in order, and all of its words."""
    texts = [(role, name, piece) for role, name, text in _joined(memo) for piece in pieces(text)]
    return [Message(role, name, text, memo, part) for part, (role, name, text) in enumerate(texts, 1)]


def _joined(memo: Memo) -> Iterator[tuple[Role, str | None, str]]:
    question, answer = (_storable(each).strip() for each in (memo.question, memo.answer))
    # Nobody says less than two characters alone: they go with the other side's words, and it is said whose they are.
    if question and answer and len(answer) < SHORTEST:
        yield "user", None, f"{question}\n{memo.assistant}: {answer}"
    elif question and answer and len(question) < SHORTEST:
        yield "assistant", memo.assistant, f"user: {question}\n{answer}"
    else:
        if question:
            yield "user", None, _long_enough("user", question)
        if answer:
            yield "assistant", memo.assistant, _long_enough(memo.assistant, answer)


def _storable(text: str) -> str:
    """Without what a database may refuse for ever: halves of characters, and the zero."""
    return foreign.whole(text).replace("\x00", "\ufffd")


def _long_enough(who: str, text: str) -> str:
    return text if len(text) >= SHORTEST else f"{who}: {text}"


def pieces(text: str) -> Iterator[str]:
    """Cut a text into pieces that may be sent, in order: joined again they are the text.

    A cut is made behind the last white space of a piece's last quarter, if there is one.
    """
    while len(text) > LONGEST:
        cut = _cut(text)
        yield text[:cut]
        text = text[cut:]
    yield text


def _cut(text: str) -> int:
    # Two characters at least are left for the last piece.
    most = min(LONGEST, len(text) - SHORTEST)
    return next((place for place in range(most, LONGEST * 3 // 4, -1) if text[place - 1].isspace()), most)
