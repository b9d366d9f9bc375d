"""`assistant-worker start`: an instance with variables from a file, followed to its end on wish."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from worker.domain import foreign
from worker.domain.runs import End, Held, Run
from worker.domain.tasks import META_SUFFIX, THREAD_VARIABLE, Variable
from worker.engine import MaybeStarted, RestEngine
from worker.errors import WorkerError
from worker.operate.at_engine import at_engine
from worker.operate.commands import tables
from worker.operate.instances import variables
from worker.operate.instances.following import Following

INCIDENT: Final = 3
OTHER_END: Final = 4
UNFOLLOWED: Final = 5
"""The instance was started, and nobody can tell how it ended or goes on."""
UNSURE: Final = 6
"""It may have been started."""
_CODES: Final[Mapping[End, int]] = {"completed": 0, "error": OTHER_END, "terminated": OTHER_END, "unknown": UNFOLLOWED}
LONGEST: Final = 2000
"""Characters of a value that are shown to people."""


def start(options: Namespace) -> int:
    """Start an instance. Returns the exit code; raises Permanent where the variables cannot be read."""
    given = variables.read(options.variables) if options.variables is not None else {}

    async def at(engine: RestEngine) -> int:
        fitted = await _fitted(engine, given)
        try:
            instance = await engine.runs.start(
                options.key,
                fitted,
                version=options.version,
                business_key=options.business_key,
                tenant=options.tenant,
            )
        except MaybeStarted as exc:
            tables.complain(str(exc))
            tables.complain(_unsure(options))
            return UNSURE
        except asyncio.CancelledError:
            tables.complain(_unsure(options))
            raise
        if not options.follow:
            tables.as_json({"instance": instance}) if options.json else tables.say(f"Started {instance}.")
            return 0
        return await _follow(engine, instance, fitted, as_json=options.json)

    return at_engine(at)


def _unsure(options: Namespace) -> str:
    by = f"its business key {options.business_key}" if options.business_key else f"its process {options.key}"
    return f"It may have been started: look for it by {by} before you start it again."


async def _follow(engine: RestEngine, instance: str, given: Mapping[str, Variable], *, as_json: bool) -> int:
    """Tell how an instance gets on that was started; whatever happens, which one it is."""
    tell = tables.complain if as_json else tables.say
    tell(f"Started {instance}.")
    following = Following(engine, tell)
    try:
        run = await following.until_over(instance)
        held = await following.asked(lambda: engine.runs.variables(instance))
    except asyncio.CancelledError:
        _leave(instance, f"Not followed any more. Instance {instance} goes on.", as_json=as_json)
        raise
    except WorkerError as exc:
        tables.complain(str(exc))
        _leave(instance, f"Not followed any more. Instance {instance} was started.", as_json=as_json)
        return UNFOLLOWED
    return _tell(instance, run, [each for each in held if _is_output(each, given)], as_json=as_json)


def _leave(instance: str, why: str, *, as_json: bool) -> None:
    tables.complain(why)
    if as_json:
        tables.as_json({"instance": instance})


async def _fitted(engine: RestEngine, given: Mapping[str, Variable]) -> Mapping[str, Variable]:
    """Hand JSON over as text where the engine cannot store it as what it is, as tasks' results are."""
    if not any(each.type == "Json" for each in given.values()) or await engine.has_spin():
        return given
    return {name: replace(each, type="String") if each.type == "Json" else each for name, each in given.items()}


def _tell(instance: str, run: Run, found: Sequence[Held], *, as_json: bool) -> int:
    code = INCIDENT if run.end is None else _CODES[run.end]
    end = "incident" if run.end is None else run.end
    if as_json:
        wrong = [each.message for each in run.activities if each.stand == "incident"]
        values = {each.name: _value(each) for each in found}
        tables.as_json({"instance": instance, "end": end, "why": run.why, "incidents": wrong, "variables": values})
        return code
    if found:
        tables.show(["variable", "type", "value"], [(each.name, each.type, _shown(each)) for each in found], "")
    words = {
        "completed": f"Instance {instance} is completed.",
        "incident": f"Instance {instance} has an incident. When its cause is mended, set the retries again.",
        "unknown": f"Instance {instance} is over; nobody can tell how: {run.why}.",
    }
    why = f": {run.why}" if run.why else ""
    tables.say(words.get(end) or f"Instance {instance} has ended otherwise ({end}){why}.")
    return code


def _is_output(held: Held, given: Mapping[str, Variable]) -> bool:
    """Whether this is none of the worker's own, and not what the instance was started with."""
    if held.name.endswith(META_SUFFIX) or held.name.startswith(THREAD_VARIABLE):
        return False
    return held.name not in given or (held.type != "File" and held.value != given[held.name].value)


def _value(held: Held) -> Any:
    try:
        return foreign.read(held.value) if held.type == "Json" else held.value
    except (TypeError, ValueError):
        return held.value


def _shown(held: Held) -> str:
    if held.type == "File":
        return "(a file)"
    text = held.value if isinstance(held.value, str) else json.dumps(held.value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
