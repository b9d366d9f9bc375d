"""A dashboard as Grafana's own types read it: run by the Python of their environment; prints what they do not know.

Written by `grafana_foundation_sdk`, whose classes Grafana's makers generate from the schema of each version. They read
leniently, so what came out is held against what went in, and against the types that they name.
"""

import json
import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def problems(text: str) -> Iterator[str]:
    """Say what is not as Grafana has it, each by its place."""
    register_default_plugins()
    told = json.loads(text)
    dashboard = Dashboard.from_json(told)
    yield from _lost(told, json.loads(JSONEncoder().encode(dashboard)), "dashboard")
    yield from _untyped(dashboard, "dashboard")


def _lost(told: Any, kept: Any, at: str) -> Iterator[str]:
    """What is not there any more once it was read."""
    if isinstance(told, dict) and isinstance(kept, dict):
        for name, value in told.items():
            if name not in kept:
                yield f"{at}.{name} is not known"
            else:
                yield from _lost(value, kept[name], f"{at}.{name}")
    elif isinstance(told, list) and isinstance(kept, list) and len(told) == len(kept):
        for number, (one, other) in enumerate(zip(told, kept, strict=True)):
            yield from _lost(one, other, f"{at}[{number}]")
    elif told != kept:
        yield f"{at} is {told!r}, and read as {kept!r}"


def _untyped(thing: Any, at: str) -> Iterator[str]:
    """What has another type than its class names."""
    for name, hint in typing.get_type_hints(type(thing)).items():
        yield from _unlike(getattr(thing, name, None), hint, f"{at}.{name}")


def _unlike(value: Any, hint: Any, at: str) -> Iterator[str]:
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        found = [list(_unlike(value, each, at)) for each in inside]
        # Of several possible forms the one that comes nearest says what is wrong.
        yield from min(found, key=len)
    elif hint is Any or hint is object:
        if hasattr(value, "to_json"):
            yield from _untyped(value, at)
    elif kind is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _unlike(each, inside[0], f"{at}[{number}]")
    elif kind is dict and isinstance(value, dict):
        for name, each in value.items():
            yield from _unlike(each, inside[1], f"{at}.{name}")
    elif not _fits(value, hint, kind, inside):
        yield f"{at} is {value!r}, and no {getattr(hint, '__name__', hint)}"
    elif hasattr(value, "to_json"):
        yield from _untyped(value, at)


def _fits(value: Any, hint: Any, kind: Any, inside: tuple[Any, ...]) -> bool:
    if kind is typing.Literal:
        return value in inside
    if kind is not None:
        return False
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in {each.value for each in hint}
    return isinstance(value, (int, float) if hint is float else hint)


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]).read_text("utf-8")))
    sys.stdout.write("".join(f"{each}\n" for each in found))
    sys.exit(bool(found))
