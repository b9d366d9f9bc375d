"""JSON Schema 2020-12 with a bound on what a comparison costs: a schema and an answer are both somebody else's.

The library's keywords do the work. Those that compare everything with everything, or search for patterns, are ours;
all are counted. The counting is what ends a comparison: it may run beside the loop, where no deadline reaches it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator
from jsonschema.exceptions import FormatError, ValidationError
from jsonschema.validators import extend
from referencing import Registry

from worker.modelling import patterns

MOST_STEPS = 300_000
"""Keywords applied to values. An answer of 2000 objects with ten checked fields each takes 60,000."""
MOST_SECONDS = 5.0
"""Of processor time, for what one step alone can cost."""
PATTERN_SECONDS = 1.0
"""For all searches of one comparison together."""
DEEPEST = 100
"""Keywords within each other: each takes some five frames of Python's 1000. At Python's own limit a library in Rust
ends with a panic, which is no Exception that anybody could handle."""
ERROR_STEPS = 10
"""Steps that a mistake costs, which is written down; and how many are named in one."""
LONGEST_MESSAGE = 300

Keyword: TypeAlias = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]

_NOWHERE: Registry[Any] = Registry()
"""Resolves nothing but a schema's own parts: without it the library would fetch addresses."""


class TooExpensive(Exception):
    """The comparison costs more than it may. The text says of the schema what makes it so, and quotes no answer."""


@dataclass(slots=True)
class _Budget:
    """What is left of a comparison's bounds, and where it is: within how many keywords, and which references."""

    steps: int = MOST_STEPS
    until: float = field(default_factory=lambda: time.thread_time() + MOST_SECONDS)
    search_seconds: float = PATTERN_SECONDS
    depth: int = 0
    following: set[tuple[int, int]] = field(default_factory=set)
    canonical: dict[int, frozenset[str]] = field(default_factory=dict)

    def spend(self, steps: int = 1) -> None:
        """Take steps, or raise TooExpensive."""
        # The clock is read every 64 steps or so. It is the thread's: waiting for a busy machine is not the schema's
        # doing.
        self.steps -= steps
        if self.steps < 0 or (self.steps % 64 < steps and time.thread_time() > self.until):
            raise TooExpensive(
                "it takes too many steps to compare with an answer; parts that refer to each other multiply, and so do "
                "anyOf, oneOf and not within each other: say each part once"
            )

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Go into a keyword. Raises RecursionError before Python does."""
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise RecursionError
            yield
        finally:
            self.depth -= 1

    def search(self, pattern: str, text: str) -> bool:
        """Search for a pattern, or raise TooExpensive."""
        began = time.monotonic()
        try:
            return patterns.is_in(pattern, text, self.search_seconds)
        except patterns.TooSlow as exc:
            raise TooExpensive(
                f"its pattern {pattern[:80]!r} takes too long to search for; write it without repetitions within "
                "repetitions, and with ^ and $"
            ) from exc
        finally:
            self.search_seconds -= time.monotonic() - began


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def bounded() -> Iterator[None]:
    """Give what is compared inside one budget. Raises TooExpensive."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def validator(schema: Mapping[str, Any], *, checks_formats: bool = False) -> Any:
    """Return the library's validator of a schema with our keywords, to be used inside of `bounded` only."""
    checker = Draft202012Validator.FORMAT_CHECKER if checks_formats else None
    return _Bounded(schema, registry=_NOWHERE, format_checker=checker)


def canonical(value: Any) -> str:
    """Write a value so that what JSON calls equal has one text: 1 is 1.0, true is no number, names have no order."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    _budget.get().spend()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unique_items(_: Any, wanted: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(value, list) and len({canonical(each) for each in value}) < len(value):
        yield ValidationError(f"{_cut(value)} has non-unique elements")


def _enum(_: Any, allowed: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    known = _budget.get().canonical
    if id(allowed) not in known:  # the schema outlives the comparison, so that no other list gets this id
        known[id(allowed)] = frozenset(map(canonical, allowed))
    if canonical(value) not in known[id(allowed)]:
        yield ValidationError(f"{_cut(value)} is not one of {_cut(allowed)}")


def _const(_: Any, wanted: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if canonical(value) != canonical(wanted):
        yield ValidationError(f"{_cut(wanted)} was expected")


def _pattern(_: Any, pattern: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _budget.get().search(pattern, value):
        yield ValidationError(f"{_cut(value)} does not match {pattern!r}")


def _pattern_properties(validator: Any, wanted: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for pattern, schema in wanted.items():
            for name in _matching(value, [pattern]):
                yield from validator.descend(value[name], schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known = set(schema.get("properties", {})) | _matching(value, schema.get("patternProperties", {}))
    extra = [name for name in value if name not in known]
    if isinstance(wanted, dict):
        for name in extra:
            yield from validator.descend(value[name], wanted, path=name)
    elif not wanted and extra:
        yield ValidationError(f"Additional properties are not allowed ({_listed(extra)})")


def _unevaluated_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known = _evaluated(validator, value, {**schema, "unevaluatedProperties": False}, _names_known)
    extra = [name for name in value if name not in known and not _fits(validator, value[name], wanted)]
    if extra:
        yield ValidationError(f"Unevaluated properties are not allowed ({_listed(extra)})")


def _unevaluated_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, list):
        return
    known = _evaluated(validator, value, {**schema, "unevaluatedItems": False}, _places_known)
    extra = [str(at) for at, each in enumerate(value) if at not in known and not _fits(validator, each, wanted)]
    if extra:
        yield ValidationError(f"Unevaluated items are not allowed (at {', '.join(extra[:ERROR_STEPS])})")


def _names_known(validator: Any, value: Any, schema: Any) -> set[Any]:
    """Name the properties that one schema's own keywords look at."""
    known: set[Any] = set(schema.get("properties", {})) & set(value)
    known |= _matching(value, schema.get("patternProperties", {}))
    for rest in (schema[word] for word in ("additionalProperties", "unevaluatedProperties") if word in schema):
        known |= {name for name in value if name not in known and _fits(validator, value[name], rest)}
    return known


def _places_known(validator: Any, value: Any, schema: Any) -> set[Any]:
    """Say which places of a list one schema's own keywords look at."""
    if "items" in schema:
        return set(range(len(value)))
    known = set(range(len(schema.get("prefixItems", ()))))
    for part in (schema[word] for word in ("contains", "unevaluatedItems") if word in schema):
        known |= {at for at, each in enumerate(value) if at not in known and _fits(validator, each, part)}
    return known


def _evaluated(validator: Any, value: Any, schema: Any, known_by: Callable[[Any, Any, Any], set[Any]]) -> set[Any]:
    """Say which parts of a value a schema, with all that it applies to the same value, has looked at."""
    if not isinstance(schema, dict):
        return set()
    _budget.get().spend(1 + len(value))
    known = known_by(validator, value, schema)
    for word in ("$ref", "$dynamicRef"):
        if word in schema:
            found = validator._resolver.lookup(schema[word])  # noqa: SLF001 - the library's own keywords do so
            there = validator.evolve(schema=found.contents, _resolver=found.resolver)
            known |= _evaluated(there, value, found.contents, known_by)
    for part in _applied(validator, value, schema):
        known |= _evaluated(validator, value, part, known_by)
    return known


def _applied(validator: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the parts of a schema that hold for the same value."""
    yield from (part for name, part in schema.get("dependentSchemas", {}).items() if name in value)
    for word in ("allOf", "oneOf", "anyOf"):
        yield from (part for part in schema.get(word, ()) if _fits(validator, value, part))
    if "if" in schema:
        holds = _fits(validator, value, schema["if"])
        yield from (schema[word] for word in (("if", "then") if holds else ("else",)) if word in schema)


def _fits(validator: Any, value: Any, schema: Any) -> bool:
    return next(validator.descend(value, schema), None) is None


def _format(validator: Any, name: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.format_checker is None or not isinstance(value, str):
        return
    if name == "regex":  # of the schema of schemas
        if wrong := patterns.flaw(value):
            yield ValidationError(f"{value[:80]!r} is no pattern: {wrong}")
        return
    try:
        validator.format_checker.check(value, name)
    except FormatError as error:
        yield ValidationError(error.message)


def _matching(names: Mapping[str, Any], wanted: Any) -> set[str]:
    """Pick the names in which one of these patterns is found."""
    budget, found = _budget.get(), set()
    for name in names:
        for pattern in wanted:
            budget.spend()
            if budget.search(pattern, name):
                found.add(name)
                break
    return found


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _listed(names: list[str]) -> str:
    return f"{', '.join(map(repr, names[:ERROR_STEPS]))} {'was' if len(names) == 1 else 'were'} unexpected"


def _counted(keyword: Keyword) -> Keyword:
    """Count a keyword, and cut what it says while it is young: many branches of an anyOf would keep it."""

    def evaluate(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        budget = _budget.get()
        budget.spend(1 + _size(value))
        with budget.deeper():
            for error in keyword(validator, wanted, value, schema) or ():
                budget.spend(ERROR_STEPS)
                error.message = error.message[:LONGEST_MESSAGE]
                yield error

    return evaluate


def _size(value: Any) -> int:
    """Say how many steps more a keyword costs on a large value: most go over its parts, or write it down."""
    if isinstance(value, dict | list):
        return len(value) // 10
    return len(value) // 1000 if isinstance(value, str) else 0


def _followed(keyword: Keyword) -> Keyword:
    """Refuse a reference that leads back to itself without going into the value."""

    def evaluate(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        # By identity: a schema may well refer to an equal part elsewhere, or to itself for a part of the value.
        following, place = _budget.get().following, (id(schema), id(value))
        if place in following:
            raise TooExpensive(f"its reference {str(wanted)[:80]!r} leads back to itself without an end")
        following.add(place)
        try:
            yield from keyword(validator, wanted, value, schema)
        finally:
            following.discard(place)

    return evaluate


def _keywords() -> dict[str, Keyword]:
    """Return all keywords, counted."""
    given: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)
    for word in ("$ref", "$dynamicRef"):
        given[word] = _followed(given[word])
    ours: dict[str, Keyword] = {
        "uniqueItems": _unique_items,
        "enum": _enum,
        "const": _const,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "unevaluatedProperties": _unevaluated_properties,
        "unevaluatedItems": _unevaluated_items,
        "format": _format,
    }
    return {word: _counted(keyword) for word, keyword in (given | ours).items()}


def _evolved(self: Any, **changes: Any) -> Any:
    """Stay with our keywords for a part of a schema: the library goes over to its own where one says `$schema`."""
    return _Bounded(**{name: getattr(self, kept) for name, kept in _FIELDS.items()} | changes)


_FIELDS = {
    "schema": "schema",
    "resolver": "_ref_resolver",
    "format_checker": "format_checker",
    "registry": "_registry",
    "_resolver": "_resolver",
}
"""Under which name a validator takes what it keeps."""
_Bounded: Any = extend(Draft202012Validator, _keywords())  # type: ignore[no-untyped-call]  # the library has no types
_Bounded.evolve = _evolved
