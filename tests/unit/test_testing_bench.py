"""What a test of the kit scripts: which questions an answer is for, and what it hears of a mistake."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.flow.rig import SPEC
from tests.models import ServiceTask, bpmn
from worker.demo.model import ModelServer
from worker.testing import Bench
from worker.testing.parts import Loop, Parts


class Deploying:
    """`worker.demo.rest.EngineRest`, as far as it deploys."""

    async def deploy(self, _: str, files: list[Path]) -> str:
        return str(len(files))


@pytest.fixture
def model() -> ModelServer:
    return ModelServer()


@pytest.fixture
def bench(model: ModelServer, tmp_path: Path) -> Any:
    (tmp_path / "analyst.md").write_text(SPEC.format(name="analyst", version="1", timeout=9), "utf-8")
    with Loop() as loop:
        yield Bench(cast("Parts", SimpleNamespace(rest=Deploying(), model=model, assistants=tmp_path, loop=loop)))


def test_answers_come_one_after_the_other_and_the_last_for_ever(bench: Bench, model: ModelServer) -> None:
    bench.answer("a", {"b": "ü"}, text='say "no"')
    assert [(each["answer"], each["times"], each["text"]) for each in model.rules()] == [
        ("a", 1, [r"say \"no\""]),
        ('{"b": "ü"}', None, [r"say \"no\""]),
    ]


def test_an_assistant_is_told_by_its_instructions_and_an_activity_by_its_heading(
    bench: Bench, model: ModelServer, tmp_path: Path
) -> None:
    file = tmp_path / "one.bpmn"
    file.write_text(bpmn(ServiceTask("review", "t", name="Review  it")).xml, "utf-8")
    bench.deploy(file)
    bench.answer(assistant="analyst", activity="review", outcome="refused")
    [rule] = model.rules()
    assert (rule["text"], rule["outcome"], rule["times"]) == (
        ["You are analyst in version 1.", r"# Review it\n"],
        "refused",
        None,
    )


def test_nothing_is_scripted_for_whom_nobody_knows(bench: Bench, model: ModelServer) -> None:
    with pytest.raises(LookupError, match="no assistant is called 'analist'; there are analyst"):
        bench.answer("a", assistant="analist")
    with pytest.raises(LookupError, match="no activity has the id 'rate'; deployed are none"):
        bench.answer("a", activity="rate")
    assert model.rules() == []
