"""Deaths on purpose: a worker that kills itself at a named place, for tests of what such a death leaves behind.

WORKER_FAIL_POINT=<before|after>:<port>.<method>[:<nth>], such as `after:provider.ask:2`, ends the process by SIGKILL
right before its nth call (the first if not said) of this port method starts, or right after it ended, however it ended.
Where the variable is not set nothing is wrapped and nothing is paid.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from inspect import iscoroutinefunction
from typing import Any, TypeVar

VARIABLE = "WORKER_FAIL_POINT"

P = TypeVar("P")


class Watched:
    """A port that tells `reached` of every call: `before:<name>.<method>`, then `after:<name>.<method>`."""

    def __init__(self, name: str, port: object, reached: Callable[[str], None]) -> None:
        self._name = name
        self._port = port
        self._reached = reached

    def __getattr__(self, method: str) -> Any:
        """Wrap the port's calls; what is no call is handed out as it is."""
        found = getattr(self._port, method)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._reached(f"before:{self._name}.{method}")
            try:
                return await found(*args, **kwargs)
            finally:
                self._reached(f"after:{self._name}.{method}")

        return call


def watched(ports: P, reached: Callable[[str], None]) -> P:
    """Watch every port of a dataclass of ports, and of those that it names."""
    named = {each.name: getattr(ports, each.name) for each in fields(ports)}  # type: ignore[arg-type]  # Adapters is a dataclass
    wrapped: dict[str, object] = {
        name: {each: watched(inner, reached) for each, inner in port.items()}
        if isinstance(port, Mapping)
        else Watched(name, port, reached)
        for name, port in named.items()
        if port is not None
    }
    return replace(ports, **wrapped)  # type: ignore[type-var]  # as above


def _named(ports: object, name: str) -> Iterator[object]:
    """Find the ports of this name, wherever they are."""
    if hasattr(ports, name):
        yield getattr(ports, name)
    for each in fields(ports):  # type: ignore[arg-type]  # Adapters is a dataclass
        inner = getattr(ports, each.name)
        if isinstance(inner, Mapping):
            yield from (getattr(each, name, None) for each in inner.values())


def armed(ports: P, environment: Mapping[str, str] = os.environ) -> P:
    """Have the process die at its fail point; the ports as they are if it has none. Raises ValueError for a bad one."""
    point = environment.get(VARIABLE)
    if not point:
        return ports
    parts = re.fullmatch(r"((?:before|after):(\w+)\.(\w+))(?::(\d+))?", point)
    if parts is None or not any(hasattr(port, parts[3]) for port in _named(ports, parts[2])):
        raise ValueError(f"{VARIABLE}={point}: there is no such place")
    left = int(parts[4] or 1)

    def reached(place: str) -> None:
        nonlocal left
        left -= place == parts[1]
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return watched(ports, reached)
