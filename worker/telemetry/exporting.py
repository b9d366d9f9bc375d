"""Traces and metrics over OTLP: off, and free, unless OTEL_* variables of the environment ask for them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

from worker.errors import Permanent

Signal = Literal["traces", "metrics"]


def wanted(environment: Mapping[str, str] = os.environ) -> frozenset[Signal]:
    """Say what the environment wants to be exported: that for which it names an endpoint."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return frozenset()
    return frozenset(
        signal
        for signal in get_args(Signal)
        if environment.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") != "none"
        and (
            environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
            or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        )
    )


@contextmanager
def exported(worker_id: str, *, always: bool, content: bool) -> Iterator[None]:
    """Export what is wanted inside of the block.

    `always`: traces are handed on although no process brought one; `content`: spans hold questions and answers. Raises
    Permanent where packages are missing.
    """
    signals = wanted()
    if not signals:
        yield
        return
    try:
        from worker.telemetry import otel  # noqa: PLC0415 - the extra [otel] is not installed everywhere, and costs time
    except ImportError as exc:
        raise Permanent(
            f"OTEL_EXPORTER_OTLP_…ENDPOINT is set, and {exc.name} is missing: pip install 'assistant-worker[otel]'"
        ) from exc
    with otel.exported(signals, worker_id, always=always, content=content):
        yield
