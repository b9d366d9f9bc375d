"""A record that is built of what was said, and closed by what persons did."""

import json
import re
from datetime import datetime
from typing import Any

import pytest

from tests.unit.decisions.examples import at, parts, said, scores, weights
from worker.decisions import chain, schemas
from worker.decisions.items import Item, judge_ids
from worker.decisions.record import Act, Record, build, close, current, facts, shown
from worker.errors import BadRecord

FEW = 50


def built(*more: Item, stage: Any = "proposed", before: Record | None = None, **changed: Any) -> Record:
    return build("r1", [*said(**changed), *more], stage, before=before, samples=FEW)


def by_person(part: str, value: Any, hour: int, **more: str) -> Item:
    return Item(part, value, {"of": "person", "at": at(hour), "user": "ben"} | more)


def by_model(part: str, value: Any, hour: int, judge: str = "") -> Item:
    return Item(part, value, {"of": "turn", "at": at(hour), "task": f"t{hour}"}, judge)


def test_a_record_fits_its_published_form_at_each_stage() -> None:
    for stage in ("open", "computed", "proposed"):
        record = built(stage=stage)
        schemas.check(record)
        assert (record["status"], "computed" in record["content"]) == (stage, stage != "open")
    assert json.loads(json.dumps(record)) == record


def test_the_form_names_what_a_status_needs() -> None:
    record = built()
    del record["content"]["weights"], record["content"]["computed"]
    with pytest.raises(BadRecord, match=r"'weights' is a required property; .*'computed' is a required property"):
        schemas.check(record)


def test_parts_that_a_stage_lacks_are_named() -> None:
    given = [each for each in said() if each.part not in {"weights", "recommendation"}]
    with pytest.raises(BadRecord, match="the record lacks weights, recommendation to be proposed"):
        build("r1", given, "proposed")
    with pytest.raises(
        BadRecord, match="the record lacks frame, objectives, alternatives, weights, scores to be computed"
    ):
        build("r1", [], "computed")
    assert build("r1", [], "open")["content"] == {}


def test_a_value_that_is_not_in_its_form_is_named_with_its_judge() -> None:
    with pytest.raises(BadRecord, match=r"part scores is not in its form: at \$\.scores.* \(of two\)"):
        built(by_model("scores", {"scores": []}, 9, "two"))
    with pytest.raises(BadRecord, match="scores have a judge, and nothing else has: frame"):
        built(by_model("frame", parts()["frame"], 9, "two"))
    with pytest.raises(BadRecord, match="no part 'criteria'"):
        built(by_model("criteria", {}, 9))


def test_the_newest_counts_and_the_older_stays() -> None:
    newer = {"sets": [weights(1, 1, 1)]}
    record = built(by_model("weights", newer, 9))
    assert record["content"]["computed"]["shares"]["Cost"] == pytest.approx(1 / 3)
    assert [(each["part"], each["source"]["task"]) for each in record["earlier"]] == [("weights", "t1")]
    assert record["proposed"] == []
    older = Item("weights", newer, {"of": "turn", "at": "2026-02-28T22:30:00-02:00", "task": "t0"})
    assert built(older)["content"]["computed"]["shares"]["Cost"] == pytest.approx(0.3)


def test_what_a_person_said_is_replaced_by_a_person_alone() -> None:
    mine, theirs, last = ({"sets": [weights(*points)]} for points in ((1, 1, 1), (5, 1, 1), (1, 5, 1)))
    record = built(by_person("weights", mine, 8), by_model("weights", theirs, 9))
    assert record["content"]["computed"]["shares"]["Cost"] == pytest.approx(1 / 3)
    [proposed] = record["proposed"]
    assert (proposed["source"]["task"], proposed["value"]["sets"][0]["points"][0]["points"]) == ("t9", 5)

    record = built(by_person("weights", mine, 8), by_model("weights", theirs, 9), by_person("weights", last, 10))
    assert record["content"]["computed"]["shares"]["Quality"] == pytest.approx(5 / 7)
    assert (record["proposed"], len(record["earlier"])) == ([], 3)


@pytest.mark.parametrize("when", [None, "today", "2026-03-01T12:00:00"])
def test_what_has_no_time_cannot_be_newer(when: Any) -> None:
    with pytest.raises(BadRecord, match="the source of frame has no time with a zone"):
        built(Item("frame", parts()["frame"], {"of": "turn", "at": when}))


def test_scores_count_by_judge() -> None:
    record = built(by_model("scores", scores(X_Quality={"base": 80}), 9, "two"))
    assert record["content"]["scores"].keys() == {"one", "two"} == record["sources"]["scores"].keys()
    again = built(by_model("scores", scores(X_Quality={"base": 80}), 9, "one"))
    assert again["content"]["scores"].keys() == {"one"}
    assert [each["judge"] for each in again["earlier"]] == ["one"]


def test_the_same_said_again_is_the_same_revision_and_hash() -> None:
    first = built()
    again = built(*said(), before=first)
    assert again == first
    other_turn = built(*(by_model("frame", parts()["frame"], 9),), before=first)
    assert (other_turn["revision"], other_turn["content_sha256"]) == (1, first["content_sha256"])
    assert other_turn["sources"]["frame"]["task"] == "t9"


def test_any_change_is_another_revision_and_drops_what_was_computed() -> None:
    first = built()
    then = built(by_person("weights", {"sets": [weights(1, 1, 1)]}, 9), stage="open", before=first)
    assert (then["revision"], "computed" in then["content"]) == (2, False)
    assert then["content_sha256"] != first["content_sha256"]
    word = built(recommendation=parts()["recommendation"] | {"why": "Because."}, before=first)
    assert (word["revision"], word["content"]["computed"]["sums"]) == (2, first["content"]["computed"]["sums"])


def test_texts_of_what_does_not_count_are_kept_and_nobody_elses() -> None:
    mine = by_person("dissent", {"dissent": [{"text": "I disagree."}]}, 8)
    record = built(mine, by_model("dissent", {"dissent": [{"text": "Nobody does."}]}, 9))
    kept = {each["text"] for each in record["texts"].values()}
    assert {"I disagree.", "Nobody does.", "The large press is better.", "ben"} <= kept
    outside = json.dumps({name: value for name, value in record.items() if name != "texts"})
    assert not re.search("disagree|Nobody|ben|large press", outside)
    assert "ben" not in {each["text"] for each in built(before=record)["texts"].values()}


def test_figures_are_filled_in_where_it_is_read_and_not_in_what_is_kept() -> None:
    record = built()
    assert shown(record)["recommendation"]["why"] == "It has 0.64, and leads by 0.05."
    assert "It has {sums.Y}, and leads by {lead}." in {each["text"] for each in record["texts"].values()}
    assert shown(record)["frame"] == parts()["frame"]


def test_a_row_of_a_change_names_each_item_by_hash_and_source() -> None:
    record = built(by_person("dissent", parts()["dissent"], 9))
    noted = {(each["part"], each["judge"]): each for each in facts(record)["items"]}
    assert noted.keys() == {(part, judge) for part, judge, _, _ in current(record)}
    assert noted["scores", "one"]["source"]["task"] == "t1"
    assert "ben" not in json.dumps(facts(record))
    assert chain.problems([chain.row("change", None, record, MOMENT, facts(record))], "r1") == []


MOMENT = datetime.fromisoformat(at(12))


def act(record: Record, **changed: Any) -> Act:
    return Act(**{"accepted": True, "answer": "yes", "shown_sha256": record["content_sha256"]} | changed)


@pytest.mark.parametrize(
    ("changes", "accepted", "answer", "reason"),
    [
        ([{}], True, "yes", ""),
        ([{}, {"accepted": False, "answer": "no"}], False, "no", ""),
        ([], False, "", "nobody has signed it"),
        ([{"shown_sha256": "0" * 64}], False, "yes", "what was signed is 000000000000, and the record is"),
        ([{}, {"shown_sha256": ""}], False, "yes", "what was signed is unknown"),
        ([{"doubt": "demo completed ben's task"}, {}], False, "yes", "demo completed ben's task"),
    ],
)
def test_a_record_is_closed_by_what_persons_did_with_what_they_saw(
    changes: list[dict[str, Any]], accepted: bool, answer: str, reason: str
) -> None:
    record = built()
    closed = close(record, [act(record, **each) for each in changes])
    schemas.check(closed)
    assert (closed["status"], closed["content_sha256"]) == ("closed", record["content_sha256"])
    assert (closed["decision"]["accepted"], closed["decision"]["answer"]) == (accepted, answer)
    assert closed["decision"]["void_reason"].startswith(reason)
    assert bool(reason) == bool(closed["decision"]["void_reason"])


def test_what_was_not_proposed_is_not_closed() -> None:
    with pytest.raises(BadRecord, match="is closed after it was proposed, and this one is computed"):
        close(built(stage="computed"), [])


def test_judges_get_ids_of_their_own() -> None:
    names = ["risk officer", "risk-officer", "2nd", "Ä" * 3, "x" * 100, "x" * 101, ""]
    ids = judge_ids(names)
    assert len(set(ids.values())) == len(names)
    assert ids["risk officer"] == "risk_officer"
    assert ids["risk-officer"] == "risk_officer_2"
    for each in ids.values():
        schemas.check_part("scores", {"scores": [{"alternative": each, "criterion": "c", "base": 1}]})


def test_what_was_computed_of_the_same_parts_stays_though_another_processor_rounds_otherwise() -> None:
    first = built()
    figures = first["content"]["computed"]
    elsewhere = {**first, "content": {**first["content"], "computed": {**figures, "lead": figures["lead"] + 1e-12}}}
    assert built(before=elsewhere)["content"] == elsewhere["content"]
    assert built(by_person("weights", {"sets": [weights(cost=61)]}, 9), before=elsewhere)["content"] != first["content"]
    assert build("r1", said(), "proposed", before=elsewhere, samples=FEW + 1)["content"]["computed"] != figures
