"""What traces tell of tasks and of calls. Off, and free, unless OTEL_* variables of the environment ask for it.

`otel.py` writes them, and is imported only then.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from worker.domain.tasks import Task
from worker.domain.threads import Answer, Assistant, Question, Thread
from worker.errors import Permanent

Signal = Literal["traces", "metrics"]


class Span(Protocol):
    """What is told of a task, or of a call, before it is over."""

    def told(self, verdict: str, assistant: str, error: Exception | None) -> None:
        """Tell what the engine was told of the task."""
        ...

    def answered(self, answer: Answer) -> None:
        """Tell what the call brought."""
        ...


class Tracer(Protocol):
    """Who writes spans."""

    def task(self, task: Task) -> AbstractContextManager[Span]:
        """Write the span of a task; those begun inside are below it."""
        ...

    def call(self, assistant: Assistant, thread: Thread, question: Question) -> AbstractContextManager[Span]:
        """Write the span of a model's call."""
        ...

    def handed_on(self) -> Mapping[str, str]:
        """Return the headers by which others go on with this trace; none where it is not theirs to see."""
        ...


class _Untold:
    def told(self, verdict: str, assistant: str, error: Exception | None) -> None:
        pass

    def answered(self, answer: Answer) -> None:
        pass


@dataclass(slots=True)
class _Process:
    tracer: Tracer | None = None


_process: Final = _Process()
_nobody: Final = nullcontext(_Untold())


@contextmanager
def written_by(tracer: Tracer) -> Iterator[None]:
    """Have this one write the spans of the process inside of the block."""
    before, _process.tracer = _process.tracer, tracer
    try:
        yield
    finally:
        _process.tracer = before


def task(task: Task) -> AbstractContextManager[Span]:
    """See `Tracer.task`."""
    return _nobody if _process.tracer is None else _process.tracer.task(task)


def call(assistant: Assistant, thread: Thread, question: Question) -> AbstractContextManager[Span]:
    """See `Tracer.call`."""
    return _nobody if _process.tracer is None else _process.tracer.call(assistant, thread, question)


def handed_on() -> Mapping[str, str]:
    """See `Tracer.handed_on`."""
    return {} if _process.tracer is None else _process.tracer.handed_on()


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
