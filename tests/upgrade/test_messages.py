"""An exchange with messages between question and answer, on its way past a worker that knows none of these."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.records import BETWEEN, exchange
from tests.upgrade.baseline import unpacked
from worker.domain.conversations import EVERYTHING, MessageFilter
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.threads import Answer, Entered
from worker.redis import RedisOutbox, RedisThreads, open_redis
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.turn.recorder import Carrier

MINUTE = timedelta(minutes=1)
LIST = "test:default:unrecorded"

DRAINS = """
import asyncio, json, sys
from structlog.testing import capture_logs
from worker.redis import RedisOutbox, open_redis
from worker.transcript import SqlTranscriptWriter, open_database
from worker.turn.recorder import Recorder

async def main():
    async with open_redis(sys.argv[1], connections=2) as redis, open_database(sys.argv[2]) as database:
        outbox = RedisOutbox(redis, prefix="test", engine="default")
        with capture_logs() as lines:
            drained = await Recorder(outbox, SqlTranscriptWriter(database)).drain()
        print(json.dumps([drained, await outbox.backlog(), [line["event"] for line in lines]]))

asyncio.run(main())
"""


async def drained_by_the_worker_of_before(folder: Path, *urls: str) -> Any:
    """Have it carry over what it can; returns what it says of that."""
    environment = os.environ | {"PYTHONPATH": str(unpacked(folder))}
    command = (sys.executable, "-c", DRAINS, *urls)
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=PIPE)
    return json.loads((await process.communicate())[0])


async def contents(database: Database) -> list[tuple[str, str]]:
    page = await SqlTranscriptReader(database).messages(MessageFilter(), within=EVERYTHING)
    return [(each.content, each.role) for each in page.items]


async def test_a_worker_of_before_records_what_it_knows_and_leaves_the_rest_to_this_one(
    redis_url: str, tmp_path: Path
) -> None:
    place = f"sqlite:///{tmp_path}/record.db"
    plain, longer = exchange(1), exchange(2, between=BETWEEN)
    async with open_redis(redis_url, connections=2) as redis, open_database(place) as database:
        await SqlTranscriptWriter(database).ping()
        threads = RedisThreads(redis, prefix="test", lease=MINUTE, keep=MINUTE)
        for each in (plain, longer):
            entry = await threads.enter(each.key, each.task_id)
            assert isinstance(entry, Entered)
            await threads.intend(entry.hold, 1, MINUTE)
            await threads.keep_answer(entry.hold, 1, Answer(each.answer.text), published=False, exchange=each)

        told = await drained_by_the_worker_of_before(tmp_path / "before", redis_url, place)
        assert told == [True, 1, ["record_newer"]]
        assert await contents(database) == [(each.text, each.role) for each in plain.messages]

        outbox = RedisOutbox(redis, prefix="test", engine="default")
        [left] = await redis.zrange(LIST, 0, -1)
        await redis.zadd(LIST, {str(left): 0})  # as if the minute were over for which that one has put it off
        assert await Carrier(outbox, SqlTranscriptWriter(database)).drain()
        assert await contents(database) == [(each.text, each.role) for each in (*plain.messages, *longer.messages)]
        assert await outbox.backlog(TRANSCRIPT) == 0
        spent = await SqlTranscriptReader(database).spent("all", MessageFilter(), within=EVERYTHING)
        assert (spent[""].answers, spent[""].input_tokens) == (2, 200)
