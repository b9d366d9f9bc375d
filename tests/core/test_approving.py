"""Persons approve by their own tasks what is proposed to be remembered; nothing else in the process can."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from tests.core.closing import Closing
from tests.core.rig import Core
from tests.fakes.engine import Job
from tests.records import exchange, key
from worker.domain.memory import ToRemember
from worker.domain.tasks import Task, Variable
from worker.redis import RedisOutbox

ADA = "a" * 32
APPROVAL = {"service.type": "memory-approval", "memory.signed": "review", "memory.accepted": "keep"}
UNSAID = "review was completed past its form: it does not say keep"


@dataclass
class Approving:
    """Instances whose answers are proposed, and their tasks by which they are approved."""

    core: Core
    closing: Closing
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]  # of numbers

    async def answered(self, instance: str = "a", *, settled: bool = True) -> datetime:
        """Have an answer proposed, and return when the engine took it."""
        number = next(self.numbers)
        wish = ToRemember(ADA, "variable:customer", f"Settle {number}.", approve=True)
        said = exchange(number, key(instance), remember=wish, thread_id=None, response_id=None)
        await self.closing.transcript.record(said)
        at = said.answered_at
        task = Task(said.task_id, "topic", "settle", instance, "settle:1:s", "settle", "e", at, 0.0)
        self.core.world.past.completed(task, {"settle": Variable("so", "String")})
        if settled:
            await self.settled()
        return self.core.world.past.completions[-1].at

    async def settled(self) -> None:
        while claimed := await self.closing.memos.claim(10, only_proposed=True):
            for each in claimed:
                assert await self.closing.memos.settle(each, each.question, each.answer) == "kept"

    async def reached(self, instance: str = "a", **more: str) -> Job:
        """Reach the task by which is approved, and see it to its end or its failure."""
        self.core.world.activity("approve", properties={**APPROVAL, **more})
        job = self.core.world.start("approve", instance=instance)
        async with self.core.working():
            await self.core.until(lambda: job.gone or job.message)
        return job

    async def states(self, instance: str = "a") -> list[str]:
        return [each.state for each in await self.closing.facts.facts(ADA) if each.instance == instance]


@pytest.fixture
def approving(core: Core, closing: Closing) -> Approving:
    core.facts = closing.facts
    return Approving(core, closing)


def told(job: Job) -> Any:
    assert not job.message, job.message
    return json.loads(job.results["approve"].value)


async def test_a_yes_of_a_person_approves_what_was_proposed_when_their_task_came_to_be(approving: Approving) -> None:
    seen = await approving.answered()
    await approving.answered()  # while their task was open
    approving.core.world.past.person("a", "review", "ann", began=seen, keep=True)
    assert told(await approving.reached()) == {"accepted": True, "approved": 1, "refused": 0, "why": ""}
    newest, approved = await approving.closing.facts.facts(ADA)
    assert (newest.state, approved.state, approved.approved_by) == ("proposed", "approved", "ann")
    [waiting] = await approving.closing.memos.claim(5)
    assert (waiting.fact, waiting.answer) == (approved.id, "Answer 1."), "it is given to the memory"


async def test_a_no_refuses_it(approving: Approving) -> None:
    await approving.answered()
    approving.core.world.past.person("a", "review", keep="False")
    assert told(await approving.reached()) == {"accepted": False, "approved": 0, "refused": 1, "why": ""}
    assert await approving.states() == []


async def test_what_another_instance_has_proposed_of_the_same_subject_stays_proposed(approving: Approving) -> None:
    await approving.answered()
    await approving.answered("b")
    approving.core.world.past.person("a", "review", keep=True)
    await approving.reached()
    assert (await approving.states(), await approving.states("b")) == (["approved"], ["proposed"])


async def test_a_forged_variable_approves_nothing(approving: Approving) -> None:
    await approving.answered()
    past = approving.core.world.past
    past.by_hand("a", keep=True)
    past.person("a", "review", comment="what is this?")
    past.by_hand("a", keep=True)
    task = Task("t", "topic", "other", "a", "settle:1:s", "settle", "e", past.completions[0].at, 0.0)
    past.completed(task, {"keep": Variable(value=True, type="Boolean")})
    assert told(await approving.reached()) == {"accepted": False, "approved": 0, "refused": 0, "why": UNSAID}
    assert await approving.states() == ["proposed"]


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({}, "nobody has completed review, which property memory.signed names"),
        ({"user": "tasklist", "keep": True}, "the engine does not tell which person has completed review"),
        ({"user": "ben", "assignee": "ann", "keep": True}, "review was completed by somebody else than"),
    ],
)
async def test_what_nobody_can_tell_to_be_a_persons_word_approves_nothing(
    approving: Approving, person: dict[str, Any], why: str
) -> None:
    await approving.answered()
    if person:
        approving.core.world.past.person("a", "review", **person)
    said = told(await approving.reached())
    assert said["why"].startswith(why)
    assert (said["accepted"], await approving.states()) == (False, ["proposed"])


@pytest.mark.parametrize("lacking", ["users", "history"])
async def test_an_engine_that_does_not_tell_approves_nothing_and_says_what_it_takes(
    approving: Approving, lacking: str
) -> None:
    await approving.answered()
    past = approving.core.world.past
    past.person("a", "review", keep=True)
    past.is_kept = lacking != "history"
    if lacking == "users":
        past.operations.clear()
    said = told(await approving.reached())
    assert ("history level full" in said["why"]) == (lacking == "history")
    assert await approving.states() == ["proposed"]


async def test_of_several_persons_all_have_to_say_yes(approving: Approving) -> None:
    await approving.answered()
    past = approving.core.world.past
    past.person("a", "review", keep=True)
    past.person("a", "countersign", "ben", keep=False)
    assert told(await approving.reached(**{"memory.signed": "review, countersign"}))["refused"] == 1

    await approving.answered()
    for name, user in (("review", "ann"), ("countersign", "ben")):
        past.person("a", name, user, keep=True)
    assert told(await approving.reached(**{"memory.signed": "review, countersign"}))["approved"] == 1
    [fact] = await approving.closing.facts.facts(ADA)
    assert fact.approved_by == "ann, ben"


async def test_a_task_that_comes_again_behind_the_approving_says_the_same(approving: Approving) -> None:
    await approving.answered()
    approving.core.world.past.person("a", "review", keep=True)
    first = told(await approving.reached())
    assert told(await approving.reached()) == first
    assert len(await approving.closing.memos.claim(5)) == 1


@pytest.mark.parametrize("where", ["outbox", "transcript"])
async def test_what_has_yet_to_be_proposed_is_waited_for_without_a_retry(approving: Approving, where: str) -> None:
    await approving.answered(settled=False)
    approving.core.world.past.person("a", "review", keep=True)
    outbox = "aw:default:unrecorded"
    if where == "outbox":
        await approving.settled()
        [done] = approving.core.world.past.completions
        await approving.core.redis.zadd(outbox, {f"aw:x:turn:{done.task}": 0})
    approving.core.world.activity("approve", properties=APPROVAL)
    job = approving.core.world.start("approve", instance="a")
    async with approving.core.working():
        await approving.core.until(lambda: job.message)
        assert "has yet to be proposed" in job.message
        assert (job.retries, await RedisOutbox(approving.core.redis, prefix="aw", engine="default").backlog("x")) == (
            3,
            0,
        )
        await approving.settled()
        await approving.core.redis.delete(outbox)
        await approving.core.until(lambda: job.gone)
    assert json.loads(job.results["approve"].value)["approved"] == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"memory.signed": " , "}, "memory.signed is missing"),
        ({"memory.subject": "business-key"}, "property memory.subject is of tasks for assistants"),
        ({"data.output.fields": "nothing"}, "property data.output.fields names what an approval does not tell"),
    ],
)
async def test_a_task_that_says_what_cannot_be_is_an_incident(
    approving: Approving, wrong: dict[str, str], said: str
) -> None:
    await approving.answered()
    approving.core.world.past.person("a", "review", keep=True)
    job = await approving.reached(**wrong)
    assert (job.has_incident, said in job.message) == (True, True), job.message


async def test_without_a_transcript_it_is_an_incident(approving: Approving) -> None:
    approving.core.facts = None
    job = await approving.reached()
    assert job.has_incident
    assert "TRANSCRIPT_URL" in job.message
