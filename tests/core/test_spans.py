"""What a trace tells of a task and its call, and to whom it is handed on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.tasks import Variable
from worker.domain.threads import Answer, Outcome
from worker.errors import ModelDown
from worker.telemetry import spans
from worker.telemetry.otel import OtelTracer

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def written(**options: bool) -> Iterator[InMemorySpanExporter]:
    """Spans that are kept in memory; `options` are those of the tracer."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with spans.written_by(OtelTracer(provider, **options)):
        yield exporter


async def run(
    core: Core, *, state: str = "", given: str = "", **options: bool
) -> tuple[Job, ReadableSpan, ReadableSpan]:
    """Run a task to its end, in a process with such a trace; return it, its span and its call's."""
    brought = {"traceparent": given, "tracestate": state} if given else {}
    with written(**options) as exporter:
        async with core.working():
            job = core.world.start(variables={name: Variable(text, "String") for name, text in brought.items()})
            await core.until_over([job])
    task, call = sorted(exporter.get_finished_spans(), key=lambda each: each.kind.value, reverse=True)
    return job, task, call


async def test_a_task_has_a_span_and_its_call_one_below_it(core: Core) -> None:
    core.provider.answer = lambda _: Answer("A.", response_id="resp_1", model="m-2026", input_tokens=7, output_tokens=9)
    job, task, call = await run(core)

    assert (task.name, task.kind, task.parent) == ("process topic", SpanKind.CONSUMER, None)
    assert task.attributes is not None
    assert task.attributes["messaging.message.id"] == job.task.id
    assert task.attributes["bpmn.process_instance.id"] == job.task.process_instance_id
    assert task.attributes["assistant_worker.verdict"] == "complete"
    assert (call.name, call.kind) == ("chat m", SpanKind.CLIENT)
    assert call.parent == task.context
    assert call.attributes is not None
    assert {name: value for name, value in call.attributes.items() if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "analyst",
        "gen_ai.agent.version": "1.0",
        "gen_ai.conversation.id": call.attributes["gen_ai.conversation.id"],
        "gen_ai.request.model": "m",
        "gen_ai.output.type": "text",
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.model": "m-2026",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 9,
    }


async def test_a_trace_that_the_process_brings_goes_on_and_is_handed_on(core: Core) -> None:
    job, task, call = await run(core, given=GIVEN)

    assert task.parent is not None
    assert (f"{task.parent.trace_id:032x}", f"{task.parent.span_id:016x}") == (GIVEN[3:35], GIVEN[36:52])
    assert task.context.trace_id == call.context.trace_id == task.parent.trace_id
    handed = f"00-{task.context.trace_id:032x}-{task.context.span_id:016x}-01"
    assert job.results["traceparent"] == Variable(handed, "String")


async def test_a_trace_is_handed_on_by_itself_only_if_that_is_wanted(core: Core) -> None:
    job, _, _ = await run(core)
    assert "traceparent" not in job.results

    job, task, _ = await run(core, always=True)
    assert f"{task.context.trace_id:032x}" in job.results["traceparent"].value


@pytest.mark.parametrize("odd", ["00-x", GIVEN[:-1], "00-" + "0" * 32 + GIVEN[35:], "\x00" * 55])
async def test_what_is_no_trace_is_none(core: Core, odd: str) -> None:
    job, task, _ = await run(core, given=odd, state=odd)

    assert task.parent is None
    assert "traceparent" not in job.results


async def test_the_model_is_not_shown_the_trace(core: Core) -> None:
    await run(core, given=GIVEN, state="a=b")

    assert "trace" not in str(core.provider.asked)


async def test_no_text_is_told_unless_it_is_wanted(core: Core) -> None:
    core.provider.answer = lambda _: Answer("secret answer")
    _, task, call = await run(core)
    assert "secret" not in task.to_json() + call.to_json()
    assert "Please do" not in task.to_json() + call.to_json()

    _, _, call = await run(core, content=True)
    assert call.attributes is not None
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert said == {"role": "assistant", "parts": [{"type": "text", "content": "secret answer"}]}
    assert "Please do frame." in str(call.attributes["gen_ai.input.messages"])


async def test_of_an_error_the_kind_is_told(core: Core) -> None:
    core.provider.script.next("ask", ModelDown("secret"))
    with written() as exporter:
        async with core.working():
            job = core.world.start()
            await core.until(lambda: job.message)
    call, task = exporter.get_finished_spans()

    for span in (call, task):
        assert span.attributes is not None
        assert span.attributes["error.type"] == "ModelDown"
        assert span.status.status_code is StatusCode.ERROR
        assert "secret" not in span.to_json()


async def test_a_refusal_is_a_failure_of_its_task_and_no_error_of_the_call(core: Core) -> None:
    core.provider.answer = lambda _: Answer("", Outcome.REFUSED)
    with written() as exporter:
        async with core.working():
            job = core.world.start()
            await core.until(lambda: job.message)
    call, task = exporter.get_finished_spans()

    assert (call.status.status_code, task.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
