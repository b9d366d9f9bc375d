"""The plugin for bpmnlint and Camunda Modeler finds what the worker's own linter finds, as far as it has its rules."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.modeler import modeler, node, packages
from tests.typical import TYPICAL
from tests.unit.lint.corpus import models, typical
from worker import cli
from worker.operate.lint import plugin
from worker.operate.lint.checks import check
from worker.operate.lint.reading import read
from worker.operate.models.rules import BEYOND
from worker.operate.templates import texts

CAMUNDA = {"camunda": "camunda-bpmn-moddle/resources/camunda.json"}
LINE = re.compile(r"^  (\S+) +(error|warning|info) +(.*?) +assistant-worker/(\S+) *$")
Found = dict[str, set[tuple[str, str]]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all models, and the plugin among the packages of npm."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, text in models().items():
        (folder / name).write_text(text, "utf-8")
    modules = folder / "node_modules"
    modules.mkdir()
    assert cli.main(["lint", "--plugin", str(modules)]) == 0
    (modules / "camunda-bpmn-moddle").symlink_to(packages() / "node_modules" / "camunda-bpmn-moddle")
    return folder


def by_plugin(folder: Path, **more: object) -> Found:
    """What bpmnlint's command says of each file: rules and elements."""
    (folder / ".bpmnlintrc").write_text(json.dumps({"extends": "plugin:assistant-worker/recommended"} | more))
    program = packages() / "node_modules" / "bpmnlint" / "bin" / "bpmnlint.js"
    command: list[str | Path] = [node(), program, *sorted(models())]
    # Into a file: into a pipe the command writes no more than that takes at once, before it ends.
    with (folder / "said").open("w") as said:
        done = subprocess.run(command, cwd=folder, stdout=said, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    found: Found = defaultdict(set)
    name = ""
    for line in (folder / "said").read_text().splitlines():
        if match := LINE.match(line):
            found[name].add((match[4], match[1]))
        elif line.endswith(".bpmn"):
            name = Path(line.strip()).name
    return found


def by_worker(folder: Path) -> Found:
    """What the worker's linter says of each file alone, by the rules that the plugin has."""
    found = {}
    for name in models():
        files, unread = read([folder / name])
        assert unread == []
        found[name] = {(each.rule.id, each.element) for each in check(files, None) if each.rule not in BEYOND}
    return found


@pytest.mark.parametrize("more", [{}, {"moddleExtensions": CAMUNDA}], ids=["plain", "told of Camunda's elements"])
def test_both_find_the_same_in_every_model(corpus: Path, more: dict[str, object]) -> None:
    plugged, worker = by_plugin(corpus, **more), by_worker(corpus)
    different = {
        name: (sorted(said - plugged[name]), sorted(plugged[name] - said))
        for name, said in worker.items()
        if said != plugged[name]
    }
    assert different == {}


def test_it_finds_the_typical_mistakes_that_one_model_shows(corpus: Path) -> None:
    plugged = by_plugin(corpus)
    seen = {name: set() if each.rule in BEYOND else {(each.rule.id, each.element)} for name, each in TYPICAL.items()}
    assert {name: plugged[typical(name)] for name in TYPICAL} == seen


def test_every_rule_of_the_plugin_is_broken_somewhere(corpus: Path) -> None:
    assert {rule for said in by_worker(corpus).values() for rule, _ in said} == set(plugin.table()["rules"])


async def test_a_modeler_shows_a_mistake_at_its_element_and_nothing_where_it_is_put_right() -> None:
    templates = [json.loads(each) for each in texts(None).values()]
    task = {"id": "review", "name": "Review", "type": "bpmn:ServiceTask", "documentation": "What is missing?"}
    async with modeler({"client.js": plugin.files()["client.js"]}) as desktop:
        await desktop.do("load", templates)
        await desktop.do("draw", [{"id": "start", "type": "bpmn:StartEvent"}, task])
        await desktop.do("apply", "review", "assistant-worker.task")
        await desktop.shows(
            {"review": ["Task has no topic", "Task names no assistant"], "process": ["A process has no"]}
        )
        said = await desktop.do("lint")
        assert ["review", "assistant-worker/no-topic", "Task has no topic, so that engines refuse the model"] in said
        await desktop.fill("review", "Topic", "offers")
        await desktop.fill("review", "service.name", "analyst")
        await desktop.fill("review", "service.timeout", "soon")
        await desktop.do("set", "process", {"camunda:historyTimeToLive": "P1D"})
        await desktop.shows({"review": ["service.timeout is 'soon'; allowed are durations"]})
        await desktop.fill("review", "service.timeout", "PT5M")
        await desktop.shows({})
        assert [each for each in await desktop.do("lint") if each[1].startswith("assistant-worker/")] == []
