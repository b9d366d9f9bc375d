"""What doctor and the linter find of tasks by which persons approve what is remembered."""

import pytest

from tests.unit.test_doctor_records import activity, definition
from worker.domain.tasks import Activity
from worker.operate.doctor import deployed
from worker.operate.doctor.checks import Level
from worker.operate.doctor.deployed import Models
from worker.operate.models import approvals
from worker.operate.models.rules import Rule

ASKING = activity("settle", "assistants", service_type="assistant", service_name="analyst")


def approval(topic: str = "approvals", **said: str) -> Activity:
    return activity("approve", topic, **{"service_type": "memory-approval", "memory_signed": "review"} | said)


def test_one_that_names_a_persons_task_on_a_topic_of_its_own_is_right() -> None:
    assert list(approvals.faults(approval(), definition(ASKING, approval()))) == []


@pytest.mark.parametrize(
    ("wrong", "rule", "said"),
    [
        (approval("assistants"), Rule.RECORD_TOPIC, "workers from before approvals would leave all of them alone"),
        (approval(memory_signed=""), Rule.WRONG_VALUE, "memory.signed is missing"),
        (approval(memory_subject="tenant"), Rule.WRONG_VALUE, "property memory.subject is of tasks for assistants"),
        (approval(memory_sined="x"), Rule.UNREAD_PROPERTY, "memory.sined"),
    ],
)
def test_what_is_wrong_with_one_is_named(wrong: Activity, rule: Rule, said: str) -> None:
    [found] = approvals.faults(wrong, definition(ASKING, wrong))
    assert (found.rule, said in found.said) == (rule, True)


def test_doctor_looks_at_those_that_are_deployed() -> None:
    whole = definition(approval(memory_signed=""))
    keys = {whole.id: "decision"}
    found = deployed.judged(Models(keys, keys, {whole.id: whole}), None, frozenset())
    assert [each.level for each in found if "memory.signed is missing" in each.said] == [Level.PROBLEM]
