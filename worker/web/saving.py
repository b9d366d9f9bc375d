"""What files may be saved as, for whoever offers it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from worker import export
from worker.decisions import formats


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format that conversations, or a decision's record, can be saved in. People see its label."""

    name: str
    label: str
    ending: str

    @classmethod
    def all_of(cls, known: Iterable[export.Format | formats.Format]) -> list[Self]:
        """Name formats in their order."""
        return [cls(each.name, each.label, each.ending) for each in known]
