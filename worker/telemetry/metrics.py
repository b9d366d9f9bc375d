"""Every metric of the worker. Labels are bounded: never an id, never a text."""

from typing import NamedTuple, TypeVar, cast

from prometheus_client import Counter, Gauge, Histogram


class Places(NamedTuple):
    """How many of something may run at once, and do."""

    most: Gauge
    used: Gauge


class Polling(NamedTuple):
    """When a poll last went well, and how much is not polled for."""

    last: Gauge
    left_out: Gauge


M = TypeVar("M", Counter, Histogram)

INFO = Gauge("worker_info", "1, with the version of this worker and the name of its engine.", ["version", "engine"])
POLLS = Counter("worker_polls", "Polls of the engine by result.", ["result"])
LEFT_OUT = Gauge(
    "worker_definitions_left_out", "Definitions on a topic that are not polled for, as the engine refuses such polls."
)
TASKS_FETCHED = Counter("worker_tasks_fetched", "Tasks locked by our polls.")
TURNS = Counter(
    "worker_turns",
    "Turns by what the engine was told, and by who has the task: an assistant or a function.",
    ["verdict", "kind"],
)
ASKS = Counter("worker_asks", "Turns of what persons ask, by how it stands then.", ["state"])
ASKS_WAITING = Gauge(
    "worker_asks_waiting", "What persons have asked that is not answered yet. The same at all workers."
)
INCIDENTS = Counter("worker_incidents", "Failures told without a retry left: each is an incident.")
TURN_SECONDS = Histogram(
    "worker_turn_seconds",
    "Seconds of a turn by phase.",
    ["phase"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
SLOTS = Gauge("worker_slots", "Turns that may run at once.")
IN_FLIGHT = Gauge("worker_turns_in_flight", "Slots in use.")
HANDLED = Counter(
    "worker_handled", "Tasks that functions of HANDLERS have handled, by what came of it.", ["topic", "outcome"]
)
HANDLER_SLOTS = Gauge("worker_handler_slots", "Functions of HANDLERS that may run at once.")
HANDLERS_IN_FLIGHT = Gauge("worker_handlers_in_flight", "Functions of HANDLERS that run.")
HANDLER_LAST_POLL = Gauge(
    "worker_handler_last_poll_timestamp_seconds", "When a poll for functions of HANDLERS last succeeded, as Unix time."
)
HANDLER_LEFT_OUT = Gauge(
    "worker_handler_definitions_left_out",
    "Definitions on a topic of HANDLERS that are not polled for, as the engine refuses such polls.",
)
HANDLER_POLLING = Polling(HANDLER_LAST_POLL, HANDLER_LEFT_OUT)
TURN_PLACES, HANDLER_PLACES = Places(SLOTS, IN_FLIGHT), Places(HANDLER_SLOTS, HANDLERS_IN_FLIGHT)
ENGINE_WAITING = Gauge(
    "worker_engine_tasks_waiting",
    "Tasks that could be fetched now: unlocked, with retries left, not suspended. The same at all workers.",
    ["topic"],
)
WAITING = Gauge("worker_tasks_waiting", "Tasks that wait for their thread, outside of the slots.")
PARKED = Counter("worker_tasks_parked", "Tasks left locked for a while, to come back by themselves.", ["reason"])
LIMIT_WAITS = Histogram(
    "worker_limit_wait_seconds",
    "Seconds for which tasks were parked as their provider was at its limits; a long wait is several of them.",
    ["provider"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60),
)
LOCK_EXTENSIONS = Counter("worker_lock_extensions", "Lock renewals by result.", ["result"])
HOLDS_LOST = Counter("worker_holds_lost", "Holds on a thread that ran out under a turn.")
TASKS_LOST = Counter("worker_tasks_lost", "Tasks that another worker or the engine took from us.")
THREADS = Counter("worker_threads", "Threads by use: created, reused, recreated, adopted, discarded.", ["use"])
RECOVERED = Counter("worker_turns_recovered", "Answers found instead of asked for, by where.", ["source"])
MODEL_CALLS = Counter("worker_model_calls", "Calls of a model by outcome.", ["outcome"])
TOKENS = Counter("worker_tokens", "Tokens by direction.", ["direction", "assistant", "model"])
TOKEN_DETAILS = Counter(
    "worker_token_details",
    "Tokens of these: cached and cache_write of the input, reasoning of the output.",
    ["detail", "assistant", "model"],
)
COST = Counter("worker_cost", "What answers cost, as far as that is known.", ["currency", "assistant", "model"])
UNPRICED = Counter("worker_answers_unpriced", "Answers whose cost is not known.", ["assistant", "model"])
BUDGETS = Counter(
    "worker_budgets",
    "Calls that a budget did not allow (over), or that nearly used one up (nearly).",
    ["kind", "result"],
)
COMPLETIONS_REPEATED = Counter("worker_completions_repeated", "Completions sent again, by cause.", ["cause"])
PAUSED = Gauge("worker_dependency_paused", "1 while we wait for this dependency.", ["dependency"])
STOPPED = Gauge("worker_stopped", "What operators have stopped, by what it is.", ["kind"])
CONFIGURATION_REFUSED = Gauge(
    "worker_configuration_refused", "1 while files have changed that the worker could not take."
)
LOOP_LAG = Gauge("worker_event_loop_lag_seconds", "How late the event loop's last tick was.")
LAST_POLL = Gauge("worker_last_poll_timestamp_seconds", "When a poll last succeeded, as Unix time.")
TURN_POLLING = Polling(LAST_POLL, LEFT_OUT)
FEEDS = Gauge("worker_feeds", "Feeds that are open: people who read along at this worker.")
VISITS = Counter("worker_visits", "Visits of people at sessions, by what became of them.", ["result"])
EXCHANGES = Counter("worker_exchanges", "Exchanges by where they go to and result.", ["sink", "result"])
ENDED = Counter(
    "worker_conversations_ended",
    "Threads, records and decisions' records ended for good, by what was done.",
    ["result"],
)
FEEDBACK = Counter(
    "worker_feedback",
    "Answers that people called right or wrong; one whose word a person turns round counts again.",
    ["rating", "assistant"],
)
RECALLS = Counter(
    "worker_memory_recalls",
    "Questions by what was recalled: recalled, nothing, no_subject, late, down, refused, paused or unredacted.",
    ["result"],
)
RECALL_SECONDS = Histogram(
    "worker_memory_recall_seconds",
    "Seconds that questions waited for what is remembered.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1),
)
REMEMBERED = Counter("worker_memory_remembered", "What was to be remembered, by what became of it.", ["result"])
UNREMEMBERED = Gauge(
    "worker_memory_waiting",
    "What has yet to be remembered: waiting, late of these, and proposed to persons. The same at all workers.",
    ["state"],
)
EMBEDDED = Counter("worker_memory_embedded", "Facts and questions that were to be embedded.", ["result"])
ERASURES_OPEN = Gauge(
    "worker_erasures_open", "Orders to erase that are not complete, but for those that legal holds alone keep."
)
ERASURES_HELD = Gauge("worker_erasures_held", "Orders to erase that legal holds alone keep from being complete.")
UNRECORDED = Gauge("worker_turns_unrecorded", "Turns that a sink may not have yet, of all workers.", ["sink"])

_OF: dict[tuple[Counter | Histogram, tuple[str, ...]], Counter | Histogram] = {}


def of(metric: M, *labels: str) -> M:
    """Return `metric.labels(*labels)`, found at once from the second time on. Not of a metric that is ever cleared."""
    known = _OF.get((metric, labels))
    if known is None:
        known = _OF[metric, labels] = metric.labels(*labels)
    return cast("M", known)
