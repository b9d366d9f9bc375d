"""Records of decisions, in the transcript's database. They hang on no session: they outlive what was said for them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, exists, false, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.decisions.record import cited, erased, revives
from worker.decisions.record import processes as processes_of
from worker.domain import foreign
from worker.domain.conversations import Limits, Page, Subject, micros
from worker.domain.decisions import Decision, DecisionKey, DecisionSeen, Held, OldDecision, Removed
from worker.runtime.beside import beside
from worker.transcript import cursor
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.conditions import before, of_tenants
from worker.transcript.database import Database
from worker.transcript.holds import ON_HOLD, hold_off, settle
from worker.transcript.tables import changes, decisions, held_messages, processes, revisions
from worker.transcript.words import clean, clean_all
from worker.transcript.writing import forget, take_cited

_LONGEST_ID = 32
"""Characters of a message's id: what is longer names none."""


class SqlDecisions:
    """Implements `ports.decisions`: book, reader, holds and eraser, of one engine.

    `now` is the clock of who has the file.
    """

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
        number = await _last_number(values["id"], connection)
        there = select(revisions.c.content_sha256).where(_revision(values["id"], record["revision"]))
        known = (await connection.execute(there)).scalar_one_or_none()
        if row["number"] != number + 1 or known not in {None, record["content_sha256"]}:
            return False
        if await self._is_erased(values["id"], record, connection):
            return False
        if (await connection.execute(select(decisions.c.held_at).where(own))).scalar_one() is not None:
            await self._cite(values["id"], cited(record), connection)
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
        await _tell(values["id"], row, connection)
        # A task of its instance has written it: whoever noted an end has not seen that it runs.
        changed = {name: values[name] for name in ("revision", "status")} | {"changed_at": now, "ended_at": None}
        await connection.execute(update(decisions).where(own), changed)
        return True

    async def _is_erased(self, decision: str, record: Mapping[str, Any], connection: AsyncConnection) -> bool:
        """Whether an order took texts out of the last revision that this record, read before, still has."""
        last = select(revisions.c.record).where(revisions.c.decision_id == decision)
        last = last.order_by(revisions.c.revision.desc()).limit(1)
        kept = (await connection.execute(last)).scalar_one_or_none()
        return kept is not None and await beside(_revives, record, kept)

    async def hold(self, id_: str, row: Mapping[str, Any], held: Held | None) -> bool:
        """See `ports.decisions.DecisionHolds.hold`."""
        return await self._database.write(partial(self._hold, clean(id_), row, held))

    async def _hold(self, id_: str, row: Mapping[str, Any], held: Held | None, connection: AsyncConnection) -> bool:
        await hold_off(connection, self._database)
        own = self._own & (decisions.c.id == id_)
        there = (await connection.execute(select(decisions.c.held_at).where(own).with_for_update())).first()
        if there is None or row["number"] != await _last_number(id_, connection) + 1:
            return False
        await _tell(id_, row, connection)
        said = (held.since, clean(held.by), clean(held.why)) if held else (None, None, None)
        state = dict(zip(("held_at", "held_by", "held_why"), said, strict=True))
        await connection.execute(update(decisions).where(own), state)
        if held is None:
            await connection.execute(delete(held_messages).where(held_messages.c.decision_id == id_))
        else:
            await self._cite(id_, await _cited_by(id_, connection), connection)
        return True

    async def _cite(self, id_: str, names: Iterable[str], connection: AsyncConnection) -> None:
        """Keep these messages as long as the record is on hold, whether they are there or not."""
        rows = [{"decision_id": id_, "message_id": clean(each)} for each in sorted(names) if len(each) <= _LONGEST_ID]
        if rows:
            await connection.execute(self._database.insert(held_messages).on_conflict_do_nothing(), rows)

    async def decision(self, id_: str, *, within: Limits, revision: int | None = None) -> Decision | None:
        """See `ports.decisions.DecisionReader.decision`."""
        own = (decisions.c.id == clean(id_)) & (decisions.c.engine == clean(self._engine))
        for each in _seen(within):
            own &= each
        return await self._decision(own, revision)

    async def _decision(self, own: ColumnElement[bool], revision: int | None) -> Decision | None:
        async with self._database.reading() as connection:
            if not self._database.is_sqlite:  # which reads all of it as of one moment anyhow
                await connection.execution_options(isolation_level="REPEATABLE READ")
            row = (await connection.execute(select(decisions).where(own))).mappings().one_or_none()
            if row is None:
                return None
            wanted = row["revision"] if revision is None else revision
            one = select(revisions.c.record).where(_revision(row["id"], wanted))
            record = (await connection.execute(one)).scalar_one_or_none()
            told = select(changes.c.row, changes.c.signed).where(
                changes.c.decision_id == row["id"], changes.c.revision <= wanted
            )
            rows = [tuple(each) for each in await connection.execute(told.order_by(changes.c.number))]
        if record is None:
            return None
        return Decision(
            key=_key(row),
            definition_key=row["definition_key"],
            business_key=row["business_key"],
            record=await beside(_stored, record),
            rows=tuple(await beside(_read_all, rows)),
            began_at=row["began_at"],
            changed_at=row["changed_at"],
            held=_held(row),
            is_last=wanted == row["revision"],
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

    async def remove(self, subjects: Sequence[Subject]) -> Removed:
        """See `ports.decisions.DecisionEraser.remove`."""
        gone, held = 0, dict[str, None]()
        for subject in subjects:
            async with self._database.reading() as connection:
                theirs = await _theirs(subject, connection)
            for decision, instance in theirs:
                count = await self._database.write(partial(self._erase, subject, decision, instance))
                gone += count or 0
                held |= {decision: None} if count is None else {}
        if gone:
            await forget(self._database)
        return Removed(gone, tuple(held))

    async def going_on(self) -> Sequence[str]:
        """See `ports.decisions.DecisionEraser.going_on`."""
        wanted = select(decisions.c.process_instance_id).where(self._own, decisions.c.ended_at.is_(None)).distinct()
        async with self._database.reading() as connection:
            return (await connection.execute(wanted)).scalars().all()

    async def end(self, ended: Mapping[str, datetime]) -> None:
        """See `ports.decisions.DecisionEraser.end`."""
        if ended:
            await self._database.write(partial(self._end, ended))

    async def _end(self, ended: Mapping[str, datetime], connection: AsyncConnection) -> None:
        for instance, at in sorted(ended.items()):
            theirs = self._own & (decisions.c.process_instance_id == clean(instance)) & decisions.c.ended_at.is_(None)
            await connection.execute(update(decisions).where(theirs), {"ended_at": at})

    async def old(self, until: datetime) -> Sequence[OldDecision]:
        """See `ports.decisions.DecisionEraser.old`."""
        wanted = select(decisions.c.id, decisions.c.process_instance_id, decisions.c.ended_at)
        async with self._database.reading() as connection:
            found = await connection.execute(wanted.where(self._own, _is_old(until)).order_by(decisions.c.id))
            return [OldDecision(*row) for row in found]

    async def drop(self, ids: Sequence[str], until: datetime) -> list[str]:
        """See `ports.decisions.DecisionEraser.drop`."""

        async def work(connection: AsyncConnection) -> list[str]:
            await settle(connection, self._database)
            theirs = decisions.c.id.in_(ids) & _is_old(until)
            gone = await connection.execute(delete(decisions).where(theirs).returning(decisions.c.id))
            return sorted(gone.scalars())

        gone = await self._database.write(work)
        if gone:
            await forget(self._database)
        return gone

    @property
    def _own(self) -> ColumnElement[bool]:
        return decisions.c.engine == clean(self._engine)

    async def _erase(
        self, subject: Subject, decision: str, instance: str | None, connection: AsyncConnection
    ) -> int | None:
        """Take texts of a record and the subject's messages that it cites; None where it is on hold."""
        await settle(connection, self._database)
        # Locked before anything else: what keeps a revision meanwhile has to see that its texts are gone.
        own = select(decisions.c.held_at).where(decisions.c.id == decision).with_for_update()
        if (await connection.execute(own)).scalar_one_or_none() is not None:
            return None
        # With the texts, so that a hold that comes now finds both or neither.
        taken = await take_cited(subject, await _cited_by(decision, connection), connection)
        return taken + await _without_texts(decision, instance, connection)


async def _last_number(decision: str, connection: AsyncConnection) -> int:
    last = select(changes.c.number).where(changes.c.decision_id == decision).order_by(changes.c.number.desc()).limit(1)
    return (await connection.execute(last)).scalar_one_or_none() or 0


async def _tell(decision: str, row: Mapping[str, Any], connection: AsyncConnection) -> None:
    kept = {name: value for name, value in row.items() if name != "signed"}
    signed = _dump(row["signed"]) if "signed" in row else None
    named = {"decision_id": decision, "number": row["number"], "revision": row["revision"]}
    await connection.execute(changes.insert(), named | {"row": _dump(kept), "signed": signed})


async def _cited_by(decision: str, connection: AsyncConnection) -> set[str]:
    """Name the messages that all revisions of a record cite."""
    there = select(revisions.c.record).where(revisions.c.decision_id == decision)
    kept = (await connection.execute(there)).scalars().all()
    return set[str]().union(*await beside(_cited, kept))


def _cited(records: Sequence[str]) -> list[set[str]]:
    return [cited(foreign.read(each)) for each in records]


async def _without_texts(decision: str, instance: str | None, connection: AsyncConnection) -> int:
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


def _read_all(rows: Sequence[tuple[str, str | None]]) -> list[Any]:
    read = [(_stored(row), {"signed": _stored(signed)} if signed else {}) for row, signed in rows]
    return [row | beside_it if isinstance(row, dict) else row for row, beside_it in read]


def _stored(kept: str) -> Any:
    """Read what is kept. What somebody has put there in its place is none, and is left for `verify` to say so."""
    try:
        return foreign.read(kept)
    except ValueError:
        return kept


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
        mine, named = processes.c.decision_id == decisions.c.id, processes.alias("named")
        of_same = (named.c.decision_id == decisions.c.id) & (
            named.c.process_instance_id == processes.c.process_instance_id
        )
        # What a person said names no process: that of the same instance counts, which an assistant's answer names.
        unnamed = (processes.c.definition_key == "") & ~exists().where(of_same, named.c.definition_key != "")
        others = (processes.c.definition_key != "") & processes.c.definition_key.not_in(always)
        yield decisions.c.definition_key.in_(always)
        yield ~exists().where(mine, or_(unnamed, others))


def _is_old(until: datetime) -> ColumnElement[bool]:
    return (decisions.c.changed_at <= until) & ~ON_HOLD


def _revision(decision: str, revision: int) -> ColumnElement[bool]:
    return (revisions.c.decision_id == decision) & (revisions.c.revision == revision)


def _listed(row: RowMapping) -> DecisionSeen:
    same = ("definition_key", "business_key", "revision", "status", "began_at", "changed_at")
    return DecisionSeen(_key(row), **{name: row[name] for name in same}, held=_held(row))


def _held(row: RowMapping) -> Held | None:
    return Held(row["held_at"], row["held_by"], row["held_why"]) if row["held_at"] is not None else None


def _key(row: RowMapping) -> DecisionKey:
    return DecisionKey(row["engine"], row["process_instance_id"], row["name"], row["tenant"])


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value)  # in ASCII: neither database refuses any of it
