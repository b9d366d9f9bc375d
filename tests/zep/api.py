"""What both dialects of the stand-in share: what they take, and how they look for words."""

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.zep.store import Episode, Message, Thread, User, fitting, now

if TYPE_CHECKING:
    from tests.zep.stand_in import ZepStandIn

Json = dict[str, Any]
ROLES = {"system", "assistant", "user", "function", "tool"}


class Refused(Exception):
    """What is answered with an error, in the words of the dialect."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Handlers of one dialect. `time` is its name for when something was said, `also` what else a message may have."""

    time = "created_at"
    also: frozenset[str] = frozenset()

    def __init__(self, zep: "ZepStandIn") -> None:
        self.zep = zep

    @property
    def store(self) -> Any:
        return self.zep.store

    async def body(self, request: web.Request, *needed: str, may: frozenset[str] = frozenset()) -> Json:
        """The object that was sent, with all that is needed and nothing that nobody knows."""
        try:
            said = await request.json()
        except json.JSONDecodeError:
            raise Refused(400, "invalid json") from None
        if not isinstance(said, dict) or set(needed) - said.keys() or said.keys() - {*needed, *may}:
            raise Refused(400, f"wrong body: {sorted(said) if isinstance(said, dict) else said}")
        return said

    def metadata(self, said: Json) -> Json:
        values = said.get("metadata") or {}
        if not isinstance(values, dict) or len(values) > 10 or any(isinstance(each, dict) for each in values.values()):
            raise Refused(400, "metadata: at most 10 keys of scalars")
        return values

    def messages(self, said: Json) -> list[Message]:
        rows = said["messages"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= 30:
            raise Refused(400, "messages: 1 to 30")
        return [self.message(each) for each in rows]

    def message(self, row: Json) -> Message:
        known = {"role", "content", "metadata", "name", self.time, *self.also}
        if not isinstance(row, dict) or row.keys() - known or row.get("role") not in ROLES:
            raise Refused(400, f"message: {row}")
        content = row.get("content", "")
        if not 2 <= len(content) <= 4096:
            raise Refused(400, "content: 2 to 4096 characters")
        return Message(row["role"], content, self.metadata(row), row.get(self.time) or now(), row.get("name"))

    def user_or_404(self, value: str) -> User:
        if (user := self.store.user(value)) is None:
            raise Refused(404, f"user not found: {value}")
        found: User = user
        return found

    def thread_or_404(self, value: str) -> Thread:
        if (thread := self.store.thread(value)) is None:
            raise Refused(404, f"thread not found: {value}")
        found: Thread = thread
        return found


def best_edges(user: User, query: str) -> list[tuple[Episode, str, str]]:
    """Facts that share words with a question: where they are from, their ids and texts."""
    found = [(episode, name, text) for episode in user.episodes for name, text in episode.facts]
    fit = [(fitting(query, text), each) for each in found for text in [each[2]]]
    return [each for score, each in sorted(fit, key=lambda pair: -pair[0]) if score]


def best_episodes(user: User, query: str) -> list[Episode]:
    fit = [(fitting(query, each.message.content), each) for each in user.episodes]
    return [each for score, each in sorted(fit, key=lambda pair: -pair[0]) if score]
