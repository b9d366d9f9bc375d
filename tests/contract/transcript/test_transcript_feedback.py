"""What people say of answers stands beside them, one word of each person, and goes with them; on both databases."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.contract.transcript.conftest import Place
from tests.records import BETWEEN, KEY, START, exchange, key
from worker.domain.conversations import (
    EVERYTHING,
    Ended,
    Limits,
    Message,
    MessageFilter,
    Role,
    Subject,
    message_id,
    session_id,
)
from worker.domain.feedback import LONGEST_NOTE, Feedback, Rated, Rating
from worker.errors import Unstorable
from worker.transcript import Database, SqlFeedback, SqlTranscriptReader, SqlTranscriptWriter, open_database

ANN, BEN = "a" * 32, "b" * 32
INSTANCE = Subject("default", instance="instance-1")


def says(whose: str, rating: Rating = "wrong", note: str = "", minute: int = 0, **others: Any) -> Feedback:
    said = Feedback(rating, note, {ANN: "Ann", BEN: "Ben"}[whose], whose, START + timedelta(minutes=minute))
    return replace(said, **others)


def answer(number: int = 1, whose: str = "instance-1", assistant: str = "analyst") -> str:
    """The id of an answer of `tests.records.exchange`."""
    return message_id("default", f"task-{whose}-{assistant}-{number}", 1, Role.AGENT)


@pytest.fixture
def people(database: Database) -> SqlFeedback:
    return SqlFeedback(database)


@pytest.fixture(autouse=True)
async def told(transcript: SqlTranscriptWriter) -> None:
    """Two answers of an instance, much said before the second one, and an answer of another instance."""
    await transcript.record(exchange(1))
    await transcript.record(exchange(2, between=BETWEEN))
    await transcript.record(exchange(3, key("instance-2", assistant="critic"), assistant_version="2.0"))


async def read(conversations: SqlTranscriptReader, name: str | None = None) -> list[Message]:
    return list((await conversations.messages(MessageFilter(id=name or answer()), within=EVERYTHING)).items)


async def said(conversations: SqlTranscriptReader, name: str | None = None) -> list[Feedback]:
    [message] = await read(conversations, name)
    return list(message.feedback)


async def test_what_two_persons_say_stands_beside_the_answer_the_earliest_first(
    place: Place, conversations: SqlTranscriptReader, people: SqlFeedback
) -> None:
    late, early = says(BEN, "right", minute=9), says(ANN, "wrong", "The price is of last year.")
    assert await people.give(answer(), late)
    assert await people.give(answer(), early)

    assert await said(conversations) == [early, late]
    everything = (await conversations.messages(MessageFilter(), within=EVERYTHING)).items
    assert [len(each.feedback) for each in everything] == [0, 2] + [0] * (len(everything) - 2)
    async with open_database(place.url) as opened:
        assert await said(SqlTranscriptReader(opened)) == [early, late], "it is on disk"


async def test_a_person_has_one_word_which_a_new_one_replaces_and_only_that_person_takes_back(
    conversations: SqlTranscriptReader, people: SqlFeedback
) -> None:
    await people.give(answer(), says(BEN, "right"))
    await people.give(answer(), says(ANN, "wrong", "No."))
    changed = says(ANN, "right", "Yes, after all.", minute=2, person="Ann Other")
    assert await people.give(answer(), changed)
    assert await people.give(answer(), changed)
    assert await said(conversations) == [says(BEN, "right"), changed]

    for _ in range(2):
        await people.take_back(answer(), ANN)
    await people.take_back("nobody's\0", BEN)
    assert await said(conversations) == [says(BEN, "right")]


@pytest.mark.parametrize(
    "name",
    [
        message_id("default", "task-instance-1-analyst-1", 1, Role.USER),
        message_id("default", "task-instance-1-analyst-2", 1, Role.AGENT, 1),
        "nobody's",
        "nobody's\0\ud800",
    ],
    ids=["question", "step", "unknown", "no id"],
)
async def test_only_answers_that_there_are_get_a_word(place: Place, people: SqlFeedback, name: str) -> None:
    assert not await people.give(name, says(ANN))
    assert place.sql("SELECT count(*) FROM feedback") == "0"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("\0\ud800 \x1b[2J\u202e", "␀\ufffd \x1b[2J\u202e"),
        ("'; DROP TABLE feedback; --", "'; DROP TABLE feedback; --"),
        ("👩\u200d👩" * (LONGEST_NOTE // 3), "👩\u200d👩" * (LONGEST_NOTE // 3)),
    ],
    ids=["unstorable", "SQL", "long"],
)
async def test_notes_and_names_are_kept_whole_and_cleaned_as_messages_are(
    conversations: SqlTranscriptReader, people: SqlFeedback, given: str, kept: str
) -> None:
    assert await people.give(answer(), says(ANN, note=given, person=given))

    assert await said(conversations) == [says(ANN, note=kept, person=kept)]


async def test_the_database_takes_no_rating_but_ours(place: Place, people: SqlFeedback) -> None:
    with pytest.raises(Unstorable):
        await people.give(answer(), says(ANN, "so-so"))  # type: ignore[arg-type]  # as a bug would have it
    assert place.sql("SELECT count(*) FROM feedback") == "0"


async def test_one_message_is_read_by_its_id_within_what_may_be_seen(conversations: SqlTranscriptReader) -> None:
    [found] = await read(conversations)
    assert (found.id, found.content) == (answer(), "Answer 1.")
    assert await read(conversations, "nobody's") == []
    for limits in (Limits(instances=frozenset(["instance-2"])), Limits(tenants=frozenset(["north"]))):
        assert (await conversations.messages(MessageFilter(id=answer()), within=limits)).items == []


async def test_words_are_counted_by_assistant_and_version_from_a_time_on(
    conversations: SqlTranscriptReader, people: SqlFeedback
) -> None:
    critics = answer(3, "instance-2", "critic")
    await people.give(answer(1), says(ANN, "right"))
    await people.give(answer(1), says(BEN, "wrong", minute=5))
    await people.give(answer(2), says(BEN, "wrong", minute=6))
    await people.give(critics, says(ANN, "right", minute=7))

    since = START + timedelta(minutes=6)
    assert await conversations.rated(within=EVERYTHING) == [Rated("analyst", "1.0", 1, 2), Rated("critic", "2.0", 1)]
    assert await conversations.rated(since=since, within=EVERYTHING) == [
        Rated("analyst", "1.0", 0, 1),
        Rated("critic", "2.0", 1),
    ]
    seen = Limits(instances=frozenset(["instance-2"]))
    assert await conversations.rated(within=seen) == [Rated("critic", "2.0", 1)]
    assert await SqlTranscriptReader(conversations._database, engine="other").rated(within=EVERYTHING) == []


async def test_an_answer_of_no_known_version_is_counted_too(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, people: SqlFeedback
) -> None:
    await transcript.record(exchange(4, assistant_version=None))
    for number in (1, 4):
        await people.give(answer(number), says(ANN))

    assert await conversations.rated(within=EVERYTHING) == [Rated("analyst", "", 0, 1), Rated("analyst", "1.0", 0, 1)]


# Its end


async def over(transcript: SqlTranscriptWriter) -> None:
    await transcript.end([session_id(KEY)], START + timedelta(hours=1))


async def test_anonymising_leaves_ratings_without_persons_and_notes(
    place: Place, transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, people: SqlFeedback
) -> None:
    critics = answer(3, "instance-2", "critic")
    for person, note in ((ANN, "secret"), (BEN, "")):
        await people.give(answer(), says(person, note=note))
    await people.give(critics, says(ANN, note="kept"))
    await over(transcript)

    assert await transcript.anonymise([session_id(KEY)], START) == Ended(1, 8, 2)
    assert await transcript.anonymise([session_id(KEY)], START) == Ended(0, 0)

    assert await said(conversations) == [
        replace(says(person), person="[removed]", person_id=None, note=note)
        for person, note in ((ANN, "[removed]"), (BEN, ""))
    ]
    assert await said(conversations, critics) == [says(ANN, note="kept")]
    assert not await people.give(answer(), says(ANN)), "its words are gone"
    assert place.sql("SELECT count(*) FROM feedback") == "3"


async def test_what_an_older_worker_left_when_it_anonymised_goes_with_the_next_record(
    place: Place, transcript: SqlTranscriptWriter, people: SqlFeedback
) -> None:
    await people.give(answer(), says(ANN, note="secret"))
    place.sql("UPDATE messages SET content = '[removed]'")

    assert await transcript.anonymise(["another's"], START) == Ended(0, 0, 1)
    assert place.sql("SELECT person, note FROM feedback") == "[removed]|[removed]"


async def test_erasing_takes_it_along_and_counts_it(
    place: Place, transcript: SqlTranscriptWriter, people: SqlFeedback
) -> None:
    shared = key("business-key:order-1")
    for number, instance in ((5, "instance-1"), (6, "instance-2")):
        await transcript.record(exchange(number, shared, process_instance_id=instance))
    for name in (answer(1), answer(5, shared.scope), answer(6, shared.scope)):
        await people.give(name, says(ANN))
    await people.give(answer(1), says(BEN))

    assert await transcript.remove([INSTANCE]) == Ended(sessions=1, messages=10, feedback=3)
    assert place.sql("SELECT message_id FROM feedback") == answer(6, shared.scope)
    assert await transcript.remove([INSTANCE]) == Ended(0, 0)


async def test_dropping_a_session_takes_it_along(
    place: Place, transcript: SqlTranscriptWriter, people: SqlFeedback
) -> None:
    await people.give(answer(), says(ANN))
    await over(transcript)

    assert await transcript.drop([session_id(KEY)]) == Ended(1, 8, 1)
    assert place.sql("SELECT count(*) FROM feedback") == "0"


async def test_it_goes_with_a_message_that_an_older_worker_deletes(
    place: Place, database: Database, people: SqlFeedback
) -> None:
    await people.give(answer(), says(ANN))

    await database.write(lambda connection: connection.execute(text("DELETE FROM messages")))

    assert place.sql("SELECT count(*) FROM feedback") == "0"


@pytest.mark.parametrize("step", ["anonymise", "remove", "drop"])
async def test_nothing_is_left_of_a_word_that_is_given_while_its_answer_ends(
    place: Place, transcript: SqlTranscriptWriter, step: str
) -> None:
    instances = [f"instance-{number}" for number in range(10, 22)]
    names = {name: session_id(key(name)) for name in instances}
    for number, name in enumerate(instances):
        await transcript.record(exchange(number, key(name)))
        await transcript.end([names[name]], START + timedelta(hours=1))
    ends: dict[str, Callable[[SqlTranscriptWriter, str], Any]] = {
        "anonymise": lambda writer, name: writer.anonymise([names[name]], START),
        "remove": lambda writer, name: writer.remove([Subject("default", instance=name)]),
        "drop": lambda writer, name: writer.drop([names[name]]),
    }
    async with open_database(place.url) as one, open_database(place.url) as other, asyncio.TaskGroup() as group:
        for number, name in enumerate(instances):
            group.create_task(SqlFeedback(one).give(answer(number, name), says(ANN, note="secret")))
            group.create_task(ends[step](SqlTranscriptWriter(other), name))
            group.create_task(SqlFeedback(one).give(answer(number, name), says(ANN, note="secret")))

    assert place.sql("SELECT count(*) FROM feedback WHERE note = 'secret' OR person = 'Ann'") == "0"
