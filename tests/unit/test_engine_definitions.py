"""A definition's XML is read as its modeler meant it, and hostile XML does no harm."""

from typing import Any

import pytest

from tests.models import ServiceTask, bpmn
from worker.domain import Activity
from worker.engine.definitions import read
from worker.errors import BadModel


def only(step: ServiceTask) -> Activity:
    model = bpmn(step)
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
    )


def test_a_bare_task_has_nothing_but_its_topic() -> None:
    assert only(ServiceTask("step", "topic", name="step", async_after=False)) == Activity("step", "step", "topic")


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
    assert set(read("6f2e0f6e-uuid", xml).activities) == {"ours", "strange"}


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize("xml", ["", "no XML", "<open>", BOMB, FILE, "\ud800", "<a>\0</a>"])
def test_xml_that_is_none_or_hostile_is_a_bad_model(xml: Any) -> None:
    with pytest.raises(BadModel, match="key:1:1"):
        read("key:1:1", xml)


def test_deep_nesting_does_no_harm() -> None:
    depth = 20_000
    assert read("id", "<a>" * depth + "</a>" * depth).activities == {}
