"""Files that anybody may have put there: read only where they are files, and no further than they may be long."""

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path


def read(path: Path, most: int) -> bytes:
    """Return what is in it; one byte more than `most` where it has more. Raises OSError, also for what is no file.

    A pipe would be waited for without an end, and a device has none.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(0, "it is no file")
        return opened.read(most + 1)


def sha256(path: Path, most: int) -> str | None:
    """Name its bytes, in 64 hex digits; None where it has more than `most`. Raises OSError.

    A file that looks as it did is not read again.
    """
    found = path.stat()
    return _sha256(path, most, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=1000)
def _sha256(path: Path, most: int, _: tuple[int, ...]) -> str | None:
    content = read(path, most)
    return hashlib.sha256(content).hexdigest() if len(content) <= most else None
