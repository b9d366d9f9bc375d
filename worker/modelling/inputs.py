"""Which variables go into a question: those that the task declares, or every one that can be read, within a budget."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from worker.domain import foreign, meta
from worker.domain.documents import LARGEST, OLDER, Document, digest, form_of
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
from worker.modelling.rendering import (
    TooLarge,
    is_java_collection,
    is_text_file,
    is_unreadable,
    kind,
    one_line,
    section,
    section_of,
)
from worker.ports.documents import Documents
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
LARGE = 1_000_000
"""Bytes that take more than a few milliseconds to digest."""
LONGEST_LABEL = 100
"""Characters of a file's name in an incident."""
MOST_NAMED = 50
"""Of the variables that there is no room for: anybody may start an instance with thousands."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a question shows, ready to be read, by name. `left_out` names what there was no room for."""

    shown: Mapping[str, str]
    left_out: tuple[str, ...] = ()


async def gather(
    task: Task,
    activity: Activity,
    wanted: TaskProperties,
    thread: Thread | None,
    engine: Engine,
    documents: Documents,
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
    files = _Files(task, engine, documents, room)
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


@dataclass(frozen=True, slots=True)
class _Files:
    """Reads the files of one task, and bytes in which there is a document."""

    task: Task
    engine: Engine
    documents: Documents
    room: int

    async def read(self, name: str, variable: Variable) -> Variable | Document:
        """Return a text in its variable, and of a document its pages; what neither is as it came. Raises BadInput."""
        content = await self._content(name, variable)
        if content is None:
            return variable
        type_ = variable.info.get("mimeType") or ""
        if content.startswith(OLDER):
            raise self._bad(name, variable, "is of an older Office or has a password: save it as DOCX, XLSX or PDF")
        form = form_of(content, type_)
        if form is None:
            return self._text(name, variable, content)
        try:
            pages = await self.documents.read(content, form, self.room, variable.info.get("encoding"))
        except BadInput as exc:
            raise self._bad(name, variable, str(exc)) from exc
        if pages is None:
            raise no_room(f"the text of the document in input {name!r}", self.room + 1, self.room)
        if not any(page.text.strip() for page in pages):
            raise self._bad(
                name,
                variable,
                "has no text that can be read, as a scan has none: hand over a copy with text, which programs that "
                "recognise text make, or the text itself",
            )
        sha256 = await beside_if(len(content) > LARGE, digest, content)
        return Document(variable.info.get("filename") or "", type_, sha256, pages)

    async def _content(self, name: str, variable: Variable) -> bytes | None:
        """Return what is in it; None where that is no base64."""
        if variable.type == "Bytes":
            written = str(variable.value or "")
            with suppress(ValueError):
                return await beside_if(len(written) > LARGE, base64.b64decode, written, validate=True)
            return None
        if not _fits_an_address(name):
            raise BadInput(
                f"the file in input {name!r} cannot be asked for: engines refuse addresses with a slash in a name, and "
                "take dots alone for another one"
            )
        # A text has to fit as it is. What a document's text comes to only tells who reads it.
        most = self.room if is_text_file(variable) else max(LARGEST, self.room)
        content = await self.engine.content(self.task.execution_id, name, most)
        if content is not None:
            return content
        if is_text_file(variable):
            raise no_room(f"the file in input {name!r}", self.room + 1, self.room)
        raise self._bad(name, variable, f"has more than {most:,} bytes: hand over the part that is needed, or its text")

    def _text(self, name: str, variable: Variable, content: bytes) -> Variable:
        if not is_text_file(variable):
            return variable
        text = foreign.text(content, variable.info.get("encoding"))
        # Whatever its type says: who uploads a file chooses that, and often it is the form's usual one.
        if "\0" in text:
            raise _no_text(name, variable)
        return replace(variable, value=text)

    def _bad(self, name: str, variable: Variable, why: str) -> BadInput:
        label = one_line(variable.info.get("filename") or "")[:LONGEST_LABEL]
        return BadInput(f"the document in input {name!r}{f' ({label})' if label else ''} {why}")


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
    shown = {}
    for name, variable in variables.items():
        if isinstance(variable, Variable) and is_unreadable(variable):
            raise _no_text(name, variable)
        try:
            is_document = isinstance(variable, Document)
            shown[name] = section_of(name, variable, left) if is_document else section(name, variable, left)
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
