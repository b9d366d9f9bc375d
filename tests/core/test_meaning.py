"""What questions and facts mean: asked for beside all turns, in time or not at all, and never needed."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.core.remembering import AT, FakeEmbedder, FakeMemory, FakeVectors
from tests.core.rig import Core
from tests.core.test_recalling import ADA, done, meta
from worker.domain.memory import Fact
from worker.errors import ModelDown, NotRedacted, StoppedByOperator, TranscriptDown
from worker.runtime.breaker import FAILURES
from worker.runtime.clock import monotonic
from worker.turn.meaning import LONGEST_PAUSE_SECONDS, QUESTION_SECONDS, ROUND_SECONDS, Meaning
from worker.turn.recalling import Recalling


class Stopped:
    """Lets nothing go while it is set."""

    on = False

    def check(self, _: object) -> None:
        if self.on:
            raise StoppedByOperator("stopped")


@pytest.fixture
def embedder(core: Core) -> FakeEmbedder:  # noqa: ARG001 - for its clock
    return FakeEmbedder()


@pytest.fixture
def vectors() -> FakeVectors:
    return FakeVectors()


def plainly(text: str) -> str:
    return text.replace("secret", "[word]")


async def test_a_question_is_asked_for_once_and_redacted(embedder: FakeEmbedder, vectors: FakeVectors) -> None:
    async with Meaning(embedder, vectors, plainly) as meaning:
        assert [[*(await meaning.of("My secret?") or [])] for _ in range(3)] == [[float(len("My [word]?"))]] * 3
        both = await asyncio.gather(meaning.of("Another?"), meaning.of("Another?"))
        assert both[0] == both[1]
    assert embedder.script.named("embed") == [(["My [word]?"],), (["Another?"],)]


async def test_a_slow_provider_delays_no_turn_by_more_than_a_moment_and_serves_the_next(
    embedder: FakeEmbedder, vectors: FakeVectors
) -> None:
    embedder.script.next("embed", 2.0)
    async with Meaning(embedder, vectors, plainly) as meaning:
        began = monotonic()
        assert await meaning.of("Which crane?") is None
        assert monotonic() - began <= QUESTION_SECONDS + 0.01
        await asyncio.sleep(2)
        assert await meaning.of("Which crane?") is not None
    assert len(embedder.script.named("embed")) == 1


@pytest.mark.parametrize("error", [ModelDown("429"), RuntimeError("secret")])
async def test_a_provider_that_fails_is_left_alone_for_a_while(
    embedder: FakeEmbedder, vectors: FakeVectors, error: Exception
) -> None:
    embedder.script.always("embed", error)
    async with Meaning(embedder, vectors, plainly) as meaning:
        with capture_logs() as lines:
            assert [await meaning.of(f"{number}?") for number in range(9)] == [None] * 9
    assert len(embedder.script.named("embed")) == FAILURES
    assert [each["event"] for each in lines] == ["not_embedded"]
    assert "secret" not in str(lines)


async def test_a_question_that_cannot_be_redacted_goes_nowhere(embedder: FakeEmbedder, vectors: FakeVectors) -> None:
    def refuse(_: str) -> str:
        raise NotRedacted("a pattern takes too long")

    async with Meaning(embedder, vectors, refuse) as meaning:
        assert await meaning.of("Which crane?") is None
    assert embedder.script.calls == []


async def test_where_nothing_is_kept_nothing_is_asked(embedder: FakeEmbedder, vectors: FakeVectors) -> None:
    vectors.is_ready = False
    vectors.texts = {"f": "A fact."}
    async with Meaning(embedder, vectors, plainly) as meaning:
        assert await meaning.of("Which crane?") is None
        assert await meaning.of(" ") is None
        await asyncio.sleep(2 * ROUND_SECONDS)
    assert embedder.script.calls == []


async def test_facts_are_embedded_once_and_again_and_again_tried_while_that_cannot_be(
    embedder: FakeEmbedder, vectors: FakeVectors
) -> None:
    vectors.texts = {f"f{number}": "x" * number for number in range(1, 101)}
    embedder.script.next("embed", *[ModelDown("away")] * 3)
    vectors.script.next("claim", TranscriptDown("away"))
    async with Meaning(embedder, vectors, plainly):
        with capture_logs() as lines:
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)
    assert vectors.kept == {f"f{number}": [float(number)] for number in range(1, 101)}
    assert len(embedder.script.named("embed")) == 3 + 4
    assert [each["event"] for each in lines] == ["not_embedded"]


async def test_one_that_the_provider_refuses_is_left_aside_and_the_others_are_embedded(
    embedder: FakeEmbedder, vectors: FakeVectors
) -> None:
    vectors.texts = {"a": "one", "b": "bad", "c": "three"}
    embedder.bad = "bad"
    await Meaning(embedder, vectors, plainly).drain()
    assert (vectors.left, set(vectors.kept)) == (["b"], {"a", "c"})


async def test_a_stop_of_the_provider_stops_it(embedder: FakeEmbedder, vectors: FakeVectors) -> None:
    vectors.texts = {"a": "one"}
    stopped = Stopped()
    stopped.on = True
    async with Meaning(embedder, vectors, plainly, stopped) as meaning:  # type: ignore[arg-type]  # the part that is used
        assert await meaning.of("Which crane?") is None
        await asyncio.sleep(ROUND_SECONDS)
        assert (embedder.script.calls, vectors.script.named("claim")) == ([], [])
        stopped.on = False
        await asyncio.sleep(LONGEST_PAUSE_SECONDS)
    assert vectors.kept.keys() == {"a"}


async def test_a_turn_hands_over_what_its_question_means(
    core: Core, embedder: FakeEmbedder, vectors: FakeVectors
) -> None:
    memory = FakeMemory(facts={ADA.digest: [Fact("f" * 32, "A fact.", AT, "earlier", "ref1")]})
    async with Meaning(embedder, vectors, plainly) as meaning:
        core.recalling = Recalling(memory, memory, "default", meaning)
        assert meta(await done(core))["of"] == 1
    embedder.script.always("embed", ModelDown("away"))
    async with Meaning(embedder, vectors, plainly) as meaning:
        core.recalling = Recalling(memory, memory, "default", meaning)
        assert meta(await done(core))["of"] == 1
    assert [each and [*each] for each in memory.meanings] == [[float(len("Please do frame."))], None]
