"""What lint finds in models: each mistake by its rule, at its line and element, and nothing where nothing is wrong."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring
from xml.sax.saxutils import escape

import pytest
from hypothesis import given

from tests.unit.lint.mistakes import MISTAKES, ROUND, prop
from tests.unit.lint.sound import ANALYST, FILES, flow, task, written
from tests.unit.test_engine_definitions import elements
from worker.engine.order import BPMN
from worker.operate.lint.checks import Finding, check
from worker.operate.lint.reading import read
from worker.operate.models.rules import OF_PROVIDERS, Level, Rule
from worker.specs import assistants
from worker.specs.assistants import Specs

ROOT = Path(__file__).parents[3]
LATIN = FILES["offers.bpmn"].replace("UTF-8", "ISO-8859-1").replace("Step review", "Prüfen")


@pytest.fixture
def specs(tmp_path: Path) -> Specs:
    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "analyst.md").write_text(ANALYST)
    return assistants.load(folder)


def found(folder: Path, specs: Specs | None, *more: Path, notes: bool = True) -> list[Finding]:
    models, unread = read([folder, *more])
    assert unread == []
    return [each for each in check(models, specs) if notes or each.level is not Level.NOTE]


def test_nothing_is_wrong_with_sound_models_whatever_rule_they_are_held_against(tmp_path: Path, specs: Specs) -> None:
    assert found(written(tmp_path), specs) == []
    assert found(written(tmp_path), None) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_where_it_is(name: str, tmp_path: Path, specs: Specs) -> None:
    file, before, after, rule, element, marker = MISTAKES[name]
    assert before in FILES[file]
    changed = FILES[file].replace(before, after)
    is_note = rule.level is Level.NOTE
    # What cannot be read makes what it would have set unknown.
    findings = found(written(tmp_path, **{file.replace(".", "__"): changed}), specs, notes=is_note)

    assert {each.rule for each in findings} == {rule}
    for each in findings:
        lines = Path(each.file).read_text("utf-8").split("\n")
        assert marker in lines[each.line - 1], each
        assert element in {each.element, "*"}


def test_a_timer_may_also_come_before_the_time_of_the_assistant(tmp_path: Path, specs: Specs) -> None:
    changed = FILES["offers.bpmn"].replace(prop("service.timeout", "PT1M"), "").replace("PT2M", "PT90S")
    [finding] = found(written(tmp_path, offers__bpmn=changed), specs)
    assert (finding.rule, finding.element) == (Rule.SHORT_TIMER, "review")
    assert "its assistant's timeout_seconds allows an answer 120 s" in finding.said


def test_every_rule_of_a_model_has_a_mistake_that_breaks_it() -> None:
    shown = {rule for *_, rule, _, _ in MISTAKES.values()} | {Rule.ENCODING}
    assert set(Rule) - OF_PROVIDERS - shown == set()
    assert len(MISTAKES) >= 23


def test_a_file_that_is_not_in_utf_8_is_named_and_read_as_it_says(tmp_path: Path, specs: Specs) -> None:
    (written(tmp_path) / "offers.bpmn").write_text(LATIN, "iso-8859-1")
    [finding] = found(tmp_path, specs)
    assert (finding.rule, finding.line, finding.element) == (Rule.ENCODING, 1, "")
    assert "not in UTF-8" in finding.said


def test_bytes_that_are_no_utf_8_are_named_with_their_line(tmp_path: Path, specs: Specs) -> None:
    written(tmp_path)
    content = FILES["offers.bpmn"].replace("Step review", "Pr\xfcfen").encode("latin-1")
    (tmp_path / "offers.bpmn").write_bytes(content)
    [finding] = found(tmp_path, specs)
    line = content[: content.index(b"\xfc")].count(b"\n") + 1
    assert (finding.rule, f"(line {line})" in finding.said) == (Rule.ENCODING, True)


@pytest.mark.parametrize(
    "folder", ["bpmn", "worker/demo/model", "worker/operate/starting_folder"], ids=lambda each: each.rpartition("/")[2]
)
def test_the_models_of_this_project_are_sound(folder: str) -> None:
    place = ROOT / folder
    models = list(place.rglob("*.bpmn"))
    if not models:
        assert folder == "worker/demo/model"  # which has scripted answers, and the models of bpmn/
        return
    first, *more = sorted({each.parent for each in models})  # each folder is a deployment of its own
    assert found(first, assistants.load(place / "assistants"), *more, notes=False) == []


def test_a_task_of_which_results_are_its_own_overwrites_nothing(tmp_path: Path, specs: Specs) -> None:
    local = prop("data.output", "gaps") + prop("data.output.scope", "local")
    changed = FILES["offers.bpmn"].replace(prop("data.output", "summary"), local)
    assert found(written(tmp_path, offers__bpmn=changed), specs) == []


def test_of_several_results_in_one_place_each_is_named_once_with_the_one_before_it(
    tmp_path: Path, specs: Specs
) -> None:
    changed = FILES["offers.bpmn"].replace(prop("data.output", "summary"), prop("data.output", "pro"))
    changed = changed.replace("rating_0, pro, con", "rating_0").replace(
        prop("data.output", "con"), prop("data.output", "pro")
    )
    findings = found(written(tmp_path, offers__bpmn=changed), specs)
    assert [(each.rule, each.element) for each in findings] == [
        (Rule.OVERWRITTEN_OUTPUT, "con"),
        (Rule.OVERWRITTEN_OUTPUT, "sum_up"),
    ]
    assert 'its result pro is that of "Step con" (con), too' in findings[1].said


def test_an_element_in_another_one_of_the_same_id_is_no_circle(tmp_path: Path, specs: Specs) -> None:
    changed = FILES["offers.bpmn"].replace('<bpmn:subProcess id="each"', '<bpmn:subProcess id="rate"')
    assert changed != FILES["offers.bpmn"]
    assert found(written(tmp_path, offers__bpmn=changed), specs)


def test_of_processes_that_call_each_other_nobody_claims_to_know_all(tmp_path: Path, specs: Specs) -> None:
    both = ALL_BACK.replace("<camunda", '<camunda:in variables="all" /><camunda', 1)
    back = f'<bpmn:callActivity id="frame" calledElement="offers">{both}</bpmn:callActivity>'
    called = FILES["negotiation.bpmn"].replace(
        task("frame", "record.part=frame", "data.input=gaps", topic="panel"), back
    )
    caller = FILES["offers.bpmn"].replace(
        '<camunda:out source="brief" target="brief" />', '<camunda:out variables="all" />'
    )
    caller = caller.replace("rating_0, pro, con", "rating_0, anything")
    findings = found(written(tmp_path, offers__bpmn=caller, negotiation__bpmn=called), specs)
    assert [each.rule for each in findings if each.element == "sum_up"] == [Rule.UNKNOWN_INPUT]


def test_results_on_ways_of_which_one_is_taken_overwrite_nothing(tmp_path: Path, specs: Specs) -> None:
    changed = FILES["offers.bpmn"].replace("parallelGateway", "exclusiveGateway")
    changed = changed.replace(prop("data.output", "con"), prop("data.output", "pro")).replace(", pro, con", ", pro")
    assert found(written(tmp_path, offers__bpmn=changed), specs) == []


ALL_BACK = '<bpmn:extensionElements><camunda:out variables="all" /></bpmn:extensionElements>'
LISTENER = '<bpmn:extensionElements><camunda:executionListener class="x" event="end" /></bpmn:extensionElements>'


@pytest.mark.parametrize(
    "step",
    [
        '<bpmn:scriptTask id="fill"><bpmn:script>x</bpmn:script></bpmn:scriptTask>',
        '<bpmn:serviceTask id="fill" camunda:class="org.example.Fill" />',
        '<bpmn:userTask id="fill" />',
        '<bpmn:userTask id="fill" camunda:formRef="elsewhere" />',
        '<bpmn:receiveTask id="fill" />',
        f'<bpmn:callActivity id="fill" calledElement="elsewhere">{ALL_BACK}</bpmn:callActivity>',
        '<bpmn:intermediateCatchEvent id="fill"><bpmn:messageEventDefinition /></bpmn:intermediateCatchEvent>',
        f'<bpmn:task id="fill">{LISTENER}</bpmn:task>',
    ],
    ids=lambda step: step[6:24],
)
def test_behind_a_step_that_may_set_anything_nobody_claims_to_know(step: str, tmp_path: Path, specs: Specs) -> None:
    changed = (
        FILES["offers.bpmn"]
        .replace("offer, budget?", "other")
        .replace("<bpmn:boundaryEvent", step + "<bpmn:boundaryEvent", 1)
    )
    changed = changed.replace(flow("start", "review"), flow("start", "fill", "review"))
    [finding] = found(written(tmp_path, offers__bpmn=changed), specs)
    assert (finding.rule, finding.element) == (Rule.UNKNOWN_INPUT, "review")
    assert "fill" in finding.said


def test_a_file_of_a_task_is_read_only_beside_its_model(tmp_path: Path, specs: Specs) -> None:
    inside = tmp_path / "models"
    inside.mkdir()
    (tmp_path / "gaps.schema.json").write_text("{}")
    written(inside, offers__bpmn=FILES["offers.bpmn"].replace("gaps.schema.json", "../gaps.schema.json"))
    assert [each.rule for each in found(inside, specs)] == [Rule.MISSING_FILE]


ONCE = "${summary == 'again'}"
COUNTED = '</camunda:properties><camunda:inputOutput><camunda:outputParameter name="rounds">${rounds + 1}'
COUNTED += "</camunda:outputParameter></camunda:inputOutput>"
SUMMARY = prop("data.output", "summary") + "\n      "


@pytest.mark.parametrize(
    ("condition", "before", "after"),
    [
        (f"{ONCE[:-1]} && rounds < 3}}", SUMMARY + "</camunda:properties>", SUMMARY + COUNTED),
        (f"{ONCE[:-1]} && empty earlier}}", "", ""),
        (ONCE, '<bpmn:exclusiveGateway id="enough"', '<bpmn:userTask id="enough"'),
        (ONCE, flow("sum_up", "enough"), flow("sum_up", "wait", "enough") + '<bpmn:scriptTask id="wait" />'),
        (ONCE, '<bpmn:sequenceFlow id="again" sourceRef="enough"', '<bpmn:sequenceFlow id="again" sourceRef="pro"'),
    ],
    ids=["counted", "once", "a person", "a script", "no way back"],
)
def test_a_loop_in_which_something_else_has_a_say_is_left_alone(
    condition: str, before: str, after: str, tmp_path: Path, specs: Specs
) -> None:
    changed = FILES["offers.bpmn"].replace(flow("sum_up", "mail"), ROUND.format(escape(condition)))
    assert before in changed
    findings = found(written(tmp_path, offers__bpmn=changed.replace(before, after)), specs)
    assert Rule.ENDLESS_LOOP not in {each.rule for each in findings}


@pytest.mark.parametrize("condition", ["", "${!(summary.contains('again, or not') or JSON(summary_meta) != \"x\")}"])
def test_whatever_of_answers_is_read_does_not_end_a_loop(condition: str, tmp_path: Path, specs: Specs) -> None:
    changed = FILES["offers.bpmn"].replace(flow("sum_up", "mail"), ROUND.format(escape(condition)))
    assert [each.rule for each in found(written(tmp_path, offers__bpmn=changed), specs)] == [Rule.ENDLESS_LOOP]


@pytest.mark.parametrize("timer", [False, True])
def test_a_loop_around_a_sub_process_is_one_unless_a_timer_ends_what_is_around_it(
    timer: bool, tmp_path: Path, specs: Specs
) -> None:
    back = '<bpmn:sequenceFlow id="again" sourceRef="inner" targetRef="inner" />'
    ends = """<bpmn:boundaryEvent id="over" attachedToRef="outer"><bpmn:timerEventDefinition>
      <bpmn:timeDuration>PT1H</bpmn:timeDuration></bpmn:timerEventDefinition></bpmn:boundaryEvent>"""
    inner = f'<bpmn:subProcess id="inner">{task("probe", "data.input=-")}</bpmn:subProcess>'
    outer = f'<bpmn:subProcess id="outer">{inner}{back}</bpmn:subProcess>{ends if timer else ""}'
    changed = FILES["offers.bpmn"].replace('<bpmn:endEvent id="end" />', '<bpmn:endEvent id="end" />' + outer)
    findings = [each for each in found(written(tmp_path, offers__bpmn=changed), specs) if each.element == "probe"]
    assert [each.rule for each in findings] == ([] if timer else [Rule.ENDLESS_LOOP])


def test_processes_of_one_key_in_two_folders_are_two(tmp_path: Path, specs: Specs) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        written(tmp_path / name)
    (tmp_path / "old" / "offer.form").write_text('{"id": "offer", "components": [{"key": "budget"}]}')
    findings = found(tmp_path / "new", specs, tmp_path / "old")
    assert [(Path(each.file).parent.name, each.rule) for each in findings] == [("old", Rule.UNSET_INPUT)]


def test_a_process_that_calls_itself_has_an_end(tmp_path: Path, specs: Specs) -> None:
    both = ALL_BACK.replace("<camunda", '<camunda:in variables="all" /><camunda', 1)
    changed = FILES["negotiation.bpmn"].replace(
        task("frame", "record.part=frame", "data.input=gaps", topic="panel"),
        f'<bpmn:callActivity id="frame" calledElement="negotiation">{both}</bpmn:callActivity>',
    )
    assert {each.rule for each in found(written(tmp_path, negotiation__bpmn=changed), specs)} == {Rule.RECORD_PARTS}


@given(elements())
def test_whatever_elements_stand_where_they_are_looked_at_or_said_to_be_unreadable(
    tmp_path_factory: pytest.TempPathFactory, root: Element
) -> None:
    model = Element(f"{BPMN}definitions")
    SubElement(model, f"{BPMN}process", id="p").append(root)
    file = tmp_path_factory.mktemp("any") / "any.bpmn"
    file.write_bytes(tostring(model))
    models, unread = read([file])
    assert all(each.line >= 1 for each in check(models, None))
    assert len(models) + len(unread) == 1
