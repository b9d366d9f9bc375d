"""What processes share that call each other. Pure."""

from collections.abc import Collection, Sequence

from worker.domain.tasks import Activity, Definition, has_expression


def caught_outside(key: str, known: Collection[tuple[str, Definition]]) -> frozenset[str]:
    """Return the codes of BPMN errors that processes catch which call this one, at whatever distance.

    `known` are the definitions that there are, each behind the key of its process.
    """
    calls = [(called, codes, caller) for caller, each in known for called, codes in each.calls.items()]
    caught: frozenset[str] = frozenset()
    seen, waiting = {key}, [key]
    while waiting:
        process = waiting.pop()
        for called, codes, caller in calls:
            if called == process or has_expression(called):  # an expression may call any
                caught |= codes
                # Processes may call each other in a circle.
                waiting += {caller} - seen
                seen.add(caller)
    return caught


def family(record: Activity, own: Definition, known: Sequence[Definition]) -> Sequence[Definition]:
    """Return the definitions whose answers a record may gather: its own, and any where processes call others."""
    alone = not own.calls and record.said("record.scope") != "root"
    return [own] if alone else known
