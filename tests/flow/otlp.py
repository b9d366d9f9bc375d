"""A receiver of OTLP over HTTP, as a collector is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.listening import listening


@dataclass(slots=True)
class Collector:
    """What has come. `metrics` are the newest by name, `resource` says who sent last."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    resource: Resource = field(default_factory=Resource)

    async def take_traces(self, request: web.Request) -> web.Response:
        for each in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            self.resource = each.resource
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response()

    async def take_metrics(self, request: web.Request) -> web.Response:
        for each in ExportMetricsServiceRequest.FromString(await request.read()).resource_metrics:
            self.metrics |= {metric.name: metric for scope in each.scope_metrics for metric in scope.metrics}
        return web.Response()

    def named(self, name: str) -> list[Span]:
        """Spans of this name."""
        return [span for span in self.spans if span.name == name]


def attributes(told: Span | Resource) -> dict[str, Any]:
    """What is said of a span or of who sends, texts and whole numbers."""
    return {
        each.key: each.value.string_value if each.value.HasField("string_value") else each.value.int_value
        for each in told.attributes
    }


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """Receive inside of the block."""
    taken = Collector()
    app = web.Application()
    app.add_routes([web.post("/v1/traces", taken.take_traces), web.post("/v1/metrics", taken.take_metrics)])
    async with listening(app) as taken.url:
        yield taken
