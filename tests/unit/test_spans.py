"""When spans and metrics are exported at all."""

import subprocess
import sys

import pytest

from worker import telemetry
from worker.errors import Permanent
from worker.telemetry import exporting, spans

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, set()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, set()),
        (ENDPOINT, {"traces", "metrics"}),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, set()),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "none"}, {"traces"}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, {"metrics"}),
    ],
)
def test_what_the_environment_names_an_endpoint_for_is_exported(environment: dict[str, str], wanted: set[str]) -> None:
    assert exporting.wanted(environment) == wanted


def test_packages_that_are_missing_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*next(iter(ENDPOINT.items())))
    monkeypatch.delattr(telemetry, "otel", raising=False)
    monkeypatch.delitem(sys.modules, "worker.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with (
        pytest.raises(Permanent, match=r"pip install 'assistant-worker\[otel\]'"),
        exporting.exported("w", always=False, content=False),
    ):
        pass


def test_without_a_tracer_nothing_is_handed_on() -> None:
    assert spans.handed_on() == {}


def test_nothing_that_exports_is_imported_before_it_is_wanted() -> None:
    program = "import sys, worker.bootstrap; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "worker.telemetry.spans" in loaded
    assert not {"worker.telemetry.otel", "opentelemetry.exporter"} & loaded
