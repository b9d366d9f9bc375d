"""The bench's subjects do the work they are measured by. What they cost is asked by `make bench` alone."""

import json

import pytest

from tests.benchmarks import crash, figures, mishaps, stage, subjects
from tests.benchmarks.answer import ANSWER
from tests.benchmarks.peers import clients
from tests.benchmarks.provider import QUESTION, reach
from tests.benchmarks.subjects import Place
from tests.models import Model, unique
from tests.rest import EngineRest
from worker.demo.model import ModelServer, faults
from worker.specs import assistants

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


async def told(rest: EngineRest, model: Model) -> list[tuple[str, str, list[str]]]:
    """Name and type of every variable of a model's instances, and what stands in it if it is a meta variable."""
    rows = await rest.get("history/variable-instance", processDefinitionKey=model.key)
    return [
        (row["name"], row["type"], sorted(json.loads(row["value"])) if row["name"].endswith("_meta") else [])
        for row in rows
    ]


async def test_bare_loop_completes_a_backlog(engine_rest: EngineRest, backlog: Model, topic: str) -> None:
    place = Place(engine_rest.base_url, "redis://unused", topic)

    result = await subjects.run(subjects.bare(place, TASKS))

    assert result["tasks"] == TASKS
    assert result["requests"]["complete"] == TASKS
    assert await finished(engine_rest, backlog) == INSTANCES


async def test_bare_loop_that_writes_leaves_the_variables_that_our_worker_leaves(
    engine_rest: EngineRest, backlog: Model, topic: str, redis_url: str
) -> None:
    place = Place(engine_rest.base_url, redis_url, topic, settings={"TOPICS": topic})

    await subjects.run(subjects.bare(place, TASKS, writes=True))
    theirs = await told(engine_rest, backlog)
    await stage.start(engine_rest, backlog, INSTANCES)
    await subjects.run(subjects.ours(place, TASKS, 0))
    both = await told(engine_rest, backlog)

    assert len(theirs) == INSTANCES * (1 + 1 + 2 * stage.TURNS)
    assert sorted(theirs + theirs) == sorted(both)


@pytest.mark.parametrize("client", clients.CLIENTS)
@pytest.mark.parametrize("model_seconds", [0, 0.05])
async def test_client_of_others_completes_a_backlog_with_the_same_answer(
    engine_rest: EngineRest, backlog: Model, topic: str, client: str, model_seconds: float
) -> None:
    place = Place(engine_rest.base_url, "redis://unused", topic)

    result = await subjects.run(subjects.peer(clients.CLIENTS[client](), place, TASKS, model_seconds))

    assert await finished(engine_rest, backlog) == INSTANCES
    assert (result["tasks"], result["requests"]["complete"]) == (TASKS, TASKS)
    assert result["requests"]["poll"] > 0
    assert min(result["own_seconds"]) > 0
    assert result["cpu_seconds"] > 0
    asked = {"processDefinitionKey": backlog.key, "variableName": "answer"}
    assert {row["value"] for row in await engine_rest.get("history/variable-instance", **asked)} == {ANSWER}
    reduced = figures.of_round({client: result, "bare": result, f"{client}_second": result})
    assert {f"{client}_ratio", f"{client}_second_rate_behind"} <= reduced.keys()


def test_client_that_cannot_be_had_is_left_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(clients, "find_spec", lambda _: None)

    names = [client.name for client in clients.available(said.append)]

    assert names == [name for name in clients.CLIENTS if name != "python_async"]
    assert said == ["python_async is left out: httpx is needed, and is in the requirements of the tests"]


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


async def test_killed_workers_task_is_asked_about_again_by_another(
    engine_rest: EngineRest, topic: str, redis_url: str
) -> None:
    one = stage.model(1, topic)
    await engine_rest.deploy(one)
    async with ModelServer() as server, reach(server.control_url) as provider:
        # With one slot the dead worker leaves no poll behind at the engine, which would be given what is unlocked.
        settings = {"TOPICS": topic, "MAX_TASKS": "1"}
        place = Place(engine_rest.base_url, redis_url, topic, server.base_url, settings=settings)
        async with crash.crashes(engine_rest, provider, place, one) as deaths:
            death = await deaths.kill()
            assert len(server.requests(QUESTION)) == 1
            await engine_rest.post(f"external-task/{death.task_id}/unlock")  # nobody wants to wait for its lock here

            assert await deaths.next_question(death) > 0

        assert (len(server.conversations()), await provider.spoiled()) == (1, 1)
    assert await finished(engine_rest, one) == 1


def test_mishaps_come_to_one_call_in_fifty_and_to_each_kind_alike() -> None:
    rules = [faults.rule({"call": QUESTION, **each}) for each in mishaps.rules(300)]
    call = faults.Call(QUESTION, "", None, {})

    spoiled = [number for number in range(300) if any(rule.takes(call) for rule in rules)]

    assert spoiled == [25, 75, 125, 175, 225, 275]
    assert [rule.hits for rule in rules] == [1] * len(mishaps.KINDS)


def test_assistant_of_the_mishaps_gives_up_before_the_late_answer() -> None:
    [impatient] = assistants.load(mishaps.ASSISTANTS).assistants

    late = min(kind["before"] for kind in mishaps.KINDS if "before" in kind)
    assert impatient.timeout.total_seconds() < late


def test_calls_per_task_count_those_that_failed() -> None:
    reduced = figures.of_round({"faulty": {"tasks": 100, "asked": 104, "spoiled": 2}})

    assert reduced == {"faulty_asked": 1.04, "faulty_spoiled": 200 / 104}


def test_percentile_is_a_value_that_was_measured() -> None:
    assert figures.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert figures.percentile([float(number) for number in range(100)], 99) == 98.0
    assert figures.percentile([7.0], 99) == 7.0


def test_figures_of_rounds_become_medians_with_their_spread() -> None:
    rounds = [{"instant_ratio": 0.8}, {"instant_ratio": 0.9}, {"instant_ratio": 0.7, "idle_polls": 6.0}]

    summary = figures.over_rounds(rounds)

    assert summary["instant_ratio"] == {"median": 0.8, "min": 0.7, "max": 0.9}
    assert "| instant model, rate by the bare loop's | 0.80 | 0.70-0.90 | ≥ 0.85 |" in figures.table(summary)
