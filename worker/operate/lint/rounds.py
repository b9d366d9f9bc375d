"""Loops of sequence flows that nothing but answers ends: each round of them is paid. Pure."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from worker.domain.tasks import Activity
from worker.engine.order import BPMN
from worker.operate.lint.flow import Flow
from worker.operate.lint.reach import circles
from worker.operate.lint.reading import File, Process
from worker.operate.lint.variables import results
from worker.operate.models.rules import DEPLOY, Fault, Rule

_WORK: Final = frozenset(
    f"{BPMN}{name}"
    for name in (
        *("userTask", "serviceTask", "sendTask", "receiveTask", "scriptTask", "businessRuleTask"),
        *("callActivity", "adHocSubProcess", "eventBasedGateway"),
    )
)
_EVENTS: Final = frozenset(f"{BPMN}{name}" for name in ("intermediateCatchEvent", "intermediateThrowEvent"))
_TEXTS: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAMES: Final = re.compile(r"(?<![\w.])[^\W\d]\w*")
_WORDS: Final = frozenset(
    ("and", "or", "not", "eq", "ne", "lt", "gt", "le", "ge", "div", "mod", "true", "false", "S", "JSON")
)
"""Of expressions: neither variables nor, as `null` and `empty`, what tells a first round from a later one."""


def of_loops(process: Process, file: File, flow: Flow) -> Iterator[tuple[str, Fault]]:
    """Name the first task of each loop that only answers of assistants end, so that nobody knows what it may cost.

    Whatever somebody else has a say in is left alone, and so is a condition that reads anything but such answers: it
    may be what counts.
    """
    ours = {each.id: each for each in process.definition.activities.values() if each.is_ours}
    alone = _alone(flow, ours)
    ways = _ways(flow, alone)
    round_of = {
        id_: number
        for number, group in enumerate(circles(ways))
        if len(group) > 1 or group[0] in ways[group[0]]
        for id_ in group
    }
    if not round_of:
        return
    conditions, ended = _conditions(process.element, round_of), _ended_from_outside(flow)
    rounds = defaultdict[int, list[Activity]](list)
    for each in ours.values():
        for id_ in _around(each.id, flow):
            if id_ in round_of and not ended.intersection(_around(flow.scopes[id_], flow)):
                rounds[round_of[id_]].append(each)
    for number, tasks in rounds.items():
        asking = [each for each in tasks if each.is_for_assistant]
        if not asking:
            continue
        said = [results(each, process, file.folder) for each in tasks]
        answers = frozenset().union(*(each.names | each.looped for each in said))
        if all(_reads(text) <= answers for text in conditions[number]):
            yield asking[0].id, _fault()


def _fault() -> Fault:
    said = (
        "its way leads back to it, and nothing but answers ends that: no person and no event is in this loop, nothing "
        "counts its rounds, and each is paid"
    )
    advice = (
        "Count the rounds, as an output parameter rounds with ${rounds + 1} does, and leave at a number of them; or "
        f"have a person in the loop, or a timer at a sub-process around it. {DEPLOY}"
    )
    return Fault(Rule.ENDLESS_LOOP, said, advice)


def _alone(flow: Flow, ours: Collection[str]) -> set[str]:
    """Return what goes on by itself: all in which nobody has a say but assistants, at whatever depth."""
    others = set[str]()
    for id_, element in flow.nodes.items():
        if id_ not in ours and _has_a_say(element):
            others.add(id_)
            scope = flow.scopes.get(id_, "")
            while scope in flow.nodes and scope not in others:
                others.add(scope)
                scope = flow.scopes[scope]
    return flow.nodes.keys() - others


def _has_a_say(element: Element) -> bool:
    if element.tag in _WORK:
        return True
    return (element.tag in _EVENTS or element.tag == f"{BPMN}boundaryEvent") and not _is_of_error(element)


def _is_of_error(event: Element) -> bool:
    """Whether an event comes by a BPMN error alone, or by nothing."""
    return all(each.tag == f"{BPMN}errorEventDefinition" for each in event if each.tag.endswith("EventDefinition"))


def _ways(flow: Flow, alone: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Say what comes next after each, by itself; after an activity also the errors that it throws."""
    ways = {id_: [each for each in flow.outgoing.get(id_, ()) if each in alone] for id_ in flow.nodes if id_ in alone}
    for id_ in ways:
        attached = flow.nodes[id_].get("attachedToRef", "")
        if attached in ways:
            ways[attached].append(id_)
    return ways


def _conditions(process: Element, round_of: Mapping[str, int]) -> Mapping[int, Sequence[str]]:
    """Return what decides in each loop where it goes on."""
    found = defaultdict[int, list[str]](list)
    for each in process.iter(f"{BPMN}sequenceFlow"):
        text = each.findtext(f"{BPMN}conditionExpression") or ""
        if text and (source := each.get("sourceRef", "")) in round_of:
            found[round_of[source]].append(text)
    return found


def _ended_from_outside(flow: Flow) -> frozenset[str]:
    """Return the scopes that an event may end or look into at any time, such as a timer at them."""
    found = set[str]()
    for id_, element in flow.nodes.items():
        if element.tag == f"{BPMN}boundaryEvent" and not _is_of_error(element):
            found.add(element.get("attachedToRef", ""))
        elif element.get("triggeredByEvent") == "true" and not all(
            map(_is_of_error, element.iterfind(f"{BPMN}startEvent"))
        ):
            found.add(flow.scopes.get(id_, ""))
    return frozenset(found)


def _around(id_: str, flow: Flow) -> Iterator[str]:
    """Yield an element, and each scope around it; the process last."""
    while id_ in flow.nodes:
        yield id_
        id_ = flow.scopes[id_]
    yield id_


def _reads(condition: str) -> frozenset[str]:
    """Return the names in an expression that may be variables."""
    return frozenset(_NAMES.findall(_TEXTS.sub("''", condition))) - _WORDS
