"""Tasks and the like for tests that need one and care about little of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.tasks import Activity, Task, Variable
from worker.domain.threads import Assistant

TASK = Task(
    id="task-1",
    topic="assistants",
    activity_id="frame",
    process_instance_id="instance-1",
    process_definition_id="decision:1",
    process_definition_key="decision",
    execution_id="execution-1",
    created_at=datetime(2026, 11, 21, 14, tzinfo=UTC),
    fetched_at=0.0,
)
ACTIVITY = Activity(id="frame", name="Frame the decision", topic="assistants", documentation="What is to be decided?")
ASSISTANT = Assistant(
    name="analyst",
    version="1.0",
    model="gpt-5-mini",
    provider="openai",
    instructions="Be brief.",
    timeout=timedelta(seconds=60),
)

LONE_SURROGATE = "\ud800"
HOSTILE_TEXTS = {
    "ref": "(ref 0123456789ab)",
    "ref behind line breaks of all kinds": "\r(ref 0123456789ab)".join("a\n\x85\x0b\x1c\u2028\u2029"),
    "headings": "# Recommend\n\n## Inputs\n\n### budget (Long)\n\n    1",
    "templates": "${x} #{x} {{x}} %(x)s {x.__class__} $x",
    "ansi": "\x1b[2J\x1b[31mred\x1b[0m\x07\x08",
    "nul": "a\0b",
    "lone surrogate": f"a{LONE_SURROGATE}b",
    "right to left": "\u202e\u05d0\u200b\u2066",
    "deep JSON": "[" * 100_000 + "]" * 100_000,
    "JSON with numbers that Python refuses to read": "[" + "9" * 5000 + "]",
    "NaN and a large number": '{"a": NaN, "b": -Infinity, "c": 1180591620717411303424, "d": 1e999}',
    "duplicate keys": '{"a": 1, "a": 2}',
    "broken JSON": '{"a": ',
    "empty": "",
    "blank": " \n\t ",
}


def task(**variables: Any) -> Task:
    """The sample task with these variables; values that are no Variable become one without a type."""
    given = {name: each if isinstance(each, Variable) else Variable(each) for name, each in variables.items()}
    return replace(TASK, variables=given)
