"""Records of decisions ask no model: they are made while none can be asked."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.core.deciding import DEFINITION, Deciding
from tests.core.operating import stop
from tests.core.rig import Core, Worker
from tests.fakes.engine import FakeTopics, Job
from worker.domain.tasks import Topic
from worker.errors import EngineDown, ProviderAway, ProviderPaused
from worker.loop.poller import WITHOUT_MODELS_SECONDS
from worker.runtime.clock import monotonic

AWAY, PAUSED = ProviderAway("no connection"), ProviderPaused("the quota is used up")


@pytest.fixture
def topics() -> FakeTopics:
    topics = FakeTopics(Topic("topic"), Topic("records"))
    topics.asking_nobody = frozenset({"records"})
    return topics


@pytest.fixture(autouse=True)
def said(core: Core, deciding: Deciding) -> None:
    """What a record is made of, and a task that makes it, on a topic of its own."""
    deciding.say_all()
    properties = {"service.type": "decision-record", "record.stage": "compute", "data.output": "decision"}
    core.world.activity("compute", definition=DEFINITION, topic="records", properties=properties)


def records(core: Core, many: int) -> Sequence[Job]:
    return [core.world.start("compute", definition=DEFINITION, instance="a") for _ in range(many)]


def polled(worker: Worker) -> list[tuple[Topic, ...]]:
    return [topics for topics, _, _ in worker.engine.script.named("fetch")]


async def test_while_every_provider_is_away_records_are_made_and_all_other_tasks_wait(
    core: Core, topics: FakeTopics
) -> None:
    core.several = True
    worker = await core.worker(topics=topics)
    core.provider.script.always("ping", AWAY)
    core.model.script.always("ping", PAUSED)
    worker.dependencies.down("provider", AWAY, "openai")
    worker.dependencies.down("provider", PAUSED, "local")
    worker.start()
    asking, made = core.world.start(), records(core, 9)
    await core.until_over(made)

    assert set(polled(worker)) == {(Topic("records"),)}
    assert (asking.worker, asking.retries, len(core.provider.asked)) == (None, None, 0)
    assert worker.dependencies.reasons() != []

    core.provider.script.always("ping", None)
    await core.until(lambda: not worker.dependencies.reasons())
    began = monotonic()
    await core.until_over([asking])
    assert monotonic() - began < WITHOUT_MODELS_SECONDS, "no poll for records is parked meanwhile"


async def test_at_the_start_records_wait_for_no_provider(core: Core, topics: FakeTopics) -> None:
    core.tells_outages = True
    core.provider.script.always("ping", AWAY)
    async with core.working(topics=topics):
        await core.until_over(records(core, 1))


async def test_while_the_engine_is_away_too_nothing_is_fetched(core: Core, topics: FakeTopics) -> None:
    async with core.working(topics=topics) as worker:
        core.provider.script.always("ping", AWAY)
        worker.dependencies.down("provider", AWAY)
        worker.engine.script.always("ping", EngineDown("away"))
        worker.dependencies.down("engine", EngineDown("away"))
        await core.until(lambda: len(worker.engine.script.named("ping")) > 3)
        polls, made = len(polled(worker)), records(core, 1)
        await core.until(lambda: len(worker.engine.script.named("ping")) > 6)
        assert len(polled(worker)) == polls
        worker.engine.script.always("ping", None)
        await core.until_over(made)
        assert worker.dependencies.reasons() != []


async def test_what_operators_have_stopped_stays_stopped(core: Core, topics: FakeTopics) -> None:
    async with core.working(topics=topics) as worker:
        core.provider.script.always("ping", AWAY)
        worker.dependencies.down("provider", AWAY)
        await core.until(lambda: (Topic("records"),) in polled(worker))
        await worker.stopped.stop(replace(stop("topic"), name="records"))
        made = records(core, 1)
        probes = len(core.provider.script.named("ping"))
        await core.until(lambda: len(core.provider.script.named("ping")) > probes + 3)
        assert made[0].worker is None


async def test_a_record_shows_nothing_of_a_provider_that_is_on_trial(core: Core, topics: FakeTopics) -> None:
    async with core.working(topics=topics, slots=5) as worker:
        core.provider.script.always("ask", PAUSED)
        core.world.start()
        await core.until(worker.dependencies.reasons)
        await core.until_over(records(core, 5))
        await core.until(lambda: not worker.dependencies.reasons() and worker.dependencies.on_trial)
        await core.until_over(records(core, 5))
        assert worker.dependencies.on_trial or worker.dependencies.reasons()
