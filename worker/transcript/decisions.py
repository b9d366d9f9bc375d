"""Records of decisions, in the transcript's database. They hang on no session: they outlive what was said for them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, exists, false, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.decisions.record import erased, revives
from worker.decisions.record import processes as processes_of
from worker.domain import foreign
from worker.domain.conversations import Limits, Page, Subject, micros
from worker.domain.decisions import Decision, DecisionKey, DecisionSeen
from worker.runtime.beside import beside
from worker.transcript import cursor
from worker.transcript.asks import own_clock, read_clock
from worker.transcript.conditions import before, of_tenants
from worker.transcript.database import Database
from worker.transcript.tables import changes, decisions, processes, revisions
from worker.transcript.words import clean, clean_all
from worker.transcript.writing import forget


class SqlDecisions:
    """Implements `ports.decisions`: book, reader and eraser, of one engine. `now` is the clock of who has the file."""

    def __init__(self, database: Database, *, engine: str, now: Callable[[], datetime] = own_clock) -> None:
        self._database = database
        self._engine = engine
        self._own_clock = now

    async def last(self, key: DecisionKey) -> Decision | None:
        """See `ports.decisions.DecisionBook.last`."""
        return await self._decision(decisions.c.id == key.id, None)

    async def keep(
        self,
        key: DecisionKey,
        record: Mapping[str, Any],
        row: Mapping[str, Any],
        *,
        definition_key: str,
        business_key: str | None,
    ) -> bool:
        """See `ports.decisions.DecisionBook.keep`."""
        values: dict[str, Any] = clean_all(
            {
                "id": key.id,
                "engine": key.engine,
                "tenant": key.tenant,
                "process_instance_id": key.instance,
                "name": key.name,
                "definition_key": definition_key,
                "business_key": business_key,
                "revision": record["revision"],
                "status": record["status"],
            }
        )
        return await self._database.write(partial(self._keep, values, record, row))

    async def _keep(
        self, values: dict[str, Any], record: Mapping[str, Any], row: Mapping[str, Any], connection: AsyncConnection
    ) -> bool:
        now, own = await read_clock(connection, self._own_clock), decisions.c.id == values["id"]
        insert = self._database.insert(decisions).on_conflict_do_nothing(index_elements=[decisions.c.id])
        await connection.execute(insert, values | {"began_at": now, "changed_at": now})
        # Held until the end: who is slower finds its row's number taken.
        await connection.execute(select(decisions.c.id).where(own).with_for_update())
        last = select(changes.c.number).where(changes.c.decision_id == values["id"]).order_by(changes.c.number.desc())
        number = (await connection.execute(last.limit(1))).scalar_one_or_none() or 0
        there = select(revisions.c.content_sha256).where(_revision(values["id"], record["revision"]))
        known = (await connection.execute(there)).scalar_one_or_none()
        if row["number"] != number + 1 or known not in {None, record["content_sha256"]}:
            return False
        if await self._is_erased(values["id"], record, connection):
            return False
        written = {"record": _dump(record)}
        if known is None:
            named = {"decision_id": values["id"], "revision": record["revision"]}
            content = {"content_sha256": record["content_sha256"]}
            await connection.execute(revisions.insert(), named | content | written)
        else:
            await connection.execute(update(revisions).where(_revision(values["id"], record["revision"])), written)
        said_in = {(each, _process(definition)) for each, definition in processes_of(record)} - {("", "")}
        said_in.add((values["process_instance_id"], values["definition_key"]))
        known_there = self._database.insert(processes).on_conflict_do_nothing()
        rows = [
            clean_all({"decision_id": values["id"], "process_instance_id": each, "definition_key": key})
            for each, key in sorted(said_in)
        ]
        await connection.execute(known_there, rows)
        told = {"decision_id": values["id"], "number": row["number"], "revision": row["revision"], "row": _dump(row)}
        await connection.execute(changes.insert(), told)
        changed = {name: values[name] for name in ("revision", "status")} | {"changed_at": now}
        await connection.execute(update(decisions).where(own), changed)
        return True

    async def _is_erased(self, decision: str, record: Mapping[str, Any], connection: AsyncConnection) -> bool:
        """Whether an order took texts out of the last revision that this record, read before, still has."""
        last = select(revisions.c.record).where(revisions.c.decision_id == decision)
        last = last.order_by(revisions.c.revision.desc()).limit(1)
        kept = (await connection.execute(last)).scalar_one_or_none()
        return kept is not None and await beside(_revives, record, kept)

    async def decision(self, id_: str, *, within: Limits, revision: int | None = None) -> Decision | None:
        """See `ports.decisions.DecisionReader.decision`."""
        own = (decisions.c.id == clean(id_)) & (decisions.c.engine == clean(self._engine))
        for each in _seen(within):
            own &= each
        return await self._decision(own, revision)

    async def _decision(self, own: ColumnElement[bool], revision: int | None) -> Decision | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(decisions).where(own))).mappings().one_or_none()
            if row is None:
                return None
            wanted = row["revision"] if revision is None else revision
            one = select(revisions.c.record).where(_revision(row["id"], wanted))
            record = (await connection.execute(one)).scalar_one_or_none()
            told = select(changes.c.row).where(changes.c.decision_id == row["id"], changes.c.revision <= wanted)
            rows = (await connection.execute(told.order_by(changes.c.number))).scalars().all()
        if record is None:
            return None
        return Decision(
            key=_key(row),
            definition_key=row["definition_key"],
            business_key=row["business_key"],
            record=await beside(foreign.read, record),
            rows=tuple(await beside(_read_all, rows)),
            began_at=row["began_at"],
            changed_at=row["changed_at"],
        )

    async def decisions(
        self, *, within: Limits, instance: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[DecisionSeen]:
        """See `ports.decisions.DecisionReader.decisions`."""
        wanted = select(decisions).where(decisions.c.engine == clean(self._engine), *_seen(within))
        if instance is not None:
            wanted = wanted.where(decisions.c.process_instance_id == clean(instance))
        if after is not None:
            at, name = cursor.load(after)
            wanted = wanted.where(before(decisions.c.changed_at, decisions.c.id, cursor.time_of(at), name))
        wanted = wanted.order_by(decisions.c.changed_at.desc(), decisions.c.id.desc()).limit(limit + 1)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
        return cursor.page(rows, limit, _listed, lambda row: (micros(row["changed_at"]), row["id"]))

    async def count(self, subjects: Sequence[Subject]) -> int:
        """See `ports.decisions.DecisionEraser.count`."""
        found = 0
        async with self._database.reading() as connection:
            for subject in subjects:
                for decision, instance in await _theirs(subject, connection):
                    there = select(revisions.c.record).where(revisions.c.decision_id == decision)
                    for record in (await connection.execute(there)).scalars().all():
                        _, count = await beside(_erased, record, instance)
                        found += count
        return found

    async def remove(self, subjects: Sequence[Subject]) -> int:
        """See `ports.decisions.DecisionEraser.remove`."""
        gone = sum([await self._erase(subject) for subject in subjects])
        if gone:
            await forget(self._database)
        return gone

    async def _erase(self, subject: Subject) -> int:
        async with self._database.reading() as connection:
            theirs = await _theirs(subject, connection)
        return sum([await self._database.write(partial(_erase, decision, instance)) for decision, instance in theirs])


async def _erase(decision: str, instance: str | None, connection: AsyncConnection) -> int:
    # Before anything else: what keeps a revision meanwhile has to see that its texts are gone.
    await connection.execute(select(decisions.c.id).where(decisions.c.id == decision).with_for_update())
    gone = 0
    there = select(revisions).where(revisions.c.decision_id == decision)
    for row in (await connection.execute(there)).mappings().all():
        left, count = await beside(_erased, row["record"], instance)
        if count:
            gone += count
            await connection.execute(update(revisions).where(_revision(decision, row["revision"])), {"record": left})
    return gone


def _erased(record: str, instance: str | None) -> tuple[str, int]:
    left, count = erased(foreign.read(record), instance)
    return _dump(left), count


def _revives(record: Mapping[str, Any], kept: str) -> bool:
    return revives(record, foreign.read(kept))


def _read_all(rows: Sequence[str]) -> list[Any]:
    return list(map(foreign.read, rows))


def _process(definition: str) -> str:
    """Name the process of a definition's id; a long id does not tell it."""
    key, colon, _ = definition.partition(":")
    return key if colon else definition


async def _theirs(subject: Subject, connection: AsyncConnection) -> list[tuple[str, str | None]]:
    """Find the records that end with a subject, and, with its instance, those that something was said for there."""
    own = (await connection.execute(select(decisions.c.id).where(*_of(subject)))).scalars().all()
    found: list[tuple[str, str | None]] = [(each, None) for each in own]
    if subject.instance is not None:
        of_engine = (decisions.c.engine == clean(subject.engine), *_seen(Limits(subject.tenants)))
        there = select(decisions.c.id).join(processes, processes.c.decision_id == decisions.c.id)
        there = there.where(*of_engine, processes.c.process_instance_id == clean(subject.instance)).distinct()
        others = set((await connection.execute(there)).scalars()) - set(own)
        found += [(each, subject.instance) for each in sorted(others)]
    return found


def _of(subject: Subject) -> Iterator[ColumnElement[bool]]:
    """Conditions on its records. What is a person's, beside all processes, is no decision's."""
    yield decisions.c.engine == clean(subject.engine)
    for column, value in (
        (decisions.c.process_instance_id, subject.instance),
        (decisions.c.business_key, subject.business_key),
    ):
        if value is not None:
            yield column == clean(value)
    if subject.person is not None:
        yield false()
    yield from _seen(Limits(subject.tenants))


def _seen(limits: Limits) -> Iterator[ColumnElement[bool]]:
    """Conditions that keep a reader within the limits. Whether an instance is over is not known here: both must do."""
    if limits.tenants is not None:
        yield of_tenants(decisions.c.tenant, limits.tenants)
    if limits.instances is not None:
        yield decisions.c.process_instance_id.in_(sorted(map(clean, limits.instances)))
    if limits.definitions is not None:
        always = sorted(limits.definitions.running & limits.definitions.ended)
        mine = processes.c.decision_id == decisions.c.id
        hidden = mine & (processes.c.definition_key != "") & processes.c.definition_key.not_in(always)
        yield decisions.c.definition_key.in_(always)
        yield ~exists().where(hidden)


def _revision(decision: str, revision: int) -> ColumnElement[bool]:
    return (revisions.c.decision_id == decision) & (revisions.c.revision == revision)


def _listed(row: RowMapping) -> DecisionSeen:
    same = ("definition_key", "business_key", "revision", "status", "began_at", "changed_at")
    return DecisionSeen(_key(row), **{name: row[name] for name in same})


def _key(row: RowMapping) -> DecisionKey:
    return DecisionKey(row["engine"], row["process_instance_id"], row["name"], row["tenant"])


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value)  # in ASCII: neither database refuses any of it
