"""The real parts do what demo and tests rely on: they get ready, keep or forget data, and never stay behind."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio as redis

from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest
from tests.servers.postgresql import PostgreSQL
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.processes import Process, StartError, free_port, is_free, running
from worker.demo.servers import Valkey


async def test_the_engine_answers_and_has_cockpit(engine: Engine, engine_rest: EngineRest) -> None:
    assert await engine_rest.get("engine") == [{"name": "default"}]
    async with aiohttp.ClientSession() as session, session.get(engine.cockpit_url) as page:
        assert page.status == 200
        assert "Cockpit" in await page.text()


async def test_a_built_model_deploys_and_hands_out_its_tasks_in_order(engine_rest: EngineRest) -> None:
    topic = unique("topic")
    first = ServiceTask(
        "first",
        topic,
        name='Say "a < b"',
        documentation="Was & why?\nTwo lines.",
        properties={"service.name": "analyst"},
        inputs={"prompt": "${question}"},
    )
    model = bpmn(first, [ServiceTask("left", topic), ServiceTask("right", topic)], ServiceTask("last", topic))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model, {"question": "why?", "facts": {"a": [1]}}, "order-7")

    task = (await fetch(engine_rest, topic))[0]
    assert task["activityId"] == "first"
    assert task["businessKey"] == "order-7"
    assert task["extensionProperties"] == {"service.name": "analyst"}
    assert task["variables"]["prompt"]["value"] == "why?"
    assert task["variables"]["facts"]["type"] == "Json"
    await complete(engine_rest, task, "result", "done")

    branches = await fetch(engine_rest, topic, count=2)
    assert {task["activityId"] for task in branches} == {"left", "right"}
    for branch in branches:
        await complete(engine_rest, branch)
    await complete(engine_rest, (await fetch(engine_rest, topic))[0])

    await engine_rest.wait_for_end(instance)
    assert (await engine_rest.variables(instance))["result"] == "done"


async def test_a_built_model_catches_errors_and_repeats(engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("many", topic, instances=2), ServiceTask("risky", topic, catches="refused"))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)

    many = await fetch(engine_rest, topic, count=2)
    assert {task["variables"]["loopCounter"]["value"] for task in many} == {0, 1}
    for task in many:
        await complete(engine_rest, task)
    (risky,) = await fetch(engine_rest, topic)
    await engine_rest.post(
        f"external-task/{risky['id']}/bpmnError", {"workerId": "test", "errorCode": "refused", "errorMessage": "no"}
    )

    await engine_rest.wait_for_end(instance)
    steps = await engine_rest.get("history/activity-instance", processInstanceId=instance)
    assert "risky_caught" in {step["activityId"] for step in steps}


async def test_what_a_test_deployed_is_gone_with_its_tasks(engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("left_over", topic))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)

    await engine_rest.clean()

    assert (await engine_rest.request("GET", f"history/process-instance/{instance}"))[0] == 404
    assert topic not in await engine_rest.get("external-task/topic-names")


async def test_valkey_keeps_what_is_set_and_databases_apart(valkey: Valkey, redis_url: str) -> None:
    other = valkey.url(4095)
    async with redis.from_url(redis_url) as mine, redis.from_url(other) as theirs:
        await mine.set("key", "value")

        assert await mine.get("key") == b"value"
        assert await theirs.get("key") is None


@pytest.mark.parametrize(("persistent", "kept"), [(True, b"value"), (False, None)])
async def test_only_a_persistent_valkey_knows_after_a_kill_what_was_set(
    *, persistent: bool, kept: bytes | None
) -> None:
    async with running(Valkey(persistent=persistent)) as server:
        async with redis.from_url(server.url()) as client:
            await client.set("key", "value")
            append_only = server.directory / "appendonlydir"
            await wait_until(lambda: not persistent or any("value" in read(file) for file in append_only.glob("*.aof")))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

        async with redis.from_url(server.url()) as client:
            assert await client.get("key") == kept


def test_postgresql_answers_and_keeps_its_data_over_a_kill() -> None:
    with PostgreSQL() as server:
        database = server.create("bench")
        server.sql("CREATE TABLE t AS SELECT 'one' AS a, 2 AS b", "bench")
        server.kill()
        server.start()

        assert database.url == f"jdbc:postgresql://127.0.0.1:{server.port}/bench"
        assert server.sql("SELECT * FROM t", "bench") == "one|2"
        with pytest.raises(RuntimeError, match="does not exist"):
            server.sql("SELECT * FROM u", "bench")


async def test_postgresql_starts_again_while_an_orphan_of_the_killed_one_still_works() -> None:
    def works() -> bool:
        return server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT sum%'") == "1"

    async with running(PostgreSQL()) as server:
        query = "SELECT sum(n) FROM generate_series(1, 4000000) n"  # ends, or sees that it is alone, after a second
        busy = asyncio.create_task(asyncio.to_thread(server.sql, query), name="busy")
        await wait_until(works, what="the query runs")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

        assert server.sql("SELECT 1") == "1"
        await asyncio.wait([busy])
        assert busy.exception() or busy.result()


def test_postgresql_wants_its_password() -> None:
    with PostgreSQL() as server:
        server.password = "guessed"

        with pytest.raises(RuntimeError, match="password authentication failed"):
            server.sql("SELECT 1")


def shell(script: str, port: int | None = None, start_seconds: float = 20) -> Process:
    return Process(
        "shell",
        ["/bin/sh", "-c", script],
        ready=lambda: False,
        port=port,
        start_seconds=start_seconds,
        stop_seconds=0.2,
    )


def test_a_program_that_ends_instead_of_starting_is_told_with_its_log() -> None:
    process = shell("echo no memory left; exit 3")

    with pytest.raises(StartError, match=r"exit code 3:\nno memory left"), process:
        pass

    assert not process.directory.exists()


def test_a_program_that_is_not_ready_in_time_is_killed() -> None:
    process = shell("trap '' TERM; echo still thinking; while :; do read x < /dev/null; done", start_seconds=2)

    with pytest.raises(StartError, match=r"not ready after 2 s:\nstill thinking"), process:
        pass

    assert process.returncode == -signal.SIGKILL


def test_a_taken_port_is_said_instead_of_taking_another_program_for_ours(valkey: Valkey) -> None:
    with pytest.raises(StartError, match=f"port {valkey.port} is taken"), Valkey(port=valkey.port):
        pass


def test_a_free_port_is_the_preferred_one_unless_that_is_taken(valkey: Valkey) -> None:
    preferred = free_port()

    assert free_port(preferred) == preferred
    assert free_port(valkey.port) != valkey.port


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    process = shell("exec sleep 60")
    async with asyncio.timeout(30):
        starting = asyncio.create_task(enter(process), name="starting")
        await wait_until(lambda: process.running, what="the program runs")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    assert not process.running
    assert not process.directory.exists()


async def test_a_program_dies_with_its_owner_even_when_that_is_killed() -> None:
    script = """
import os, signal
from worker.demo.servers import Valkey
server = Valkey()
server.start()
print(server.port, server.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE, cwd=root)
    said, _ = await owner.communicate()
    port, directory = said.decode().split()

    assert owner.returncode == -signal.SIGKILL
    await wait_until(lambda: is_free(int(port)), what="the server is gone")
    await wait_until(lambda: not Path(directory).exists(), what="its directory is gone")


async def enter(process: Process) -> None:
    async with running(process):
        pass


async def fetch(rest: EngineRest, topic: str, count: int = 1) -> list[dict[str, Any]]:
    """As many tasks as wanted; asyncAfter makes a task follow its predecessor a moment later."""
    tasks: list[dict[str, Any]] = []
    topics = [{"topicName": topic, "lockDuration": 60_000, "includeExtensionProperties": True}]

    async def all_there() -> bool:
        body = {"workerId": "test", "maxTasks": count - len(tasks), "asyncResponseTimeout": 2000, "topics": topics}
        tasks.extend(await rest.post("external-task/fetchAndLock", body))
        return len(tasks) == count

    await wait_until(all_there, 20, f"{count} tasks of {topic}")
    return tasks


async def complete(rest: EngineRest, task: dict[str, Any], name: str = "x", value: str = "") -> None:
    await rest.post(f"external-task/{task['id']}/complete", {"workerId": "test", "variables": {name: {"value": value}}})


def read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
