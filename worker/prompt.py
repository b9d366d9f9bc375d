"""Task + documentation + inputs → the text of the question. Pure, and the same for the same task every time."""

import json
from typing import Any

from worker.domain import Activity, Task, Variable
from worker.errors import BadModel
from worker.properties import TaskProperties, prompt_parameter

INDENT = "    "
"""Values stand indented, so that no line of a variable can look like a heading or a ref of ours."""


def text(task: Task, activity: Activity, wanted: TaskProperties) -> str:
    """Put the question of this task together. Raises BadModel if the model gives nothing to ask."""
    body = prompt_parameter(task, activity) or activity.documentation.strip()
    if not body:
        raise BadModel("the task says nothing to ask: fill in its documentation, or the input parameter prompt")
    sections = [f"# {' '.join(activity.name.split()) or task.activity_id}", body]
    if wanted.inputs:
        sections.append("## Inputs")
        sections += [_input(name, task.variables.get(name)) for name in wanted.inputs]
    return "\n\n".join(sections).encode(errors="replace").decode()  # half characters cannot be sent


def _input(name: str, variable: Variable | None) -> str:
    if variable is None:
        return f"### {name}\n\n{INDENT}(not set)"
    kind = f" ({variable.type})" if variable.type else ""
    return f"### {name}{kind}\n\n{_indented(readable(variable))}"


def readable(variable: Variable) -> str:
    """Show a value as a person would read it: text as it is, JSON laid out, content that did not come named only."""
    value = variable.value
    if variable.type in {"File", "Bytes"}:
        name = " ".join(filter(None, [variable.type.lower(), variable.info.get("filename")]))
        return f"({name}: content not included)"
    if value is None:
        return "(empty)"
    if variable.type in {"Json", "Object"} and isinstance(value, str):
        return _laid_out(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else _dumped(value)


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):  # nested too deep, or a number of thousands of digits
        return f"({type(value).__name__}: too large to show)"


def _laid_out(value: str) -> str:
    """Lay JSON out; engines store invalid JSON unchecked, which is shown as it is."""
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return value


def _indented(value: str) -> str:
    return "\n".join(INDENT + line for line in value.splitlines() or [""])
