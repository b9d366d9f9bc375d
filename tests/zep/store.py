"""What the stand-in for Zep keeps: users, their threads and messages, and the graph that comes of these later."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Json = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class User:
    """`summaries` are what Zep has made of messages in words of its own; no call deletes them but the user's end."""

    user_id: str | None
    metadata: Json
    uuid: str = field(default_factory=lambda: str(uuid4()))
    graph: str = field(default_factory=lambda: str(uuid4()))
    episodes: list["Episode"] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=now)


@dataclass
class Message:
    role: str
    content: str
    metadata: Json
    at: str
    name: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid4()))
    processed: bool = False
    shown: bool = True
    received: str = field(default_factory=now)


@dataclass
class Thread:
    user: User
    thread_id: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid4()))
    messages: list[Message] = field(default_factory=list)
    created_at: str = field(default_factory=now)


@dataclass
class Episode:
    """A message in the graph, and the facts that were derived of it."""

    message: Message
    thread: Thread
    facts: list[tuple[str, str]]


class Store:
    """`slow`: what is written comes into the graph when `ingest` says so. `blind`: it is not listed until then."""

    def __init__(self) -> None:
        self.users: list[User] = []
        self.threads: list[Thread] = []
        self.slow = False
        self.blind = False

    def write(self, thread: Thread, messages: list[Message]) -> None:
        for each in messages:
            each.shown = not self.blind
        thread.messages += messages
        if not self.slow:
            self.ingest()

    def ingest(self) -> None:
        """Take everything into the graph, and list it."""
        for thread in self.threads:
            for each in thread.messages:
                each.shown = True
                if not each.processed:
                    each.processed = True
                    thread.user.episodes.append(Episode(each, thread, derived(each)))
                    thread.user.summaries.append(f"spoke of {each.content[:20]}")

    def drop_user(self, user: User) -> None:
        self.users = [each for each in self.users if each is not user]
        self.threads = [each for each in self.threads if each.user is not user]

    def drop_thread(self, thread: Thread) -> None:
        self.threads = [each for each in self.threads if each is not thread]

    def drop_episode(self, episode: Episode) -> None:
        user = episode.thread.user
        user.episodes = [each for each in user.episodes if each is not episode]

    def user(self, value: str) -> User | None:
        """Find one by either of its ids."""
        return next((each for each in self.users if value in {each.user_id, each.uuid}), None)

    def thread(self, value: str) -> Thread | None:
        return next((each for each in self.threads if value in {each.thread_id, each.uuid}), None)

    def episode(self, uuid: str) -> Episode | None:
        return next((each for user in self.users for each in user.episodes if each.message.uuid == uuid), None)


def derived(message: Message) -> list[tuple[str, str]]:
    """Facts of a message: each sentence of an answer that ends with a full stop."""
    sentences = message.content.split(".")[:-1] if message.role == "assistant" else []
    return [(str(uuid4()), f"{each.strip()}.") for each in sentences]


def fitting(query: str, text: str) -> int:
    """How many words a question and a text share."""
    return len(set(re.findall(r"\w+", query.lower())) & set(re.findall(r"\w+", text.lower())))
