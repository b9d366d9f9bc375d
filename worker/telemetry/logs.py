"""Log lines: a closed set of events, JSON or console, one line per turn, no message text and no secret."""

import logging
import sys
import traceback
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, Self

import structlog


class Event(StrEnum):
    """Every event a line may carry. Operators search and alert by these names; `words` say it to who reads along."""

    words: str

    def __new__(cls, name: str, words: str) -> Self:
        """Have the name as value."""
        event = str.__new__(cls, name)
        event._value_ = name
        event.words = words
        return event

    STARTED = "worker_started", "the worker has started"
    STOPPING = "worker_stopping", "told to stop"
    STOPPED = "worker_stopped", "the worker has stopped"
    WORKER_CRASHED = "worker_crashed", "an unforeseen error ends the worker"
    SETTING_UNKNOWN = "setting_unknown", "a setting that is nearly one of ours is not read"
    CONFIGURATION_TAKEN = "configuration_taken", "changed files are in use"
    CONFIGURATION_REFUSED = "configuration_refused", "changed files are not taken; what was known goes on"
    TOPICS = "topics_found", "these topics are polled"
    TOPIC_NOT_SERVED = "topic_not_served", "tasks for assistants that nobody polls for"
    POLL_FAILED = "poll_failed", "what is locked for us is not known"
    LEFT_OUT = "tasks_left_out", "the engine refuses these tasks; all others are served"
    SERVED_AGAIN = "tasks_served_again", "what was left out is served again"
    DISCOVERY_FAILED = "discovery_failed", "what is deployed is not known"
    DEPENDENCY_DOWN = "dependency_down", "this cannot be used, and is tried again"
    DEPENDENCY_UP = "dependency_up", "this can be used"
    STOP_SEEN = "stop_seen", "an operator has stopped something"
    STOP_LIFTED = "stop_lifted", "a stop was lifted"
    STOP_IGNORED = "stop_ignored", "a stop that this version cannot read is not obeyed"
    TASK_NOT_OURS = "task_not_ours", "a task that is not for assistants is given back"
    LEFTOVER_UNLOCKED = "leftover_unlocked", "a task that nobody here has is unlocked"
    TURN = "turn", "a task, and what the engine was told"
    FUNCTION_GIVEN_UP = "function_given_up", "a function runs on without its task, and keeps its slot"
    ASK = "ask", "what a person asked, and what came of it"
    HANDOVER = "handover", "what a person handed to a process, and how that stands"
    ASSISTANT_PAUSED = "assistant_paused", "an assistant's calls are refused; its tasks wait"
    TURN_CRASHED = "turn_crashed", "an unforeseen error in a turn"
    THREAD_VARIABLE_REJECTED = "thread_variable_rejected", "the thread that a variable names is not this task's"
    THREAD_VARIABLE_NOT_WRITTEN = "thread_variable_not_written", "the process does not have its thread's id"
    VARIABLE_SKIPPED = "variable_skipped", "a variable is not taken along"
    THREAD_NOT_SEEDED = "thread_not_seeded", "a new thread was not told what was said"
    THREAD_EMPTY = "thread_empty", "a new thread knows nothing of what came before"
    THREAD_MOVED = "thread_moved", "a thread goes on at another provider"
    FALLBACK = "fallback", "another provider answers"
    THREAD_FULL = "thread_full", "the model can read no more of a thread"
    THREAD_RENEWED = "thread_renewed", "a thread was left for a new one"
    THREAD_FOLDED = "thread_folded", "the oldest turns of a history have become a summary"
    THREAD_NOT_FOLDED = "thread_not_folded", "a history could not be summarised"
    TIDYING_CRASHED = "tidying_crashed", "an unforeseen error beside the turns"
    BUDGET_NOT_CORRECTED = "budget_not_corrected", "what a call took is not in its budget yet"
    THREAD_DISCARDED = "thread_discarded", "a conversation that lost against another is deleted"
    HOLD_LOST = "hold_lost", "the right to a thread ran out under a turn"
    LOCK_NOT_EXTENDED = "lock_not_extended", "a task's lock could not be renewed"
    VERDICT_NOT_DELIVERED = "verdict_not_delivered", "the engine did not take what it was told"
    JOURNAL_NOT_WRITTEN = "journal_not_written", "Redis could not note how a turn stands"
    RECORD_CORRUPT = "record_corrupt", "a record in Redis cannot be read"
    RECORD_NEWER = "record_newer", "a newer worker's record is left alone"
    SINK_DOWN = "sink_down", "exchanges wait, as this cannot take them"
    TRANSCRIPT_DOWN = "transcript_down", "the transcript cannot be written; exchanges wait"
    TRANSCRIPT_DAMAGED = "transcript_damaged", "the transcript's file is broken, and not written to"
    SINK_UP = "sink_up", "exchanges are taken again"
    TRANSCRIPT_UP = "transcript_up", "the transcript is written again"
    TRANSCRIPT_NOT_READ = "transcript_not_read", "the transcript cannot be read"
    API_CRASHED = "api_crashed", "an unforeseen error in the page or its API"
    ISSUER_DOWN = "issuer_down", "nobody says who a person is; our own tokens are taken"
    FEEDS_CRASHED = "feeds_crashed", "an unforeseen error while people read along"
    MEMORY_DENIED = "memory_denied", "the memory refuses our key, and is not asked for a while"
    VISITS_NOT_WRITTEN = "visits_not_written", "who reads along cannot be noted; they go on"
    RECORDER_CRASHED = "recorder_crashed", "an unforeseen error while exchanges are recorded"
    EXCHANGE_DROPPED = "exchange_dropped", "an exchange is lost to the transcript"
    EXCHANGE_UNSTORABLE = "exchange_unstorable", "the transcript refuses an exchange; it is tried every hour"
    MEMORY_DOWN = "memory_down", "the memory cannot be used; turns go on without it"
    MEMORY_UP = "memory_up", "the memory can be used again"
    NOT_EMBEDDED = "not_embedded", "facts cannot be embedded, and are found by their words"
    MEMORY_CRASHED = "memory_crashed", "an unforeseen error about what is remembered"
    MEMO_LATE = "memo_late", "something is not remembered; it is tried every hour"
    FILES_STORED = "files_stored", "the provider can search an assistant's files now"
    FILES_GONE = "files_gone", "files are gone at the provider; they are stored anew"
    ANCHOR_MADE = "anchor_made", "the provider's account has a mark of ours now"
    HOLD = "hold", "a decision's record was put on legal hold, or released"
    ENDED = "conversations_ended", "conversations were ended for good"
    END_DELAYED = "end_delayed", "an end is put off"
    INSTANCES_MISSING = "instances_missing", "the engine does not know these instances"
    ENDING_CRASHED = "ending_crashed", "an unforeseen error while conversations are ended"
    ERASED = "erased", "an order to erase is complete"
    ERASURE_OPEN = "erasure_open", "something could not be erased yet"


MOST_TOGETHER = 5
"""Of errors that were raised together."""
UNSAID: Final[Mapping[str, object]] = {
    "_srcfile": None,
    **dict.fromkeys(("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"), False),
}
"""By what logging is told so, as its documentation advises where it costs too much."""
PAD_EVENT_TO = 50
"""Columns of an event with its words; longer ones take what they need."""


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


def _in_words(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say behind an event's name what that means."""
    event = line["event"]
    return {**line, "event": f"{event.value}: {event.words}"} if isinstance(event, Event) else line


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
        else [
            _in_words,
            _on_one_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=PAD_EVENT_TO),
        ]
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
    # What no line says need not be found out for each: from where in the code it came, and in which thread and process.
    for name, value in UNSAID.items():
        setattr(logging, name, value)
    # Libraries log requests, statements and rows, and with them what was said: only their warnings are for anybody.
    logging.basicConfig(
        handlers=[handler], level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), force=True
    )
    logging.getLogger("worker").setLevel(level)
    logging.captureWarnings(capture=True)
