"""Conversations end, lose what they say, or go; as often as it is asked for; the same on both databases."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.transcript.conftest import Place
from tests.records import KEY, START, exchange, key
from worker.domain.conversations import (
    EVERYTHING,
    Ended,
    Filter,
    MessageFilter,
    Role,
    Session,
    Subject,
    message_id,
    session_id,
)
from worker.domain.feedback import Feedback
from worker.transcript import SqlFeedback, SqlTranscriptReader, SqlTranscriptWriter, open_database

INSTANCE = Subject("default", instance="instance-1")
ORDER = Subject("default", business_key="order-1")
SHARED = key("business-key:order-1")


async def session(conversations: SqlTranscriptReader) -> Session:
    found = await conversations.session(session_id(KEY), within=EVERYTHING)
    assert found
    return found


async def said(conversations: SqlTranscriptReader) -> list[str]:
    return [each.content for each in (await conversations.messages(MessageFilter(), within=EVERYTHING)).items]


async def test_sessions_end_once_and_no_others_with_them(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for number, thread in enumerate((KEY, key(assistant="critic"), key("instance-2"), key(engine="other"), SHARED)):
        await transcript.record(exchange(number, thread, process_instance_id="instance-1", task_id=str(number)))
    ended_at = START + timedelta(hours=1)
    names = [session_id(KEY), session_id(SHARED), "nobody's"]

    await transcript.end(names, ended_at)
    await transcript.end(names, ended_at + timedelta(hours=1))

    over = (await conversations.sessions(Filter(active=False), within=EVERYTHING)).items
    assert {each.id for each in over} == {session_id(KEY), session_id(SHARED)}
    assert {each.ended_at for each in over} == {ended_at}


async def test_what_comes_late_does_not_open_an_ended_session_and_corrects_how_long_it_took(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(2))
    await transcript.end([session_id(KEY)], START + timedelta(minutes=10))
    assert (await session(conversations)).duration_seconds == 8 * 60
    await transcript.record(exchange(1))

    late = await session(conversations)
    assert (late.is_active, late.messages, late.started_at) == (False, 4, exchange(1).asked_at)
    assert late.duration_seconds == 9 * 60


async def test_a_session_that_goes_on_after_its_end_is_active_and_has_to_end_again(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    await transcript.end([session_id(KEY)], START + timedelta(minutes=10))
    await transcript.note_erased([session_id(KEY)], START + timedelta(minutes=11))
    await transcript.anonymise([session_id(KEY)], START + timedelta(minutes=11))
    await transcript.record(exchange(1))  # a repeat changes nothing
    over = await session(conversations)
    assert (over.is_active, over.thread_erased_at, over.anonymised_at) == (False, *[START + timedelta(minutes=11)] * 2)

    await transcript.record(exchange(20))

    again = await session(conversations)
    assert (again.is_active, again.ended_at, again.duration_seconds) == (True, None, None)
    assert (again.thread_erased_at, again.anonymised_at) == (None, None)
    assert (await transcript.anonymise([session_id(KEY)], START), await transcript.drop([session_id(KEY)])) == (
        Ended(0, 0),
        Ended(0, 0),
    )
    assert await said(conversations) == ["[removed]", "[removed]", "Question 20?", "Answer 20."]
    await transcript.note_erased([session_id(KEY)], START)
    assert (await session(conversations)).thread_erased_at is None

    await transcript.end([session_id(KEY)], START + timedelta(hours=1))
    assert await transcript.anonymise([session_id(KEY)], START) == Ended(1, 2)
    assert await transcript.drop([session_id(KEY)]) == Ended(1, 4)


async def test_an_end_before_the_start_takes_no_time(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(5))
    await transcript.end([session_id(KEY)], START)
    assert (await session(conversations)).duration_seconds == 0


async def test_ended_sessions_are_found_by_their_end_and_by_what_was_done(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    keys = [key(f"instance-{number}") for number in range(4)]
    for number, thread in enumerate(keys):
        await transcript.record(exchange(number, thread))
    names = list(map(session_id, keys))
    for number, name in enumerate(names[:3]):
        await transcript.end([name], START + timedelta(hours=number))
    await transcript.note_erased(names[:1], START)
    await transcript.anonymise(names[1:2], START)

    async def found(**wanted: Any) -> list[int]:
        page = await conversations.sessions(Filter(**wanted), within=EVERYTHING)
        return sorted(names.index(each.id) for each in page.items)

    assert await found(ended_until=START + timedelta(hours=1)) == [0, 1]
    assert await found(active=False, thread_erased=False) == [1, 2]
    assert await found(thread_erased=True) == [0]
    assert await found(active=False, anonymised=False, ended_until=START + timedelta(hours=1)) == [0]
    assert await found(anonymised=True) == [1]


async def test_anonymising_leaves_structure_and_numbers_and_no_words(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1, user="maria"))
    await transcript.record(exchange(2, key("instance-2")))
    before = (await conversations.messages(MessageFilter(session_id(KEY)), within=EVERYTHING)).items
    names = [session_id(KEY), session_id(key("instance-2"))]
    await transcript.end(names[:1], START + timedelta(hours=1))

    assert await transcript.anonymise(names, START) == Ended(sessions=1, messages=2)
    assert await transcript.anonymise(names, START) == Ended(0, 0)
    await transcript.record(exchange(1, user="maria"))  # a late repeat

    after = (await conversations.messages(MessageFilter(session_id(KEY)), within=EVERYTHING)).items
    assert [each.content for each in after] == ["[removed]"] * 2
    assert [each.position for each in after] == [each.position for each in before]
    assert (after[1].input_tokens, after[1].activity_id, after[1].metadata) == (100, "step_1", before[1].metadata)
    assert (await session(conversations)).user == "[removed]"
    assert [hit.content for hit in after if hit.session_id != session_id(KEY)] == []
    found = (await conversations.search("question", Filter(), within=EVERYTHING)).items
    assert [hit.process_instance_id for hit in found] == ["instance-2"]


async def test_removing_an_instance_takes_its_part_of_a_shared_session(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    await transcript.record(exchange(2, SHARED, process_instance_id="instance-1"))
    await transcript.record(exchange(3, SHARED, process_instance_id="instance-2"))
    await transcript.record(exchange(4, key(engine="other")))

    assert await transcript.remove([INSTANCE]) == Ended(sessions=1, messages=4)
    assert await transcript.remove([INSTANCE]) == Ended(0, 0)
    assert await said(conversations) == ["Question 3?", "Answer 3.", "Question 4?", "Answer 4."]

    assert await transcript.remove([Subject("default", instance="instance-2")]) == Ended(sessions=1, messages=2)
    assert await said(conversations) == ["Question 4?", "Answer 4."]


async def test_removing_a_business_key_takes_all_that_belongs_to_it(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    await transcript.record(exchange(2, SHARED, process_instance_id="instance-9", business_key=None))
    await transcript.record(exchange(3, key("instance-3"), business_key="order-3"))

    assert await transcript.remove([ORDER]) == Ended(sessions=2, messages=4)
    assert await said(conversations) == ["Question 3?", "Answer 3."]


async def test_a_business_key_of_one_tenant_is_not_anothers(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for number, tenant in enumerate((None, "north", "south")):
        await transcript.record(exchange(number, key(f"instance-{number}", tenant=tenant)))
        await transcript.record(exchange(number, key("business-key:order-1", tenant=tenant), task_id=str(number)))

    one = Subject("default", business_key="order-1", tenants=frozenset([None, "south"]))
    assert await transcript.remove([one]) == Ended(sessions=4, messages=8)
    left = (await conversations.sessions(Filter(), within=EVERYTHING)).items
    assert {each.tenant for each in left} == {"north"}
    assert await transcript.remove([ORDER]) == Ended(sessions=2, messages=4)


async def test_many_subjects_go_in_one_call(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for number in (1, 2, 3):
        await transcript.record(exchange(number, key(f"instance-{number}")))
    gone = [Subject("default", instance=f"instance-{number}") for number in (1, 3, 8)]

    assert await transcript.remove(gone) == Ended(sessions=2, messages=4)
    assert await said(conversations) == ["Question 2?", "Answer 2."]


def read_all(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir()).lower()


@pytest.mark.parametrize("step", ["remove", "anonymise", "drop"])
async def test_nothing_of_what_is_erased_stays_in_the_file(tmp_path: Path, step: str) -> None:
    steps: dict[str, Callable[[SqlTranscriptWriter], Awaitable[Ended]]] = {
        "remove": lambda transcript: transcript.remove([INSTANCE]),
        "anonymise": lambda transcript: transcript.anonymise([session_id(KEY)], START),
        "drop": lambda transcript: transcript.drop([session_id(KEY)]),
    }
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        transcript = SqlTranscriptWriter(database)
        await transcript.record(exchange(1, question="xylophonist", answer="Xylophonist " * 2000))
        answer = message_id("default", exchange(1).task_id, 1, Role.AGENT)
        assert await SqlFeedback(database).give(answer, Feedback("wrong", "why", "Xylophonist", "a" * 32, START))
        for number in range(2, 40):
            await transcript.record(exchange(number, key("instance-2"), question="kept " * 200))
        await transcript.end([session_id(KEY)], START)
        await steps[step](transcript)
        while_open = read_all(tmp_path)

    files = while_open + read_all(tmp_path)
    assert b"xylophonist" not in files
    assert b"kept" in files


async def test_a_place_that_was_emptied_is_used_on(place: Place, transcript: SqlTranscriptWriter) -> None:
    await transcript.record(exchange(1))
    await transcript.remove([INSTANCE])
    await transcript.record(exchange(2))

    assert place.sql("SELECT count(*) FROM sessions") == "1"


@pytest.mark.parametrize(
    "both", [{}, {"instance": "1", "business_key": "1"}, {"instance": "1", "person": "1"}, {"chat": "1"}]
)
def test_a_subject_is_one_thing(both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an instance, a business key, a person, or one"):
        Subject("default", **both)


def test_a_chat_is_of_its_person() -> None:
    with pytest.raises(ValueError, match="a chat is a person's"):
        Subject("default", instance="1", chat="1")


async def test_an_order_of_one_tenant_leaves_the_namesake_in_another_engine_and_other_tenants(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    """Engines count their instances from 1; and a called process of another tenant may speak on its caller's thread."""
    threads = {
        "ours": key("42", tenant="south"),
        "another tenant's": key("42", tenant="north", assistant="critic"),
        "another engine's": key("42", tenant="south", engine="other"),
    }
    for number, (whose, thread) in enumerate(threads.items()):
        await transcript.record(exchange(number, thread, task_id=whose, question=whose))

    await transcript.remove([Subject("default", "42", tenants=frozenset(["south"]))])
    assert (await said(conversations))[::2] == ["another tenant's", "another engine's"]

    await transcript.remove([Subject("default", "42")])
    assert (await said(conversations))[::2] == ["another engine's"]


async def test_a_reader_of_one_engine_knows_no_other(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for engine in ("default", "other"):
        await transcript.record(
            exchange(1, key("42", engine=engine), task_id=engine, question=engine, thread_id=engine)
        )
    bound = SqlTranscriptReader(conversations._database, engine="other")

    assert [each.engine for each in (await bound.sessions(Filter(instance="42"), within=EVERYTHING)).items] == ["other"]
    assert await bound.session(session_id(key("42")), within=EVERYTHING) is None
    assert (await said(bound))[::2] == ["other"]
    assert set((await bound.stored(MessageFilter(instance="42"), within=EVERYTHING)).threads) == {"other"}
    [activity] = await bound.activities("42", within=EVERYTHING)
    assert (activity.turns, activity.attempts) == (1, 1)
    [instance] = (await bound.instances(Filter(), within=EVERYTHING)).items
    assert (instance.engine, instance.messages) == ("other", 2)
    assert (await bound.search("default", Filter(), within=EVERYTHING)).items == []
    assert (await bound.counts(Filter(), within=EVERYTHING)).messages == 2


async def test_what_a_person_says_after_the_end_opens_nothing_and_takes_no_mark_away(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    ended_at = START + timedelta(minutes=2)
    await transcript.end([session_id(KEY)], ended_at)
    await transcript.note_erased([session_id(KEY)], ended_at)
    await transcript.anonymise([session_id(KEY)], ended_at)
    before = await session(conversations)
    await transcript.record(exchange(5, activity_id="", user="Ada"))

    after = await session(conversations)
    assert (after.is_active, after.ended_at, after.duration_seconds) == (False, ended_at, before.duration_seconds)
    assert (after.thread_erased_at, after.anonymised_at) == (ended_at, ended_at)
    assert after.last_at == exchange(5).answered_at
    await transcript.record(exchange(6))
    assert (await session(conversations)).is_active


async def test_what_persons_say_beside_a_thread_is_a_chat_of_its_instance_and_at_no_activity(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    await transcript.record(exchange(2, KEY.branch, process_instance_id="instance-1", activity_id="", heard=2))

    branch = await conversations.session(session_id(KEY.branch), within=EVERYTHING)
    assert branch is not None
    assert (branch.kind, branch.process_instance_id) == ("chat", "instance-1")
    assert [each.id for each in await conversations.activities("instance-1", within=EVERYTHING)] == ["step_1"]
    [_, answer] = (await conversations.messages(MessageFilter(branch.id), within=EVERYTHING)).items
    assert answer.metadata["heard"] == 2
    assert await transcript.remove([INSTANCE]) == Ended(2, 4)
