"""The bench's subjects do the work they are measured by. What they cost is asked by `make bench` alone."""

import pytest

from tests.benchmarks import figures, stage, subjects
from tests.benchmarks.subjects import Place
from tests.models import Model, unique
from tests.rest import EngineRest
from worker.dev.model import ModelServer

INSTANCES = 2
TASKS = INSTANCES * stage.TURNS


@pytest.fixture
def topic() -> str:
    return unique("bench")


@pytest.fixture
async def backlog(engine_rest: EngineRest, topic: str) -> Model:
    model = stage.model(stage.TURNS, topic)
    await engine_rest.deploy(model)
    await stage.start(engine_rest, model, INSTANCES)
    return model


async def finished(rest: EngineRest, model: Model) -> int:
    count = await rest.get("history/process-instance/count", processDefinitionKey=model.key, completed=True)
    return int(count["count"])


async def test_bare_loop_completes_a_backlog(engine_rest: EngineRest, backlog: Model, topic: str) -> None:
    place = Place(engine_rest.base_url, "redis://unused", topic)

    result = await subjects.run(subjects.bare(place, TASKS))

    assert result["tasks"] == TASKS
    assert result["requests"]["complete"] == TASKS
    assert await finished(engine_rest, backlog) == INSTANCES


async def test_worker_completes_a_backlog_without_a_model_server(
    engine_rest: EngineRest, backlog: Model, topic: str, redis_url: str
) -> None:
    place = Place(engine_rest.base_url, redis_url, topic, settings={"TOPICS": topic})

    result = await subjects.run(subjects.ours(place, TASKS, 0.05))

    assert result["tasks"] == TASKS
    assert result["requests"]["complete"] >= TASKS
    assert await finished(engine_rest, backlog) == INSTANCES
    assert len(result["question_seconds"]) == TASKS
    assert min(result["question_seconds"]) > 0, "a question before its task was created: clocks are mixed up"
    assert figures.of_round({"instant": result})["instant_own_p50"] > 0


async def test_worker_completes_a_backlog_with_the_model_server(
    engine_rest: EngineRest, backlog: Model, topic: str, redis_url: str
) -> None:
    async with ModelServer() as server:
        place = Place(engine_rest.base_url, redis_url, topic, server.base_url, settings={"TOPICS": topic})

        await subjects.run(subjects.ours(place, TASKS, None))

        turns = server.counts()["turns"]
        assert list(turns.values()) == [stage.TURNS] * INSTANCES
    assert await finished(engine_rest, backlog) == INSTANCES


async def test_idle_worker_is_watched_for_a_while(engine_rest: EngineRest, topic: str, redis_url: str) -> None:
    place = Place(engine_rest.base_url, redis_url, topic, settings={"TOPICS": topic, "POLL_SECONDS": "1"})

    result = await subjects.run(subjects.idle(place, seconds=0.5))

    assert result["requests"] == {"poll": 1}
    assert result["seconds"] >= 0.5


def test_percentile_is_a_value_that_was_measured() -> None:
    assert figures.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert figures.percentile([float(number) for number in range(100)], 99) == 98.0
    assert figures.percentile([7.0], 99) == 7.0


def test_figures_of_rounds_become_medians_with_their_spread() -> None:
    rounds = [{"instant_ratio": 0.8}, {"instant_ratio": 0.9}, {"instant_ratio": 0.7, "idle_polls": 6.0}]

    summary = figures.over_rounds(rounds)

    assert summary["instant_ratio"] == {"median": 0.8, "min": 0.7, "max": 0.9}
    assert "| instant model, rate by the bare loop's | 0.80 | 0.70-0.90 | ≥ 0.85 |" in figures.table(summary)
