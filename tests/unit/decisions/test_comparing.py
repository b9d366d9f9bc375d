"""What is different between two revisions of a record."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.decisions.examples import at, parts, said, scores, weights
from worker.decisions import chain, hashing
from worker.decisions.comparing import Change, Comparison, compare
from worker.decisions.record import Act, Record, build, close, erased, facts
from worker.decisions.schemas import PARTS


@cache
def first() -> Record:
    return opened()


def opened(before: Record | None = None, **changed: Any) -> Record:
    """A record of which nothing is computed, which takes no time."""
    return build("r1", said(**changed), "open", before=before)


def computed(before: Record | None = None, **changed: Any) -> Record:
    return build("r1", said(**changed), "proposed", before=before, samples=20)


def told(found: Comparison) -> list[tuple[str, str, str, Any, Any]]:
    """Each change in short, without what was computed."""
    return [
        (each.part, "/".join([*each.of, each.field]), each.kind, each.before, each.after)
        for each in found.changes
        if each.part != "computed"
    ]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every text and number of parts that is no name, by its place."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in {"id", "alternative", "criterion", "objective", "limit", "kind", "rests_on"}:
                yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))
    else:
        yield path, value


LEAVES = list(leaves(parts()))


def other(value: Any) -> Any:
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value} Else."


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


@settings(max_examples=30)
@given(st.lists(st.sampled_from(LEAVES), unique_by=lambda leaf: leaf[0], max_size=6))
def test_what_was_changed_is_told_and_nothing_else(changed: list[tuple[tuple[Any, ...], Any]]) -> None:
    given_ = parts()
    for path, value in changed:
        put(given_, path, other(value))
    before, after = first(), opened(first(), **given_)
    found = compare(before, after, [])

    # What has no id comes and goes as a whole.
    named = [path for path, _ in changed if path[0] not in {"dissent", "pre_mortem", "recommendation"}]
    known = [each for each in found.changes if each.part not in {"dissent", "pre_mortem", "recommendation"}]
    assert len(known) == len(named)
    assert {each.kind for each in known} <= {"changed"}
    assert {each.part for each in found.changes} == {path[0] for path, _ in changed}
    assert sorted(str((each.before, each.after)) for each in known) == sorted(
        str((value, other(value))) for path, value in changed if path in named
    )


SOME = st.lists(st.sampled_from(LEAVES), unique_by=lambda leaf: leaf[0], max_size=4)


@settings(max_examples=30)
@given(SOME, SOME)
def test_the_other_way_round_it_is_the_same_the_other_way_round(
    mine: list[tuple[tuple[Any, ...], Any]], theirs: list[tuple[tuple[Any, ...], Any]]
) -> None:
    sides = [parts(), parts()]
    for side, places in zip(sides, (mine, theirs), strict=True):
        for path, value in places:
            put(side, path, other(value))
    one, two = (opened(**side) for side in sides)
    turned = {"added": "removed", "removed": "added"}

    def key(each: Change) -> str:
        return str(each)

    there, back = compare(one, two, []).changes, compare(two, one, []).changes
    assert sorted(there, key=key) == sorted(
        (
            replace(each, kind=turned.get(each.kind, each.kind), before=each.after, after=each.before)  # type: ignore[arg-type]  # of the four
            for each in back
        ),
        key=key,
    )


@settings(max_examples=30)
@given(st.sets(st.sampled_from(PARTS)))
def test_parts_come_and_go_whole(missing: set[str]) -> None:
    some = build("r1", [each for each in said() if each.part not in missing], "open")
    found = compare(first(), some, []).changes
    assert {each.part for each in found} == missing
    assert {each.kind for each in found} <= {"removed"}
    assert compare(some, some, []).changes == []


def test_scores_are_told_by_judge_alternative_and_criterion() -> None:
    before = opened(scores={"one": scores(X_Quality={"why": "So it is."}), "two": scores()})
    after = opened(before, scores={"one": scores(X_Quality={"base": 70, "low": 60, "high": 80}), "three": scores()})
    found = told(compare(before, after, []))
    assert found[:4] == [
        ("scores", "one/X/Quality/base", "changed", 90, 70),
        ("scores", "one/X/Quality/why", "removed", "So it is.", None),
        ("scores", "one/X/Quality/low", "added", None, 60),
        ("scores", "one/X/Quality/high", "added", None, 80),
    ]
    assert {each[2] for each in found if each[1].startswith("two/")} == {"removed"}
    assert len([each for each in found if each[1].startswith("three/")]) == 9


def test_alternatives_and_weights_are_told_by_their_ids_and_what_has_none_by_its_place() -> None:
    changed = copy.deepcopy(parts())
    changed["alternatives"]["alternatives"][0] = {"id": "W", "name": "A used press"}
    changed["weights"]["sets"] = [weights(quality=80), weights() | {"id": "bold", "kind": "what_if"}]
    changed["recommendation"]["next"].insert(0, {"what": "Ask the staff"})
    changed["scores"] = parts()["scores"]
    found = told(compare(opened(), opened(**changed), []))
    assert ("alternatives", "W/name", "added", None, "A used press") in found
    assert ("alternatives", "X/name", "removed", "The large press", None) in found
    assert ("weights", "base/Quality/points", "changed", 100, 80) in found
    assert ("weights", "bold/Quality/points", "added", None, 100) in found
    assert [each for each in found if each[0] == "recommendation"] == [
        ("recommendation", "next/1/what", "added", None, "Ask the staff")
    ]


def test_another_order_is_told() -> None:
    changed = copy.deepcopy(parts())
    changed["alternatives"]["alternatives"].reverse()
    changed["recommendation"]["given_up"] = ["a", "b"]
    again = copy.deepcopy(changed)
    again["alternatives"]["alternatives"].reverse()
    again["recommendation"]["given_up"].reverse()
    assert told(compare(opened(**changed), opened(**again), [])) == [
        ("alternatives", "order", "changed", "Z, Y, X", "X, Y, Z"),
        ("recommendation", "given_up/order", "changed", "1, 2", "2, 1"),
    ]


def test_what_is_computed_is_told_and_words_have_the_figures_of_their_revision() -> None:
    before = computed()
    recommended = parts()["recommendation"] | {"alternative": "X", "why": "{leader} leads by {lead}."}
    after = computed(before, weights={"sets": [weights(quality=200)]}, recommendation=recommended)
    found = compare(before, after, [])
    assert (found.before.leader, found.before.ranking) == ("Y", ["Y", "X", "Z"])
    assert (found.after.leader, found.after.revision) == ("X", 2)
    assert ("recommendation", "alternative", "changed", "Y", "X") in told(found)
    assert (
        "recommendation", "why", "changed", "It has 0.64, and leads by 0.05.", f"X leads by {found.after.lead:.3f}."
    ) in told(found)  # fmt: skip
    figures = {("/".join([*each.of, each.field])): (each.before, each.after) for each in found.changes}
    assert figures["leader"] == ("Y", "X")
    assert figures["alternatives/X/rank"] == (2, 1)
    assert figures["criteria/Quality/share"] == (0.5, pytest.approx(2 / 3))
    assert figures["weights/base/ranking"] == ("Y > X > Z", "X > Y > Z")


def test_a_text_with_another_salt_is_the_same_text() -> None:
    first = opened()
    without = opened(first, dissent={"dissent": []})
    again = opened(without)
    assert first["content_sha256"] != again["content_sha256"]
    assert compare(first, again, []).changes == []


def test_texts_that_were_erased_stay_so_and_what_nobody_can_tell_is_said() -> None:
    first = opened()
    second = opened(first, frame=parts()["frame"] | {"statement": "Which?", "decider": "The board"})
    gone, left = (erased(each)[0] for each in (first, second))
    found = compare(gone, left, [])
    assert told(found) == [("frame", "statement", "unknown", hashing.ERASED, hashing.ERASED)]
    assert found.erased == len(first["texts"].keys() | second["texts"].keys())
    half = compare(first, left, [])
    assert {each.kind for each in half.changes} == {"unknown"}
    assert ("frame", "statement", "unknown", "Which press is bought?", hashing.ERASED) in told(half)


def test_a_signature_stands_on_what_its_person_was_shown() -> None:
    first = computed()
    rows = [chain.row("change", None, first, datetime.fromisoformat(at(1)), facts(first))]
    second = computed(first, weights={"sets": [weights(quality=200)]})
    rows.append(chain.row("change", rows[-1], second, datetime.fromisoformat(at(2)), facts(second)))
    signed = {"user": {"text_sha256": "0" * 64}, "accepted": True, "doubt": ""}
    shown = signed | {"shown_sha256": first["content_sha256"]}
    rows.append(chain.row("signature", rows[-1], second, datetime.fromisoformat(at(3)), shown))
    rows.append(chain.row("signature", rows[-1], second, datetime.fromisoformat(at(4)), signed | {"accepted": False}))
    closed = close(second, [Act(True, "yes", first["content_sha256"])])
    found = compare(first, closed, rows)
    assert [(each.row, each.accepted, each.by) for each in found.before.signatures] == [(3, True, hashing.ERASED)]
    assert [(each.row, each.accepted) for each in found.after.signatures] == [(4, False)]
    assert (found.before.standing, found.after.standing, found.after.at) == ("proposed", "void", rows[1]["at"])
    assert {each.field for each in found.changes if each.part == "decision"} == {"accepted", "answer", "void_reason"}


def test_words_are_cleaned_of_what_is_no_letter() -> None:
    found = told(compare(opened(), opened(frame=parts()["frame"] | {"decider": "a\u202eb"}), []))
    assert found == [("frame", "decider", "changed", "The board", "a\ufffdb")]
