"""What is wrong with models, all rules together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from worker.domain.tasks import Activity
from worker.engine.definitions import extensions
from worker.operate.lint import data, frame, rounds
from worker.operate.lint.reading import File, Process
from worker.operate.lint.variables import Variables, texts
from worker.operate.models import approvals, calls, records, tasks
from worker.operate.models.rules import Fault, Level, Rule
from worker.specs.assistants import Specs


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken, and where. `element` is empty where it is about the file."""

    rule: Rule
    file: str
    line: int
    element: str
    name: str
    said: str
    advice: str

    @property
    def level(self) -> Level:
        """How grave it is."""
        return self.rule.level


def check(models: Sequence[File], specs: Specs | None) -> list[Finding]:
    """Return all that is wrong, file by file in the order of the lines. Without specs, nothing is said of assistants.

    Files that are looked at together are taken for one deployment: what one calls is found in the others.
    """
    look = _Look(models, specs)
    found: list[Finding] = []
    for file in models:
        found += sorted(look.at(file), key=lambda each: (each.line, each.element, each.rule.id))
    return found


def worst(findings: Iterable[Finding]) -> Level | None:
    """Return how grave the gravest is; None where there is none."""
    return max((each.level for each in findings), key=lambda level: level.rank, default=None)


class _Look:
    """All files with what they are held against."""

    def __init__(self, models: Sequence[File], specs: Specs | None) -> None:
        self._specs = specs
        self._variables = Variables(models)
        known = [(each.key, each.definition) for file in models for each in file.processes]
        self._calls = calls.Calls(known)
        self._topics = frame.Topics(each for file in models for each in file.processes)
        self._definitions = [each for _, each in known]

    def at(self, file: File) -> Iterator[Finding]:
        """Look at one file."""
        if file.flaw:
            advice = "Save it as UTF-8, and let its first line say so."
            yield Finding(Rule.ENCODING, file.name, 1, "", "", file.flaw, advice)
        for process in file.processes:
            elements = {id_: each for each in process.element.iter() if (id_ := each.get("id"))}
            for id_, fault in self._of_process(file, process):
                yield _finding(file, elements.get(id_, process.element), fault)

    def _of_process(self, file: File, process: Process) -> Iterator[tuple[str, Fault]]:
        """Yield what is wrong, each with the id of the element."""
        yield from ((process.key, fault) for fault in frame.of_process(process))
        for element in process.element.iter():
            for fault in (
                *frame.strays(element, process),
                *frame.repeated(element, process),
                *data.of_call(element, process, self._variables),
            ):
                yield element.get("id", ""), fault
        outside = self._calls.caught_outside(process.key)
        timers = frame.timers(process)
        for activity in process.definition.activities.values():
            if activity.is_ours:
                look = self._of_ours(activity, file, process, outside)
                yield from (
                    (activity.id, fault)
                    for fault in frame.of_timers(activity, timers.get(activity.id, ()), self._specs)
                )
            else:
                look = tasks.strange(activity, self._specs)
            yield from ((activity.id, fault) for fault in (*look, *tasks.nameless(activity)))
        yield from data.of_results(process, file, self._variables)
        yield from rounds.of_loops(process, file, self._variables.flow(process))

    def _of_ours(self, activity: Activity, file: File, process: Process, outside: frozenset[str]) -> Iterator[Fault]:
        yield from self._topics.faults(activity, process)
        if activity.is_record:
            family = calls.family(activity, process.definition, self._definitions)
            yield from records.faults(activity, process.definition, family)
        elif activity.is_approval:
            yield from approvals.faults(activity, process.definition)
        else:
            wrong = [*frame.of_files(activity, file)]
            yield from wrong
            # What is wrong with a file is told of the file, and not again of the property.
            right = {} if wrong else texts(activity, file.folder)
            yield from tasks.faults(activity, self._specs, outside, None, right)
        yield from data.of_inputs(activity, process, self._variables)


def _finding(file: File, element: Element, fault: Fault) -> Finding:
    """Place a fault: at the property that it is about, else where its element starts."""
    line = file.line(element)
    for each in extensions(element, "properties", "property"):
        name = each.get("name", "")
        if (fault.rule is Rule.NAMELESS_PROPERTY and not name) or (fault.about and name == fault.about):
            line = file.line(each)
    name = " ".join(element.get("name", "").split())
    return Finding(fault.rule, file.name, line, element.get("id", ""), name, fault.said, fault.advice)
