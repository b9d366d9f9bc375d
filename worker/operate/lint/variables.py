"""Which variables the steps of a process set, as far as a model shows it. Pure."""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from xml.etree.ElementTree import Element

from worker.domain.decisions import HASH_SUFFIX, ID_SUFFIX, TEXT_SUFFIX
from worker.domain.tasks import META_SUFFIX, Activity, has_expression
from worker.engine.definitions import EXTENSIONS, attribute, carrier, extensions
from worker.engine.order import BPMN
from worker.modelling import properties, questions
from worker.modelling.inputs import ENGINES_OWN
from worker.operate.lint.flow import Flow
from worker.operate.lint.reading import File, Folder, Process
from worker.operate.models import files, tasks

MOST_PROPOSED: Final = 50
"""Names of a process that are wrong, for which it is looked what was meant."""
_QUIET = frozenset(f"{BPMN}{name}" for name in ("task", "manualTask"))
_WORK = frozenset(f"{BPMN}{name}" for name in ("serviceTask", "sendTask", "businessRuleTask"))
_FORMS = "camunda-forms:deployment:"
"""How a form's key begins that names a file of the same deployment."""


@dataclass(frozen=True, slots=True)
class Sets:
    """The variables that something sets. Of those in `looped` a number follows, such as `rating_0`.

    `unknown`: why it may set any others, each in words that name what does.
    """

    names: frozenset[str] = frozenset()
    looped: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()

    def __or__(self, other: "Sets") -> "Sets":
        """Join them."""
        reasons = tuple(dict.fromkeys((*self.unknown, *other.unknown)))
        return Sets(self.names | other.names, self.looped | other.looped, reasons)

    def has(self, name: str) -> bool:
        """Whether this variable is among them for sure."""
        return name in self.names or _base(name) in self.looped

    @property
    def is_sure(self) -> bool:
        """Whether nothing else can be set."""
        return not self.unknown


_CIRCLE = Sets(unknown=("processes that call each other in a circle",))


def _base(name: str) -> str:
    """Return what stands before the number that loops put behind a name; empty without one."""
    base, _, number = name.rpartition("_")
    return base if number.isdecimal() else ""


class Steps:
    """What the steps of a process set, and which steps set a variable."""

    def __init__(self, steps: Mapping[str, Sets], flow: Flow) -> None:
        self._steps = steps
        self._flow = flow
        self._writers: defaultdict[str, int] = defaultdict(int)
        self._loops: defaultdict[str, int] = defaultdict(int)
        self._doubtful = 0
        for id_, sets in steps.items():
            bit = flow.mask([id_])
            for name in sets.names:
                self._writers[name] |= bit
            for name in sets.looped:
                self._loops[name] |= bit
            if sets.unknown:
                self._doubtful |= bit

    def writers(self, name: str) -> int:
        """Return the mask of the steps that set a variable for sure."""
        return self._writers.get(name, 0) | self._loops.get(_base(name), 0)

    def names(self, mask: int) -> Iterator[str]:
        """Yield the variables that some steps set, but for those that loops number."""
        return (name for name, writers in self._writers.items() if writers & mask)

    def doubtful(self, mask: int) -> int:
        """Return the mask of those of the steps that may set any variable."""
        return mask & self._doubtful

    def why(self, mask: int) -> Iterator[tuple[str, ...]]:
        """Yield of each of the doubtful steps why it may."""
        return (self._steps[id_].unknown for id_ in self._flow.listed(self.doubtful(mask)))

    def all(self, mask: int) -> Sets:
        """Join what some steps set."""
        return joined(self._steps[id_] for id_ in self._flow.listed(mask) if id_ in self._steps)


@dataclass(frozen=True, slots=True)
class Before:
    """What can be set when a step begins: by its own scopes and the start, and by the steps in a mask."""

    around: tuple[Sets, ...]
    steps: Steps
    mask: int

    def has(self, name: str) -> bool:
        """Whether this variable is among them for sure."""
        return any(each.has(name) for each in self.around) or bool(self.steps.writers(name) & self.mask)

    @property
    def is_sure(self) -> bool:
        """Whether nothing else can be set."""
        return not self.steps.doubtful(self.mask) and all(each.is_sure for each in self.around)

    @property
    def names(self) -> frozenset[str]:
        """The variables themselves. They are put together anew each time."""
        return frozenset().union(*(each.names for each in self.around), self.steps.names(self.mask))

    def doubts(self, most: int) -> tuple[list[str], int]:
        """Say why any others may be set, in so many words at most, and how many more reasons there are."""
        found = dict.fromkeys(reason for each in self.around for reason in each.unknown)
        count = self.steps.doubtful(self.mask).bit_count()
        for reasons in self.steps.why(self.mask):
            if len(found) >= most:
                break
            found |= dict.fromkeys(reasons)
            count -= 1
        return [*found][:most], max(0, len(found) - most) + count


def joined(several: Iterable[Sets]) -> Sets:
    """Join what several set."""
    names, looped, unknown = set[str](), set[str](), dict[str, None]()
    for each in several:
        names |= each.names
        looped |= each.looped
        unknown |= dict.fromkeys(each.unknown)
    return Sets(frozenset(names), frozenset(looped), tuple(unknown))


def texts(activity: Activity, folder: Folder) -> dict[str, str]:
    """Return what stands in the files that a task names, by property: of those alone that could stand in it."""
    found = {}
    for kind, name in files.named(activity):
        text = (folder.text(name) or "").strip()
        if text.startswith(("{", "[")):
            found[kind] = text
    return found


class Variables:
    """What the steps of all these files set. Files that are looked at together are taken for one deployment."""

    def __init__(self, models: Sequence[File]) -> None:
        self._files = {each: file for file in models for each in file.processes}
        self._flows: dict[Process, Flow] = {}
        self._sets: dict[Process, dict[str, Sets]] = {}
        self._indexed: dict[Process, Steps] = {}
        self._processes: defaultdict[str, list[Process]] = defaultdict(list)
        self._calls: defaultdict[str, list[tuple[Process, Element]]] = defaultdict(list)
        """The calls of each key, behind the process that each stands in."""
        for process in self._files:
            self._processes[process.key].append(process)
            for call in process.element.iter(f"{BPMN}callActivity"):
                self._calls[call.get("calledElement", "")].append((process, call))
        self._starts: dict[Process, Sets] = {}
        self._ever: dict[Process, Sets] = {}
        self._proposed: Counter[Process] = Counter()
        self._open: set[Process] = set()
        """Processes whose steps are being looked at: they may call each other in a circle."""

    def called(self, call: Element, caller: Process) -> Process | None:
        """Return the process that a call activity calls: of several of its key, the one that is deployed with it."""
        here = self._files[caller].folder
        found = self._processes.get(call.get("calledElement", ""), [])
        return next((each for each in found if self._files[each].folder is here), found[0] if found else None)

    def flow(self, process: Process) -> Flow:
        """Return the ways through a process."""
        if process not in self._flows:
            self._flows[process] = Flow(process.element)
        return self._flows[process]

    def before(self, process: Process, id_: str) -> Before:
        """Return what can be set when a step of a process begins, from outside of it."""
        flow, steps = self.flow(process), self._index(process)
        around = []
        scope = id_
        while scope in flow.nodes:
            around.append(_own(flow.nodes[scope]))
            scope = flow.scopes[scope]
        return Before((*around, self._start(process)), steps, flow.before(id_))

    def _index(self, process: Process) -> Steps:
        if process in self._indexed:
            return self._indexed[process]
        found = Steps(self._steps(process), self.flow(process))
        if process in self._sets:  # else it is being looked at
            self._indexed[process] = found
        return found

    def everything(self, process: Process) -> Sets:
        """Return all that a process ever has."""
        if process in self._ever:
            return self._ever[process]
        found = joined([self._start(process), *self._steps(process).values()])
        if not self._open:  # else it may know less than there is
            self._ever[process] = found
        return found

    def nearest(self, name: str, known: Sets | Before, process: Process, cutoff: float = 0.6) -> list[str]:
        """Return the variable that was probably meant, if there is one; of the first names that a process has wrong."""
        self._proposed[process] += 1
        # Each is held against all variables: so a model in which thousands are wrong has an end.
        return (
            difflib.get_close_matches(name, known.names, 1, cutoff) if self._proposed[process] <= MOST_PROPOSED else []
        )

    def _steps(self, process: Process) -> Mapping[str, Sets]:
        if process not in self._sets:
            if process in self._open:
                return {process.key: _CIRCLE}
            self._open.add(process)
            found = {id_: self._of(element, process) for id_, element in self.flow(process).nodes.items()}
            for flow in process.element.iter(f"{BPMN}sequenceFlow"):
                if _listeners(flow):
                    target = flow.get("targetRef", "")
                    found[target] = found.get(target, Sets()) | Sets(unknown=(_by("a listener before", flow, target),))
            self._open.remove(process)
            self._sets[process] = found
        return self._sets[process]

    def _of(self, element: Element, process: Process) -> Sets:
        outputs = {each.get("name", "") for each in extensions(element, "inputOutput", "outputParameter")}
        outputs |= {attribute(element, "resultVariable"), attribute(element, "initiator")} | {*_errors(element)}
        reasons = [_by("a listener of", element)] if _listeners(element) else []
        own = Sets(frozenset(filter(None, outputs)), unknown=tuple(reasons)) | _own(element)
        activity = process.definition.activities.get(element.get("id", ""))
        folder = self._files[process].folder
        if activity is not None and activity.is_ours:
            return own | results(activity, process, folder)
        if element.tag == f"{BPMN}callActivity":
            return own | self._back(element, process)
        if element.tag == f"{BPMN}userTask":
            return own | _form(element, folder)
        return own | Sets(unknown=tuple(_elsewhere(element)))

    def _back(self, call: Element, caller: Process) -> Sets:
        """Return what a call takes back."""
        found = Sets(frozenset(filter(None, (each.get("target", "") for each in mappings(call, "out")))))
        if any(each.get("variables") == "all" for each in mappings(call, "out")):
            called = self.called(call, caller)
            all_of_it = Sets(unknown=(_by("all that comes back from", call),))
            found |= self.everything(called) if called is not None else all_of_it
        if any(attribute(call, f"variableMapping{each}") for each in ("Class", "DelegateExpression")):
            found |= Sets(unknown=(_by("the mapping class of", call),))
        return found

    def _start(self, process: Process) -> Sets:
        """Return what is set when an instance begins: by a start form, or by those that call the process."""
        if process not in self._starts:
            self._starts[process] = _CIRCLE  # until it is known: callers may be called by it
            self._starts[process] = joined(self._starting(process))
        return self._starts[process]

    def _starting(self, process: Process) -> Iterator[Sets]:
        calls = self._calls.get(process.key, [])
        callers = [(caller, call) for caller, call in calls if self.called(call, caller) is process]
        whole: defaultdict[Process, list[Before]] = defaultdict(list)
        for caller, call in callers:
            given = mappings(call, "in")
            yield Sets(frozenset(filter(None, (each.get("target", "") for each in given))))
            if any(each.get("variables") == "all" for each in given):
                whole[caller].append(self.before(caller, call.get("id", "")))
        for several in whole.values():
            yield from dict.fromkeys(each for before in several for each in before.around)
            mask = 0
            for each in several:
                mask |= each.mask
            yield several[-1].steps.all(mask)
        if _listeners(process.element):
            yield Sets(unknown=(_by("a listener of the process", process.element),))
        for start in process.element.iterfind(f"{BPMN}startEvent"):
            if any(each.tag.endswith("EventDefinition") for each in start):
                continue  # what comes with a message is told of the event itself
            if _has_form(start):
                yield _form(start, self._files[process].folder)
            elif not callers:
                yield Sets(unknown=("whoever starts the process, which has no start form",))


def mappings(call: Element, way: str) -> list[Element]:
    """Return what a call hands over (`in`) or takes back (`out`)."""
    return [each for space in EXTENSIONS for each in call.iterfind(f"{BPMN}extensionElements/{space}{way}")]


def results(activity: Activity, process: Process, folder: Folder) -> Sets:
    """Return what a task of ours sets; nothing where its results are its own."""
    said = {name: value.strip() for name, value in activity.properties.items()}
    if said.get("data.output.scope") == "local":
        return Sets()
    result = properties.output_name(activity.id, said, process.definition)
    names = {result, result + META_SUFFIX}
    if activity.is_record:
        record, wrong = tasks.wishes(properties.read_record, activity)
        names |= {result + HASH_SUFFIX, result + ID_SUFFIX, *(record.fields if record else ())}
        names |= {result + TEXT_SUFFIX} if record and record.has_text else set()
    elif activity.is_approval:
        approval, wrong = tasks.wishes(properties.read_approval, activity)
        names = {result, *(approval.fields if approval else ())}
    else:
        in_files = texts(activity, folder)
        wanted, wrong = tasks.wishes(properties.read, _with(activity, in_files))
        names |= set(wanted.fields if wanted else ())
        asked = wanted.own_questions if wanted else ()
        names |= {name for each in asked for name in questions.names(each, "")}
        names |= {result + questions.UNSURE_SUFFIX} if said.get("data.questions") else set()
        if said.get("data.questions") and not asked:
            return _numbered(activity, names, (f"the questions of {activity.label}, which cannot be read",))
    return _numbered(activity, names, (f"{activity.label}, whose properties are wrong",) if wrong else ())


def _with(activity: Activity, more: Mapping[str, str]) -> Activity:
    return replace(activity, properties={**activity.properties, **more})


def _numbered(activity: Activity, names: set[str], unknown: tuple[str, ...]) -> Sets:
    found = frozenset(names)
    return Sets(looped=found, unknown=unknown) if activity.loops else Sets(found, unknown=unknown)


def _own(element: Element) -> Sets:
    """Return what only an element and what stands in it see: input parameters, and the element of a loop."""
    names = {each.get("name", "") for each in extensions(element, "inputOutput", "inputParameter")}
    loop = element.find(f"{BPMN}multiInstanceLoopCharacteristics")
    if loop is not None:
        names |= {attribute(loop, "elementVariable"), *ENGINES_OWN}
    return Sets(frozenset(filter(None, names)))


def _errors(event: Element) -> Iterator[str]:
    """Name the variables that an event which catches something writes."""
    for each in event:
        if each.tag in {f"{BPMN}errorEventDefinition", f"{BPMN}escalationEventDefinition"}:
            yield from (
                attribute(each, name)
                for name in ("errorMessageVariable", "errorCodeVariable", "escalationCodeVariable")
            )


def _listeners(element: Element) -> bool:
    inner = [*(element.find(f"{BPMN}extensionElements") or ())]
    return any(
        each.tag == f"{space}{kind}Listener" for each in inner for space in EXTENSIONS for kind in ("execution", "task")
    )


def _elsewhere(element: Element) -> Iterator[str]:
    """Say what of an element may set any variable."""
    if element.tag == f"{BPMN}scriptTask":
        yield _by("the script of", element)
    elif element.tag in _WORK and not attribute(element, "decisionRef"):
        yield _by("the code or worker behind", element)
    elif element.tag == f"{BPMN}receiveTask":
        yield _by("the message to", element)
    elif element.tag not in _QUIET and not element.tag.endswith(("ThrowEvent", "endEvent")):
        for each in element:
            if each.tag in {f"{BPMN}messageEventDefinition", f"{BPMN}signalEventDefinition"}:
                yield _by("the message or signal to", element)
    elif (there := carrier(element)) is not None and element.tag not in _WORK and _works(there):
        yield _by("the code or worker behind", element)


def _works(carrier_: Element) -> bool:
    return any(attribute(carrier_, each) for each in ("type", "class", "expression", "delegateExpression"))


def _has_form(element: Element) -> bool:
    data = f"{BPMN}extensionElements/*"
    has_data = any(each.tag.endswith("}formData") for each in element.iterfind(data))
    return has_data or bool(attribute(element, "formRef") or attribute(element, "formKey"))


def _form(element: Element, folder: Folder) -> Sets:
    """Return what the form of a person's task, or of a start, writes."""
    names = {each.get("id", "") for each in extensions(element, "formData", "formField")}
    ref, key = attribute(element, "formRef"), attribute(element, "formKey")
    if key.startswith(_FORMS):
        form = folder.form(key.removeprefix(_FORMS))
    elif ref and not has_expression(ref):
        form = folder.forms.get(ref)
    elif names and not key:
        return Sets(frozenset(filter(None, names)))
    else:
        return Sets(unknown=(_by("whoever completes", element),))
    if form is None:
        return Sets(unknown=(_by("the form of", element) + f", which is not {folder.place}",))
    return Sets(frozenset(_keys(form)))


def _keys(form: Any) -> Iterator[str]:
    """Name the variables of a form's fields, at whatever depth; of a path its beginning."""
    waiting = [form]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting.append(part.get("components"))
            yield from (
                re.split(r"[.\[]", name)[0]
                for name in (part.get("key"), part.get("path"))
                if isinstance(name, str) and name
            )


def _by(what: str, element: Element, id_: str = "") -> str:
    name = " ".join(element.get("name", "").split())
    id_ = id_ or element.get("id", "")
    return f'{what} "{name}" ({id_})' if name else f"{what} {id_}"
