"""The application `trade_study`: what is shown to be signed, and that a completion past the form signs nothing."""

import pytest

from tests.flow.rig import Rig
from tests.flow.test_approval import reached, started, until_person
from tests.waiting import wait_until
from worker.domain.conversations import EVERYTHING
from worker.transcript import SqlDecisions, open_database


@pytest.mark.timeout(300)
async def test_who_signs_sees_the_record_with_its_hash_and_who_completes_the_task_past_the_form_has_signed_nothing(
    kept: Rig,
) -> None:
    instance = await started(kept, "trade_study", topics="trade-studies,decision-records")

    async def asked() -> object:
        incidents = await kept.rest.incidents(instance)
        assert incidents == [], [each["incidentMessage"] for each in incidents]
        return await kept.rest.get("task", processInstanceId=instance)

    await wait_until(asked, 120, "a task for a person")
    task = await until_person(kept, instance, "sign")
    shown = await kept.rest.get(f"task/{task}/form-variables")
    assert shown["decision_sha256"]["value"] in shown["decision_text"]["value"]
    assert "| 1 | Battery | 0.611 |" in shown["decision_text"]["value"]
    assert "signature" not in shown, "nothing is chosen beforehand"
    await kept.rest.post(f"task/{task}/complete", {})
    await kept.rest.wait_for_end(instance)

    assert {"score_again", "not_signed"} <= await reached(kept, instance)
    variables = await kept.rest.variables(instance)
    assert (variables["accepted"], variables["agreement"]) == (False, "agree")
    assert "sign was completed past its form" in variables["void_reason"]
    async with open_database(str(kept.settings["transcript_url"])) as database:
        book = SqlDecisions(database, engine="default")
        [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
        found = await book.last(listed.key)
    assert found is not None
    assert found.record["content"]["computed"]["mismatches"] == 0
    assert sorted(found.record["content"]["scores"]) == ["judge_engineering", "judge_finance", "judge_operations"]
    assert len(found.record["earlier"]) == 3, "what the judges said first"
