"""Which version a database's tables are of, and how they become those of this worker."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from worker.errors import NoTranscript, TranscriptDown
from worker.transcript.failures import NEWER
from worker.transcript.tables import VERSION_TABLE

KNOWN = sorted(each.name[1:5] for each in Path(__file__).with_name("migrations").joinpath("versions").glob("v*.py"))
"""Revisions, by the names of their files."""


def is_up_to_date(connection: Connection) -> bool:
    """Whether nothing is to be done; so it is with tables of a newer worker, as that has only added to them."""
    found = _revision(connection)
    return found == newest() or _is_newer(found)


def steps() -> Callable[[Connection], None]:
    """Return what brings older tables up to date. To import it takes a second: not for a loop."""
    from worker.transcript.steps import upgrade  # noqa: PLC0415 - wanted once for each version, and large

    return upgrade


def check(connection: Connection) -> None:
    """Refuse tables that are older than this version, and change nothing. Raises TranscriptDown."""
    found = _revision(connection)
    if found == newest() or _is_newer(found):
        return
    if found is None:
        raise NoTranscript("The transcript is empty: no worker has written to this database yet. See TRANSCRIPT_URL.")
    what = f"The transcript is of an older version ({found}; this one is {newest()}), and reading does not change it."
    raise TranscriptDown(f"{what} Start a worker of this version once: it brings the transcript up to date.")


def newest() -> str:
    """Name the version of the tables that this worker makes."""
    return KNOWN[-1]


def _is_newer(revision: str | None) -> bool:
    """Whether this is none of our steps. A newer worker's format says whether we may go on, see `SqlFormat`."""
    return revision is not None and revision not in KNOWN


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    match connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all():  # noqa: S608 - a name of ours
        case []:
            return None
        case [revision]:
            return str(revision)
    raise TranscriptDown(NEWER)  # no version of ours has two
