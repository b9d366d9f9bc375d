"""Thoughts that a server has left in the text of an answer, where others tell them apart. Pure."""

import re
from typing import Final, Literal

_THINK, _THOUGHT = "<think>", "</think>"
_AT_HEAD: Final = re.compile(rf"\A\s*{_THINK}.*?({_THOUGHT}\s*|\Z)", re.DOTALL)
_END_ALONE: Final = re.compile(rf"(?:\A|\n){_THOUGHT}[ \t]*\r?\n[ \t]*\r?\n\s*(?=\S)")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)


def without_thought(text: str) -> str:
    """Leave out the thought at the head of an answer, or in place of one that did not fit any more.

    Templates of some models have a thought's beginning, so that the text has its end alone: as models write it, on a
    line of its own with a blank one behind it. Whoever speaks of the tag writes it into a sentence or into code, or has
    both tags or more of them; all that is an answer, and stays whole.
    """
    if head := _AT_HEAD.match(text):
        return text[head.end() :]
    end = _END_ALONE.search(text) if text.count(_THOUGHT) == 1 and _THINK not in text else None
    return text[end.end() :] if end and not _in_fence(text[: end.start()]) else text


def _in_fence(before: str) -> bool:
    """Whether a fence is open behind this text."""
    mark = ""
    for fence in _FENCE.finditer(before):
        if not mark:
            mark = fence[1]
        elif fence[1].startswith(mark) and not fence[2].strip():
            mark = ""
    return bool(mark)


class Aloud:
    """A message without the thought at its head, as it comes in. Of an end alone nobody knows before it is there."""

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["head", "thought", "behind", "past"] = "head"

    def of(self, text: str) -> str:
        """Return what can be said now that was not said before."""
        if self._state == "past":
            return text
        self._held += text
        if self._state == "head":
            begun = self._held.lstrip()
            if len(begun) < len(_THINK) and _THINK.startswith(begun):
                return ""
            self._state = "thought" if begun.startswith(_THINK) else "past"
        if self._state == "thought":
            # Its end may come in two pieces: of the thought only what may be the first of them is held.
            thought, end, behind = self._held.partition(_THOUGHT)
            self._held, self._state = (behind, "behind") if end else (thought[-len(_THOUGHT) :], "thought")
        if self._state == "behind":
            self._held = self._held.lstrip()
            self._state = "past" if self._held else "behind"
        if self._state != "past":
            return ""
        held, self._held = self._held, ""
        return held
