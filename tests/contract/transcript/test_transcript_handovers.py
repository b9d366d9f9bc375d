"""What persons hand to processes, in the transcript's database, the same on both."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.asks import ADA, MARY, ask
from tests.contract.transcript.conftest import Place
from tests.records import KEY, START, exchange
from worker.domain.conversations import session_id
from worker.domain.handovers import Handover, Standing, text_hash
from worker.errors import Unstorable
from worker.transcript import Database, SqlAsks, SqlHandovers, SqlTranscriptWriter

LEASE = timedelta(minutes=1)
NONE = timedelta(0)


def handover(holder: str = "1" * 32, **changes: object) -> Handover:
    usual = Handover(
        ask=ask().id,
        person=ADA,
        message="approved",
        task=None,
        variable="note",
        hash=text_hash("Yes."),
        state=Standing.RUNNING,
        holder=holder,
        begun_at=START,
        due_at=START,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.fixture
async def book(database: Database, transcript: SqlTranscriptWriter) -> SqlHandovers:
    await transcript.record(exchange(1))
    await SqlAsks(database, engine="default").accept(ask())
    return SqlHandovers(database)


async def test_what_is_begun_is_there_as_it_was_begun(book: SqlHandovers) -> None:
    begun = handover(person=replace(ADA, name="A\0da"))
    kept = await book.begin(begun, LEASE)
    assert replace(kept, begun_at=START, due_at=START) == replace(begun, person=replace(ADA, name="A␀da"))
    assert kept.due_at - kept.begun_at == LEASE
    assert await book.handover(kept.ask) == kept
    assert await book.handover("nobody's") is None


async def test_what_is_begun_is_found_by_the_session_that_was_asked_about(book: SqlHandovers) -> None:
    kept = await book.begin(handover(), LEASE)
    assert await book.of_session(ask().session_id) == [kept]
    assert await book.of_session(session_id(KEY.branch)) == []


async def test_of_many_that_begin_at_once_one_has_it(book: SqlHandovers) -> None:
    kept = await asyncio.gather(*(book.begin(handover(f"{n}" * 32), LEASE) for n in range(5)))
    assert len({each.holder for each in kept}) == 1


async def test_of_an_ask_that_is_gone_nothing_is_begun(book: SqlHandovers) -> None:
    with pytest.raises(Unstorable):
        await book.begin(handover(ask=ask("nobody's").id), LEASE)


async def test_what_came_of_it_is_said_once_by_its_holder(book: SqlHandovers) -> None:
    kept = await book.begin(handover(), LEASE)
    assert not await book.settle(replace(kept, holder="2" * 32), Standing.UNKNOWN)
    assert await book.settle(kept, Standing.HANDED_OVER)
    assert not await book.settle(kept, Standing.UNKNOWN)
    assert not await book.drop(kept)
    now = await book.handover(kept.ask)
    assert now is not None
    assert (now.state, now.finished_at is None, now.decided_by) == (Standing.HANDED_OVER, False, "")
    assert (await book.begin(handover("2" * 32), LEASE)).holder == kept.holder


async def test_what_waits_for_its_lease_to_run_out_is_not_said_before(book: SqlHandovers) -> None:
    kept = await book.begin(handover(), LEASE)
    assert not await book.settle(kept, Standing.UNKNOWN, lapsed=True)
    assert not await book.drop(kept, lapsed=True)
    assert await book.drop(kept)
    kept = await book.begin(handover(), NONE)
    assert await book.settle(kept, Standing.UNKNOWN, lapsed=True)


async def test_what_was_not_handed_over_by_a_persons_word_can_be_begun_anew(book: SqlHandovers) -> None:
    kept = await book.begin(handover(), LEASE)
    await book.settle(kept, Standing.UNKNOWN)
    unknown = await book.handover(kept.ask)
    assert unknown is not None
    assert await book.settle(unknown, Standing.NOT_HANDED_OVER, decided_by="Mary")
    decided = await book.handover(kept.ask)
    assert decided is not None
    assert (decided.state, decided.decided_by) == (Standing.NOT_HANDED_OVER, "Mary")
    again = await book.begin(handover("2" * 32, person=MARY), LEASE)
    assert (again.holder, again.person, again.state, again.decided_by) == ("2" * 32, MARY, Standing.RUNNING, "")


async def test_it_goes_with_its_ask_and_with_its_session_whoever_deletes_that(
    book: SqlHandovers, database: Database, transcript: SqlTranscriptWriter, place: Place
) -> None:
    await book.begin(handover(), LEASE)
    await SqlAsks(database, engine="default").drop([session_id(KEY)])
    assert await book.handover(ask().id) is None

    await SqlAsks(database, engine="default").accept(ask())
    await book.begin(handover(), LEASE)
    await transcript.end([session_id(KEY)], START + timedelta(days=1))
    await transcript.drop([session_id(KEY)])
    assert place.sql("SELECT count(*) FROM handovers") == "0"
