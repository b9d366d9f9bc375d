"""What can have come before what in a process: by its sequence flows, scopes, events and links. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from xml.etree.ElementTree import Element

from worker.engine.order import BPMN, SCOPES
from worker.operate.lint.reach import reached

Place = tuple[str, str]
"""An element by its id, and whether this is its beginning or, of a scope, its end."""
_START, _END = "start", "end"


class Flow:
    """The elements of one process, and the ways between them.

    Where it cannot tell, something can have come before: so whoever asks what is missing is never told too much.
    Many elements together are a mask: an integer with a bit for each.
    """

    def __init__(self, process: Element) -> None:
        self._process = process.get("id", "")
        self.nodes: dict[str, Element] = {}
        self.scopes: dict[str, str] = {}
        """The scope around each element."""
        self.outgoing: defaultdict[str, list[str]] = defaultdict(list)
        """Where sequence flows lead from each element."""
        self._events: defaultdict[str, set[str]] = defaultdict(set)
        """Event sub-processes, by the scope that they stand in."""
        self._sources: defaultdict[Place, set[Place]] = defaultdict(set)
        waiting = [process]
        while waiting:  # no recursion: how deep a model goes is for its author to say
            scope = waiting.pop()
            waiting += self._add(scope, scope.get("id", ""))

    def _add(self, scope: Element, name: str) -> list[Element]:
        """Add what stands in a scope; return the scopes among it."""
        # What has an id that was there already counts for nothing: it could stand in itself. Engines refuse it.
        own = {
            id_: each
            for each in scope
            if (id_ := each.get("id")) and each.tag != f"{BPMN}sequenceFlow" and not self._has(id_)
        }
        flows = [
            (each.get("sourceRef", ""), each.get("targetRef", "")) for each in scope.iterfind(f"{BPMN}sequenceFlow")
        ]
        self.nodes |= own
        self.scopes |= dict.fromkeys(own, name)
        throws: defaultdict[str, list[str]] = defaultdict(list)
        for id_, each in own.items():
            throws[_link(each, "intermediateThrowEvent")].append(id_)
        entered = {target for _, target in flows}
        for source, target in flows:
            self.outgoing[source].append(target)
            self._sources[target, _START].add(self._end(source))
        for id_, each in own.items():
            if each.get("triggeredByEvent") == "true":
                self._events[name].add(id_)
            # What no flow enters begins with its scope, or whenever something happens: then all beside it may be done.
            loose = id_ not in entered and each.tag != f"{BPMN}startEvent"
            self._sources[id_, _START] |= {(name, _START)} | (
                {(name, _END)} if loose and not _is_first(each) else set()
            )
            self._sources[name, _END] |= {self._end(id_), (name, _START)}
            if attached := each.get("attachedToRef"):
                self._sources[id_, _START] = {self._end(attached), (attached, _START)}
            if link := _link(each, "intermediateCatchEvent"):
                self._sources[id_, _START] = {self._end(source) for source in throws[link]}
        return [each for each in own.values() if each.tag in SCOPES]

    def _has(self, id_: str) -> bool:
        return id_ in self.nodes or id_ == self._process

    def _end(self, id_: str) -> Place:
        element = self.nodes.get(id_)
        return id_, _END if element is not None and element.tag in SCOPES else _START

    @cached_property
    def _bits(self) -> Mapping[str, int]:
        """Give each element a bit, in the order of the document within each scope; the scopes and strangers last."""
        names = dict.fromkeys([*self.nodes, self._process, *(name for name, _ in self._sources)])
        names |= dict.fromkeys(name for several in self._sources.values() for name, _ in several)
        return {name: 1 << number for number, name in enumerate(names)}

    def mask(self, ids: Iterable[str]) -> int:
        """Join elements to a mask; those that there are not count for nothing."""
        found = 0
        for each in ids:
            found |= self._bits.get(each, 0)
        return found

    def listed(self, mask: int) -> Iterator[str]:
        """Yield the ids of the elements in a mask."""
        names = self._names
        while mask:
            lowest = mask & -mask
            yield names[lowest.bit_length() - 1]
            mask ^= lowest

    @cached_property
    def _names(self) -> list[str]:
        return [*self._bits]

    def before(self, id_: str) -> int:
        """Return the mask of all that can have happened before an element begins, at whatever distance."""
        found = self._followed.get((id_, _START), 0)
        if not self._contents:
            return found
        scope, more = self.scopes.get(id_, ""), set[str]()
        around = {scope}
        while scope in self.scopes:
            scope = self.scopes[scope]
            around.add(scope)
        for each in around:
            more |= self._events[each]
        events = 0
        for each in more - around:
            events |= self._contents[each]
        # An event may come at any time, and does not stop what runs.
        return found | events & ~self.mask(around)

    def is_before(self, one: str, other: str) -> bool:
        """Whether one element can have happened before another one begins."""
        return bool(self.before(other) & self._bits.get(one, 0))

    @cached_property
    def _followed(self) -> Mapping[Place, int]:
        places = dict.fromkeys(self._sources) | dict.fromkeys(
            each for several in self._sources.values() for each in several
        )
        return reached(self._sources, {each: self._bits[each[0]] for each in places})

    @cached_property
    def _contents(self) -> Mapping[str, int]:
        """The mask of each event sub-process and all that stands in it."""
        found = {event: 0 for several in self._events.values() for event in several}
        for id_ in self.nodes if found else ():
            scope = id_
            while scope:
                if scope in found:
                    found[scope] |= self._bits[id_]
                scope = self.scopes.get(scope, "")
        return found

    def together(self, one: str, other: str) -> bool:
        """Whether two elements can run in one instance on ways beside each other, where neither is before the other."""
        before_one, before_other = self.before(one), self.before(other)
        own_one, own_other = before_one | self.mask([one]), before_other | self.mask([other])
        for fork in self.listed(self._forking & before_one & before_other):
            first, second = self._forks[fork] & own_one, self._forks[fork] & own_other
            if first & ~second and second & ~first:
                return True
        return False

    @cached_property
    def _forking(self) -> int:
        return self.mask(self._forks)

    @cached_property
    def _forks(self) -> Mapping[str, int]:
        """The masks of where they lead, of what several sequence flows leave of which an instance may take several."""
        one_of = (f"{BPMN}exclusiveGateway", f"{BPMN}eventBasedGateway")
        return {
            id_: self.mask(self.outgoing[id_])
            for id_, each in self.nodes.items()
            if each.tag not in one_of and len(self.outgoing[id_]) > 1
        }


def _is_first(element: Element) -> bool:
    """Whether an activity without a flow to it runs when its scope begins, as engines take it."""
    return element.get("isForCompensation") != "true" and element.get("triggeredByEvent") != "true"


def _link(element: Element, kind: str) -> str:
    """Return the name of a link that an event of this kind throws or catches; empty where it is none."""
    link = element.find(f"{BPMN}linkEventDefinition") if element.tag == f"{BPMN}{kind}" else None
    return "" if link is None else link.get("name", "")
