"""Who is at which session, in the transcript's database, the same on both."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.asks import ADA, MARY
from tests.contract.transcript.conftest import Place
from tests.records import KEY, START, exchange, key
from worker.domain.conversations import Subject, session_id
from worker.domain.visits import SILENCE, Left, Stay, Visit, visit_id
from worker.ports.visits import HEARD_WITHIN
from worker.transcript import Database, SqlTranscriptWriter, SqlVisits

SESSION, OTHER = session_id(KEY), session_id(key("instance-2"))
NONE = timedelta(0)
ONE, TWO = "heartbeat-1", "heartbeat-2"


def stay(name: str = "1", *, began: timedelta = NONE, ended: timedelta | None = None, **others: Any) -> Stay:
    facts: dict[str, Any] = {"session_id": SESSION, "person": ADA, "is_new": True} | others
    return Stay(name * 32, began=began, ended=ended, **facts)


@pytest.fixture
async def book(database: Database, transcript: SqlTranscriptWriter) -> SqlVisits:
    await transcript.record(exchange(1), exchange(2, key("instance-2")))
    return SqlVisits(database, engine="default")


def ago(place: Place, visit: str, time: timedelta) -> None:
    """Have a visit be unheard of for so long."""
    seconds = time.total_seconds()
    if place.is_sqlite:
        earlier = f"strftime('%Y-%m-%dT%H:%M:%f000+00:00', last_seen_at, '-{seconds} seconds')"
    else:
        earlier = f"last_seen_at - interval '{seconds} seconds'"
    place.sql(f"UPDATE visits SET last_seen_at = {earlier} WHERE id = '{visit}'")  # noqa: S608 - our own


async def one(book: SqlVisits, name: str = "1") -> Visit:
    found = await book.visit(name * 32)
    assert found is not None
    return found


async def names(book: SqlVisits, session: str = SESSION, *, is_open: bool | None = None) -> Sequence[str]:
    return [each.id[0] for each in await book.of_session(session, is_open=is_open)]


async def test_a_visit_is_kept_from_its_beginning_to_its_end(book: SqlVisits) -> None:
    for _ in range(2):  # as after a lost reply
        await book.keep(ONE, [stay(began=timedelta(seconds=5))])
    begun = await one(book)
    assert (begun.person, begun.person_id, begun.session_id, begun.is_open) == ("Ada", ADA.id, SESSION, True)
    assert begun.last_seen_at - begun.began_at == timedelta(seconds=5)

    await book.keep(ONE, [stay(is_new=False, began=timedelta(seconds=60))])
    heard = await one(book)
    assert (heard.last_seen_at > begun.last_seen_at, heard.began_at) == (True, begun.began_at)
    await book.keep(ONE, [stay(is_new=False, began=timedelta(seconds=90), ended=timedelta(seconds=10))])
    over = await one(book)
    assert (over.is_open, over.duration_seconds, over.ended_at == over.last_seen_at) == (False, 80.0, True)
    assert await names(book, is_open=True) == []
    assert await names(book, is_open=False) == await names(book) == ["1"]


async def test_what_was_over_before_it_could_be_written_is_written_with_its_end(book: SqlVisits) -> None:
    await book.keep(ONE, [stay(began=timedelta(minutes=3), ended=timedelta(minutes=1))])
    over = await one(book)
    assert (over.is_open, over.duration_seconds) == (False, 120.0)


async def test_of_visits_that_are_over_those_that_are_shown_are_kept(book: SqlVisits) -> None:
    book = SqlVisits(book._database, engine="default", most=2)
    await book.keep(ONE, [stay("9", began=timedelta(hours=9)), stay("8", session_id=OTHER, ended=NONE)])
    for number in range(1, 5):
        await book.keep(ONE, [stay(str(number), began=timedelta(minutes=9 - number), ended=NONE)])
    assert await names(book, is_open=False) == ["4", "3"]
    assert [await book.visit(name * 32) is None for name in "1298"] == [True, True, False, False]


async def test_of_many_visits_each_stands_at_its_session(book: SqlVisits) -> None:
    await book.keep(ONE, [stay("1", session_id=OTHER), stay("2"), stay("3", person=MARY, began=timedelta(minutes=1))])
    assert (await names(book), await names(book, OTHER)) == (["2", "3"], ["1"])
    other = SqlVisits(book._database, engine="other")
    assert (await other.of_session(SESSION), await other.visit("1" * 32), await other.heartbeats()) == ([], None, [])


async def test_visits_of_a_worker_that_is_gone_are_closed_and_nobody_elses(book: SqlVisits, place: Place) -> None:
    await book.keep(ONE, [stay("1"), stay("2")])
    await book.keep(TWO, [stay("3")])
    assert sorted(await book.heartbeats()) == [ONE, TWO]
    for name in "13":
        ago(place, name * 32, HEARD_WITHIN)
    assert await book.close([]) == Left()
    assert await book.close([ONE]) == Left(lost=1), "the other one was heard of: its worker lives, whatever Redis says"
    closed = await one(book)
    assert (closed.ended_at, closed.is_open) == (closed.last_seen_at, False)
    assert sorted(await names(book, is_open=True)) == ["2", "3"]
    assert await book.close([ONE]) == Left()


async def test_what_is_silent_for_long_is_closed_at_its_last_word_whosever_it_is(book: SqlVisits, place: Place) -> None:
    await book.keep(ONE, [stay("1", began=timedelta(minutes=10)), stay("2")])
    ago(place, "1" * 32, SILENCE)
    assert await book.close([]) == Left(silent=1)
    closed = await one(book)
    assert closed.duration_seconds == pytest.approx(500, abs=0.01)

    await book.keep(ONE, [stay(is_new=False, began=timedelta(minutes=12))])
    again = await one(book)
    assert (again.is_open, again.duration_seconds, again.began_at) == (True, None, closed.began_at), "it was there"


async def test_a_client_keeps_its_visit_by_heartbeats_and_no_worker_does(book: SqlVisits, place: Place) -> None:
    name = visit_id(SESSION, ADA, "call-7")
    for _ in range(2):
        begun = await book.begin(name, SESSION, ADA)
    assert begun is not None
    assert (begun.is_open, await book.heartbeats()) == (True, [])
    ago(place, name, HEARD_WITHIN)
    assert await book.close([ONE]) == Left()
    heard = await book.beat(name)
    assert heard is not None
    assert heard.last_seen_at > begun.began_at
    over = await book.end(name)
    assert over is not None
    assert over.duration_seconds is not None
    assert await book.end(name) == await book.beat(name) == await book.begin(name, SESSION, ADA) == over
    assert await book.beat("0" * 32) is None


@pytest.mark.parametrize("is_ended", [True, False])
async def test_a_client_that_was_silent_for_too_long_is_not_there_any_more(
    book: SqlVisits, place: Place, *, is_ended: bool
) -> None:
    name = visit_id(SESSION, ADA, "call-7")
    await book.begin(name, SESSION, ADA)
    ago(place, name, SILENCE)
    late = await (book.end(name) if is_ended else book.beat(name))
    assert late is not None
    assert (late.is_open, late.ended_at) == (False, late.last_seen_at)


async def test_a_visit_that_a_worker_keeps_is_not_its_persons_to_end(book: SqlVisits) -> None:
    await book.keep(ONE, [stay()])
    left = await book.end("1" * 32)
    assert left is not None
    assert left.is_open


async def test_at_a_session_that_is_gone_or_nameless_nothing_is_written(
    book: SqlVisits, transcript: SqlTranscriptWriter
) -> None:
    await transcript.end([SESSION], START)
    await transcript.anonymise([SESSION], START)
    await book.keep(ONE, [stay("1"), stay("2", session_id="0" * 32), stay("3", session_id=OTHER)])
    assert [await book.visit(name * 32) is None for name in "123"] == [True, True, False]
    assert await book.begin("4" * 32, SESSION, ADA) is None


async def test_what_is_made_anonymous_keeps_how_long_and_names_nobody(
    book: SqlVisits, transcript: SqlTranscriptWriter
) -> None:
    await book.keep(ONE, [stay("1", began=timedelta(minutes=2), ended=NONE), stay("2", session_id=OTHER)])
    await transcript.end([SESSION], START)
    await transcript.anonymise([SESSION], START)
    nameless, other = await one(book), await one(book, "2")
    assert (nameless.person, nameless.person_id, nameless.duration_seconds) == ("[removed]", None, 120.0)
    assert other.person == "Ada"


async def test_visits_go_with_their_session_whoever_deletes_it(
    book: SqlVisits, transcript: SqlTranscriptWriter, place: Place
) -> None:
    await book.keep(ONE, [stay("1"), stay("2", session_id=OTHER)])
    await transcript.remove([Subject("default", instance="instance-1")])
    assert await names(book, OTHER) == ["2"]
    assert place.sql("SELECT count(*) FROM visits") == "1"
    await book.keep(ONE, [stay("1", is_new=False), stay("2", is_new=False, session_id=OTHER)])
    assert await book.visit("1" * 32) is None, "nor do they come back by being kept"


async def test_an_order_counts_and_takes_those_of_an_instance_or_of_a_person(book: SqlVisits) -> None:
    await book.keep(ONE, [stay("1"), stay("2", person=MARY), stay("3", session_id=OTHER)])
    instance, person = Subject("default", instance="instance-1"), Subject("default", person=ADA.id)
    elsewhere = [Subject("other", person=ADA.id), Subject("default", person=ADA.id, chat="0" * 32)]
    strange = Subject("default", person=ADA.id, tenants=frozenset(["north"]))
    assert [await book.count([each]) for each in (instance, person, *elsewhere, strange)] == [2, 2, 0, 0, 0]
    assert await book.remove([person]) == 2
    assert (await names(book), await names(book, OTHER)) == (["2"], [])
    assert await book.remove([instance]) == 1
