"""Where persons keep weights that they tried out on a decision: in its record, and nowhere in its process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from worker.decisions import chain, record, what_ifs
from worker.decisions.keys import SigningKey
from worker.decisions.schemas import WHAT_IFS
from worker.decisions.what_ifs import WhatIf
from worker.domain.decisions import Decision
from worker.domain.people import Person
from worker.errors import TranscriptDown
from worker.ports.decisions import DecisionBook
from worker.runtime.beside import for_reader

TRIES: Final = 5
"""To keep a row, while others keep theirs."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Weights that are kept, by their id, in the record as it is now. `is_new`: they were not there before."""

    id: str
    decision: Decision
    is_new: bool


class Trying:
    """Keeps them, with rows that are signed if there is a `key`. `now` is this worker's clock."""

    def __init__(
        self,
        book: DecisionBook,
        key: SigningKey | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._book = book
        self._key = key
        self._now = now

    async def keep(self, seen: Decision, person: Person, said: WhatIf) -> Tried:
        """Keep weights in the last revision of a record, whichever the person has seen.

        The same weights under the same name are kept once. Raises what `what_ifs.keep` raises, Taken where others write
        to the record again and again, and TranscriptDown.
        """
        for _ in range(TRIES):
            last = await self._book.last(seen.key)
            if last is None:
                raise TranscriptDown("the record was there a moment ago")
            now = self._now()
            made, name = await for_reader(what_ifs.keep, last.record, said, _source(person, now))
            if made is last.record:
                return Tried(name, last, is_new=False)
            facts = await for_reader(record.facts, made)
            facts |= {"what_if": name, "user": made["sources"][WHAT_IFS][name]["user"]}
            row = chain.row("change", last.rows[-1], made, now, facts, self._key)
            key, business = last.definition_key, last.business_key
            if await self._book.keep(last.key, made, row, definition_key=key, business_key=business):
                return Tried(name, replace(last, record=made, rows=(*last.rows, row), changed_at=now), is_new=True)
        raise what_ifs.Taken("others write to this record again and again: try once more")


def _source(person: Person, now: datetime) -> dict[str, Any]:
    source = {"of": "person", "at": now.astimezone(UTC).isoformat(), "user": person.subject, "issuer": person.issuer}
    return source if person.name == person.subject else source | {"name": person.name}
