"""What is wrong with what stands around a task's question: its process, its topic, its files, its timers. Pure."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from worker.domain.tasks import Activity, has_expression
from worker.engine.definitions import attribute, extensions
from worker.engine.order import BPMN
from worker.engine.topics import Usage, hindrance
from worker.errors import BadDefinition, UnknownAssistant
from worker.modelling.forms import duration
from worker.operate.lint.reading import File, Process
from worker.operate.models import files, tasks
from worker.operate.models.rules import Fault, Rule
from worker.specs import deployed
from worker.specs.assistants import Specs


def of_process(process: Process) -> Iterator[Fault]:
    """Look at the process itself."""
    ours = any(each.is_ours for each in process.definition.activities.values())
    is_executable = process.element.get("isExecutable") == "true"
    if ours and not is_executable:
        said = "the process has tasks for assistants, and is not executable: engines deploy the file without it"
        yield Fault(Rule.NOT_EXECUTABLE, said, 'Tick "Executable" in Camunda Modeler (isExecutable="true").')
    if is_executable and not attribute(process.element, "historyTimeToLive").strip():
        said = "the process has no history time to live: engines refuse it, unless they are set up otherwise"
        advice = 'Set "History cleanup: Time to live" in Camunda Modeler, such as P400D (camunda:historyTimeToLive).'
        yield Fault(Rule.NO_TIME_TO_LIVE, said, advice)


def strays(element: Element, process: Process) -> Iterator[Fault]:
    """Name what has the properties of a task of ours, and is no external task."""
    if element.get("id") in process.definition.activities:
        return
    for each in extensions(element, "properties", "property"):
        if each.get("name") == "service.type" and each.get("value") in {"assistant", "decision-record"}:
            kind = element.tag.rpartition("}")[2]
            said = f"it has service.type={each.get('value')}, and is no external task but a {kind}: nobody hands it out"
            advice = (
                'Make it a service task, and set "Implementation: Type" to External in Camunda Modeler (camunda:type).'
            )
            yield Fault(Rule.NOT_EXTERNAL, said, advice, "service.type")


def repeated(element: Element, process: Process) -> Iterator[Fault]:
    """Name properties of which a task has several."""
    activity = process.definition.activities.get(element.get("id", ""))
    if activity is None or not activity.is_ours:
        return
    times = Counter(each.get("name", "") for each in extensions(element, "properties", "property"))
    for name in (name for name, count in times.items() if name and count > 1):
        said = f"property {name} stands there {times[name]} times: the last one counts"
        yield Fault(Rule.REPEATED_PROPERTY, said, "Take out all but one.", name)


class Topics:
    """Who uses which topics in the processes that are looked at."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._usages = {each: Usage.of(each.definition) for each in processes}
        self._others = defaultdict[str, set[str]](set)
        for process, usage in self._usages.items():
            for topic in usage.others:
                self._others[topic].add(process.key)

    def faults(self, activity: Activity, process: Process) -> Iterator[Fault]:
        """Name what keeps the topic of a task of ours from being served, and who else uses it."""
        topic, usage = activity.topic, self._usages[process]
        elsewhere = sorted(self._others[topic] - {process.key}) if topic in self._others else []
        if not topic.strip():
            said = "it has no topic: engines refuse the model"
            yield Fault(Rule.NO_TOPIC, said, "Give it a topic, a name of your own that no other workers serve.")
        elif reason := hindrance(topic, usage):
            rule = Rule.TOPIC_EXPRESSION if has_expression(topic) else Rule.TOPIC_OF_OTHERS
            advice = "Correct the model and deploy it. The worker leaves these tasks alone."
            yield Fault(rule, f"topic {topic} is not served: {reason}", advice)
        elif elsewhere:
            said = (
                f"its topic {topic} is that of tasks of others in {', '.join(elsewhere)}, too: the worker polls it for "
                "the processes that are its own, and the other workers have to do so as well"
            )
            yield Fault(Rule.TOPIC_ELSEWHERE, said, "Give it a topic of its own, unless this is meant.")


def of_files(activity: Activity, file: File) -> Iterator[Fault]:
    """Name files that a task needs and that are not there, or are not what they have to be."""
    yield from _of_spec(activity, file)
    for kind, name in files.named(activity):
        text = file.folder.text(name)
        if text is None:
            yield _missing(f"property {kind}", name, kind, file)
            continue
        try:
            files.check(kind, text, f"the file {name!r} in property {kind}")
        except BadDefinition as exc:
            yield tasks.of_file(str(exc), kind, Rule.BAD_FILE)


def _of_spec(activity: Activity, file: File) -> Iterator[Fault]:
    name = files.spec(activity)
    if name is None:
        return
    place = f"the file {name!r} in property {files.SPEC}"
    text = file.folder.text(name)
    if text is None:
        yield _missing(f"property {files.SPEC}", name, files.SPEC, file)
        return
    try:
        further = deployed.wanted(text, place)
        inner = None if further is None else file.folder.text(further)
        if further is not None and inner is None:
            yield _missing(f"output_schema in the spec {name!r}", further, files.SPEC, file)
        else:
            deployed.read(text, name, place, None, {further: inner or ""})
    except BadDefinition as exc:
        yield tasks.of_file(str(exc), files.SPEC, Rule.BAD_FILE)


def _missing(what: str, name: str, kind: str, file: File) -> Fault:
    near = difflib.get_close_matches(name, file.folder.names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    said = f"{what} names the file {name!r}, which is not {file.folder.place}{hint}"
    return tasks.of_file(said, kind, Rule.MISSING_FILE)


def timers(process: Process) -> Mapping[str, Sequence[Element]]:
    """Return the events that end an activity, by its id."""
    found = defaultdict[str, list[Element]](list)
    for event in process.element.iter(f"{BPMN}boundaryEvent"):
        if event.get("cancelActivity") != "false":
            found[event.get("attachedToRef", "")].append(event)
    return found


def of_timers(activity: Activity, events: Iterable[Element], specs: Specs | None) -> Iterator[Fault]:
    """Name a timer among the events that end a task which does so before its answer has to be there."""
    timeout = duration(activity.said("service.timeout"))
    source = "its service.timeout"
    if timeout is None and specs is not None and "assistant" not in activity.parameters:
        try:
            timeout = specs.find(activity.said("service.name"), activity.said("service.version") or None).timeout
        except UnknownAssistant:
            return
        source = "its assistant's timeout_seconds"
    for event in events:
        limit = duration((event.findtext(f"{BPMN}timerEventDefinition/{BPMN}timeDuration") or "").strip())
        if timeout is not None and limit is not None and limit < timeout:
            said = (
                f"the timer {event.get('id')} takes it away after {limit.total_seconds():g} s, while {source} allows "
                f"an answer {timeout.total_seconds():g} s: it may be paid for and not be delivered"
            )
            yield Fault(Rule.SHORT_TIMER, said, "Make the timer longer, or service.timeout shorter.", "service.timeout")
