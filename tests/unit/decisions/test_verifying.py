"""Whether a record is what it was."""

import copy
import sys
from datetime import datetime
from typing import Any

import pytest

from tests.unit.decisions.examples import at, parts, said, scores, weights
from worker.decisions import chain, hashing
from worker.decisions.items import Item
from worker.decisions.record import Act, Record, build, close, erased, facts
from worker.decisions.verifying import Anchor, Verified, verify

Rows = list[dict[str, Any]]
FEW = 500


@pytest.fixture(scope="module")
def made() -> tuple[Record, Rows]:
    person = Item("dissent", parts()["dissent"], {"of": "person", "at": at(2), "user": "ben"})
    record = build("r1", [*said(scores={"one": scores(Y_Quality={"sd": 15})}), person], "proposed", samples=FEW)
    change = chain.row("change", None, record, datetime.fromisoformat(at(3)), facts(record))
    return record, [change, chain.row("signature", change, record, datetime.fromisoformat(at(4)), {"answer": "yes"})]


@pytest.fixture
def kept(made: tuple[Record, Rows]) -> tuple[Record, Rows]:
    """A copy, to be changed."""
    return copy.deepcopy(made)


def anchor(record: Record, **changed: Any) -> Anchor:
    of: dict[str, Any] = {"where": "record_sha256 in the history"}
    return Anchor(**of | {"revision": record["revision"], "content_sha256": record["content_sha256"]} | changed)


def rehash(record: Record, rows: Rows) -> Rows:
    """What somebody does who can write to the database and knows how all is hashed."""
    record["content_sha256"] = hashing.sha256(record["content"])
    anew = Rows()
    for row in rows:
        told = facts(record) if row["kind"] == "change" else row["facts"]
        anew.append(chain.row(row["kind"], anew[-1] if anew else None, record, datetime.fromisoformat(row["at"]), told))
    return anew


def test_a_record_that_nobody_touched_holds_and_its_anchors_are_named(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    other = anchor(record, where="record_sha256 of the instance that called it")
    assert verify(record, rows, [anchor(record), other]) == Verified(
        [], ["engine: record_sha256 in the history", "engine: record_sha256 of the instance that called it"], [], 0
    )


def test_without_an_anchor_that_is_said(kept: tuple[Record, Rows]) -> None:
    found = verify(*kept)
    assert (found.holds, found.notes) == (True, ["no anchor outside the database holds this revision"])


def edited(record: Record) -> None:
    record["content"]["recommendation"]["alternative"] = "X"


def test_an_edit_is_seen(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    edited(record)
    found = verify(record, rows, [anchor(record)])
    problems = found.problems
    assert "engine: record_sha256 in the history has another hash of revision 1" in problems
    assert found.anchors == []
    assert "the content is not what was hashed" in problems
    assert "items or their sources are not those that the last row tells of" in problems


def test_an_edit_with_all_hashes_made_anew_fails_by_an_anchor(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    before = anchor(record, where="there")
    record["content"]["dissent"] = {"dissent": []}
    rows = rehash(record, rows)
    assert verify(record, rows).holds, "nobody can tell by the record alone"
    assert verify(record, rows, [before]).problems == ["engine: there has another hash of revision 1"]


def test_a_figure_that_does_not_follow_from_the_parts_fails_even_rehashed(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    record["content"]["computed"]["sums"]["Y"] = 0.66
    assert verify(record, rehash(record, rows)).problems == ["sums.Y is computed otherwise now"]


def test_figures_of_another_processor_are_the_same(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    computed = record["content"]["computed"]
    computed["sums"]["Y"] += 1e-12
    computed["over_weights"]["Y"][0] += 0.0005
    computed["kendall_w"] = None
    rows = rehash(record, rows)
    assert verify(record, rows).holds
    computed["over_weights"]["Y"][0] += 0.002
    assert verify(record, rehash(record, rows)).problems == ["over_weights.Y.1 is computed otherwise now"]


def test_erased_texts_leave_all_sound_and_are_counted(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    gone = [digest for digest, each in record["texts"].items() if each["text"] in {"ben", "The board"}]
    for digest in gone:
        del record["texts"][digest]
    found = verify(record, rows, [anchor(record)])
    assert (found.problems, found.notes, found.erased) == ([], ["2 texts erased"], 2)


def test_a_text_that_was_exchanged_is_seen(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    digest = next(digest for digest, each in record["texts"].items() if each["text"] == "The board")
    record["texts"][digest]["text"] = "The staff"
    assert f"the text {digest[:12]} is not what was hashed" in verify(record, rows).problems


def test_a_source_that_was_changed_is_seen(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    record["sources"]["frame"]["task"] = "t9"
    assert verify(record, rows).problems == ["items or their sources are not those that the last row tells of"]


@pytest.fixture
def decided(kept: tuple[Record, Rows]) -> tuple[Record, Rows]:
    """A record with parts that do not count any more, which one person has refused."""
    record, rows = kept
    edited = Item("weights", {"sets": [weights(1, 1, 1)]}, {"of": "person", "at": at(5), "user": "ben"})
    late = Item("weights", {"sets": [weights(2, 1, 1)]}, {"of": "turn", "at": at(6)})
    built = build("r1", [*said(), edited, late], "proposed", before=record, samples=FEW)
    assert built["earlier"]
    assert built["proposed"]
    refused = {"accepted": False, "shown_sha256": built["content_sha256"], "doubt": ""}
    closed = close(built, [Act(False, "too dear", built["content_sha256"])])
    for kind, now, told in (("change", built, facts(built)), ("signature", built, refused), ("change", closed, None)):
        of: Any = kind
        rows.append(chain.row(of, rows[-1], now, datetime.fromisoformat(at(7)), told or facts(closed)))
    assert verify(closed, rows).holds
    return closed, rows


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"decision": {"accepted": True}}, "the decision is not the one that the last row tells of"),
        ({"decision": {"void_reason": "a doubt"}}, "the decision is not the one that the last row tells of"),
        ({"status": "proposed"}, "the status is not the one that the last row tells of"),
        ({"earlier": []}, "what does not count any more is not what the last row tells of"),
        ({"proposed": []}, "what does not count any more is not what the last row tells of"),
    ],
)
def test_what_stands_beside_the_content_cannot_be_changed(
    decided: tuple[Record, Rows], change: dict[str, Any], problem: str
) -> None:
    record, rows = decided
    for name, value in change.items():
        record[name] = {**record[name], **value} if isinstance(value, dict) else value
    assert problem in verify(record, rows).problems


def test_rows_that_tell_less_hold_the_status_and_what_signatures_say(decided: tuple[Record, Rows]) -> None:
    record, before = decided
    rows = Rows()
    for row in before:
        told = {name: each for name, each in row["facts"].items() if name not in {"decision", "beside"}}
        of = {"id": "r1", "revision": row["revision"], "content_sha256": row["content_sha256"]}
        at_ = datetime.fromisoformat(row["at"])
        rows.append(chain.row(row["kind"], rows[-1] if rows else None, of, at_, told))
    assert verify(record, rows).holds
    accepted = {**record, "decision": {**record["decision"], "accepted": True}}
    assert verify(accepted, rows).problems == ["the decision is not what a signature of this revision says"]
    assert not verify({**record, "status": "proposed"}, rows).holds


def test_an_erased_record_of_a_decision_holds(decided: tuple[Record, Rows]) -> None:
    record, rows = decided
    left, gone = erased(record)
    assert gone
    assert verify(left, rows).holds


def test_a_record_without_its_row_does_not_hold(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    assert verify(record, rows[:1]).holds
    assert verify(record, []).problems == ["no row tells of revision 1 with this content"]


def test_a_signature_of_an_earlier_revision_says_so_and_still_holds_that_one(kept: tuple[Record, Rows]) -> None:
    first, rows = kept
    later = Item("weights", {"sets": [weights(1, 1, 1)]}, {"of": "person", "at": at(5), "user": "ben"})
    second = build("r1", [*said(), later], "proposed", before=first, samples=FEW)
    rows.append(chain.row("change", rows[-1], second, datetime.fromisoformat(at(6)), facts(second)))
    found = verify(second, rows, [anchor(first)])
    assert (found.problems, found.anchors) == ([], [])
    assert "a signature is of revision 1, and this is revision 2" in found.notes
    assert "engine: record_sha256 in the history holds revision 1, and this is 2" in found.notes
    forged = anchor(first, content_sha256="0" * 64)
    assert verify(second, rows, [forged]).problems == [
        "engine: record_sha256 in the history has another hash of revision 1"
    ]


def test_what_is_no_record_says_why(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    record["content"]["weights"]["sets"][0]["points"][0]["points"] = -1
    found = verify(record, rows)
    assert not found.holds
    assert "weights.sets[0].points[0].points" in found.problems[0]


def test_parts_that_contradict_themselves_are_told(kept: tuple[Record, Rows]) -> None:
    record, rows = kept
    record["content"]["weights"]["sets"][0]["points"].pop()
    [problem] = verify(record, rehash(record, rows)).problems
    assert problem.startswith("what was computed cannot be computed again: the record contradicts itself")


def test_without_numpy_the_figures_are_not_computed_again_and_that_is_said(
    kept: tuple[Record, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    found = verify(*kept)
    assert found.holds
    assert "what was computed was not computed again: a decision is to be computed" in found.notes[-1]
