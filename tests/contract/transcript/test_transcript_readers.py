"""People who read, all at once, take no connection from the work."""

import asyncio
from collections import Counter
from contextvars import copy_context

import pytest

from tests.records import exchange
from tests.waiting import wait_until
from worker.domain.conversations import EVERYTHING, Filter
from worker.errors import TranscriptDown
from worker.runtime import readers
from worker.runtime.readers import PLACES, PLACES_EACH, READER
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter


class Crowd:
    """Readers who keep what they have got until they may go."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inside, self.refused = Counter[str](), 0
        self.may_go = asyncio.Event()

    async def read(self, who: str) -> None:
        READER.set(who)
        try:
            async with self.database.reading():
                self.inside[who] += 1
                await self.may_go.wait()
        except TranscriptDown:
            self.refused += 1

    def comes(self, group: asyncio.TaskGroup, who: str, times: int) -> None:
        for _ in range(times):
            group.create_task(self.read(who), context=copy_context())


async def test_however_many_people_read_the_work_reads_and_writes_beside_them(database: Database) -> None:
    crowd, conversations = Crowd(database), SqlTranscriptReader(database)
    await SqlTranscriptWriter(database).record(exchange(1))
    async with asyncio.TaskGroup() as group:
        crowd.comes(group, "ann", 100)
        await wait_until(lambda: crowd.inside["ann"] == PLACES_EACH, what="her places")
        crowd.comes(group, "ben", 1)
        await wait_until(lambda: crowd.inside["ben"] == 1, what="his")
        for name in ("cid", "dan", "eve"):
            crowd.comes(group, name, 10)
        await wait_until(lambda: crowd.inside.total() == PLACES, what="all places")

        await SqlTranscriptWriter(database).record(exchange(2))
        [session] = (await conversations.sessions(Filter(), within=EVERYTHING)).items
        assert session.messages == 4
        assert (crowd.inside["ann"], crowd.inside.total()) == (PLACES_EACH, PLACES)
        crowd.may_go.set()
    assert crowd.inside.total() == 131


async def test_who_waits_for_too_long_is_told_so_and_leaves_its_place(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WAIT_SECONDS", 0.05)
    crowd = Crowd(database)
    async with asyncio.TaskGroup() as group:
        crowd.comes(group, "ann", PLACES_EACH)
        await wait_until(lambda: crowd.inside["ann"] == PLACES_EACH, what="her places")
        crowd.comes(group, "ann", 3)
        await wait_until(lambda: crowd.refused == 3, what="the others to be refused")
        crowd.may_go.set()
    async with asyncio.TaskGroup() as group:
        crowd.comes(group, "ann", PLACES_EACH)
    assert crowd.inside["ann"] == 2 * PLACES_EACH
