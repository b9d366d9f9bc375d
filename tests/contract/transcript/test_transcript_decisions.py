"""Records of decisions, in the transcript's database, the same on both."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.transcript.conftest import Place
from tests.records import exchange
from tests.unit.decisions.examples import said
from worker.chat.trying import Tried, Trying
from worker.decisions import chain, hashing, record, what_ifs
from worker.decisions.items import Item
from worker.decisions.verifying import verify
from worker.decisions.what_ifs import Erased, Taken, WhatIf
from worker.domain.conversations import EVERYTHING, Definitions, Limits, Subject, session_id
from worker.domain.decisions import DecisionKey, Removed
from worker.domain.people import Person
from worker.errors import BadCursor, BadRecord
from worker.transcript import Database, SqlDecisions, SqlTranscriptWriter

KEY = DecisionKey("default", "instance-1")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Goes on by a second with each look."""

    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def book(database: Database) -> SqlDecisions:
    return SqlDecisions(database, engine="default", now=Clock())


def made(key: DecisionKey = KEY, before: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    return record.build(key.id, said(**parts), "computed", before=before, samples=100)


async def keep(book: SqlDecisions, key: DecisionKey = KEY, **parts: Any) -> bool:
    """Keep the next revision."""
    before = await book.last(key)
    last = before.rows[-1] if before else None
    new = made(key, dict(before.record) if before else None, **parts)
    row = chain.row("change", last, new, AT, record.facts(new))
    return await book.keep(key, new, row, definition_key="decision", business_key="order-1")


async def test_a_record_is_there_as_it_was_kept(book: SqlDecisions) -> None:
    assert await book.last(KEY) is None
    assert await keep(book)
    found = await book.last(KEY)

    assert found is not None
    assert (found.key, found.definition_key, found.business_key) == (KEY, "decision", "order-1")
    assert verify(found.record, found.rows).problems == []
    assert found.record["content_sha256"] == hashing.sha256(found.record["content"])


async def test_every_revision_stays_with_the_rows_up_to_it(book: SqlDecisions) -> None:
    await keep(book)
    dissent = {"dissent": [{"who": "Sales", "text": "Wait."}]}
    await keep(book, dissent=dissent)
    first = await book.decision(KEY.id, within=EVERYTHING, revision=1)
    named = await book.decision(KEY.id, within=EVERYTHING, revision=2)
    last = await book.decision(KEY.id, within=EVERYTHING)

    assert first is not None
    assert last is not None
    assert [first.record["revision"], last.record["revision"]] == [1, 2]
    assert (first.is_last, named == last, last.is_last) == (False, True, True)
    assert [len(first.rows), len(last.rows)] == [1, 2]
    assert verify(last.record, last.rows).problems == []
    assert await book.decision(KEY.id, within=EVERYTHING, revision=3) is None


async def test_of_two_who_keep_at_once_one_is_told_to_read_anew(book: SqlDecisions) -> None:
    new = [made() for _ in range(4)]  # none of them knows of another
    rows = [chain.row("change", None, each, AT, record.facts(each)) for each in new]
    kept = await asyncio.gather(
        *(
            book.keep(KEY, each, row, definition_key="decision", business_key=None)
            for each, row in zip(new, rows, strict=True)
        )
    )

    assert sorted(kept) == [False, False, False, True]
    found = await book.last(KEY)
    assert found is not None
    assert len(found.rows) == 1


async def test_what_becomes_of_a_revision_is_kept_with_a_row_of_its_own(book: SqlDecisions) -> None:
    await keep(book)
    before = await book.last(KEY)
    assert before is not None
    proposed = record.build(KEY.id, said(), "proposed", before=before.record, samples=100)
    assert proposed["revision"] == 1
    row = chain.row("change", before.rows[-1], proposed, AT, record.facts(proposed))
    assert await book.keep(KEY, proposed, row, definition_key="decision", business_key=None)
    after = await book.last(KEY)

    assert after is not None
    assert (after.record["status"], len(after.rows)) == ("proposed", 2)
    assert after.began_at < after.changed_at


async def test_a_revision_never_gets_other_content(book: SqlDecisions) -> None:
    await keep(book)
    before = await book.last(KEY)
    assert before is not None
    other = made(dissent={"dissent": [{"who": "Sales", "text": "Wait."}]})
    row = chain.row("change", before.rows[-1], other, AT, record.facts(other))
    assert not await book.keep(KEY, other, row, definition_key="decision", business_key=None)
    assert await book.last(KEY) == before


async def test_content_may_come_back_after_it_was_changed(book: SqlDecisions) -> None:
    assert await keep(book)
    assert await keep(book, dissent={"dissent": [{"who": "Sales", "text": "Wait."}]})
    assert await keep(book)
    found = await book.last(KEY)

    assert found is not None
    assert (found.record["revision"], verify(found.record, found.rows).problems) == (3, [])


async def test_a_record_outlives_what_was_said_for_it(book: SqlDecisions, transcript: SqlTranscriptWriter) -> None:
    said_for_it = exchange(1)
    await transcript.record(said_for_it)
    await keep(book)
    await transcript.end([session_id(said_for_it.key)], AT)
    await transcript.drop([session_id(said_for_it.key)])

    assert await book.last(KEY) is not None


async def test_what_a_person_answered_goes_with_the_texts(book: SqlDecisions) -> None:
    await keep(book)
    before = await book.last(KEY)
    assert before is not None
    proposed = record.build(KEY.id, said(), "proposed", before=before.record, samples=100)
    closed = record.close(proposed, [record.Act(True, "Yes, says Ada.", proposed["content_sha256"])])
    act = {"shown_sha256": before.record["content_sha256"], "accepted": True}
    signature = chain.row("signature", before.rows[-1], before.record, AT, act)
    row = chain.row("change", signature, closed, AT, record.facts(closed))
    await book.keep(KEY, before.record, signature, definition_key="decision", business_key=None)
    await book.keep(KEY, closed, row, definition_key="decision", business_key=None)
    await book.remove([Subject("default", "instance-1")])
    left = await book.last(KEY)

    assert left is not None
    assert left.record["decision"] == {"accepted": True, "answer": hashing.ERASED, "void_reason": ""}
    assert verify(left.record, left.rows).problems == []


async def test_erased_texts_leave_hashes_and_rows_sound_and_no_words(book: SqlDecisions, place: Place) -> None:
    words = "Zanzibar is the better place."
    await keep(book, dissent={"dissent": [{"who": "Sales", "text": words}]})
    await keep(book)
    assert (await book.remove([Subject("default", "instance-1")])).count > 0
    assert await book.remove([Subject("default", "instance-1")]) == Removed(0)

    for number in (1, 2):
        found = await book.decision(KEY.id, within=EVERYTHING, revision=number)
        assert found is not None
        verified = verify(found.record, found.rows)
        assert verified.problems == []
        assert verified.erased > 0
    assert words not in place.sql("SELECT record FROM decision_revisions")
    if place.is_sqlite:
        kept = await asyncio.to_thread(Path(place.url.removeprefix("sqlite:///")).read_bytes)
        assert words.encode() not in kept


@pytest.mark.parametrize(
    ("subject", "goes"),
    [
        (Subject("default", "instance-1"), True),
        (Subject("default", business_key="order-1"), True),
        (Subject("default", business_key="order-1", tenants=frozenset({None})), True),
        (Subject("default", business_key="order-1", tenants=frozenset({"a"})), False),
        (Subject("default", business_key="order-2"), False),
        (Subject("default", "instance-2"), False),
        (Subject("other", "instance-1"), False),
        (Subject("default", person="0" * 32), False),
    ],
)
async def test_nobody_elses_texts_are_erased(book: SqlDecisions, subject: Subject, goes: bool) -> None:
    await keep(book)
    assert bool((await book.remove([subject])).count) is goes


BOLD = WhatIf("Bold", "If quality were all.", {"Cost": 10, "Quality": 80, "Time": 10})


async def test_of_those_who_keep_weights_at_once_all_get_theirs_or_a_clear_no(book: SqlDecisions) -> None:
    await keep(book)
    seen = await book.last(KEY)
    assert seen is not None
    persons = [Person("token", name, name) for name in ("Ann", "Ben", "Cleo")]
    wanted = [(person, replace(BOLD, name=f"{person.name}'s", why=person.name)) for person in persons]
    done = await asyncio.gather(
        *(Trying(book).keep(seen, *each) for each in [*wanted, wanted[0]]), return_exceptions=True
    )
    found = await book.last(KEY)

    assert found is not None
    kept = {each.id for each in done if isinstance(each, Tried)}
    assert all(isinstance(each, Tried | Taken) for each in done)
    assert kept == {each["id"] for each in found.record["content"]["what_ifs"]["sets"]}
    assert found.record["revision"] == len(found.rows) == 1 + len(kept)
    assert verify(found.record, found.rows).problems == []


async def test_who_has_read_before_an_order_to_erase_puts_no_words_back(book: SqlDecisions) -> None:
    await keep(book)
    before = await book.last(KEY)
    assert before is not None
    now, _ = what_ifs.keep(before.record, BOLD, {"of": "person", "at": AT.isoformat(), "user": "Ann"})
    row = chain.row("change", before.rows[-1], now, AT, record.facts(now))
    await book.remove([Subject("default", "instance-1")])

    assert not await book.keep(KEY, now, row, definition_key="decision", business_key=None)
    with pytest.raises(Erased):
        await Trying(book).keep(before, Person("token", "Ann", "Ann"), BOLD)
    left = await book.last(KEY)
    assert left is not None
    assert left.record["texts"] == {}


async def with_called(book: SqlDecisions, **called: str) -> None:
    """A record of a process that a called one said something for."""
    at = {"of": "turn", "at": AT.isoformat()}
    own = {"instance": "instance-1", "definition": "decision:1:x"}
    called = called or {"instance": "called-1", "definition": "scoring:1:x"}
    mine = [Item(each.part, each.value, {**at, **own}, each.judge) for each in said() if each.part != "dissent"]
    heard = Item("dissent", {"dissent": [{"who": "Sales", "text": "Said in the called."}]}, {**at, **called})
    new = record.build(KEY.id, [*mine, heard], "computed", samples=100)
    row = chain.row("change", None, new, AT, record.facts(new))
    assert await book.keep(KEY, new, row, definition_key="decision", business_key=None)


async def test_what_a_called_process_said_goes_with_its_instance_and_nothing_else(book: SqlDecisions) -> None:
    await with_called(book)
    assert await book.count([Subject("default", "called-1")]) > 0
    await book.remove([Subject("default", "called-1")])
    left = await book.last(KEY)

    assert left is not None
    shown = record.shown(left.record)
    assert shown["dissent"]["dissent"][0]["text"] == hashing.ERASED
    assert shown["frame"]["statement"] == "Which press is bought?"
    assert verify(left.record, left.rows).problems == []
    assert await book.count([Subject("default", "called-1")]) == 0


async def test_nothing_is_put_again_into_a_record_whose_texts_were_erased(book: SqlDecisions) -> None:
    await with_called(book)
    await book.remove([Subject("default", "called-1")])
    left = await book.last(KEY)
    assert left is not None
    with pytest.raises(BadRecord, match="erased by an order"):
        record.build(KEY.id, said(), "proposed", before=left.record, samples=100)


@pytest.mark.parametrize(
    ("known", "is_seen"), [({"decision", "scoring"}, True), ({"decision"}, False), ({"scoring"}, False)]
)
async def test_a_record_is_for_those_who_may_see_all_processes_that_spoke(
    book: SqlDecisions, known: set[str], is_seen: bool
) -> None:
    await with_called(book)
    within = Limits(definitions=Definitions(frozenset(known), frozenset(known)))

    assert (await book.decision(KEY.id, within=within) is not None) is is_seen
    assert bool((await book.decisions(within=within)).items) is is_seen


@pytest.mark.parametrize(("instance", "is_seen"), [("instance-1", True), ("called-1", False)])
async def test_what_a_person_said_is_of_the_process_of_its_instance_and_where_none_is_known_for_nobody_with_limits(
    book: SqlDecisions, instance: str, is_seen: bool
) -> None:
    await with_called(book, instance=instance)
    known = frozenset({"decision", "scoring"})
    found = await book.decision(KEY.id, within=Limits(definitions=Definitions(known, known)))
    assert (found is not None) is is_seen
    assert await book.decision(KEY.id, within=Limits()) is not None


async def test_records_are_listed_page_by_page_the_last_changed_first(book: SqlDecisions) -> None:
    keys = [replace(KEY, name=name) for name in ("a", "b", "c", "d", "e")]
    for key in keys:
        await keep(book, key)
    await keep(book, keys[0], dissent={"dissent": [{"who": "Sales", "text": "Wait."}]})
    names, after = list[str](), None
    while True:
        page = await book.decisions(within=EVERYTHING, after=after, limit=2)
        names += [each.key.name for each in page.items]
        after = page.next
        if after is None:
            break

    assert names == ["a", "e", "d", "c", "b"]
    assert page.items[0].revision == 1
    with pytest.raises(BadCursor):
        await book.decisions(within=EVERYTHING, after="x")


@pytest.mark.parametrize(
    ("within", "is_seen"),
    [
        (Limits(tenants=frozenset({"a"})), True),
        (Limits(tenants=frozenset({"b", None})), False),
        (Limits(instances=frozenset({"instance-1"})), True),
        (Limits(instances=frozenset({"instance-2"})), False),
        (Limits(definitions=Definitions(frozenset({"decision"}), frozenset({"decision"}))), True),
        (Limits(definitions=Definitions(running=frozenset({"decision"}))), False),
    ],
)
async def test_a_reader_sees_what_it_may(book: SqlDecisions, within: Limits, is_seen: bool) -> None:
    key = replace(KEY, tenant="a")
    await keep(book, key)

    assert (await book.decision(key.id, within=within) is not None) is is_seen
    assert bool((await book.decisions(within=within)).items) is is_seen


async def test_another_engines_records_are_not_there(book: SqlDecisions, database: Database) -> None:
    await keep(book)
    other = SqlDecisions(database, engine="other")

    assert await other.decision(KEY.id, within=EVERYTHING) is None
    assert (await other.decisions(within=EVERYTHING)).items == []
