"""JSON text and JSON Schema: what is wrong with a schema, and with an answer that has to fit one. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from worker import foreign

MISTAKES_TOLD = 10
LONGEST_MISTAKE = 300

_NOWHERE: Registry[Any] = Registry()
"""Resolves nothing but a schema's own parts: without it the library would fetch addresses."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where an answer does not fit. `rule` is the part of the schema that it breaks; only `said` quotes the answer."""

    rule: str
    said: str


def flaw(schema: Any) -> str:
    """Say what makes this no schema that we can use; empty if nothing does."""
    if not isinstance(schema, dict):
        return "it is no JSON object"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        return f"at {exc.json_path}: {exc.message[:LONGEST_MISTAKE]}"
    except RecursionError:
        return "it is nested too deep"
    outside = next((ref for ref in _references(schema) if not ref.startswith("#")), None)
    return f"it refers to {outside!r}, and only parts of its own (#/…) can be referred to" if outside else ""


def parse(text: str) -> Any:
    """Read an answer as JSON. Raises ValueError, whose text quotes nothing.

    Refuses what Python reads and the engine's Jackson does not or reads otherwise: NaN, Infinity, a name said twice.
    """
    return foreign.read(text, constant=_no_constant, pairs=_no_twins)


def unfenced(text: str) -> str:
    """Take the one Markdown fence away that models like to put around JSON."""
    match = re.fullmatch(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", text, re.DOTALL)
    return match[1] if match else text


def mistakes(value: Any, schema: Mapping[str, Any]) -> list[Mistake]:
    """Compare a value with a schema; the first few mistakes."""
    validator = Draft202012Validator(schema, registry=_NOWHERE)
    try:
        return [_mistake(error) for error in islice(validator.iter_errors(value), MISTAKES_TOLD)]
    except (RecursionError, Unresolvable) as exc:
        return [Mistake(type(exc).__name__, "the schema cannot be applied")]


def at(value: Any, path: str) -> Any:
    """Follow a dotted path; numbers are places in lists, from 0. Raises LookupError."""
    for part in path.split("."):
        if isinstance(value, list) and part.isascii() and part.isdigit():
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


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _no_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("an object says a name twice")
    return names
