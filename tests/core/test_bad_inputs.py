"""Inputs that have become bad since a task was asked: an answer that is there is delivered all the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from tests.core.remembering import FakeMemory
from tests.core.rig import Core
from tests.core.test_asks import meta
from tests.fakes.engine import Job
from tests.fakes.life import Life
from worker.domain.tasks import Variable
from worker.errors import ModelUnknown
from worker.redis import RedisOutbox
from worker.turn.recalling import Recalling

Spoil = Callable[[Core, Job], None]


def given(core: Core, job: Job, variables: Mapping[str, Variable]) -> None:
    """Have the task see these from its next delivery on."""
    job.task = replace(job.task, variables={})
    core.world.variables[job.task.process_instance_id] = dict(variables)


def remove(core: Core, job: Job) -> None:
    given(core, job, {})


def enlarge(core: Core, job: Job) -> None:
    given(core, job, {"offers": Variable("x" * 100_000, "String")})


def outgrow_polls(core: Core, job: Job) -> None:  # noqa: ARG001 - as the others
    job.bytes = 2_000_000


def spoil_the_prompt(core: Core, job: Job) -> None:
    given(core, job, {**job.task.variables, "prompt": Variable(None, "Bytes")})


@pytest.fixture(
    params=[
        (remove, "input 'offers' is not set"),
        (enlarge, "input 'offers' comes to"),
        (outgrow_polls, "have too many bytes for a poll's reply"),
        (spoil_the_prompt, "the input parameter prompt has to be evaluated to a text"),
    ],
    ids=lambda each: each[0].__name__,
)
def bad(request: pytest.FixtureRequest) -> tuple[Spoil, str]:
    """What becomes of the variables, and what is said of it."""
    found: tuple[Spoil, str] = request.param
    return found


def start(core: Core) -> Job:
    """Reach a task about a customer, with offers to read."""
    memory = FakeMemory()
    core.recalling = Recalling(memory, memory, "default")
    properties = {
        **core.world.activity().properties,
        "data.input": "offers",
        "memory.subject": "variable:customer",
    }
    core.world.activity(properties=properties, parameters=frozenset({"prompt"}))
    return core.world.start(variables={"offers": Variable("two", "String"), "customer": Variable("ada", "String")})


async def test_they_are_an_incident_before_anything_is_paid(core: Core, bad: tuple[Spoil, str]) -> None:
    spoil, said = bad
    job = start(core)
    spoil(core, job)
    async with core.working():
        await core.until(lambda: job.has_incident)

    assert said in job.message
    assert core.provider.asked == []


async def test_an_answer_in_the_journal_is_delivered(core: Core, bad: tuple[Spoil, str]) -> None:
    spoil, _ = bad
    job = start(core)
    life = Life("before:engine.complete")
    doomed = await core.worker(life=life)
    doomed.start()
    await core.until(lambda: life.is_over)
    spoil(core, job)
    async with core.working():
        await core.until_over([job])

    assert (job.message, len(core.provider.asked)) == ("", 1)
    assert job.results["frame"].value == f"answer to {core.provider.asked[0][1].ref}"
    assert meta(job, "frame")["recovered"] == "journal"


async def test_an_answer_on_the_thread_is_delivered(core: Core, bad: tuple[Spoil, str]) -> None:
    spoil, said = bad
    job = start(core)

    def land_and_die() -> None:
        core.provider._land(*core.provider.asked[-1])
        spoil(core, job)
        raise ModelUnknown("the reply was cut")

    core.provider.script.next("ask", land_and_die)
    async with core.working():
        await core.until_over([job])

    assert (job.has_incident, len(core.provider.asked)) == (False, 1)
    assert job.results["frame"].value == f"answer to {core.provider.asked[0][1].ref}"
    assert meta(job, "frame")["recovered"] == "thread"
    [pending] = await RedisOutbox(core.redis, prefix="aw", engine="default").claim("transcript", 10)
    [exchange] = pending.exchanges.values()
    assert exchange.messages[0].text.startswith("# Frame\n\nPlease do frame.\n\n(The rest of what was asked here")
    assert said in exchange.messages[0].text, "the record does not have words that were not asked"


async def test_where_no_answer_is_there_it_is_an_incident_and_nothing_is_asked(
    core: Core, bad: tuple[Spoil, str]
) -> None:
    spoil, said = bad
    job = start(core)

    def die() -> None:
        spoil(core, job)
        raise ModelUnknown("the reply was cut")

    core.provider.script.next("ask", die)
    async with core.working():
        await core.until(lambda: job.has_incident)

    assert said in job.message
    assert len(core.provider.asked) == 1


@pytest.mark.parametrize("unknown", [{"loops": 1}, {"parameters": frozenset({"assistant"})}], ids=["loop", "assistant"])
async def test_without_variables_no_answer_goes_where_only_these_say_it_belongs(
    core: Core, unknown: dict[str, object]
) -> None:
    core.world.activity(**unknown)  # type: ignore[arg-type]  # fields of Activity
    variables = {"loopCounter": Variable(0, "Integer"), "assistant": Variable("analyst", "String")}
    job = core.world.start(variables=variables)
    life = Life("before:engine.complete")
    doomed = await core.worker(life=life)
    doomed.start()
    await core.until(lambda: life.is_over)
    job.bytes = 2_000_000
    async with core.working():
        await core.until(lambda: job.has_incident)
        assert "have too many bytes for a poll's reply" in job.message
        job.bytes, job.retries = 0, 1
        core.world.news.set()
        await core.until_over([job])

    assert len(core.provider.asked) == 1
