"""What persons did with a proposed record, and what closes it or makes their signature void."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.core.deciding import DEFINITION, KEY, Deciding, told
from tests.core.rig import Core
from tests.fakes.life import Life
from tests.unit.decisions.examples import weights
from worker.chat.trying import Trying
from worker.decisions import chain, report
from worker.decisions.keys import SigningKey
from worker.decisions.record import UNSEEN
from worker.decisions.verifying import verify
from worker.decisions.what_ifs import WhatIf
from worker.domain.people import Person
from worker.errors import TranscriptDown


async def proposed(deciding: Deciding) -> None:
    deciding.say_all()
    await deciding.reach("propose")


async def closed(deciding: Deciding, **properties: str) -> Mapping[str, Any]:
    return told(await deciding.reach("close", record_accepted="approved", record_answer="choice", **properties))


async def test_a_signature_on_what_was_shown_closes_the_record(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.person("a", "sign", "ann", assignee="ann", approved=True, choice="Y, by May")
    said = await closed(deciding)

    assert (said["accepted"], said["answer"], said["void_reason"]) == (True, "Y, by May", "")
    assert (said["status"], said["revision"]) == ("closed", 1)
    assert deciding.kinds() == [("change", 1, "proposed"), ("signature", 1, ""), ("change", 1, "closed")]
    facts = deciding.kept.rows[1]["facts"]
    assert (facts["identity"], facts["activity"], facts["accepted"]) == ("operation_log", "sign", True)
    assert facts["shown_sha256"] == deciding.kept.record["content_sha256"]
    assert deciding.kept.record["texts"][facts["user"]["text_sha256"]]["text"] == "ann"
    assert verify(deciding.kept.record, deciding.kept.rows).holds
    before = deciding.kept
    assert await closed(deciding) == said, "a repeated task"
    assert deciding.kept == before


async def test_what_somebody_tried_out_while_it_was_signed_or_later_voids_nothing(deciding: Deciding) -> None:
    await proposed(deciding)
    shown = deciding.kept.record["content_sha256"]
    assert deciding.core.decisions is not None
    trying, ann = Trying(deciding.core.decisions), Person("token", "Ann", "Ann")
    bold = WhatIf("Bold", "If quality were all.", {"Cost": 10, "Quality": 80, "Time": 10})
    await trying.keep(deciding.kept, ann, bold)
    deciding.core.world.past.person("a", "sign", "ann", approved=True)
    said = await closed(deciding)
    later = await trying.keep(deciding.kept, ann, replace(bold, name="Later"))

    assert (said["accepted"], said["void_reason"], said["revision"], said["leader"]) == (True, "", 2, "Y")
    kept = deciding.kept
    [signature] = [row for row in kept.rows if row["kind"] == "signature"]
    assert (signature["facts"]["shown_sha256"], chain.signed(signature, kept.rows)) == (shown, 1)
    assert (later.decision.record["revision"], report.status(kept.record)) == (3, "accepted")
    assert [each["id"] for each in kept.record["content"]["what_ifs"]["sets"]] == ["what_if_1", "what_if_2"]
    found = verify(kept.record, kept.rows)
    assert found.problems == []
    assert (
        "a signature is of revision 1, and this is revision 3, which has what-ifs more and nothing else" in found.notes
    )
    assert (await closed(deciding))["accepted"] is True
    assert deciding.kept == kept, "a repeated task"


async def test_with_a_key_every_row_is_signed_that_workers_write(deciding: Deciding) -> None:
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(b"1" * 32))
    deciding.core.record_key = key
    await proposed(deciding)
    deciding.core.world.past.person("a", "sign", "ann", assignee="ann", approved=True, choice="Y, by May")
    await closed(deciding)
    verified = verify(deciding.kept.record, deciding.kept.rows, keys={key.id: key.public})

    assert (verified.problems, verified.anchors) == ([], [f"key {key.id}: it has signed rows 1, 2, 3"])


async def test_a_no_is_no_doubt(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.person("a", "sign", approved=False, choice="too dear")
    said = await closed(deciding)
    assert (said["accepted"], said["answer"], said["void_reason"]) == (False, "too dear", "")


async def test_all_who_sign_have_to_accept_and_only_those_that_sign_count(deciding: Deciding) -> None:
    await proposed(deciding)
    past = deciding.core.world.past
    past.person("a", "sign", approved=True)
    past.person("a", "read")
    past.person("a", "countersign", "ben", approved=False)
    assert (await closed(deciding, record_signed="sign"))["accepted"] is True
    both = await closed(deciding, record_signed="sign, countersign")
    assert (both["accepted"], both["void_reason"]) == (False, "")
    assert [row["kind"] for row in deciding.kept.rows].count("signature") == 2
    assert "read was completed past its form" in (await closed(deciding))["void_reason"]


async def test_nobody_s_signature_is_none(deciding: Deciding) -> None:
    await proposed(deciding)
    assert (await closed(deciding))["void_reason"] == "nobody has signed it"


async def test_a_signature_from_before_the_proposal_is_none(deciding: Deciding) -> None:
    deciding.core.world.past.person("a", "sign", approved=True)
    await proposed(deciding)
    assert (await closed(deciding))["void_reason"] == "nobody has signed it"


async def test_a_task_that_was_completed_past_its_form_voids(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.by_hand("a", approved=True)
    deciding.core.world.past.person("a", "sign", choice="Y")
    said = await closed(deciding)
    assert said["accepted"] is False
    assert said["void_reason"] == "sign was completed past its form: it does not say approved"


async def test_a_doubt_names_the_activity_and_not_the_name_which_may_hold_a_person_s(deciding: Deciding) -> None:
    await proposed(deciding)
    past = deciding.core.world.past
    past.persons.append(replace(past.person("a", "sign"), name="Sign, Ann Lee"))
    del past.persons[0]
    assert (await closed(deciding))["void_reason"] == "sign was completed past its form: it does not say approved"


async def test_another_than_the_one_whom_the_task_was_given_to_voids(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.person("a", "sign", "demo", assignee="ben", approved=True)
    said = await closed(deciding)
    assert (said["accepted"], said["void_reason"]) == (
        False,
        "sign was completed by somebody else than who it was given to",
    )


async def test_a_hash_that_was_changed_by_hand_voids(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.by_hand("a", decision_sha256="f" * 64)
    deciding.core.world.past.person("a", "sign", approved=True)
    assert (await closed(deciding))["void_reason"] == "the hash that sign showed was changed by hand"


async def test_the_same_hash_written_once_more_is_not_changed(deciding: Deciding) -> None:
    await proposed(deciding)
    past = deciding.core.world.past
    past.by_hand("a", decision_sha256=deciding.kept.record["content_sha256"])
    past.person("a", "sign", approved=True, decision_sha256=deciding.kept.record["content_sha256"])
    assert (await closed(deciding))["accepted"] is True


async def test_a_change_after_the_signature_voids_it_and_leaves_it_on_the_revision_that_was_signed(
    deciding: Deciding,
) -> None:
    await proposed(deciding)
    sha256 = deciding.kept.record["content_sha256"]
    deciding.core.world.past.person(
        "a", "sign", "ann", approved=True, weights=json.dumps({"sets": [weights(quality=200)]})
    )
    said = await closed(deciding)

    assert (said["accepted"], said["revision"]) == (False, 2)
    assert said["void_reason"].startswith(f"what was signed is {sha256[:12]}, and the record is ")
    assert deciding.kinds() == [
        ("change", 1, "proposed"),
        ("signature", 1, ""),
        ("change", 2, "proposed"),
        ("change", 2, "closed"),
    ]
    notes = verify(deciding.kept.record, deciding.kept.rows).notes
    assert "a signature is of revision 1, and this is revision 2" in notes
    assert chain.problems(deciding.kept.rows, KEY.id) == []


async def proposed_by_both(deciding: Deciding) -> tuple[str, str]:
    """Propose in a called process, and once more in the one that called it; the two hashes."""
    deciding.say_all()
    deciding.core.world.roots["b"], deciding.core.world.past.called["a"] = "a", ["b"]
    await deciding.reach("propose", activity="first", instance="b", record_scope="root")
    first = deciding.kept.record["content_sha256"]
    deciding.say("weights", {"sets": [weights(quality=200)]})
    await deciding.reach("propose")
    return first, deciding.kept.record["content_sha256"]


async def test_the_last_proposal_is_the_last_in_time_whichever_instance_made_it(deciding: Deciding) -> None:
    first, second = await proposed_by_both(deciding)
    assert first != second
    deciding.core.world.past.person("a", "sign", approved=True)
    assert (await closed(deciding))["accepted"] is True


async def test_a_signature_is_of_the_hash_that_its_own_instance_showed(deciding: Deciding) -> None:
    first, second = await proposed_by_both(deciding)
    past = deciding.core.world.past
    past.person("b", "countersign", approved=True)
    said = await closed(deciding)
    assert said["void_reason"].startswith(f"what was signed is {first[:12]}, and the record is {second[:12]}")


@pytest.mark.parametrize("is_the_one", [True, False])
async def test_a_called_process_may_be_given_the_hash_to_show(deciding: Deciding, *, is_the_one: bool) -> None:
    await proposed(deciding)
    past = deciding.core.world.past
    past.called["a"] = ["c"]
    past.by_hand("c", decision_sha256=deciding.kept.record["content_sha256"] if is_the_one else "f" * 64)
    past.person("c", "sign", approved=True)
    said = await closed(deciding)
    assert said["void_reason"] == ("" if is_the_one else "the hash that sign showed was changed by hand")


async def test_who_signed_is_unproven_where_the_engine_does_not_ask_for_names(core: Core, deciding: Deciding) -> None:
    core.world.past.knows_users = False
    await proposed(deciding)
    core.world.past.person("a", "sign", assignee="ben", approved=True)
    assert (await closed(deciding))["accepted"] is True
    facts = deciding.kept.rows[1]["facts"]
    assert (facts["identity"], "user" in facts) == ("unproven", False)


async def test_who_signed_through_a_service_account_is_unproven_and_the_account_is_named(deciding: Deciding) -> None:
    await proposed(deciding)
    deciding.core.world.past.person("a", "sign", "tasklist", assignee="ben", approved=True)
    assert (await closed(deciding))["accepted"] is True
    facts = deciding.kept.rows[1]["facts"]
    assert (facts["identity"], "user" in facts) == ("unproven", False)
    assert deciding.kept.record["texts"][facts["through"]["text_sha256"]]["text"] == "tasklist"


@pytest.mark.parametrize("has_tasks", [True, False])
async def test_without_a_history_of_values_what_stands_there_now_counts_if_anybody_completed_a_task(
    core: Core, deciding: Deciding, *, has_tasks: bool
) -> None:
    core.world.past.is_kept, core.world.past.has_tasks = False, has_tasks
    await proposed(deciding)
    core.world.past.skip(10**7)
    core.world.past.person("a", "sign", assignee="ben", approved=True)
    said = await closed(deciding)
    assert said["accepted"] is has_tasks
    assert said["void_reason"] == ("" if has_tasks else UNSEEN)
    core.world.past.by_hand("a", decision_sha256="f" * 64)
    assert (await closed(deciding))["accepted"] is False


async def test_without_a_history_of_values_one_value_says_nothing_of_several_who_signed(
    core: Core, deciding: Deciding
) -> None:
    """Ann refuses and Ben accepts, and the engine has what Ben said alone."""
    core.world.past.is_kept, core.world.past.has_tasks = False, True
    await proposed(deciding)
    core.world.past.skip(10**7)
    core.world.past.person("a", "sign", "ann", approved=False)
    core.world.past.person("a", "countersign", "ben", approved=True)
    said = await closed(deciding, record_signed="sign, countersign")

    doubt = (
        "the engine keeps one value of approved for 2 persons' tasks: to tell what each of them said takes history "
        "level full"
    )
    assert (said["accepted"], said["void_reason"]) == (False, doubt)
    assert [row["facts"]["doubt"] for row in deciding.kept.rows if row["kind"] == "signature"] == [doubt] * 2
    alone = await closed(deciding, record_signed="countersign")
    assert (alone["accepted"], verify(deciding.kept.record, deciding.kept.rows).problems) == (True, [])


async def test_nothing_is_closed_that_was_not_proposed(deciding: Deciding) -> None:
    deciding.say_all()
    await deciding.reach("compute")
    job = await deciding.reach("close")
    assert "nothing was proposed: let a task with record.stage=propose come before" in job.message


@pytest.mark.parametrize("deaths", [1, 2])
async def test_a_worker_that_dies_while_it_closes_leaves_one_signature_and_one_end(
    core: Core, deciding: Deciding, deaths: int
) -> None:
    await proposed(deciding)
    core.world.past.person("a", "sign", "ann", approved=True)
    said = {"service.type": "decision-record", "record.stage": "close", "data.output": "decision"}
    core.world.activity("close", definition=DEFINITION, properties=said | {"record.accepted": "approved"})
    job = core.world.start("close", definition=DEFINITION, instance="a", activity_instance="close:1")
    for _ in range(deaths):
        dying = await core.worker(life=Life("after:decisions.keep"))
        dying.start()
        await core.until(lambda: dying.life.is_over)  # noqa: B023 - waited for here
    async with core.working():
        await core.until_over([job])

    assert told(job)["accepted"] is True
    assert deciding.kinds() == [("change", 1, "proposed"), ("signature", 1, ""), ("change", 1, "closed")]
    assert verify(deciding.kept.record, deciding.kept.rows).holds


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_database_that_goes_away_while_it_is_closed_costs_neither_retry_nor_signature(
    core: Core, deciding: Deciding, kept: int
) -> None:
    await proposed(deciding)
    core.world.past.person("a", "sign", "ann", approved=True)
    assert core.decisions is not None
    core.decisions.script.next("keep", *[None] * kept, TranscriptDown("away"))
    job = await deciding.reach("close", record_accepted="approved")

    assert (told(job)["accepted"], job.retries, job.message) == (True, None, "")
    assert deciding.kinds() == [("change", 1, "proposed"), ("signature", 1, ""), ("change", 1, "closed")]
