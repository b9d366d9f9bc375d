"""What was recorded is found, in order, by those who may see it; the same on both databases."""

import threading
from datetime import timedelta, timezone
from typing import Any

import pytest

from tests.records import KEY, START, exchange, key
from worker.domain.conversations import (
    EVERYTHING,
    ActivityCounts,
    Filter,
    Limits,
    MessageFilter,
    Page,
    Role,
    Stored,
    session_id,
)
from worker.domain.threads import Outcome
from worker.errors import BadCursor
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, reading, words

SESSION = MessageFilter(session_id=session_id(KEY))


async def all_pages(read: Any, *arguments: Any, **options: Any) -> list[Any]:
    """Everything, page by page."""
    items: list[Any] = []
    after = None
    while True:
        page: Page[Any] = await read(*arguments, after=after, **options)
        items += page.items
        if page.next is None:
            return items
        assert len(page.items) == options["limit"]
        after = page.next


async def test_a_session_and_its_messages_come_back_as_they_were_said(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    said = exchange(1, user="maria", detail="stop", use="created", recovered="thread", repaired=True)
    await transcript.record(said)

    [session] = (await conversations.sessions(Filter(), within=EVERYTHING)).items
    question, answer = (await conversations.messages(SESSION, within=EVERYTHING)).items

    assert (session.id, session.kind, session.scope, session.user) == (session_id(KEY), "thread", "instance-1", "maria")
    assert (session.process_instance_id, session.business_key, session.tenant) == ("instance-1", "order-1", None)
    assert (session.definition_key, session.definition_version) == ("drones", 3)
    assert (session.thread_id, session.generation, session.assistant_version) == ("conv_1", 1, "1.0")
    assert (session.is_active, session.ended_at, session.duration_seconds, session.messages) == (True, None, None, 2)
    assert (session.started_at, session.last_at) == (said.asked_at, said.answered_at)
    assert (question.role, question.content, question.created_at) == (Role.USER, "Question 1?", said.asked_at)
    assert (answer.role, answer.content, answer.created_at) == (Role.AGENT, "Answer 1.", said.answered_at)
    assert answer.position == question.position + 1 == int(said.answered_at.timestamp() * 1_000_000)
    assert (question.response_id, question.input_tokens, question.metadata) == (None, None, {})
    assert (answer.response_id, answer.model, answer.processing_seconds) == ("resp_1", "gpt-5", 5.0)
    assert (answer.input_tokens, answer.output_tokens) == (100, 20)
    assert answer.metadata == {
        "outcome": "ok", "detail": "stop", "use": "created", "recovered": "thread", "repaired": True,
        "assistant_version": "1.0",
    }  # fmt: skip
    assert await conversations.session(session.id, within=EVERYTHING) == session


async def test_an_answer_says_what_spoke(transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader) -> None:
    await transcript.record(exchange(1, instructions="a1", output_schema="b2", worker="0.9", assistant_version="1.1"))

    _, answer = (await conversations.messages(SESSION, within=EVERYTHING)).items
    spoke = {name: answer.metadata[name] for name in ("assistant_version", "instructions", "output_schema", "worker")}
    assert spoke == {"assistant_version": "1.1", "instructions": "a1", "output_schema": "b2", "worker": "0.9"}


async def test_times_come_back_aware_and_utc_whatever_zone_they_came_from(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    tokyo = timezone(timedelta(hours=9))
    await transcript.record(exchange(1, answered_at=(START + timedelta(minutes=2)).astimezone(tokyo)))

    _, answer = (await conversations.messages(SESSION, within=EVERYTHING)).items
    assert answer.created_at == START + timedelta(minutes=2)
    assert answer.created_at.utcoffset() == timedelta(0)


async def test_pages_hold_everything_once_while_more_is_written(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for number in range(1, 6):
        await transcript.record(exchange(number, key(f"instance-{number}")))
    first = await conversations.sessions(Filter(), within=EVERYTHING, limit=2)
    await transcript.record(exchange(9, key("instance-9")))
    rest = await conversations.sessions(Filter(), within=EVERYTHING, limit=9, after=first.next)

    assert [each.scope[-1] for each in (*first.items, *rest.items)] == ["5", "4", "3", "2", "1"]
    assert rest.next is None


@pytest.mark.parametrize("newest", [False, True])
async def test_messages_are_paged_in_order_and_backwards(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, *, newest: bool
) -> None:
    for number in range(1, 5):
        await transcript.record(exchange(number))
    found = await all_pages(conversations.messages, SESSION, within=EVERYTHING, limit=3, newest=newest)

    said = [content for n in range(1, 5) for content in (f"Question {n}?", f"Answer {n}.")]
    assert [message.content for message in found] == (said[::-1] if newest else said)


async def test_exchanges_of_the_same_moment_are_paged_once_each(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    for number in range(7):
        await transcript.record(exchange(1, task_id=f"task-{number}"))
    found = await all_pages(conversations.messages, SESSION, within=EVERYTHING, limit=4)

    assert len({message.id for message in found}) == len(found) == 14


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA", "WzEsMl0", "WzFlOTk5LCJhIl0", "W3RydWUsImEiXQ", "a" * 5000])
async def test_a_cursor_that_is_not_ours_is_refused(conversations: SqlTranscriptReader, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await conversations.messages(SESSION, within=EVERYTHING, after=cursor)
    with pytest.raises(BadCursor):
        await conversations.sessions(Filter(), within=EVERYTHING, after=cursor)
    with pytest.raises(BadCursor):
        await conversations.search("word", Filter(), within=EVERYTHING, after=cursor)
    with pytest.raises(BadCursor):
        await conversations.instances(Filter(), within=EVERYTHING, after=cursor)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), "abcd"),
        (Filter(engine="other"), "d"),
        (Filter(instance="b"), "bc"),
        (Filter(instance="a\0"), ""),
        (Filter(business_key="order-2"), "b"),
        (Filter(definition_key="loans"), "b"),
        (Filter(definition_key="Loans"), ""),
        (Filter(assistant="critic"), "c"),
        (Filter(tenants=frozenset({"north", "south"})), "bd"),
        (Filter(tenants=frozenset()), ""),
        (Filter(active=True), "bcd"),
        (Filter(active=False), "a"),
        (Filter(since=START + timedelta(minutes=3)), "cd"),
        (Filter(until=START + timedelta(minutes=2)), "a"),
        (Filter(since=START + timedelta(minutes=2), until=START + timedelta(minutes=3)), "b"),
        (Filter(active=True, tenants=frozenset({"north"})), "b"),
    ],
)
async def test_filters_leave_what_is_wanted(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, wanted: Filter, found: str
) -> None:
    north = key("b", tenant="north")
    shared = key("business-key:order-3", assistant="critic")
    await transcript.record(exchange(1, key("a"), task_id="a"))
    await transcript.record(exchange(2, north, task_id="b", business_key="order-2", definition_key="loans"))
    await transcript.record(exchange(3, shared, task_id="c", process_instance_id="b", business_key="order-3"))
    await transcript.record(exchange(4, key("d", tenant="south", engine="other"), task_id="d"))
    await transcript.end([session_id(key("a"))], START)
    names = {session_id(key("a")): "a", session_id(north): "b", session_id(shared): "c"}

    sessions = (await conversations.sessions(wanted, within=EVERYTHING)).items
    counts = await conversations.counts(wanted, within=EVERYTHING)
    hits = (await conversations.search("question", wanted, within=EVERYTHING)).items

    assert "".join(sorted(names.get(session.id, "d") for session in sessions)) == found
    assert (counts.sessions, counts.messages, counts.input_tokens) == (len(found), 2 * len(found), 100 * len(found))
    assert {hit.session_id for hit in hits} == {session.id for session in sessions}


@pytest.mark.parametrize("long", [False, True])
async def test_a_process_is_found_by_its_own_key_also_where_it_speaks_on_its_callers_conversation(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, long: bool
) -> None:
    rate, other = "rate_100%", "rate_100x"
    callers = key("caller")
    await transcript.record(exchange(1, callers, definition_key="orders"))
    await transcript.record(
        exchange(2, callers, process_instance_id="called", definition_id=f"{rate}:1:x", definition_key=rate)
    )
    own = {"definition_id": "4711-b"} if long else {}
    await transcript.record(exchange(3, key("alone"), definition_key=rate, **own))
    await transcript.record(exchange(4, key("strange"), definition_key=other))

    async def found(key: str) -> tuple[set[str], set[str], set[str]]:
        wanted = Filter(definition_key=key)
        lists = (
            await conversations.instances(wanted, within=EVERYTHING),
            await conversations.sessions(wanted, within=EVERYTHING),
        )
        hits = (await conversations.search("answer", wanted, within=EVERYTHING)).items
        return (
            {each.id for each in lists[0].items},
            {str(each.process_instance_id) for each in lists[1].items},
            {hit.process_instance_id for hit in hits},
        )

    assert await found(rate) == ({"called", "alone"}, {"caller", "alone"}, {"called", "alone"})
    assert await found("orders") == ({"caller"}, {"caller"}, {"caller"})
    assert await found("rate_") == (set(), set(), set())


@pytest.mark.parametrize(
    ("within", "seen"),
    [
        (EVERYTHING, "abcd"),
        (Limits(tenants=frozenset({"north"})), "b"),
        (Limits(tenants=frozenset({"north", None})), "abd"),
        (Limits(tenants=frozenset()), ""),
        (Limits(instances=frozenset({"a", "b"})), "ab"),
        (Limits(instances=frozenset({"a", "b\0", "\ud800"})), "a"),
        (Limits(tenants=frozenset({"north", "\0", "\ud800"})), "b"),
        (Limits(instances=frozenset({"a", "b"}), tenants=frozenset({"north"})), "b"),
        (Limits(instances=frozenset({"business-key:order-9", "d"})), ""),
    ],
)
async def test_nobody_sees_anything_beyond_the_limits_by_any_way(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, within: Limits, seen: str
) -> None:
    keys = {
        "a": key("a"),
        "b": key("b", tenant="north"),
        "c": key("c", tenant="south"),
        "d": key("business-key:order-9"),  # shared, so it is nobody's own
    }
    for number, (name, thread) in enumerate(keys.items()):
        await transcript.record(exchange(number, thread, process_instance_id=name))
    names = {session_id(thread): name for name, thread in keys.items()}
    everything = list(names)

    sessions = (await conversations.sessions(Filter(), within=within)).items
    single = [await conversations.session(each, within=within) for each in everything]
    messages = (await conversations.messages(MessageFilter(), within=within)).items
    by_id = [(await conversations.messages(MessageFilter(each), within=within)).items for each in everything]
    instances = (await conversations.instances(Filter(), within=within)).items
    by_instance = [await conversations.instance(name, within=within) for name in keys]
    hits = (await conversations.search("question", Filter(), within=within)).items
    counts = await conversations.counts(Filter(), within=within)

    assert "".join(sorted(names[session.id] for session in sessions)) == seen
    assert "".join(sorted(names[session.id] for session in single if session)) == seen
    assert {names[message.session_id] for message in messages} == set(seen)
    assert [names[found[0].session_id] for found in by_id if found] == sorted(seen)
    assert {instance.id for instance in instances} == set(seen)
    assert {instance.id for instance in by_instance if instance} == set(seen)
    assert {names[hit.session_id] for hit in hits} == set(seen)
    assert (counts.sessions, counts.instances, counts.messages) == (len(seen), len(seen), 2 * len(seen))


async def test_an_instance_is_what_was_said_in_it_shared_conversations_included(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    shared = key("business-key:order-1")
    await transcript.record(exchange(1, key("a")))
    await transcript.record(exchange(2, key("a", assistant="critic")))
    await transcript.record(exchange(3, shared, process_instance_id="a"))
    await transcript.record(exchange(4, shared, process_instance_id="b"))
    await transcript.end([session_id(key("a")), session_id(key("a", assistant="critic"))], START + timedelta(hours=1))

    first = await conversations.instance("a", within=EVERYTHING)
    second, again = (await conversations.instances(Filter(), within=EVERYTHING)).items

    assert first == again
    assert first is not None
    assert (first.sessions, first.messages, first.input_tokens, first.output_tokens) == (3, 6, 300, 60)
    assert (first.started_at, first.last_at) == (exchange(1).asked_at, exchange(3).answered_at)
    assert (first.definition_id, first.definition_key, first.business_key) == ("drones:3:4711", "drones", "order-1")
    assert first.is_active, "the shared conversation goes on"
    assert (second.id, second.sessions, second.messages) == ("b", 1, 2)
    assert [each.id for each in await all_pages(conversations.instances, Filter(), within=EVERYTHING, limit=1)] == [
        "b",
        "a",
    ]
    assert await conversations.instance("c", within=EVERYTHING) is None


async def test_messages_of_one_activity_of_an_instance(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    await transcript.record(exchange(2))
    await transcript.record(exchange(2, key(assistant="critic")))
    wanted = MessageFilter(instance="instance-1", activity_id="step_2")

    found = (await conversations.messages(wanted, within=EVERYTHING)).items
    assert [message.content for message in found] == ["Question 2?"] * 2 + ["Answer 2."] * 2


SAID = 'Größe: 3,5 m, naïve "quoted" AND drones\' example.com/path well-known 東京 foo_bar C++ 100%'


ASKED = {
    "drone": True,  # a word's beginning
    "DRONES": True,
    "größe": True,
    "GRÖSSE": True,
    "grösse": True,
    "groesse": False,
    "naive": False,
    "naïve drones": True,
    "drones submarine": False,
    "path": True,
    "example.com": True,
    "well-known": True,
    "known": True,
    "own": False,
    "bar": True,
    "東京": True,
    "3,5": True,
    "100%": True,
    "a": False,
    "m": True,
    '"quoted"': True,
    '"': False,
    "AND": True,
    "NOT drones": False,
    "drones OR submarine": False,
    "drones* AND (": True,
    "content:drones": False,
    "drones:*": True,
    "!drones": True,
    "'drones' | 'x'": False,
    "drones & foo": True,
    "<->": False,
    "\\": False,
    "\0drones": True,
    "\ud800 drones": True,
    "": False,
    "   ": False,
    "x" * 5000: False,
    "drones " * 3000: True,
    "; DROP TABLE messages; --": False,
}


async def test_a_search_finds_words_and_takes_nothing_for_syntax(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1, question=SAID, answer="nothing of it"))

    found = {text: (await conversations.search(text, Filter(), within=EVERYTHING)).items for text in ASKED}
    assert {text: [hit.role for hit in hits] for text, hits in found.items()} == {
        text: [Role.USER] * hit for text, hit in ASKED.items()
    }


async def test_hits_come_newest_first_page_by_page_with_their_place(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    padding = "blah " * 200
    for number in range(1, 6):
        await transcript.record(exchange(number, answer=f"{padding}the needle {number}\nlies here {padding}"))
    found = await all_pages(conversations.search, "Needle", Filter(), within=EVERYTHING, limit=2)

    assert [hit.activity_id for hit in found] == [f"step_{n}" for n in (5, 4, 3, 2, 1)]
    assert "needle 5 lies here" in found[0].excerpt
    assert len(found[0].excerpt) < 300


async def test_a_search_cuts_long_answers_beside_the_loop_one_at_a_time(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting = list[tuple[bool, int]]()

    def cut(content: str, text: str) -> str:
        cutting.append((threading.current_thread() is threading.main_thread(), len(content)))
        return words.excerpt(content, text)

    monkeypatch.setattr(reading, "excerpt", cut)
    for number in range(3):
        await transcript.record(exchange(number, answer=f"the needle lies here {'blah ' * 200_000}"))
    found = await conversations.search("needle", Filter(), within=EVERYTHING, limit=2)

    assert [hit.excerpt[:21] for hit in found.items] == ["the needle lies here "] * 2
    assert [hit.excerpt[-2:] for hit in found.items] == [" …"] * 2
    assert cutting == [(False, words.SEARCHABLE + 1)] * 2


async def test_the_newest_of_many_hits_is_found_by_its_own_words_only(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1, question="alpha beta", answer="gamma"))

    assert (await conversations.search("alpha gamma", Filter(), within=EVERYTHING)).items == []


async def test_a_page_of_long_messages_ends_before_its_limit(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_PAGE", 500)
    for number, length in enumerate((100, 600, 100, 100, 10)):
        await transcript.record(exchange(number, question="Why?", answer="x" * length))

    first = await conversations.messages(MessageFilter(), within=EVERYTHING)
    assert [len(each.content) for each in first.items] == [4, 100, 4]
    pages = [first]
    while pages[-1].next:
        pages.append(await conversations.messages(MessageFilter(), within=EVERYTHING, after=pages[-1].next))
    assert [[len(each.content) for each in page.items] for page in pages] == [
        [4, 100, 4],
        [600],
        [4, 100, 4, 100, 4, 10],
    ]


async def test_what_the_provider_may_have_is_named_once(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1))
    for number, anchor in ((2, "conv_anchor_of_before"), (4, "conv_anchor"), (5, None)):
        await transcript.record(exchange(number, thread_id="conv_2", response_id=None, anchor=anchor))
    await transcript.record(exchange(3, key(engine="other"), thread_id="conv_3"))

    mine = await conversations.stored(MessageFilter(session_id(KEY)), within=EVERYTHING)
    assert mine == Stored({"conv_1": None, "conv_2": "conv_anchor"}, {"resp_1": "conv_1"})
    of_instance = MessageFilter(instance="instance-1", engine="other")
    assert (await conversations.stored(of_instance, within=EVERYTHING)).threads == {"conv_3": None}
    assert await conversations.stored(MessageFilter("nobody's"), within=EVERYTHING) == Stored()


async def test_activities_are_summed_and_stand_in_the_order_in_which_they_last_spoke(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1, task_id="one", activity_id="frame", outcome=Outcome.INVALID))
    await transcript.record(exchange(2, task_id="two", activity_id="decide", seconds=None, input_tokens=None))
    await transcript.record(exchange(3, task_id="one", attempt=2, activity_id="frame", activity_name="Newest"))
    await transcript.record(exchange(4, key("instance-2"), activity_id="frame"))

    decide, frame = await conversations.activities("instance-1", within=EVERYTHING)

    assert decide == ActivityCounts("decide", "Step 2", 1, 1, 0, 20, 0.0, "ok")
    assert frame == ActivityCounts("frame", "Newest", 1, 2, 200, 40, 10.0, "ok")
    assert await conversations.activities("instance-1", within=Limits(tenants=frozenset(["north"]))) == []
