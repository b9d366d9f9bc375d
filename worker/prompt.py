"""Task + documentation + inputs → the text of the question. Pure, and the same for the same task every time."""

import base64
import json
from typing import Any

from worker.domain import Activity, Task, Variable
from worker.errors import BadModel
from worker.inputs import Inputs, is_text_file
from worker.properties import prompt_parameter
from worker.refs import defused

INDENT = "    "
"""Values stand indented, so that no line of a variable can look like a heading or a ref of ours."""
JAVA = "application/x-java-serialized-object"
"""Never deserialised: that runs code."""


def text(task: Task, activity: Activity, inputs: Inputs, *, json_wanted: bool = False, repair: str = "") -> str:
    """Put the question of this task together. Raises BadModel if the model gives nothing to ask.

    `repair` says what was wrong with the last answer to the same question.
    """
    body = prompt_parameter(task, activity) or activity.documentation.strip()
    if not body:
        raise BadModel("the task says nothing to ask: fill in its documentation, or the input parameter prompt")
    sections = [f"# {_line(activity.name) or task.activity_id}", body]
    if inputs.shown or inputs.left_out:
        sections.append("## Inputs")
        sections += [_input(name, variable, name in inputs.left_out) for name, variable in inputs.shown.items()]
        not_shown = [name for name in inputs.left_out if name not in inputs.shown]
        if not_shown:
            sections.append(f"Not included, for lack of room: {', '.join(map(_line, not_shown))}.")
    if json_wanted:
        sections += ["## Form", "Answer with one JSON value and nothing else: no fences, no text before or after it."]
    if repair:
        sections += ["## Correction", f"Your last answer to this could not be used:\n\n{_indented(repair)}"]
        sections.append("Give the whole answer again, corrected.")
    return defused("\n\n".join(sections).encode(errors="replace").decode())  # half characters cannot be sent


def _input(name: str, variable: Variable | None, left_out: bool) -> str:
    name = _line(name)
    if variable is None:
        return f"### {name}\n\n{INDENT}(not set)"
    kind = f" ({variable.type})" if variable.type else ""
    shown = f"({_label(variable)}: too large, content not included)" if left_out else readable(variable)
    return f"### {name}{kind}\n\n{_indented(shown)}"


def _line(text: str) -> str:
    """Put a name on one line: whoever starts an instance may call a variable anything."""
    return " ".join(text.split())


def readable(variable: Variable) -> str:
    """Show a value as a person would read it: text as it is, JSON laid out, content that did not come named only."""
    if variable.type in {"File", "Bytes"} or variable.info.get("serializationDataFormat") == JAVA:
        content = _content(variable)
        return f"({_label(variable)}: content not included)" if content is None else content
    value = variable.value
    if value is None:
        return "(empty)"
    if variable.type in {"Json", "Object"} and isinstance(value, str):
        return _laid_out(value, text=variable.info.get("objectTypeName") == "java.lang.String")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else _dumped(value)


def _content(variable: Variable) -> str | None:
    """Return the text in a file or in bytes, None if there is none, or it is no text."""
    if not isinstance(variable.value, str):
        return None
    if variable.type == "Bytes":
        return _text_of(variable.value)
    return variable.value if is_text_file(variable) else None


def _label(variable: Variable) -> str:
    kind = {"File": "file", "Bytes": "bytes"}.get(str(variable.type), "Java object")
    return " ".join(filter(None, [kind, variable.info.get("filename"), variable.info.get("objectTypeName")]))


def _text_of(value: str) -> str | None:
    """Read bytes, which the engine gives in base64, as text; None if they are none."""
    try:
        text = base64.b64decode(value, validate=True).decode()
    except ValueError:  # no base64, or no UTF-8
        return None
    return None if "\0" in text else text


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):  # nested too deep, or a number of thousands of digits
        return f"({type(value).__name__}: too large to show)"


def _laid_out(value: str, *, text: bool) -> str:
    """Lay JSON out; engines store invalid JSON unchecked, which is shown as it is. A long `text` is one JSON string."""
    try:
        read = json.loads(value)
        return read if text and isinstance(read, str) else json.dumps(read, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return value


def _indented(value: str) -> str:
    return "\n".join(INDENT + line for line in value.splitlines() or [""])
