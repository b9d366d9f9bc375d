"""Which files of a folder `assistant-worker deploy` takes along."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import ServiceTask, bpmn, line, process
from worker.operate.deploying.files import Chosen, choose
from worker.operate.lint.reading import read

FORM_KEYS = ["embedded:deployment:forms/sign.html", "camunda-forms:deployment:look.html", "embedded:app:of_others.html"]


def spec(name: str, more: str = "") -> str:
    return f'---\nname: {name}\nversion: "1"\nmodel: m\nmax_output_tokens: 90\n{more}---\nBe brief.\n'


def task(said: str = "analyst", assistant: str | None = None) -> ServiceTask:
    step = ServiceTask("review", "t", properties={"service.type": "assistant", "service.name": said})
    return step if assistant is None else replace(step, inputs={"assistant": assistant})


def chosen(folder: Path, xml: str, *names: str, **texts: str) -> Chosen:
    """Choose among a model, files of these names, and assistants of these names with more in their front matter."""
    (folder / "offers.bpmn").write_text(xml)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(spec(Path(name).stem) if name.endswith(".md") else "{}")
    for name, more in texts.items():
        (folder / f"{name}.md").write_text(spec(name, more))
    models, unread = read([folder])
    assert unread == []
    return choose(folder, models)


def test_an_assistant_travels_with_the_schema_that_its_spec_names(tmp_path: Path) -> None:
    xml = bpmn(task("deployment:guest.md")).xml
    names = ("schemas/verdict.json", "other.json")
    found = chosen(
        tmp_path, xml, *names, guest="output_schema: schemas/verdict.json\n", other="output_schema: other.json\n"
    )
    assert [*found.files] == ["guest.md", "offers.bpmn", "schemas/verdict.json"]
    assert found.left_out == ("other.json", "other.md")


def test_the_assistants_of_the_house_stay_in_the_house(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Offers\n")
    found = chosen(tmp_path, bpmn(task()).xml, "assistants/analyst.md", "analyst.md")
    assert ([*found.files], found.left_out) == (["offers.bpmn"], ("analyst.md", "assistants/analyst.md"))


@pytest.mark.parametrize(
    ("assistant", "deployed"),
    [
        ("${reviewer}", ["guest.md", "offers.bpmn", "other.md", "verdict.json"]),
        ("deployment:guest.md", ["guest.md", "offers.bpmn", "verdict.json"]),
        ("analyst", ["offers.bpmn"]),
    ],
)
def test_where_a_parameter_names_the_assistant_all_that_it_may_stand_for_travel(
    assistant: str, deployed: list[str], tmp_path: Path
) -> None:
    names = ("assistants/analyst.md", "verdict.json", "other.md")
    found = chosen(tmp_path, bpmn(task("", assistant)).xml, *names, guest="output_schema: verdict.json\n")
    assert [*found.files] == deployed
    assert "assistants/analyst.md" in found.left_out


def test_of_pages_only_forms_that_a_model_names_are_deployed(tmp_path: Path) -> None:
    steps = [f'<bpmn:userTask id="step_{number}" camunda:formKey="{key}"/>' for number, key in enumerate(FORM_KEYS)]
    pages = ("forms/sign.html", "look.html", "of_others.html", "htmlcov/index.html")
    found = chosen(tmp_path, process(line(*steps)).xml, *pages, "forms/a.form")
    assert [*found.files] == ["forms/a.form", "forms/sign.html", "look.html", "offers.bpmn"]
    assert found.left_out == ("htmlcov/index.html", "of_others.html")
