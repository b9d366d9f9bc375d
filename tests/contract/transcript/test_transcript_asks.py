"""What persons ask, in the transcript's database, the same on both."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.asks import ADA, MARY, ask
from tests.contract.transcript.conftest import Place
from tests.records import KEY, exchange, key
from worker.domain.asks import Ask, State
from worker.domain.conversations import EVERYTHING, MessageFilter, Subject, session_id
from worker.errors import AskedOtherwise, Unstorable
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter, open_database

LEASE = timedelta(minutes=1)
NONE = timedelta(0)


@pytest.fixture
async def asks(database: Database, transcript: SqlTranscriptWriter) -> SqlAsks:
    await transcript.record(exchange(1), exchange(2, key("instance-2")), exchange(3, key(tenant="north")))
    return SqlAsks(database, engine="default")


async def claimed(asks: SqlAsks, lease: timedelta = LEASE) -> Ask:
    [found] = await asks.claim(5, lease)
    return found


async def test_what_is_accepted_is_there_as_it_was_asked(asks: SqlAsks) -> None:
    said = ask(text="Wh\0y?", business_key="order-1", definition_version=3, as_of=4)
    kept = await asks.accept(said)

    assert replace(kept, created_at=said.created_at, due_at=said.due_at) == replace(said, text="Wh␀y?")
    assert await asks.ask(kept.id) == kept
    assert await asks.of_session(session_id(KEY)) == [kept]
    assert await asks.oldest(KEY.branch) == kept
    assert await asks.oldest(KEY) is None
    assert await asks.backlog() == 1


async def test_a_message_that_is_sent_again_is_the_one_that_is_there(asks: SqlAsks) -> None:
    kept = await asks.accept(ask())
    assert await asks.settle(await claimed(asks), State.ANSWERED, answer="0" * 32)
    again = await asks.accept(ask())

    assert (again.created_at, again.state, again.answer) == (kept.created_at, State.ANSWERED, "0" * 32)
    assert again.finished_at is not None
    with pytest.raises(AskedOtherwise):
        await asks.accept(ask(text="Why not?"))


async def test_links_come_with_the_question_to_who_reads_it_until_the_ask_is_gone(
    asks: SqlAsks, conversations: SqlTranscriptReader, transcript: SqlTranscriptWriter
) -> None:
    links = ["https://files.example/a", "https://files.example/b?\u2400"]
    kept = await asks.accept(ask(attachments=("https://files.example/a", "https://files.example/b?\0")))
    assert list(kept.attachments) == links
    with pytest.raises(AskedOtherwise):
        await asks.accept(ask(attachments=links[:1]))
    for attempt in (1, 2):
        said = exchange(attempt, kept.target, task_id=kept.id, activity_id="", attempt=attempt, question=kept.text)
        await transcript.record(said)
    await transcript.record(exchange(3, kept.target))

    async def read() -> list[list[str]]:
        wanted = MessageFilter(session_id(kept.target))
        page = await conversations.messages(wanted, within=EVERYTHING)
        followed = await conversations.since(wanted, {}, within=EVERYTHING)
        assert {each.id: each for each in page.items} == {each.id: each for _, each in followed}
        return [list(each.attachments) for each in page.items]

    assert await read() == [links, [], links, [], [], []]
    await asks.drop([kept.session_id])
    assert await read() == [[]] * 6


async def test_two_persons_with_one_client_id_ask_twice(asks: SqlAsks) -> None:
    kept = [await asks.accept(ask(person=person)) for person in (ADA, MARY)]
    assert await asks.oldest(KEY.branch) == kept[0]
    assert await asks.backlog() == 2


async def test_what_a_person_has_waiting_is_counted_up_to_a_bound(asks: SqlAsks) -> None:
    first, *_ = [await asks.accept(ask(name)) for name in ("1", "2", "3")]
    await asks.accept(ask(person=MARY))
    assert await asks.withdraw(first.id)
    assert [await asks.waiting(ADA, most) for most in (1, 5)] == [1, 2]
    assert await asks.waiting(MARY, 5) == 1


async def test_many_that_send_one_message_at_once_have_one_ask(asks: SqlAsks) -> None:
    kept = await asyncio.gather(*(asks.accept(ask()) for _ in range(5)))
    assert len({(each.id, each.created_at) for each in kept}) == 1
    assert await asks.backlog() == 1


async def test_nothing_is_asked_about_a_thread_without_a_session(asks: SqlAsks) -> None:
    with pytest.raises(Unstorable):
        await asks.accept(ask(about=key("nobody's")))


async def test_of_each_thread_the_oldest_is_had_and_by_one_worker_alone(asks: SqlAsks) -> None:
    first, _, other, tenant = [
        await asks.accept(each)
        for each in (ask("1"), ask("2"), ask("3", key("instance-2")), ask("4", key(tenant="north")))
    ]
    found = await asyncio.gather(*(asks.claim(2, LEASE) for _ in range(4)))
    assert sorted(each.id for some in found for each in some) == sorted([first.id, other.id, tenant.id])
    assert await asks.claim(5, LEASE) == ()


async def test_the_next_one_of_a_thread_is_had_when_the_one_before_is_finished(asks: SqlAsks) -> None:
    await asks.accept(ask("1"))
    second = await asks.accept(ask("2"))
    first = await claimed(asks)
    assert (first.state, first.deaths) == (State.RUNNING, 0)
    assert await asks.settle(first, State.FAILED, "no")

    assert (await claimed(asks)).id == second.id
    failed = await asks.ask(first.id)
    assert failed is not None
    assert (failed.state, failed.failure, failed.holder) == (State.FAILED, "no", None)


async def test_what_a_dead_worker_had_is_had_again_with_a_death_more(asks: SqlAsks) -> None:
    await asks.accept(ask())
    lost = [await claimed(asks, NONE) for _ in range(3)]
    last = await claimed(asks)

    assert [each.deaths for each in (*lost, last)] == [0, 1, 2, 3]
    for dead in lost:
        assert not await asks.renew(dead, LEASE)
        assert not await asks.postpone(dead, NONE)
        assert not await asks.settle(dead, State.ANSWERED)
    assert await asks.renew(last, LEASE)


async def test_a_lease_that_is_renewed_keeps_others_away(asks: SqlAsks) -> None:
    await asks.accept(ask())
    held = await claimed(asks, NONE)
    assert await asks.renew(held, LEASE)
    assert await asks.claim(5, LEASE) == ()


async def test_what_is_put_off_waits_its_time_in_its_place_and_counts_no_death(asks: SqlAsks) -> None:
    first = await asks.accept(ask("1"))
    await asks.accept(ask("2"))
    assert await asks.postpone(await claimed(asks), LEASE)
    assert await asks.claim(5, LEASE) == ()
    waiting = await asks.ask(first.id)
    assert waiting is not None
    assert (waiting.state, waiting.holder) == (State.QUEUED, None)
    assert waiting.due_at > waiting.created_at + LEASE / 2


async def test_deaths_count_in_a_row_only(asks: SqlAsks) -> None:
    await asks.accept(ask())
    await claimed(asks, NONE)
    assert await asks.postpone(await claimed(asks), NONE)
    assert (await claimed(asks)).deaths == 0


async def test_what_nobody_has_begun_with_can_be_withdrawn(asks: SqlAsks) -> None:
    first, second = await asks.accept(ask("1")), await asks.accept(ask("2"))
    await claimed(asks)

    began, withdrawn = await asks.withdraw(first.id), await asks.withdraw(second.id)
    assert began is not None
    assert withdrawn is not None
    assert (began.state, withdrawn.state) == (State.RUNNING, State.WITHDRAWN)
    assert withdrawn.finished_at is not None
    assert await asks.withdraw("nobody's") is None


async def test_what_a_person_has_waiting_makes_way_unless_it_is_being_answered(asks: SqlAsks) -> None:
    for name in ("1", "2"):
        await asks.accept(ask(name))
    theirs, elsewhere = ask(person=MARY), ask("3", target=KEY)
    await asks.accept(theirs)
    await asks.accept(elsewhere)

    async def states() -> dict[str, str]:
        return {each.id: each.state for each in await asks.of_session(session_id(KEY))}

    assert await asks.make_way(ask("new"))
    left = dict.fromkeys((theirs.id, elsewhere.id), State.QUEUED)
    assert await states() == {ask("1").id: State.WITHDRAWN, ask("2").id: State.WITHDRAWN} | left
    await asks.withdraw(theirs.id)
    await asks.accept(ask("4"))
    await asks.claim(5, LEASE)
    await asks.accept(ask("5"))
    before = await states()
    assert not await asks.make_way(ask("new"))
    assert await states() == before


async def test_of_many_the_newest_are_listed_and_all_that_wait(asks: SqlAsks) -> None:
    for number in range(4):
        await asks.accept(ask(str(number)))
    await asks.withdraw(ask("1").id)
    listed = await asks.of_session(session_id(KEY), 1)
    assert [each.id for each in listed] == [ask("3").id, ask("2").id, ask("0").id]


async def test_another_engine_has_nothing_of_it(asks: SqlAsks, database: Database) -> None:
    kept = await asks.accept(ask())
    other = SqlAsks(database, engine="other")
    assert await other.claim(5, LEASE) == ()
    assert await other.ask(kept.id) is None
    assert (await other.backlog(), await other.of_session(kept.session_id)) == (0, [])


@pytest.mark.parametrize(
    ("tenants", "served"),
    [(None, {"1", "2"}), (frozenset([None]), {"1"}), (frozenset(["north"]), {"2"}), (frozenset(["south"]), set())],
)
async def test_a_worker_has_asks_of_the_tenants_that_it_serves(
    asks: SqlAsks, database: Database, tenants: frozenset[str | None] | None, served: set[str]
) -> None:
    await asks.accept(ask("1"))
    await asks.accept(ask("2", key(tenant="north")))
    serving = SqlAsks(database, engine="default", tenants=tenants)
    assert {each.client_id for each in await serving.claim(5, LEASE)} == served
    assert await serving.backlog() == 2, "all workers count the same"


@pytest.mark.parametrize(
    ("subject", "left"),
    [
        (Subject("default", instance="instance-1"), {"3"}),
        (Subject("default", instance="instance-1", tenants=frozenset(["north"])), {"1", "3"}),
        (Subject("default", instance="instance-1", tenants=frozenset([None])), {"2", "3"}),
        (Subject("default", business_key="order-1"), {"1", "2"}),
        (Subject("default", instance="nobody's"), {"1", "2", "3"}),
    ],
)
async def test_what_a_subject_has_can_be_erased(asks: SqlAsks, subject: Subject, left: set[str]) -> None:
    await asks.accept(ask("1"))
    await asks.accept(ask("2", key(tenant="north")))
    third = await asks.accept(ask("3", key("instance-2"), business_key="order-1"))

    assert await asks.count([subject]) == 3 - len(left)
    assert await asks.remove([subject]) == 3 - len(left)
    assert await asks.remove([subject]) == 0
    targets = [key("instance-1"), key("instance-2"), key(tenant="north")]
    found = [await asks.oldest(each.branch) for each in targets]
    assert {each.client_id for each in found if each is not None} == left
    assert third.about.scope == "instance-2"


async def test_what_was_asked_about_some_sessions_can_be_dropped(asks: SqlAsks) -> None:
    await asks.accept(ask("1"))
    kept = await asks.accept(ask("2", key("instance-2")))
    assert await asks.drop([session_id(KEY), "nobody's"]) == 1
    assert await asks.backlog() == 1
    assert await asks.ask(kept.id) == kept


async def test_an_ask_goes_with_its_session_whoever_deletes_that(
    asks: SqlAsks, transcript: SqlTranscriptWriter
) -> None:
    await asks.accept(ask())
    await transcript.remove([Subject("default", instance="instance-1")])
    assert await asks.backlog() == 0


async def test_no_word_of_what_was_erased_is_left_in_the_file(place: Place) -> None:
    if not place.is_sqlite:
        return
    async with open_database(place.url) as database:
        await SqlTranscriptWriter(database).record(exchange(1))
        asks = SqlAsks(database, engine="default")
        await asks.accept(ask(text="my secret"))
        assert await asks.remove([Subject("default", instance="instance-1")]) == 1
        file = place.url.removeprefix("sqlite:///")
        for name in (file, f"{file}-wal"):
            assert b"my secret" not in await asyncio.to_thread(Path(name).read_bytes)
