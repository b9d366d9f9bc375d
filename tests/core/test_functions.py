"""Tasks that functions handle, beside those for assistants, on fakes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.core.rig import GRACE_SECONDS, Core, Worker
from tests.fakes.engine import LOCK, FakeEngine, FakeTopics, Job
from worker.domain.handled import Completed, Failed, Handled, Raised, Thrown
from worker.domain.stops import order
from worker.domain.tasks import Task, Topic, Variable
from worker.errors import EngineDown, Refused, TooLong
from worker.loop.delivery import Delivery
from worker.loop.handler import TaskHandler
from worker.loop.lease import Leases
from worker.loop.open_topics import OpenTopics
from worker.loop.poller import Poller
from worker.loop.sieve import Sieve
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.telemetry import metrics
from worker.turn.handler_turn import HandlerTurn


class Functions:
    """`ports.handlers.Handlers` that says what a test wants."""

    def __init__(self) -> None:
        self.outcome: Handled = Completed({"paid": Variable(value=True)})
        self.given: list[Mapping[str, str]] = []

    async def handle(self, task: Task, properties: Mapping[str, str]) -> Handled:  # noqa: ARG002 - it has no other
        self.given.append(properties)
        await asyncio.sleep(0)
        return self.outcome


@pytest.fixture
def functions() -> Functions:
    return Functions()


@asynccontextmanager
async def serving(core: Core, worker: Worker, functions: Functions) -> AsyncIterator[FakeEngine]:
    """A second poller of the worker, for the topic of functions."""
    engine, stopping = FakeEngine(core.world, "functions"), asyncio.Event()
    topics = FakeTopics(Topic("pay"))
    topics.asking_nobody = frozenset({"pay"})
    slots = Slots(5)

    def down(error: Exception) -> None:
        worker.dependencies.down("engine", error)

    turn = HandlerTurn(engine, functions, worker.stopped, core.rules())
    leases, delivery = Leases(engine, LOCK, down), Delivery(engine, core.threads)
    handler = TaskHandler(
        leases, slots, turn, WaitingRoom(0), delivery, worker.dependencies, stopping.is_set, "function"
    )
    sieve = Sieve(engine, OpenTopics(topics, worker.stopped))
    shown = metrics.HANDLER_POLLING
    poller = Poller(
        engine, sieve, slots, handler, worker.dependencies, worker.stopped, stopping, asks_models=False, shown=shown
    )
    running = asyncio.create_task(poller.run(GRACE_SECONDS, asyncio.Event()))
    try:
        yield engine
    finally:
        stopping.set()
        await running


def pay(core: Core, **properties: str) -> Job:
    core.world.activity("charge", definition="shop:1:s", topic="pay", properties=properties)
    return core.world.start("charge", definition="shop:1:s")


async def test_what_a_function_makes_of_its_task_is_told_to_the_engine(core: Core, functions: Functions) -> None:
    worker = await core.worker()
    async with serving(core, worker, functions):
        done = pay(core, account="42")
        await core.until_over([done])
        functions.outcome = Thrown("BROKE", "no money", {})
        thrown = pay(core)
        await core.until_over([thrown])
        functions.outcome = Failed("not now", "why", 0, timedelta(0))
        failed = pay(core)
        await core.until(lambda: failed.has_incident)

    assert (done.results["paid"].value, functions.given[0]) == (True, {"account": "42"})
    assert (thrown.error_code, failed.message) == ("BROKE", "not now")


async def test_an_exception_costs_a_retry_each_time_up_to_the_incident(core: Core, functions: Functions) -> None:
    functions.outcome = Raised("shop:charge raised ValueError: no", "trace", "ValueError")
    async with serving(core, await core.worker(), functions):
        job = pay(core)
        await core.until(lambda: job.has_incident)
    assert len(functions.given) == core.rules().retries
    assert job.message == '"Charge" (charge): shop:charge raised ValueError: no'


@pytest.mark.parametrize(
    ("outcome", "method", "trouble"),
    [
        (Completed({}), "complete", Refused("500")),
        (Completed({}), "complete", TooLong("500")),
        (Thrown("BROKE", "no money", {}), "bpmn_error", Refused("500")),
    ],
)
async def test_what_the_engine_does_not_take_of_a_function_is_an_incident_before_it_runs_again(
    core: Core, functions: Functions, outcome: Handled, method: str, trouble: Exception
) -> None:
    functions.outcome = outcome
    async with serving(core, await core.worker(), functions) as engine:
        engine.script.always(method, trouble)
        job = pay(core)
        await core.until(lambda: job.has_incident)
        await asyncio.sleep(600)
        assert (len(functions.given), job.message.endswith("Retry runs the function again, which has run.")) == (
            1,
            True,
        )


async def test_a_function_whose_instance_is_suspended_meanwhile_runs_again_when_that_is_resumed(
    core: Core, functions: Functions
) -> None:
    async with serving(core, await core.worker(), functions) as engine:

        def suspend() -> None:
            job.suspended = True

        engine.script.next("complete", suspend)
        job = pay(core)
        await core.until(lambda: job.suspended)
        await asyncio.sleep(600)
        assert len(functions.given) == 1
        job.suspended = False
        core.world.news.set()
        await core.until_over([job])
    assert (len(functions.given), len(job.completed_by)) == (2, 1)


async def test_after_an_outage_functions_wait_for_no_assistant(core: Core, functions: Functions) -> None:
    worker = await core.worker()
    worker.dependencies.down("engine", EngineDown("away"))
    await core.until(lambda: not worker.dependencies.reasons())
    assert worker.dependencies.on_trial
    async with serving(core, worker, functions) as engine:
        await core.until_over([pay(core)])
    assert {most for _, most, _ in engine.script.named("fetch")} == {5}


async def test_polls_for_functions_do_not_hide_that_nobody_polls_for_assistants(
    core: Core, functions: Functions
) -> None:
    for each in (metrics.LAST_POLL, metrics.HANDLER_LAST_POLL):
        each.set(0)
    async with serving(core, await core.worker(), functions):
        await core.until_over([pay(core)])
    assert (metrics.LAST_POLL._value.get(), metrics.HANDLER_LAST_POLL._value.get() > 0) == (0, True)


async def test_a_stopped_topic_starts_no_function(core: Core, functions: Functions) -> None:
    worker = await core.worker()
    await core.stops.stop(order("topic", "pay", "ann", {}))
    await worker.stopped.look()
    async with serving(core, worker, functions):
        job = pay(core)
        await asyncio.sleep(60)
        assert (functions.given, job.worker) == ([], None)


async def test_a_task_for_an_assistant_is_no_functions(core: Core, functions: Functions) -> None:
    async with serving(core, await core.worker(), functions):
        job = pay(core, **{"service.type": "assistant", "service.name": "analyst"})
        await core.until(lambda: job.has_incident)
    assert "the topic pay is in HANDLERS" in job.message
    assert functions.given == []
