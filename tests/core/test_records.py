"""A decision's record, from what was said to what the engine is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.core.deciding import DEFINITION, KEY, Deciding, told
from tests.core.rig import Core
from tests.fakes.decisions import FakeBook
from tests.fakes.life import Life
from tests.unit.decisions.examples import parts, scores, weights
from worker.decisions import chain
from worker.decisions.verifying import verify
from worker.domain.decisions import DecisionKey
from worker.domain.processes import Process
from worker.domain.tasks import Task, Variable
from worker.errors import TranscriptDown


async def test_a_record_is_computed_of_what_was_said_and_gateways_read_its_figures(deciding: Deciding) -> None:
    deciding.say_all()
    job = await deciding.reach("compute", data_output_fields="leader, lead, sure=agreement")

    said = told(job)
    assert (said["id"], said["revision"], said["status"]) == (KEY.id, 1, "computed")
    assert (said["leader"], said["agreement"], said["mismatches"]) == ("Y", "not_measured", 0)
    assert None not in said.values()
    assert job.results["leader"] == Variable("Y", "String")
    assert job.results["lead"].value == pytest.approx(0.05)
    assert job.results["sure"] == Variable("not_measured", "String")
    assert job.results["decision_id"].value == KEY.id
    assert job.results["decision_sha256"].value == deciding.kept.record["content_sha256"]
    assert verify(deciding.kept.record, deciding.kept.rows).holds
    assert deciding.core.provider.asked == [], "no model is asked"


async def test_its_words_stand_beside_it_where_they_are_wanted_with_figures_filled_in(deciding: Deciding) -> None:
    deciding.say_all()
    assert "decision_text" not in (await deciding.reach("propose")).results
    job = await deciding.reach("propose", activity="again", record_text="true")

    text = job.results["decision_text"]
    assert (text.type, text.value.partition("\n")[0]) == ("String", "# Which press is bought?")
    assert "It has 0.64, and leads by 0.05." in text.value
    assert f"- Content (SHA-256): {job.results['decision_sha256'].value}" in text.value


async def test_every_item_says_where_it_comes_from(deciding: Deciding) -> None:
    deciding.say_all()
    passage = deciding.say(
        "frame",
        parts()["frame"],
        question="q1",
        answer="a1",
        thread="conv_1",
        tokens={"input": 7},
        files=["handbook.pdf ab12", 7, ""],
    )
    await deciding.reach("compute")

    source = deciding.kept.record["sources"]["frame"]
    known = {name: source[name] for name in ("of", "instance", "activity", "activity_instance", "variable")}
    assert known == {
        "of": "turn",
        "instance": "a",
        "activity": "frame",
        "activity_instance": passage,
        "variable": "frame",
    }
    assert (source["question"], source["answer"], source["thread"]) == ("q1", "a1", "conv_1")
    assert (source["assistant"], source["attempt"], source["tokens"]) == ("analyst", 1, {"input": 7})
    assert source["files"] == ["handbook.pdf ab12"]


async def test_a_task_that_comes_again_after_its_worker_died_keeps_nothing_anew(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.activity(
        "compute",
        definition=DEFINITION,
        properties={"service.type": "decision-record", "record.stage": "compute", "data.output": "decision"},
    )
    dying = await core.worker(life=Life("after:decisions.keep"))
    dying.start()
    job = core.world.start("compute", definition=DEFINITION, instance="a")
    await core.until(lambda: dying.life.is_over)
    first = deciding.kept
    async with core.working():
        await core.until_over([job])

    assert deciding.kept == first
    assert len(first.rows) == 1
    assert told(job)["revision"] == 1


async def test_a_changed_part_makes_a_new_revision_and_leaves_the_old_one_in_the_rows(deciding: Deciding) -> None:
    deciding.say_all()
    await deciding.reach("compute")
    deciding.say("weights", {"sets": [weights(quality=200)]})
    job = await deciding.reach("compute")

    assert told(job)["revision"] == 2
    assert deciding.kinds() == [("change", 1, "computed"), ("change", 2, "computed")]
    assert [each["part"] for each in deciding.kept.record["earlier"]] == ["weights"]
    assert chain.problems(deciding.kept.rows, KEY.id) == []


async def test_what_a_person_makes_of_a_part_stands_until_a_person_changes_it(deciding: Deciding) -> None:
    deciding.say_all()
    edited = {"sets": [weights(quality=200)]}
    deciding.core.world.past.person(
        "a", "review", "ann", weights=json.dumps(edited), frame=json.dumps(parts()["frame"])
    )
    deciding.say("weights", {"sets": [weights(quality=50)]})
    await deciding.reach("compute")

    record = deciding.kept.record
    source = record["sources"]["weights"]
    assert (source["of"], source["activity"], source["identity"]) == ("person", "review", "operation_log")
    assert record["texts"][source["user"]["text_sha256"]]["text"] == "ann"
    assert record["sources"]["frame"]["of"] == "turn", "what a form only showed was changed by nobody"
    assert [each["part"] for each in record["proposed"]] == ["weights"]


async def test_what_somebody_wrote_by_hand_counts_as_the_variable_that_it_is(deciding: Deciding) -> None:
    deciding.core.world.past.by_hand("a", weights=json.dumps({"sets": []}))
    deciding.say_all()
    deciding.core.world.past.by_hand("a", weights=json.dumps({"sets": [weights(quality=200)]}), frame="no JSON")
    await deciding.reach("compute")

    assert deciding.kept.record["sources"]["weights"]["of"] == "variable"
    assert [each["part"] for each in deciding.kept.record["earlier"]] == ["weights"], "not what stood there before"


async def test_a_panel_has_a_judge_for_each_answer_and_only_its_last_run_sits(deciding: Deciding) -> None:
    deciding.say_all()
    deciding.task("scores", loops=1)
    for number, name in enumerate(("old hand", "buyer", "buyer")):
        deciding.say("scores", scores(), output=f"scores_{number}", run="a#1", assistant=name)
    for number, name in enumerate(("buyer", "buyer", "maker-of-things")):
        rows = {"X": (100, 70 + number, 20), "Y": (60, 60, 10), "Z": (40, 40, 20)}
        deciding.say("scores", scores(rows), output=f"scores_{number}", run="a#2", assistant=name)
    deciding.core.world.past.runs |= {"scores:cancelled": "a#2", "scores:cancelled-before": "a#1"}
    job = await deciding.reach("compute")

    judges = deciding.kept.record["content"]["scores"]
    assert (told(job)["judges"], told(job)["absent"]) == (3, 1), "a short panel is said"
    assert sorted(judges) == ["buyer_scores_0", "buyer_scores_1", "maker_of_things_scores_2"]
    assert told(job)["agreement"] in {"agree", "differ"}


async def test_parts_that_persons_give_by_a_form_need_no_assistant(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    given = {"record_given": "weights=agreed, scores=own"}
    job = await deciding.reach("compute", **given)
    assert "the variable agreed, which record.given names, is not set" not in job.message, "an assistant's is there"
    sets = {"sets": [weights(quality=200)]}
    core.world.past.by_hand("a", agreed=json.dumps(sets))
    core.world.past.person("a", "weigh", "ann", agreed=json.dumps(sets), own=json.dumps(scores()))
    job = await deciding.reach("compute", **given)

    sources = deciding.kept.record["sources"]
    assert (told(job)["revision"], sources["weights"]["of"]) == (2, "variable"), "the form changed nothing of it"
    assert sources["scores"]["own"]["of"] == "person"
    assert sorted(deciding.kept.record["content"]["scores"]) == ["analyst", "own"]


async def test_a_part_that_nobody_has_given_names_its_variable(deciding: Deciding) -> None:
    job = await deciding.reach("compute", record_given="frame=asked")
    assert "needs the part frame: the variable asked, which record.given names, is not set; set it" in job.message


UNREADABLE = [None, "", "null", "{broken", "[1]", '{"dissent": "\\ud800"}', '{"dissent": 1e999}']


@pytest.mark.parametrize("was", UNREADABLE)
async def test_what_a_given_variable_was_before_does_not_block_the_record(deciding: Deciding, was: Any) -> None:
    deciding.say_all()
    past = deciding.core.world.past
    past.by_hand("a", agreed=was)
    past.person("a", "weigh", "ann", agreed=was)
    past.person("a", "weigh", "ann", agreed=json.dumps({"sets": [weights(quality=200)]}))
    job = await deciding.reach("compute", record_given="weights=agreed")
    assert (told(job)["revision"], deciding.kept.record["sources"]["weights"]["variable"]) == (1, "agreed")


@pytest.mark.parametrize("now", UNREADABLE)
async def test_what_a_given_variable_is_last_has_to_be_a_part_if_it_is_set(deciding: Deciding, now: Any) -> None:
    deciding.say_all()
    past = deciding.core.world.past
    past.person("a", "weigh", "ann", agreed=json.dumps({"sets": [weights(quality=200)]}))
    past.person("a", "weigh", "ann", agreed=now)
    job = await deciding.reach("compute", record_given="weights=agreed")
    if now in UNREADABLE[:3]:
        assert deciding.kept.record["sources"]["weights"]["variable"] == "weights"
    else:
        assert "the variable agreed, which record.given names, is no " in job.message


@pytest.mark.parametrize("was", UNREADABLE)
async def test_what_a_person_made_of_an_answer_before_does_not_block_the_record(deciding: Deciding, was: Any) -> None:
    deciding.say_all()
    past = deciding.core.world.past
    past.person("a", "review", "ann", weights=was)
    if was in UNREADABLE[:3]:
        await deciding.reach("compute", activity="first")
        assert deciding.kept.record["sources"]["weights"]["of"] == "turn"
    else:
        job = await deciding.reach("compute", activity="first")
        assert "what review has made of weights in the variable weights is no " in job.message
    past.person("a", "review", "ann", weights=json.dumps({"sets": [weights(quality=200)]}))
    await deciding.reach("compute", activity="second")
    assert deciding.kept.record["sources"]["weights"]["of"] == "person"


@pytest.mark.parametrize("was", UNREADABLE)
async def test_an_answer_that_is_no_part_may_be_mended_by_a_person(deciding: Deciding, was: Any) -> None:
    deciding.say_all()
    at = datetime.fromtimestamp(0, UTC)
    task = Task("tw", "topic", "weights", "a", DEFINITION, "choose", "e", at, 0.0)
    deciding.core.world.past.completed(task, {"weights": Variable(was, "String")})
    job = await deciding.reach("compute", activity="first")
    assert "in the variable weights is no " in job.message
    mended = json.dumps({"sets": [weights(quality=200)]})
    deciding.core.world.past.person("a", "review", "ann", weights=mended)
    await deciding.reach("compute", activity="second")
    assert deciding.kept.record["sources"]["weights"]["of"] == "person"


async def test_what_called_processes_said_is_gathered_with_it(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.past.called["a"] = ["b"]
    deciding.say("scores", scores(), instance="b", assistant="buyer")
    await deciding.reach("compute")
    assert sorted(deciding.kept.record["content"]["scores"]) == ["analyst", "buyer"]


async def test_a_record_of_the_root_is_made_in_a_called_process(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.roots["b"], core.world.past.called["a"] = "a", ["b"]
    job = await deciding.reach("compute", instance="b", record_scope="root")
    assert told(job)["id"] == KEY.id


async def test_a_record_of_the_root_has_the_roots_business_key_tenant_and_definition(
    core: Core, deciding: Deciding
) -> None:
    deciding.say_all()
    core.world.roots["b"], core.world.past.called["a"] = "a", ["b"]
    core.world.processes["a"] = Process("a", "order:3:o", "order", 3, "order-1", "north", None, is_active=True)
    job = await deciding.reach("compute", instance="b", record_scope="root")

    assert core.decisions is not None
    [kept] = core.decisions.kept.values()
    assert (kept.business_key, kept.definition_key, kept.key.tenant) == ("order-1", "order", "north")
    assert told(job)["id"] == DecisionKey("default", "a", tenant="north").id
    assert kept.rows[0]["facts"]["instance"] == "b", "where the engine has its hash"


async def test_a_record_of_a_root_that_may_not_be_read_is_an_incident_that_says_so(
    core: Core, deciding: Deciding
) -> None:
    deciding.say_all()
    core.world.roots["b"], core.world.past.called["a"] = "a", ["b"]
    core.world.processes["a"] = None
    job = await deciding.reach("compute", instance="b", record_scope="root")

    assert "the process instance a at the top of the callers, whose record this is, cannot be read" in job.message


async def test_an_answer_in_a_file_is_read_as_the_part_that_it_is(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    frame = parts()["frame"] | {"statement": "Which press?"}
    task = Task("tf", "topic", "frame", "a", DEFINITION, "choose", "e", datetime.fromtimestamp(0, UTC), 0.0)
    core.world.past.completed(task, {"frame": Variable(None, "File"), "frame_meta": Variable("{}", "String")})
    core.world.contents["a", "frame"] = json.dumps(frame).encode()
    await deciding.reach("compute")
    sealed = deciding.kept.record["content"]["frame"]["statement"]["text_sha256"]
    assert deciding.kept.record["texts"][sealed]["text"] == "Which press?"


async def test_without_a_history_what_the_variables_are_now_counts(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.past.is_kept = False
    job = await deciding.reach("compute")
    assert told(job)["leader"] == "Y"
    assert deciding.kept.record["sources"]["frame"]["assistant"] == "analyst"


CHILD = Process("b", "child:1:d", "child", 1, None, None, None, is_active=False)


def said_in_a_called_process(deciding: Deciding, part: str) -> None:
    """All but this part is said in the instance, and this one in another that it called, by a definition of its own."""
    core, given = deciding.core, parts() | {"scores": scores()}
    core.world.past.called["a"], core.world.processes["b"] = ["b"], CHILD
    for name, value in given.items():
        own = {"instance": "b", "definition": CHILD.definition_id} if name == part else {}
        deciding.task(name, definition=own.get("definition", DEFINITION))
        deciding.say(name, value, **own)


@pytest.mark.parametrize("part", ["frame", "scores"])
@pytest.mark.parametrize("is_kept", [True, False])
async def test_what_a_called_process_said_by_a_model_of_its_own_is_gathered_at_each_history_level(
    core: Core, deciding: Deciding, part: str, *, is_kept: bool
) -> None:
    said_in_a_called_process(deciding, part)
    core.world.past.is_kept = is_kept
    job = await deciding.reach("compute")

    assert told(job)["leader"] == "Y"
    source = deciding.kept.record["sources"][part]
    source = source["analyst"] if part == "scores" else source
    assert (source["instance"], source["definition"], source["activity"]) == ("b", CHILD.definition_id, part)


async def test_without_a_history_what_a_called_process_handed_up_is_said_once(core: Core, deciding: Deciding) -> None:
    said_in_a_called_process(deciding, "frame")
    past = core.world.past
    past.is_kept = False
    frame = {each.name: each.value for each in past.values if each.instance == "b"}
    past.by_hand("a", **frame)
    await deciding.reach("compute", activity="first")
    assert (deciding.kept.record["earlier"], deciding.kept.record["sources"]["frame"]["instance"]) == ([], "b")

    past.values = [each for each in past.values if each.instance != "b"]
    await deciding.reach("compute", activity="second")
    kept, source = deciding.kept.record, deciding.kept.record["sources"]["frame"]
    assert (kept["revision"], source["instance"], source["activity"]) == (1, "a", "frame")


def handed(quality: float) -> dict[str, str]:
    return {"agreed": json.dumps({"sets": [weights(quality=quality)]})}


def quality_of(deciding: Deciding) -> float:
    [base] = deciding.kept.record["content"]["weights"]["sets"]
    points: float = next(each["points"] for each in base["points"] if each["objective"] == "Quality")
    return points


@pytest.mark.parametrize(("instance", "counts"), [("a", 200), ("b", 50)])
async def test_without_a_history_what_a_called_process_was_given_is_no_newer_than_what_the_own_one_has(
    core: Core, deciding: Deciding, instance: str, counts: float
) -> None:
    """A called process keeps the copy that it was started with, also when it is over."""
    deciding.say_all()
    core.world.roots["b"], core.world.past.called["a"] = "a", ["b", "c"]
    core.world.past.is_kept = False
    core.world.past.by_hand("b", **handed(50))
    core.world.past.by_hand("c", **handed(70))
    core.world.past.by_hand("a", **handed(200))
    job = await deciding.reach("compute", instance=instance, record_scope="root", record_given="weights=agreed")
    assert (job.message, quality_of(deciding)) == ("", counts)


async def test_without_a_history_what_a_person_made_of_an_answer_counts_before_older_copies(
    core: Core, deciding: Deciding
) -> None:
    deciding.say_all()
    past = core.world.past
    past.is_kept, past.called["a"], core.world.processes["b"] = False, ["b"], CHILD
    deciding.task("weights", definition=CHILD.definition_id)
    copy = {each.name: each.value for each in past.values if each.name in {"weights", "weights_meta"}}
    past.by_hand("b", **copy)
    past.by_hand("a", weights=json.dumps({"sets": [weights(quality=200)]}))
    await deciding.reach("compute")
    assert quality_of(deciding) == 200


async def test_without_a_history_local_answers_keep_their_judges(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.past.is_kept = False
    for number, name in enumerate(("buyer", "maker")):
        rows = {"X": (100, 70 + number, 20), "Y": (60, 60, 10), "Z": (40, 40, 20)}
        core.world.past.made_local(deciding.say("scores", scores(rows), assistant=name))
    job = await deciding.reach("compute")

    assert (job.message, told(job)["judges"]) == ("", 3)
    assert {judge: each["assistant"] for judge, each in deciding.kept.record["sources"]["scores"].items()} == {
        "analyst": "analyst",
        "buyer": "buyer",
        "maker": "maker",
    }


async def test_without_a_history_an_answer_may_be_of_another_scope_than_its_meta(
    core: Core, deciding: Deciding
) -> None:
    """Engines write a variable where one of its name is, and the meta to the instance if there is none of its name."""
    deciding.say_all()
    core.world.past.is_kept = False
    core.world.past.made_local(deciding.say("frame", parts()["frame"]), "frame")
    core.world.past.values = [each for each in core.world.past.values if each.name != "frame" or each.scope]
    job = await deciding.reach("compute")
    assert job.message == ""


@pytest.mark.parametrize("is_same", [True, False])
async def test_without_a_history_a_mapped_answer_without_its_meta_has_to_be_one_that_is_known(
    core: Core, deciding: Deciding, *, is_same: bool
) -> None:
    deciding.say_all()
    past = core.world.past
    past.is_kept = False
    copy = next(each.value for each in past.values if each.name == "frame")
    past.made_local(next(each.activity_instance for each in past.values if each.name == "frame"))
    past.by_hand("a", frame=copy if is_same else json.dumps(parts()["frame"] | {"statement": "Another?"}))
    job = await deciding.reach("compute")
    if is_same:
        assert (job.message, deciding.kept.record["sources"]["frame"]["of"]) == ("", "turn")
    else:
        assert "whose answer the variable frame is" in job.message
        assert "Let each mapping of it take frame_meta along" in job.message


async def test_without_a_history_a_record_of_the_root_knows_what_the_root_said(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    core.world.past.is_kept = False
    core.world.roots["b"], core.world.past.called["a"], core.world.processes["b"] = "a", ["b"], CHILD
    properties = {"service.type": "decision-record", "record.stage": "compute", "data.output": "decision"}
    core.world.activity("compute", definition=CHILD.definition_id, properties=properties | {"record.scope": "root"})
    job = core.world.start("compute", definition=CHILD.definition_id, instance="b")
    async with core.working():
        await core.until(lambda: job.gone or job.has_incident)

    assert (job.message, told(job)["id"]) == ("", KEY.id)


async def test_without_a_history_an_answer_that_is_gone_with_its_process_says_what_that_takes(
    core: Core, deciding: Deciding
) -> None:
    said_in_a_called_process(deciding, "frame")
    core.world.past.is_kept = False
    core.world.past.values = [each for each in core.world.past.values if each.instance != "b"]
    job = await deciding.reach("compute")
    assert "no answer of frame (record.part=frame) is to be seen" in job.message
    assert "history level audit" in job.message


async def test_a_part_that_no_task_brings_is_an_incident_that_names_it(deciding: Deciding) -> None:
    for part in ("frame", "objectives"):
        deciding.task(part)
    deciding.say("frame", parts()["frame"])
    job = await deciding.reach("compute")
    assert "the engine has taken no answer of objectives (record.part=objectives) yet" in job.message
    deciding.say("objectives", parts()["objectives"])
    job = await deciding.reach("compute", activity="again")
    assert job.message.startswith(
        '"Again" (again): property record.stage is compute, which needs the part alternatives: no task has the '
        "property record.part=alternatives; add one before this task."
    )


async def test_a_contradiction_is_an_incident_that_names_the_tasks_of_the_part(deciding: Deciding) -> None:
    deciding.say_all(scores={"one": {"scores": []}})
    job = await deciding.reach("compute")
    assert "the part scores is not in its form: at $.scores" in job.message
    assert "The parts are of scores (record.part=scores). Correct it" in job.message
    deciding.say("scores", scores({"Q": (1, 2, 3)}))
    job = await deciding.reach("compute")
    assert "Q" in job.message


async def test_a_field_that_a_record_does_not_tell_is_an_incident_before_anything_is_completed(
    deciding: Deciding,
) -> None:
    deciding.say_all()
    job = await deciding.reach("compute", data_output_fields="accepted")
    assert "property data.output.fields names what the record does not tell here" in job.message


async def test_without_a_database_it_is_an_incident_that_says_so(core: Core, deciding: Deciding) -> None:
    core.decisions = None
    deciding.say_all()
    job = await deciding.reach("compute")
    assert "kept in the transcript's database, which is off: set TRANSCRIPT_URL" in job.message


async def test_while_the_database_is_away_the_task_is_parked_and_no_retry_is_spent(
    core: Core, deciding: Deciding
) -> None:
    assert core.decisions is not None
    core.decisions.script.next("last", TranscriptDown("away"), TranscriptDown("away"))
    core.decisions.script.next("keep", TranscriptDown("away"))
    deciding.say_all()
    job = await deciding.reach("compute")
    assert (told(job)["revision"], job.retries, job.message) == (1, None, "")


async def test_a_row_that_another_worker_kept_meanwhile_is_followed(core: Core, deciding: Deciding) -> None:
    class Raced(FakeBook):
        async def keep(self, key: DecisionKey, record: Any, row: Any, **more: Any) -> bool:
            if not self.kept:  # another has had the same task, and was faster
                await super().keep(key, record, row, **more)
                return False
            return await super().keep(key, record, row, **more)

    core.decisions = Raced()
    deciding.say_all()
    job = await deciding.reach("compute")
    assert (told(job)["revision"], len(deciding.kept.rows)) == (1, 1)


async def test_a_process_has_several_records_by_their_names(core: Core, deciding: Deciding) -> None:
    deciding.say_all()
    job = await deciding.reach("compute", record_id="site")
    assert "record.part=frame and record.id=site; add one" in job.message
    for part in parts():
        activity = core.world.definitions[DEFINITION].activities[part]
        core.world.activity(part, definition=DEFINITION, properties={**activity.properties, "record.id": "site"})
    job = await deciding.reach("compute", record_id="site")
    assert told(job)["id"] == DecisionKey("default", "a", "site").id


async def test_an_answer_that_the_engine_does_not_show_is_an_incident_that_names_the_right(
    core: Core, deciding: Deciding
) -> None:
    deciding.say_all()
    core.world.past.values.clear()
    job = await deciding.reach("compute")
    assert "has taken an answer of frame (record.part=frame) and does not show it" in job.message
    assert "READ_HISTORY_VARIABLE" in job.message
