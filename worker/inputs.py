"""Which variables go into a question: those that the task declares, or every one that can be read, within a budget."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from worker.domain import THREAD_VARIABLE, Activity, Definition, Task, Variable
from worker.ports import Engine
from worker.properties import TaskProperties, field_names, result_name

BYTES_PER_TOKEN = 4
"""What a token is taken for: about right for English, too little for most other languages, so the budget errs high."""
TEXT_TYPES = (
    "text/",
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/csv",
)
TEXT_SUFFIXES = ("+json", "+xml", "+yaml")
ENGINES_OWN = frozenset({"loopCounter", "nrOfInstances", "nrOfActiveInstances", "nrOfCompletedInstances"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a question shows. None is a name that is not set. `left_out` names what there was no room for."""

    shown: Mapping[str, Variable | None]
    left_out: tuple[str, ...] = ()


async def gather(
    task: Task, activity: Activity, definition: Definition, wanted: TaskProperties, engine: Engine, budget: int
) -> Inputs:
    """Collect the inputs of a task; `budget` is in tokens. Files and bytes of a text type come with their content.

    Names that the task declares are shown whatever they hold, but for files beyond the budget. Raises EngineDown.
    """
    if wanted.inputs is None:
        return _within(dict(sorted(readable(task, activity, definition, wanted).items())), budget)
    shown: dict[str, Variable | None] = {}
    left_out = []
    for name in wanted.inputs:
        variable = task.variables.get(name)
        if variable is not None and is_text_file(variable):
            content = await engine.content(task.execution_id, name, BYTES_PER_TOKEN * budget)
            if content is None:
                left_out.append(name)
            else:
                variable = replace(variable, value=_decoded(content, variable.info.get("encoding")))
        shown[name] = variable
    return Inputs(shown, tuple(left_out))


def readable(task: Task, activity: Activity, definition: Definition, wanted: TaskProperties) -> Mapping[str, Variable]:
    """Return what a task without `data.input` is shown: no files, nothing of ours, nothing that its thread knows."""
    ours = activity.parameters | ENGINES_OWN
    known = tuple(_known(definition, wanted))
    return {
        name: variable
        for name, variable in task.variables.items()
        if name not in ours
        and not name.startswith(THREAD_VARIABLE)
        and not _is_meta(name, variable)
        and not any(_is_result(name, each) for each in known)
    }


def _decoded(content: bytes, encoding: str | None) -> str:
    """Read a file's text; what is none becomes replacement characters, which says more than nothing."""
    try:
        return content.decode(encoding or "utf-8-sig", errors="replace")
    except LookupError:  # an encoding that nobody knows
        return content.decode("utf-8-sig", errors="replace")


def is_text_file(variable: Variable) -> bool:
    """Whether this is a file whose content can be shown."""
    kind = variable.info.get("mimeType") or ""
    return variable.type == "File" and (kind.startswith(TEXT_TYPES) or kind.endswith(TEXT_SUFFIXES))


def _known(definition: Definition, wanted: TaskProperties) -> Iterator[str]:
    """Name the results that the thread knows: of tasks of the same assistant that share it."""
    if wanted.sharing == "activity":
        return
    for each in definition.activities.values():
        same_assistant = each.is_ours and each.properties.get("service.name", "").strip() == wanted.assistant
        if same_assistant and (each.properties.get("service.thread", "").strip() or "instance") == wanted.sharing:
            yield result_name(each.id, each.properties)
            yield from field_names(each.properties)


def _is_result(name: str, result: str) -> bool:
    """Whether the variable is this result, or that of one of its iterations."""
    return name == result or (name.startswith(f"{result}_") and name.removeprefix(f"{result}_").isdigit())


def _is_meta(name: str, variable: Variable) -> bool:
    return name.endswith("_meta") and str(variable.value).startswith(('{"assistant":', '{"thread":'))


def _within(variables: Mapping[str, Variable], budget: int) -> Inputs:
    """Take, in their order, each variable that still fits."""
    left = BYTES_PER_TOKEN * budget
    shown: dict[str, Variable | None] = {}
    left_out = []
    for name, variable in variables.items():
        size = len(name.encode(errors="replace")) + len(str(variable.value).encode(errors="replace"))
        if size > left:
            left_out.append(name)
        else:
            shown[name] = variable
            left -= size
    return Inputs(shown, tuple(left_out))
