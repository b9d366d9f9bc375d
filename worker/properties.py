"""What a task says it wants: its extension properties, checked. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from worker.domain import Activity, Outcome, Task
from worker.errors import BadModel

ResultType = Literal["Text", "Json", "File"]
BAD_OUTCOMES = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.OK)


@dataclass(frozen=True, slots=True)
class TaskProperties:
    """The wishes of one task. `version` None is the highest; `errors` maps bad outcomes to BPMN error codes."""

    assistant: str
    version: str | None
    inputs: tuple[str, ...]
    output: str
    output_type: ResultType
    local: bool
    errors: Mapping[Outcome, str]


def read(task: Task, activity: Activity) -> TaskProperties:
    """Read the properties of the fetched task. Raises BadModel, which names property and allowed values."""
    assistant = _parameter(task, activity, "assistant") or task.properties.get("service.name", "").strip()
    if not assistant:
        raise BadModel("the task names no assistant: set the property service.name, or the input parameter assistant")
    return TaskProperties(
        assistant=assistant,
        version=task.properties.get("service.version", "").strip() or None,
        inputs=_names(task.properties.get("data.input", "")),
        output=_output(task, activity),
        output_type=cast("ResultType", _one_of(task, "data.output.type", get_args(ResultType), "Text")),
        local=_one_of(task, "data.output.scope", ("instance", "local"), "instance") == "local",
        errors=_errors(task.properties),
    )


def prompt_parameter(task: Task, activity: Activity) -> str | None:
    """Return the evaluated input parameter `prompt`, None if the task has none.

    A process variable that happens to be called so does not count: the model has to declare the parameter.
    """
    return _parameter(task, activity, "prompt")


def _parameter(task: Task, activity: Activity, name: str) -> str | None:
    if name not in activity.parameters or name not in task.variables:
        return None
    value = task.variables[name].value
    return None if value is None else str(value).strip()


def _output(task: Task, activity: Activity) -> str:
    name = task.properties.get("data.output", "").strip() or re.sub(r"\W", "_", task.activity_id)
    if activity.multi_instance and "loopCounter" in task.variables:
        return f"{name}_{task.variables['loopCounter'].value}"
    return name


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _one_of(task: Task, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = task.properties.get(name, "").strip() or default
    if value not in allowed:
        raise BadModel(f"property {name} is {value!r}; allowed are {', '.join(allowed)}")
    return value


def _errors(properties: Mapping[str, str]) -> dict[Outcome, str]:
    """Read `error.<outcome>=<BPMN error code>`."""
    codes: dict[Outcome, str] = {}
    for name, code in properties.items():
        prefix, _, outcome = name.partition(".")
        if prefix != "error":
            continue
        if outcome not in BAD_OUTCOMES:
            raise BadModel(f"property {name}: unknown outcome; allowed are {', '.join(BAD_OUTCOMES)}")
        if code.strip():
            codes[Outcome(outcome)] = code.strip()
    return codes
