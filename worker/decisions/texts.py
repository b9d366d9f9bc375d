"""The texts within a record's parts: which they are, and the figures that they speak of. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.decisions.sums import DIGITS

NAMES: Final = frozenset(
    {
        *("id", "parent", "unit", "kind", "alternative", "criterion", "objective", "limit", "stakeholder", "rests_on"),
    }
)
"""What holds a name for programs, or a unit. Every other string of a part is somebody's words."""

_FIGURE = re.compile(r"\{([A-Za-z]\w*(?:\.\w+)*)(:%)?\}")
# With a sign, thousands in groups parted by any blank or apostrophe, points or commas, and a percent sign.
_NUMERAL = re.compile(
    r"(?<![\w.,])[-\u2212+]?(?:\d{1,3}(?:[ \u00a0\u202f'\u2019]\d{3})+(?!\d)|\d+)(?:[.,]\d+)*(?:[ \u00a0\u202f]?%)?"
)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*")
# Blanks of one line: many lines would be walked over and over.
_ENUMERATION = re.compile(r"^[^\S\n]*\d+[.)]\s", re.MULTILINE)
_LONGEST_PLACE = 5
"""Digits of a place in a list: no list is longer."""
_BETWEEN_GROUPS = re.compile("[ \u00a0\u202f'\u2019%]")


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its figures filled in. `unknown` are those that the computation does not have."""

    text: str
    unknown: tuple[str, ...]


def words(value: Any, path: str = "", *, name: str = "") -> Iterator[tuple[str, str]]:
    """Walk over all texts of a part, each with its place."""
    if isinstance(value, str):
        if name not in NAMES:
            yield path, value
    elif isinstance(value, Mapping):
        for each, inner in value.items():
            yield from words(inner, f"{path}.{each}" if path else each, name=each)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            # What a list has goes by the list's name.
            yield from words(inner, f"{path}[{place}]", name=name)


def changed(value: Any, change: Callable[[str], Any], *, name: str = "") -> Any:
    """Copy a part with every text replaced."""
    if isinstance(value, str):
        return value if name in NAMES else change(value)
    if isinstance(value, Mapping):
        return {each: changed(inner, change, name=each) for each, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner, change, name=name) for inner in value]
    return value


def fill(text: str, computed: Mapping[str, Any]) -> Filled:
    """Write figures of the computation where the text has their places: `{sums.Y}`, or `{first_share:%}` in percent."""
    unknown = list[str]()

    def figure(match: re.Match[str]) -> str:
        found = _at(computed, match[1].split("."))
        # A truth value is an int to Python; a table or a list is no figure, and of a name there is no percentage.
        if isinstance(found, bool) or not isinstance(found, int | float | str) or (isinstance(found, str) and match[2]):
            unknown.append(match[0])
            return match[0]
        return found if isinstance(found, str) else written(found, in_percent=bool(match[2]))

    filled = _FIGURE.sub(figure, text)
    return Filled(filled, tuple(unknown))


def unbound(text: str, known: frozenset[float]) -> list[str]:
    """Find the numerals that no figure fills in, and that are no known number; words for numbers are not seen."""
    bare = _ENUMERATION.sub("", _FIGURE.sub(" ", text))
    return [match[0] for match in _NUMERAL.finditer(bare) if not _readings(match[0]) & known]


def numbers(value: Any) -> frozenset[float]:
    """Gather the numbers that stand in parts: as numbers, and as numerals within texts."""
    found = set[float]()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, int | float) and not isinstance(each, bool):
            found.add(float(each))
    for _, text in words(value):
        found.update(*(_readings(match[0]) for match in _NUMERAL.finditer(text)))
    return frozenset(found)


def _readings(numeral: str) -> set[float]:
    """Read a numeral in every way that people write it: 8,500 may be eight and a half; 60 % may be 0.6."""
    digits = _BETWEEN_GROUPS.sub("", numeral).replace("\u2212", "-")
    found = set[float]()
    if _THOUSANDS.fullmatch(digits):
        found.add(float(re.sub("[.,]", "", digits)))
    for point, other in (".,", ",."):
        whole, _, rest = digits.partition(point)
        if point not in rest and other not in rest and (other not in whole or _THOUSANDS.fullmatch(whole)):
            found.add(float(f"{whole.replace(other, '')}.{rest or 0}"))
    return found | ({round(each / 100, DIGITS) for each in found} if numeral.endswith("%") else set())


def _at(computed: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(computed, Mapping):
            computed = computed.get(part)
        # Places count from 1, as a model would write of the first of a ranking.
        elif isinstance(computed, list) and _is_place(part) and 0 < int(part) <= len(computed):
            computed = computed[int(part) - 1]
        else:
            return None
    return computed


def _is_place(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= _LONGEST_PLACE


def written(figure: float, *, in_percent: bool = False) -> str:
    """Write a figure for people, with at most three digits after the point, or as a percentage with one."""
    if in_percent:
        return f"{100 * figure:z.1f}".removesuffix(".0") + " %"
    return f"{figure:z.3f}".rstrip("0").rstrip(".") if isinstance(figure, float) else str(figure)
