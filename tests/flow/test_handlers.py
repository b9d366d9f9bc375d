"""Functions of HANDLERS, written for camunda-external-task-client-python3, on the real engine."""

import asyncio
import signal
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.flow import classic
from tests.flow.command import Command, environment
from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, bpmn, unique
from tests.waiting import wait_until
from worker.demo.processes import free_port, running
from worker.loop import delivery
from worker.telemetry import metrics
from worker.web.health import left_out_at


def served(rig: Rig, function: str, **settings: Any) -> ServiceTask:
    """A task of others on a topic that this function handles."""
    topic = f"{rig.topic}_{function}"
    entries = [*rig.settings.get("handlers", ()), f"{topic}=tests.flow.classic:{function}"]
    rig.settings |= {"handlers": tuple(entries)} | settings
    return ServiceTask(function, topic, name=function.title(), properties={"echo.greeting": "hello"})


async def deployed(rig: Rig, *steps: ServiceTask) -> Model:
    model = await rig.deploy(*steps)
    await rig.start_worker()
    return model


async def test_an_echo_process_beside_a_task_for_an_assistant(rig: Rig) -> None:
    model = await deployed(rig, served(rig, "echo"), rig.step("one"), served(rig, "echo_async"))
    given = {"text": "ä", "number": 7, "truth": True, "list": [1, {"a": None}]}
    instance = await rig.run(model, given)
    variables = await rig.rest.variables(instance)

    assert {name: variables[f"{name}_echo"] for name in ("text", "number", "truth")} == {
        "text": "ä",
        "number": 7,
        "truth": True,
    }
    assert (variables["greeting_echo"], "one_echo" in variables) == ("hello", True)
    assert len(rig.questions()) == 1


async def test_what_functions_complete_is_counted_apart_from_what_assistants_do(rig: Rig) -> None:
    def completed() -> tuple[float, float]:
        assistant, function = (metrics.TURNS.labels("complete", kind) for kind in ("assistant", "function"))
        return assistant._value.get(), function._value.get()

    assistant, function = completed()
    await rig.run(await deployed(rig, served(rig, "echo"), rig.step("one"), served(rig, "echo_async")))

    await wait_until(lambda: completed() == (assistant + 1, function + 2), what="turns of both kinds")


@pytest.mark.parametrize(("fails", "throws"), [*product([True, False], repeat=2)])
async def test_the_example_of_the_clients_readme(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, fails: bool, throws: bool
) -> None:
    rolled = iter([fails, throws])
    monkeypatch.setattr(classic, "random_true", lambda: next(rolled))
    model = await deployed(rig, replace(served(rig, "handle_task"), catches="BPMN_ERROR_CODE"))
    instance = await rig.rest.start(model)
    if fails:
        task = await rig.until_failed(instance)
        assert (task["errorMessage"], task["retries"]) == ("task failed", 3)
        assert await rig.rest.get(f"external-task/{task['id']}/errorDetails") == "failed task details"
        return
    await rig.rest.wait_for_end(instance)
    variables = await rig.rest.variables(instance)
    assert variables == ({"var1": "value1", "success": False} if throws else {"var1": 1, "var2": "value"})


async def test_the_other_example_reads_a_variable_and_makes_an_incident(rig: Rig) -> None:
    model = await deployed(rig, served(rig, "score"))
    good = await rig.run(model, {"score": 100})
    bad = await rig.rest.start(model, {"score": 99})

    assert (await rig.rest.variables(good))["passed"] is True
    task = await rig.until_failed(bad)
    assert (task["errorMessage"], task["retries"]) == ("too low", 0)
    assert [each["activityId"] for each in await rig.rest.incidents(bad)] == ["score"]


async def test_an_exception_costs_a_retry_and_ends_in_an_incident_and_never_the_worker(rig: Rig) -> None:
    rig.settings["retries"] = 1
    model = await deployed(rig, served(rig, "broken"))
    before = metrics.HANDLED.labels(f"{rig.topic}_broken", "raised")._value.get()
    instance = await rig.rest.start(model, business_key="b-1")
    task = await rig.until_failed(instance)

    said = '"Broken" (broken): tests.flow.classic:broken raised ValueError: no account for b-1'
    assert (task["errorMessage"], task["retries"]) == (said, 0)
    assert "in broken" in await rig.rest.get(f"external-task/{task['id']}/errorDetails")
    assert metrics.HANDLED.labels(f"{rig.topic}_broken", "raised")._value.get() == before + 1
    assert not rig.workers[0].task.done()


async def test_a_result_that_fails_the_step_behind_is_an_incident_and_retry_runs_the_function_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "REFUSAL_PAUSES_SECONDS", (0.1, 0.1))
    step = replace(served(rig, "echo"), async_after=False)
    model = await deployed(rig, step, replace(rig.step("behind"), inputs={"x": "${repaired.length()}"}))
    runs = metrics.HANDLED.labels(step.topic, "completed")._value
    before = runs.get()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)

    assert (task["retries"], runs.get()) == (0, before + 1)
    assert "Retry runs the function again" in task["errorMessage"]
    await rig.rest.put(f"process-instance/{instance}/variables/repaired", {"value": "yes"})
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(instance)
    assert runs.get() == before + 2


async def test_one_that_hangs_keeps_its_lock_and_stops_neither_others_nor_the_stop(rig: Rig) -> None:
    classic.going_on.clear()
    hung = await rig.deploy(served(rig, "hang"))
    quick = await deployed(rig, served(rig, "echo", lock_seconds=10, grace_seconds=1))
    instance = await rig.rest.start(hung)
    await asyncio.to_thread(classic.hanging.acquire)
    [first] = await rig.rest.tasks(instance)
    await rig.run(quick, {"a": 1})

    async def renewed() -> bool:
        [now] = await rig.rest.tasks(instance)
        return bool(now["lockExpirationTime"] > first["lockExpirationTime"])

    await wait_until(renewed, what="the lock's renewal")
    await rig.workers[0].stop()
    [left] = await rig.rest.tasks(instance)
    assert (left["workerId"], left["retries"]) == (None, None), "it is given back as if nobody had had it"
    classic.going_on.set()
    await wait_until(lambda: metrics.HANDLERS_IN_FLIGHT._value.get() == 0, what="the end of what hung")


async def test_one_whose_task_is_gone_keeps_its_slot_and_takes_no_task_from_other_workers(rig: Rig) -> None:
    classic.going_on.clear()
    hung = await rig.deploy(served(rig, "hang"))
    quick = await deployed(rig, served(rig, "echo", lock_seconds=10, handler_slots=1))
    lost, running = metrics.TASKS_LOST._value, metrics.HANDLERS_IN_FLIGHT._value
    before = lost.get()
    instance = await rig.rest.start(hung)
    await asyncio.to_thread(classic.hanging.acquire)
    await rig.rest.delete(f"process-instance/{instance}")
    await wait_until(lambda: lost.get() > before, what="the loss of the task")
    waiting = await rig.rest.start(quick, {"a": 1})
    await rig.start_worker()
    await rig.rest.wait_for_end(waiting)

    assert running.get() == 1
    classic.going_on.set()
    await wait_until(lambda: running.get() == 0, what="the end of what hung")


async def test_a_task_for_an_assistant_on_a_functions_topic_is_an_incident(rig: Rig) -> None:
    topic = served(rig, "echo").topic
    model = await deployed(rig, rig.step("one", topic=topic))
    task = await rig.until_failed(await rig.rest.start(model))

    assert (task["retries"], f"the topic {topic} is in HANDLERS" in task["errorMessage"]) == (0, True)
    assert rig.questions() == []


async def test_a_definition_whose_tasks_are_refused_to_functions_is_named_by_the_worker(rig: Rig) -> None:
    port, step = free_port(), served(rig, "echo")
    bad, good = (bpmn(step, key=unique(name)) for name in ("refused", "good"))
    [refused] = await rig.rest.deploy(bad)
    await rig.rest.deploy(good)
    await rig.rest.start(bad)
    async with gateway(rig.rest.base_url) as door:
        door.unwanted = refused
        await rig.start_worker(engine_url=door.url, health_port=port)
        await rig.run(good, {"a": 1})
        [named] = await wait_until(lambda: left_out_at("127.0.0.1", port), what="what is left out")
        assert f"tasks of {refused} on topic" in named
        await rig.workers[0].stop()


async def test_a_worker_ends_in_time_though_a_function_of_it_hangs(rig: Rig) -> None:
    topic = f"{rig.topic}_hang"
    model = await rig.deploy(ServiceTask("hang", topic))
    settings = environment(rig, handlers=f"{topic}=tests.flow.classic:hang", grace_seconds=1)
    async with running(Command(settings)) as command:
        await rig.rest.start(model)

        async def runs() -> bool:
            return "\nworker_handlers_in_flight 1.0\n" in (await command.get("metrics"))[1]

        await wait_until(runs, what="the function's begin")
        command.signal(signal.SIGTERM)
        assert await command.exit_code() == 0
