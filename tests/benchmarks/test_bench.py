"""The bench's subjects do the work they are measured by. What they cost is asked by `make bench` alone."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from defusedxml import ElementTree

from tests.benchmarks import crash, figures, growth, mishaps, stage, subjects
from tests.benchmarks.__main__ import Bench
from tests.benchmarks.answer import ANSWER
from tests.benchmarks.peers import clients
from tests.benchmarks.provider import QUESTION, reach
from tests.benchmarks.subjects import Place
from tests.engines import http, literal, own_error
from tests.models import Model, bpmn, unique
from tests.rest import EngineRest
from worker.demo.model import ModelServer, faults
from worker.demo.processes import running
from worker.demo.servers import CLEAN_ENVIRONMENT
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


@pytest.mark.sweep
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


@pytest.mark.parametrize(
    "client",
    [each if each == "javascript" else pytest.param(each, marks=pytest.mark.sweep) for each in clients.CLIENTS],
)
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


@pytest.mark.parametrize("client", clients.CLIENTS)
async def test_client_of_others_whose_completion_fails_ends_at_once(client: str) -> None:
    task = json.dumps([{"id": "1", "topicName": "t", "createTime": "2026-01-01T00:00:00.000+0000", "variables": {}}])
    async with literal(http(200, task), http(500, own_error())) as engine:
        place = Place(engine.url, "redis://unused", "t")

        with pytest.raises(RuntimeError, match=f"{client} ended with exit code 1"):
            await subjects.run(subjects.peer(clients.CLIENTS[client](), place, 1, 0))


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


@pytest.mark.sweep
async def test_worker_completes_a_backlog_with_the_model_server(
    engine_rest: EngineRest, backlog: Model, topic: str, redis_url: str
) -> None:
    async with ModelServer() as server:
        place = Place(engine_rest.base_url, redis_url, topic, server.base_url, settings={"TOPICS": topic})

        await subjects.run(subjects.ours(place, TASKS, None))

        turns = server.counts()["turns"]
        assert list(turns.values()) == [stage.TURNS] * INSTANCES
    assert await finished(engine_rest, backlog) == INSTANCES


@pytest.mark.usefixtures("backlog")
async def test_worker_notes_where_it_stands_on_its_way(engine_rest: EngineRest, topic: str, redis_url: str) -> None:
    place = Place(engine_rest.base_url, redis_url, topic, settings={"TOPICS": topic})

    result = await subjects.run(subjects.ours(place, TASKS, 0, stops=[2, 4]))

    first, *_, last = marks = result["marks"]
    assert [mark["tasks"] for mark in marks] == [0, 2, 4, TASKS]
    assert first["cpu"] < last["cpu"]
    assert last["beside"]["redis"] - first["beside"]["redis"] >= TASKS, "every turn asks Redis"
    assert last["beside"]["parks"] == 0
    assert sum(last["requests"].values()) - sum(first["requests"].values()) == sum(result["requests"].values())


@pytest.mark.sweep
async def test_workers_that_share_a_backlog_are_told_by_a_file_to_stop(
    engine_rest: EngineRest, topic: str, redis_url: str, tmp_path: Path
) -> None:
    model = bpmn([stage.step(number, topic) for number in range(3)])
    await engine_rest.deploy(model)
    sign = tmp_path / "over"
    async with ModelServer() as server:
        place = Place(engine_rest.base_url, redis_url, topic, server.base_url, settings={"TOPICS": topic})
        async with running(subjects.ours_until(place, sign)) as one, running(subjects.ours_until(place, sign)) as other:
            await engine_rest.wait_for_end(await engine_rest.start(model, {"subject": "Which drone?"}))
            sign.touch()
            marks = [(await each.result())["marks"] for each in (one, other)]

        assert list(server.counts()["turns"].values()) == [3]
    assert sum(each[-1]["tasks"] - each[0]["tasks"] for each in marks) == 3


@pytest.mark.sweep
async def test_each_curve_has_what_a_task_cost_and_copies_are_done_as_if_they_had_been_started() -> None:
    extent = growth.Extent(waiting=[2, 4], topics=[2], workers=[2], turns=[2, 4], tasks=8, rounds=1)
    async with stage.open_stage() as parts:
        curves = await growth.measure(parts, extent, lambda _: None)

        models = [stage.model(stage.TURNS, topic) for topic in (stage.TOPIC, "bench_second")]
        await parts.rest.deploy(*models)
        await parts.purge()
        templates = await parts.template(*models)
        for times in (1, INSTANCES - 1):
            await parts.copy(templates, times)
        await subjects.run(subjects.ours(parts.place(), 2 * TASKS, 0))
        assert [await finished(parts.rest, model) for model in models] == [INSTANCES, INSTANCES]
        for model in models:
            names = Counter(name for name, *_ in await told(parts.rest, model))
            assert names.pop("subject") == INSTANCES + 1, "the template has it too"
            assert set(names.values()) == {INSTANCES}

    assert {name: [point["x"] for point in points] for name, points in curves.items()} == {
        "waiting": [2, 4],
        "topics": [2],
        "workers": [2],
        "turns": [2, 4],
    }
    for point in (point for points in curves.values() for point in points):
        assert point["engine"] >= 1
        assert point["redis"] >= 1
        assert point["cpu_ms"] > 0


def test_curves_of_rounds_become_medians_beside_the_most_by_the_least() -> None:
    rounds = [[{"x": 1.0, "cpu_ms": cpu, "parks": 0.0}, {"x": 10.0, "cpu_ms": 4.0, "parks": 0.0}] for cpu in (1, 2, 9)]

    points = growth.medians(rounds)

    assert points == [{"x": 1, "cpu_ms": 2, "parks": 0}, {"x": 10, "cpu_ms": 4, "parks": 0}]
    assert growth.table("topics", points).splitlines() == [
        "| topics | CPU-ms a task | parks a task |",
        "|---:|---:|---:|",
        "| 1 | 2.00 | 0.00 |",
        "| 10 | 4.00 | 0.00 |",
        "| most by least | 2.00 |  |",
    ]


async def test_run_that_fails_is_left_out_with_a_word_and_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def goes_well(_: Bench) -> dict[str, Any]:
        return {"tasks": 1}

    async def fails(_: Bench) -> dict[str, Any]:
        raise RuntimeError("ours ended with exit code 1")

    for name, run in {"idle": goes_well, "kept_idle": goes_well, "faulty": fails, "many": goes_well}.items():
        monkeypatch.setattr(Bench, name, run)
    unused: Any = None

    results = await Bench(unused, unused, unused, unused, tmp_path).once()

    assert results == {name: {"tasks": 1} for name in ("idle", "kept_idle", "many")}
    assert capsys.readouterr().out == "faulty is left out: ours ended with exit code 1\n"


def drawn(measured: Any, grown: Any, folder: Path) -> dict[str, bytes]:
    """The pictures of what the bench stored, drawn in a process of its own: pygal bends how modules are imported."""
    folder.mkdir()
    stored = {"--bench": measured, "--growth": grown}
    options: list[str | Path] = ["--folder", folder / "plots"]
    for option, content in stored.items():
        if content is not None:
            file = folder / option.strip("-")
            file.write_text(json.dumps(content), "utf-8")
            options += [option, file]
        else:
            options += [option, folder / "missing"]
    command = [sys.executable, "-m", "tests.benchmarks.plots", *options]
    subprocess.run(command, check=True, cwd=folder, env={**CLEAN_ENVIRONMENT, "PYTHONPATH": str(subjects.ROOT)})
    return {file.name: file.read_bytes() for file in (folder / "plots").iterdir()}


@pytest.mark.sweep
def test_pictures_are_drawn_of_what_was_stored(tmp_path: Path) -> None:
    figure = {"median": 2.0, "min": 1.0, "max": 3.0}
    names = [f"{name}_{each}" for name in ("bare", "java", "java_second") for each in ("rate", "cpu")]
    measured = {"summary": dict.fromkeys(names, figure)}
    point = {"cpu_ms": 1.5, "engine": 1.25, "redis": 4.0, "parks": 0.0, "servers_ms": 9.0}
    grown = {"curves": {"topics": [{"x": 1, **point}, {"x": 200, **point}]}}

    pictures = drawn(measured, grown, tmp_path / "both")

    assert pictures.keys() == {"rate.svg", "cpu.svg", "cpu_second.svg", "growth_topics.svg"}
    for picture in pictures.values():
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert b"<script" not in picture
    assert b"Java client with a pool" in pictures["rate.svg"]
    assert b"engine requests" in pictures["growth_topics.svg"]
    assert drawn(measured, grown, tmp_path / "again") == pictures, "a drawing differs by itself"
    assert drawn(None, grown, tmp_path / "curves").keys() == {"growth_topics.svg"}


def test_many_slots_are_measured_by_what_they_could_do() -> None:
    def mark(tasks: int, at: float) -> dict[str, float]:
        return {"tasks": tasks, "at": at}

    result = {
        "tasks": 3000,
        "ideal_rate": 50,
        "since_first_fetch_seconds": 75,
        "marks": [mark(0, 0), mark(1000, 33), mark(3000, 75)],
        "requests": {"extend": 1500},
        "cpu_seconds": 6,
        "peak_bytes": 130_000_000,
    }

    reduced = figures.of_round({"many": result})

    assert reduced == {
        "many_by_ideal": pytest.approx(2000 / 42 / 50),
        "many_by_ideal_whole": 0.8,
        "many_renewals": 20,
        "many_cpu": 2,
        "many_peak": 130,
    }


@pytest.mark.sweep
async def test_idle_worker_is_watched_for_a_while(engine_rest: EngineRest, topic: str, redis_url: str) -> None:
    place = Place(engine_rest.base_url, redis_url, topic, settings={"TOPICS": topic, "POLL_SECONDS": "1"})

    result = await subjects.run(subjects.idle(place, seconds=0.5))

    assert result["requests"] == {"poll": 1}
    assert result["seconds"] >= 0.5
    assert figures.of_round({"kept_idle": result})["kept_idle_peak"] > 10


@pytest.mark.sweep
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


@pytest.mark.sweep
async def test_single_task_recalls_from_many_facts(
    engine_rest: EngineRest, topic: str, redis_url: str, tmp_path: Path
) -> None:
    model = stage.model(1, topic, memory_subject=stage.KNOWN_BY)
    await engine_rest.deploy(model)
    parts: Any = SimpleNamespace(
        rest=engine_rest,
        purge=nothing,
        place=lambda **settings: Place(engine_rest.base_url, redis_url, topic, settings=settings),
    )
    unused: Any = None
    bench = Bench(parts, unused, unused, unused, tmp_path, known=model)

    result = await bench.recalled_single(2)

    metas = await engine_rest.get(
        "history/variable-instance", processDefinitionKey=model.key, variableName="answer_1_meta"
    )
    assert [len(json.loads(each["value"])["recalled"]["facts"]) for each in metas] == [5, 5]
    reduced = figures.of_round({"recalled_single": result, "kept_single": result})
    assert (reduced["recalled_single_own_p50"] > 0, reduced["recalled_single_more"]) == (True, 0)


async def nothing() -> None:
    """Leave the engine, which others use, as it is."""


def test_percentile_is_a_value_that_was_measured() -> None:
    assert figures.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert figures.percentile([float(number) for number in range(100)], 99) == 98.0
    assert figures.percentile([7.0], 99) == 7.0


def test_figures_of_rounds_become_medians_with_their_spread() -> None:
    rounds = [{"instant_ratio": 0.8}, {"instant_ratio": 0.9}, {"instant_ratio": 0.7, "idle_polls": 6.0}]

    summary = figures.over_rounds(rounds)

    assert summary["instant_ratio"] == {"median": 0.8, "min": 0.7, "max": 0.9}
    assert "| instant model, rate by the bare loop's | 0.80 | 0.70-0.90 | ≥ 0.87 |" in figures.table(summary)
