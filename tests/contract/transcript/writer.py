"""A process that has the transcript open as a worker has it: two connections, both used. Lines tell what to write."""

import asyncio
import sys

from sqlalchemy import text

from tests.records import exchange, key
from worker.domain.conversations import Subject
from worker.transcript import SqlTranscriptWriter, open_database


async def main(url: str) -> None:
    """`write 3` records the third exchange of an instance, `erase other` removes an instance; an empty line ends it."""
    async with open_database(url) as database:
        transcript = SqlTranscriptWriter(database)
        async with database.reading() as connection:  # the page reads while a turn is written
            await connection.execute(text("SELECT 1"))
            await transcript.record(exchange(0, key("other")))
        say("ready")
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            match line:
                case ["write", number]:
                    await transcript.record(exchange(int(number)))
                case ["erase", instance]:
                    await transcript.remove([Subject("default", instance=instance)])
            say("done")


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
