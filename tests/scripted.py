"""The sample processes as the scripted model answers them, without an engine; and answers taken apart."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from worker.demo.model import answers
from worker.domain.tasks import Activity, Task, Variable, declared_inputs
from worker.domain.threads import Question
from worker.engine import definitions
from worker.modelling import prompt
from worker.modelling.inputs import whole

BPMN: Final = Path(__file__).parents[1] / "bpmn"
REF: Final = "0123456789ab"


@cache
def activities(folder: str, process: str = "") -> Mapping[str, Activity]:
    """The steps of a process by their ids, in the order of the model; by default of the one called like its folder."""
    process = process or folder
    return definitions.read(f"{process}:1:x", (BPMN / folder / f"{process}.bpmn").read_text("utf-8")).activities


def start_variables(process: str, **changed: Any) -> dict[str, Variable]:
    """The sample beside a process; `changed` replaces values."""
    inputs = json.loads((BPMN / process / f"{process}.json").read_text("utf-8"))
    return {name: Variable(changed.get(name, each["value"]), each["type"]) for name, each in inputs.items()}


def asked(activity: Activity, variables: Mapping[str, Variable]) -> str:
    """A step as the worker asks it."""
    task = Task(
        "task-1", activity.topic, activity.id, "instance-1", "x:1:x", "x", "execution-1",
        datetime.now(UTC), 0.0, variables=variables,
    )  # fmt: skip
    shown = {name: variables.get(name) for name in declared_inputs(activity.properties) or ()}
    is_json = activity.said("data.output.type") == "Json" or bool(activity.said("record.part"))
    return Question(prompt.text(task, activity, whole(shown), json_wanted=is_json), REF).with_ref


class Instance:
    """An instance of a sample process: its variables, its conversations by assistant, its answers by step."""

    def __init__(self, process: str, **changed: Any) -> None:
        self.variables = start_variables(process, **changed)
        self.answers: dict[str, str] = {}
        self._said: dict[str, list[answers.Message]] = {}

    def answer(self, activity: Activity, **variables: Variable) -> str:
        """Have the next step answered; `variables` were set meanwhile. The answer becomes its result variable."""
        self.variables |= variables
        said = self._said.setdefault(activity.properties["service.name"], [])
        question = asked(activity, self.variables)
        text = answers.answer(question, said)
        said += [answers.Message("user", question), answers.Message("assistant", text)]
        self.answers[activity.id] = text
        self.variables[activity.properties["data.output"]] = Variable(text, "String")
        return text


def played(process: str, **changed: Any) -> dict[str, str]:
    """The answers to all steps of a process that calls none, by their ids."""
    instance = Instance(process, **changed)
    for activity in activities(process).values():
        instance.answer(activity)
    return instance.answers


def procured() -> dict[str, str]:
    """The answers of the sample procurement and of the processes that it calls."""
    caller = Instance("procurement")
    own, review, talks = (activities("procurement", name) for name in ("procurement", "supplier_review", "negotiation"))
    caller.answer(own["criteria"])
    for offer in "ab":
        handed = {"offer": f"offer_{offer}", "supplier_record": f"record_{offer}"}
        called = Instance("procurement")
        called.variables = {
            name: caller.variables[handed.get(name, name)] for name in (*handed, "requirements", "criteria")
        }
        caller.answers[f"check {offer}"] = called.answer(review["check"])
        caller.variables[f"review_{offer}"] = Variable(called.answer(review["rate"]), "String")
    for step in (own["compare"], talks["points"], talks["brief"], own["propose"]):
        caller.answer(step)
    return caller.answers


@cache
def answers_of(process: str) -> Mapping[str, str]:
    """The answers to the sample of a process."""
    return procured() if process == "procurement" else played(process)


def entries(answer: str, heading: str) -> dict[str, str]:
    """The list under a heading: names and what is said of each."""
    return dict(re.findall(r"^- \*\*(.+?)\*\*:? ?(.*)$", section(answer, heading), re.MULTILINE))


def listed(answer: str, heading: str) -> list[str]:
    """The names in the list under a heading."""
    return [*entries(answer, heading)]


def table(answer: str, heading: str) -> list[list[str]]:
    """The table under a heading, its header first."""
    rows = [line for line in section(answer, heading).splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def section(answer: str, heading: str) -> str:
    """What stands under a heading."""
    return answer.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def number(text: str) -> float:
    """The first number in a text, such as `1,381,040 $` or `3.9 M€`."""
    return numbers(text)[0]


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?(?<!,)", text)]


def with_another_figure(text: str) -> Iterator[tuple[str, str]]:
    """The text once for each numeral in its lists and tables, with its last digit changed; and what is around it.

    Headers of tables are left as they are.
    """
    for found in re.finditer(r"(?<![\w.,])\d[\d,.]*(?<=\d)", text):
        place = found.end() - 1
        is_header = text[place:].partition("\n")[2].startswith("|---")
        if text[text.rfind("\n", 0, place) + 1] in "|-" and not is_header:
            yield (
                f"{text[:place]}{(int(text[place]) + 3) % 10}{text[place + 1 :]}",
                text[max(0, place - 30) : place + 10],
            )
