"""Which variables go into a question: those that the task declares, or every one that can be read, within a budget."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.domain import meta
from worker.domain.documents import LARGEST_ATTACHED, Attachment, Document
from worker.domain.handovers import read_marker
from worker.domain.tasks import (
    LOOP_COUNTER,
    META_SUFFIX,
    THREAD_VARIABLE,
    TRACE_VARIABLES,
    Activity,
    Task,
    Variable,
    has_expression,
)
from worker.domain.threads import BYTES_PER_TOKEN, Thread, size
from worker.errors import BadInput, ReadRefused
from worker.modelling.files import Files, Reading, fits_an_address, no_room, no_text
from worker.modelling.properties import TaskProperties
from worker.modelling.rendering import (
    TooLarge,
    is_java_collection,
    is_unreadable,
    section,
    section_of,
    taken,
)
from worker.ports.engine import Engine
from worker.runtime.beside import beside_if

ENGINES_OWN = frozenset({LOOP_COUNTER, "nrOfInstances", "nrOfActiveInstances", "nrOfCompletedInstances"})
"""Variables that engines write for a multi-instance activity."""
Given = Variable | Document | None
"""What a task declares: a variable as it is, what was read of a document, or one that is not set."""
SMALL = 10_000
"""Characters of all inputs together that are shown at once."""
SPREAD = 8
"""Of the JSON that an engine makes, blanks and escapes may be so much that the rest fits all the same."""
MOST_NAMED = 50
"""Of the variables that there is no room for: anybody may start an instance with thousands."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a question shows, ready to be read, by name. `left_out` names what there was no room for.

    What is `attached` goes along with the question as it is.
    """

    shown: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    attached: tuple[Attachment, ...] = ()


async def gather(
    task: Task,
    activity: Activity,
    wanted: TaskProperties,
    thread: Thread | None,
    engine: Engine,
    reading: Reading,
    budget: int,
) -> Inputs:
    """Collect the inputs of a task; `budget` is in tokens. Of files that the task declares the text is read.

    What the task declares is shown whole. Raises BadInput where that is more than the budget, or there is nothing that
    could be shown; EngineDown, ReadRefused.
    """
    room = BYTES_PER_TOKEN * budget
    if wanted.inputs is None:
        # By name: engines hand variables over in any order, and the same task is to be asked the same question.
        open_to_it = dict(sorted(readable(task, activity, thread).items()))
        return await beside_if(_is_large(open_to_it), within, open_to_it, room)
    given: dict[str, Given] = {}
    files = Files(task, engine, reading, room)
    for name, is_needed in wanted.inputs.items():
        variable = task.variables.get(name)
        if variable is None and is_needed:
            raise _absent(name)
        if variable is None:
            given[name] = None
        elif variable.type in {"File", "Bytes"}:
            given[name] = await files.read(name, variable)
        elif is_java_collection(variable):
            given[name] = await _as_json(task, name, variable, engine, room)
        else:
            given[name] = variable
    return await beside_if(_is_large(given), whole, given, room)


def _absent(name: str) -> BadInput:
    why = "no variable of this name is seen by the task"
    if has_expression(name):
        why = "data.input is fixed text, in which no expression is evaluated"
    return BadInput(f"input {name!r} is not set: {why}. Where it may be absent, data.input says {name}?")


async def _as_json(task: Task, name: str, variable: Variable, engine: Engine, room: int) -> Variable:
    """Have the engine show a list or a map of Java's as JSON; as it came where it shows nothing of the kind."""
    if not fits_an_address(name):
        return variable
    try:
        text = await engine.as_json(task.execution_id, name, SPREAD * room)
    except ReadRefused:  # a class in it that the engine does not know any more
        return variable
    if text is None:
        raise no_room(f"input {name!r}", SPREAD * room + 1, room)
    return Variable(text, "Json") if text.startswith(("[", "{")) else variable


def _is_large(variables: Mapping[str, Given]) -> bool:
    """Whether to show these may take more than a few milliseconds."""
    return sum(map(_length, variables.values())) > SMALL


def _length(given: Given) -> int:
    if isinstance(given, Document):
        return sum(len(page.text) for page in given.pages)
    return len(given.value) if given is not None and isinstance(given.value, str) else 1


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
    left = said | metas.keys() | activity.parameters | ENGINES_OWN | set(TRACE_VARIABLES)
    return {
        name: variable
        for name, variable in task.variables.items()
        if not (name in left or name.startswith(THREAD_VARIABLE) or read_marker(name, variable.value))
    }


def whole(variables: Mapping[str, Given], room: float = float("inf")) -> Inputs:
    """Show all of these, None as not set. Raises BadInput, which names the first that has no room or no text."""
    left = room
    shown, attached = {}, list[Attachment]()
    for name, variable in variables.items():
        if isinstance(variable, Variable) and is_unreadable(variable):
            raise no_text(name, variable)
        try:
            if isinstance(variable, Document):
                shown[name] = section_of(name, variable, left)
                left -= taken(variable)
                attached += [variable.attached] if variable.attached else []
            else:
                shown[name] = section(name, variable, left)
        except TooLarge as exc:
            before = f", of which those before it take {room - left:,}" if left < room else ""
            raise no_room(f"input {name!r}", exc.size, room, before) from exc
        left -= size(shown[name])
    if (comes_to := sum(len(each.content) for each in attached)) > LARGEST_ATTACHED:
        raise BadInput(
            f"the pictures and PDFs among the inputs have {comes_to:,} bytes, and {LARGEST_ATTACHED:,} go along with a "
            "question: hand over smaller copies, or name fewer"
        )
    return Inputs(shown, attached=tuple(attached))


def within(variables: Mapping[str, Variable], room: float) -> Inputs:
    """Show, in their order, each that still fits."""
    shown = {}
    left_out = []
    for name, variable in variables.items():
        try:
            shown[name] = section(name, variable, room)
        except TooLarge:
            left_out.append(name)
        else:
            room -= size(shown[name])
    if len(left_out) > MOST_NAMED:
        left_out[MOST_NAMED:] = [f"and {len(left_out) - MOST_NAMED} more"]
    return Inputs(shown, tuple(left_out))
