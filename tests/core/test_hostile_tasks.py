"""Tasks as nobody should model them, by the hundred, beside healthy ones: each ends, and nothing is unforeseen."""

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import Job
from tests.hostile import seeds
from tests.unit.test_hostile import Maker
from worker.domain.threads import Answer, Outcome, Question
from worker.telemetry.logs import Event

HOSTILE = 60
UNFORESEEN = {Event.TURN_CRASHED, Event.TIDYING_CRASHED}


@pytest.mark.parametrize("seed", seeds(HOSTILE))
async def test_healthy_tasks_complete_beside_any_others_and_each_of_those_ends(core: Core, seed: int) -> None:
    make = Maker(seed)
    core.provider.answer = lambda question: answer_of(make, question)
    hostile = [reach(core, make, number) for number in range(HOSTILE)]
    with capture_logs() as logs:
        async with core.working(slots=3):
            healthy = [core.world.start("healthy", instance=f"healthy-{number}") for number in range(10)]
            await core.until_over(healthy)
            await core.until(lambda: all(each.gone or each.has_incident for each in hostile))

    assert [job.results["healthy"].value for job in healthy] == ["Fine."] * 10
    assert [line for line in logs if line["event"] in UNFORESEEN] == []
    assert all(job.message for job in hostile if job.has_incident)
    assert len(core.provider.asked) > len(healthy) + HOSTILE / 6, "it is not all refused at the door"


def answer_of(make: Maker, question: Question) -> Answer:
    """Fine for the healthy, anything for the others."""
    if question.text.startswith("# Healthy"):
        return Answer("Fine.")
    text = make.choice([make.text(), str(make.value()), '{"a": {"b": 1}}'])
    return Answer(
        text, make.choice([Outcome.OK, Outcome.OK, Outcome.OK, *Outcome]), response_id=make.choice([None, "resp_1"])
    )


def reach(core: Core, make: Maker, number: int) -> Job:
    """Have an instance come to a task that says anything, with any variables."""
    said = {"service.type": "assistant", "service.name": "analyst", "service.retries": "1"}
    # Not too much at once, or each is refused for the first thing that is odd.
    said |= make.said() if make.random() < 0.3 else {}
    asked = make.text() if make.random() < 0.3 else "Ask."
    parameters = frozenset({"prompt", "assistant"} if make.random() < 0.2 else ())
    name = f"hostile{number}"
    core.world.activity(name, documentation=asked, properties=said, parameters=parameters, loops=make.randint(0, 2))
    return core.world.start(name, variables=make.variables(), business_key=make.choice([None, make.text()]))
