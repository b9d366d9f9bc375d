"""Which values of a record's hash, as the engine's history has them, are to be hashes of this record."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.core.deciding import KEY, Deciding
from tests.core.rig import Core
from tests.fakes.decisions import FakeSources
from tests.unit.decisions.examples import weights
from worker.decisions import chain, hashing
from worker.decisions.record import facts
from worker.decisions.verifying import Verified
from worker.domain.decisions import Decision, DecisionKey
from worker.domain.evidence import Value
from worker.export.verifying import verified

OTHERS = {"decision_sha256": "f" * 64, "decision_id": "e" * 32}
NOTE = "variable decision_sha256 of instance a had a value that is no hash of this record"


@pytest.fixture
async def proposed(deciding: Deciding) -> Deciding:
    deciding.say_all()
    await deciding.reach("compute")
    deciding.say("weights", {"sets": [weights(quality=200)]})
    await deciding.reach("propose")
    return deciding


async def verify(core: Core, one: Decision) -> Verified:
    return await verified(one, FakeSources(core.world))


def forged(one: Decision, kept: int) -> Decision:
    """What somebody makes of it who can write to the database: all but the first rows anew."""
    content = {**one.record["content"], "dissent": {"dissent": []}}
    record: dict[str, Any] = {**one.record, "content": content, "content_sha256": hashing.sha256(content)}
    rows = list(one.rows[:kept])
    for row in one.rows[kept:]:
        is_now = row["revision"] == record["revision"]
        made = {**record, "revision": row["revision"]} | ({} if is_now else {"content_sha256": "d" * 64})
        rows.append(chain.row(row["kind"], rows[-1] if rows else None, made, one.changed_at, row["facts"]))
    return replace(one, record=record, rows=tuple(rows))


async def test_every_hash_that_the_engine_has_holds(core: Core, proposed: Deciding) -> None:
    found = await verify(core, proposed.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)
    assert NOTE not in found.notes


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_record_that_was_made_anew_has_another_hash(core: Core, proposed: Deciding, kept: int) -> None:
    found = await verify(core, forged(proposed.kept, kept))
    assert "engine: variable decision_sha256 of instance a has another hash of revision 2" in found.problems


async def test_what_a_parent_gave_by_all_of_its_variables_is_of_its_own_record(core: Core, deciding: Deciding) -> None:
    core.world.past.by_hand("a", **OTHERS)
    deciding.say_all()
    await deciding.reach("compute")
    found = await verify(core, deciding.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)
    assert NOTE in found.notes


async def test_what_a_called_process_gave_back_is_of_its_own_record(core: Core, proposed: Deciding) -> None:
    core.world.past.by_hand("a", **OTHERS)
    found = await verify(core, proposed.kept)
    assert (found.problems, NOTE in found.notes) == ([], True)


async def test_two_records_may_have_a_result_of_the_same_name(core: Core, proposed: Deciding) -> None:
    for part in [each for each in core.world.definitions["choose:1:c"].activities if each != "compute"]:
        activity = core.world.definitions["choose:1:c"].activities[part]
        if "record.part" in activity.properties:
            core.world.activity(part, definition="choose:1:c", properties={**activity.properties, "record.id": "site"})
    proposed.say("weights", {"sets": [weights(quality=50)]})
    await proposed.reach("compute", activity="other", record_id="site")
    assert core.decisions is not None
    site = core.decisions.kept[DecisionKey("default", "a", "site")]
    assert site.record["content_sha256"] != proposed.kept.record["content_sha256"]
    for one in (core.decisions.kept[KEY], site):
        found = await verify(core, one)
        assert (found.problems, len(found.anchors)) == ([], 1)
        assert NOTE in found.notes


async def test_a_hash_without_an_id_has_to_hold_while_it_stands_there(core: Core, deciding: Deciding) -> None:
    core.world.past.by_hand("a", decision_sha256="c" * 64)
    deciding.say_all()
    await deciding.reach("compute")
    assert (await verify(core, deciding.kept)).holds
    core.world.past.by_hand("a", decision_sha256="c" * 64)
    found = await verify(core, deciding.kept)
    assert found.problems == ["engine: variable decision_sha256 of instance a has another hash of revision 1"]


async def test_without_a_history_what_stands_there_now_has_to_hold(core: Core, proposed: Deciding) -> None:
    core.world.past.is_kept = False
    assert (await verify(core, proposed.kept)).anchors
    core.world.past.values.append(Value("v", "a", "decision_sha256", "c" * 64, "String"))
    assert not (await verify(core, proposed.kept)).holds


@pytest.fixture
async def refused(deciding: Deciding) -> Deciding:
    """A record that one person refused by its form, and that is closed so; the engine was told."""
    deciding.say_all()
    await deciding.reach("propose")
    deciding.core.world.past.person("a", "sign", "ann", approved=False, choice="too dear")
    await deciding.reach("close", record_accepted="approved", record_answer="choice")
    return deciding


def rewritten(one: Decision, record: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Decision:
    """What somebody makes of it who leaves the content and makes the hashes of all rows anew."""
    anew = list[dict[str, Any]]()
    for row in rows:
        is_last = row is rows[-1] and row["kind"] == "change"
        told = {**row["facts"], **facts(record)} if is_last else row["facts"]
        of = {"id": record["id"], "revision": row["revision"], "content_sha256": row["content_sha256"]}
        anew.append(chain.row(row["kind"], anew[-1] if anew else None, of, datetime.fromisoformat(row["at"]), told))
    return replace(one, record=dict(record), rows=tuple(anew))


def with_signature(one: Decision, **changed: Any) -> list[Mapping[str, Any]]:
    signed = [{**row, "facts": {**row["facts"], **changed}} if row["kind"] == "signature" else row for row in one.rows]
    return list[Mapping[str, Any]](signed)


async def test_a_record_that_was_refused_holds(core: Core, refused: Deciding) -> None:
    found = await verify(core, refused.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)


async def test_a_refusal_that_was_made_an_acceptance_fails_although_all_hashes_of_rows_are_made_anew(
    core: Core, refused: Deciding
) -> None:
    one = refused.kept
    record = {**one.record, "decision": {**one.record["decision"], "accepted": True}}
    alone = await verify(core, rewritten(one, record, one.rows))
    assert "the decision is accepted, and no signature of it is" in alone.problems
    both = await verify(core, rewritten(one, record, with_signature(one, accepted=True)))
    assert both.problems == ["engine: variable decision of instance a says otherwise what was decided"]


async def test_an_end_that_was_cut_off_fails(core: Core, refused: Deciding) -> None:
    one = refused.kept
    record = {name: each for name, each in one.record.items() if name != "decision"} | {"status": "proposed"}
    for kept in (1, 2):
        found = await verify(core, rewritten(one, record, one.rows[:kept]))
        assert found.problems == ["engine: variable decision of instance a says that it was closed, and no row does"]


async def test_a_signature_of_somebody_else_or_of_no_task_fails(core: Core, refused: Deciding) -> None:
    one = refused.kept
    texts = {**one.record["texts"]}
    [ann] = [digest for digest, each in texts.items() if each["text"] == "ann"]
    salt = texts[ann]["salt"]
    ben = hashing.text_sha256(salt, "ben")
    record = {**one.record, "texts": {**texts, ben: {"salt": salt, "text": "ben"}}}
    found = await verify(core, rewritten(one, record, with_signature(one, user={"text_sha256": ben})))
    assert found.problems == ["engine: who completed the task that row 2 is of is not who it names"]
    found = await verify(core, rewritten(one, one.record, with_signature(one, task="t9")))
    assert found.problems == ["engine: no task was completed that row 2 is of"]

    left = {digest: text for digest, text in texts.items() if digest != ann}
    erased = await verify(core, replace(one, record={**one.record, "texts": left}))
    assert erased.problems == [], "whose name is erased nobody can compare"
    assert "row 2 was compared with nobody: its name is erased" in erased.notes


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({"instance": ""}, ["row 2 is a signature in no process instance"]),
        ({"instance": None}, ["row 2 is a signature in no process instance"]),
        ({"activity": "read"}, ["engine: the task that row 2 is of is sign, which it does not name"]),
        ({"user": None}, ["row 2 has somebody's name from the operation log, and does not tell it"]),
    ],
)
async def test_a_signature_that_lacks_what_it_is_compared_by_fails(
    core: Core, refused: Deciding, changed: dict[str, Any], problems: list[str]
) -> None:
    one = refused.kept
    rows = list[Mapping[str, Any]]()
    for row in one.rows:
        told = {**row["facts"], **changed} if row["kind"] == "signature" else row["facts"]
        rows.append({**row, "facts": {name: each for name, each in told.items() if each is not None}})
    assert (await verify(core, rewritten(one, one.record, rows))).problems == problems


async def test_a_signature_that_was_moved_to_another_task_of_the_instance_fails(core: Core, refused: Deciding) -> None:
    """Each of both was completed by the same person."""
    other = core.world.past.person("a", "read", "ann")
    found = await verify(
        core, rewritten(refused.kept, refused.kept.record, with_signature(refused.kept, task=other.id))
    )
    assert found.problems == ["engine: the task that row 2 is of is read, which it does not name"]


async def test_a_signature_in_an_instance_that_the_engine_does_not_know_was_compared_with_nobody(
    core: Core, refused: Deciding
) -> None:
    one = refused.kept
    found = await verify(core, rewritten(one, one.record, with_signature(one, instance="gone")))
    said = "row 2 was compared with nobody: the engine tells of no task that was completed in the process instance gone"
    assert (found.problems, said in found.notes) == ([], True)


async def test_a_signature_of_nobody_known_holds_when_the_engine_shows_who_completed_its_task(
    core: Core, deciding: Deciding
) -> None:
    """What the worker's user may see can change."""
    core.world.past.knows_users = False
    deciding.say_all()
    await deciding.reach("propose")
    core.world.past.person("a", "sign", "ann", approved=True)
    await deciding.reach("close", record_accepted="approved")
    assert (await verify(core, deciding.kept)).problems == []
    core.world.past.knows_users = True
    found = await verify(core, deciding.kept)
    said = "row 2 was compared with nobody: it names nobody, and the engine knows who completed its task"
    assert (found.problems, said in found.notes) == ([], True)


async def test_a_record_of_another_instance_or_engine_that_was_put_in_its_place_fails(
    core: Core, proposed: Deciding
) -> None:
    one = proposed.kept
    for key in (DecisionKey("default", "b"), DecisionKey("other", "a")):
        found = await verify(core, replace(one, key=key))
        assert "it is of another record's id than the one that it is kept under" in found.problems
        forged = rewritten(replace(one, key=key), {**one.record, "id": key.id}, one.rows)
        found = await verify(core, forged)
        assert found.problems == ["engine: variable decision_sha256 of instance a has its hash for another record"]
        assert found.anchors == []


UNTOLD = "its task was not completed, or no worker has written the row"


async def test_what_was_closed_twice_in_two_places_holds(core: Core, refused: Deciding) -> None:
    first = refused.kept.record["decision"]
    refused.say("weights", {"sets": [weights(quality=200)]})
    await refused.reach("close", activity="end", record_accepted="approved", data_output="outcome")
    assert refused.kept.record["decision"] != first
    found = await verify(core, refused.kept)
    assert (found.problems, len(found.anchors)) == ([], 1)
    assert not any(UNTOLD in each for each in found.notes)


@pytest.mark.parametrize("is_completed", [True, False])
async def test_an_end_that_the_engine_was_not_told_is_a_note_while_its_task_may_be_on_the_way(
    core: Core, refused: Deciding, *, is_completed: bool
) -> None:
    refused.say("weights", {"sets": [weights(quality=200)]})
    job = await refused.reach("close", activity="end", record_accepted="approved")
    past = core.world.past
    past.values = [each for each in past.values if each.activity_instance != job.task.activity_instance]
    if not is_completed:
        past.completions = [each for each in past.completions if each.task != job.task.id]
    number = len(refused.kept.rows)
    found = await verify(core, refused.kept)
    said = f"the engine was not told what row {number} says (closed): {UNTOLD}"
    assert (said in found.problems, said in found.notes) == (is_completed, not is_completed)


@pytest.fixture
async def elsewhere(deciding: Deciding) -> Deciding:
    """A record that was refused, and whose end the engine was told in another variable than its proposal."""
    deciding.say_all()
    await deciding.reach("propose")
    deciding.core.world.past.person("a", "sign", "ann", approved=False, choice="too dear")
    await deciding.reach("close", record_accepted="approved", record_answer="choice", data_output="outcome")
    return deciding


@pytest.mark.parametrize(
    "place", [{}, {"variable": "other_sha256"}, {"variable": "decision_sha256"}, {"instance": "b"}]
)
async def test_an_end_that_names_another_variable_or_none_is_compared_all_the_same(
    core: Core, elsewhere: Deciding, place: dict[str, str]
) -> None:
    one = elsewhere.kept
    assert (await verify(core, one)).problems == []
    record = {**one.record, "decision": {**one.record["decision"], "accepted": True}}
    rows = with_signature(one, accepted=True)
    named = {name: each for name, each in rows[-1]["facts"].items() if place or name != "variable"}
    found = await verify(core, rewritten(one, record, [*rows[:-1], {**rows[-1], "facts": named | place}]))
    assert "engine: variable outcome of instance a says otherwise what was decided" in found.problems


async def test_another_answer_than_the_engine_was_told_fails_unless_it_is_erased(core: Core, refused: Deciding) -> None:
    one = refused.kept
    for answer, problems in (
        ("cheap", ["engine: variable decision of instance a says otherwise what was answered"]),
        (hashing.ERASED, []),
    ):
        record = {**one.record, "decision": {**one.record["decision"], "answer": answer}}
        assert (await verify(core, replace(one, record=record))).problems == problems


@pytest.mark.parametrize("names", [True, False])
async def test_a_proposal_that_is_put_behind_the_end_fails(core: Core, refused: Deciding, *, names: bool) -> None:
    one = refused.kept
    record = {name: each for name, each in one.record.items() if name != "decision"} | {"status": "proposed"}
    left = {"decision"} if names else {"decision", "variable"}
    facts_of = {name: each for name, each in one.rows[-1]["facts"].items() if name not in left}
    found = await verify(core, rewritten(one, record, [*one.rows, {**one.rows[-1], "facts": facts_of}]))
    assert found.problems == [
        f"the engine was not told what row 4 says (proposed): {UNTOLD}"
        if names
        else "row 4 says what became of it, and no variable in which the engine was told so"
    ]


@pytest.mark.parametrize("lacking", ["texts", "content", "revision", "id"])
async def test_a_record_that_lacks_something_does_not_hold(core: Core, refused: Deciding, lacking: str) -> None:
    one = refused.kept
    left = {name: each for name, each in one.record.items() if name != lacking}
    [problem] = (await verify(core, replace(one, record=left))).problems
    assert f"'{lacking}' is a required property" in problem


async def test_a_decision_that_lacks_something_does_not_hold(core: Core, refused: Deciding) -> None:
    one = refused.kept
    found = await verify(core, replace(one, record={**one.record, "decision": {"accepted": False, "answer": ""}}))
    assert "'void_reason' is a required property" in found.problems[0]


@pytest.mark.parametrize(
    "facts",
    [{"task": ["t"]}, {"instance": {}}, {"user": {"text_sha256": ["x"]}}, {"shown_sha256": []}, {"activity": 1}],
)
async def test_a_signature_that_is_not_in_its_form_does_not_hold(
    core: Core, refused: Deciding, facts: dict[str, Any]
) -> None:
    one = refused.kept
    found = await verify(core, rewritten(one, one.record, with_signature(one, **facts)))
    assert [each.partition(" is not in its form")[0] for each in found.problems] == ["row 2"]


async def test_rows_that_lack_something_do_not_hold(core: Core, refused: Deciding) -> None:
    one = refused.kept
    for lacking in one.rows[0]:
        rows = ({name: each for name, each in one.rows[0].items() if name != lacking}, *one.rows[1:])
        [problem] = (await verify(core, replace(one, rows=rows))).problems
        assert problem.startswith("row 1 is not in its form")


async def test_half_a_character_in_a_text_or_a_hash_that_is_a_list_does_not_hold(core: Core, refused: Deciding) -> None:
    one = refused.kept
    digest, text = next(iter(one.record["texts"].items()))
    texts = {**one.record["texts"], digest: {**text, "text": "\ud800"}}
    found = await verify(core, replace(one, record={**one.record, "texts": texts}))
    assert f"the text {digest[:12]} is not what was hashed" in found.problems
    frame = {**one.record["sources"]["frame"], "user": {"text_sha256": []}}
    sources = {**one.record["sources"], "frame": frame}
    assert not (await verify(core, replace(one, record={**one.record, "sources": sources}))).holds


@pytest.fixture
async def changed(deciding: Deciding) -> Deciding:
    """A record whose weights were changed after it was signed: the signature is void, and of the first revision."""
    deciding.say_all()
    await deciding.reach("propose")
    deciding.core.world.past.person("a", "sign", "ann", approved=True)
    deciding.say("weights", {"sets": [weights(quality=200)]})
    await deciding.reach("close", record_accepted="approved")
    return deciding


async def test_a_signature_that_was_moved_to_another_revision_fails(core: Core, changed: Deciding) -> None:
    one = changed.kept
    first, now = one.rows[0]["content_sha256"], one.record["content_sha256"]
    assert (first != now, one.record["decision"]["accepted"]) == (True, False)
    assert (await verify(core, one)).problems == []
    accepted = {**one.record, "decision": {"accepted": True, "answer": "", "void_reason": ""}}
    for shown in (first, now):
        moved = rewritten(one, accepted, with_signature(one, shown_sha256=shown))
        problems = (await verify(core, moved)).problems
        assert "engine: variable decision of instance a says otherwise what was decided" in problems
        assert ("the decision is accepted, and no signature of it is" in problems) is (shown == first)


async def test_rows_in_another_order_or_without_one_fail_before_anything_is_asked(
    core: Core, changed: Deciding
) -> None:
    one = changed.kept
    for rows in ((one.rows[1], one.rows[0], *one.rows[2:]), (one.rows[0], *one.rows[2:]), one.rows[:-1], one.rows[1:]):
        assert not (await verify(core, replace(one, rows=tuple(rows)))).holds
