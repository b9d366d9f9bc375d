"""JSON text and JSON Schema: what is wrong with a schema, and with an answer that has to fit one. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing.exceptions import Unresolvable

from worker.domain import foreign
from worker.modelling import keywords

MISTAKES_TOLD = 10
LONGEST_MISTAKE = 300
LONGEST_PLACE = 9
"""Digits of a place in a list. Python reads no number of more than 4300."""

LONGEST_NUMBER = 300
"""Digits; a Double has room for no larger number."""

MOST_PARTS = 20_000
"""Of a schema. Those that people write have a hundredth of it."""
MOST_VALUES = 250_000
"""Of an answer that is compared: more than any model writes."""

_AROUND = "\ufeff \t\r\n"
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*[\w+.-]*[ \t]*\r?")

_SCHEMA_OF_SCHEMAS = Draft202012Validator.META_SCHEMA


class Unusable(Exception):
    """A schema that cannot be applied: its own fault, not the answer's. The text says why, and quotes no answer."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where an answer does not fit. `rule` is the part of the schema that it breaks; only `said` quotes the answer."""

    rule: str
    said: str


def flaw(schema: Any) -> str:
    """Say what makes this no schema that we can use; empty if nothing does. Not for the loop, as `mistakes`."""
    if not isinstance(schema, dict):
        return "it is no JSON object"
    try:
        if foreign.extent(schema, MOST_PARTS) > MOST_PARTS:
            return f"it has more than {MOST_PARTS} parts"
        if wrong := _misuse(schema):
            return wrong
        _apply_to_smallest(schema)
    except (foreign.TooDeep, RecursionError):
        return "it is nested too deep"
    except (Unusable, keywords.TooExpensive) as exc:
        return str(exc)
    return ""


def _misuse(schema: Mapping[str, Any]) -> str:
    """Say what is wrong with its keywords."""
    with keywords.bounded():
        wrong = next(keywords.validator(_SCHEMA_OF_SCHEMAS, checks_formats=True).iter_errors(schema), None)
    if wrong is not None:
        return f"at {wrong.json_path}: {wrong.message}"
    outside = next((ref for ref in _references(schema) if not ref.startswith("#")), None)
    return f"it refers to {outside!r}, and only parts of its own (#/…) can be referred to" if outside else ""


def _apply_to_smallest(schema: Mapping[str, Any]) -> None:
    """Apply it to the smallest values there are: what costs too much then is better known before anything is asked."""
    # Of each type one, as most keywords look at one type alone.
    smallest: list[Any] = [{}, [], "", 0, None]
    for each in smallest:
        mistakes(each, schema)


def parse(text: str) -> Any:
    """Read an answer as JSON. Raises ValueError, whose text quotes nothing.

    Refuses what Python reads and the engine's Jackson does not or reads otherwise: NaN, Infinity, a name said twice,
    and numbers that nothing can compute with, such as 1e400.
    """
    return foreign.read(text, constant=_no_constant, pairs=_no_twins, number=_number)


def unfenced(text: str) -> str:
    """Take away what models like to put around JSON: their thinking, one Markdown fence, words before and after it.

    What begins as JSON is left as the model wrote it, whatever its texts speak of. One pass over the text: an answer
    may be megabytes of fences or thoughts without an end.
    """
    stripped = text.strip(_AROUND)
    if stripped.startswith(("{", "[")):
        return text if stripped == text.strip() else stripped
    bare = _without_thought(stripped)
    if bare.startswith(("{", "[")):
        return bare
    if (fenced := _fenced(bare)) is not None:
        return fenced.strip()
    if "```" not in bare and "~~~" not in bare and (found := _object_in(bare)):
        return found
    return text if bare == text.strip() else bare


def alone(text: str) -> str:
    """Take away a Markdown fence that has nothing around it, so that no word is lost."""
    bare = text.strip(_AROUND)
    first, _, rest = bare.partition("\n")
    inside, _, last = rest.rpartition("\n")
    opening = _FENCE.fullmatch(first)
    return inside if opening and last.strip() == opening[1] else bare


def _without_thought(text: str) -> str:
    """Leave out the first thought; templates of some models have its beginning, which the answer then lacks."""
    before, opened, rest = text.partition("<think>")
    _, closed, behind = (rest if opened else text).partition("</think>")
    if not closed:
        return text
    return (before + behind if opened else behind).strip()


def _fenced(text: str) -> str | None:
    """Return what stands in the one fence that there is."""
    found: list[str] = []
    lines, opened, mark = text.split("\n"), -1, ""
    for place, line in enumerate(lines):
        if opened < 0:
            if match := _FENCE.fullmatch(line):
                opened, mark = place, match[1]
        elif place > opened + 1 and line.strip() == mark:
            found.append("\n".join(lines[opened + 1 : place]))
            opened = -1
    return found[0] if len(found) == 1 else None


def _object_in(text: str) -> str | None:
    """Return the lines from the first that begins an object to the last that ends one, if others stand around them."""
    lines = text.split("\n")
    first = next((place for place, line in enumerate(lines) if line.lstrip().startswith("{")), None)
    last = next((place for place in range(len(lines) - 1, -1, -1) if lines[place].rstrip().endswith("}")), -1)
    return None if first is None or last < first else "\n".join(lines[first : last + 1]).strip()


def mistakes(value: Any, schema: Mapping[str, Any]) -> list[Mistake]:
    """Compare a value with a schema; the first few mistakes. Raises Unusable.

    May take some seconds of processor time: not for the loop.
    """
    if foreign.extent(value, MOST_VALUES) > MOST_VALUES:
        return [Mistake("too large", f"it has more than {MOST_VALUES} values")]
    try:
        with keywords.bounded():
            errors = keywords.validator(schema).iter_errors(value)
            # The library finds mistakes as they are asked for: those beyond these cost nothing.
            return [_mistake(error) for error in islice(errors, MISTAKES_TOLD)]
    except RecursionError:  # a reference that leads to itself is known before that
        return [Mistake("too deep", "it is nested deeper than the schema can be followed")]
    except Unresolvable as exc:
        raise Unusable(f"it refers to {str(exc.ref)[:LONGEST_MISTAKE]!r}, which it does not have") from exc
    except keywords.TooExpensive as exc:
        raise Unusable(str(exc)) from exc
    except Exception as exc:  # a reference may lead to what is no schema, and the library finds that in its own ways
        raise Unusable(f"a part that it refers to is no schema ({type(exc).__name__})") from exc


def at(value: Any, path: str) -> Any:
    """Follow a dotted path; numbers are places in lists, from 0. Raises LookupError."""
    for part in path.split("."):
        if isinstance(value, list) and part.isascii() and part.isdigit():
            if len(part) > LONGEST_PLACE:
                raise LookupError(part)
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value[part]
        else:
            raise LookupError(part)
    return value


def _mistake(error: ValidationError) -> Mistake:
    rule = "/".join(map(str, error.absolute_schema_path))
    return Mistake(rule, f"at {error.json_path}: {error.message}"[:LONGEST_MISTAKE])


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name in {"$ref", "$dynamicRef"} and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _number(digits: str) -> float:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has more than {LONGEST_NUMBER} digits")
    if digits.lstrip("-").isdigit():
        return int(digits)
    if math.isinf(number := float(digits)):
        raise ValueError("a number is too large to compute with")
    return number


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _no_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("an object says a name twice")
    return names
