"""Somebody who reads answers while they are written, and keeps what was said."""

from dataclasses import dataclass, field

from worker.domain.threads import ThreadKey


@dataclass(slots=True)
class FakeWatcher:
    """`ports.providers.Watcher`: for each request, what it said."""

    requests: list[list[str]] = field(default_factory=list)
    over: int = 0

    @property
    def text(self) -> str:
        """What counts: all that the last request said."""
        return "".join(self.requests[-1]) if self.requests else ""

    def began(self) -> None:
        self.requests.append([])

    def said(self, text: str) -> None:
        text.encode()
        self.requests[-1].append(text)

    def ended(self) -> None:
        self.over += 1


@dataclass(slots=True)
class FakeWatchers:
    """`ports.providers.Watchers`: everybody's calls are watched; each has a watcher of its own, in order."""

    calls: list[tuple[ThreadKey, str, int]] = field(default_factory=list)
    watchers: list[FakeWatcher] = field(default_factory=list)

    def watcher(self, key: ThreadKey, task_id: str, attempt: int, *, watched: bool) -> FakeWatcher:  # noqa: ARG002 - see above
        self.calls.append((key, task_id, attempt))
        self.watchers.append(FakeWatcher())
        return self.watchers[-1]
