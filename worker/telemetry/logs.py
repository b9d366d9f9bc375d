"""Log lines: a closed set of events, JSON or console, one line per turn, no message text and no secret."""

import logging
import sys
import traceback
from enum import StrEnum
from typing import Any, Literal

import structlog


class Event(StrEnum):
    """Every event a line may carry. Operators search and alert by these names."""

    STARTED = "worker_started"
    STOPPING = "worker_stopping"
    STOPPED = "worker_stopped"
    WORKER_CRASHED = "worker_crashed"
    SETTING_UNKNOWN = "setting_unknown"
    CONFIGURATION_TAKEN = "configuration_taken"
    CONFIGURATION_REFUSED = "configuration_refused"
    TOPICS = "topics_found"
    TOPIC_NOT_SERVED = "topic_not_served"
    POLL_FAILED = "poll_failed"
    LEFT_OUT = "tasks_left_out"
    SERVED_AGAIN = "tasks_served_again"
    DISCOVERY_FAILED = "discovery_failed"
    DEPENDENCY_DOWN = "dependency_down"
    DEPENDENCY_UP = "dependency_up"
    STOP_SEEN = "stop_seen"
    STOP_LIFTED = "stop_lifted"
    STOP_IGNORED = "stop_ignored"
    TASK_NOT_OURS = "task_not_ours"
    LEFTOVER_UNLOCKED = "leftover_unlocked"
    TURN = "turn"
    ASSISTANT_PAUSED = "assistant_paused"
    TURN_CRASHED = "turn_crashed"
    THREAD_VARIABLE_REJECTED = "thread_variable_rejected"
    THREAD_VARIABLE_NOT_WRITTEN = "thread_variable_not_written"
    VARIABLE_SKIPPED = "variable_skipped"
    THREAD_NOT_SEEDED = "thread_not_seeded"
    THREAD_MOVED = "thread_moved"
    FALLBACK = "fallback"
    THREAD_FULL = "thread_full"
    THREAD_RENEWED = "thread_renewed"
    THREAD_FOLDED = "thread_folded"
    THREAD_NOT_FOLDED = "thread_not_folded"
    TIDYING_CRASHED = "tidying_crashed"
    BUDGET_NOT_CORRECTED = "budget_not_corrected"
    THREAD_DISCARDED = "thread_discarded"
    HOLD_LOST = "hold_lost"
    LOCK_NOT_EXTENDED = "lock_not_extended"
    VERDICT_NOT_DELIVERED = "verdict_not_delivered"
    JOURNAL_NOT_WRITTEN = "journal_not_written"
    RECORD_CORRUPT = "record_corrupt"
    RECORD_NEWER = "record_newer"
    SINK_DOWN = "sink_down"
    TRANSCRIPT_DOWN = "transcript_down"
    TRANSCRIPT_DAMAGED = "transcript_damaged"
    SINK_UP = "sink_up"
    TRANSCRIPT_UP = "transcript_up"
    TRANSCRIPT_NOT_READ = "transcript_not_read"
    API_CRASHED = "api_crashed"
    RECORDER_CRASHED = "recorder_crashed"
    EXCHANGE_DROPPED = "exchange_dropped"
    EXCHANGE_UNSTORABLE = "exchange_unstorable"
    ANCHOR_MADE = "anchor_made"
    ENDED = "conversations_ended"
    END_DELAYED = "end_delayed"
    INSTANCES_MISSING = "instances_missing"
    ENDING_CRASHED = "ending_crashed"
    ERASED = "erased"
    ERASURE_OPEN = "erasure_open"


MOST_TOGETHER = 5
"""Of errors that were raised together."""


def trace(error: BaseException) -> str:
    """Say where an unexpected error came from: types and places only, as its text may quote a message.

    Of several that were raised together, as out of a task group, each is told.
    """
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    told = " < ".join([type(error).__name__, *reversed(frames)])
    if not isinstance(error, BaseExceptionGroup):
        return told
    parts = [trace(each) for each in error.exceptions[:MOST_TOGETHER]]
    more = f"; and {len(error.exceptions) - MOST_TOGETHER} more" if len(error.exceptions) > MOST_TOGETHER else ""
    return f"{told} of ({'; '.join(parts)}{more})"


def _without_text(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Of a library's exception keep types and places: its text, and console tracebacks with locals, quote messages."""
    error = line.pop("exc_info", None)
    if isinstance(error, tuple) and error[1] is not None:
        line["trace"] = trace(error[1])
        line["event"] = str(line["event"]).partition("\n")[0]  # asyncio's second line is the failed task's repr
    return line


def _warned(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Of Python's warnings keep place and kind: the text may quote a value, as pydantic's do."""
    if line.get("logger") == "py.warnings":
        line["event"] = ":".join(str(line["event"]).split(":")[:3])
    return line


def _on_one_line(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Show what a terminal or a reader of lines would obey as the sign that it is."""
    return {_plain(name): _plain(value) if isinstance(value, str) else value for name, value in line.items()}


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def configure(style: Literal["json", "console"], level: str = "INFO", *, cached: bool = False) -> None:
    """Send structlog and the standard library's loggers to stderr in one style.

    `cached` is for a process that never configures again: its loggers are built once.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Any] = (
        [structlog.processors.JSONRenderer()]
        if style == "json"
        else [_on_one_line, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=cached,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_text, structlog.stdlib.add_logger_name, _warned],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    # Libraries log requests, statements and rows, and with them what was said: only their warnings are for anybody.
    logging.basicConfig(
        handlers=[handler], level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), force=True
    )
    logging.getLogger("worker").setLevel(level)
    logging.captureWarnings(capture=True)
