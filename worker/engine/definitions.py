"""A definition's XML → its external tasks. Pure."""

from collections.abc import Iterator
from typing import TypeGuard
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.domain import Activity, Definition
from worker.errors import BadModel

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
EXTENSIONS = ("{http://camunda.org/schema/1.0/bpmn}", "{http://operaton.org/schema/1.0/bpmn}")
"""Operaton reads both, Camunda and CIB seven the first."""

_TASKS = frozenset(f"{BPMN}{name}" for name in ("serviceTask", "sendTask", "businessRuleTask"))
_SCOPES = frozenset(f"{BPMN}{name}" for name in ("subProcess", "transaction", "adHocSubProcess"))
_EVENTS = frozenset(f"{BPMN}{name}" for name in ("intermediateThrowEvent", "endEvent"))


def read(definition_id: str, xml: str) -> Definition:
    """Read every external task of the definition, at whatever depth. Raises BadModel for XML that is none."""
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError) as exc:
        raise BadModel(f"the XML of definition {definition_id} cannot be read: {type(exc).__name__}") from exc
    activities = (
        _activity(element, carrier, loops)
        for process in _processes(root, definition_id)
        for element, carrier, loops in _tasks(process)
    )
    return Definition(definition_id, {activity.id: activity for activity in activities})


def _processes(root: Element, definition_id: str) -> list[Element]:
    """Pick the definition's own process: a file with several pools is deployed as several definitions.

    Ids are `key:version:number`, and a mere number where that would be too long.
    """
    processes = root.findall(f"{BPMN}process")
    key = definition_id.partition(":")[0]
    return [process for process in processes if process.get("id") == key] or processes


def _tasks(scope: Element, loops: int = 0) -> Iterator[tuple[Element, Element, int]]:
    """Yield each external task, the element that carries its topic, and how many multi-instance activities it is in.

    Message events have the topic one level below.
    """
    for element in scope:
        if element.tag in _SCOPES:
            yield from _tasks(element, loops + _is_multi_instance(element))
            continue
        if element.tag in _TASKS:
            carrier: Element | None = element
        elif element.tag in _EVENTS:
            carrier = element.find(f"{BPMN}messageEventDefinition")
        else:
            continue
        if _is_external(carrier):
            yield element, carrier, loops + _is_multi_instance(element)


def _is_multi_instance(element: Element) -> bool:
    return element.find(f"{BPMN}multiInstanceLoopCharacteristics") is not None


def _is_external(carrier: Element | None) -> TypeGuard[Element]:
    return carrier is not None and _attribute(carrier, "type") == "external"


def _activity(element: Element, carrier: Element, loops: int) -> Activity:
    said = [(each.get("name", ""), each.get("value", "")) for each in _extensions(element, "properties", "property")]
    parameters = (each.get("name") for each in _extensions(element, "inputOutput", "inputParameter"))
    texts = (_text(each) for each in element.findall(f"{BPMN}documentation"))
    return Activity(
        id=element.get("id", ""),
        name=element.get("name", "").strip(),
        topic=_attribute(carrier, "topic").strip(),
        documentation="\n\n".join(text for text in texts if text),
        properties={name: value for name, value in said if name},
        nameless=sum(not name for name, _ in said),
        parameters=frozenset(name for name in parameters if name),
        async_after=_attribute(element, "asyncAfter").strip() == "true",
        loops=loops,
    )


def _extensions(element: Element, group: str, name: str) -> Iterator[Element]:
    """Yield extension elements such as `camunda:properties/camunda:property`; of an event, those of the event."""
    for space in EXTENSIONS:
        yield from element.iterfind(f"{BPMN}extensionElements/{space}{group}/{space}{name}")


def _attribute(element: Element, name: str) -> str:
    return next((element.attrib[space + name] for space in EXTENSIONS if space + name in element.attrib), "")


def _text(element: Element) -> str:
    return "".join(element.itertext()).strip()
