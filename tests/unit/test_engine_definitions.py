"""A definition's XML is read as its modeler meant it, and hostile XML does no harm."""

import re
import tracemalloc
from typing import Any
from xml.etree.ElementTree import Element, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import ServiceTask, bpmn, call, catch, element, line, path, process, sub_process
from worker.domain.tasks import Activity
from worker.engine.definitions import DEEPEST, EXTENSIONS, LONGEST, MOST_ELEMENTS, decoded, is_readable, parsed, read
from worker.engine.order import BPMN
from worker.errors import BadDefinition


def only(step: ServiceTask) -> Activity:
    model = bpmn(step, key="offers")
    return read(f"{model.key}:1:1", model.xml).activities[step.id]


def test_an_external_task_is_read_whole() -> None:
    step = ServiceTask(
        "frame",
        "decisions",
        name=" Frame the decision ",
        documentation="\n  What is <really> & truly decided?\n\n  Say why.  ",
        properties={"service.type": "assistant", "data.input": "a,b"},
        inputs={"prompt": "${text}", "assistant": "analyst"},
        outputs={"x": "1"},
        instances=3,
    )
    assert only(step) == Activity(
        id="frame",
        name="Frame the decision",
        topic="decisions",
        documentation="What is <really> & truly decided?\n\n  Say why.",
        properties={"service.type": "assistant", "data.input": "a,b"},
        parameters=frozenset({"prompt", "assistant"}),
        async_after=True,
        loops=1,
        begins=True,
        process="offers",
    )


def test_a_bare_task_has_nothing_but_its_topic() -> None:
    assert only(ServiceTask("step", "topic", name="step", async_after=False)) == Activity(
        "step", "step", "topic", process="offers"
    )


@pytest.mark.parametrize("topic", [" topic", "topic ", "a  b"])
def test_a_blank_is_part_of_a_topic_as_it_is_for_engines(topic: str) -> None:
    assert only(ServiceTask("step", topic)).topic == topic


@pytest.mark.parametrize("kind", ["External", "EXTERNAL"])
def test_capitals_make_a_task_no_less_external(kind: str) -> None:
    model = bpmn(ServiceTask("step", "topic"))
    xml = model.xml.replace('camunda:type="external"', f'camunda:type="{kind}"')
    assert set(read("id", xml).activities) == {"step"}


@pytest.mark.parametrize(("value", "ours"), [("assistant", True), ("Assistant", False), ("mail", False)])
def test_the_service_type_says_whose_a_task_is(value: str, ours: bool) -> None:
    assert only(ServiceTask("step", "topic", properties={"service.type": value})).is_ours is ours


def test_a_property_without_a_value_is_empty_and_one_without_a_name_is_counted() -> None:
    model = bpmn(ServiceTask("step", "topic", properties={"service.type": "assistant"}))
    odd = '<camunda:property name="service.name"/><camunda:property/><camunda:property value="x"/>'
    activity = read("id", model.xml.replace("</camunda:properties>", f"{odd}</camunda:properties>")).activities["step"]
    assert activity.properties == {"service.type": "assistant", "service.name": ""}
    assert activity.nameless == 2


def test_several_documentations_are_joined_whatever_their_format() -> None:
    plain = "<bpmn:documentation>"
    model = bpmn(ServiceTask("step", "topic", documentation="First."))
    more = f'<bpmn:documentation textFormat="text/markdown"><![CDATA[# Second]]></bpmn:documentation>{plain}'
    xml = model.xml.replace(plain, f"{plain}  </bpmn:documentation>{more}")
    assert read("id", xml).activities["step"].documentation == "# Second\n\nFirst."


def test_tasks_that_no_worker_does_are_left_out() -> None:
    model = bpmn(ServiceTask("external", "topic"), ServiceTask("inside", "topic"))
    begin, end = model.xml.split('id="inside"', 1)
    inside = end.replace('camunda:type="external"', 'camunda:class="org.example.Delegate"', 1)
    assert set(read("id", f'{begin}id="inside"{inside}').activities) == {"external"}


def test_the_codes_of_errors_that_are_caught_around_a_task_are_known() -> None:
    step, other = (ServiceTask(name, "topic") for name in ("step", "other"))
    inside = line(element(step), start="in", end="out") + catch("at_step", "step", "A")
    handler = '<bpmn:startEvent id="any"><bpmn:errorEventDefinition/></bpmn:startEvent>'
    model = process(
        line(sub_process("sub", inside), element(other)),
        catch("at_sub", "sub", "B"),
        sub_process("handler", handler, attributes='triggeredByEvent="true"'),
        codes=["A", "B"],
    )
    activities = read("id", model.xml).activities
    assert activities["step"].caught == {"A", "B", ""}
    assert activities["other"].caught == {""}


def test_an_event_that_refers_to_no_error_of_the_file_catches_the_code_of_that_name() -> None:
    model = process(line(element(ServiceTask("step", "topic"))), catch("at_step", "step", "A"), codes=["A"])
    xml = re.sub(r"<bpmn:error [^>]*>", "", model.xml)
    [ref] = re.findall(r'errorRef="([^"]+)"', xml)
    assert read("id", xml).activities["step"].caught == {ref}


def test_calls_are_known_with_the_codes_that_are_caught_around_them() -> None:
    child = process("", key="child")
    model = process(line(call("first", child), call("second", child)), catch("at", "second", "A"), codes=["A"])
    assert read("id", model.xml).calls == {"child": {"A"}}


def test_a_foreign_namespace_says_nothing() -> None:
    model = bpmn(ServiceTask("step", "topic"))
    xml = model.xml.replace("http://camunda.org/schema/1.0/bpmn", "http://example.org/bpmn")
    assert read("id", xml).activities == {}
    xml = model.xml.replace("http://camunda.org/schema/1.0/bpmn", "http://operaton.org/schema/1.0/bpmn")
    assert set(read("id", xml).activities) == {"step"}


def test_of_several_pools_only_the_definitions_own_counts_where_its_id_tells() -> None:
    ours, strange = bpmn(ServiceTask("ours", "topic")), bpmn(ServiceTask("strange", "topic"))
    process = strange.xml[strange.xml.index("<bpmn:process") : strange.xml.index("</bpmn:definitions>")]
    xml = ours.xml.replace("</bpmn:definitions>", f"{process}</bpmn:definitions>")
    assert set(read(f"{ours.key}:3:17", xml).activities) == {"ours"}
    assert set(read(f"{strange.key}:1:uuid", xml).activities) == {"strange"}
    assert set(read("6f2e0f6e-uuid", xml, ours.key).activities) == {"ours"}
    assert set(read("6f2e0f6e-uuid", xml).activities) == {"ours", "strange"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "cp1252"])
def test_a_models_bytes_are_read_as_they_say_and_taken_for_utf_8_only_if_they_are(encoding: str) -> None:
    xml = f"<?xml version='1.0' encoding='{encoding.removesuffix('-sig')}'?><a>Größe</a>"
    content = xml.encode(encoding)

    assert decoded(content) == xml
    assert is_readable(content.decode("utf-8", errors="replace")) == encoding.startswith("utf-8")


def test_a_model_that_says_no_encoding_or_an_odd_one_is_taken_for_utf_8() -> None:
    assert is_readable("<a/>")
    assert decoded("<a>Größe</a>".encode()) == "<a>Größe</a>"
    odd = '<?xml version="1.0" encoding="punycode"?><a/>'
    assert decoded(odd.encode()) == odd


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize("xml", ["", "no XML", "<open>", BOMB, FILE, "\ud800", "<a>\0</a>"])
def test_xml_that_is_none_or_hostile_is_a_bad_model(xml: Any) -> None:
    with pytest.raises(BadDefinition, match="key:1:1"):
        read("key:1:1", xml)


def nested(depth: int) -> str:
    """A definition with a task inside of so many sub-processes, each in a loop."""
    model = bpmn(ServiceTask("inside", "topic", properties={"service.type": "assistant"}))
    loop = "<bpmn:multiInstanceLoopCharacteristics/>"
    begin, task, end = re.split("(<bpmn:serviceTask.*</bpmn:serviceTask>)", model.xml, flags=re.DOTALL)
    inside = f"<bpmn:subProcess>{loop}" * depth + task + "</bpmn:subProcess>" * depth
    return f"{begin}{inside}{end}"


def test_a_task_is_read_at_any_depth_that_people_draw() -> None:
    assert read("id", nested(100)).activities["inside"].loops == 100


@pytest.mark.parametrize("depth", [DEEPEST, 1000, 20_000])
def test_what_is_nested_deeper_than_anybody_draws_is_a_bad_model_that_says_so(depth: int) -> None:
    with pytest.raises(BadDefinition, match=f"key:1:1 is too large to be served: it is nested deeper than {DEEPEST}"):
        read("key:1:1", nested(depth))
    with pytest.raises(BadDefinition, match="nested deeper"):
        read("key:1:1", "<a>" * depth + "<b/>" + "</a>" * depth)


def test_what_is_larger_than_anybody_draws_is_a_bad_model_that_says_so() -> None:
    with pytest.raises(BadDefinition, match=f"too large to be served: it has more than {LONGEST} characters"):
        read("key:1:1", f"<a>{'x' * LONGEST}</a>")
    with pytest.raises(BadDefinition, match=f"too large to be served: it has more than {MOST_ELEMENTS} elements"):
        read("key:1:1", f"<a>{'<b/>' * MOST_ELEMENTS}</a>")


ASSISTANT = {"service.type": "assistant"}


def ask(name: str) -> str:
    return element(ServiceTask(name, "topic", properties=ASSISTANT))


def beginning(*parts: str) -> list[str]:
    model = process(*parts)
    return [each.id for each in read(f"{model.key}:1:1", model.xml).activities.values() if each.begins]


MAIL = element(ServiceTask("mail", "topic", properties={"service.type": "mail"}))
LINKS = (
    '<bpmn:intermediateCatchEvent id="from"><bpmn:linkEventDefinition id="link" name="x"/>'
    "</bpmn:intermediateCatchEvent>"
)
AT_ANY_TIME = sub_process("late", line('<bpmn:task id="b"/>', start="s", end="e"), attributes='triggeredByEvent="true"')


def handlers(count: int) -> str:
    start = '<bpmn:startEvent id="on{0}"><bpmn:errorEventDefinition errorRef="E{0}"/></bpmn:startEvent>'
    handled = (sub_process(f"h{n}", start.format(n), attributes='triggeredByEvent="true"') for n in range(count))
    return "".join(handled)


def test_many_errors_that_are_caught_around_many_tasks_take_no_memory() -> None:
    tasks = "".join(element(ServiceTask(f"t{number}", "topic")) for number in range(2000))
    xml = process(tasks, handlers(2000)).xml
    tracemalloc.start()
    try:
        activities = read("id", xml).activities
        assert len(activities["t7"].caught) == 2000
        assert tracemalloc.get_traced_memory()[1] < 150_000_000, "a set for each task would take ten times as much"
    finally:
        tracemalloc.stop()


def test_errors_that_are_caught_in_more_ways_than_anybody_draws_make_a_bad_model_that_says_so() -> None:
    tasks = "".join(element(ServiceTask(f"t{number}", "topic")) for number in range(1500))
    at = "".join(catch(f"at{number}", f"t{number}", "A") for number in range(1500))
    with pytest.raises(BadDefinition, match="catch errors in more than"):
        read("id", process(tasks, at, handlers(1000), codes=["A"]).xml)


@pytest.mark.parametrize(
    ("parts", "first"),
    [
        ([line(ask("one"), ask("two"))], ["one"]),
        ([line(MAIL, ask("one"), ask("two"))], ["one"]),  # what is no assistant's says nothing
        ([line(ask("one"), MAIL), path("mail", "one")], []),  # it may come again
        ([line('<bpmn:task id="a"/>', ask("one")), path("a", "a")], ["one"]),
        ([line(ask("one")), line(ask("two"), start="s", end="e")], []),  # which of them comes first, nobody knows
        ([line(sub_process("inner", line(ask("one"), start="s", end="e")), ask("two"))], []),
        ([line(call("other", bpmn(ServiceTask("x", "topic"))), ask("two"))], []),
        ([line(ask("one"), call("other", bpmn(ServiceTask("x", "topic"))))], ["one"]),
        ([line(ask("one")), LINKS, path("from", "one")], []),
        ([line(ask("one")), AT_ANY_TIME], []),
        ([line(ask("one")), catch("late", "one", "X"), ask("two"), path("late", "two")], ["one"]),
        ([line(ask("one")), '<bpmn:sequenceFlow id="x"/>'], ["one"]),
        ([line(MAIL)], []),
    ],
)
def test_the_task_that_comes_before_all_other_assistants_is_known_where_that_is_certain(
    parts: list[str], first: list[str]
) -> None:
    assert beginning(*parts) == first


TAGS = st.sampled_from(
    [f"{BPMN}{name}" for name in ("process", "subProcess", "serviceTask", "endEvent", "messageEventDefinition")]
    + [f"{BPMN}{name}" for name in ("extensionElements", "documentation", "multiInstanceLoopCharacteristics")]
    + [f"{EXTENSIONS[0]}{name}" for name in ("properties", "property", "inputOutput", "inputParameter")]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["id", "name", "value", f"{EXTENSIONS[0]}type", f"{EXTENSIONS[1]}topic"]),
    st.sampled_from(["external", "assistant", "service.type", "", "${x}", "\u2028"]),
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 4) -> Element:
    element = Element(draw(TAGS), draw(ATTRIBUTES))
    element.text = draw(st.sampled_from([None, "", " text "]))
    if depth:
        element.extend(draw(st.lists(elements(depth - 1), max_size=3)))
    return element


@given(elements())
def test_elements_in_any_place_and_with_any_attributes_are_read_or_said_to_be_wrong(root: Element) -> None:
    try:
        found = read("key:1:1", tostring(root, "unicode"))
    except BadDefinition:
        return
    assert all(activity.id == id_ for id_, activity in found.activities.items())


def test_what_an_instance_reaches_behind_its_start_is_known_at_whatever_depth() -> None:
    inside = sub_process("sub", line(element(ServiceTask("deep", "topic")), start="within", end="out"))
    model = process(line(element(ServiceTask("step", "topic")), inside, '<bpmn:task id="plain"/>'))
    found = read(f"{model.key}:1:1", model.xml).inner
    assert found == {"step", "sub", "within", "deep", "out", "plain", "end"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_element_s_line_is_known_where_it_is_asked_for(line_end: str) -> None:
    xml = line_end.join(["<?xml version='1.0'?>", "<!--", "-->", "<a", "  x='1'>text", "<b><c/>", "</b>", "<c/></a>"])
    model = parsed(xml, "the file", with_lines=True)

    assert [(each.tag, model.lines[each]) for each in model.root.iter()] == [("a", 4), ("b", 6), ("c", 6), ("c", 8)]
    assert parsed(xml, "the file").lines == {}


def test_lines_take_no_bound_away() -> None:
    with pytest.raises(BadDefinition, match="the XML of the file is too large to be served"):
        parsed("<a>" * (DEEPEST + 1), "the file", with_lines=True)
