"""Traces and metrics as a collector gets them, of a worker on a real engine."""

import time
from collections.abc import AsyncIterator

import pytest

from tests.flow.otlp import Collector, attributes, collector
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.processes import HOST, free_port
from worker.runtime.version import VERSION

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def collected(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
        yield collected


async def test_the_steps_of_a_process_are_one_trace_from_its_variable_on(rig: Rig, collected: Collector) -> None:
    model = await rig.deploy(rig.step("one", data_input="-"), rig.step("two"))
    await rig.start_worker(topics="")
    instance = await rig.run(model, {"traceparent": GIVEN})

    await wait_until(lambda: len(collected.spans) >= 4, what="the spans of two tasks")
    one, two = sorted(collected.named(f"process {rig.topic}"), key=lambda span: span.start_time_unix_nano)
    assert {span.trace_id.hex() for span in collected.spans} == {GIVEN[3:35]}
    assert one.parent_span_id.hex() == GIVEN[36:52]
    assert two.parent_span_id == one.span_id
    assert attributes(two)["bpmn.process_instance.id"] == instance
    calls = collected.named("chat gpt-5-mini")
    assert {call.parent_span_id for call in calls} == {one.span_id, two.span_id}
    assert all(attributes(call)["gen_ai.usage.output_tokens"] > 0 for call in calls)
    assert attributes(collected.resource)["service.name"] == "assistant-worker"
    assert attributes(collected.resource)["service.version"] == VERSION
    assert (await rig.rest.variables(instance))["traceparent"] == f"{GIVEN[:36]}{two.span_id.hex()}-01"


async def test_branches_that_complete_at_once_hand_their_trace_on_without_harm(rig: Rig, collected: Collector) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        rig.assistant(name)
    model = await rig.deploy([rig.step(name, name) for name in names], rig.step("last"))
    await rig.start_worker()
    instances = [await rig.rest.start(model, {"traceparent": GIVEN}) for _ in range(5)]
    for instance in instances:
        await rig.rest.wait_for_end(instance, 60)
        assert await rig.rest.incidents(instance) == []

    await wait_until(lambda: len(collected.named("chat gpt-5-mini")) >= 25, what="the spans of all calls")
    assert rig.calls("responses.create") == 25
    assert {span.trace_id.hex() for span in collected.spans} == {GIVEN[3:35]}


async def test_a_process_without_a_trace_gets_none(rig: Rig, collected: Collector) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    instance = await rig.run(model)

    await wait_until(lambda: len(collected.spans) >= 2, what="the spans of a task")
    assert "traceparent" not in await rig.rest.variables(instance)


async def test_metrics_come_over_otlp_too(rig: Rig, collected: Collector) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker(max_tasks=7)
    await rig.run(model)

    def told() -> bool:
        turns = collected.metrics.get("worker_turns")
        verdicts = {each.attributes[0].value.string_value for each in turns.sum.data_points} if turns else set()
        return "complete" in verdicts

    await wait_until(told, what="the completed turn")
    assert collected.metrics["worker_slots"].gauge.data_points[0].as_double == 7
    assert {"worker_turn_seconds_count", "worker_turn_seconds_sum"} <= collected.metrics.keys()


async def test_a_collector_that_is_away_delays_neither_a_task_nor_the_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{HOST}:{free_port()}")
    model = await rig.deploy(rig.step("one"))
    worker = await rig.start_worker()
    await rig.run(model)
    started = time.monotonic()
    await worker.stop()
    assert time.monotonic() - started < rig.build_settings().grace_seconds + 3
