"""The files that a task needs in its deployment: schemas of answers, decision questions, its assistant's spec. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from worker.domain import deployed
from worker.domain.tasks import Activity
from worker.modelling import properties, questions

Read = Callable[[str, str], Any]

SPEC: Final = "service.name"
_KINDS: Final[Mapping[str, tuple[Callable[[str], bool], Read]]] = {
    "data.output.schema": (properties.is_inline, properties.parsed_schema),
    "data.questions": (questions.is_inline, questions.read),
}
"""Properties that may name a file: how to tell that one holds what would stand in it, and who reads that."""


def named(activity: Activity) -> Iterator[tuple[str, str]]:
    """Name the files that a task needs, each behind the property that does; not that of its assistant's spec."""
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


def spec(activity: Activity) -> str | None:
    """Name the file with the spec of a task's assistant; None where that does not come with the process."""
    name = deployed.named(activity.said(SPEC), activity.process)
    return None if name is None or "assistant" in activity.parameters else deployed.file_of(name)
