"""Where a command writes what it exports."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.errors import Permanent


@contextmanager
def writing(path: str | None) -> Iterator[BinaryIO]:
    """Open a file that does not exist yet, which stays only if all went well; or the standard output.

    Raises Permanent where it cannot be written.
    """
    try:
        if path is None:
            yield sys.stdout.buffer
            return
        # Never over a file that is there: what it holds may have been erased everywhere else since.
        with Path(path).open("xb") as file:
            try:
                yield file
            except BaseException:
                Path(path).unlink()
                raise
    except OSError as exc:
        raise Permanent(f"{path or 'the output'} cannot be written: {exc.strerror}") from exc
