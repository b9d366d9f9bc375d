"""What stands between question and answer is read in its place, and never taken for an answer; on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.transcript.conftest import Place
from tests.records import BETWEEN, KEY, START, exchange
from worker.domain.conversations import (
    EVERYTHING,
    ActivityCounts,
    By,
    Ended,
    Filter,
    MessageFilter,
    Spent,
    Subject,
    session_id,
)
from worker.domain.money import Money
from worker.domain.threads import Outcome, Said
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter
from worker.turn.reseed import History

ALL = MessageFilter()


@pytest.fixture(autouse=True)
async def told(transcript: SqlTranscriptWriter) -> None:
    """Two answers of one activity: one right behind its question, the other one with much before it."""
    place: dict[str, Any] = {"activity_id": "frame", "cost": Money("0.1", "USD")}
    await transcript.record(exchange(1, **place, user="paul", outcome=Outcome.INVALID))
    await transcript.record(exchange(2, **place, user="paul", between=BETWEEN))


async def test_messages_say_where_they_stand_and_who_speaks(conversations: SqlTranscriptReader) -> None:
    page = await conversations.messages(ALL, within=EVERYTHING)

    assert [each.is_between for each in page.items] == [False] * 3 + [True] * 4 + [False]
    assert [each.is_answer for each in page.items] == [False, True] + [False] * 5 + [True]
    assert [each.user for each in page.items] == ["paul", None, "paul", None, "maria", None, None, None]


@pytest.mark.parametrize("by", ["all", "instance", "definition", "day", "assistant", "model"])
async def test_only_answers_are_summed(conversations: SqlTranscriptReader, by: By) -> None:
    [spent] = (await conversations.spent(by, ALL, within=EVERYTHING)).values()

    assert spent == Spent(answers=2, input_tokens=200, output_tokens=40, cost=(Money("0.2", "USD"),))


async def test_activities_count_answers_and_tell_the_newest_ones_outcome(conversations: SqlTranscriptReader) -> None:
    [frame] = await conversations.activities("instance-1", within=EVERYTHING)

    assert frame == ActivityCounts("frame", "Step 2", 2, 2, 200, 40, 10.0, "ok")


async def test_lists_count_every_message_and_the_tokens_of_answers(conversations: SqlTranscriptReader) -> None:
    counts = await conversations.counts(Filter(), within=EVERYTHING)
    instance = await conversations.instance("instance-1", within=EVERYTHING)

    assert instance is not None
    assert (counts.messages, counts.input_tokens) == (instance.messages, instance.input_tokens) == (8, 200)
    assert (instance.started_at, instance.last_at) == (exchange(1).asked_at, exchange(2).answered_at)


async def test_a_search_finds_them_and_says_that_they_are_no_answer(conversations: SqlTranscriptReader) -> None:
    hits = (await conversations.search("register", Filter(), within=EVERYTHING)).items
    [answer] = (await conversations.search("answer 2", Filter(), within=EVERYTHING)).items

    assert [(hit.role, hit.is_between) for hit in hits] == [("system", True), ("agent", True)]
    assert (answer.role, answer.is_between) == ("agent", False)


async def test_a_page_may_end_among_them(conversations: SqlTranscriptReader) -> None:
    first = await conversations.messages(ALL, within=EVERYTHING, limit=5)
    rest = await conversations.messages(ALL, within=EVERYTHING, after=first.next)

    assert [each.content for each in (*first.items, *rest.items)][3:7] == [each.text for each in BETWEEN]


async def test_a_recreated_thread_is_told_questions_and_answers_and_how_many_were_left_out(
    conversations: SqlTranscriptReader,
) -> None:
    whole = await History(conversations, 1000).seed(KEY)
    newest = await History(conversations, 6).seed(KEY)

    assert [each.text for each in whole.said] == ["Question 1?", "Answer 1.", "Question 2?", "Answer 2."]
    assert (whole.turns, whole.left_out) == (2, 0)
    assert (newest.turns, newest.left_out) == (1, 1)
    assert newest.said[1:] == (Said("user", "Question 2?"), Said("assistant", "Answer 2."))


async def test_what_is_anonymised_has_no_words_and_no_person_left(
    place: Place, transcript: SqlTranscriptWriter
) -> None:
    await transcript.end([session_id(KEY)], START + timedelta(hours=1))

    assert await transcript.anonymise([session_id(KEY)], START) == Ended(sessions=1, messages=8)

    assert place.sql("SELECT DISTINCT content, words FROM messages") == "[removed]|"
    people = place.sql("SELECT user_id FROM messages WHERE user_id IS NOT NULL").splitlines()
    assert people == ["[removed]"] * 3
    assert place.sql("SELECT count(*) FROM messages WHERE is_between") == "4"


async def test_what_is_erased_leaves_nothing_of_them(place: Place, transcript: SqlTranscriptWriter) -> None:
    assert await transcript.remove([Subject("default", instance="instance-1")]) == Ended(sessions=1, messages=8)

    assert place.sql("SELECT count(*) FROM messages") == "0"
    await transcript.record(exchange(2, between=BETWEEN))  # what still held it brings it again, whole
    assert place.sql("SELECT count(*) FROM messages") == "6"
