"""JSON from a provider into our shapes: the fast parser first, and a patient one where an answer would be lost."""

import json
import math
import re
from json import JSONDecoder
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from worker.providers.wire import Wire

W = TypeVar("W", bound=Wire)

_ESCAPE: Final = re.compile(
    r"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_MOST_DIGITS: Final = 300
"""Longer numbers are no count of anything, and Python refuses to read some of them."""


def read(shape: type[W], body: bytes) -> W:
    """Read a reply. Raises ValidationError, which says nothing of what was sent.

    A reply may be paid for, and a page of items is all that we can see of a thread: what only the fast parser finds
    unreadable, such as half of an emoji, is read all the same.
    """
    try:
        return shape.model_validate_json(body)
    except ValidationError as exc:
        if not any(error["type"] == "json_invalid" for error in exc.errors(include_input=False, include_url=False)):
            raise
        try:
            return shape.model_validate(loads(body))
        except (ValueError, RecursionError):
            raise exc from None


def loads(body: bytes, *, halves: bool = False) -> Any:
    """Parse JSON that is not quite JSON. Raises ValueError, RecursionError where there is no value at all.

    Halves of surrogate pairs and bytes that are no text become U+FFFD, numbers that are none become null; a byte order
    mark, control characters in strings, and whatever follows the value are passed over. `halves` leaves those of pairs
    as they are, for what may bring the other half later.
    """
    # json.loads guesses the encoding in the same way, but ends at the first byte that is no text.
    text = body.decode(json.detect_encoding(body), errors="replace").lstrip("\ufeff \t\r\n")
    value, _ = _PATIENT.raw_decode(text if halves else _ESCAPE.sub(_whole, text))
    return value


def _whole(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape["half"] else escape[0]


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _nothing(_: str) -> None:
    """Stand for NaN and the infinities."""


_PATIENT: Final = JSONDecoder(strict=False, parse_float=_float, parse_int=_int, parse_constant=_nothing)
