"""Results of runs → figures, and figures over rounds → a table. Pure."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]
Figures = dict[str, float]
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `aim` is text: nothing is asserted about speed."""

    figure: str
    title: str
    aim: str = ""
    digits: int = 1


PEERS = {
    "javascript": "JavaScript client",
    "java": "Java client with a pool",
    "python_sync": "Python client, sync",
    "python_async": "Python client, async",
}

ROWS = (
    Row("bare_rate", "bare loop, tasks/s"),
    Row("written_rate", "bare loop that writes the same variables, tasks/s"),
    Row("instant_rate", "instant model, tasks/s"),
    Row("instant_ratio", "instant model, rate by the bare loop's", "≥ 0.87", 2),
    Row(
        "instant_by_written", "instant model, rate by that of the bare loop that writes the same variables", "≥ 0.95", 2
    ),
    Row("second_rate", "1 s model, tasks/s since the first fetch"),
    Row("second_rate_behind", "1 s model, tasks/s since the first completion", "≥ 53"),
    Row("kept_rate_behind", "1 s model, recorded in SQLite, tasks/s since the first completion"),
    Row("server_rate", "model server, tasks/s"),
    Row("server_ratio", "model server, rate by the bare loop's", "", 2),
    Row("responses_rate", "model server over responses, tasks/s"),
    Row("chat_rate", "model server over chat, tasks/s"),
    Row("budgeted_rate", "instant model with three budgets, tasks/s"),
    Row("budgeted_ratio", "instant model with three budgets, rate by that without", "", 2),
    Row("server_own_p50", "own time with the model server, 50 at once, ms, p50"),
    Row("responses_own_p50", "own time over responses, 50 at once, ms, p50"),
    Row("chat_own_p50", "own time over chat, 50 at once, ms, p50"),
    Row("single_own_p50", "own time of a single task, ms, p50", "≤ 10"),
    Row("single_own_p99", "own time of a single task, ms, p99", "≤ 25"),
    Row("kept_single_own_p50", "own time of a single task, recorded in SQLite, ms, p50"),
    Row("kept_single_own_p99", "own time of a single task, recorded in SQLite, ms, p99"),
    Row("recalled_single_own_p50", "own time of a single task, recorded, with facts recalled, ms, p50"),
    Row("recalled_single_own_p99", "own time of a single task, recorded, with facts recalled, ms, p99"),
    Row("recalled_single_more", "own time that recalling adds to that, ms, p50", "≤ 3"),
    Row("second_own_p50", "own time with the 1 s model, ms, p50", "≤ 25"),
    Row("second_own_p99", "own time with the 1 s model, ms, p99"),
    Row("instant_own_p50", "own time in a backlog, 50 at once, ms, p50"),
    Row("instant_own_p99", "own time in a backlog, 50 at once, ms, p99"),
    Row("single_pick_up_p50", "creation to fetched, ms, p50", "≤ 15"),
    Row("single_pick_up_p99", "creation to fetched, ms, p99"),
    Row("single_question_p50", "creation to question, ms, p50", "≤ 8"),
    Row("single_question_p99", "creation to question, ms, p99"),
    Row("bare_cpu", "bare loop, CPU-s per 1000 tasks", "", 2),
    Row("written_cpu", "bare loop that writes the same variables, CPU-s per 1000 tasks", "", 2),
    Row("instant_cpu", "instant model, CPU-s per 1000 tasks", "≤ 1.5", 2),
    Row("second_cpu", "1 s model, CPU-s per 1000 tasks", "≤ 5", 2),
    Row("kept_cpu", "1 s model, recorded in SQLite, CPU-s per 1000 tasks", "≤ 3.0", 2),
    Row("server_cpu", "model server, CPU-s per 1000 tasks", "≤ 3.2", 2),
    Row("responses_cpu", "model server over responses, CPU-s per 1000 tasks", "", 2),
    Row("chat_cpu", "model server over chat, CPU-s per 1000 tasks", "", 2),
    Row("budgeted_cpu", "instant model with three budgets, CPU-s per 1000 tasks", "", 2),
    Row("bare_servers_cpu", "bare loop, engine's and servers' CPU-s per 1000 tasks"),
    Row("instant_servers_cpu", "instant model, engine's and servers' CPU-s per 1000 tasks"),
    Row("second_servers_cpu", "1 s model, engine's and servers' CPU-s per 1000 tasks"),
    Row("instant_requests", "instant model, engine requests per task", "≤ 1.3", 2),
    Row("second_requests", "1 s model, engine requests per task", "≤ 1.3", 2),
    Row("instant_peak", "instant model, peak memory, MB", "≤ 120"),
    Row("server_peak", "model server, peak memory, MB", "≤ 120"),
    Row("kept_peak", "1 s model, recorded, peak memory, MB"),
    Row("many_by_ideal", "1000 slots, 20 s model, rate by the ideal one, after the first 1000", "≥ 0.95", 2),
    Row("many_by_ideal_whole", "1000 slots, 20 s model, rate by the ideal one, from the first fetch on", "", 2),
    Row("many_renewals", "1000 slots, 20 s model, lock renewals a second", "≤ 20"),
    Row("many_cpu", "1000 slots, 20 s model, CPU-s per 1000 tasks", "", 2),
    Row("many_peak", "1000 slots, 20 s model, peak memory, MB"),
    Row("idle_polls", "idle polls a minute", "≤ 6"),
    Row("idle_requests", "idle requests a minute, all"),
    Row("idle_cpu", "idle CPU-s a minute", "", 2),
    Row("idle_peak", "idle, peak memory, MB"),
    Row("kept_idle_peak", "idle, recorded in SQLite, peak memory, MB", "≤ 90"),
    Row("faulty_asked", "2 % of the model's calls failing, calls per task", "≤ 1.1", 3),
    Row("faulty_spoiled", "2 % of the model's calls failing, failed ones, %", "", 2),
    Row("crash_seconds", "kill -9 to the next attempt's question, s", "≤ 22"),
    *(
        Row(f"{name}_{figure}", f"{title}, {what}", "", digits)
        for figure, what, digits in (
            ("rate", "tasks/s", 1),
            ("ratio", "rate by the bare loop's", 2),
            ("second_rate_behind", "1 s model, tasks/s since the first completion", 1),
            ("cpu", "CPU-s per 1000 tasks", 2),
            ("second_cpu", "1 s model, CPU-s per 1000 tasks", 2),
            ("own_p50", "own time in a backlog, ms, p50", 1),
            ("requests", "engine requests per task", 2),
            ("peak", "peak memory, MB", 1),
        )
        for name, title in PEERS.items()
    ),
)


def of_round(results: Mapping[str, Result]) -> Figures:
    """Reduce one round, by the names of its runs, of which some may be missing.

    They are bare, written, instant, second, kept, server, responses, chat, budgeted, single, kept_single,
    recalled_single, idle, kept_idle, many, faulty, crash, and each peer's two, one of
    them with a model that takes a second.
    """
    figures: Figures = {}
    for name, result in results.items():
        reduced = _REDUCED.get(name, _of_run)(result)
        if name == "single":  # where there is a backlog, tasks wait on purpose
            reduced |= _milliseconds(result, "pick_up") | _milliseconds(result, "question")
        figures |= {f"{name}_{figure}": value for figure, value in reduced.items()}
    for name in ("instant", "server", *PEERS):
        if f"{name}_rate" in figures and "bare_rate" in figures:
            figures[f"{name}_ratio"] = figures[f"{name}_rate"] / figures["bare_rate"]
    if "instant_rate" in figures and "written_rate" in figures:
        figures["instant_by_written"] = figures["instant_rate"] / figures["written_rate"]
    if "recalled_single_own_p50" in figures and "kept_single_own_p50" in figures:
        figures["recalled_single_more"] = figures["recalled_single_own_p50"] - figures["kept_single_own_p50"]
    if "budgeted_rate" in figures and "instant_rate" in figures:
        figures["budgeted_ratio"] = figures["budgeted_rate"] / figures["instant_rate"]
    return figures


def _of_run(result: Result) -> Figures:
    tasks = result["tasks"]
    servers = {"servers_cpu": 1000 * result["servers_cpu_seconds"] / tasks} if "servers_cpu_seconds" in result else {}
    return (
        _milliseconds(result, "own")
        | servers
        | {
            "rate": tasks / result["since_first_fetch_seconds"],
            "rate_behind": tasks / result["since_first_completion_seconds"],
            "cpu": 1000 * result["cpu_seconds"] / tasks,
            "peak": result["peak_bytes"] / MEGABYTE,
            "requests": sum(result["requests"].values()) / tasks,
        }
    )


def _milliseconds(result: Result, name: str) -> Figures:
    values = [1000 * seconds for seconds in result[f"{name}_seconds"]]
    return {f"{name}_p{percent}": percentile(values, percent) for percent in (50, 99)}


def _of_idle(result: Result) -> Figures:
    per_minute = 60 / result["seconds"]
    return {
        "polls": per_minute * result["requests"].get("poll", 0),
        "requests": per_minute * sum(result["requests"].values()),
        "cpu": per_minute * result["cpu_seconds"],
        "peak": result["peak_bytes"] / MEGABYTE,
    }


def _of_many(result: Result) -> Figures:
    ideal, whole_seconds = result["ideal_rate"], result["since_first_fetch_seconds"]
    before, after = result["marks"][-2:]
    return {
        "by_ideal": (after["tasks"] - before["tasks"]) / (after["at"] - before["at"]) / ideal,
        "by_ideal_whole": result["tasks"] / whole_seconds / ideal,
        "renewals": result["requests"].get("extend", 0) / whole_seconds,
        "cpu": 1000 * result["cpu_seconds"] / result["tasks"],
        "peak": result["peak_bytes"] / MEGABYTE,
    }


def _of_faulty(result: Result) -> Figures:
    asked = result["asked"]
    return {"asked": asked / result["tasks"], "spoiled": 100 * result["spoiled"] / asked}


def _of_crash(result: Result) -> Figures:
    return {"seconds": result["seconds"]}


_REDUCED: Mapping[str, Callable[[Result], Figures]] = {
    "idle": _of_idle,
    "kept_idle": _of_idle,
    "many": _of_many,
    "faulty": _of_faulty,
    "crash": _of_crash,
}


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def over_rounds(rounds: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure, over the rounds that have it."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    values = {name: [figures[name] for figures in rounds if name in figures] for name in names}
    return {
        name: {"median": statistics.median(each), "min": min(each), "max": max(each)} for name, each in values.items()
    }


def table(summary: Mapping[str, Mapping[str, float]]) -> str:
    """Write the summary as Markdown."""
    lines = ["| | median | min-max | aim |", "|---|---:|---:|---:|"]
    for row in ROWS:
        if figure := summary.get(row.figure):
            median, least, most = (f"{figure[name]:.{row.digits}f}" for name in ("median", "min", "max"))
            lines.append(f"| {row.title} | {median} | {least}-{most} | {row.aim} |")
    return "\n".join(lines)
