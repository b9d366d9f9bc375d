"""What is wrong with the variables that steps read and write. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from worker.domain.tasks import META_SUFFIX, Activity, declared_inputs, has_expression
from worker.engine.order import BPMN
from worker.operate.lint.flow import Flow
from worker.operate.lint.reading import File, Process
from worker.operate.lint.variables import Before, Sets, Variables, mappings, results
from worker.operate.models.rules import DEPLOY, Fault, Rule

_MOST_REASONS: Final = 3
"""Why something cannot be known, in one finding."""
_MOST_WRITERS: Final = 20
"""Tasks of the same result that one is held against, those just before it in the model."""
_SPLIT: Final = frozenset(" ;|\t\n")
"""What stands in an input where it was meant to be several."""
_NEAR: Final = 0.85


def of_inputs(activity: Activity, process: Process, variables: Variables) -> Iterator[Fault]:
    """Name inputs that nothing can have set, and say of which that cannot be known."""
    said = {name: value.strip() for name, value in activity.properties.items()}
    inputs = dict(declared_inputs(said) or {}) if activity.is_for_assistant else {}
    about = "data.input" if activity.is_for_assistant else "record.given"
    if activity.is_record:
        given = (each.partition("=")[2].strip() for each in said.get("record.given", "").split(","))
        inputs = {each: True for each in given if each}
    if not inputs:
        return
    known = variables.before(process, activity.id)
    ever = variables.everything(process)
    unknown = []
    for name, is_needed in inputs.items():
        if known.has(name) or has_expression(name):  # which is told of the property
            continue
        if odd := sorted(_SPLIT & set(name)):
            text = f"its input {name!r} is one name with {odd[0]!r} in it: a variable of such a name is not likely"
            yield Fault(Rule.ODD_INPUT, text, "Separate names by commas.", about)
        elif known.is_sure:
            near = variables.nearest(name, known, process)
            yield Fault(Rule.UNSET_INPUT, *_unset(name, near, ever, is_needed=is_needed), about)
        elif is_needed:
            unknown.append(name)
    if unknown:
        reasons, rest = known.doubts(_MOST_REASONS)
        why = "; ".join(reasons) + (f"; and {rest} more" if rest else "")
        text = f"nobody can know whether {', '.join(unknown)} is set when it is reached: that is for {why}"
        near = [close for name in unknown for close in variables.nearest(name, known, process, _NEAR)]
        hint = f" Or was {', '.join(near)} meant?" if near else ""
        yield Fault(
            Rule.UNKNOWN_INPUT,
            text,
            f"See that it is set, or write {unknown[0]}? where it may be absent.{hint}",
            about,
        )


def _unset(name: str, near: Sequence[str], ever: Sets, *, is_needed: bool) -> tuple[str, str]:
    hint = f"did you mean {near[0]}? Else set it" if near else "set it"
    later = ", which is set later, or on a way beside it," if ever.has(name) else ""
    effect = "an incident when it is reached" if is_needed else "it is never shown"
    said = f"nothing that comes before it sets its input {name}{later}: {effect}"
    return said, f"Correct the name; {hint} in a start form, a form or a step before it. {DEPLOY}"


def of_call(call: Element, process: Process, variables: Variables) -> Iterator[Fault]:
    """Name what a call hands over, or takes back, and nothing sets; of processes that are looked at alone."""
    if call.tag != f"{BPMN}callActivity" or (called := variables.called(call, process)) is None:
        return
    sides: dict[str, tuple[Sets | Before, str]] = {
        "in": (variables.before(process, call.get("id", "")), f"which it hands over to {called.key}"),
        "out": (variables.everything(called), f"which it takes back from {called.key}"),
    }
    for way, (known, words) in sides.items():
        for source in dict.fromkeys(each.get("source", "") for each in mappings(call, way)):
            if source and known.is_sure and not known.has(source):
                near = variables.nearest(source, known, process)
                hint = f"; did you mean {near[0]}?" if near else "."
                said = f"nothing sets {source}, {words}: its value will be null"
                yield Fault(Rule.UNSET_MAPPING, said, f"Correct the name{hint}")


def of_results(process: Process, file: File, variables: Variables) -> Iterator[tuple[str, Fault]]:
    """Name results of one task that another one writes as well, on ways that an instance can take both."""
    writers: defaultdict[str, list[Activity]] = defaultdict(list)
    for activity in process.definition.activities.values():
        if activity.is_ours:
            sets = results(activity, process, file.folder)
            for name in {*sets.names, *(f"{each}_…" for each in sets.looped)}:
                writers[name].append(activity)
    of = {each.id: each for each in process.definition.activities.values()}
    taken: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, several in writers.items():
        for one, other in _clashes(several, variables.flow(process)):
            taken[one, other].append(name)
    for (earlier, later), names in taken.items():
        shown = [name for name in sorted(names) if name.removesuffix(META_SUFFIX) not in set(names) - {name}]
        said = f"its result {', '.join(shown)} is that of {of[earlier].label}, too, and takes its place"
        advice = "Give the result a name of its own (data.output, data.output.fields), unless this is meant."
        about = "data.output" if of[later].said("data.output") in names else "data.output.fields"
        yield later, Fault(Rule.OVERWRITTEN_OUTPUT, said, advice, about)


def _clashes(writers: Sequence[Activity], flow: Flow) -> Iterator[tuple[str, str]]:
    """Yield each task that takes the place of another's result, behind that one: the nearest, of several."""
    found: dict[str, str] = {}
    for number, one in enumerate(writers):
        for other in reversed(writers[max(0, number - _MOST_WRITERS) : number]):
            # The stages of one record say how it stands, each in the place of the one before.
            if one.is_record and other.is_record and one.said("record.id") == other.said("record.id"):
                continue
            is_turned = flow.is_before(one.id, other.id) and not flow.is_before(other.id, one.id)
            earlier, later = (one.id, other.id) if is_turned else (other.id, one.id)
            if later not in found and (flow.is_before(earlier, later) or flow.together(earlier, later)):
                found[later] = earlier
                break
    yield from ((earlier, later) for later, earlier in found.items())
