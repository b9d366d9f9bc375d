"""What a record is hashed as, and texts that can be erased without changing the hash. Pure.

A part is kept with `{"text_sha256": …}` in place of each text. The texts lie beside, each with its salt: who takes one
away leaves a hash that nobody can guess the text from, and all that was hashed stays as it was.
"""

import hashlib
import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import rfc8785

from worker.decisions import texts
from worker.decisions.schemas import PARTS, WHAT_IFS
from worker.errors import BadRecord

SEALED: Final = "text_sha256"
ERASED: Final = "[erased]"
PERSONAL: Final = frozenset({"user", "through", "name"})
"""What in a source may name a person."""

_LARGEST: Final = 2**53 - 1
"""The largest integer that RFC 8785 has a form for: there numbers are floats."""
_SALT_BYTES: Final = 16
"""So many that nobody can try all salts of a short text, as a yes or no would be."""

Texts = Mapping[str, Mapping[str, str]]
"""Salt and text, by sha256(salt ‖ text)."""


def sha256(value: Any) -> str:
    """Hash plain JSON in the form of RFC 8785. Raises BadRecord, which names what has no such form."""
    for path, wrong in _unhashable(value, "$"):
        raise BadRecord(f"at {path}: {wrong}, and cannot be hashed")
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def is_text(value: Any) -> bool:
    """Whether it is a text, which stands there by its hash."""
    return isinstance(value, Mapping) and value.keys() == {SEALED} and isinstance(value[SEALED], str)


def opened(value: Any, known: Texts) -> Any:
    """Put texts back in place of their hashes, and ERASED for those that are gone."""
    if isinstance(value, Mapping):
        if is_text(value):
            return known.get(value[SEALED], {}).get("text", ERASED)
        return {name: opened(each, known) for name, each in value.items()}
    return [opened(each, known) for each in value] if isinstance(value, list) else value


def digests(value: Any) -> Iterator[str]:
    """Find the hashes of texts."""
    if isinstance(value, Mapping):
        if is_text(value):
            yield value[SEALED]
        else:
            for each in value.values():
                yield from digests(each)
    elif isinstance(value, list):
        for each in value:
            yield from digests(each)


def text_sha256(salt: str, text: str) -> str:
    """Hash a text behind its salt."""
    # No text of ours has half a character; whoever wrote one into the database has made it another text.
    return hashlib.sha256(bytes.fromhex(salt) + text.encode(errors="surrogatepass")).hexdigest()


class Sealing:
    """Puts hashes in place of texts. `used` are the texts that it has sealed.

    A text that is `known`, or comes again, keeps its salt: the same parts have the same hash when they are sealed
    again. `salt` makes the others', each 16 bytes in hexadecimal digits.
    """

    def __init__(self, known: Texts, salt: Callable[[], str] | None = None) -> None:
        self.used = dict[str, Mapping[str, str]]()
        self._salts = {each["text"]: each["salt"] for each in known.values()}
        self._new = salt or (lambda: secrets.token_hex(_SALT_BYTES))

    def content(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Seal the texts of parts. Raises BadRecord for what cannot be hashed."""
        said = {*PARTS, WHAT_IFS}
        return {name: texts.changed(value, self._seal) if name in said else value for name, value in content.items()}

    def source(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Seal what may name a person in a source."""
        return {
            name: self._seal(value) if name in PERSONAL and isinstance(value, str) else value
            for name, value in source.items()
        }

    def _seal(self, text: str) -> dict[str, str]:
        if not _is_whole(text):
            raise BadRecord("a text has half a character (a lone surrogate), and cannot be hashed")
        salt = self._salts.get(text) or self._new()
        self._salts[text] = salt
        digest = text_sha256(salt, text)
        self.used[digest] = {"salt": salt, "text": text}
        return {SEALED: digest}


def _unhashable(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if type(value) is dict:
        for name, each in value.items():
            if type(name) is str and _is_whole(name):
                yield from _unhashable(each, f"{path}.{name}")
            else:
                yield path, "a name is no text"
    elif type(value) is list:
        for place, each in enumerate(value):
            yield from _unhashable(each, f"{path}[{place}]")
    elif wrong := _wrong(value):
        yield path, wrong


def _wrong(value: Any) -> str:
    """Say what keeps a value that is no object and no list from being hashed. Subclasses may be written otherwise."""
    kind = type(value)
    if kind is int and abs(value) > _LARGEST:
        return "an integer is beyond 2^53, where numbers of JSON are not exact"
    if kind is float and not math.isfinite(value):
        return "a number is NaN or infinite"
    if kind is str and not _is_whole(value):
        return "a text has half a character (a lone surrogate)"
    return "" if value is None or kind in {bool, int, float, str} else f"{kind.__name__} is nothing of JSON"


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
