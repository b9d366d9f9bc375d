"""What operators stop by command: workers see it, tasks wait with their retries, and go on when it is lifted."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.flow.command import Command, Ran, assistant_worker, environment, started
from tests.flow.rig import SPEC, Rig
from tests.waiting import wait_until
from worker.demo.servers import Valkey
from worker.operate import doctor
from worker.operate.doctor import Level

LOOKED_SECONDS = 5
"""In which a worker has looked more than once whether something is stopped."""
BACK_SECONDS = 60
"""20 s parked, and a poll that is parked at the engine then; the rest is the machine's."""

Operator = Callable[..., Awaitable[Ran]]


@pytest.fixture
def operate(rig: Rig) -> Operator:
    async def run(*arguments: str, **settings: object) -> Ran:
        return await assistant_worker(environment(rig, **settings), *arguments)

    return run


async def readiness(worker: Command) -> tuple[int, Any]:
    status, text = await worker.get("readyz")
    return status, json.loads(text)


async def until_seen(worker: Command, said: str) -> Any:
    """Wait until the worker says so."""

    async def says() -> Any:
        body = (await readiness(worker))[1]
        return body if any(said in line for line in body.get("stopped", [])) else None

    return await wait_until(says, what=f"{said!r} at /readyz")


async def test_a_stopped_assistants_instance_waits_at_every_worker_and_others_go_on(
    rig: Rig, operate: Operator
) -> None:
    rig.assistant("critic")
    async with started(rig) as one, started(rig) as two:
        for worker in (one, two):
            await worker.until_ready()
        done = await operate("stop", "assistant", "analyst", "--reason", "answers nonsense")
        assert (done.code, "answers nonsense" in done.out) == (0, True)
        for worker in (one, two):
            await until_seen(worker, "assistant analyst is stopped since")
        held = await rig.rest.start(await rig.deploy(rig.step("frame")))
        await rig.run(await rig.deploy(rig.step("other", "critic")))
        parked = await wait_until(
            lambda: [line for each in (one, two) for line in each.lines("turn") if line.get("reason") == "stopped"],
            what="a task that was parked",
        )
        assert {line["assistant"] for line in parked} == {"analyst"}
        [task] = await rig.rest.tasks(held)
        assert (task["retries"], task["errorMessage"]) == (None, None)
        assert len(rig.questions()) == 1
        status, metrics = await one.get("metrics")
        assert (status, 'worker_stopped{kind="assistant"} 1.0' in metrics) == (200, True)
        [seen] = one.lines("stop_seen")
        assert (seen["kind"], seen["name"], seen["reason"]) == ("assistant", "analyst", "answers nonsense")

        assert (await operate("resume", "assistant", "analyst")).code == 0
        await rig.rest.wait_for_end(held, BACK_SECONDS)
        await wait_until(lambda: one.lines("stop_lifted"), what="the other worker to see it")  # which had no task
        assert [line["verdict"] for each in (one, two) for line in each.lines("turn")].count("fail") == 0


async def test_everything_stopped_is_no_readiness_and_outlasts_redis(rig: Rig, operate: Operator) -> None:
    with Valkey(persistent=True) as valkey:
        settings = {"redis_url": valkey.url()}
        async with started(rig, **settings) as worker:
            await worker.until_ready()
            await operate("stop", "all", **settings)
            await until_seen(worker, "everything is stopped since")
            held = await rig.rest.start(await rig.deploy(rig.step("frame")))
            status, body = await readiness(worker)
            assert (status, len(body["reasons"])) == (503, 1)
            async with Redis.from_url(valkey.url()) as redis:
                await redis.waitaof(1, 0, 5000)
            valkey.kill()
            began = time.monotonic()
            await wait_until(lambda: time.monotonic() - began > LOOKED_SECONDS, what="the next looks")
            assert any("everything is stopped since" in line for line in (await readiness(worker))[1]["reasons"])
            valkey.start()
            assert (await operate("stops", "--json", **settings)).json["known"]
            assert rig.questions() == []
            assert (await operate("resume", "all", **settings)).code == 0
            await rig.rest.wait_for_end(held, BACK_SECONDS)


async def test_now_cancels_a_run_in_the_background_and_it_is_asked_again_when_lifted(
    rig: Rig, operate: Operator
) -> None:
    text = SPEC.format(name="analyst", version="1.0", timeout=600)
    (rig.folder / "analyst@1.0.md").write_text(text.replace("timeout_seconds", "background: true\ntimeout_seconds"))
    rig.provider.fault("responses.create", hold="gate")
    await rig.start_worker()
    instance = await rig.rest.start(await rig.deploy(rig.step("frame")))
    await wait_until(lambda: rig.calls("responses.retrieve"), what="a run that is followed")
    await operate("stop", "tenant", "another", "--now")
    await operate("stop", "provider", "openai", "--now")

    def statuses() -> list[str]:
        return [str(turn.response["status"]) for turn in rig.provider._store.turns.values()]

    await wait_until(lambda: statuses() == ["cancelled"], what="the cancellation")
    [task] = await rig.rest.tasks(instance)
    assert (task["retries"], task["errorMessage"]) == (None, None)
    await operate("resume", "provider", "openai")
    await rig.rest.wait_for_end(instance, BACK_SECONDS)
    assert (rig.calls("responses.create"), statuses()) == (2, ["cancelled", "completed"])


async def test_a_stop_over_the_api_is_one_for_all_workers_and_known_at_once_by_the_one_that_was_asked(
    kept: Rig, operate: Operator
) -> None:
    async with started(kept) as worker:
        url = f"http://127.0.0.1:{worker.lines('worker_started')[0]['api_port']}"
        async with aiohttp.ClientSession(url) as api:
            async with api.post("/api/stops", json={"kind": "assistant", "name": "analist"}) as refused:
                assert (refused.status, "did you mean 'analyst'" in await refused.text()) == (404, True)
            async with api.post("/api/stops", json={"kind": "provider", "name": "openai", "reason": "dear"}) as done:
                assert done.status == 200
            assert "provider openai is stopped" in (await readiness(worker))[1]["stopped"][0]
            [listed] = (await operate("stops", "--json")).json["known"]
            assert (listed["name"], listed["reason"]) == ("openai", "dear")
            async with api.delete("/api/stops", params={"kind": "provider", "name": "openai"}) as lifted:
                assert (lifted.status, await lifted.json()) == (200, [])
        assert "stopped" not in (await readiness(worker))[1]


async def test_a_stopped_topic_is_not_fetched(rig: Rig, operate: Operator) -> None:
    await operate("stop", "topic", rig.topic)
    other = f"{rig.topic}_other"
    await rig.start_worker(topics=f"{rig.topic},{other}")
    held = await rig.rest.start(await rig.deploy(rig.step("frame")))
    await rig.run(await rig.deploy(rig.step("frame", topic=other)))

    [task] = await rig.rest.tasks(held)
    assert (task["workerId"], task["retries"]) == (None, None)


async def test_the_commands_refuse_what_is_not_there_and_list_what_is_stopped(rig: Rig, operate: Operator) -> None:
    refused = await operate("stop", "assistant", "analist")
    assert (refused.code, refused.err) == (
        2,
        "no assistant is called 'analist'; did you mean 'analyst'? There are: analyst\n",
    )
    assert (await operate("stop", "everything")).code == 2
    empty = await operate("stops")
    assert (empty.code, empty.out.strip()) == (0, "Nothing is stopped.")

    await operate("stop", "tenant", "north", "--reason", "not paid", "--now")
    async with rig.redis() as redis:
        await redis.hset("assistant-worker:default:stops", "region:eu", "{}")
    table, listed = await operate("stops"), await operate("stops", "--json")
    assert ("not paid" in table.out, "'region:eu'" in table.out) == (True, True)
    [stop] = listed.json["known"]
    assert (stop["kind"], stop["name"], stop["reason"], stop["now"]) == ("tenant", "north", "not paid", True)
    missed = await operate("resume", "topic", "north")
    assert missed.code == 2
    assert missed.err.startswith("topic north is not stopped.\ntenant north is stopped by ")


async def test_an_operator_can_stop_and_lift_whatever_the_file_of_providers_says(rig: Rig, operate: Operator) -> None:
    broken = rig.folder / "providers.yaml"
    broken.write_text("providers:\n  local: {api: chat, base_url: 'http://h/v1', key: env:NOT_SET_ANYWHERE}\n")

    async def done(*arguments: str) -> Ran:
        return await operate(*arguments, providers_file=broken)

    for what in (["all"], ["topic", "orders"], ["tenant", "north"]):
        stopped = await done("stop", *what)
        assert (stopped.code, stopped.err) == (0, "")
    for what in (["provider", "local"], ["assistant", "analyst"]):
        stopped = await done("stop", *what, "--now")
        assert stopped.code == 0
        assert f"whether there is a {what[0]} of this name:\n{broken}:2: key: the variable" in stopped.err
        assert f"{' '.join(what)} is stopped by" in stopped.out
    assert len((await done("stops", "--json")).json["known"]) == 5
    for what in (["all"], ["provider", "local"]):
        assert (await done("resume", *what)).code == 0
    assert (await done("threads", "list")).code == 0
    assert (await done("threads", "repair")).code == 2


async def test_doctor_warns_of_what_is_stopped(rig: Rig, operate: Operator) -> None:
    await operate("stop", "all", "--reason", "an incident")
    rows = await doctor.findings(rig.build_settings())
    [found] = [each for each in rows if each.subject == "everything"]
    assert (found.area, found.level) == ("Redis", Level.WARNING)
    assert "an incident" in found.said
    assert found.advice.endswith("assistant-worker resume all")


async def test_a_redis_that_cannot_be_reached_stops_nothing_and_says_so(operate: Operator) -> None:
    done = await operate("stop", "all", redis_url="redis://127.0.0.1:1/0")
    assert (done.code, done.out) == (1, "")
