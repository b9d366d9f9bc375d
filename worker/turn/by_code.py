"""What a task that asks no model tells the engine."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.domain.tasks import Variable
from worker.errors import BadDefinition
from worker.modelling import result
from worker.turn import verdict


def completed(
    told: Mapping[str, Any],
    form: result.Form,
    *,
    spin: bool,
    lacks: str,
    beside: Callable[[bool], Mapping[str, Variable]] = lambda _: {},
) -> verdict.Complete:
    """Complete with a result and its fields, and with what stands `beside` it, which hears whether texts are files.

    Raises BadDefinition for a field that is not among what is `told`; `lacks` says in words what that is not.
    """

    def complete(*, wide: bool) -> verdict.Complete:
        return verdict.Complete({**beside(wide), **result.of_code(told, form, spin=spin, wide=wide)})

    try:
        return replace(complete(wide=False), wider=lambda: complete(wide=True))
    except LookupError:
        raise BadDefinition(f"property data.output.fields names {lacks}; that is {', '.join(told)}") from None
