"""Answer → process variables: their names, types and the meta beside them. Pure."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from worker.domain import Answer, Assistant, Outcome, Thread, Variable
from worker.properties import TaskProperties

LONGEST_STRING = 4000
"""UTF-16 units that a String variable holds on every database but Oracle (2000 there); more is error code 10002."""
LONGEST_META = 2000


@dataclass(frozen=True, slots=True)
class Story:
    """How this turn went, for `<output>_meta`. `use` is created, reused, recreated or adopted."""

    thread: Thread | None
    use: str
    recovered: str | None
    seconds: Mapping[str, float]


def checked(answer: Answer, wanted: TaskProperties) -> Answer:
    """Call an answer invalid that is not what the task asked for: engines store broken JSON unchecked."""
    if answer.outcome is not Outcome.OK or wanted.output_type != "Json":
        return answer
    try:
        json.loads(answer.text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return replace(answer, outcome=Outcome.INVALID, detail="not JSON")
    return answer


def _no_json(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads and the engine's Jackson does not."""
    raise ValueError(constant)


def variables(
    answer: Answer, wanted: TaskProperties, assistant: Assistant, story: Story, *, spin: bool, wide: bool = False
) -> dict[str, Variable]:
    """Return the result variable and its meta. Nothing is cut; a type the engine lacks is replaced and said so.

    `wide` takes a type without a limit where a String would do: for a database whose columns are shorter.
    """
    result, stored_as = _result(answer.text, wanted, spin=spin, longest=0 if wide else LONGEST_STRING)
    meta = _meta(answer, wanted, assistant, story, stored_as)
    return {wanted.output: result, f"{wanted.output}_meta": Variable(meta, "String")}


def thread_variable_name(assistant: str) -> str:
    """Name the process variable that keeps the thread's id for the day Redis has lost it."""
    return "assistant_thread_" + re.sub(r"\W", "_", assistant)


def thread_variable(thread: Thread) -> Variable:
    """Write a thread as a process variable."""
    return Variable(f"{thread.id}#{thread.generation}", "String")


def read_thread_variable(variable: Variable | None) -> Thread | None:
    """Read it back; None for anything that we did not write."""
    text = variable.value if variable and isinstance(variable.value, str) else ""
    match = re.fullmatch(r"([\w-]{1,200})#([1-9]\d{0,8})", text, re.ASCII)
    return Thread(match[1], int(match[2])) if match else None


def _result(text: str, wanted: TaskProperties, *, spin: bool, longest: int) -> tuple[Variable, str]:
    match wanted.output_type:
        case "File":
            return _file(text, wanted.output), "File"
        case "Json" if spin:
            return Variable(text, "Json"), "Json"
        case "Json" | "Text" if _utf16_length(text) <= longest and "\0" not in text:  # PostgreSQL stores no NUL
            return Variable(text, "String"), "String"
        case "Text" if spin:
            return _long_string(text), "Object"
        case "Json" | "Text":
            return _file(text, wanted.output), "File"


def _utf16_length(text: str) -> int:
    """Count as Java and most databases do: an emoji is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _long_string(text: str) -> Variable:
    """A String of any length: expressions read it as a string, but only engines with Spin can store it."""
    info = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
    return Variable(json.dumps(text), "Object", info)


def _file(text: str, name: str) -> Variable:
    content = base64.b64encode(text.encode(errors="replace")).decode()
    info = {"filename": f"{name}.md", "mimetype": "text/markdown", "encoding": "UTF-8"}
    return Variable(content, "File", info)


def _meta(answer: Answer, wanted: TaskProperties, assistant: Assistant, story: Story, stored_as: str) -> str:
    meta: dict[str, Any] = {
        "assistant": assistant.name,
        "version": assistant.version,
        "model": answer.model or assistant.model,
        "thread": story.thread.id if story.thread else None,
        "generation": story.thread.generation if story.thread else None,
        "use": story.use,
        "recreated": story.use == "recreated",
        "recovered": story.recovered,
        "response": answer.response_id,
        "tokens": {"input": answer.input_tokens, "output": answer.output_tokens},
        "seconds": {phase: round(seconds, 3) for phase, seconds in story.seconds.items()},
        "type": wanted.output_type,
        "stored_as": stored_as,
    }
    text = json.dumps(meta, separators=(",", ":"))
    return text if len(text) < LONGEST_META else json.dumps({"thread": str(meta["thread"])[:100], "too_long": True})
