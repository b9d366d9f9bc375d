"""What `docs/backup.md` restores where the transcript is a file; `make keeping` runs its other commands."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests import backups

FILE = "transcript.db"


def said(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [text for (text,) in database.execute("SELECT text FROM said ORDER BY text")]


def test_a_restored_file_has_what_its_copy_has_and_nothing_of_the_one_before(tmp_path: Path) -> None:
    live, seen, lost, copies = (tmp_path / name for name in ("live", "seen", "lost", "copies"))
    live.mkdir()
    copies.mkdir()
    with (
        closing(sqlite3.connect(live / FILE)) as database,
        closing(sqlite3.connect(copies / "transcript-copy.db")) as copy,
    ):
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE said (text); INSERT INTO said VALUES ('before')")
        database.backup(copy)
        database.executescript("INSERT INTO said VALUES ('after')")
        # As the machine leaves them when it fails: what came last is in the -wal alone.
        shutil.copytree(live, seen)
        shutil.copytree(live, lost)
    assert said(seen / FILE) == ["after", "before"]

    restoring = backups.commands("Restore", "transcript-copy.db")
    backups.run(restoring, {"/var/lib/assistant-worker": str(lost)}, copies, {"PATH": os.environ["PATH"]})

    assert said(lost / FILE) == ["before"]
    assert sorted(each.name for each in lost.iterdir()) == [FILE]
