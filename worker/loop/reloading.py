"""Files that people change while the worker runs: taken as a whole when they are written to the end, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from worker.errors import WorkerError
from worker.runtime.beside import beside
from worker.runtime.clock import monotonic
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace

LOOK_SECONDS = 2.0
"""Between two looks. A file counts as written to the end if two in a row see the same."""
AGAIN_SECONDS = 30.0
"""Between two tries to take what could not be: what it names may be there by now, or instances have ended."""

log = structlog.get_logger()

Marks = Mapping[Path, tuple[int, ...] | None]
"""What tells that a file is another one: inode, size and time; None where there is none."""


class Reloading:
    """Looks at files, and has them read again where they have changed or somebody asks for it.

    `files` names them. `take` reads them, goes by what they say from then on, and returns what has changed, in words.
    It changes nothing if it raises; then it is tried again, now and then.
    """

    def __init__(self, files: Callable[[], Collection[Path]], take: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._files = files
        self._take = take
        self._asked = False
        self._seen: Marks = {}
        self._taken: Marks = {}
        self._refused = ""
        self._again_at = 0.0

    def ask(self) -> None:
        """Read everything at the next look, whatever has changed."""
        self._asked = True

    def lines(self) -> list[str]:
        """Say for whoever asks whether the worker is ready that what is written is not what it goes by."""
        return ["changed files: the log says what is wrong with them"] if self._refused else []

    async def watch(self) -> None:
        """Look every few seconds until cancelled. What the files were at the first look has been read already."""
        self._seen = self._taken = await beside(marks, self._files())
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        seen, before = await beside(marks, self._files()), self._seen
        self._seen = seen
        again = bool(self._refused) and monotonic() >= self._again_at
        if seen != before or (seen == self._taken and not self._asked and not again):
            return
        try:
            changed = await self._take()
        except WorkerError as exc:
            self._refuse(str(exc))
        except Exception as exc:  # noqa: BLE001 - the files that come next may be better
            self._refuse(f"an unforeseen {trace(exc)}")
        else:
            self._refused = ""
            metrics.CONFIGURATION_REFUSED.set(0)
            log.info(Event.CONFIGURATION_TAKEN, changed=list(changed))
        self._asked, self._taken = False, seen
        self._seen = await beside(marks, self._files())  # what was read may name other files
        self._taken = {**self._seen, **{path: mark for path, mark in seen.items() if path in self._seen}}

    def _refuse(self, reason: str) -> None:
        metrics.CONFIGURATION_REFUSED.set(1)
        if reason != self._refused:
            log.error(Event.CONFIGURATION_REFUSED, reason=reason)
        self._refused, self._again_at = reason, monotonic() + AGAIN_SECONDS


def marks(files: Iterable[Path]) -> Marks:
    """Mark files as they are now; of a folder also those in it."""
    found: dict[Path, tuple[int, ...] | None] = {}
    for path in files:
        found[path] = _mark(path)
        with suppress(OSError):
            found |= {each: _mark(each) for each in (path.iterdir() if path.is_dir() else ())}
    return found


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
