"""What facts mean, in a PostgreSQL with pgvector: kept beside them, recalled by, and gone with them."""

import pytest

from tests.contract.transcript.conftest import Place, postgresql_place
from tests.contract.transcript.test_transcript_memory import ADA, BOB, add, remembered, settled
from tests.servers.postgresql import PostgreSQL
from worker.demo.model.embeddings import numbers
from worker.domain.memory import MemorySubject
from worker.transcript import (
    Database,
    EmbeddedMemory,
    SqlFacts,
    SqlMemos,
    SqlTranscriptWriter,
    SqlVectors,
    open_database,
)

MODEL = "text-embedding-3-small"
DUE = "UPDATE memory_vectors SET due_at = now() - interval '1 second'"


@pytest.fixture
def place(postgresql: PostgreSQL) -> Place:
    """PostgreSQL alone has it."""
    return postgresql_place(postgresql)


@pytest.fixture
async def extended(database: Database, place: Place) -> Database:
    place.sql("CREATE EXTENSION vector")
    return database


@pytest.fixture
async def vectors(extended: Database) -> SqlVectors:
    made = SqlVectors(extended, engine="default", model=MODEL)
    assert await made.ready()
    return made


@pytest.fixture
def memory(extended: Database, vectors: SqlVectors) -> EmbeddedMemory:
    return EmbeddedMemory(extended, extended.hurried(), engine="default", vectors=vectors)


@pytest.fixture
async def known(extended: Database) -> Database:
    """Ada, of whom something is known, and Bob."""
    transcript, memos = SqlTranscriptWriter(extended), SqlMemos(extended, engine="default")
    await transcript.record(remembered(1), remembered(2, BOB, "instance-2"))
    await settled(memos)
    return extended


async def embed(vectors: SqlVectors) -> int:
    done = 0
    while texts := await vectors.claim(100):
        await vectors.keep({name: numbers(text) for name, text in texts.items()})
        done += len(texts)
    return done


async def found(memory: EmbeddedMemory, question: str, most: int = 1, *, by_meaning: bool = True) -> list[str]:
    meaning = numbers(question) if by_meaning else None
    facts = await memory.recall(MemorySubject(ADA, None), question, most, meaning=meaning)
    return [each.text.partition("Answered: ")[2] for each in facts]


async def test_what_is_meant_is_found_where_no_word_is_the_same(
    known: Database, vectors: SqlVectors, memory: EmbeddedMemory
) -> None:
    for number, answer in enumerate(["Cranes were hired.", "Pumps were bought.", "Nothing was painted."]):
        await add(known, f"ref{number}", answer)
    assert await embed(vectors) == 5
    question = "Which crane do we hire?"
    assert await found(memory, question) == ["Cranes were hired."]
    assert await found(memory, question, by_meaning=False) != ["Cranes were hired."]
    # Words have their say as well.
    assert (await found(memory, "pumps", most=2))[0] == "Pumps were bought."


async def test_each_fact_is_embedded_by_one_worker_and_by_another_if_that_dies(
    known: Database, vectors: SqlVectors, place: Place
) -> None:
    await add(known, "ref1", "Cranes were hired.")
    other = SqlVectors(known, engine="default", model=MODEL)
    assert await other.ready()
    assert len(await vectors.claim(2)) == 2
    assert len(await other.claim(9)) == 1
    assert await vectors.claim(9) == await other.claim(9) == {}
    place.sql(DUE)
    assert await embed(other) == 3
    place.sql(DUE)
    assert await vectors.claim(9) == {}


async def test_one_that_is_left_aside_holds_up_no_other(known: Database, vectors: SqlVectors, place: Place) -> None:
    await add(known, "ref1", "Cranes were hired.")
    [bad, *_] = await vectors.claim(9)
    await vectors.aside(bad)
    due = place.sql("SELECT fact_id FROM memory_vectors ORDER BY due_at DESC LIMIT 1")
    assert due == bad
    place.sql("UPDATE memory_vectors SET due_at = due_at - interval '23 hours'")
    assert bad not in await vectors.claim(9)


async def test_only_facts_that_are_recalled_are_embedded_and_those_of_ones_own_engine(
    known: Database, vectors: SqlVectors, place: Place
) -> None:
    await add(known, "ref1", "Cranes were hired.")
    place.sql("UPDATE memory_facts SET state = 'proposed' WHERE ref = 'ref1'")
    assert await embed(SqlVectors(known, engine="other", model=MODEL)) == 0
    assert await embed(vectors) == 2


async def test_erasing_takes_the_numbers_along_whoever_erases(
    known: Database, vectors: SqlVectors, place: Place
) -> None:
    await add(known, "ref1", "Cranes were hired.")
    assert await embed(vectors) == 3
    facts = SqlFacts(known, known.hurried(), engine="default")
    await facts.drop(MemorySubject(ADA, None))
    assert place.sql("SELECT count(*) FROM memory_vectors") == "1"
    place.sql("DELETE FROM memory_facts")  # as a worker does that knows nothing of them
    assert place.sql("SELECT count(*) FROM memory_vectors") == "0"
    await vectors.keep({"f" * 32: numbers("gone meanwhile")})
    assert place.sql("SELECT count(*) FROM memory_vectors") == "0"


async def test_numbers_of_another_model_or_another_count_tell_nothing_and_harm_nothing(
    known: Database, vectors: SqlVectors, memory: EmbeddedMemory
) -> None:
    for number, answer in enumerate(["Cranes were hired.", "Pumps were bought."]):
        await add(known, f"ref{number}", answer)
    await embed(vectors)
    whom = MemorySubject(ADA, None)
    by_words = [each.ref for each in await memory.recall(whom, "crane", 2)]
    assert [each.ref for each in await memory.recall(whom, "crane", 2, meaning=[1.0, 0.0])] == by_words
    assert [each.ref for each in await memory.recall(whom, "crane", 2, meaning=[0.0] * 128)] == by_words
    newer = SqlVectors(known, engine="default", model="another")
    assert await newer.ready()
    other = EmbeddedMemory(known, known.hurried(), engine="default", vectors=newer)
    assert [each.ref for each in await other.recall(whom, "crane", 2, meaning=numbers("crane"))] == by_words
    assert await embed(newer) == 4


async def test_an_extension_that_is_not_there_or_goes_leaves_the_words(
    known: Database, vectors: SqlVectors, memory: EmbeddedMemory, place: Place
) -> None:
    await add(known, "ref1", "Cranes were hired.")
    await embed(vectors)
    place.sql("DROP EXTENSION vector CASCADE")
    assert await found(memory, "cranes") == ["Cranes were hired."]
    assert not vectors.is_ready
    assert not await vectors.ready()
    assert not await vectors.is_installed()
    assert await found(memory, "cranes") == ["Cranes were hired."]
    place.sql("CREATE EXTENSION vector")
    assert await vectors.ready()
    place.sql(DUE)
    assert await embed(vectors) == 3


async def test_workers_that_start_at_once_make_one_table(extended: Database, place: Place) -> None:
    async with open_database(place.url) as second:
        made = [SqlVectors(each, engine="default", model=MODEL) for each in (extended, second) for _ in range(3)]
        for each in made:
            assert await each.ready()
