"""Before which task of a process no assistant can have spoken. Pure."""

from collections import defaultdict
from collections.abc import Collection
from xml.etree.ElementTree import Element

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
SCOPES = frozenset(f"{BPMN}{name}" for name in ("subProcess", "transaction", "adHocSubProcess"))
"""Elements with elements of their own."""
_CALL = f"{BPMN}callActivity"


def beginning(process: Element, speaking: Collection[str]) -> str | None:
    """Return the speaking task that every way through the process meets before any other one, None without it.

    Whatever may hide a speaker counts as one: a sub-process, a called process. Nothing is known where links or event
    sub-processes are, which no sequence flow shows, and of ways beside each other.
    """
    if _leads_elsewhere(process):
        return None
    own = {name: each for each in process if (name := each.get("id"))}
    speakers = {name for name, each in own.items() if name in speaking or each.tag in SCOPES or each.tag == _CALL}
    first = speakers - _reached(speakers, _flows(process))
    only = next(iter(first)) if len(first) == 1 else None
    return only if only in speaking else None


def _leads_elsewhere(process: Element) -> bool:
    links = process.find(f"{BPMN}intermediateCatchEvent/{BPMN}linkEventDefinition")
    return links is not None or process.find(f"{BPMN}subProcess[@triggeredByEvent='true']") is not None


def _flows(process: Element) -> dict[str | None, list[str]]:
    """Say what can come next after each element; after an activity also what is attached to it."""
    flows = defaultdict[str | None, list[str]](list)
    for flow in process.iterfind(f"{BPMN}sequenceFlow"):
        flows[flow.get("sourceRef")].append(flow.get("targetRef", ""))
    for event in process.iterfind(f"{BPMN}boundaryEvent"):
        flows[event.get("attachedToRef")].append(event.get("id", ""))
    return flows


def _reached(starts: Collection[str], flows: dict[str | None, list[str]]) -> set[str]:
    """Follow the flows from these. No recursion: how long a model is, is for its author to say."""
    reached = set[str]()
    waiting = [target for start in starts for target in flows.get(start, ())]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            waiting += flows.get(name, ())
    return reached
