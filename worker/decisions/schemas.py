"""The published form of a decision's record, and of each of its parts. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from worker.domain import foreign
from worker.errors import BadRecord

FORMAT: Final = "decision-record/1"
INPUTS: Final = ("frame", "objectives", "alternatives", "weights", "scores")
PARTS: Final = (*INPUTS, "recommendation", "dissent", "pre_mortem")
"""What a record is put together from. Of scores there is one for each judge, of all else one."""

WHAT_IFS: Final = "what_ifs"
"""Weights that persons tried out and kept, beside the parts: no task says them, and nothing hangs on them."""
MOST_SETS: Final = 50
"""Of weights, with those that were tried out."""

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "open": (),
    "computed": INPUTS,
    "proposed": (*INPUTS, "recommendation"),
    "closed": (*INPUTS, "recommendation"),
}
"""The parts that a record of a status needs, by the status that it is to have."""

MOST_VALUES: Final = 100_000
"""In one part, objects and lists counted; a large panel has a tenth of it. A record may have five times as many."""
LARGEST: Final = 1e15
"""The largest number of a part: beyond it, and in its squares, floats are not exact any more."""
MISTAKES_TOLD: Final = 10
"""Mistakes that are told at once; the rest shows itself when these are corrected."""
_LONGEST_MISTAKE: Final = 300

SCHEMA: Final[dict[str, Any]] = foreign.read(Path(__file__).with_name("record.schema.json").read_bytes())
"""The JSON Schema of a record as it is kept and exported."""


def part(name: str) -> dict[str, Any]:
    """Make the JSON Schema of one part, complete in itself, as a task can ask an assistant for it."""
    known: dict[str, Any] = SCHEMA["$defs"]
    wanted = {**known, "text": known["words"]}  # only code seals texts
    needed = dict[str, Any]()
    waiting = list(_references(wanted[name]))
    while waiting:
        each = waiting.pop()
        if each not in needed:
            needed[each] = wanted[each]
            waiting.extend(_references(wanted[each]))
    made = {"$schema": SCHEMA["$schema"], "title": name, **wanted[name], "$defs": dict(sorted(needed.items()))}
    return deepcopy(made)


def check_part(name: str, value: Any) -> None:
    """Compare the value of one part with its form. Raises BadRecord, which names each place that does not fit."""
    if name not in _PARTS:
        raise BadRecord(f"a record has no part {name!r}; its parts are {', '.join(PARTS)}")
    _check(f"the part {name}", _PARTS[name], value, MOST_VALUES)


def check(record: Any) -> None:
    """Compare a record, as it is kept, with its form. Raises BadRecord."""
    _check("the record", _RECORD, record, 5 * MOST_VALUES)


def check_rows(rows: Sequence[Any]) -> None:
    """Compare a record's rows with their form, one by one. Raises BadRecord."""
    for number, row in enumerate(rows, start=1):
        _check(f"row {number}", _ROW, row, MOST_VALUES)


def lacking(content: Mapping[str, Any], status: str) -> list[str]:
    """Name the parts that a record lacks to have a status."""
    return [name for name in REQUIRED[status] if name not in content]


def _check(what: str, validator: Draft202012Validator, value: Any, most: int) -> None:
    try:
        if foreign.extent(value, most) > most:
            raise BadRecord(f"{what} has more than {most} values")
    except foreign.TooDeep as exc:
        raise BadRecord(f"{what} cannot be read: {exc}") from exc
    wrong = [_said(error) for error in islice(validator.iter_errors(value), MISTAKES_TOLD)]
    wrong = wrong or [f"at {path}: it is no number to compute with" for path in _too_large(value)][:MISTAKES_TOLD]
    if wrong:
        raise BadRecord(f"{what} is not in its form: {'; '.join(wrong)}")


def _said(error: ValidationError) -> str:
    said = error.message
    # Such a message quotes all of the list before it says what is wrong with it.
    if error.validator == "maxItems" and isinstance(error.instance, list):
        said = f"{len(error.instance)} items, and {error.validator_value} at most are taken"
    return f"at {error.json_path}: {said}"[:_LONGEST_MISTAKE]


def _too_large(value: Any, path: str = "$") -> Iterator[str]:
    """Find numbers that nothing can be computed with, NaN among them, which no JSON Schema refuses."""
    if isinstance(value, int | float):
        if not abs(value) <= LARGEST:
            yield path
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _too_large(each, f"{path}.{name}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _too_large(each, f"{path}[{place}]")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, each in schema.items():
            if name == "$ref":
                yield _referred(each)
            else:
                yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _referred(reference: str) -> str:
    return reference.removeprefix("#/$defs/")


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(_prepared(schema, schema["$defs"]))


def _prepared(schema: Any, known: Mapping[str, Any], name: str = "") -> Any:
    """Let patterns end where JSON Schema says that they do, and put definitions where they are referred to.

    For Python's `$` a line may still end behind it. References are followed anew for each value otherwise, which takes
    half of the time; none of them leads in a circle.
    """
    if isinstance(schema, Mapping):
        inlined = known[_referred(schema["$ref"])] | schema if "$ref" in schema else schema
        return {each: _prepared(inner, known, each) for each, inner in inlined.items() if each not in {"$ref", "$defs"}}
    if isinstance(schema, list):
        return [_prepared(each, known) for each in schema]
    return f"{schema.removesuffix('$')}\\Z" if name == "pattern" else schema


_RECORD: Final = _validator(SCHEMA)
_ROW: Final = _validator({"$schema": SCHEMA["$schema"], "$ref": "#/$defs/row", "$defs": SCHEMA["$defs"]})
_PARTS: Final = {name: _validator(part(name)) for name in (*PARTS, WHAT_IFS)}
