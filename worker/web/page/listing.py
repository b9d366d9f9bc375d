"""The routes of the page's lists: what the record has, and beside it what only the engine knows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Generic, TypeVar

from fastapi import Query

from worker.domain.conversations import Filter, Instance, Limits, Opened, Page, Session
from worker.domain.processes import Incident, Process
from worker.ports.transcript import TranscriptReader
from worker.web.api.grants import MayRead
from worker.web.api.routes import After, Id, Size, Wanted, found
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.page.standing import Standing, Told
from worker.web.page.watching import Names, Watching, name_of

T = TypeVar("T")
L = TypeVar("L", Instance, Session)

MOST_PAGES = 10
"""That are looked through for one that runs."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A part of a list, and which of the process instances in it run.

    By the items' ids: the names of their processes, and the beginning of what was asked first, as far as there are any.
    """

    page: Page[T]
    standing: Told
    names: Mapping[str, str]
    asked: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stands:
    """How it stands with the process of a conversation, and its name, empty without one."""

    standing: Told
    name: str


@dataclass(frozen=True, slots=True)
class Going:
    """A running instance. `incident` is its newest, `asked` the beginning of what was asked first, if anything was."""

    process: Process
    name: str
    incident: Incident | None
    asked: str


@dataclass(frozen=True, slots=True)
class Ongoing:
    """Running instances, the newest first. `problem` says why there may be more."""

    items: Sequence[Going]
    problem: str


def _instance(one: Instance | Session) -> str | None:
    return one.id if isinstance(one, Instance) else one.process_instance_id


@dataclass(frozen=True, slots=True)
class _Lists:
    """Asks the engine of what is listed, but for what is another engine's."""

    conversations: TranscriptReader
    standing: Standing
    watching: Watching
    engine_name: str

    async def of(self, *each: Instance | Session) -> Told:
        ids = {_instance(one) for one in each if one.engine == self.engine_name}
        return await self.standing.of([name for name in ids if name is not None])

    async def listing(
        self,
        read: Callable[[Filter, str | None], Awaitable[Page[L]]],
        wanted: Filter,
        after: str | None,
        opened: Opened,
        within: Limits,
    ) -> Listing[L]:
        """Leave out of those that are active what the engine says has ended, which the record hears minutes later."""
        names = await self.watching.names()
        wanted = _by_name(wanted, names)
        for _ in range(MOST_PAGES):
            page = await read(wanted, after)
            told = await self.of(*page.items)
            if not wanted.active:
                break
            page = replace(page, items=[each for each in page.items if told.runs.get(_instance(each) or "", True)])
            if page.items or page.next is None:
                break
            after = page.next
        asked = await self.conversations.openings([each.id for each in page.items], of=opened, within=within)
        named = {each.id: name_of(names, each.definition_key, each.tenant) for each in page.items}
        return Listing(page, told, {name: text for name, text in named.items() if text}, asked)

    async def ongoing(self, wanted: Filter, within: Limits, *, failed: bool) -> Ongoing:
        seen, names = await self.watching.going_on(), await self.watching.names()
        wrong = {each.instance: each for each in reversed(seen.incidents)}  # of several the newest
        wanted = _by_name(wanted, names)
        shown = [each for each in seen.processes if not failed or each.id in wrong]
        shown = [each for each in shown if each.is_within(within) and self._fits(each, wanted)]
        if wanted.assistant is not None:  # the record alone knows with whom
            shown = [each for each in shown if await self._speaks(each, wanted, within)]
        asked = await self.conversations.openings([each.id for each in shown], of="instance", within=within)
        items = [
            Going(
                each,
                name_of(names, each.definition_key, each.tenant),
                wrong.get(each.id),
                asked.get(each.id, ""),
            )
            for each in shown
            if failed or each.id not in asked
        ]
        return Ongoing(items, seen.problem)

    def _fits(self, process: Process, wanted: Filter) -> bool:
        if wanted.active is False or wanted.engine not in (None, self.engine_name):
            return False
        if wanted.instance not in (None, process.id):
            return False
        if wanted.tenants is not None and process.tenant not in wanted.tenants:
            return False
        if wanted.until is not None and process.started_at is not None and process.started_at >= wanted.until:
            return False
        if process.definition_key not in wanted.or_definitions and not _is(
            process.definition_key, wanted.definition_key, part=wanted.parts
        ):
            return False
        return _is(process.business_key or "", wanted.business_key, part=wanted.parts)

    async def _speaks(self, process: Process, wanted: Filter, within: Limits) -> bool:
        spoken = Filter(instance=process.id, assistant=wanted.assistant, parts=wanted.parts)
        return bool((await self.conversations.sessions(spoken, within=within, limit=1)).items)


Lists = Annotated[_Lists, from_application(_Lists)]
router = below_api(401, 403, 404, 422, 429, 503)


def extension(conversations: TranscriptReader, standing: Standing, watching: Watching, engine_name: str) -> Extension:
    """Make the extension that adds the routes."""
    return adding(router, _Lists(conversations, standing, watching, engine_name))


@router.get("/listed/instances")
async def listed_instances(
    grant: MayRead, lists: Lists, wanted: Wanted, after: After = None, limit: Size = 50
) -> Listing[Instance]:
    """Process instances as `/instances` has them, and what the engine knows of them."""

    async def read(wanted: Filter, after: str | None) -> Page[Instance]:
        return await lists.conversations.instances(wanted, within=grant.limits, after=after, limit=limit)

    return await lists.listing(read, wanted, after, "instance", grant.limits)


@router.get("/listed/sessions")
async def listed_sessions(
    grant: MayRead, lists: Lists, wanted: Wanted, after: After = None, limit: Size = 50
) -> Listing[Session]:
    """Conversations as `/sessions` has them, and what the engine knows of their instances."""

    async def read(wanted: Filter, after: str | None) -> Page[Session]:
        return await lists.conversations.sessions(wanted, within=grant.limits, after=after, limit=limit)

    return await lists.listing(read, wanted, after, "session", grant.limits)


@router.get("/sessions/{session_id}/standing")
async def session_standing(grant: MayRead, lists: Lists, session_id: Id) -> Stands:
    """Whether the process instance of a conversation runs, by the engine's word."""
    session = found(await lists.conversations.session(session_id, within=grant.limits))
    name = name_of(await lists.watching.names(), session.definition_key, session.tenant)
    return Stands(await lists.of(session), name)


@router.get("/ongoing")
async def ongoing(
    grant: MayRead,
    lists: Lists,
    wanted: Wanted,
    *,
    failed: Annotated[bool, Query(description="Those with incidents, answered or not.")] = False,
) -> Ongoing:
    """Running instances of processes with assistants in which nothing was said yet, or those that failed."""
    return await lists.ongoing(wanted, grant.limits, failed=failed)


def _by_name(wanted: Filter, names: Names) -> Filter:
    """Want processes by their names too, where parts are wanted: people see those, and not the keys."""
    if not wanted.parts or wanted.definition_key is None:
        return wanted
    part = wanted.definition_key.casefold()
    return replace(wanted, or_definitions=frozenset(key for (key, _), name in names.items() if part in name.casefold()))


def _is(value: str, wanted: str | None, *, part: bool) -> bool:
    if wanted is None:
        return True
    return wanted.casefold() in value.casefold() if part else value == wanted
