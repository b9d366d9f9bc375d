"""What traces tell of tasks and of calls: nothing, at no cost, unless somebody writes them, see `exporting`."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from worker.domain.tasks import Task
from worker.domain.threads import Answer, Assistant, Question, Thread


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
