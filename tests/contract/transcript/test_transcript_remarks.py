"""What was said elsewhere, in the transcript's database: the same on both, read with the rest and told to no model."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.asks import ADA, MARY
from tests.contract.transcript.conftest import Place
from tests.records import KEY, START, exchange
from worker.domain.conversations import (
    EVERYTHING,
    MOST_ATTACHMENTS,
    Filter,
    Message,
    MessageFilter,
    Role,
    Subject,
    session_id,
)
from worker.domain.people import Person
from worker.domain.remarks import Remark, remark_id
from worker.errors import AskedOtherwise, Unstorable
from worker.transcript import Database, SqlRemarks, SqlTranscriptReader, SqlTranscriptWriter
from worker.turn.reseed import History

BESIDE = session_id(KEY.branch)
LINK = "https://files.example/a.wav?sig=1"


def remark(client_id: str = "1", person: Person = ADA, **changes: Any) -> Remark:
    usual = Remark(
        id=remark_id(KEY, person, client_id),
        about=KEY,
        person=person,
        role=Role.AGENT,
        text="The caller agrees.",
        instance="instance-1",
        definition_id="drones:3:4711",
        definition_key="drones",
        said_at=START + timedelta(hours=1),
    )
    return replace(usual, **changes)


@pytest.fixture
async def remarks(database: Database, transcript: SqlTranscriptWriter) -> SqlRemarks:
    await transcript.record(exchange(1))
    return SqlRemarks(database)


async def beside(conversations: SqlTranscriptReader) -> list[Message]:
    return list((await conversations.messages(MessageFilter(BESIDE), within=EVERYTHING)).items)


@pytest.mark.parametrize("role", [*Role])
async def test_a_remark_is_read_with_who_recorded_it_and_what_comes_with_it(
    remarks: SqlRemarks, conversations: SqlTranscriptReader, role: Role
) -> None:
    said = remark(role=role, text="Wh\0y?", attachments=(LINK, f"{LINK}2"), metadata={"call": {"id": 7, "x": "\0"}})
    kept = await remarks.record(said)
    assert kept is not None
    assert (kept.text, kept.role, kept.person_id, kept.attachments) == ("Wh␀y?", role, ADA.id, [LINK, f"{LINK}2"])
    assert kept.metadata == {"call": {"id": 7, "x": "␀"}}
    assert await remarks.remark(said.id) == kept

    [message] = await beside(conversations)
    assert (message.id, message.content, message.role, message.user) == (said.id, "Wh␀y?", role, "Ada")
    assert (message.is_remark, message.is_between, message.is_answer) == (True, True, False)
    assert (message.attachment_url, message.attachments) == (LINK, [LINK, f"{LINK}2"])
    assert message.thread_id is None
    session = await conversations.session(BESIDE, within=EVERYTHING)
    assert session is not None
    assert (session.kind, session.process_instance_id, session.is_active, session.messages) == (
        "chat",
        "instance-1",
        True,
        1,
    )
    assert (session.thread_id, session.last_at) == (None, said.said_at)


async def test_a_message_that_is_sent_again_is_the_one_that_is_there(remarks: SqlRemarks) -> None:
    kept = [await remarks.record(remark(said_at=START + timedelta(hours=n))) for n in (1, 2)]
    assert kept[0] == kept[1]
    for other in ({"text": "No."}, {"role": Role.USER}):
        with pytest.raises(AskedOtherwise):
            await remarks.record(remark(**other))


async def test_two_persons_with_one_client_id_record_twice(
    remarks: SqlRemarks, conversations: SqlTranscriptReader
) -> None:
    await remarks.record(remark())
    await remarks.record(remark(person=MARY, text="He does not."))
    assert [each.user for each in await beside(conversations)] == ["Ada", "Mary"]


async def test_many_at_once_are_each_there_once_with_a_number_of_their_own(
    remarks: SqlRemarks, conversations: SqlTranscriptReader, transcript: SqlTranscriptWriter
) -> None:
    said = [remark(str(number % 5), text=f"{number % 5}") for number in range(10)]
    await asyncio.gather(*map(remarks.record, said), transcript.record(exchange(2)))
    found = await conversations.since(MessageFilter(BESIDE), {}, within=EVERYTHING)
    numbers = [number for number, _ in found]
    assert sorted(message.content for _, message in found) == [str(number) for number in range(5)]
    assert numbers == sorted(set(numbers))
    await remarks.record(remark("new"))
    [(number, _)] = await conversations.since(MessageFilter(BESIDE), {BESIDE: numbers[-1]}, within=EVERYTHING)
    assert number > numbers[-1]


async def test_one_that_cannot_be_recorded_takes_no_other_along(
    remarks: SqlRemarks, conversations: SqlTranscriptReader
) -> None:
    bad = remark("bad", metadata={"x": "y" * 5000})
    done = await asyncio.gather(
        *(remarks.record(each) for each in (remark("1"), bad, remark("2"))), return_exceptions=True
    )
    assert [type(each).__name__ for each in done] == ["Recorded", "Unstorable", "Recorded"]
    assert len(await beside(conversations)) == 2
    assert await remarks.remark(bad.id) is None


async def test_links_and_metadata_come_later(remarks: SqlRemarks, conversations: SqlTranscriptReader) -> None:
    said = remark(metadata={"a": 1, "b": 1})
    await remarks.record(said)
    for _ in range(2):
        added = await remarks.add(said.id, [LINK], {"b": 2, "c": 3})
        assert added is not None
        assert (added.attachments, added.metadata) == ([LINK], {"a": 1, "b": 2, "c": 3})
    assert await remarks.remark(said.id) == added
    assert await remarks.record(said) == added, "sent again it stays as it is"
    [message] = await beside(conversations)
    assert message.attachment_url == LINK


async def test_who_follows_the_record_sees_a_remark_again_whenever_it_was_added_to(
    remarks: SqlRemarks, conversations: SqlTranscriptReader
) -> None:
    said, other = remark(), remark("2", said_at=START + timedelta(hours=2))
    await remarks.record(said)
    await remarks.record(other)

    async def news() -> list[tuple[str, list[str]]]:
        found = await conversations.since(MessageFilter(BESIDE), read, within=EVERYTHING)
        read[BESIDE] = max([number for number, _ in found], default=read.get(BESIDE, 0))
        return [(message.id, list(message.attachments)) for _, message in found]

    read = dict[str, int]()
    assert await news() == [(said.id, []), (other.id, [])]
    await remarks.add(said.id, [LINK], {})
    assert await news() == [(said.id, [LINK])]
    await remarks.add(said.id, [LINK], {})
    assert await news() == [], "nothing has changed"
    await remarks.take_back(said.id)
    await remarks.add(other.id, [], {"a": 1})
    assert await news() == [(other.id, [])]
    assert [each.id for each in await beside(conversations)] == [other.id]
    assert len((await conversations.search("caller", Filter(), within=EVERYTHING)).items) == 1


async def test_a_remark_that_was_added_to_stays_where_it_stood_and_is_found_once(
    remarks: SqlRemarks, conversations: SqlTranscriptReader
) -> None:
    said = [remark(f"{n}", said_at=START + timedelta(hours=n)) for n in (1, 2)]
    for each in said:
        await remarks.record(each)
    before = await beside(conversations)
    await remarks.add(said[0].id, [], {"a": 1})
    after = await beside(conversations)
    assert [(each.id, each.position, each.created_at) for each in after] == [
        (each.id, each.position, each.created_at) for each in before
    ]
    assert len((await conversations.search("caller", Filter(), within=EVERYTHING)).items) == 2


async def test_what_two_add_at_once_is_all_there(remarks: SqlRemarks) -> None:
    said = remark()
    await remarks.record(said)
    await asyncio.gather(*(remarks.add(said.id, [f"{LINK}{n}"], {str(n): n}) for n in range(5)))
    kept = await remarks.remark(said.id)
    assert kept is not None
    assert (len(kept.attachments), len(kept.metadata)) == (5, 5)


async def test_what_comes_later_has_its_bounds_too(remarks: SqlRemarks) -> None:
    said = remark(attachments=[f"{LINK}{n}" for n in range(MOST_ATTACHMENTS)], metadata={"x": "y" * 3900})
    kept = await remarks.record(said)
    with pytest.raises(Unstorable):
        await remarks.add(said.id, [LINK], {})
    with pytest.raises(Unstorable):
        await remarks.add(said.id, [], {"z": "y" * 200})
    assert await remarks.remark(said.id) == kept


async def test_nothing_is_added_to_what_is_no_remark(remarks: SqlRemarks, conversations: SqlTranscriptReader) -> None:
    page = await conversations.messages(MessageFilter(session_id(KEY)), within=EVERYTHING)
    for name in ("nobody's", *(each.id for each in page.items)):
        assert await remarks.remark(name) is None
        assert await remarks.add(name, [LINK], {}) is None


@pytest.mark.parametrize("thread", [KEY, KEY.branch], ids=["trunk", "branch"])
async def test_no_model_is_told_of_it(remarks: SqlRemarks, conversations: SqlTranscriptReader, thread: Any) -> None:
    before = await History(conversations, 1000).seed(thread)
    for role in Role:
        await remarks.record(remark(role, role=role))
    assert await History(conversations, 1000).seed(thread) == before
    assert await History(conversations, 1000).thread(KEY.branch) is None
    assert (await conversations.stored(MessageFilter(BESIDE), within=EVERYTHING)).threads == {}
    spent = await conversations.spent("all", MessageFilter(BESIDE), within=EVERYTHING)
    assert sum(each.answers for each in spent.values()) == 0


async def test_a_search_finds_it(remarks: SqlRemarks, conversations: SqlTranscriptReader) -> None:
    await remarks.record(remark())
    [hit] = (await conversations.search("caller", Filter(), within=EVERYTHING)).items
    assert hit.session_id == BESIDE


async def test_what_is_made_anonymous_keeps_nothing_of_it(
    remarks: SqlRemarks, conversations: SqlTranscriptReader, transcript: SqlTranscriptWriter
) -> None:
    said = remark(attachments=[LINK], metadata={"caller": "+49"})
    await remarks.record(said)
    await transcript.end([BESIDE], START + timedelta(days=1))
    await transcript.anonymise([BESIDE], START + timedelta(days=2))
    [message] = await beside(conversations)
    assert (message.content, message.user, message.metadata) == ("[removed]", "[removed]", {})
    assert message.attachments == []
    assert await remarks.record(said) is None
    assert await remarks.record(remark("2")) is None
    assert await remarks.add(said.id, [LINK], {}) is None


async def test_what_an_older_worker_has_left_of_it_goes_when_the_next_one_is_made_anonymous(
    remarks: SqlRemarks, conversations: SqlTranscriptReader, transcript: SqlTranscriptWriter, place: Place
) -> None:
    await remarks.record(remark(metadata={"caller": "+49"}))
    await transcript.end([BESIDE], START + timedelta(days=1))
    place.sql("UPDATE messages SET content = '[removed]', words = '' WHERE user_id = 'Ada'")
    place.sql("UPDATE sessions SET anonymised_at = ended_at WHERE kind = 'chat'")
    await transcript.anonymise(["another"], START + timedelta(days=2))
    [message] = await beside(conversations)
    assert (message.user, message.metadata) == ("[removed]", {})


async def test_it_is_erased_with_its_instance(
    remarks: SqlRemarks, transcript: SqlTranscriptWriter, place: Place
) -> None:
    await remarks.record(remark())
    await transcript.remove([Subject("default", instance="instance-1")])
    assert place.sql("SELECT count(*) FROM messages") == "0"
    assert place.sql("SELECT count(*) FROM sessions") == "0"


async def test_what_is_taken_back_leaves_no_empty_session(
    remarks: SqlRemarks, conversations: SqlTranscriptReader
) -> None:
    first, second = remark("1"), remark("2")
    await remarks.record(first)
    await remarks.record(second)
    await remarks.take_back(first.id)
    assert [each.id for each in await beside(conversations)] == [second.id]
    await remarks.take_back(second.id)
    assert await conversations.session(BESIDE, within=EVERYTHING) is None
    assert await conversations.session(session_id(KEY), within=EVERYTHING) is not None
