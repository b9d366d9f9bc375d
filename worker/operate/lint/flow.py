"""What can have come before what in a process: by its sequence flows, scopes, events and links. Pure."""

from collections import defaultdict
from functools import cached_property, lru_cache
from xml.etree.ElementTree import Element

from worker.engine.order import BPMN, SCOPES

Place = tuple[str, str]
"""An element by its id, and whether this is its beginning or, of a scope, its end."""
_START, _END = "start", "end"


class Flow:
    """The elements of one process, and the ways between them.

    Where it cannot tell, something can have come before: so whoever asks what is missing is never told too much.
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
        self._followed = lru_cache(maxsize=None)(self._follow)
        waiting = [process]
        while waiting:  # no recursion: how deep a model goes is for its author to say
            scope = waiting.pop()
            waiting += self._add(scope, scope.get("id", ""))

    def _add(self, scope: Element, name: str) -> list[Element]:
        """Add what stands in a scope; return the scopes among it."""
        own = {id_: each for each in scope if (id_ := each.get("id")) and each.tag != f"{BPMN}sequenceFlow"}
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

    def _end(self, id_: str) -> Place:
        element = self.nodes.get(id_)
        return id_, _END if element is not None and element.tag in SCOPES else _START

    def before(self, id_: str) -> frozenset[str]:
        """Return the ids of all that can have happened before an element begins, at whatever distance."""
        found = self._followed(id_)
        scope, more = self.scopes.get(id_, ""), set[str]()
        around = {scope}
        while scope in self.scopes:
            scope = self.scopes[scope]
            around.add(scope)
        for each in around:
            more |= self._events[each]
        more -= around
        # An event may come at any time, and does not stop what runs.
        return found | {each for each in self.nodes if more and self._stands_in(each, more)} - around if more else found

    def _stands_in(self, id_: str, scopes: set[str]) -> bool:
        while id_:
            if id_ in scopes:
                return True
            id_ = self.scopes.get(id_, "")
        return False

    def _follow(self, id_: str) -> frozenset[str]:
        seen: set[Place] = set()
        waiting = list(self._sources.get((id_, _START), ()))
        while waiting:
            place = waiting.pop()
            if place not in seen:
                seen.add(place)
                waiting += self._sources.get(place, ())
        return frozenset(name for name, _ in seen)

    def together(self, one: str, other: str) -> bool:
        """Whether two elements can run in one instance on ways beside each other, where neither is before the other."""
        before_one, before_other = self.before(one), self.before(other)
        for fork in self._forks & before_one & before_other:
            ways = frozenset(self.outgoing[fork])
            first, second = ways & before_one | ways & {one}, ways & before_other | ways & {other}
            if first - second and second - first:
                return True
        return False

    @cached_property
    def _forks(self) -> frozenset[str]:
        """What more than one sequence flow leaves, of which an instance may take several."""
        one_of = (f"{BPMN}exclusiveGateway", f"{BPMN}eventBasedGateway")
        return frozenset(
            id_ for id_, each in self.nodes.items() if each.tag not in one_of and len(self.outgoing[id_]) > 1
        )


def _is_first(element: Element) -> bool:
    """Whether an activity without a flow to it runs when its scope begins, as engines take it."""
    return element.get("isForCompensation") != "true" and element.get("triggeredByEvent") != "true"


def _link(element: Element, kind: str) -> str:
    """Return the name of a link that an event of this kind throws or catches; empty where it is none."""
    link = element.find(f"{BPMN}linkEventDefinition") if element.tag == f"{BPMN}{kind}" else None
    return "" if link is None else link.get("name", "")
