"""What one request may cost: no call is started when as many as it may make may have been paid. Pure."""

from datetime import timedelta

from worker.domain.threads import Entered
from worker.errors import CallsSpent, ThreadLocked
from worker.turn.request import Request
from worker.turn.verdict import PARKED_FOR


def check(entry: Entered, request: Request) -> None:
    """Return if a call may start. Raises CallsSpent; ThreadLocked while the last one may still bring its answer."""
    if entry.calls < request.most_calls:
        return
    if entry.asked is not None and entry.asked.running_for > timedelta(0):
        wait = min(entry.asked.running_for, PARKED_FOR)
        raise ThreadLocked("the last call that this task may make may still run", retry_after=wait)
    raise CallsSpent(_what_to_change(entry, request.assistant.timeout))


def _what_to_change(entry: Entered, timeout: timedelta) -> str:
    """Tell calls that ended without an answer from those whose answer was dropped: each has causes of its own."""
    calls = f"{entry.calls} call{'s' * (entry.calls > 1)} of the model"
    text = (
        f"{calls} may have been paid; service.calls allows no more until the retries are set again, then as many again"
    )
    if entry.calls > entry.dropped:
        text += (
            f"; {entry.calls - entry.dropped} ended without an answer: raise timeout_seconds of the assistant, or "
            f"service.timeout, above {timeout.total_seconds():g} s, or find out what ended workers or connections, or "
            "whether an operator broke calls off (stop --now)"
        )
    if entry.dropped:
        text += f"; {entry.dropped} brought an answer of no use: look at the question and its schema"
    return text
