"""The process applications of a folder: what the demo deploys and starts, and what the models say of their steps."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from worker.demo.rest import Completed, Failed

BPMN: Final = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
CAMUNDA: Final = "{http://camunda.org/schema/1.0/bpmn}"

Node = tuple[str, str]
"""Key of a process and id of a node in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that an assistant answers. `sharing` says whose conversation it is, as `service.thread` does."""

    assistant: str
    output: str
    sharing: str

    def conversation(self, done: Completed, root: str) -> tuple[str, str]:
        """What tells the conversation of this completed step from others, in an instance that `root` has called."""
        scopes = {"root": root, "activity": done.task, "business-key": "business key"}
        return scopes.get(self.sharing, done.instance), self.assistant


@dataclass(frozen=True, slots=True)
class Application:
    """One process with its sample, and whatever is deployed beside it.

    `folders` are deployed one by one. Names, steps and forms are those of all models; of a form it is the first choice
    of each field that offers some. `record` is the variable that the process closes its decision's record into, empty
    if it makes none. `is_plain`: one assistant answers in one process, so that nobody needs to be told which.
    """

    key: str
    name: str
    folders: Sequence[Sequence[Path]]
    variables_file: Path
    variables: Mapping[str, Any]
    assistants: Path
    names: Mapping[Node, str]
    steps: Mapping[Node, Step]
    forms: Mapping[Node, Mapping[str, str]]
    record: str
    is_plain: bool

    @classmethod
    def read(cls, folder: Path, key: str) -> Self:
        """Read the application `key` of a folder that has one in each folder. Failed: there is none of that name."""
        _known(folder, key)
        nodes = [node for model in sorted(folder.glob("*/*.bpmn")) for node in _nodes(model)]
        ours = [node for model in sorted(folder.glob(f"{key}/*.bpmn")) for node in _nodes(model)]
        steps = {place: step for place, element in nodes if (step := _step(element))}
        answering = {(steps[place].assistant, place[0]) for place, _ in ours if place in steps}
        variables = folder / key / f"{key}.json"
        return cls(
            key=key,
            name=_processes(folder / key / f"{key}.bpmn")[0].get("name") or key,
            folders=[files for each in sorted(folder.iterdir()) if (files := _deployed(each))],
            variables_file=variables,
            variables=json.loads(variables.read_text("utf-8")),
            assistants=folder / "assistants",
            names={place: " ".join((element.get("name") or place[1]).split()) for place, element in nodes},
            steps=steps,
            forms=_forms(folder, nodes),
            record=next(filter(None, (_closed(element) for _, element in ours)), ""),
            is_plain=len(answering) == 1,
        )

    @property
    def subject(self) -> str:
        """What the sample is about: its first variable that is a text."""
        texts = (str(each["value"]) for each in self.variables.values() if each["type"] == "String")
        return next(texts, self.name)


def names_of(model: Path) -> dict[str, str]:
    """Name the elements of a model, by their ids, as questions do."""
    return {id_: " ".join((element.get("name") or id_).split()) for (_, id_), element in _nodes(model)}


def _known(folder: Path, key: str) -> None:
    keys = sorted(path.stem for path in folder.glob("*/*.json") if path.stem == path.parent.name)
    if not keys:
        raise Failed(f"{folder} has no process applications")
    if key not in keys:
        raise Failed(f"there is no process {key!r} in {folder}; there are {', '.join(keys)}")


def _deployed(folder: Path) -> list[Path]:
    models = sorted(folder.glob("*.bpmn"))
    return [*models, *sorted(folder.glob("*.schema.json")), *sorted(folder.glob("*.form"))] if models else []


def _processes(model: Path) -> list[Element]:
    processes: list[Element] = ElementTree.fromstring(model.read_text("utf-8")).findall(f"{BPMN}process")
    if not processes:
        raise Failed(f"{model} has no process in it")
    return processes


def _nodes(model: Path) -> Iterator[tuple[Node, Element]]:
    for process in _processes(model):
        key = process.get("id", "")
        yield from (((key, element.get("id", "")), element) for element in process.iter() if element.get("id"))


def _properties(element: Element) -> dict[str, str]:
    pairs = element.iterfind(f"{BPMN}extensionElements/{CAMUNDA}properties/{CAMUNDA}property")
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs}


def _closed(element: Element) -> str:
    said = _properties(element)
    return said.get("data.output", "") if said.get("record.stage") == "close" else ""


def _step(element: Element) -> Step | None:
    said = _properties(element)
    if said.get("service.type") != "assistant":
        return None
    output = said.get("data.output") or str(element.get("id"))
    return Step(said.get("service.name", ""), output, said.get("service.thread", "instance"))


def _forms(folder: Path, nodes: Sequence[tuple[Node, Element]]) -> dict[Node, dict[str, str]]:
    choices = {form.stem: _choices(json.loads(form.read_text("utf-8"))) for form in folder.glob("*/*.form")}
    return {place: choices[ref] for place, element in nodes if (ref := element.get(f"{CAMUNDA}formRef")) in choices}


def _choices(form: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each["values"][0]["value"] for each in form["components"] if each.get("values")}
