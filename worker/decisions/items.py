"""What was said for a record, and which of it counts. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.errors import BadRecord

PERSON: Final = "person"
_LONGEST: Final = 40
"""Characters of an id, as the record's schema has it."""


@dataclass(frozen=True, slots=True)
class Item:
    """The value of one part, or what one `judge` scores, as somebody said it and the engine accepted it.

    `source` says where it comes from, in plain JSON: `of`, which is turn, document, person or variable, `at`, a time
    with its zone as of ISO 8601, and what else is known of it. Keys that may name a person are hashing.PERSONAL.
    """

    part: str
    value: Any
    source: Mapping[str, Any]
    judge: str = ""

    @property
    def is_of_person(self) -> bool:
        """Whether a person said it."""
        return bool(self.source["of"] == PERSON)


@dataclass(frozen=True, slots=True)
class Counted:
    """The items that count, one for each part and judge; those that newer ones have replaced; and those of others that
    came after a person's, which is theirs to take over.
    """

    current: Sequence[Item]
    earlier: Sequence[Item]
    proposed: Sequence[Item]


def count(items: Iterable[Item]) -> Counted:
    """Let the newest of each part and judge count, and of a person's nobody but a person's.

    What is said twice in the same words from the same source counts once. At the same time the later given is newer.
    Raises BadRecord for a source without a time.
    """
    current, earlier, proposed = dict[tuple[str, str], Item](), list[Item](), list[Item]()
    seen = set[str]()
    for item in sorted(items, key=_time):
        same = json.dumps([item.part, item.judge, item.value, dict(item.source)], sort_keys=True)
        if same in seen:
            continue
        seen.add(same)
        key = (item.part, item.judge)
        before = current.get(key)
        if before is not None and before.is_of_person and not item.is_of_person:
            proposed.append(item)
            continue
        if before is not None:
            earlier.append(before)
        if item.is_of_person:  # who decides now has seen, or passed over, what was proposed before
            earlier += [each for each in proposed if (each.part, each.judge) == key]
            proposed = [each for each in proposed if (each.part, each.judge) != key]
        current[key] = item
    return Counted(list(current.values()), earlier, proposed)


def _time(item: Item) -> datetime:
    wrong = f"the source of {item.part} has no time with a zone"
    try:
        at = datetime.fromisoformat(item.source["at"])
    except (KeyError, TypeError, ValueError) as exc:
        raise BadRecord(wrong) from exc
    if at.tzinfo is None:
        raise BadRecord(wrong)
    return at


def judge_ids(names: Iterable[str]) -> dict[str, str]:
    """Make ids of a record for judges' names, which may be wider; no two get the same. The same names get the same."""
    ids = dict[str, str]()
    for name in sorted(set(names)):
        plain = re.sub("[^A-Za-z0-9]+", "_", name).strip("_")
        # Four are kept for what tells two apart that come to the same id.
        plain = (plain if plain[:1].isalpha() else f"j_{plain}")[: _LONGEST - 4].rstrip("_")
        taken, number, found = set(ids.values()), 1, plain
        while found in taken:
            number += 1
            found = f"{plain}_{number}"
        ids[name] = found
    return ids
