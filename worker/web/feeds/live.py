"""An answer that is being written on one thread, put together of what was told of it."""

from dataclasses import dataclass, field
from datetime import timedelta

from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, Piece, Speaker

LOST_AFTER = timedelta(seconds=15)
"""Who writes an answer is heard of every five seconds: after this silence it is dead, or cut off."""


@dataclass(slots=True)
class Live:
    """What is known of one thread. `is_written`: more of this run's text is to come, as far as anybody can tell.

    `speakers` says of the task whose text it is, and of that which has the thread, whose they are, as far as that was
    told. `spoke` are all who were seen to speak: their words may be known there before the record has them.
    """

    key: ThreadKey
    run: str = ""
    task_id: str = ""
    attempt: int = 0
    text: str = ""
    is_over: bool = False
    is_lost: bool = False
    last: Look = field(default_factory=Look)
    was_looked_at: bool = False
    speakers: dict[str, Speaker] = field(default_factory=dict)
    spoke: set[Speaker] = field(default_factory=set)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing goes on there."""
        return not self.is_written and (self.last.turn is None or not self.last.turn.is_held)

    @property
    def is_written(self) -> bool:
        """Whether somebody goes on writing."""
        return bool(self.run) and not self.is_over and not self.is_lost

    def hear(self, look: Look) -> bool:
        """Take what a look has found; whether anything is new."""
        before = (self.run, len(self.text), self.is_over, self.is_lost, self.last.turn, self.was_looked_at)
        for piece in look.pieces:
            self._take(piece)
        # Redis keeps what was said for some minutes only.
        silent = look.silent_for is None or look.silent_for > LOST_AFTER
        self.is_lost = bool(self.run) and not self.is_over and silent
        self.last, self.was_looked_at = look, True
        if look.turn is not None and look.turn.whose is not None:
            known = {**self.speakers, look.turn.task_id: look.turn.whose}
            self.speakers = {each: known[each] for each in (self.task_id, look.turn.task_id) if each in known}
            self.spoke.add(look.turn.whose)
        return before != (self.run, len(self.text), self.is_over, self.is_lost, look.turn, True)

    def _take(self, piece: Piece) -> None:
        if piece.run != self.run:
            if piece.offset:  # of a worker that has lost the thread, and does not know it yet
                return
            self.run, self.task_id, self.attempt = piece.run, piece.task_id, piece.attempt
            self.text, self.is_over = "", False
        known = len(self.text) - piece.offset
        if known >= 0:  # behind a gap nothing fits; the whole answer comes from the record
            self.text += piece.text[known:]
        self.is_over = self.is_over or piece.is_last
