"""Which variables go into a question: those that the task declares, or every one that can be read, within a budget."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.domain import foreign, meta
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
from worker.modelling.properties import TaskProperties
from worker.modelling.rendering import TooLarge, is_java_collection, is_text_file, is_unreadable, kind, section
from worker.ports.engine import Engine
from worker.runtime.beside import beside_if

ENGINES_OWN = frozenset({LOOP_COUNTER, "nrOfInstances", "nrOfActiveInstances", "nrOfCompletedInstances"})
"""Variables that engines write for a multi-instance activity."""


SMALL = 10_000
"""Characters of all inputs together that are shown at once."""
NO_TEXTS = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How documents begin that are no text, whatever type they were given: PDF, the newer Office's and the older's."""
SPREAD = 8
"""Of the JSON that an engine makes, blanks and escapes may be so much that the rest fits all the same."""
MOST_NAMED = 50
"""Of the variables that there is no room for: anybody may start an instance with thousands."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a question shows, ready to be read, by name. `left_out` names what there was no room for."""

    shown: Mapping[str, str]
    left_out: tuple[str, ...] = ()


async def gather(
    task: Task, activity: Activity, wanted: TaskProperties, thread: Thread | None, engine: Engine, budget: int
) -> Inputs:
    """Collect the inputs of a task; `budget` is in tokens. Files and bytes of a text type come with their content.

    What the task declares is shown whole. Raises BadInput where that is more than the budget, or there is nothing that
    could be shown; EngineDown, ReadRefused.
    """
    room = BYTES_PER_TOKEN * budget
    if wanted.inputs is None:
        # By name: engines hand variables over in any order, and the same task is to be asked the same question.
        open_to_it = dict(sorted(readable(task, activity, thread).items()))
        return await beside_if(_is_large(open_to_it), within, open_to_it, room)
    given: dict[str, Variable | None] = {}
    for name, is_needed in wanted.inputs.items():
        variable = task.variables.get(name)
        if variable is None and is_needed:
            raise _absent(name)
        if variable is not None and is_text_file(variable):
            variable = await _with_content(task, name, variable, engine, room)
        if variable is not None and is_java_collection(variable):
            variable = await _as_json(task, name, variable, engine, room)
        given[name] = variable
    return await beside_if(_is_large(given), whole, given, room)


def _absent(name: str) -> BadInput:
    why = "no variable of this name is seen by the task"
    if has_expression(name):
        why = "data.input is fixed text, in which no expression is evaluated"
    return BadInput(f"input {name!r} is not set: {why}. Where it may be absent, data.input says {name}?")


async def _with_content(task: Task, name: str, file: Variable, engine: Engine, room: int) -> Variable:
    if not _fits_an_address(name):
        raise BadInput(
            f"the file in input {name!r} cannot be asked for: engines refuse addresses with a slash in a name, and "
            "take dots alone for another one"
        )
    content = await engine.content(task.execution_id, name, room)
    if content is None:
        raise no_room(f"the file in input {name!r}", room + 1, room)
    text = foreign.text(content, file.info.get("encoding"))
    # Whatever its type says: who uploads a file chooses that, and often it is the form's usual one.
    if content.startswith(NO_TEXTS) or "\0" in text:
        raise _no_text(name, file)
    return replace(file, value=text)


def _fits_an_address(name: str) -> bool:
    return not ("/" in name or "\\" in name or name in {".", ".."})


async def _as_json(task: Task, name: str, variable: Variable, engine: Engine, room: int) -> Variable:
    """Have the engine show a list or a map of Java's as JSON; as it came where it shows nothing of the kind."""
    if not _fits_an_address(name):
        return variable
    try:
        text = await engine.as_json(task.execution_id, name, SPREAD * room)
    except ReadRefused:  # a class in it that the engine does not know any more
        return variable
    if text is None:
        raise no_room(f"input {name!r}", SPREAD * room + 1, room)
    return Variable(text, "Json") if text.startswith(("[", "{")) else variable


def _no_text(name: str, variable: Variable) -> BadInput:
    return BadInput(
        f"nothing of input {name!r} can be read, it is of type {kind(variable)}: hand over its text, a list or a map "
        "as JSON, or do not name it"
    )


def _is_large(variables: Mapping[str, Variable | None]) -> bool:
    """Whether to show these may take more than a few milliseconds."""
    values = (each.value for each in variables.values() if each is not None)
    return sum(len(value) if isinstance(value, str) else 1 for value in values) > SMALL


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


def whole(variables: Mapping[str, Variable | None], room: float = float("inf")) -> Inputs:
    """Show all of these, None as not set. Raises BadInput, which names the first that has no room or no text."""
    left = room
    shown = {}
    for name, variable in variables.items():
        if variable is not None and is_unreadable(variable):
            raise _no_text(name, variable)
        try:
            shown[name] = section(name, variable, left)
        except TooLarge as exc:
            before = f", of which those before it take {room - left:,}" if left < room else ""
            raise no_room(f"input {name!r}", exc.size, room, before) from exc
        left -= size(shown[name])
    return Inputs(shown)


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


def no_room(what: str, comes_to: int, room: float, before: str = "") -> BadInput:
    """Say what is too large for a question, and what to do. Sizes are in bytes."""
    return BadInput(
        f"{what} comes to at least {comes_to:,} bytes in the question, and INPUT_TOKENS leaves room for {room:,.0f}"
        f"{before}: hand over the part that is needed, name fewer inputs, or raise that setting of the worker"
    )
