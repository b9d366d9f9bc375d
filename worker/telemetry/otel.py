"""OpenTelemetry: spans by its conventions, all of whose names stand here, and our metrics over OTLP.

Where to, how often and how many of them is said by OTEL_* variables, which its SDK reads. It has our spans and no
others: libraries find no tracer of ours.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client.metrics import MetricWrapperBase

from worker.domain.tasks import TRACE_VARIABLES, Task
from worker.domain.threads import Answer, Assistant, Outcome, Question, Thread
from worker.runtime.version import VERSION
from worker.telemetry import metrics
from worker.telemetry.spans import written_by

SCOPE: Final = "assistant-worker"
LAST_SECONDS: Final = 1.0
"""What the end of the worker waits for the last export of each signal."""

_handing_on: ContextVar[bool] = ContextVar("hands its trace on", default=False)
_context: Final = TraceContextTextMapPropagator()


class TaskSpan:
    """Implements `spans.Span`."""

    def __init__(self, span: Span, *, content: bool) -> None:
        self._span = span
        self._content = content

    def told(self, verdict: str, assistant: str, error: Exception | None) -> None:
        """See `spans.Span.told`."""
        self._set({"gen_ai.agent.name": assistant, "assistant_worker.verdict": verdict})
        if error is not None:
            self._set({"error.type": type(error).__name__})
        if verdict == "fail":
            self._span.set_status(StatusCode.ERROR)

    def answered(self, answer: Answer) -> None:
        """See `spans.Span.answered`."""
        self._set(
            {
                "gen_ai.response.id": answer.response_id,
                "gen_ai.response.model": answer.model,
                "gen_ai.usage.input_tokens": answer.input_tokens,
                "gen_ai.usage.output_tokens": answer.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": answer.cached_tokens,
                "gen_ai.usage.cache_creation.input_tokens": answer.cache_write_tokens,
                "gen_ai.usage.reasoning.output_tokens": answer.reasoning_tokens,
                "assistant_worker.outcome": answer.outcome.value,
                "gen_ai.output.messages": _message("assistant", answer.text) if self._content else None,
            }
        )
        if answer.outcome is Outcome.FAILED:
            self._span.set_status(StatusCode.ERROR)

    def failed(self, error: BaseException) -> None:
        """Tell the kind of an error only: its text may quote a message."""
        self._set({"error.type": type(error).__name__})
        self._span.set_status(StatusCode.ERROR)

    def _set(self, attributes: Mapping[str, str | int | None]) -> None:
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})


class OtelTracer:
    """Implements `spans.Tracer`. `always` and `content` as in `exporting.exported`."""

    def __init__(self, provider: TracerProvider, *, always: bool = False, content: bool = False) -> None:
        self._tracer = provider.get_tracer(SCOPE, VERSION)
        self._always = always
        self._content = content

    @contextmanager
    def task(self, task: Task) -> Iterator[TaskSpan]:
        """See `spans.Tracer.task`. It goes on with the trace that a process variable brings."""
        brought = {name: each.value for name in TRACE_VARIABLES if (each := task.variables.get(name)) is not None}
        parent = _context.extract({name: text for name, text in brought.items() if isinstance(text, str)}, Context())
        before = _handing_on.set(self._always or get_current_span(parent).get_span_context().is_valid)
        attributes = {
            "messaging.system": "external_task",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": task.topic,
            "messaging.message.id": task.id,
            "bpmn.process_definition.id": task.process_definition_id,
            "bpmn.process_instance.id": task.process_instance_id,
            "bpmn.activity.id": task.activity_id,
        }
        try:
            with self._span(f"process {task.topic}", SpanKind.CONSUMER, attributes, parent) as span:
                yield span
        finally:
            _handing_on.reset(before)

    @contextmanager
    def call(self, assistant: Assistant, thread: Thread, question: Question) -> Iterator[TaskSpan]:
        """See `spans.Tracer.call`."""
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": assistant.provider,
            "gen_ai.agent.name": assistant.name,
            "gen_ai.agent.version": assistant.version,
            "gen_ai.conversation.id": thread.id,
            "gen_ai.request.model": assistant.model,
            "gen_ai.request.temperature": assistant.temperature,
            "gen_ai.request.max_tokens": assistant.max_output_tokens,
            "gen_ai.output.type": "json" if assistant.output_schema else "text",
            "gen_ai.input.messages": _message("user", question.text) if self._content else None,
        }
        with self._span(f"chat {assistant.model}", SpanKind.CLIENT, attributes) as span:
            yield span

    def handed_on(self) -> Mapping[str, str]:
        """See `spans.Tracer.handed_on`."""
        headers: dict[str, str] = {}
        if _handing_on.get():
            _context.inject(headers)
        return headers

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, Any], parent: Context | None = None
    ) -> Iterator[TaskSpan]:
        known = {key: value for key, value in attributes.items() if value is not None}
        begun = self._tracer.start_as_current_span(
            name, parent, kind, known, record_exception=False, set_status_on_exception=False
        )
        with begun as span:
            told = TaskSpan(span, content=self._content)
            try:
                yield told
            except BaseException as exc:
                told.failed(exc)
                raise


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)


@contextmanager
def exported(signals: frozenset[str], worker_id: str, *, always: bool, content: bool) -> Iterator[None]:
    """Export these inside of the block; see `exporting.exported`."""
    about = {"service.name": SCOPE, "service.version": VERSION, "service.instance.id": worker_id}
    resource = Resource.create(about).merge(OTELResourceDetector().detect())  # what the environment says wins
    with ExitStack() as stack:
        if "traces" in signals:
            tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            stack.callback(_end, tracers)
            stack.enter_context(written_by(OtelTracer(tracers, always=always, content=content)))
        if "metrics" in signals:
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            meters = MeterProvider([reader], resource, shutdown_on_exit=False)
            stack.callback(_end, meters)
            measure(meters)
        yield


def _end(provider: TracerProvider | MeterProvider) -> None:
    """Export the rest, for a moment at most: where nobody listens it would go on for much longer."""
    ending = threading.Thread(target=provider.shutdown, daemon=True)
    ending.start()
    ending.join(LAST_SECONDS)


def measure(provider: MeterProvider) -> None:
    """Have our metrics observed as they are; of histograms the count and the sum."""
    meter = provider.get_meter(SCOPE, VERSION)
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        match metric._type:  # noqa: SLF001 - nothing else tells it
            case "counter":
                _observe(meter.create_observable_counter, metric, "_total", "")
            case "gauge":
                _observe(meter.create_observable_gauge, metric, "", "")
            case "histogram":
                _observe(meter.create_observable_counter, metric, "_count", "_count")
                _observe(meter.create_observable_counter, metric, "_sum", "_sum")


def _observe(create: Any, metric: MetricWrapperBase, sample: str, suffix: str) -> None:
    """Make an instrument for the samples of a metric whose names end so."""
    name = metric._name  # noqa: SLF001 - as above

    def observations(_: CallbackOptions) -> Iterable[Observation]:
        for family in metric.collect():
            for each in family.samples:
                if each.name == name + sample:
                    yield Observation(each.value, each.labels)

    create(name + suffix, [observations], description=metric._documentation)  # noqa: SLF001 - as above
