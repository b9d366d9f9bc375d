"""What holds at each history level of the engine, and what does not: the table in docs/engines.md, cell by cell."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.faults.history import History
from tests.faults.http_proxy import HttpProxy
from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.test_ending import hands
from tests.models import Model, call, element, line, process
from tests.rest import connect
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.engine import JAVA_OPTIONS, Engine
from worker.operate import doctor
from worker.operate.doctor import Level

LEVELS = ("none", "activity", "full")


@pytest.fixture(scope="module")
def engines(engine: Engine) -> Iterator[Callable[[str], Engine]]:
    """An engine for each level, started when it is first wanted."""
    with ExitStack() as stack:

        @cache
        def started(level: str) -> Engine:
            options = (*JAVA_OPTIONS, f"-D{engine.kind}.bpm.history-level={level}")
            return stack.enter_context(Engine(engine.kind, java_options=options))

        yield started


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """How much the engine keeps."""
    return str(request.param)


@pytest.fixture
async def at_level(kept: Rig, level: str, engines: Callable[[str], Engine]) -> AsyncIterator[Rig]:
    """The rig with a transcript, on an engine of this level."""
    own = await asyncio.to_thread(engines, level)
    kept.settings |= {"retention_threads_days": 0}
    async with connect(own) as rest:
        kept.rest = rest
        yield kept


async def until_over(rig: Rig, instance: str) -> None:
    """Wait until the engine does not run it any more, which every level tells."""

    async def is_over() -> bool:
        return (await rig.rest.request("GET", f"process-instance/{instance}"))[0] == 404

    await wait_until(is_over, 20, "the end of the instance")


async def until_recorded(rig: Rig) -> None:
    async def settled() -> bool:
        async with rig.redis() as redis:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

    await wait_until(settled, what="the outbox to be empty")


async def waiting(rig: Rig, *steps: str) -> tuple[Model, str]:
    """An instance with these steps that waits for a last one, which nobody serves."""
    made = [rig.step(name, topic=f"{rig.topic}_{name}", data_input="-") for name in (*steps, "later")]
    model = await rig.deploy(*made)
    return model, await rig.rest.start(model)


async def running_variables(rig: Rig, instance: str) -> dict[str, Any]:
    found = await rig.rest.get(f"process-instance/{instance}/variables", deserializeValues=False)
    return {name: each["value"] for name, each in found.items()}


def conversation(rig: Rig, instance: str) -> dict[str, Any]:
    """The one conversation that this instance has."""
    [found] = [each for each in rig.provider.conversations().values() if each["metadata"].get("scope") == instance]
    return found


async def test_the_steps_of_an_instance_share_a_thread_over_another_worker(at_level: Rig) -> None:
    _, instance = await waiting(at_level, "frame", "decide")
    for step in ("frame", "decide"):
        worker = await at_level.start_worker(topics=f"{at_level.topic}_{step}")
        await at_level.until_open(instance, {"frame": "decide", "decide": "later"}[step])
        await worker.kill()

    assert len(at_level.questions()) == 2
    asked = [each for each in conversation(at_level, instance)["items"] if each.get("role") == "user"]
    assert len(asked) == 2


async def test_a_thread_that_redis_has_lost_is_found_by_its_variable(at_level: Rig) -> None:
    _, instance = await waiting(at_level, "frame", "decide")
    worker = await at_level.start_worker(topics=f"{at_level.topic}_frame")
    await at_level.until_open(instance, "decide")
    await worker.kill()
    async with at_level.redis() as redis:
        await redis.flushdb()
    await at_level.start_worker(topics=f"{at_level.topic}_decide")
    await at_level.until_open(instance, "later")

    assert '"use":"adopted"' in (await running_variables(at_level, instance))["decide_meta"]
    assert len(at_level.questions()) == 2
    conversation(at_level, instance)


async def test_a_completion_whose_reply_was_lost_is_neither_asked_again_nor_an_incident(
    at_level: Rig, level: str
) -> None:
    async with HttpProxy("engine", at_level.rest.base_url, History()) as proxy:
        proxy.spoil(r"/external-task/\w+-\w+-\w+-\w+-\w+/complete$", times=1, cut="after")
        _, instance = await waiting(at_level, "frame", "decide")
        topics = f"{at_level.topic}_frame,{at_level.topic}_decide"
        with capture_logs() as lines:
            worker = await at_level.start_worker(topics=topics, engine_url=proxy.url)
            await at_level.until_open(instance, "later")
            await worker.stop()

    assert len(at_level.questions()) == 2
    assert await at_level.rest.incidents(instance) == []
    # Only the history of external tasks tells that it got through; else the task counts as one that others have done.
    verdicts = [line["verdict"] for line in lines if line["event"] == "turn"]
    assert sorted(verdicts) == (["complete"] * 2 if level == "full" else ["abandon", "complete"])


async def test_an_instance_and_what_it_calls_share_a_thread(at_level: Rig) -> None:
    child = await at_level.deploy(at_level.step("rate", service_thread="root", data_input="-"))
    caller = process(line(call("one", child), call("two", child)))
    await at_level.rest.deploy(caller)
    await at_level.start_worker()
    instance = await at_level.rest.start(caller)
    await until_over(at_level, instance)

    asked = [each for each in conversation(at_level, instance)["items"] if each.get("role") == "user"]
    assert len(asked) == 2


async def test_the_page_is_told_where_the_activities_stand(at_level: Rig, level: str) -> None:
    model, instance = await waiting(at_level, "frame")
    await at_level.start_worker(topics=f"{at_level.topic}_frame")
    await at_level.until_open(instance, "later")

    async with bootstrap.connect(at_level.build_settings()) as adapters:
        told = await adapters.engine.activity_states(instance)
        runs = await adapters.engine.running([instance])
        await at_level.rest.delete(f"process-instance/{instance}")
        over = await adapters.engine.running([instance])

    assert told == ({} if level == "none" else {"start": "done", "frame": "done", "later": "running"})
    assert (runs, over) == ({instance: True}, {} if level == "none" else {instance: False})
    assert model.key


async def test_erasing_an_instance_that_is_over_leaves_nothing(at_level: Rig) -> None:
    await at_level.start_worker()
    instance = await at_level.rest.start(await at_level.deploy(at_level.step("frame", data_input="-")))
    await until_over(at_level, instance)
    await until_recorded(at_level)

    ran = await assistant_worker(environment(at_level), "threads", "erase", instance, "--results", "--yes", "--json")

    assert {each["status"] for each in ran.json["steps"]} == {"removed"}, ran
    assert {each["store"] for each in ran.json["steps"]} >= {"provider", "redis", "transcript"}
    assert conversation(at_level, instance)["deleted"]
    assert await at_level.rest.variables(instance) == {}


async def test_erasing_a_running_instance_by_force_takes_its_variables(at_level: Rig) -> None:
    _, instance = await waiting(at_level, "frame")
    worker = await at_level.start_worker(topics=f"{at_level.topic}_frame")
    await at_level.until_open(instance, "later")
    await until_recorded(at_level)
    await worker.stop()

    refused = await assistant_worker(environment(at_level), "threads", "erase", instance, "--yes")
    forced = await assistant_worker(environment(at_level), "threads", "erase", instance, "--force", "--yes", "--json")

    assert (refused.code, "still runs" in refused.err) == (2, True)
    assert {each["status"] for each in forced.json["steps"]} == {"removed"}, forced
    assert set(await running_variables(at_level, instance)) == {"frame"}, "the result, which the next step needs"


async def test_an_end_is_seen_at_once_or_after_a_day(at_level: Rig, level: str) -> None:
    await at_level.start_worker()
    instance = await at_level.rest.start(await at_level.deploy(at_level.step("frame", data_input="-")))
    await until_over(at_level, instance)
    await until_recorded(at_level)

    async with hands(at_level) as hand:
        await hand.retention.sweep()
        await hand.retention.sweep()
    assert conversation(at_level, instance)["deleted"] is (level != "none")

    async with hands(at_level, ahead=timedelta(days=1)) as hand:
        await hand.retention.sweep()
    assert conversation(at_level, instance)["deleted"]


async def test_a_thread_by_business_key_ends_with_the_last_instance_that_has_it(at_level: Rig, level: str) -> None:
    step = at_level.step("frame", data_input="-", service_thread="business-key")
    model = await at_level.deploy(step, at_level.step("later", topic=f"{at_level.topic}_later"))
    worker = await at_level.start_worker()
    instances = [await at_level.rest.start(model, business_key=at_level.topic) for _ in range(2)]
    for each in instances:
        await at_level.until_open(each, "later")
    await until_recorded(at_level)
    await worker.kill()

    async def is_there_after_a_sweep(ahead: timedelta = timedelta(0)) -> bool:
        async with hands(at_level, ahead=ahead) as hand:
            await hand.retention.sweep()
        found = [each for each in at_level.provider.conversations().values() if "scope" in each["metadata"]]
        assert len(found) == 1
        return not found[0]["deleted"]

    await at_level.rest.delete(f"process-instance/{instances[0]}")
    assert await is_there_after_a_sweep(timedelta(days=400))
    await at_level.rest.delete(f"process-instance/{instances[1]}")
    assert await is_there_after_a_sweep() is (level == "none")
    assert not await is_there_after_a_sweep(timedelta(days=401))


async def test_what_runs_is_never_ended_by_its_age(at_level: Rig) -> None:
    _, instance = await waiting(at_level, "frame")
    await at_level.start_worker(topics=f"{at_level.topic}_frame")
    await at_level.until_open(instance, "later")
    await until_recorded(at_level)

    for ahead in (timedelta(0), timedelta(days=400)):
        async with hands(at_level, ahead=ahead) as hand:
            await hand.retention.sweep()

    assert not conversation(at_level, instance)["deleted"]


async def test_an_instance_that_is_restarted_knows_what_was_said_before_it(at_level: Rig, level: str) -> None:
    model, first = await waiting(at_level, "frame", "decide")
    topics = f"{at_level.topic}_frame,{at_level.topic}_decide"
    await at_level.start_worker(topics=topics)
    await at_level.until_open(first, "later")
    await until_recorded(at_level)
    [definition] = await at_level.rest.get("process-definition", key=model.key)
    await at_level.rest.delete(f"process-instance/{first}")
    order = {
        "processInstanceIds": [first],
        "instructions": [{"type": "startBeforeActivity", "activityId": "decide"}],
    }

    status, _ = await at_level.rest.request("POST", f"process-definition/{definition['id']}/restart", order)

    assert (status == 204) is (level != "none"), "the engine restarts what its history has"
    if level != "none":
        [row] = await at_level.rest.get("process-instance", processDefinitionKey=model.key)
        await at_level.until_open(row["id"], "later")
        meta = (await running_variables(at_level, row["id"]))["decide_meta"]
        assert '"seeded":1' in meta, "also where no variables came along"


async def test_called_processes_that_are_over_are_exported_with_their_caller(at_level: Rig, level: str) -> None:
    child = await at_level.deploy(at_level.step("rate", data_input="-"))
    parent = process(line(call("call_it", child), element(at_level.step("sum", data_input="-"))))
    await at_level.rest.deploy(parent)
    await at_level.start_worker()
    instance = await at_level.rest.start(parent)
    await until_over(at_level, instance)
    await until_recorded(at_level)

    exported = await assistant_worker(environment(at_level), "threads", "export", instance)

    assert {part["process"] for part in exported.json} == {parent.key} | (set() if level == "none" else {child.key})
    assert all(("keeps no history of it" in part["lacking"]) is (level == "none") for part in exported.json)


async def test_doctor_says_what_the_history_keeps(at_level: Rig, level: str) -> None:
    await waiting(at_level, "frame")

    found = next(each for each in await doctor.findings(at_level.build_settings()) if each.subject == "history")

    said = {"none": "history level is none", "activity": "keeps instances; whether", "full": "(level full)"}[level]
    assert said in found.said
    assert (found.level is Level.WARNING) is (level == "none")
