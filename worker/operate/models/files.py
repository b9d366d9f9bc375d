"""The files that a task needs in its deployment: schemas of answers, and decision questions. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from worker.domain.tasks import Activity
from worker.modelling import properties, questions

Read = Callable[[str, str], Any]

_KINDS: Final[Mapping[str, tuple[Callable[[str], bool], Read]]] = {
    "data.output.schema": (properties.is_inline, properties.parsed_schema),
    "data.questions": (questions.is_inline, questions.read),
}
"""Properties that may name a file: how to tell that one holds what would stand in it, and who reads that."""


def named(activity: Activity) -> Iterator[tuple[str, str]]:
    """Name the files that a task needs, each behind the property that does."""
    for kind, (is_inline, _) in _KINDS.items():
        name = activity.said(kind)
        if name and not is_inline(name):
            yield kind, name


def check(kind: str, text: str, place: str) -> None:
    """Read what stands in a file that the property `kind` names. Raises BadDefinition, which names the place.

    Not for the loop: a large schema takes seconds.
    """
    _, read = _KINDS[kind]
    read(text, place)
