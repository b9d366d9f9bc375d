"""Weights that persons tried out and kept with a record."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.decisions.examples import CRITERIA, at, near, parts, said, weights
from worker.decisions import chain, hashing, record, report, schemas, what_ifs
from worker.decisions.comparing import compare
from worker.decisions.formats import FORMATS
from worker.decisions.items import Item
from worker.decisions.record import Act, Record, build, close, erased, facts
from worker.decisions.verifying import Anchor, verify
from worker.decisions.what_ifs import Erased, Taken, WhatIf, keep
from worker.errors import BadRecord

SOURCE = {"of": "person", "at": at(5), "user": "ann", "name": "Ann", "issuer": "token"}
BOLD = WhatIf("Bold", "If quality were all that counts.", {"Cost": 10, "Quality": 80, "Time": 10})


@cache
def proposed() -> Record:
    return build("r1", said(), "proposed", samples=50)


def kept(before: Mapping[str, Any], said_: WhatIf = BOLD) -> Record:
    return dict(keep(before, said_, SOURCE)[0])


def rows(*revisions: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = list[dict[str, Any]]()
    for each in revisions:
        made.append(chain.row("change", made[-1] if made else None, each, datetime.fromisoformat(at(6)), facts(each)))
    return made


def without_sets(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in found["content"]["computed"].items() if name != "sets"}


def test_it_is_computed_beside_the_others_and_leaves_all_else_as_it_was() -> None:
    before = proposed()
    made, name = keep(before, BOLD, SOURCE)
    schemas.check(made)
    order = made["content"]["computed"]["sets"][name]
    assert (name, made["revision"], made["status"]) == ("what_if_1", 2, "proposed")
    assert (order["leader"], order["shares"]["Quality"], order["lead"]) == ("X", near(0.8), near(0.16))
    assert without_sets(made) == without_sets(before)
    assert made["content"]["weights"] == before["content"]["weights"]
    shown = record.shown(made)["what_ifs"]["sets"]
    assert [(each["name"], each["why"]) for each in shown] == [(BOLD.name, BOLD.why)]
    assert "Ann" not in str({**made, "texts": {}})
    found = verify(made, rows(before, made))
    assert found.problems == []


POINTS = st.tuples(*3 * [st.floats(0, 1e6, allow_nan=False)])


@settings(max_examples=25, deadline=None)
@given(st.lists(POINTS, min_size=1, max_size=4))
def test_whatever_is_kept_the_record_verifies_and_is_what_it_was_before_it(tried: list[tuple[float, ...]]) -> None:
    now, revisions = dict(proposed()), [dict(proposed())]
    for number, points in enumerate(tried):
        try:
            now = kept(now, WhatIf(f"Set {number}", "Why not?", dict(zip(CRITERIA, points, strict=True))))
        except BadRecord:  # all 0, or the base's
            continue
        revisions.append(now)
    assert verify(now, rows(*revisions)).problems == []
    assert without_sets(now) == without_sets(proposed())
    before = [each["content_sha256"] for each in revisions[:-1]]
    assert [*what_ifs.stood_before(now["content"])] == before[::-1]


def test_the_same_again_changes_nothing_and_another_under_the_name_is_refused() -> None:
    made = kept(proposed())
    tenfold = WhatIf("Bold", "Another reason", {"Cost": 1, "Quality": 8, "Time": 1})
    assert keep(made, tenfold, SOURCE) == (made, "what_if_1")
    with pytest.raises(Taken, match="other weights are called 'Bold'"):
        keep(made, WhatIf("Bold", "So.", {"Cost": 2, "Quality": 8, "Time": 1}), SOURCE)
    again, name = keep(made, WhatIf("Bolder", "So.", {"Cost": 0, "Quality": 1, "Time": 0}), SOURCE)
    assert (name, len(again["content"]["what_ifs"]["sets"])) == ("what_if_2", 2)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ({"Cost": 1, "Quality": 1}, "Time has no points"),
        ({"Cost": 1, "Quality": 1, "Time": 1, "Joy": 1}, "Joy is no criterion"),
        ({"Cost": 0, "Quality": 0, "Time": 0}, "are all 0"),
        ({"Cost": -1, "Quality": 1, "Time": 1}, "less than the minimum"),
        ({"Cost": float("nan"), "Quality": 1, "Time": 1}, "no number to compute with"),
        ({"Cost": 3, "Quality": 5, "Time": 2}, "these are the weights that rank"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_is_wrong(points: dict[str, float], why: str) -> None:
    with pytest.raises(BadRecord, match=why):
        keep(proposed(), WhatIf("x", "y", points), SOURCE)


def test_there_are_fifty_sets_at_most_and_none_before_anything_is_computed() -> None:
    many = [weights(), *(weights(1, 2, each) | {"id": f"w{each}", "kind": "what_if"} for each in range(48))]
    full = kept(build("r1", said(weights={"sets": many}), "computed", samples=20))
    with pytest.raises(Taken, match="50 sets of weights"):
        keep(full, WhatIf("One more", "So.", {"Cost": 0, "Quality": 1, "Time": 0}), SOURCE)
    with pytest.raises(Taken, match="nothing is computed"):
        keep(build("r1", said(), "open"), BOLD, SOURCE)


def test_nothing_is_put_into_a_record_whose_texts_were_erased() -> None:
    with pytest.raises(Erased):
        keep(erased(proposed())[0], BOLD, SOURCE)
    gone, count = erased(kept(proposed()))
    assert record.shown(gone)["what_ifs"]["sets"][0]["why"] == hashing.ERASED
    assert count == len(kept(proposed())["texts"])
    assert verify(gone, rows(proposed(), gone)).problems == []


def test_no_numeral_in_words_becomes_known_by_it() -> None:
    """A mismatch could be made to go away by weights that have its number."""
    said_so = parts()["recommendation"] | {"why": "It has 82.06."}
    before = build("r1", said(recommendation=said_so), "proposed", samples=20)
    assert before["content"]["computed"]["mismatches"] == 1
    made = kept(before, WhatIf("82.06", "82.06", {"Cost": 82.06, "Quality": 1, "Time": 1}))
    assert made["content"]["computed"]["mismatches"] == 1
    assert verify(made, rows(before, made)).problems == []


def test_it_goes_on_when_the_record_is_built_anew_and_nothing_else_changes() -> None:
    made = kept(proposed())
    assert build("r1", said(), "proposed", before=made, samples=50) == made
    dissent = build("r1", said(dissent={"dissent": []}), "proposed", before=made, samples=50)
    assert (dissent["revision"], [*dissent["sources"]["what_ifs"]]) == (3, ["what_if_1"])
    assert verify(dissent, rows(proposed(), made, dissent)).problems == []


def test_one_that_does_not_fit_any_more_stays_with_what_counts_no_more() -> None:
    made = kept(kept(proposed()), WhatIf("Late", "So.", {"Cost": 1, "Quality": 1, "Time": 9}))
    named = {"sets": [weights(), weights(1, 1, 1) | {"id": "what_if_1", "kind": "what_if"}]}
    now = build("r1", said(weights=named), "proposed", before=made, samples=50)
    schemas.check(now)
    assert [each["id"] for each in now["content"]["what_ifs"]["sets"]] == ["what_if_2"]
    assert [each["value"]["sets"][0]["id"] for each in now["earlier"]] == ["what_if_1"]
    assert build("r1", said(weights=named), "proposed", before=now, samples=50) == now
    assert keep(now, BOLD, SOURCE)[1] == "what_if_3"
    assert verify(now, rows(proposed(), made, now)).problems == []


def test_who_signed_what_was_shown_before_has_signed_it() -> None:
    shown = proposed()["content_sha256"]
    made = kept(kept(proposed()), WhatIf("Late", "So.", {"Cost": 1, "Quality": 1, "Time": 9}))
    assert close(made, [Act(True, "yes", shown)])["decision"]["accepted"]
    other = build("r1", said(weights={"sets": [weights(1, 1, 1)]}), "proposed", before=made, samples=50)
    assert other["content"]["what_ifs"]
    assert not close(other, [Act(True, "yes", shown)])["decision"]["accepted"]


def test_a_decision_stays_and_verify_says_what_was_signed_and_what_holds_it() -> None:
    first = proposed()
    closed = close(first, [Act(True, "yes", first["content_sha256"])])
    told = rows(first)
    shown = {"accepted": True, "doubt": "", "shown_sha256": first["content_sha256"]}
    told.append(chain.row("signature", told[-1], first, datetime.fromisoformat(at(7)), shown))
    made = kept(closed)
    told += [chain.row("change", told[-1], closed, datetime.fromisoformat(at(8)), facts(closed))]
    told += [chain.row("change", told[-1], made, datetime.fromisoformat(at(9)), facts(made))]
    assert (report.status(made), made["decision"]) == ("accepted", closed["decision"])
    found = verify(made, told, [Anchor("there", 1, first["content_sha256"])])
    assert found.problems == []
    assert found.anchors == ["engine: there, all but the what-ifs that were kept since revision 1"]
    assert found.notes == [
        "a signature is of revision 1, and this is revision 2, which has what-ifs more and nothing else"
    ]
    late = [told[0], chain.row("change", told[0], made, datetime.fromisoformat(at(7)), facts(made))]
    late.append(chain.row("signature", late[-1], made, datetime.fromisoformat(at(8)), shown))
    [table] = report.report({**made, "rows": late}).sections[-1].tables
    assert [[row[1], row[3]] for row in table.rows] == [["change", "1"], ["change", "2"], ["signature", "1"]]
    compared = compare(closed, made, told)
    assert [len(each.signatures) for each in (compared.before, compared.after)] == [1, 0]
    assert {each.part for each in compared.changes} == {"what_ifs", "computed"}


def test_an_edit_of_one_is_seen() -> None:
    made = kept(proposed())
    told = rows(proposed(), made)
    made["content"]["computed"]["sets"]["what_if_1"]["lead"] = 0.5
    assert "the content is not what was hashed" in verify(made, told).problems


@pytest.mark.parametrize("name", ["markdown", "html", "xlsx", "json"])
def test_files_have_it(name: str) -> None:
    content = FORMATS[name].write(kept(proposed()))
    assert name == "xlsx" or b"If quality were all that counts." in content


def test_a_part_that_tasks_say_is_none() -> None:
    assert schemas.WHAT_IFS not in schemas.PARTS
    with pytest.raises(BadRecord):
        build("r1", [*said(), Item("what_ifs", {"sets": []}, SOURCE)], "open")
