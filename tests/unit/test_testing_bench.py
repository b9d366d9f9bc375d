"""What a test of the kit scripts: which questions an answer is for, and what it hears of a mistake."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.flow.rig import SPEC
from tests.models import ServiceTask, bpmn
from worker.demo.model import ModelServer
from worker.demo.model.wire import ApiError
from worker.demo.rest import EngineRest, Failed
from worker.testing import Bench, Judge
from worker.testing.bench import _typed
from worker.testing.cassette import Cassette, Reader
from worker.testing.parts import Loop, Parts
from worker.testing.playing import Player, Way


class FakeRest:
    """`worker.demo.rest.EngineRest`, as far as it deploys and removes. The same files are the same deployment."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.refusals: dict[str, list[int]] = {}
        """How removals of a deployment are answered until they succeed."""
        self.origins: dict[str, tuple[str, str]] = {}
        """Root and deployment of the instances that there are."""

    async def deploy(self, _: str, files: list[Path]) -> str:
        return "+".join(each.stem for each in files)

    async def remove(self, deployment: str) -> None:
        if refusals := self.refusals.get(deployment):
            status = refusals.pop(0)
            raise Failed(f"{deployment} was answered {status}", status)
        self.removed.append(deployment)

    async def start(self, key: str, *_: object) -> str:
        return f"of {key}"

    async def origin(self, instance: str) -> tuple[str, str]:
        if instance not in self.origins:
            raise Failed("no such instance", 404)
        return self.origins[instance]


@pytest.fixture
def model() -> ModelServer:
    return ModelServer()


@pytest.fixture
def rest() -> FakeRest:
    return FakeRest()


@pytest.fixture
def bench(rest: FakeRest, model: ModelServer, tmp_path: Path) -> Any:
    (tmp_path / "analyst.md").write_text(SPEC.format(name="analyst", version="1", timeout=9), "utf-8")
    with Loop() as loop:
        yield Bench(cast("Parts", SimpleNamespace(rest=rest, model=model, assistants=tmp_path, loop=loop)))


def written(folder: Path, name: str, xml: str = "") -> Path:
    (folder / f"{name}.bpmn").write_text(xml or bpmn(ServiceTask("review", "t")).xml, "utf-8")
    return folder / f"{name}.bpmn"


def test_answers_come_one_after_the_other_and_the_last_for_ever(bench: Bench, model: ModelServer) -> None:
    bench.answer("a", {"b": "ü"}, text='say "no"')
    assert [(each["answer"], each["times"], each["question"]) for each in model.rules()] == [
        ("a", 1, ['say "no"']),
        ('{"b": "ü"}', None, ['say "no"']),
    ]


def test_an_assistant_is_told_by_its_instructions_and_an_activity_by_its_heading(
    bench: Bench, model: ModelServer, tmp_path: Path
) -> None:
    file = tmp_path / "one.bpmn"
    file.write_text(bpmn(ServiceTask("review", "t", name="Review  it")).xml, "utf-8")
    bench.deploy(file)
    bench.answer(assistant="analyst", activity="review", outcome="refused")
    [rule] = model.rules()
    assert (rule["text"], rule["question"], rule["outcome"], rule["times"]) == (
        ["You are analyst in version 1."],
        ["# Review it\n"],
        "refused",
        None,
    )


def test_nothing_is_scripted_for_whom_nobody_knows(bench: Bench, model: ModelServer) -> None:
    with pytest.raises(LookupError, match="no assistant is called 'analist'; did you mean 'analyst'"):
        bench.answer("a", assistant="analist")
    with pytest.raises(LookupError, match="no activity has the id 'rate'; deployed are none"):
        bench.answer("a", activity="rate")
    assert model.rules() == []


def test_of_an_assistant_s_versions_the_newest_is_meant(bench: Bench, model: ModelServer, tmp_path: Path) -> None:
    for version in ("1.9", "1.10"):
        text = SPEC.format(name="analyst", version=version, timeout=9)
        (tmp_path / f"analyst@{version}.md").write_text(text, "utf-8")
    bench.answer(assistant="analyst")
    assert [each["text"] for each in model.rules()] == [["You are analyst in version 1.10."]]


def test_activities_of_all_processes_of_a_file_are_known(bench: Bench, model: ModelServer, tmp_path: Path) -> None:
    second = '<bpmn:process id="other"><bpmn:serviceTask id="rate" name="Rate it"/></bpmn:process></bpmn:definitions>'
    xml = bpmn(ServiceTask("review", "t")).xml.replace("</bpmn:definitions>", second)
    bench.deploy(written(tmp_path, "two", xml))
    bench.answer("a", activity="rate")
    assert [each["question"] for each in model.rules()] == [["# Rate it\n"]]


def test_what_is_deployed_twice_is_removed_once_and_what_the_worker_is_at_a_little_later(
    bench: Bench, rest: FakeRest, tmp_path: Path
) -> None:
    for name in ("one", "two", "one", "three", "four"):
        bench.deploy(written(tmp_path, name))
    rest.refusals = {"three": [500, 500], "two": [403], "four": [404]}
    with pytest.raises(Failed, match=r"^two was answered 403$"):
        bench.clear()
    assert rest.removed == ["three", "one"]
    bench.clear()
    assert rest.removed == ["three", "one"]


def test_questions_of_instances_of_others_are_none_of_this_test(
    bench: Bench, rest: FakeRest, model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy(written(tmp_path, "one"))
    bench.start("one")
    rest.origins = {"called": ("of one", "x"), "by_message": ("by_message", "one"), "of_others": ("of_others", "other")}
    scopes = ["called", "by_message", "of_others", "gone", "business-key:order-7"]
    threads = {each: {"metadata": {"assistant": "analyst", "scope": each}} for each in scopes}
    asked = [
        {"call": "responses.create", "conversation": each, "body": {"input": f"# Step\n\n{each}"}} for each in scopes
    ]
    monkeypatch.setattr(model, "conversations", lambda: threads)
    monkeypatch.setattr(model, "requests", lambda *_: asked)
    assert [(each.thread, each.instance) for each in bench.questions] == [
        ("called", "called"),
        ("by_message", "by_message"),
        ("business-key:order-7", None),
    ]


async def test_an_incident_of_a_called_process_is_the_caller_s_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(id_: str, instance: str, cause: str, message: str | None) -> dict[str, Any]:
        known = {"processDefinitionId": "key:1:1", "activityId": "step", "incidentType": "failedExternalTask"}
        return known | {
            "id": id_,
            "processInstanceId": instance,
            "rootCauseIncidentId": cause,
            "incidentMessage": message,
        }

    rows = [row("1", "child", "1", "no key"), row("2", "parent", "1", None), row("3", "stranger", "3", "not this")]

    async def get(*_: object, **__: str) -> Any:
        return rows

    rest = EngineRest("http://127.0.0.1:9", cast("Any", None))
    monkeypatch.setattr(rest, "_get", get)
    assert [each.message for each in await rest.incidents_below("parent")] == ["no key"]
    assert [each.message for each in await rest.incidents_below("child")] == ["no key"]
    assert await rest.incidents(["parent"]) == []


def test_a_long_text_goes_to_the_engine_as_the_worker_s_do() -> None:
    typed = _typed({"short": 4000 * "a", "long": 4000 * "a" + "ü", "pairs": 2001 * "😀", "list": ["ü"], "number": 7})
    assert {name: each.get("type") for name, each in typed.items()} == {
        "short": None,
        "long": "Object",
        "pairs": "Object",
        "list": "Json",
        "number": None,
    }


async def test_what_the_cassette_lacks_is_told_before_what_came_of_it(
    bench: Bench, model: ModelServer, tmp_path: Path
) -> None:
    player = Player(Cassette(tmp_path / "one.yaml"), Reader(), Way("none", dict, {}))
    model.answerer = player

    def misses() -> str:
        with pytest.raises(ApiError):
            player._refuse("nothing recorded")
        return "an incident"

    def fails() -> str:
        misses()
        raise AssertionError("an incident")

    for look in (misses, fails):
        with pytest.raises(AssertionError, match=r"^nothing recorded$"):
            bench.wait_until(look, "an incident", None)
        player._flaws.clear()
    misses()
    assert player.told() == ["nothing recorded"]
    assert bench.wait_until(lambda: "done", "the end", None) == "done"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    def judged(_self: object, question: str, *_: object) -> dict[str, Any]:
        return {"probability": {"So?": 0.7, "Really?": 0.42}.get(question)}

    monkeypatch.setattr(Judge, "_judged", judged)
    return Judge(cast("Parts", SimpleNamespace(model=ModelServer())))


def test_a_judge_says_what_it_was_asked_and_how_probable_that_is(judge: Judge) -> None:
    assert judge("So?", "Yes.", at_least=0.7) == 0.7
    with pytest.raises(AssertionError) as failed:
        judge("Really?", {"ü": 1}, at_least=0.7)
    assert str(failed.value) == (
        'judge finds it 0.42 probable, and 0.7 at least is wanted:\n\nReally?\n\n{\n "ü": 1\n}'
    )
    with pytest.raises(
        AssertionError, match=r"clerk tells no probability, so that nobody can say whether it is 0\.5 at least"
    ):
        judge("Hm?", "Yes.", at_least=0.5, assistant="clerk")
    with pytest.raises(ValueError, match="a probability is from 0 to 1"):
        judge("So?", "Yes.", at_least=70)
