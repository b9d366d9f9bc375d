"""Reading a secret from a file of its own."""

from pathlib import Path
from typing import Final

LARGEST: Final = 65_536
"""Bytes of the largest secret."""
_NAME_ONE: Final = "name a file that the worker's user may read"


def read_secret(path: Path) -> str:
    """Return what stands in a file, without the line breaks around it; blank if there is nothing.

    Raises ValueError, whose text says what to do and has nothing of the secret.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError(f"is no file; {_NAME_ONE}")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}; {_NAME_ONE}") from None
    if len(content) > LARGEST:
        raise ValueError(f"has more than {LARGEST} bytes, which no secret has; is it the right file?")
    try:
        return content.decode().strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text; save it as UTF-8") from None  # the cause quotes it
