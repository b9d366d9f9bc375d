"""Which variables go into a question: those that the task declares, or every one that can be read, within a budget."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker import meta
from worker.domain import BYTES_PER_TOKEN, META_SUFFIX, THREAD_VARIABLE, Activity, Task, Thread, Variable
from worker.ports import Engine
from worker.properties import TaskProperties

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
    task: Task, activity: Activity, wanted: TaskProperties, thread: Thread | None, engine: Engine, budget: int
) -> Inputs:
    """Collect the inputs of a task; `budget` is in tokens. Files and bytes of a text type come with their content.

    Names that the task declares are shown whatever they hold, but for files beyond the budget. Raises EngineDown.
    """
    if wanted.inputs is None:
        return _within(dict(sorted(readable(task, activity, thread).items())), budget)
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


def readable(task: Task, activity: Activity, thread: Thread | None) -> Mapping[str, Variable]:
    """Return what a task without `data.input` is shown: nothing of the engine's, of ours, or that its thread has said.

    What a thread has said itself is told by the meta variable beside it, which names the thread.
    """
    metas = {name: known for name, each in task.variables.items() if (known := meta.read(name, each.value))}
    said = {
        known
        for name, told in metas.items()
        if thread is not None and told.thread == thread.id
        for known in (name.removesuffix(META_SUFFIX), *told.fields)
    }
    left = said | metas.keys() | activity.parameters | ENGINES_OWN
    return {
        name: variable
        for name, variable in task.variables.items()
        if name not in left and not name.startswith(THREAD_VARIABLE)
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
