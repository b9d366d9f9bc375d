"""Legal holds on records of decisions keep what they cover, whoever erases; the same on both databases."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.transcript.conftest import Place
from tests.records import START, exchange, key
from tests.unit.decisions.examples import parts, scores
from worker.decisions import chain, hashing, record
from worker.decisions.items import Item
from worker.decisions.verifying import verify
from worker.domain.conversations import EVERYTHING, Ended, Limits, MessageFilter, Role, Subject, message_id, session_id
from worker.domain.decisions import Decision, DecisionKey, Removed
from worker.ending import HeldAlready, Holds, NotHeld
from worker.errors import TranscriptDown
from worker.transcript import Database, SqlDecisions, SqlTranscriptReader, SqlTranscriptWriter, writing
from worker.transcript import decisions as module

KEY = DecisionKey("default", "instance-1")
OWN = key("instance-1")
INSTANCE = Subject("default", instance="instance-1")
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
CITED = exchange(1, OWN)
OTHER = exchange(2, OWN)
COUNTED = ["Question 1?", "Answer 1."]
"""The messages of the exchange that the record cites."""


@pytest.fixture
def book(database: Database) -> SqlDecisions:
    return SqlDecisions(database, engine="default")


@pytest.fixture
def holds(book: SqlDecisions) -> Holds:
    return Holds(book, now=lambda: AT)


@pytest.fixture
def said(conversations: SqlTranscriptReader) -> Callable[[], Any]:
    async def read() -> list[str]:
        page = await conversations.messages(MessageFilter(), within=EVERYTHING)
        return [each.content for each in page.items]

    return read


def source(task: str = CITED.task_id, instance: str = "instance-1") -> dict[str, Any]:
    named = {
        "question": message_id("default", task, 1, Role.USER),
        "answer": message_id("default", task, 1, Role.AGENT),
    }
    return {"of": "turn", "at": START.isoformat(), "instance": instance, "definition": "d:1:x", **named}


async def keep(book: SqlDecisions, dissent: str = "Wait.", **cited: Any) -> Decision:
    """Keep the next revision of a record all of whose parts cite one exchange."""
    given = parts() | {"dissent": {"dissent": [{"who": "Sales", "text": dissent}]}}
    del given["scores"]
    last = await book.last(KEY)
    items = [*(Item(part, value, source(**cited)) for part, value in given.items())]
    made = record.build(
        KEY.id,
        [*items, Item("scores", scores(), source(**cited), "one")],
        "computed",
        before=last.record if last else None,
        samples=100,
    )
    row = chain.row("change", last.rows[-1] if last else None, made, AT, record.facts(made))
    assert await book.keep(KEY, made, row, definition_key="decision", business_key="order-1")
    found = await book.last(KEY)
    assert found is not None
    return found


@pytest.fixture
async def kept(book: SqlDecisions, transcript: SqlTranscriptWriter) -> Decision:
    """Two exchanges, and a record that cites the first one."""
    await transcript.record(CITED, OTHER)
    return await keep(book)


async def hold(holds: Holds) -> Decision:
    one = await holds.hold(KEY.id, "Ann", "claim 12/26", within=EVERYTHING)
    assert one is not None
    return one


async def release(holds: Holds) -> None:
    assert await holds.release(KEY.id, "Ben", "settled", within=EVERYTHING)


async def last(book: SqlDecisions) -> Decision:
    found = await book.last(KEY)
    assert found is not None
    return found


async def test_a_hold_and_its_end_are_rows_of_the_record(book: SqlDecisions, holds: Holds, kept: Decision) -> None:
    held = await hold(holds)
    assert held == await last(book)
    assert held.held is not None
    assert (held.held.since, held.held.by, held.held.why) == (AT, "Ann", "claim 12/26")
    [listed] = (await book.decisions(within=EVERYTHING)).items
    assert listed.held == held.held
    await release(holds)
    after = await last(book)

    assert after.held is None
    assert [(row["kind"], row["facts"]) for row in after.rows[1:]] == [
        ("hold", {"by": "Ann", "why": "claim 12/26"}),
        ("release", {"by": "Ben", "why": "settled"}),
    ]
    assert verify(after.record, after.rows).problems == []
    assert after.changed_at == kept.changed_at


async def test_there_is_one_hold_at_a_time(holds: Holds, kept: Decision) -> None:
    with pytest.raises(NotHeld):
        await holds.release(kept.id, "Ann", "why", within=EVERYTHING)
    await hold(holds)
    with pytest.raises(HeldAlready, match="on hold already, since 2026-06-01 12:00 by Ann"):
        await hold(holds)
    assert await holds.hold("0" * 32, "Ann", "why", within=EVERYTHING) is None
    assert await holds.hold(kept.id, "Ann", "why", within=Limits(tenants=frozenset({"a"}))) is None


async def test_of_many_who_hold_at_once_one_does(holds: Holds, book: SqlDecisions, kept: Decision) -> None:
    done = await asyncio.gather(*(hold(holds) for _ in range(4)), return_exceptions=True)

    assert [type(each) for each in done if isinstance(each, Exception)] == [HeldAlready] * 3
    assert len((await last(book)).rows) == len(kept.rows) + 1


@pytest.mark.usefixtures("kept")
async def test_whoever_finds_the_record_written_to_again_and_again_says_so(
    holds: Holds, book: SqlDecisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(*_: object) -> bool:
        return False

    monkeypatch.setattr(book, "hold", overtaken)
    with pytest.raises(TranscriptDown, match="others write"):
        await hold(holds)
    assert (await last(book)).held is None


async def test_an_order_to_erase_leaves_what_is_held_and_takes_all_else(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, kept: Decision, said: Any
) -> None:
    await hold(holds)
    assert await book.remove([INSTANCE]) == Removed(0, (KEY.id,))
    assert await transcript.remove([INSTANCE]) == Ended(0, 2, held=2)
    assert await said() == COUNTED
    assert (await last(book)).record == kept.record

    await release(holds)
    removed = await book.remove([INSTANCE])
    assert removed.held == ()
    assert removed.count > 2
    assert await transcript.remove([INSTANCE]) == Ended(1, 0)
    assert await said() == []
    left = await last(book)
    verified = verify(left.record, left.rows)
    assert verified.problems == []
    assert verified.erased > 0
    assert [row["facts"]["by"] for row in left.rows[1:]] == ["Ann", "Ben"], "who released it can still be told"


async def test_what_was_said_in_a_called_instance_is_held_with_the_record(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, said: Any
) -> None:
    called = key("called-1")
    await transcript.record(exchange(1, called), exchange(2, called))
    await keep(book, task=exchange(1, called).task_id, instance="called-1")
    await hold(holds)

    subject = Subject("default", instance="called-1")
    assert await book.remove([subject]) == Removed(0, (KEY.id,))
    assert (await transcript.remove([subject])).held == 2
    assert await said() == COUNTED


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("kind", ["anonymise", "drop"])
async def test_retention_leaves_what_is_held_and_comes_back_for_it(
    holds: Holds, transcript: SqlTranscriptWriter, said: Any, kind: str
) -> None:
    names = [session_id(OWN)]
    await transcript.end(names, AT)
    await hold(holds)

    async def end() -> Ended:
        return await (transcript.anonymise(names, AT) if kind == "anonymise" else transcript.drop(names))

    assert await transcript.held([*names, "another's"]) == {*names}
    assert await end() == Ended(0, 2, held=2)
    assert await said() == [*COUNTED, *(["[removed]"] * 2 if kind == "anonymise" else [])]
    assert await end() == Ended(0, 0, held=2)
    await release(holds)
    assert await transcript.held(names) == frozenset()
    assert await end() == Ended(1, 2)
    assert await said() == (["[removed]"] * 4 if kind == "anonymise" else [])


async def test_a_record_on_hold_is_not_removed_by_its_age(holds: Holds, book: SqlDecisions, kept: Decision) -> None:
    until = kept.changed_at + timedelta(seconds=1)
    assert [each.id for each in await book.old(until)] == [KEY.id]
    assert await book.old(kept.changed_at - timedelta(seconds=1)) == []
    await hold(holds)
    assert await book.old(until) == []
    assert await book.drop([KEY.id], until) == []
    await release(holds)

    assert await book.drop([KEY.id], until) == [KEY.id]
    assert await book.last(KEY) is None


@pytest.mark.usefixtures("kept")
async def test_what_a_held_record_comes_to_cite_is_held_too(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, said: Any
) -> None:
    await hold(holds)
    await keep(book, dissent="Wait longer.", task=OTHER.task_id)
    await transcript.remove([INSTANCE])

    assert await said() == [*COUNTED, "Question 2?", "Answer 2."]
    assert (await last(book)).held is not None


@pytest.mark.usefixtures("kept")
async def test_what_two_records_cite_stays_until_both_are_released(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, said: Any
) -> None:
    second = DecisionKey("default", "instance-2")
    made = record.build(second.id, [Item("frame", parts()["frame"], source())], "open")
    row = chain.row("change", None, made, AT, record.facts(made))
    await book.keep(second, made, row, definition_key="decision", business_key=None)
    await hold(holds)
    await holds.hold(second.id, "Ann", "another claim", within=EVERYTHING)
    await release(holds)

    assert (await transcript.remove([INSTANCE])).held == 2
    await holds.release(second.id, "Ann", "settled", within=EVERYTHING)
    assert (await transcript.remove([INSTANCE])).messages == 2
    assert await said() == []


@pytest.mark.usefixtures("kept")
async def test_a_hold_on_what_was_erased_leaves_the_record_sound(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter
) -> None:
    await book.remove([INSTANCE])
    await transcript.remove([INSTANCE])
    held = await hold(holds)
    verified = verify(held.record, held.rows)

    assert verified.problems == []
    assert any("texts erased" in note for note in verified.notes)


class Middle:
    """Has somebody come while another is in the midst of a transaction."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        self._monkeypatch = monkeypatch
        self._there, self._go, self._asked = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def of(self, step: str, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
        """Return what both had of it: the second comes when the first has done this step."""
        self._monkeypatch.setattr(module, step, self._paused(getattr(module, step)))
        for where, name in ((module, "settle"), (module, "hold_off"), (writing, "settle")):
            self._monkeypatch.setattr(where, name, self._seen(getattr(where, name)))
        one = asyncio.create_task(first())
        await self._there.wait()
        other = asyncio.create_task(second())
        if not self._place.is_sqlite:  # which lets nobody in before the first is over
            await self._asked.wait()
        self._go.set()
        return await one, await other

    def _paused(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def paused(*given: Any) -> Any:
            found = await real(*given)
            if not self._there.is_set():
                self._there.set()
                await self._go.wait()
            return found

        return paused

    def _seen(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def seen(*given: Any) -> None:
            if self._there.is_set():
                self._asked.set()
            await real(*given)

        return seen


@pytest.fixture
def middle(place: Place, monkeypatch: pytest.MonkeyPatch) -> Middle:
    return Middle(place, monkeypatch)


@pytest.mark.usefixtures("kept")
async def test_a_hold_that_comes_while_a_record_is_erased_finds_all_of_it_gone(
    middle: Middle, holds: Holds, book: SqlDecisions, said: Any
) -> None:
    removed, held = await middle.of("take_cited", lambda: book.remove([INSTANCE]), lambda: hold(holds))

    assert removed.held == ()
    assert held.held is not None
    assert await said() == ["Question 2?", "Answer 2."], "what the record cites goes with its texts"
    left = await last(book)
    assert not left.record["texts"]
    assert verify(left.record, left.rows).problems == []


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("what", ["record", "messages"])
async def test_who_erases_while_a_hold_is_set_leaves_all_of_it(
    middle: Middle, holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, said: Any, what: str
) -> None:
    async def erase() -> Any:
        return await (book.remove([INSTANCE]) if what == "record" else transcript.remove([INSTANCE]))

    await middle.of("_cited_by", lambda: hold(holds), erase)

    assert set(COUNTED) <= set(await said())
    assert hashing.ERASED not in str(record.shown((await last(book)).record))


async def test_holding_and_erasing_at_once_is_never_half_of_both(
    holds: Holds, book: SqlDecisions, transcript: SqlTranscriptWriter, said: Any
) -> None:
    for number in range(1, 9):
        await transcript.record(CITED)
        if number > 1:
            await book.drop([KEY.id], AT + timedelta(days=3650))
        await keep(book)

        async def erase() -> None:
            await book.remove([INSTANCE])
            await transcript.remove([INSTANCE])

        await asyncio.gather(*([erase(), hold(holds)] if number % 2 else [hold(holds), erase()]))
        texts, left = bool((await last(book)).record["texts"]), await said()
        assert left == (COUNTED if texts else [])
        await release(holds)
        await erase()
