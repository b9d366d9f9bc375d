"""What the model server remembers: conversations with their items, and responses."""

import json
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worker.demo.model.files import Files
from worker.demo.model.wire import Json, conversation_gone, now

_SCHEMA = "CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id))"
_WRITE = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"


@dataclass(slots=True)
class Conversation:
    """A conversation; a deleted one keeps its items, as OpenAI's do, but nobody can reach them."""

    id: str
    metadata: dict[str, str]
    items: list[Json] = field(default_factory=list)
    created_at: int = field(default_factory=now)
    turns: int = 0
    deleted: bool = False
    account: str = ""

    def shown(self) -> Json:
        """The object that clients see."""
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created_at,
            "metadata": self.metadata,
        }


@dataclass(slots=True)
class Turn:
    """A response, and the items it was asked with."""

    response: Json
    input: list[Json]
    account: str = ""
    reply: Json | None = None
    """What is shown of it in place of the response, where somebody else has answered."""

    @property
    def shown(self) -> Json:
        """The object that clients see."""
        return self.response if self.reply is None else self.reply

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.response["id"])

    @property
    def conversation_id(self) -> str | None:
        """Where the turn lands; None for a turn outside of conversations."""
        conversation = self.response["conversation"]
        return conversation and str(conversation["id"])


def is_anchors(metadata: object) -> bool:
    """Whether a conversation with these metadata is an anchor."""
    return isinstance(metadata, dict) and metadata.get("purpose") == "anchor"


class Store:
    """Everything in memory; with a path also in a file, which is up to date whenever a method has returned.

    A killed server loses nothing that it answered, but for `files`. Writing blocks the event loop for about 0.1 ms.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.turns: dict[str, Turn] = {}
        self.files = Files()
        self._database = _opened(path) if path else None
        if self._database:
            for kind, body in self._database.execute("SELECT kind, body FROM records ORDER BY rowid"):
                self._load(kind, json.loads(body))

    def _load(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "conversation":
            self.conversations[body["id"]] = Conversation(**body)
        else:
            turn = Turn(**body)
            self.turns[turn.id] = turn

    def conversation(self, conversation_id: str, account: str) -> Conversation:
        """The account's conversation of this id. ApiError 404 if there is none, none any more, or another account's."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None or conversation.deleted or conversation.account != account:
            raise conversation_gone(conversation_id)
        return conversation

    def is_anchor(self, conversation_id: str | None) -> bool:
        """Whether this is no thread, but what a client knows an account by."""
        conversation = self.conversations.get(conversation_id or "")
        return conversation is not None and is_anchors(conversation.metadata)

    def keep(self, *changed: Conversation | Turn) -> None:
        """Remembers new and changed ones, all of them or none."""
        kept = [record for record in changed if isinstance(record, Conversation) or record.response["store"]]
        for record in kept:
            if isinstance(record, Conversation):
                self.conversations[record.id] = record
            else:
                self.turns[record.id] = record
        if self._database:
            with self._database:
                self._database.executemany(_WRITE, [_row(record) for record in kept])

    def land(self, turn: Turn) -> None:
        """Puts a finished turn's input and output on its conversation, both at once."""
        conversation = self.conversations.get(turn.conversation_id or "")
        if conversation is None:
            return self.keep(turn)
        conversation.items += [*turn.input, *turn.response["output"]]
        conversation.turns += 1
        return self.keep(conversation, turn)

    def drop(self, turn: Turn) -> None:
        """Forgets a response; what it put on its conversation stays."""
        del self.turns[turn.id]
        if self._database:
            with self._database:
                self._database.execute("DELETE FROM records WHERE kind = 'turn' AND id = ?", [turn.id])

    def history(self, turn: Turn) -> list[Json]:
        """The items that the model sees before this turn's own, oldest first."""
        if turn.conversation_id:
            return list(self.conversations[turn.conversation_id].items)
        previous = self.turns.get(turn.response["previous_response_id"] or "")
        return [*self.history(previous), *previous.input, *previous.response["output"]] if previous else []

    def clear(self) -> None:
        """Forgets everything."""
        self.conversations.clear()
        self.turns.clear()
        self.files.clear()
        if self._database:
            with self._database:
                self._database.execute("DELETE FROM records")

    def close(self) -> None:
        """Closes the file."""
        if self._database:
            self._database.close()


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")  # must outlive our death, not the machine's
    database.execute(_SCHEMA)
    return database


def _row(record: Conversation | Turn) -> tuple[str, str, str]:
    kind = "conversation" if isinstance(record, Conversation) else "turn"
    return kind, record.id, json.dumps(asdict(record))
