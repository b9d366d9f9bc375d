"""The file of SQLite: made once, looked at by its name alone, and opened by nobody but SQLite.

Whoever closes any descriptor of a file drops every lock that his process has on it (POSIX), SQLite's among them. Then
the next process that closes the file takes itself for the last one, and deletes the log of writes under us.
"""

import os
import sqlite3
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

from worker.errors import NoTranscript, TranscriptDown
from worker.transcript.failures import is_damage

DUMP = "sqlite3 COPY .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 NEW"
SAVE = (
    "Before anything else copy it, together with the files beside it that end in -wal and -shm. Then stop the worker, "
    "save what can be read of the copy by `sqlite3 COPY .recover | sqlite3 NEW`, or where sqlite3 knows no .recover "
    f"(Debian's) by `{DUMP}`, put NEW in its place, take the other two away, and start the worker. Until then nothing "
    "is written to it; what is said waits in Redis, for seven days at most."
)
"""What a person does about a damaged file. All three are copied: the log may have what the file has not got yet."""
STEPS = 100_000
"""SQLite's own steps between two looks at the time: some milliseconds."""
AGAIN_SECONDS = 0.05
"""Until something is tried again that SQLite has refused without waiting."""


class File:
    """Where the transcript is. Every method that can be refused raises TranscriptDown, which says what to do."""

    def __init__(self, path: str) -> None:
        # A worker that changes its folder later still means the same file.
        self.path = Path(path).absolute()
        self._identity: tuple[int, int] | None = None

    def make(self) -> None:
        """Have a file there that only its owner reads; SQLite's files beside it take over these rights."""
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR  # no link is followed
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                # Only what was not there is opened and closed: nobody can have a lock on it yet.
                os.close(os.open(self.path, flags, 0o600))
        except OSError as exc:
            what = f"The transcript's file {self.path} cannot be made: {exc.strerror}."
            raise TranscriptDown(f"{what} See TRANSCRIPT_URL, and the rights on that folder.") from exc
        self._identity = self.check()

    def check(self) -> tuple[int, int]:
        """Refuse what is no file, or another one than we made; returns which it is.

        By its name: to open it would cost our locks on it.
        """
        try:
            found = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError) as exc:
            where = "Is that the file of the worker's TRANSCRIPT_URL, seen from the folder that the worker runs in?"
            raise NoTranscript(f"There is no transcript: the file {self.path} does not exist. {where}") from exc
        except OSError as exc:
            raise TranscriptDown(f"The transcript's file {self.path} cannot be seen: {exc.strerror}.") from exc
        if stat.S_ISLNK(found.st_mode):
            why = "it is a symbolic link, and the transcript might be led elsewhere"
            raise TranscriptDown(f"{self.path} is not used: {why}. Name the file itself in TRANSCRIPT_URL.")
        if not stat.S_ISREG(found.st_mode):
            raise TranscriptDown(f"{self.path} is no file. Name the transcript's file in TRANSCRIPT_URL.")
        identity = found.st_dev, found.st_ino
        if self._identity not in (None, identity):
            # Our connections still write to what it was, where nobody would ever see it.
            what = f"Another file was put in the place of the transcript's, {self.path}, while it was in use"
            raise TranscriptDown(f"{what}. Nothing more is written to either; restart the worker.")
        return identity

    def address(self, *, reads_only: bool) -> str:
        """Return SQLite's address of it, by which it never makes a file."""
        mode = "mode=ro" if reads_only else "mode=rw"
        if reads_only and not os.access(self.path.parent, os.W_OK) and not self._log.exists():
            # To read beside writers it needs its two other files. Here it can make none, and nobody writes.
            mode += "&immutable=1"
        return f"file:{self.path.as_uri().removeprefix('file://')}?{mode}"

    def damage(self, most_seconds: float, over: threading.Event) -> str | None:
        """Look for damage, without changing anything, for so long at most or until it is over; None if none was seen.

        What there is no time for shows itself when it is used. Seen: 1.5 GB a second when they are in memory.
        """
        until = time.monotonic() + most_seconds
        connection = None
        try:
            connection = sqlite3.connect(self.address(reads_only=True), uri=True)
            connection.set_progress_handler(lambda: over.is_set() or time.monotonic() > until, STEPS)
            [said] = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as exc:  # interrupted, or trouble that whoever writes meets as well
            return type(exc).__name__ if is_damage(exc) else None
        finally:
            if connection is not None:
                connection.close()
        return None if said == "ok" else " ".join(str(said).split())[:200]

    def keep_log(self, most_seconds: float, over: threading.Event) -> None:
        """Have SQLite write by way of a log (WAL): once said, that stays with the file. Blocks for so long at most.

        Of several that say so at once, SQLite refuses all but one without any waiting, whatever its `busy_timeout`.
        Raises sqlite3.Error.
        """
        until = time.monotonic() + most_seconds
        while True:
            connection = sqlite3.connect(self.address(reads_only=False), uri=True, timeout=most_seconds)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as exc:
                is_locked = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_locked or time.monotonic() > until or over.wait(AGAIN_SECONDS):
                    raise
            else:
                return
            finally:
                connection.close()

    @property
    def _log(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")
