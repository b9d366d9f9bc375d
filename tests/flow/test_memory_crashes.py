"""A worker killed at each step of remembering: all is known afterwards, once and in order; what is to go is gone."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.flow.command import Forked, assistant_worker, environment
from tests.flow.conftest import BOTH_DATABASES
from tests.flow.rig import Rig
from tests.flow.test_memory import all_remembered
from tests.flow.test_record_crashes import finished
from tests.models import unique
from tests.waiting import wait_until
from tests.zep.stand_in import KEY, ZepStandIn
from worker import bootstrap
from worker.bootstrap.adapters import Adapters
from worker.demo.processes import running
from worker.domain.memory import KeptFact, MemorySubject
from worker.failpoints import VARIABLE
from worker.modelling.subjects import named
from worker.transcript import open_database
from worker.transcript.tables import memory_waiting
from worker.turn.rememberer import Rememberer

EVERY_MEMORY = pytest.mark.parametrize(
    ("kept", "remembering"),
    [
        ("sqlite", "embedded"),
        *(
            pytest.param(*each, marks=pytest.mark.sweep)
            for each in (("postgresql", "embedded"), ("sqlite", "v2"), ("sqlite", "v4"))
        ),
    ],
    indirect=True,
)
REMEMBERING = ["memos.claim", "memory.remember", "memos.settle"]
FORGETTING = {
    "subject": ["orders.keep", "orders.keep:2", "facts.drop", "forgetting.forget", "orders.keep:3"],
    "instance": ["orders.keep", "facts.drop_instance", "forgetting.forget_instance"],
}


@pytest.fixture
def remembering(request: pytest.FixtureRequest, kept: Rig, zep: ZepStandIn) -> Rig:
    """The rig with a memory: in its transcript's database, or in Zep by one of its APIs."""
    kept.settings |= {"memory": "embedded"}
    if getattr(request, "param", "embedded") != "embedded":
        kept.settings |= {"memory": "zep", "zep_api": request.param, "zep_api_key": KEY, "zep_url": zep.url}
    return kept


def subject(rig: Rig, key: str) -> MemorySubject:
    return named("business-key", key, None, rig.build_settings().engine_name)


async def facts_of(adapters: Adapters, whom: MemorySubject) -> list[KeptFact]:
    """What is noted of a subject, the oldest first."""
    assert adapters.facts is not None
    return (await adapters.facts.facts(whom.digest))[::-1]


async def recalled(rig: Rig, zep: ZepStandIn, key: str) -> list[str]:
    """Of which exchanges a subject's facts are, and that each is recalled, too, and no other."""
    zep.ingest()
    async with bootstrap.connect(rig.build_settings()) as adapters:
        assert adapters.facts is not None
        assert adapters.memory is not None
        refs = [each.ref for each in await facts_of(adapters, subject(rig, key))]
        known = await adapters.facts.known(subject(rig, key))
        found = await adapters.memory.recall(known, "Please do step", 20) if known else []
        assert sorted(each.ref for each in found) == sorted(refs)
        return refs


async def steps(rig: Rig, key: str) -> list[str]:
    """Say which steps' answers a subject's facts are, in their order."""
    async with bootstrap.connect(rig.build_settings()) as adapters:
        texts = [each.text for each in await facts_of(adapters, subject(rig, key))]
    return [text.partition("Please do ")[2].partition(".")[0] for text in texts]


async def free(rig: Rig) -> None:
    """Have due at once what dead workers had in hand, rather than wait until their time is over."""

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(update(memory_waiting).values(due_at=datetime.now(UTC)))

    async with open_database(str(rig.settings["transcript_url"])) as database:
        await database.write(work)


async def killed(rig: Rig, point: str, *command: str) -> None:
    """Run a command, by default a worker, until it kills itself."""
    ran = await assistant_worker(environment(rig) | {VARIABLE: point}, *(command or ("run",)))
    assert ran.code == -9, (point, ran.err, ran.out[-2000:])


async def left_to_remember(rig: Rig, monkeypatch: pytest.MonkeyPatch, *keys: str) -> list[str]:
    """Leave what instances with these keys have settled, each in two steps, to whoever remembers it."""
    model = await rig.deploy(
        *(rig.step(each, memory_subject="business-key", data_input="-") for each in ("one", "two"))
    )
    with monkeypatch.context() as patched:
        patched.setattr(Rememberer, "drain", no_time)
        worker = await rig.start_worker()
        instances = [await rig.run(model, {}, business_key=each) for each in keys]
        async with bootstrap.connect(rig.build_settings()) as adapters:

            async def recorded() -> bool:
                return await adapters.outbox.backlog("transcript") == 0

            await wait_until(recorded, what="all to be in the transcript")
        await worker.stop()
    return instances


async def no_time(_: Rememberer) -> bool:
    return True


async def carried_out(rig: Rig) -> None:
    """Have the rounds of another worker carry out what is open."""
    for _ in range(3):
        receipts = (await assistant_worker(environment(rig), "threads", "erase", "--open", "--json")).json
        if all(each["completed_at"] for each in receipts):
            return
    raise AssertionError(receipts)


@BOTH_DATABASES
@pytest.mark.parametrize(
    "point", ["after:transcript.record:2", pytest.param("before:transcript.record:2", marks=pytest.mark.sweep)]
)
async def test_a_death_while_it_is_noted_leaves_all_to_be_remembered_once_and_in_order(
    remembering: Rig, zep: ZepStandIn, point: str
) -> None:
    rig, key, names = remembering, unique("key"), ["one", "two", "three"]
    model = await rig.deploy(*(rig.step(each, memory_subject="business-key", data_input="-") for each in names))
    dying = Forked(environment(rig) | {VARIABLE: point})
    async with running(dying):
        instance = await rig.rest.start(model, business_key=key)
        assert await dying.exit_code() == -9
    await free(rig)
    await finished(rig, instance, dying)
    await all_remembered(rig)

    assert await steps(rig, key) == names
    assert len(set(await recalled(rig, zep, key))) == 3


@EVERY_MEMORY
async def test_workers_that_die_at_each_step_of_remembering_lose_and_double_nothing(
    remembering: Rig, zep: ZepStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, key = remembering, unique("key")
    await left_to_remember(rig, monkeypatch, key, key, key)
    assert await steps(rig, key) == []
    for call in REMEMBERING:
        for when in ("before", "after"):
            await killed(rig, f"{when}:{call}")
            await free(rig)
            assert await steps(rig, key) == ["one"] * (f"{when}:{call}" == "after:memos.settle")
    await killed(rig, "after:memory.remember:3")
    await free(rig)
    assert await steps(rig, key) == ["one", "two", "one"]
    await rig.start_worker()
    await all_remembered(rig)

    refs = await recalled(rig, zep, key)
    assert await steps(rig, key) == ["one", "two"] * 3
    assert len(set(refs)) == 6
    # A thread for each instance, and each exchange there as its question and its answer.
    assert [each.metadata["ref"] for each in zep.messages] in ([], [ref for ref in refs for _ in range(2)])


@EVERY_MEMORY
@pytest.mark.parametrize("what", ["instance", pytest.param("subject", marks=pytest.mark.sweep)])
async def test_whoever_dies_while_it_forgets_has_it_forgotten_by_the_next_and_nothing_else(
    remembering: Rig, zep: ZepStandIn, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    rig, points = remembering, [f"{when}:{call}" for call in FORGETTING[what] for when in ("before", "after")]
    keys, bystander = {point: unique("key") for point in points}, unique("key")
    instances = await left_to_remember(rig, monkeypatch, *keys.values(), *keys.values(), bystander)
    worker = await rig.start_worker()
    await all_remembered(rig)
    await worker.stop()
    others = await recalled(rig, zep, bystander)
    for instance, (point, key) in zip(instances, keys.items(), strict=False):
        before = await recalled(rig, zep, key)
        is_whole = what == "subject"
        order = ["memory", "forget", "--of", "business-key", key] if is_whole else ["threads", "erase", instance]
        await killed(rig, point, *order, "--yes")
        if point == "before:orders.keep":  # of which nobody has heard: a person gives it again
            await assistant_worker(environment(rig), *order, "--yes")
        await carried_out(rig)
        assert (len(before), await recalled(rig, zep, key)) == (4, [] if is_whole else before[2:]), point
    assert await recalled(rig, zep, bystander) == others
    assert len(others) == 2
