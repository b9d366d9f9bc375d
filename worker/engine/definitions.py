"""A definition's XML → its external tasks, whoever wrote it. Pure; to be called beside the loop."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard
from xml.etree.ElementTree import Element, TreeBuilder

from defusedxml.ElementTree import XMLParser

from worker.domain import foreign
from worker.domain.tasks import Activity, Definition
from worker.engine.order import BPMN, SCOPES, beginning
from worker.errors import BadDefinition

EXTENSIONS = ("{http://camunda.org/schema/1.0/bpmn}", "{http://operaton.org/schema/1.0/bpmn}")
"""Operaton reads both, Camunda and CIB seven the first."""

LONGEST = 10_000_000
"""Characters. The largest models that people draw have a tenth of it, most of it the diagram."""
MOST_ELEMENTS = 250_000
MOST_CAUGHT = 1_000_000
"""Codes of errors, each counted for every element around which other ones are caught than around its neighbours."""
DEEPEST = 200
"""Elements within each other. A sub-process costs one, a task's extension property five."""

_DECLARATION = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?\bencoding\s*=\s*["']([\w.:-]{1,40})["']""")
_AS_UTF_8 = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})

_TASKS = frozenset(f"{BPMN}{name}" for name in ("serviceTask", "sendTask", "businessRuleTask"))
_NODES = ("Task", "}task", "Event", "Gateway", "ubProcess", "callActivity", "transaction")
"""Ends the names of the elements that an instance can be started at."""
_EVENTS = frozenset(f"{BPMN}{name}" for name in ("intermediateThrowEvent", "endEvent"))


class _TooLarge(Exception):
    """There is more of it than anybody draws; the text says of what."""


class _Bounded(TreeBuilder):
    """Builds the tree of a document, and raises _TooLarge as soon as there is too much of it."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._count = 0
        self.line: Callable[[], int] | None = None
        """Tells the line that the parser is at, where lines are wanted."""
        self.lines: list[int] = []
        """Where each element starts, in the order of the document."""

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self._depth += 1
        self._count += 1
        if self._depth > DEEPEST:
            raise _TooLarge(f"it is nested deeper than {DEEPEST} elements")
        if self._count > MOST_ELEMENTS:
            raise _TooLarge(f"it has more than {MOST_ELEMENTS} elements")
        if self.line is not None:
            self.lines.append(self.line())
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Any:
        self._depth -= 1
        return super().end(tag)


def decoded(content: bytes) -> str:
    """Read a model's bytes as its XML declaration or its byte order mark says, in UTF-8 where neither does."""
    # UTF-16 without a byte order mark. Its declaration says so, too, but stands there in two bytes a letter.
    if content.startswith((b"<\0", b"\0<")):
        return foreign.text(content, "utf-16-le" if content[0] else "utf-16-be")
    declared = _DECLARATION.match(content)
    return foreign.text(content, declared[1].decode() if declared else None)


def is_readable(xml: str) -> bool:
    """Whether this text is the model's, though engines take the bytes for UTF-8 whatever they are."""
    declared = _DECLARATION.match(xml[:200].encode(errors="replace"))
    return "\0" not in xml[:200] and (declared is None or declared[1].lower() in _AS_UTF_8)


@dataclass(frozen=True, slots=True)
class Model:
    """A file that was parsed. `lines` says where each of its elements starts, where that was asked for."""

    root: Element
    lines: Mapping[Element, int] = field(default_factory=dict)

    def processes(self) -> list[Element]:
        """Return the processes, each of which is deployed as a definition of its own."""
        return self.root.findall(f"{BPMN}process")


def read(definition_id: str, xml: str, key: str = "") -> Definition:
    """Read every external task of the definition, at whatever depth. Raises BadDefinition, whatever is wrong with it.

    `key` tells whose process of a file with several it is, where the id does not: it is `key:version:number`, and a
    mere number where that would be too long.
    """
    return definition(parsed(xml, f"definition {definition_id}"), definition_id, key or key_in(definition_id))


def parsed(xml: str, of: str, *, with_lines: bool = False) -> Model:
    """Parse a model, within bounds. `of` says whose XML it is. Raises BadDefinition, whatever is wrong with it."""
    with _refusing(of):
        if len(xml) > LONGEST:
            raise _TooLarge(f"it has more than {LONGEST} characters")
        builder = _Bounded()
        parser = XMLParser(target=builder)
        if with_lines:
            # The one below it, which tells a place only while it is at it.
            expat: Any = parser.parser
            builder.line = lambda: int(expat.CurrentLineNumber)
        parser.feed(xml)
        root: Element = parser.close()
        return Model(root, dict(zip(root.iter(), builder.lines, strict=with_lines)))


def definition(model: Model, definition_id: str, key: str) -> Definition:
    """Read the external tasks of one process of a file, by its key. Raises BadDefinition as `read` does."""
    with _refusing(f"definition {definition_id}"):
        codes = {each.get("id"): each.get("errorCode", "") for each in model.root.iterfind(f"{BPMN}error")}
        activities: dict[str, Activity] = {}
        inner = set[str]()
        calls = defaultdict[str, set[str]](set)
        for process in _processes(model, key):
            own: dict[str, Activity] = {}
            for element, loops, caught in _elements(process, codes):
                if _is_external(there := carrier(element)):
                    activity = _activity(element, there, loops, caught, process.get("id", ""))
                    own[activity.id] = activity
                elif called := element.get("calledElement"):
                    calls[called] |= caught
            if name := beginning(process, {each.id for each in own.values() if each.is_for_assistant}):
                own[name] = replace(own[name], begins=True)
            activities |= own
            inner.update(_inner(process))
        caught_around = {called: frozenset(caught) for called, caught in calls.items()}
        return Definition(definition_id, activities, caught_around, frozenset(inner))


@contextmanager
def _refusing(of: str) -> Iterator[None]:
    """Say of whatever goes wrong that it is this model's.

    A definition is somebody's file: whatever nobody foresaw about it must be its own trouble, and nobody else's.
    """
    try:
        yield
    except _TooLarge as exc:
        raise BadDefinition(f"the XML of {of} is too large to be served: {exc}") from exc
    except Exception as exc:
        raise BadDefinition(f"the XML of {of} cannot be read: {type(exc).__name__}") from exc


def key_in(definition_id: str) -> str:
    """Read the key in a definition's id; empty where it has none."""
    key, colon, _ = definition_id.partition(":")
    return key if colon else ""


def _processes(model: Model, key: str) -> list[Element]:
    """Pick the definition's own process: a file with several pools is deployed as several definitions."""
    processes = model.processes()
    # Without a key nobody can say which it is: then tasks of a neighbour, which never come here, are better than none.
    return [process for process in processes if process.get("id") == key] or processes


def _elements(process: Element, codes: Mapping[str | None, str]) -> Iterator[tuple[Element, int, frozenset[str]]]:
    """Yield what is no scope of others, in how many multi-instance activities it is, and which error codes are caught.

    `codes` are those of the file's errors by id.
    """
    # No recursion: how deep a model goes is for its author to say, and one that is too deep must end no worker.
    waiting: list[tuple[Element, int, frozenset[str]]] = [(process, 0, frozenset())]
    count = 0

    def joined(around: frozenset[str], more: frozenset[str]) -> frozenset[str]:
        nonlocal count
        if not more:
            return around  # the same one: a copy for each element of a large model takes all memory there is
        count += len(around) + len(more)
        if count > MOST_CAUGHT:
            raise _TooLarge(f"its events catch errors in more than {MOST_CAUGHT} ways")
        return around | more

    while waiting:
        scope, loops, around = waiting.pop()
        starts = scope.iterfind(f"{BPMN}subProcess[@triggeredByEvent='true']/{BPMN}startEvent")
        around = joined(around, _codes(starts, codes))
        boundaries: defaultdict[str | None, list[Element]] = defaultdict(list)
        for event in scope.iterfind(f"{BPMN}boundaryEvent"):
            boundaries[event.get("attachedToRef")].append(event)
        for element in scope:
            caught = joined(around, _codes(boundaries.get(element.get("id"), ()), codes))
            within = loops + _is_multi_instance(element)
            if element.tag in SCOPES:
                waiting.append((element, within, caught))
            else:
                yield element, within, caught


def _inner(process: Element) -> Iterator[str]:
    """Yield the ids of what instances reach behind their start, at whatever depth."""
    starts = {each.get("id") for each in process.iterfind(f"{BPMN}startEvent")}
    for element in process.iter():
        name = element.get("id")
        if name and name not in starts and element.tag.endswith(_NODES):
            yield name


def _codes(events: Iterable[Element], codes: Mapping[str | None, str]) -> frozenset[str]:
    """Return the error codes that these events catch; an empty one for every code.

    What refers to no error of the file is taken by engines for a code itself.
    """
    caught = (each for event in events for each in event.iterfind(f"{BPMN}errorEventDefinition"))
    return frozenset(codes.get(ref, ref or "") for ref in (each.get("errorRef") for each in caught))


def carrier(element: Element) -> Element | None:
    """Return what has the topic if this is a task or an event that can have one: of events one level below."""
    if element.tag in _TASKS:
        return element
    return element.find(f"{BPMN}messageEventDefinition") if element.tag in _EVENTS else None


def _is_multi_instance(element: Element) -> bool:
    return element.find(f"{BPMN}multiInstanceLoopCharacteristics") is not None


def _is_external(carrier: Element | None) -> TypeGuard[Element]:
    # Engines compare without regard to case: a task of the type External is one, too.
    return carrier is not None and attribute(carrier, "type").lower() == "external"


def _activity(element: Element, carrier: Element, loops: int, caught: frozenset[str], process: str) -> Activity:
    said = [(each.get("name", ""), each.get("value", "")) for each in extensions(element, "properties", "property")]
    parameters = (each.get("name") for each in extensions(element, "inputOutput", "inputParameter"))
    texts = (_text(each) for each in element.findall(f"{BPMN}documentation"))
    return Activity(
        id=element.get("id", ""),
        name=element.get("name", "").strip(),
        topic=attribute(carrier, "topic"),  # blanks and all, as engines take it
        documentation="\n\n".join(text for text in texts if text),
        properties={name: value for name, value in said if name},
        nameless=sum(not name for name, _ in said),
        parameters=frozenset(name for name in parameters if name),
        async_after=attribute(element, "asyncAfter").strip() == "true",
        loops=loops,
        caught=caught,
        process=process,
    )


def extensions(element: Element, group: str, name: str) -> Iterator[Element]:
    """Yield extension elements such as `camunda:properties/camunda:property`; of an event, those of the event."""
    for space in EXTENSIONS:
        yield from element.iterfind(f"{BPMN}extensionElements/{space}{group}/{space}{name}")


def attribute(element: Element, name: str) -> str:
    """Return an attribute of the engines' own, such as `topic`; empty where there is none."""
    return next((element.attrib[space + name] for space in EXTENSIONS if space + name in element.attrib), "")


def _text(element: Element) -> str:
    return "".join(element.itertext()).strip()
