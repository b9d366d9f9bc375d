"""The transcript's reading side."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import RowMapping, Select, and_, case, false, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.asks import State
from worker.domain.conversations import (
    EVERYTHING,
    ActivityCounts,
    AsksSeen,
    By,
    Counts,
    Filter,
    Hit,
    Instance,
    Limits,
    Message,
    MessageFilter,
    Newest,
    Opened,
    Page,
    Role,
    Session,
    Spent,
    Stored,
    micros,
)
from worker.domain.feedback import Feedback, Rated
from worker.domain.processes import definition
from worker.domain.threads import OPENAI, ThreadKey, address
from worker.runtime.beside import for_reader
from worker.runtime.portions import portions
from worker.transcript import conditions, cursor, rows, sums
from worker.transcript.database import Database
from worker.transcript.facts import remembrances
from worker.transcript.tables import asks, feedback, messages, sessions
from worker.transcript.words import SEARCHABLE, clean, excerpt, opening

T = TypeVar("T")

_MESSAGE_COUNT = (
    select(func.count())
    .where(messages.c.session_id == sessions.c.id)
    .correlate(sessions)
    .scalar_subquery()
    .label("message_count")
)
_STARTED = func.min(messages.c.position)
_INSTANCES = (
    select(
        messages.c.process_instance_id.label("id"),
        sessions.c.engine,
        # Mostly the same throughout an instance; one that was migrated has several. GROUP BY wants one of them.
        func.max(messages.c.definition_id).label("definition_id"),
        func.max(sessions.c.definition_key).label("definition_key"),
        func.max(sessions.c.definition_version).label("definition_version"),
        func.max(sessions.c.business_key).label("business_key"),
        func.max(sessions.c.tenant).label("tenant"),
        func.min(messages.c.created_at).label("started_at"),
        func.max(messages.c.created_at).label("last_at"),
        func.count(sessions.c.id.distinct()).label("sessions"),
        func.count().label("messages"),
        func.coalesce(func.sum(messages.c.input_tokens), 0).label("input_tokens"),
        func.coalesce(func.sum(messages.c.output_tokens), 0).label("output_tokens"),
        func.count(sessions.c.id).filter(sessions.c.is_active).label("active"),
    )
    .join_from(messages, sessions)
    .group_by(sessions.c.engine, messages.c.process_instance_id)
)


_ACTIVITY_SUMS = (
    func.count(messages.c.task_id.distinct()).label("turns"),
    func.count().label("attempts"),
    func.coalesce(func.sum(messages.c.input_tokens), 0).label("input_tokens"),
    func.coalesce(func.sum(messages.c.output_tokens), 0).label("output_tokens"),
    func.coalesce(func.sum(messages.c.processing_seconds), 0).label("seconds"),
    func.max(messages.c.position).label("last"),
)

_OF_A_HIT = (
    messages.c.id,
    messages.c.session_id,
    messages.c.process_instance_id,
    messages.c.activity_id,
    messages.c.activity_name,
    sessions.c.assistant,
    sessions.c.business_key,
    messages.c.role,
    messages.c.position,
    messages.c.created_at,
    messages.c.is_between,
)

_OF_A_THREAD = (
    sessions.c.id,
    sessions.c.engine,
    sessions.c.scope,
    sessions.c.assistant,
    sessions.c.tenant,
    sessions.c.process_instance_id,
)
_ASKED = {
    name: select(figure)
    .where(asks.c.session_id == sessions.c.id, *which)
    .correlate(sessions)
    .scalar_subquery()
    .label(f"asked_{name}")
    for name, figure, *which in (
        ("last", func.coalesce(func.max(asks.c.number), 0)),
        ("queued", func.count(), asks.c.state == State.QUEUED),
        ("running", func.count(), asks.c.state == State.RUNNING),
    )
}
_NEWEST = select(
    *_OF_A_THREAD,
    *_ASKED.values(),
    sessions.c.ended_at,
    select(func.max(messages.c.number))
    .where(messages.c.session_id == sessions.c.id)
    .correlate(sessions)
    .scalar_subquery()
    .label("number"),
)
_NEWEST_IN = (
    select(
        *_OF_A_THREAD,
        *_ASKED.values(),
        messages.c.process_instance_id.label("instance"),
        # Only of the instance's own session: one that instances share ends with the last of them.
        case((sessions.c.process_instance_id == messages.c.process_instance_id, sessions.c.ended_at)).label("ended_at"),
        func.max(messages.c.number).label("number"),
    )
    .join_from(messages, sessions)
    .group_by(messages.c.process_instance_id, sessions.c.id)
)

MOST_NAMED = 200
"""Sessions or instances that one statement asks about."""
_OPENING = 2000
"""Characters of a question that are looked through for its first line."""
AT_ONCE = 10
"""Messages that are fetched before they are counted: each may have megabytes."""
LONGEST_PAGE = 4_000_000
"""Characters: a page of more messages ends before its limit."""


class SqlTranscriptReader:
    """Implements `ports.transcript.TranscriptReader` for one engine, or for all that write here if none is named.

    Ids of process instances are an engine's own: many count them from 1. A reader that is bound to one engine cannot
    mistake another's instance for its own, whoever forgets to say which engine is meant.
    """

    def __init__(self, database: Database, *, engine: str | None = None) -> None:
        self._database = database
        self._engine = engine

    async def sessions(
        self, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Session]:
        """See `ports.transcript.TranscriptReader.sessions`."""
        query = select(sessions, _MESSAGE_COUNT).where(*conditions.wanted(wanted), *self._seen(within, wanted.instance))
        if after is not None:
            number, name = cursor.load(after)
            query = query.where(conditions.before(sessions.c.started_at, sessions.c.id, cursor.time_of(number), name))
        found = await self._rows(query.order_by(sessions.c.started_at.desc(), sessions.c.id.desc()).limit(limit + 1))
        return cursor.page(found, limit, rows.session, lambda last: (micros(last["started_at"]), last["id"]))

    async def session(self, session_id: str, *, within: Limits) -> Session | None:
        """See `ports.transcript.TranscriptReader.session`."""
        own = sessions.c.id == clean(session_id)
        found = await self._rows(select(sessions, _MESSAGE_COUNT).where(own, *self._seen(within)))
        return rows.session(found[0]) if found else None

    async def messages(
        self, wanted: MessageFilter, *, within: Limits, after: str | None = None, limit: int = 100, newest: bool = False
    ) -> Page[Message]:
        """See `ports.transcript.TranscriptReader.messages`."""
        query = select(messages).join(sessions).where(*conditions.said(wanted), *self._seen(within, wanted.instance))
        position, name = messages.c.position, messages.c.id
        if after is not None:
            beyond = conditions.before if newest else conditions.behind
            query = query.where(beyond(position, name, *cursor.load(after)))
        order = (position.desc(), name.desc()) if newest else (position, name)
        found, is_all = await self._light(query.order_by(*order), limit)
        return Page([each for _, each in found], None if is_all else cursor.dump(*_place(found[-1][0])))

    async def hidden(self, ids: Collection[str], *, within: Limits) -> Collection[str]:
        """See `ports.transcript.TranscriptReader.hidden`."""
        there = select(sessions.c.id).where(sessions.c.id.in_(sorted(map(clean, ids))))
        found = {row["id"] for row in await self._rows(there)}
        # Read behind: one that is recorded in between is not among the others.
        return found - {row["id"] for row in await self._rows(there.where(*self._seen(within)))}

    async def since(
        self, wanted: MessageFilter, read: Mapping[str, int], *, within: Limits, limit: int = 100
    ) -> Sequence[tuple[int, Message]]:
        """See `ports.transcript.TranscriptReader.since`."""
        # By each session alone: a number of another one may still be on its way while a higher one is there.
        if wanted.session_id is not None:
            unread = [messages.c.number > read.get(wanted.session_id, 0)]
        else:
            unread = [
                or_(messages.c.session_id != clean(name), messages.c.number > last) for name, last in read.items()
            ]
        query = (
            select(messages)
            .join(sessions)
            .where(*conditions.said(wanted), *unread, *self._seen(within, wanted.instance))
        )
        found, _ = await self._light(query.order_by(messages.c.number), limit)
        return [(row["number"], message) for row, message in found]

    async def newest(self, wanted: Collection[MessageFilter]) -> Mapping[MessageFilter, Sequence[Newest]]:
        """See `ports.transcript.TranscriptReader.newest`."""
        found: dict[MessageFilter, list[Newest]] = defaultdict(list)
        for some in portions((each for each in wanted if each.session_id is not None), MOST_NAMED):
            by_id = {each.session_id: each for each in some}
            for row in await self._rows(_NEWEST.where(sessions.c.id.in_(by_id), *self._seen(EVERYTHING))):
                found[by_id[row["id"]]].append(_newest(row))
        for some in portions((each for each in wanted if each.instance is not None), MOST_NAMED):
            by_instance = {clean(str(each.instance)): each for each in some}
            said_in = messages.c.process_instance_id.in_(by_instance)
            for row in await self._rows(_NEWEST_IN.where(said_in, *self._seen(EVERYTHING))):
                found[by_instance[row["instance"]]].append(_newest(row))
        return found

    async def _light(self, query: Select[Any], limit: int) -> tuple[Sequence[tuple[RowMapping, Message]], bool]:
        """Read no more messages than fit into memory: at least one, or none of the first that would be too much.

        Returns also whether these are all.
        """
        found, size, is_all = list[RowMapping](), 0, True
        async with self._database.reading() as connection:
            # Streamed, as a page of the longest answers would be hundreds of megabytes before it could be cut.
            streamed = await connection.stream(query.limit(limit + 1).execution_options(yield_per=AT_ONCE))
            try:
                async for row in streamed.mappings():
                    size += len(row["content"])
                    if len(found) == limit or (found and size > LONGEST_PAGE):
                        is_all = False
                        break
                    found.append(row)
            finally:
                await streamed.close()
            said, links = await _feedback(connection, found), await _links(connection, found)
            remembered = await remembrances(connection, found)
        beside = ((row, row["id"]) for row in found)
        return [
            (row, rows.message(row, said.get(name, ()), links.get(name, ()), remembered.get(name)))
            for row, name in beside
        ], is_all

    async def stored(self, wanted: MessageFilter, *, within: Limits) -> Stored:
        """See `ports.transcript.TranscriptReader.stored`."""
        named = messages.c.thread_id, messages.c.response_id, messages.c.anchor, messages.c.provider
        query = select(*named, func.max(messages.c.position).label("last")).join(sessions)
        query = query.where(*conditions.said(wanted), *self._seen(within, wanted.instance)).group_by(*named)
        threads, responses = dict[str, str | None](), dict[str, str | None]()
        for row in await self._rows(query.order_by("last")):
            provider = row["provider"] or OPENAI
            thread = address(provider, row["thread_id"]) if row["thread_id"] else None
            if thread is not None:
                # The newest that is known: an account may get another anchor when it has lost one.
                threads[thread] = row["anchor"] or threads.get(thread)
            if row["response_id"]:
                responses[address(provider, row["response_id"])] = thread
        return Stored(threads, responses)

    async def activities(self, instance_id: str, *, within: Limits) -> Sequence[ActivityCounts]:
        """See `ports.transcript.TranscriptReader.activities`."""
        said = (*conditions.said(MessageFilter(instance=instance_id)), *self._seen(within, instance_id))
        by_activity = (
            select(messages.c.activity_id.label("id"), *_ACTIVITY_SUMS)
            .join_from(messages, sessions)
            .where(*said, conditions.ANSWER, messages.c.activity_id != "")  # what persons ask is at none
            .group_by(messages.c.activity_id)
            .order_by("last")
        )
        found = await self._rows(by_activity)
        newest = select(messages.c.activity_id, messages.c.activity_name, messages.c.metadata).join(sessions)
        at_last = messages.c.position.in_([row["last"] for row in found]) & conditions.ANSWER
        latest = {
            row["activity_id"]: row for row in await self._rows(newest.where(*said, at_last).order_by("position"))
        }
        return [_activity(row, latest[row["id"]]) for row in found if row["id"] in latest]

    async def instances(
        self, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Instance]:
        """See `ports.transcript.TranscriptReader.instances`."""
        own = (*conditions.wanted(wanted), *self._seen(within, wanted.instance))
        name = messages.c.process_instance_id
        # An index has all of it. What is of no instance is not among them.
        places = select(name.label("id"), _STARTED.label("position")).where(name != "").group_by(name)
        if own:
            places = places.where(messages.c.session_id.in_(select(sessions.c.id).where(*own)))
        places = places.where(*conditions.of_process(wanted), *conditions.in_instances(within))
        if wanted.instance is not None:
            places = places.where(name == clean(wanted.instance))
        if after is not None:
            places = places.having(conditions.before(_STARTED, name, *cursor.load(after)))
        page = cursor.page(
            await self._rows(places.order_by(_STARTED.desc(), name.desc()).limit(limit + 1)), limit, _place, _place
        )
        # Summed up for the instances of this page alone.
        query = _INSTANCES.where(*own, name.in_([found for _, found in page.items]))
        found = await self._rows(query.order_by(_STARTED.desc(), name.desc()))
        return Page([_instance(row) for row in found], page.next)

    async def instance(self, instance_id: str, *, within: Limits) -> Instance | None:
        """See `ports.transcript.TranscriptReader.instance`."""
        page = await self.instances(Filter(instance=instance_id), within=within, limit=1)
        return page.items[0] if page.items else None

    async def openings(self, ids: Collection[str], *, of: Opened, within: Limits) -> Mapping[str, str]:
        """See `ports.transcript.TranscriptReader.openings`."""
        whose = messages.c.session_id if of == "session" else messages.c.process_instance_id
        asked = (whose.in_([clean(each) for each in ids]), conditions.QUESTION, *self._seen(within))
        first = select(whose.label("id"), _STARTED.label("position")).join_from(messages, sessions).where(*asked)
        places = first.group_by(whose).subquery()
        query = (
            select(places.c.id, func.substr(messages.c.content, 1, _OPENING).label("content"))
            .join_from(messages, sessions)
            .join(places, (places.c.id == whose) & (places.c.position == messages.c.position))
            .where(*asked)
        )
        return {row["id"]: opening(row["content"]) for row in await self._rows(query)}

    async def search(
        self, text: str, wanted: Filter, *, within: Limits, after: str | None = None, limit: int = 50
    ) -> Page[Hit]:
        """See `ports.transcript.TranscriptReader.search`."""
        place = () if after is None else cursor.load(after)
        found_by = conditions.found(text, sqlite=self._database.is_sqlite)
        if found_by is None:
            return Page([], None)
        query = (
            select(messages.c.number, *_OF_A_HIT)
            .join_from(messages, sessions)
            .where(
                found_by,
                *conditions.wanted(wanted),
                *conditions.of_process(wanted),
                *self._seen(within, wanted.instance),
            )
        )
        if place:
            query = query.where(conditions.before(messages.c.position, messages.c.id, *place))
        query = query.order_by(messages.c.position.desc(), messages.c.id.desc()).limit(limit + 1)
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).mappings().all()
            # One after the other: of each there may be half a megabyte to look through.
            excerpts = {row["number"]: await _excerpt(connection, row["number"], text) for row in found[:limit]}
        return cursor.page(found, limit, lambda row: _hit(row, excerpts[row["number"]]), _place)

    async def spent(self, by: By, wanted: MessageFilter, *, within: Limits) -> Mapping[str, Spent]:
        """See `ports.transcript.TranscriptReader.spent`."""
        return sums.read(
            by, await self._rows(sums.query(by).where(*conditions.said(wanted), *self._seen(within, wanted.instance)))
        )

    async def rated(self, *, within: Limits, since: datetime | None = None) -> Sequence[Rated]:
        """See `ports.transcript.TranscriptReader.rated`."""
        version = func.coalesce(messages.c.metadata["assistant_version"].as_string(), "")
        query = (
            select(sessions.c.assistant, version.label("version"), feedback.c.rating, func.count().label("times"))
            .select_from(feedback)
            .join(messages)
            .join(sessions)
            .where(*self._seen(within))
            .group_by(sessions.c.assistant, "version", feedback.c.rating)
        )
        if since is not None:
            query = query.where(feedback.c.given_at >= since)
        found = dict[tuple[str, str], Rated]()
        for row in await self._rows(query.order_by(sessions.c.assistant, "version")):
            name = row["assistant"], row["version"]
            found[name] = replace(found.get(name, Rated(*name)), **{row["rating"]: row["times"]})
        return list(found.values())

    async def counts(self, wanted: Filter, *, within: Limits) -> Counts:
        """See `ports.transcript.TranscriptReader.counts`."""
        own = (*conditions.wanted(wanted), *self._seen(within, wanted.instance))
        of_sessions = select(
            func.count().label("sessions"), func.count().filter(sessions.c.is_active).label("active_sessions")
        ).where(*own)
        instances = func.count(func.nullif(messages.c.process_instance_id, "").distinct())
        those = and_(true(), *conditions.in_instances(within))
        of_messages = (
            select(
                instances.filter(those).label("instances"),
                func.count().label("messages"),
                func.coalesce(func.sum(messages.c.input_tokens), 0).label("input_tokens"),
                func.coalesce(func.sum(messages.c.output_tokens), 0).label("output_tokens"),
            )
            .join_from(messages, sessions)
            .where(*own)
        )
        async with self._database.reading() as connection:
            first = (await connection.execute(of_sessions)).mappings().one()
            second = (await connection.execute(of_messages)).mappings().one()
        return Counts(**{str(name): int(value) for name, value in (*first.items(), *second.items())})

    async def definition_keys(self) -> frozenset[str]:
        """See `ports.transcript.TranscriptReader.definition_keys`."""
        own = select(sessions.c.definition_key.label("key")).where(sessions.c.definition_key != "").distinct()
        spoke = select(messages.c.definition_id.label("id")).where(conditions.ANSWER).distinct()
        named = [definition(row["id"]) for row in await self._rows(spoke)]
        return frozenset(row["key"] for row in await self._rows(own)) | {each[0] for each in named if each}

    def _seen(self, within: Limits, instance: str | None = None) -> Iterator[conditions.Condition]:
        """Keep to this reader's engine, and to what may be seen of it.

        That is nothing of an instance that is asked for and may not be seen itself, wherever it spoke.
        """
        if instance is not None and not within.has_instance(instance):
            yield false()
        if self._engine is not None:
            yield sessions.c.engine == clean(self._engine)
        yield from conditions.seen(within)
        if within.definitions is not None:
            yield from conditions.of_definitions(within.definitions, sqlite=self._database.is_sqlite)

    async def _rows(self, query: Select[Any]) -> Sequence[RowMapping]:
        async with self._database.reading() as connection:
            found: Sequence[RowMapping] = (await connection.execute(query)).mappings().all()
            return found


def _newest(row: RowMapping) -> Newest:
    key = ThreadKey(row["engine"], row["scope"], row["assistant"], row["tenant"])
    asked = AsksSeen(**{name: row[f"asked_{name}"] for name in _ASKED})
    return Newest(row["id"], key, row["process_instance_id"], row["number"] or 0, row["ended_at"], asked)


def _place(row: RowMapping) -> tuple[int, str]:
    return row["position"], row["id"]


def _instance(row: RowMapping) -> Instance:
    known: dict[str, Any] = {name: row[name] for name in Instance.__slots__ if name != "is_active"}
    tokens = {name: int(row[name]) for name in ("input_tokens", "output_tokens")}  # PostgreSQL's sums are Decimal
    return Instance(**known | _own_name(row) | tokens, is_active=row["active"] > 0)


def _own_name(row: RowMapping) -> dict[str, Any]:
    """Tell a process apart from the one on whose conversation it speaks, as far as its definition's id says it."""
    named = definition(row["definition_id"])
    return {} if named is None else {"definition_key": named[0], "definition_version": named[1]}


def _activity(row: RowMapping, newest: RowMapping) -> ActivityCounts:
    numbers = {name: int(row[name]) for name in ("turns", "attempts", "input_tokens", "output_tokens")}
    outcome = str(newest["metadata"].get("outcome", ""))
    return ActivityCounts(row["id"], newest["activity_name"], **numbers, seconds=float(row["seconds"]), outcome=outcome)


async def _feedback(connection: AsyncConnection, found: Sequence[RowMapping]) -> Mapping[str, Sequence[Feedback]]:
    """Find what people say of these messages, by their ids."""
    said = defaultdict[str, list[Feedback]](list)
    query = select(feedback).where(feedback.c.message_id.in_([row["id"] for row in found]))
    for row in (await connection.execute(query.order_by(feedback.c.given_at, feedback.c.number))).mappings():
        said[row["message_id"]].append(rows.feedback(row))
    return said


async def _links(connection: AsyncConnection, found: Sequence[RowMapping]) -> Mapping[str, Sequence[str]]:
    """Find the links that came with what persons asked, by the ids of these messages. They go with the ask."""
    of_persons = {row["id"]: row["task_id"] for row in found if rows.may_be_asked(row)}
    if not of_persons:
        return {}
    query = select(asks.c.id, asks.c.attachments).where(asks.c.id.in_({*of_persons.values()}))
    known = {row["id"]: row["attachments"] or () for row in (await connection.execute(query)).mappings()}
    return {message: known[ask] for message, ask in of_persons.items() if ask in known}


async def _excerpt(connection: AsyncConnection, number: int, text: str) -> str:
    """Cut an excerpt out of one message, beside the loop, with no more of it in memory than is looked through."""
    query = select(func.substr(messages.c.content, 1, SEARCHABLE + 1)).where(messages.c.number == number)
    content = (await connection.execute(query)).scalar() or ""
    return await for_reader(excerpt, content, text)


def _hit(row: RowMapping, cut: str) -> Hit:
    same = {name: row[name] for name in Hit.__slots__ if name not in ("message_id", "role", "excerpt")}
    return Hit(**same, message_id=row["id"], role=Role(row["role"]), excerpt=cut)
