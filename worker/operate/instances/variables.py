"""Variables to start with, from a file of JSON."""

import json
from pathlib import Path
from typing import Any, Final

from worker.domain import foreign
from worker.domain.tasks import Variable
from worker.errors import Permanent

_TYPED: Final = frozenset({"value", "type", "valueInfo"})
_TYPES: Final = {type(None): "Null", bool: "Boolean", str: "String", int: "Integer", float: "Double"}
_INTEGER: Final = 2**31
_LONG: Final = 2**63


def read(path: Path) -> dict[str, Variable]:
    """Read an object of variables: plain values, or each with its type as engines write them.

    An object or a list is a Json variable. Raises Permanent, which names the variable.
    """
    try:
        said = foreign.read(path.read_text("utf-8-sig"))
    except OSError as exc:
        raise Permanent(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise Permanent(f"{path} holds no JSON: {exc}") from exc
    if not isinstance(said, dict):
        raise Permanent(f"{path} has to hold a JSON object, whose names are those of the variables")
    return {name: _variable(name, value) for name, value in said.items()}


def _variable(name: str, value: Any) -> Variable:
    if isinstance(value, dict) and {"value", "type"} <= value.keys() <= _TYPED:
        return _typed(name, value)
    if isinstance(value, dict | list):
        return Variable(json.dumps(value, ensure_ascii=False), "Json")
    if isinstance(value, int) and not -_LONG <= value < _LONG:
        raise Permanent(f"the variable {name!r} is a number that no type of the engine holds: write it as text")
    is_long = isinstance(value, int) and not -_INTEGER <= value < _INTEGER
    return Variable(value, "Long" if is_long else _TYPES[type(value)])


def _typed(name: str, said: dict[str, Any]) -> Variable:
    type_, info = said["type"], said.get("valueInfo") or {}
    if not isinstance(type_, str) or not isinstance(info, dict):
        raise Permanent(f"the variable {name!r}: its type has to be a text, and valueInfo an object")
    value = said["value"]
    if type_.lower() == "json" and not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return Variable(value, type_, info)
