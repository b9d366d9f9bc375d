"""Each exchange is written once, whole and in its place, whatever happens around it; the same on both databases."""

import asyncio
import contextlib
import random
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from tests.contract.transcript.conftest import Place
from tests.records import BETWEEN, KEY, START, exchange, key
from worker.domain.conversations import (
    EVERYTHING,
    PROVIDER_ROLES,
    Filter,
    Message,
    MessageFilter,
    Role,
    Session,
    every,
    message_id,
    session_id,
)
from worker.domain.exchanges import Exchange, Utterance
from worker.domain.threads import Outcome
from worker.errors import Unstorable
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, migrating, open_database, rows, steps
from worker.transcript.tables import VERSION_TABLE, metadata
from worker.transcript.words import words

ROOT = Path(__file__).parents[3]

NEWEST = "0017"
"""The version of the tables."""


async def everything(place: Place) -> tuple[list[Session], list[Message]]:
    """All sessions and messages, as somebody reads them who opens the database anew."""
    async with open_database(place.url) as database:
        conversations = SqlTranscriptReader(database)
        sessions = await conversations.sessions(Filter(), within=EVERYTHING, limit=10_000)
        said = every(
            lambda after: conversations.messages(MessageFilter(), within=EVERYTHING, after=after, limit=10_000)
        )
        messages = [message async for message in said]
    return list(sessions.items), messages


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_history_is_found_again_after_a_restart(place: Place) -> None:
    for number in (1, 2):
        async with open_database(place.url) as database:
            await SqlTranscriptWriter(database).record(exchange(number))

    [session], messages = await everything(place)
    assert session.messages == 4
    assert contents(messages) == ["Question 1?", "Answer 1.", "Question 2?", "Answer 2."]


KILLED = """
import asyncio, os, signal, sys
from tests.records import exchange
from worker.transcript import SqlTranscriptWriter, open_database

async def main():
    async with open_database(sys.argv[1]) as database:
        for number in range(1, 1000):
            await SqlTranscriptWriter(database).record(exchange(number))
            print(number, flush=True)
            if number == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def writer(place: Place, records: int) -> subprocess.Popen[str]:
    """A process that prints the number of each exchange that it has recorded, and dies behind so many."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, place.url, str(records)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def test_what_was_recorded_is_there_when_the_process_dies_right_after(place: Place) -> None:
    with writer(place, records=2) as process:
        assert process.communicate()[0].split() == ["1", "2"]

    assert process.returncode == -9
    assert contents((await everything(place))[1]) == ["Question 1?", "Answer 1.", "Question 2?", "Answer 2."]


async def test_a_death_in_the_middle_leaves_nothing_half_written(place: Place) -> None:
    with writer(place, records=0) as process:
        assert process.stdout
        process.stdout.readline()
        await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - any moment will do
        process.kill()
        seen = 1 + len(process.stdout.read().split())

    _, messages = await everything(place)
    assert len(messages) in (2 * seen, 2 * seen + 2), "the last one may have been written without a word"
    assert [message.role for message in messages] == [Role.USER, Role.AGENT] * (len(messages) // 2)


@pytest.mark.parametrize("together", [1, 3, 8])
@pytest.mark.parametrize("order", ["forth", "back", "mixed"])
async def test_late_repeated_and_mixed_up_writes_make_the_same_record(
    place: Place, transcript: SqlTranscriptWriter, order: str, together: int
) -> None:
    said = [
        exchange(1, business_key="early", user="maria", use="created"),
        exchange(2),
        exchange(3, use="recreated", thread_id="conv_2", generation=2, assistant_version="1.1"),
        exchange(3, attempt=2, answered_at=START + timedelta(minutes=3, seconds=30), thread_id="conv_2", generation=2),
    ]
    mixed = random.sample(said * 2, 2 * len(said))
    written = {"forth": said * 2, "back": said[::-1] * 2, "mixed": mixed}[order]
    for first in range(0, len(written), together):
        await transcript.record(*written[first : first + together])

    [session], messages = await everything(place)
    assert (session.business_key, session.user, session.started_at) == ("early", "maria", said[0].asked_at)
    assert (session.thread_id, session.generation, session.last_at) == ("conv_2", 2, said[3].answered_at)
    assert contents(messages) == [message.text for each in said for message in each.messages]
    assert [message.generation for message in messages] == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("together", [1, 3, 8])
@pytest.mark.parametrize("order", ["forth", "back", "mixed"])
async def test_what_was_said_between_question_and_answer_stands_there_however_late_and_often_it_is_written(
    place: Place, transcript: SqlTranscriptWriter, order: str, together: int
) -> None:
    said = [exchange(1), exchange(2, between=BETWEEN[:1]), exchange(3), exchange(4, between=BETWEEN)]
    mixed = random.sample(said * 2, 2 * len(said))
    written = {"forth": said * 2, "back": said[::-1] * 2, "mixed": mixed}[order]
    for first in range(0, len(written), together):
        await transcript.record(*written[first : first + together])

    [session], messages = await everything(place)
    spoken = [(message.text, message.role) for each in said for message in each.messages]
    assert session.messages == len(spoken) == 2 + 3 + 2 + 6
    assert [(message.content, message.role) for message in messages] == spoken
    assert len({message.id for message in messages}) == len(messages)
    last = messages[-6:]
    assert [each.position - last[-1].position for each in last] == [-5, -4, -3, -2, -1, 0]
    assert {each.created_at for each in last[:-1]} == {said[3].asked_at}
    assert [(each.response_id, each.input_tokens, each.metadata != {}) for each in last] == [
        *[(None, None, False)] * 5,
        ("resp_4", 100, True),
    ]


async def test_question_and_answer_keep_their_names_whatever_stands_between_them(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    said = exchange(1, between=BETWEEN)
    await transcript.record(said)

    _, messages = await everything(place)
    assert [messages[0].id, messages[-1].id] == [
        message_id("default", said.task_id, 1, role) for role in (Role.USER, Role.AGENT)
    ]


async def test_an_exchange_that_comes_again_with_other_messages_adds_none(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    for first, again in (((), BETWEEN), (BETWEEN[:2], BETWEEN), (BETWEEN, BETWEEN[:1]), (BETWEEN, ())):
        number = len(first) * 10 + len(again)
        await transcript.record(exchange(number, key(f"instance-{number}"), between=first))
        before = await everything(place)
        await transcript.record(exchange(number, key(f"instance-{number}"), between=again))
        assert await everything(place) == before


async def test_what_was_written_first_under_a_name_stays(place: Place, transcript: SqlTranscriptWriter) -> None:
    await transcript.record(exchange(1))
    await transcript.record(exchange(1, answer="Another.", answered_at=START + timedelta(days=1), generation=9))
    await transcript.record(exchange(1, key(assistant="critic"), task_id=exchange(1).task_id))

    [session], messages = await everything(place)
    assert contents(messages) == ["Question 1?", "Answer 1."]
    assert (session.last_at, session.generation) == (exchange(1).answered_at, 1)


async def test_two_that_write_the_same_and_different_exchanges_at_once_write_each_once(place: Place) -> None:
    same = [exchange(number) for number in range(1, 11)]
    async with open_database(place.url) as first, open_database(place.url) as second, asyncio.TaskGroup() as group:
        for writer_name, database in (("a", first), ("b", second)):
            own = [exchange(n + 20, task_id=f"{writer_name}-{n}", answer=writer_name) for n in range(5)]
            for each in (*same, *own):
                group.create_task(SqlTranscriptWriter(database).record(each), name="record")

    [session], messages = await everything(place)
    assert session.messages == len(messages) == 2 * (10 + 5 + 5)
    assert contents(messages)[:20] == [message.text for each in same for message in each.messages]


async def test_many_of_several_sessions_are_written_together_whoever_else_writes_some_of_them(place: Place) -> None:
    said = [exchange(number, key(f"instance-{number % 3}")) for number in range(30)]
    async with open_database(place.url) as first, open_database(place.url) as second, asyncio.TaskGroup() as group:
        for database, some in ((first, said[:20]), (second, said[:9:-1])):
            group.create_task(SqlTranscriptWriter(database).record(*some), name="record")

    sessions, messages = await everything(place)
    assert sorted((each.scope, each.messages) for each in sessions) == [
        (f"instance-{number}", 20) for number in range(3)
    ]
    assert sorted(contents(messages)) == sorted(message.text for each in said for message in each.messages)


async def test_of_many_that_are_written_together_none_is_there_if_one_is_refused(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    await transcript.ping()
    refuse_sessions_of(place, "cursed")
    with pytest.raises(Unstorable):
        await transcript.record(exchange(1), exchange(2, key(assistant="cursed")), exchange(3))

    assert await everything(place) == ([], [])


async def test_many_that_start_at_once_on_an_empty_database_make_its_tables_once(place: Place) -> None:
    async def start(number: int) -> None:
        async with open_database(place.url) as database:
            await SqlTranscriptWriter(database).record(exchange(number))

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(start(number), name=f"start {number}")

    assert place.sql("SELECT version_num FROM transcript_version") == NEWEST
    assert len((await everything(place))[1]) == 8


async def test_a_record_of_the_first_version_is_brought_up_to_date_with_what_is_in_it(place: Place) -> None:
    async with open_database(place.url) as database:
        await SqlTranscriptWriter(database).record(exchange(1))
    for index in (
        "sessions_going_on",
        "sessions_with_threads",
        "sessions_free",
        "sessions_engine",
        "messages_answers",
    ):
        place.sql(f"DROP INDEX {index}")
    for table in (
        "feedback",
        "handovers",
        "visits",
        "asks",
        "anchors",
        "formats",
        "decision_held_messages",
        "decision_rows",
        "decision_processes",
        "decision_revisions",
        "decisions",
        "memory_waiting",
        "memory_facts",
        "memory_subjects",
    ):
        place.sql(f"DROP TABLE {table}")
    if place.is_sqlite:
        place.sql("DROP TABLE fact_words")
    for name in (
        "anchor",
        "provider",
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost",
        "currency",
        "is_between",
        "user_id",
    ):
        place.sql(f"ALTER TABLE messages DROP COLUMN {name}")
    place.sql("ALTER TABLE sessions DROP COLUMN thread_erased_at")
    place.sql("ALTER TABLE sessions DROP COLUMN anonymised_at")
    place.sql("DROP INDEX messages_numbers")
    if place.is_sqlite:
        place.sql("DROP TRIGGER last_number_deleted")
        place.sql("DROP TABLE last_number")
    place.sql("DROP INDEX messages_instance")
    place.sql("CREATE INDEX messages_instance ON messages (process_instance_id, position, id)")
    place.sql("UPDATE transcript_version SET version_num = '0001'")

    async with open_database(place.url) as database:
        assert await differences(database) == []

    sessions, messages = await everything(place)
    assert [each.thread_erased_at for each in sessions] == [None]
    assert contents(messages) == ["Question 1?", "Answer 1."]
    assert place.sql("SELECT version_num FROM transcript_version") == NEWEST


async def test_the_migrations_make_the_tables_that_the_queries_know(database: Database) -> None:
    assert await differences(database) == []


def test_each_migration_is_in_a_file_of_its_revision() -> None:
    revisions = {revision.revision for revision in steps.known()}

    assert revisions == {*migrating.KNOWN}
    assert migrating.newest() == max(revisions) == NEWEST


LOOK = """
import asyncio, sys
from worker.transcript import SqlTranscriptWriter, open_database

async def look():
    async with open_database(sys.argv[1]) as database:
        await SqlTranscriptWriter(database).ping()

asyncio.run(look())
print("alembic" in sys.modules)
"""


async def test_what_changes_tables_is_loaded_only_where_they_are_to_be_changed(place: Place) -> None:
    async def changes() -> str:
        command = [sys.executable, "-c", LOOK, place.url]
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True)
        return str(done.stdout).strip()

    assert await changes() == "True"
    assert await changes() == "False"


async def differences(database: Database) -> list[Any]:
    """What the database has otherwise than the tables say."""

    def compared(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_object": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    def is_ours(_: Any, name: str | None, *__: Any) -> bool:
        return not (name or "").startswith(("message_words", "last_number", "fact_words"))

    return await database.write(lambda connection: connection.run_sync(compared))


async def test_an_instance_of_another_event_loop_is_refused_loudly(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    await transcript.record(exchange(1))
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, transcript.record(exchange(2)))
    await transcript.record(exchange(3))

    assert contents((await everything(place))[1])[::2] == ["Question 1?", "Question 3?"]


async def test_each_thread_with_a_record_of_its_own_writes_beside_others(place: Place) -> None:
    async def write(first: int) -> None:
        async with open_database(place.url) as database:
            for number in range(first, first + 5):
                await SqlTranscriptWriter(database).record(exchange(number))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, write(first)) for first in (1, 11, 21)))

    assert len((await everything(place))[1]) == 30


def refuse_sessions_of(place: Place, assistant: str) -> None:
    place.sql(
        f"CREATE TRIGGER refusal BEFORE INSERT ON sessions WHEN new.assistant = '{assistant}'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
        if place.is_sqlite
        else f"ALTER TABLE sessions ADD CONSTRAINT refusal CHECK (assistant <> '{assistant}')"
    )


async def test_a_session_that_is_refused_says_so_and_holds_up_no_other(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    await transcript.ping()
    refuse_sessions_of(place, "cursed")

    with pytest.raises(Unstorable) as refused:
        await transcript.record(exchange(1, key(assistant="cursed"), question="my secret"))
    await transcript.record(exchange(2))

    assert "secret" not in str(refused.value)
    assert contents((await everything(place))[1]) == ["Question 2?", "Answer 2."]


async def test_messages_that_are_refused_leave_no_session_behind(place: Place, transcript: SqlTranscriptWriter) -> None:
    await transcript.ping()
    place.sql(
        "CREATE TRIGGER refusal BEFORE INSERT ON messages WHEN new.role = 'agent' BEGIN SELECT RAISE(ABORT, 'no'); END"
        if place.is_sqlite
        else "ALTER TABLE messages ADD CONSTRAINT refusal CHECK (role <> 'agent')"
    )
    with pytest.raises(Unstorable):
        await transcript.record(exchange(1))

    assert await everything(place) == ([], [])


@pytest.mark.parametrize("asked_as", [name for name, role in PROVIDER_ROLES.items() if role is not Role.AGENT])
@pytest.mark.parametrize("answered_as", [name for name, role in PROVIDER_ROLES.items() if role is Role.AGENT])
async def test_providers_roles_become_ours(asked_as: str, answered_as: str, tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        await SqlTranscriptWriter(database).record(exchange(1, asked_as=asked_as, answered_as=answered_as))
        page = await SqlTranscriptReader(database).messages(MessageFilter(), within=EVERYTHING)

    assert [message.role for message in page.items] == [PROVIDER_ROLES[asked_as], Role.AGENT]


async def test_the_database_takes_no_role_but_ours(place: Place, transcript: SqlTranscriptWriter) -> None:
    await transcript.record(exchange(1))
    with pytest.raises(Exception, match=r"messages_role|CHECK"):
        place.sql("UPDATE messages SET role = 'assistant'")


LONG = "word " * 3_000_000
MANY = " ".join(map(str, range(100_000, 200_000)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b", "a␀b"),
        ("\0", "␀"),
        ("half \ud83d of a pair \udc00", "half \ufffd of a pair \ufffd"),
        ("😀 東 é\u0301 \u202e \ufeff", "😀 東 é\u0301 \u202e \ufeff"),
        ("", ""),
        ("'; DROP TABLE messages; --", "'; DROP TABLE messages; --"),
        (LONG, LONG),
        ("x" * 3_000_000, "x" * 3_000_000),
        (MANY, MANY),
    ],
    ids=["nul", "only nul", "halves", "unicode", "empty", "sql", "long", "one long word", "many words"],
)
async def test_every_text_is_stored_whole(place: Place, transcript: SqlTranscriptWriter, given: str, kept: str) -> None:
    await transcript.record(exchange(1, question=given, detail=given[:100], user=given[:100]))

    [session], messages = await everything(place)
    assert messages[0].content == kept
    assert (session.user, messages[1].metadata["detail"]) == (kept[:100], kept[:100])


@pytest.mark.parametrize(("length", "beside"), [(10, False), (1_000_000, True)])
async def test_the_words_of_a_long_answer_are_found_beside_the_loop(
    place: Place, transcript: SqlTranscriptWriter, monkeypatch: pytest.MonkeyPatch, length: int, beside: bool
) -> None:
    finding = set[bool]()

    def found(text: str) -> str:
        finding.add(threading.current_thread() is not threading.main_thread())
        return words(text)

    monkeypatch.setattr(rows, "words", found)
    await transcript.record(exchange(1, answer="a " * (length // 2)))

    assert finding == {beside}
    assert len((await everything(place))[1]) == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"answered_at": datetime(2026, 5, 4)},  # noqa: DTZ001 - that is what is wrong
        {"asked_at": datetime(2026, 5, 4)},  # noqa: DTZ001 - that is what is wrong
        {"input_tokens": 2**63},
        {"attempt": -(2**63) - 1},
        {"answered_as": "tool"},
        {"between": [Utterance("found", "tool")]},
        {"between": [Utterance(None, "assistant")]},  # type: ignore[arg-type]  # that is what is wrong
        {"asked_as": "assistant"},
        {"answer": None},
        {"input_tokens": "many"},
        {"seconds": "long"},
        {"definition_id": None},
    ],
    ids=str,
)
async def test_what_can_never_be_stored_says_so(place: Place, transcript: SqlTranscriptWriter, broken: Any) -> None:
    with pytest.raises(Unstorable):
        await transcript.record(exchange(1, **broken))
    await transcript.record(exchange(2))

    assert len((await everything(place))[1]) == 2


async def test_a_bad_answer_is_recorded_with_its_outcome(place: Place, transcript: SqlTranscriptWriter) -> None:
    refused = exchange(1, answer="", outcome=Outcome.REFUSED, detail="content_filter", response_id=None, seconds=None)
    await transcript.record(refused)

    _, (_, answer) = await everything(place)
    assert (answer.metadata["outcome"], answer.metadata["detail"]) == ("refused", "content_filter")


async def test_records_that_are_broken_off_are_whole_or_not_there_and_harm_no_other(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    await transcript.ping()
    for number in range(1, 21):
        task = asyncio.create_task(transcript.record(exchange(number)), name="record")
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.wait([task], timeout=number / 4000)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await transcript.record(exchange(50))

    _, messages = await everything(place)
    assert [message.role for message in messages] == [Role.USER, Role.AGENT] * (len(messages) // 2)
    assert contents(messages)[-1] == "Answer 50."


async def test_sessions_are_one_for_each_thread_key(place: Place, transcript: SqlTranscriptWriter) -> None:
    keys = [
        KEY,
        key("instance-2"),
        key(assistant="critic"),
        key(tenant="a"),
        key(tenant=""),
        key(engine="other"),
        key("business-key:1"),
        key("task:1"),
    ]
    for number, thread in enumerate(keys):
        await transcript.record(exchange(number, thread, task_id=f"task-{number}", process_instance_id="child"))

    sessions, _ = await everything(place)
    owners = {session.id: session.process_instance_id for session in sessions}
    assert owners.keys() == {session_id(thread) for thread in keys}
    assert owners[session_id(keys[-2])] is None
    assert owners[session_id(keys[-1])] == "child"
    assert owners[session_id(KEY)] == "instance-1"


async def recorded(transcript: SqlTranscriptWriter, *exchanges: Exchange) -> None:
    for each in exchanges:
        await transcript.record(each)


async def test_two_replicas_with_one_backlog_each_in_its_own_order(place: Place) -> None:
    backlog = [exchange(number, key(f"instance-{number % 3}")) for number in range(15)]
    async with open_database(place.url) as first, open_database(place.url) as second:
        await asyncio.gather(
            recorded(SqlTranscriptWriter(first), *backlog), recorded(SqlTranscriptWriter(second), *reversed(backlog))
        )

    sessions, messages = await everything(place)
    assert (len(sessions), len(messages)) == (3, 30)
    assert {session.messages for session in sessions} == {10}
