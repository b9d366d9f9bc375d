"""That lint's work grows as its models do: the lines of code that it runs are counted, not the time that it takes."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from tests.unit.lint.sound import ANALYST, flow, task
from worker.operate.lint.checks import check
from worker.operate.lint.reach import reached
from worker.operate.lint.reading import read
from worker.specs import assistants
from worker.specs.assistants import Specs

FEW: Final = 60
HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="test"
                  xmlns:camunda="http://camunda.org/schema/1.0/bpmn">"""
FORM: Final = """<bpmn:startEvent id="start"><bpmn:extensionElements><camunda:formData>
  <camunda:formField id="given" type="string" /></camunda:formData></bpmn:extensionElements></bpmn:startEvent>"""
LATE: Final = """<bpmn:boundaryEvent id="late_{0}" attachedToRef="{0}"><bpmn:timerEventDefinition>
  <bpmn:timeDuration>PT1H</bpmn:timeDuration></bpmn:timerEventDefinition></bpmn:boundaryEvent>"""

AROUND: Final = '<bpmn:sequenceFlow id="around" sourceRef="task_{0}" targetRef="task_0" />'
AGAIN: Final = '<bpmn:sequenceFlow id="again_{0}" sourceRef="{0}" targetRef="{0}" />'


def process(inside: str, id_: str = "large") -> str:
    return f'<bpmn:process id="{id_}" isExecutable="true" camunda:historyTimeToLive="P1D">{inside}</bpmn:process>'


def chain(start: str, *said: str, more: str = "") -> Callable[[int], str]:
    """Tasks in a row; in what they say and have with them, {0} is a task and {1} the one before it."""

    def made(count: int) -> str:
        names = ["given", *(f"task_{number}" for number in range(count))]
        tasks = [
            task(name, *(each.format(name, before) for each in said)) + more.format(name)
            for before, name in pairwise(names)
        ]
        return process(start + "".join(tasks) + flow("start", *names[1:]))

    return made


def branches(gateway: str) -> Callable[[int], str]:
    """Tasks with one result on ways beside each other."""

    def made(count: int) -> str:
        ways = "".join(
            task(f"task_{number}", "data.input=-", "data.output=same") + flow("fork", f"task_{number}")
            for number in range(count)
        )
        return process(f'{FORM}<bpmn:{gateway} id="fork" />{flow("start", "fork")}{ways}')

    return made


def calls(count: int) -> str:
    """A process that calls others, each a process of its own."""
    given = '<bpmn:extensionElements><camunda:in source="given" target="given" /></bpmn:extensionElements>'
    names = [f"process_{number}" for number in range(count)]
    made = [f'<bpmn:callActivity id="call_{name}" calledElement="{name}">{given}</bpmn:callActivity>' for name in names]
    caller = process(FORM + "".join(made) + flow("start", *(f"call_{name}" for name in names)))
    called = task("called", "data.input=given", "error.refused=NO") + flow("start", "called")
    return caller + "".join(process(f'<bpmn:startEvent id="start" />{called}', name) for name in names)


SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "results that the next one reads": chain(FORM, "data.input={1}"),
    "inputs that nothing sets": chain(FORM, "data.input=missing_{0}"),
    "inputs of which nobody knows": chain('<bpmn:startEvent id="start" />', "data.input=missing_{0}"),
    "one result": chain(FORM, "data.input=given", "data.output=same"),
    "timers": chain(FORM, "data.input=given", more=LATE),
    "events": chain(
        FORM, "data.input={1}", more='<bpmn:subProcess id="event_{0}" triggeredByEvent="true"></bpmn:subProcess>'
    ),
    "ways beside each other": branches("parallelGateway"),
    "ways of which one is taken": branches("exclusiveGateway"),
    "calls": calls,
    "loops of one each": chain(FORM, "data.input={1}", more=AGAIN),
    "one loop around all": lambda count: chain(FORM, "data.input={1}")(count).replace(
        "</bpmn:process>", AROUND.format(count - 1) + "</bpmn:process>"
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_tasks_are_about_twice_the_work(shape: str, tmp_path: Path) -> None:
    (tmp_path / "analyst.md").write_text(ANALYST)
    specs = assistants.load(tmp_path)
    counted = {}
    for count in (1, FEW, 2 * FEW):  # what is done but once is done at the first
        (file := tmp_path / f"{count}.bpmn").write_text(f"{HEAD}{SHAPES[shape](count)}</bpmn:definitions>")
        counted[count] = work(file, specs)
    assert counted[2 * FEW] < 2.5 * counted[FEW], counted


def work(file: Path, specs: Specs) -> int:
    """How many lines of Python lint runs, each as often as it runs."""
    lines = 0

    def count(_: FrameType, event: str, __: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        models, unread = read([file])
        check(models, specs)
    finally:
        sys.settrace(before)
    assert unread == []
    return lines


def test_what_leads_in_a_circle_reaches_itself_and_nothing_else_does() -> None:
    ways = {"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": ["e"], "f": ["f"]}
    bits = {name: 1 << number for number, name in enumerate("abcdef")}
    found = reached(ways, bits)

    def names(node: str) -> str:
        return "".join(name for name, bit in bits.items() if found[node] & bit)

    assert {node: names(node) for node in "abcdef"} == {
        "a": "abcde",
        "b": "abcde",
        "c": "abcde",
        "d": "e",
        "e": "",
        "f": "f",
    }
