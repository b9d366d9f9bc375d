"""What processes share that call each other. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from worker.domain.tasks import Activity, Definition, has_expression


class Calls:
    """Which processes call which. `known` are the definitions that there are, each behind the key of its process."""

    def __init__(self, known: Iterable[tuple[str, Definition]]) -> None:
        self._of = defaultdict[str, list[tuple[str, frozenset[str]]]](list)
        """The callers of each key, with the codes of errors that are caught around the call."""
        for caller, definition in known:
            for called, codes in definition.calls.items():
                self._of["" if has_expression(called) else called].append((caller, codes))

    def caught_outside(self, key: str) -> frozenset[str]:
        """Return the codes of BPMN errors that processes catch which call this one, at whatever distance."""
        caught: frozenset[str] = frozenset()
        # An expression may call any. Processes may call each other in a circle.
        seen, waiting = {key, ""}, [key, ""]
        while waiting:
            for caller, codes in self._of.get(waiting.pop(), ()):
                caught |= codes
                if caller not in seen:
                    seen.add(caller)
                    waiting.append(caller)
        return caught


def family(record: Activity, own: Definition, known: Sequence[Definition]) -> Sequence[Definition]:
    """Return the definitions whose answers a record may gather: its own, and any where processes call others."""
    alone = not own.calls and record.said("record.scope") != "root"
    return [own] if alone else known
