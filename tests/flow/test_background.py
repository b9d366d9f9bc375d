"""Runs in the background: the provider works on while workers die, stop, or lose their task."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import SPEC, Rig
from tests.waiting import wait_until
from worker.errors import StoreDown
from worker.providers import openai
from worker.redis import RedisThreads


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "LONGEST_PAUSE_SECONDS", 0.5)


def background(rig: Rig, timeout: int = 60) -> None:
    """Make the rig's assistant one whose calls run in the background."""
    text = SPEC.format(name="analyst", version="1.0", timeout=timeout)
    (rig.folder / "analyst@1.0.md").write_text(text.replace("timeout_seconds", "background: true\ntimeout_seconds"))


async def start_instance(rig: Rig) -> str:
    return await rig.rest.start(await rig.deploy(rig.step("frame")))


async def kill_at(rig: Rig, point: str, instance: str) -> None:
    """Have a worker process die by SIGKILL at a fail point, and free its task as its lock would do later."""
    settings: dict[str, Any] = {
        "ENGINE_URL": rig.rest.base_url,
        "REDIS_URL": rig.redis_url,
        "OPENAI_BASE_URL": rig.provider.base_url,
        "OPENAI_API_KEY": "any",
        "ASSISTANTS_DIR": rig.folder,
        "TOPICS": rig.topic,
        "MAX_TASKS": 1,  # with its slot in use it polls no more: a poll of a dead worker would take the task
        "POLL_SECONDS": 1,
        "LOCK_SECONDS": 10,
        "HEALTH_PORT": 0,
        "TRANSCRIPT_URL": "off",
        "WORKER_FAIL_POINT": point,
        "PYTHONPATH": Path(__file__).parents[2],
    }
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "run", env=environment, cwd=rig.folder, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    [task] = await rig.rest.tasks(instance)
    assert task["workerId"]
    await rig.rest.post(f"external-task/{task['id']}/unlock")


async def delete(rig: Rig, instance: str) -> None:
    """Delete an instance, whatever the worker is writing there at the moment."""

    async def deleted() -> bool:
        return (await rig.rest.request("DELETE", f"process-instance/{instance}"))[0] == 204

    await wait_until(deleted, what="the deletion")


def status(rig: Rig) -> str:
    """What became of the only response."""
    [turn] = rig.provider._store.turns.values()
    return str(turn.response["status"])


async def noted(rig: Rig) -> str | None:
    """Return the response id that the journal has."""
    async with rig.redis() as redis:
        entries = [await redis.hgetall(name) for name in await redis.keys("*:turn:*")]
    return next((str(entry["response"]) for entry in entries if "response" in entry), None)


async def test_a_turn_in_the_background_is_a_turn_like_any_other(rig: Rig) -> None:
    background(rig)
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker()
    instance = await rig.run(model)

    assert [each["body"]["background"] for each in rig.provider.requests("responses.create")] == [True, True]
    assert rig.calls("conversations.create") == 1
    assert "1 earlier turn" in (await rig.rest.variables(instance))["two"]
    for name in ("one", "two"):
        meta = await rig.meta(instance, name)
        assert meta["response"].startswith("resp_")
        assert not meta["recovered"]
    assert await noted(rig) is None, "an answered turn needs it no more"


@pytest.mark.parametrize("fault", [{"hold": "gate"}, {"queued": True, "hold": "gate"}], ids=["in progress", "queued"])
async def test_the_next_worker_follows_the_run_of_a_killed_one(rig: Rig, fault: dict[str, Any]) -> None:
    background(rig)
    rig.provider.fault("responses.create", **fault)
    instance = await start_instance(rig)
    await kill_at(rig, "after:threads.note", instance)
    run = await noted(rig)
    assert run is not None
    await rig.start_worker()
    await wait_until(lambda: len(rig.provider.requests("responses.retrieve")) >= 2, what="two looks at the run")
    if "queued" in fault:
        await dequeue(rig)
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)

    assert (rig.calls("responses.create"), rig.calls("items.list")) == (1, 0)
    meta = await rig.meta(instance, "frame")
    assert (meta["response"], meta["recovered"]) == (run, "journal")
    assert meta["thread"] in rig.provider.conversations()


async def dequeue(rig: Rig) -> None:
    """Let the queued run begin: what a restart of the scripted server does with it."""
    await rig.provider._turns.stop()
    rig.provider._turns.resume()


async def test_a_crash_before_the_id_is_noted_leaves_the_ref_and_the_lock_of_the_conversation(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    instance = await start_instance(rig)
    await kill_at(rig, "after:provider.start", instance)
    assert await noted(rig) is None
    await rig.start_worker()
    await wait_until(lambda: rig.calls("responses.create") == 2, what="the second call")
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance, 30)

    creates = rig.provider.requests("responses.create")
    assert [each["status"] for each in creates] == [200, 400], "the second one was refused: the first still ran"
    assert list(rig.provider.counts()["turns"].values()) == [1]
    assert (await rig.meta(instance, "frame"))["recovered"] == "thread"


async def test_a_run_that_stays_queued_is_cancelled_at_its_deadline_and_tried_again(rig: Rig) -> None:
    background(rig, timeout=2)
    rig.provider.fault("responses.create", queued=True)
    await rig.start_worker()
    instance = await start_instance(rig)
    task = await rig.until_failed(instance)

    assert "the run was cancelled after its deadline" in task["errorMessage"]
    assert task["retries"] == 3
    assert await rig.rest.incidents(instance) == []
    assert (status(rig), rig.calls("responses.cancel"), rig.provider.counts()["running"]) == ("cancelled", 1, [])
    async with rig.redis() as redis:
        [name] = await redis.keys("*:turn:*")
        entry = await redis.hgetall(name)
    assert entry["state"] == "open", "nothing runs any more"
    assert entry["trouble_since"]
    assert "response" not in entry
    await rig.rest.wait_for_end(instance, 30)
    assert rig.calls("responses.create") == 2


async def test_the_deadline_counts_from_the_question_also_over_a_crash(rig: Rig) -> None:
    background(rig, timeout=3600)
    rig.provider.fault("responses.create", queued=True)
    instance = await start_instance(rig)
    await kill_at(rig, "before:provider.follow", instance)
    async with rig.redis() as redis:
        [name] = await redis.keys("*:turn:*")
        await redis.hset(name, "deadline", "1")  # as if the hour had passed meanwhile
    await rig.start_worker()
    task = await rig.until_failed(instance)

    assert "the run was cancelled after its deadline" in task["errorMessage"]
    assert (task["retries"], status(rig), rig.calls("responses.create")) == (3, "cancelled", 1)


async def test_a_deleted_instance_ends_its_run_at_the_provider(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    await rig.start_worker()
    instance = await start_instance(rig)
    await wait_until(lambda: noted(rig), what="the run")
    await delete(rig, instance)
    await wait_until(lambda: rig.calls("responses.cancel"), what="the cancellation")

    await wait_until(lambda: status(rig) == "cancelled", what="the end of the run")
    assert rig.provider.counts()["running"] == []


async def test_a_deleted_instance_ends_its_run_also_in_the_middle_of_a_look_at_it(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    rig.provider.fault("responses.retrieve", times=None, stall=True)
    await rig.start_worker()
    instance = await start_instance(rig)
    await wait_until(lambda: rig.calls("responses.retrieve"), what="a look at the run")
    await delete(rig, instance)

    await wait_until(lambda: status(rig) == "cancelled", what="the end of the run")


async def test_a_cancellation_that_is_not_answered_holds_nothing_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.turn.call.CANCEL_SECONDS", 0.2)
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    rig.provider.fault("responses.cancel", stall=True)
    worker = await rig.start_worker()
    instance = await start_instance(rig)
    await wait_until(lambda: noted(rig), what="the run")
    await delete(rig, instance)
    await wait_until(lambda: rig.calls("responses.cancel"), what="the cancellation")

    await wait_until(lambda: hold_is_free(rig), what="the end of the turn")
    await worker.stop()


async def hold_is_free(rig: Rig) -> bool:
    async with rig.redis() as redis:
        return not await redis.keys("*:hold")


async def test_a_task_that_another_worker_has_taken_over_keeps_its_run(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    instance = await start_instance(rig)
    loser = await rig.start_worker(max_tasks=1)
    run = await wait_until(lambda: noted(rig), what="the run")
    loser.stopping.set()  # it fetches no more; its turn goes on, for as long as it has the task
    [task] = await rig.rest.tasks(instance)
    await rig.rest.post(f"external-task/{task['id']}/unlock")
    await rig.start_worker()
    await loser.task
    assert rig.calls("responses.cancel") == 0
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)

    assert rig.calls("responses.create") == 1
    assert (await rig.meta(instance, "frame"))["response"] == run


async def test_a_stopped_worker_leaves_its_run_to_the_next_one(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", hold="gate")
    instance = await start_instance(rig)
    worker = await rig.start_worker(grace_seconds=1)
    run = await wait_until(lambda: noted(rig), what="the run")
    await worker.stop()

    [task] = await rig.rest.tasks(instance)
    assert (task["workerId"], task["retries"]) == (None, None)
    assert (status(rig), rig.calls("responses.cancel"), await noted(rig)) == ("in_progress", 0, run)
    await rig.start_worker()
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)
    assert rig.calls("responses.create") == 1
    assert (await rig.meta(instance, "frame"))["response"] == run


async def test_a_run_that_cannot_be_fetched_any_more_is_found_on_the_thread(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", answer="It stands there.")
    instance = await start_instance(rig)
    await kill_at(rig, "before:provider.follow", instance)
    await wait_until(lambda: status(rig) == "completed", what="the end of the run")
    rig.provider._store.turns.clear()
    await rig.start_worker()
    await rig.rest.wait_for_end(instance)

    assert (await rig.rest.variables(instance))["frame"] == "It stands there."
    assert (rig.calls("responses.create"), (await rig.meta(instance, "frame"))["recovered"]) == (1, "thread")


async def test_a_run_that_failed_at_the_provider_is_asked_again(rig: Rig) -> None:
    background(rig)
    rig.provider.fault("responses.create", outcome="failed")
    await rig.start_worker()
    instance = await start_instance(rig)
    task = await rig.until_failed(instance)
    assert task["retries"] == 3
    await rig.rest.wait_for_end(instance, 30)

    assert rig.calls("responses.create") == 2


async def test_without_redis_the_run_goes_on_under_its_ref_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: Any) -> bool:
        raise StoreDown("Redis is away")

    monkeypatch.setattr(RedisThreads, "note", down)
    background(rig)
    await rig.start_worker()
    instance = await rig.run(await rig.deploy(rig.step("frame")))

    assert (await rig.meta(instance, "frame"))["response"]
    assert rig.calls("responses.create") == 1
