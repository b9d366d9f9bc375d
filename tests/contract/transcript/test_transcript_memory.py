"""What is remembered beyond an instance, in the transcript's database, the same on both."""

import asyncio
import time
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.contract.transcript.conftest import Place
from tests.records import START, exchange, key
from worker.domain.conversations import EVERYTHING, Limits, MessageFilter, Subject
from worker.domain.exchanges import Exchange
from worker.domain.memory import Backlog, Fact, MemorySubject, Proposal, ToRemember, Waiting
from worker.domain.threads import Outcome, ref
from worker.errors import MemoryDown
from worker.transcript import (
    Database,
    EmbeddedMemory,
    SqlFacts,
    SqlMemos,
    SqlTranscriptReader,
    SqlTranscriptWriter,
)
from worker.transcript.memos import fact_row
from worker.transcript.tables import memory_facts

ADA, BOB = "a" * 32, "b" * 32
HOUR = timedelta(hours=1)


def remembered(number: int = 1, subject: str = ADA, instance: str = "instance-1", **others: Any) -> Exchange:
    wish = ToRemember(
        subject,
        "variable:customer",
        others.pop("question", f"Settle {number}."),
        others.pop("approve", False),
        others.pop("generation", None),
    )
    return exchange(number, key(instance), remember=wish, **others)


@pytest.fixture
def memos(database: Database) -> SqlMemos:
    return SqlMemos(database, engine="default")


@pytest.fixture
def memory(database: Database) -> EmbeddedMemory:
    return EmbeddedMemory(database, database.hurried(), engine="default")


async def settled(memos: SqlMemos) -> list[str]:
    """Remember all that is due, and say what it was."""
    done = list[str]()
    while found := await memos.claim(10):
        for each in found:
            assert await memos.settle(each, each.question, each.answer) == "kept"
            done.append(each.answer)
    return done


async def known(memory: EmbeddedMemory, subject: str = ADA, question: str = "", most: int = 200) -> list[str]:
    return [each.text for each in await memory.recall(MemorySubject(subject, None), question, most)]


async def test_an_exchange_is_to_be_remembered_once_it_is_recorded_and_once_only(
    transcript: SqlTranscriptWriter, memos: SqlMemos
) -> None:
    for _ in range(2):  # as after a lost reply
        await transcript.record(remembered(1), exchange(2))
    [found] = await memos.claim(10)
    assert (found.subject, found.question, found.answer) == (MemorySubject(ADA, None), "Settle 1.", "Answer 1.")
    assert (found.instance, found.ref) == ("instance-1", ref(key(), remembered(1).task_id, 1))
    assert await memos.claim(10) == []
    assert (await memos.backlog()).waiting == 1


@pytest.mark.parametrize("bad", [{"outcome": Outcome.REFUSED}, {"answer": " "}])
async def test_what_is_no_answer_is_not_remembered(
    transcript: SqlTranscriptWriter, memos: SqlMemos, bad: dict[str, Any]
) -> None:
    await transcript.record(remembered(**bad))
    assert await memos.backlog() == Backlog()


async def test_of_each_subject_the_first_comes_first_and_alone(
    transcript: SqlTranscriptWriter, memos: SqlMemos
) -> None:
    for number in range(1, 4):
        await transcript.record(remembered(number), remembered(number + 10, BOB, "instance-2"))
    first = await memos.claim(10)
    assert sorted(each.answer for each in first) == ["Answer 1.", "Answer 11."]
    assert await memos.claim(10) == []
    ada = next(each for each in first if each.subject.digest == ADA)
    assert await memos.settle(ada, ada.question, ada.answer) == "kept"
    assert [each.answer for each in await memos.claim(10)] == ["Answer 2."]


@pytest.mark.parametrize("known", [[], [3]], ids=["new", "one is there already"])
async def test_what_instances_have_left_of_one_subject_comes_in_the_order_in_which_it_was_said(
    transcript: SqlTranscriptWriter, memos: SqlMemos, known: list[int]
) -> None:
    said = [remembered(number, instance=f"instance-{number}") for number in range(1, 9)]
    for number in known:
        await transcript.record(said[number])
    await settled(memos)
    await transcript.record(*reversed(said))
    assert await settled(memos) == [f"Answer {number}." for number in range(1, 9) if number - 1 not in known]


async def test_what_is_only_proposed_waits_for_nobody_and_nobody_for_it(
    transcript: SqlTranscriptWriter, memos: SqlMemos
) -> None:
    for number in range(1, 5):
        await transcript.record(remembered(number, approve=number % 2 == 1))
    assert [each.answer for each in await memos.claim(10, only_proposed=True)] == ["Answer 1.", "Answer 3."]
    assert [each.answer for each in await memos.claim(10)] == ["Answer 2."]
    assert await memos.claim(10) == []


async def test_what_an_instance_proposes_is_told_by_its_tasks(
    transcript: SqlTranscriptWriter, memos: SqlMemos, database: Database
) -> None:
    facts = SqlFacts(database, database.hurried(), engine="default")
    first, second = remembered(1, approve=True), remembered(2, approve=True)
    await transcript.record(first, second, remembered(3), remembered(4, instance="instance-2", approve=True))
    assert await facts.proposals("instance-1") == [Proposal(each.task_id, ADA, None) for each in (first, second)]
    await settled(memos)
    found = await facts.proposals("instance-1")
    assert [(each.task, each.approved) for each in found] == [(first.task_id, False), (second.task_id, False)]
    assert await facts.approve(str(found[0].fact), ADA, "ann")
    assert [each.approved for each in await facts.proposals("instance-1")] == [True, False]
    other = SqlFacts(database, database.hurried(), engine="other")
    assert await other.proposals("instance-1") == []


async def test_what_is_refused_steps_aside_and_comes_again_later(
    transcript: SqlTranscriptWriter, memos: SqlMemos, place: Place
) -> None:
    await transcript.record(remembered(1), remembered(2))
    [first] = await memos.claim(10)
    await memos.postpone(first, HOUR, late=True, why="no")
    assert await settled(memos) == ["Answer 2."]
    assert await memos.backlog() == Backlog(1, 1, 0, "no")
    place.sql("UPDATE memory_waiting SET due_at = '2026-01-01T00:00:00.000000+00:00'")
    [again] = await memos.claim(10)
    assert (again.answer, again.late) == ("Answer 1.", True)


async def test_what_a_dead_worker_had_in_hand_is_due_again(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, place: Place
) -> None:
    await transcript.record(remembered(1))
    [first] = await memos.claim(10)
    place.sql("UPDATE memory_waiting SET due_at = '2026-01-01T00:00:00.000000+00:00'")
    assert await settled(memos) == ["Answer 1."]
    # It only seemed to be dead.
    assert await memos.settle(first, first.question, first.answer) == "before"
    assert len(await known(memory)) == 1


async def add(database: Database, ref_: str, answer: str, subject: str = ADA) -> None:
    """Have a fact."""
    of = Waiting(1, MemorySubject(subject, None), 1, "instance-1", ref_, "analyst", "Settle it.", answer, START, None)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(memory_facts.insert(), fact_row(of, "default", of.question, answer, "approved"))

    await database.write(work)


async def subject(transcript: SqlTranscriptWriter, memos: SqlMemos, name: str = ADA) -> None:
    """Have a subject of which one thing is known."""
    await transcript.record(remembered(99, name, "instance-99"))
    await settled(memos)


async def test_what_is_known_is_told_newest_first_and_of_no_other_subject(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    await transcript.record(remembered(1), remembered(2), remembered(3, BOB, "instance-2"))
    await settled(memos)
    assert await known(memory) == ["Asked: Settle 2.\nAnswered: Answer 2.", "Asked: Settle 1.\nAnswered: Answer 1."]
    [fact] = await memory.recall(MemorySubject(BOB, None), "", 5)
    at = START + timedelta(minutes=3, seconds=5)
    assert fact == Fact(fact.id, "Asked: Settle 3.\nAnswered: Answer 3.", at, "instance-2", fact.ref)
    assert len(fact.id) == 32


async def test_of_many_those_come_that_share_rare_words_with_the_question(
    database: Database, transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    await subject(transcript, memos)
    for number in range(20):
        await add(database, f"{number:012x}", f"The customer pays late, {number}.")
    await add(database, "f" * 12, "The customer wants a crane delivered by ship.")
    await add(database, "e" * 12, "The customer called.")
    found = await known(memory, question="How is the CRANE to be shipped to the customer?", most=2)
    assert "crane" in found[0]
    assert "called" in found[1]


async def test_one_look_tells_what_is_known_and_of_which_generation(
    database: Database, transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    ada, facts = MemorySubject(ADA, None), SqlFacts(database, database.hurried(), engine="default")
    assert await memory.recollect(ada, "crane", 5) == (None, [])
    await transcript.record(remembered(1))
    await settled(memos)
    assert await facts.drop(ada) == 1
    assert await memory.recollect(ada, "crane", 5) == (None, [])
    for number in range(2, 12):
        said = f"crane {number}" if number % 3 else "nothing"
        await transcript.record(remembered(number, answer=said, generation=1))
    await transcript.record(remembered(12, BOB))
    await settled(memos)
    generation, found = await memory.recollect(ada, "crane", 5)
    assert (generation, len(found)) == (1, 5)
    assert found == await memory.recall(ada, "crane", 5)


async def test_no_more_than_the_newest_are_looked_at(
    database: Database, transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    await subject(transcript, memos)
    await add(database, "a" * 12, "zeppelin")
    for number in range(200):
        await add(database, f"{number:012x}", "other")
    assert "zeppelin" not in "".join(await known(memory, question="zeppelin", most=5))


async def test_a_proposal_is_recalled_by_nobody(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    await transcript.record(remembered(1, approve=True))
    await settled(memos)
    assert await known(memory) == []
    assert await memos.backlog() == Backlog(0, 0, 1)


async def test_what_is_erased_of_the_transcript_takes_along_what_waits(
    transcript: SqlTranscriptWriter, memos: SqlMemos
) -> None:
    await transcript.record(remembered(1))
    await transcript.remove([Subject("default", instance="instance-1")])
    assert await memos.claim(10) == []
    assert await memos.backlog() == Backlog()


async def test_what_was_made_anonymous_leaves_nothing_to_remember(
    transcript: SqlTranscriptWriter, memos: SqlMemos, place: Place
) -> None:
    await transcript.record(remembered(1))
    place.sql("UPDATE messages SET content = '[removed]'")
    assert await memos.claim(10) == []
    assert await memos.backlog() == Backlog()


async def test_a_forgotten_instance_has_left_nothing_and_others_have(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, place: Place
) -> None:
    await transcript.record(remembered(1), remembered(2, instance="instance-2"))
    await settled(memos)
    gone = await memory.forget_instance(MemorySubject(ADA, None), "instance-1")
    assert (gone.removed, gone.open) == (1, False)
    assert await known(memory) == ["Asked: Settle 2.\nAnswered: Answer 2."]
    assert (await memory.forget(MemorySubject(ADA, None))).removed == 1
    assert place.sql("SELECT count(*) FROM memory_facts") == "0"


async def test_a_memory_of_a_former_generation_is_dropped(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, place: Place
) -> None:
    await transcript.record(remembered(1))
    [found] = await memos.claim(10)
    place.sql("UPDATE memory_subjects SET generation = 1")
    assert await memos.settle(found, found.question, found.answer) == "gone"
    assert await known(memory) == []
    assert await memos.backlog() == Backlog()


async def test_who_gives_up_waits_no_longer(database: Database, transcript: SqlTranscriptWriter) -> None:
    await transcript.ping()
    hurried = database.hurried()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await hurried.rows(_slow(database))
    # The thread is free again at once, too.
    assert await hurried.rows(select(text("1"))) == [(1,)]
    assert time.monotonic() - began < 10, "not at the end of what it was asked"


async def test_who_asks_for_something_slow_holds_up_no_other(
    database: Database, transcript: SqlTranscriptWriter
) -> None:
    await transcript.ping()
    hurried = database.hurried()
    slow = asyncio.create_task(hurried.rows(_slow(database)))
    async with asyncio.timeout(20):
        for number in range(3):
            assert await hurried.rows(select(literal(number))) == [(number,)]
    assert not slow.done()
    slow.cancel()
    await asyncio.wait({slow})


async def test_a_burst_is_answered_to_the_last(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory
) -> None:
    await transcript.record(remembered(1), remembered(2, BOB, "instance-2"))
    await settled(memos)
    found = await asyncio.gather(*(known(memory, (ADA, BOB)[number % 2]) for number in range(100)))
    assert found == [["Asked: Settle 1.\nAnswered: Answer 1."], ["Asked: Settle 2.\nAnswered: Answer 2."]] * 50


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_server_that_has_hung_up_costs_no_recall(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, place: Place
) -> None:
    await transcript.record(remembered(1))
    await settled(memos)
    for _ in range(2):
        assert len(await known(memory)) == 1
        place.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'assistant-worker'")
    assert len(await known(memory)) == 1


def _slow(database: Database) -> Any:
    """Ask for something that takes half a minute."""
    if not database.is_sqlite:
        return select(func.pg_sleep(30))
    numbers = select(literal(1).label("i")).cte("n", recursive=True)
    numbers = numbers.union_all(select(numbers.c.i + 1).where(numbers.c.i < 1_000_000_000))
    return select(func.max(numbers.c.i))


async def test_a_record_that_cannot_be_read_is_a_memory_that_is_down(memory: EmbeddedMemory, place: Place) -> None:
    place.sql("ALTER TABLE memory_facts RENAME TO elsewhere")
    for asked in (memory.check(), memory.recall(MemorySubject(ADA, None), "", 1)):
        with pytest.raises(MemoryDown):
            await asked


async def test_what_is_remembered_is_later_than_what_was_forgotten(
    transcript: SqlTranscriptWriter, memos: SqlMemos, place: Place
) -> None:
    await transcript.record(remembered(1))
    await settled(memos)
    later = (START + timedelta(minutes=2, seconds=1)).astimezone(UTC).isoformat(timespec="microseconds")
    place.sql(f"UPDATE memory_subjects SET generation = 1, forgotten_at = '{later}'")  # noqa: S608 - our own
    await transcript.record(remembered(2), remembered(4))  # the former was asked before
    assert await settled(memos) == ["Answer 4."]


async def test_what_was_asked_by_a_generation_is_remembered_of_that_alone_whatever_the_clocks_say(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts
) -> None:
    long_after = START + timedelta(days=365_0)
    await transcript.record(remembered(1))
    assert await facts.drop(MemorySubject(ADA, None)) == 1
    await transcript.record(remembered(2, generation=0, asked_at=long_after), remembered(3, generation=1))
    assert await settled(memos) == ["Answer 3."]


async def test_a_subject_is_forgotten_while_its_first_turn_runs(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts
) -> None:
    for _ in range(2):
        await facts.know(MemorySubject(ADA, None), "variable:customer")
    found = await facts.subject(ADA, EVERYTHING)
    assert found is not None
    assert (found.kind, found.generation, found.facts) == ("variable:customer", 0, 0)
    assert await facts.drop(MemorySubject(ADA, None)) == 0
    await transcript.record(remembered(1, generation=0), remembered(2, generation=1))
    assert await settled(memos) == ["Answer 2."]


@pytest.fixture
def facts(database: Database) -> SqlFacts:
    return SqlFacts(database, database.hurried(), engine="default")


async def test_subjects_are_listed_by_their_latest_change_with_what_is_known(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts
) -> None:
    await transcript.record(remembered(1))
    await settled(memos)
    await transcript.record(remembered(2, BOB, "instance-2", approve=True))
    await settled(memos)
    await transcript.record(remembered(3, BOB, "instance-2"))
    found = await facts.subjects(EVERYTHING)
    assert [(each.digest, each.facts, each.proposed, each.waiting) for each in found] == [
        (BOB, 0, 1, 1),
        (ADA, 1, 0, 0),
    ]
    assert (found[1].kind, found[1].tenant, found[1].generation) == ("variable:customer", None, 0)
    before = (found[0].changed_at, found[0].digest)
    assert [each.digest for each in await facts.subjects(EVERYTHING, before=before)] == [ADA]
    assert await facts.known(MemorySubject(ADA, None)) == MemorySubject(ADA, None)
    assert await facts.known(MemorySubject("c" * 32, None)) is None


async def test_a_subject_is_seen_by_who_may_see_its_tenant(
    transcript: SqlTranscriptWriter, facts: SqlFacts, database: Database
) -> None:
    north = exchange(1, key("instance-1", tenant="north"), remember=ToRemember(ADA, "tenant", "q"))
    await transcript.record(north)
    for tenants, sees in (({"north"}, True), ({"south"}, False), ({None}, False)):
        within = Limits(frozenset(tenants))
        assert bool(await facts.subjects(within)) == sees
        assert bool(await facts.subject(ADA, within)) == sees
    other = SqlFacts(database, database.hurried(), engine="other")
    assert await other.subjects(EVERYTHING) == []


async def test_what_another_engines_instance_of_the_same_id_has_left_is_not_its(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts, database: Database
) -> None:
    await transcript.record(remembered(1))
    await settled(memos)
    other = SqlFacts(database, database.hurried(), engine="", own_engine="other")
    assert await other.of_instances(["instance-1"]) == []
    assert await other.drop_instance(MemorySubject(ADA, None), "instance-1") == 0
    memory = EmbeddedMemory(database, database.hurried(), engine="other")
    assert (await memory.forget_instance(MemorySubject(ADA, None), "instance-1")).removed == 0
    assert await facts.of_instances(["instance-1"]) == [(MemorySubject(ADA, None), "instance-1")]


async def test_a_fact_that_was_approved_still_says_where_it_is_from(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts
) -> None:
    await transcript.record(remembered(1, approve=True))
    await settled(memos)
    [proposed] = await facts.facts(ADA)
    assert await facts.approve(proposed.id, ADA, "ada on desk")
    await settled(memos)
    [approved] = await facts.facts(ADA)
    assert approved.message is not None
    assert (approved.message, approved.state) == (proposed.message, "approved")


async def test_facts_are_searched_by_their_words(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts
) -> None:
    await transcript.record(remembered(1, answer="The small CRANE."), remembered(2, answer="No ship."))
    await settled(memos)
    assert [each.text for each in await facts.facts(ADA, "crane sma")] == [
        "Asked: Settle 1.\nAnswered: The small CRANE."
    ]
    assert await facts.facts(ADA, "crane ship") == []
    assert await facts.facts(ADA, "…") == []
    assert [each.ref for each in await facts.facts(ADA)] == [ref(key(), remembered(n).task_id, 1) for n in (2, 1)]


async def test_what_a_person_approves_is_recalled_and_given_to_the_memory(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, facts: SqlFacts
) -> None:
    await transcript.record(remembered(1, approve=True))
    await settled(memos)
    [proposal] = await facts.facts(ADA)
    assert (proposal.state, proposal.message) == ("proposed", proposal.message)
    assert not await facts.approve(proposal.id, BOB, "eve")
    assert await facts.approve(proposal.id, ADA, "eve")
    assert not await facts.approve(proposal.id, ADA, "mallory")
    assert await known(memory) == [proposal.text]
    [waiting] = await memos.claim(10)
    assert (waiting.answer, waiting.fact, waiting.approve) == ("Answer 1.", proposal.id, False)
    assert await memos.settle(waiting, waiting.question, waiting.answer) == "kept"
    [fact] = await facts.facts(ADA)
    assert (fact.state, fact.approved_by) == ("approved", "eve")


async def test_one_fact_is_deleted_and_no_other(
    transcript: SqlTranscriptWriter, memos: SqlMemos, memory: EmbeddedMemory, facts: SqlFacts
) -> None:
    await transcript.record(remembered(1), remembered(2))
    await settled(memos)
    newest = (await facts.facts(ADA))[0]
    assert not await facts.drop_fact(newest.id, BOB)
    assert await facts.drop_fact(newest.id, ADA)
    assert not await facts.drop_fact(newest.id, ADA)
    assert await known(memory) == ["Asked: Settle 1.\nAnswered: Answer 1."]


async def states(conversations: SqlTranscriptReader) -> dict[str, str]:
    """What became of the answers of the first instance, by their texts."""
    said = await conversations.messages(MessageFilter(instance="instance-1"), within=EVERYTHING)
    told = {each.content: each.remembered for each in said.items if each.remembered}
    return {text: f"{each.state} {each.why}".strip() for text, each in told.items()}


async def test_an_answer_tells_what_became_of_it(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(10), remembered(11, outcome=Outcome.REFUSED))
    for number in range(1, 8):
        await transcript.record(remembered(number, str(number) * 32, approve=number in (1, 2)))
    for each in await memos.claim(10):
        why = {"Answer 5.": "ValueError < worker/x.py:1 work", "Answer 6.": "the pattern x takes too long on it"}
        if each.answer in why:
            await memos.postpone(each, HOUR, late=True, why=why[each.answer])
        elif each.answer != "Answer 7.":
            await memos.settle(each, each.question, each.answer)
    for number in (2, 4):
        [fact] = await facts.facts(str(number) * 32)
        assert await facts.drop_fact(fact.id, fact.subject)
    await memos.delay("no answer")
    await transcript.record(remembered(8, "8" * 32))
    assert await states(conversations) == {
        "Answer 1.": "proposed",
        "Answer 2.": "refused",
        "Answer 3.": "remembered",
        "Answer 4.": "forgotten",
        "Answer 5.": "late ValueError",
        "Answer 6.": "late the pattern x takes too long on it",
        "Answer 7.": "waiting no answer",
        "Answer 8.": "waiting",
    }
    [proposal] = await facts.facts("1" * 32)
    await facts.approve(proposal.id, proposal.subject, "ann")
    assert await facts.drop(MemorySubject("3" * 32, None)) == 1
    after = await states(conversations)
    assert (after["Answer 1."], after["Answer 3."]) == ("remembered", "forgotten")


async def test_why_all_waits_is_noted_where_nothing_is_and_holds_nothing_up(
    transcript: SqlTranscriptWriter, memos: SqlMemos, conversations: SqlTranscriptReader, database: Database
) -> None:
    await transcript.record(remembered(1), remembered(2, BOB, approve=True))
    await SqlMemos(database, engine="other").delay("not ours")
    for why in ("no answer", "later"):
        await memos.delay(why)
    assert await states(conversations) == {"Answer 1.": "waiting no answer", "Answer 2.": "waiting"}
    assert sorted(await settled(memos)) == ["Answer 1.", "Answer 2."]


async def test_a_forgotten_subject_begins_anew(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts, place: Place
) -> None:
    await transcript.record(remembered(1))
    await settled(memos)
    await transcript.record(remembered(2))
    [in_hand] = await memos.claim(10)
    assert await facts.drop(MemorySubject(ADA, None)) == 2
    assert await memos.settle(in_hand, "q", "a") == "gone"
    assert await facts.drop(MemorySubject(ADA, None)) == 0  # once more, as after a lost reply
    assert await facts.known(MemorySubject(ADA, None)) == MemorySubject(ADA, None, 1)
    assert place.sql("SELECT count(*) FROM memory_facts") == "0"
    if place.is_sqlite:
        assert "small" not in place.sql("SELECT * FROM fact_words WHERE fact_words MATCH 'answer'")


async def test_what_instances_have_left_is_found_and_goes(
    transcript: SqlTranscriptWriter, memos: SqlMemos, facts: SqlFacts, memory: EmbeddedMemory
) -> None:
    await transcript.record(remembered(1), remembered(2, BOB), remembered(3, instance="instance-2"))
    await settled(memos)
    await transcript.record(remembered(4))
    found = await facts.of_instances(["instance-1", "instance-9"])
    assert found == [(MemorySubject(ADA, None), "instance-1"), (MemorySubject(BOB, None), "instance-1")]
    assert await facts.drop_instance(*found[0]) == 2
    assert await known(memory) == ["Asked: Settle 3.\nAnswered: Answer 3."]
    assert len(await known(memory, BOB)) == 1
