"""The image of docker/Dockerfile, on a real engine and a real Valkey."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.image.build import ROOT
from tests.image.container import Container, configuration, pinned
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.processes import running
from worker.demo.rest import ModelControl, connection
from worker.demo.servers import Valkey
from worker.demo.stage import ScriptedModel
from worker.telemetry.logs import Event

BPMN: Final = ROOT / "bpmn" / "decision"
GRACE_SECONDS: Final = 10
ANSWER_SECONDS: Final = 2.0


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(ANSWER_SECONDS) as model:
        yield model


@pytest.fixture
async def control(model: ScriptedModel) -> AsyncIterator[ModelControl]:
    async with connection() as session:
        yield ModelControl(model.control_url, session)


def told(topic: str, engine: Engine, valkey: Valkey, database: int, model: ScriptedModel) -> dict[str, str]:
    """The settings of a worker that has a topic for itself."""
    return {
        "ENGINE_URL": engine.base_url,
        "REDIS_URL": valkey.url(database),
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "scripted",
        "TOPICS": topic,
        "POLL_SECONDS": "2",
        "GRACE_SECONDS": str(GRACE_SECONDS),
    }


@pytest.fixture(scope="module")
def container(engine: Engine, valkey: Valkey, model: ScriptedModel) -> Iterator[Container]:
    """One for all tests that do not end it: to make one takes long."""
    with Container(told("image", engine, valkey, 0, model)) as container:
        yield container


async def started(rest: EngineRest, topic: str) -> str:
    """An instance of the sample decision on this topic, with its example's variables."""
    await rest.deploy((BPMN / "decision.bpmn").read_text("utf-8").replace('"decision-analysis"', f'"{topic}"'))
    return await rest.start("decision", json.loads((BPMN / "decision.json").read_text("utf-8")))


def turns(container: Container) -> list[dict[str, Any]]:
    return [line for line in container.lines() if line["event"] == Event.TURN]


async def test_a_decision_takes_its_four_steps_on_one_thread(
    container: Container, engine_rest: EngineRest, control: ModelControl
) -> None:
    before = await control.counts()
    instance = await started(engine_rest, "image")
    await engine_rest.wait_for_end(instance, 60)

    counts = (await control.counts()).since(before)
    assert [count for count in counts.turns.values() if count] == [4]
    assert (counts.created, counts.asked) == (1, 4)
    assert len(turns(container)) == 4


async def test_a_stop_ends_the_turn_that_runs_within_the_grace_time_and_leaves_nothing_locked(
    engine: Engine, valkey: Valkey, model: ScriptedModel, engine_rest: EngineRest, control: ModelControl
) -> None:
    async def is_asked() -> bool:
        return bool((await control.counts()).running)

    async with running(Container(told("image_stop", engine, valkey, 1, model))) as container:
        instance = await started(engine_rest, "image_stop")
        await wait_until(is_asked, 30, "a call of the model")
        began = time.monotonic()
        await asyncio.to_thread(container.ask_to_stop, GRACE_SECONDS + 5)

        assert time.monotonic() - began < GRACE_SECONDS + 2
        assert await asyncio.to_thread(container.wait, 10) == 0
        assert [turn["verdict"] for turn in turns(container)] == ["complete"]
    [task] = await engine_rest.tasks(instance)
    assert (task["activityId"], task["workerId"], task["retries"]) == ("alternatives", None, None)


def test_it_runs_as_an_ordinary_user_and_as_the_first_process(container: Container) -> None:
    status = container.status()

    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert status["NSpid"].split()[-1] == "1"


def test_it_writes_to_data_and_tmp_alone(container: Container) -> None:
    def writes(path: str) -> bool:
        return container.runs("python", "-c", f"open({path!r}, 'w')").returncode == 0

    assert writes("/data/x")
    assert writes("/tmp/x")  # noqa: S108 - the container's
    for path in ("/x", "/opt/assistant-worker/x", "/assistants/x"):
        assert not writes(path), path
    kept = container.runs("python", "-c", "import os; print(os.listdir('/data'))").stdout
    assert "transcript.db" in kept


def test_its_health_check_passes_while_the_worker_lives_and_needs_no_shell(container: Container) -> None:
    kind, *command = configuration()["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert container.runs(*command).returncode == 0

    there_is_nobody = container.runs("env", "HEALTH_PORT=1", *command)
    assert there_is_nobody.returncode == 1


def test_doctor_says_nothing_against_it(container: Container) -> None:
    done = container.runs("assistant-worker", "doctor")
    assert done.returncode == 0, done.stdout


def test_the_page_has_its_diagrams(container: Container) -> None:
    look = "import worker.web.page as p, pathlib; print(*(f.name for f in pathlib.Path(p.__file__).parent.rglob('*')))"
    shown = container.runs("python", "-c", look).stdout.split()
    assert {"index.html", "viewer.js", "LICENSE"} <= set(shown)


def test_it_has_the_packages_that_are_pinned_and_no_others(container: Container) -> None:
    held = container.packages()

    assert "aiohttp" in held
    assert held - {"assistant-worker"} <= pinned("oidc")


def test_it_says_what_it_is_and_how_it_stops() -> None:
    said = configuration()
    assert said["User"] == "10001:10001"
    assert said["StopSignal"] == "SIGTERM"
    assert (said["Entrypoint"], said["Cmd"]) == (["assistant-worker"], ["run"])
    assert said["Labels"]["org.opencontainers.image.title"] == "assistant-worker"
    assert said["Labels"]["org.opencontainers.image.version"]
    assert "/data" in said["Volumes"]


def test_nothing_of_the_machine_that_built_it_is_in_it() -> None:
    assert not any("PIP_" in each or "SSL_" in each for each in configuration()["Env"])
    assert str(Path.home()) not in json.dumps(configuration())
