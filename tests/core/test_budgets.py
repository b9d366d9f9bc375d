"""Budgets: what a call may take is charged before it starts, what it took is known after, and nothing gets away."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.core.rig import Core
from tests.fakes.clock import JumpingLoop, now
from tests.fakes.engine import Job
from tests.fakes.life import Life
from worker.domain.budgets import SCOPES, Budgets, Counter, Limit, Scope, Usage
from worker.domain.documents import TOKENS_OF_A_PICTURE
from worker.domain.prices import Price, Prices
from worker.domain.tasks import Variable
from worker.domain.threads import Answer, Said, Seed
from worker.errors import EngineDown, ModelDown, ModelUnknown, OverBudget, StoreDown, ThreadGone
from worker.turn.charging import Charging

PRICE = Price(Decimal(1), Decimal(4))
TOOK = Usage(10 + 50, 10_000 + 200_000)
ANSWER = Answer("Done.", input_tokens=10, output_tokens=50)
OUTPUT = 100
TOO_FEW = 100
"""Tokens that no call is allowed under: it writes as many, and reads some."""
PLENTY = Limit(10_000_000, 1_000_000_000_000)
EVERYTHING = Budgets(dict.fromkeys(SCOPES, PLENTY))
TIMEOUT = ModelUnknown("no answer in time")


@pytest.fixture(autouse=True)
def priced(core: Core) -> None:
    core.budgets = EVERYTHING
    core.prices |= {"openai": Prices({"m": PRICE}), "local": Prices({"m": PRICE})}
    core.assistants.add("analyst", max_output_tokens=OUTPUT)
    core.provider.answer = lambda _: ANSWER
    core.model.answer = lambda _: ANSWER


def limited(core: Core, **limits: Limit) -> None:
    core.budgets = Budgets({name.replace("_", " "): limit for name, limit in limits.items()})


def counter(scope: Scope, name: str, day: date | None = None) -> Counter:
    return Counter(scope, name, PLENTY, scope, day or (now().date() if scope in {"tenant", "assistant"} else None))


async def used(core: Core, scope: Scope = "assistant", name: str = "analyst") -> Usage:
    return await core.book.used(counter(scope, name))


async def open_calls(core: Core) -> int:
    """Charges that nobody has corrected."""
    names = [name for name in await core.redis.keys("*") if ":budget:" in name]
    return sum([sum(str(field).startswith("call:") for field in await core.redis.hkeys(name)) for name in names])


async def incident(core: Core, job: Job) -> str:
    async with core.working():
        await core.until(lambda: job.has_incident)
    return job.message


async def test_what_a_call_took_counts_for_everything_that_it_belongs_to(core: Core) -> None:
    core.world.roots["a"] = "top"
    async with core.working():
        job = core.world.start(instance="a", tenant_id="north")
        await core.until_over([job])

    names: dict[Scope, str] = {
        "tenant": "north",
        "assistant": "analyst",
        "root": "top",
        "instance": "a",
        "task": job.task.id,
    }
    assert {scope: await used(core, scope, name) for scope, name in names.items()} == dict.fromkeys(SCOPES, TOOK)
    assert await open_calls(core) == 0


async def test_a_call_that_may_take_more_than_is_left_is_not_made_and_the_incident_says_what_to_do(core: Core) -> None:
    limited(core, assistant=PLENTY, assistant_analyst=Limit(tokens=TOO_FEW))
    job = core.world.start()

    said = await incident(core, job)
    assert core.provider.asked == []
    assert "the budget of assistant analyst on 2027-" in said
    assert "is 100 tokens; 0 tokens are used or may still be, and this call may take 1" in said
    assert "Whoever runs the worker may raise 'assistant analyst' in BUDGETS_FILE, or set the retries again on" in said
    assert "error.over_budget" in said
    assert await open_calls(core) == 0


async def test_money_is_a_bound_of_its_own(core: Core) -> None:
    limited(core, instance=Limit(PLENTY.tokens, 300_000))
    said = await incident(core, core.world.start(instance="a"))

    assert (
        "the budget of instance a is 0.0003 USD; 0 USD are used or may still be, and this call may take 0.0004" in said
    )
    assert "another day" not in said


async def test_the_model_may_catch_it(core: Core) -> None:
    limited(core, task=Limit(tokens=TOO_FEW))
    properties = {"service.type": "assistant", "service.name": "analyst", "error.over_budget": "TOO_DEAR"}
    core.world.activity(properties=properties)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.error_code == "TOO_DEAR"
    assert core.provider.asked == []


async def test_together_calls_never_take_more_than_there_is_for_all_of_them(core: Core) -> None:
    limited(core, tenant=Limit(tokens=300))
    core.provider.script.always("ask", 20)
    jobs = [core.world.start(tenant_id="north") for _ in range(20)]
    first, second = await core.worker(slots=10), await core.worker(slots=10)
    first.start()
    second.start()
    await core.until(lambda: all(job.gone or job.has_incident for job in jobs))

    done = sum(job.gone for job in jobs)
    assert 2 <= done < 20
    assert len(core.provider.asked) == done
    assert (await used(core, "tenant", "north")).tokens == done * TOOK.tokens <= 300


@pytest.fixture
def slowly(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is charged in vain is taken back after a minute."""
    correct = core.book.correct

    async def late(*args: Any) -> None:
        await asyncio.sleep(60)
        await correct(*args)

    monkeypatch.setattr(core.book, "correct", late)


@pytest.mark.usefixtures("slowly")
async def test_a_refused_call_takes_no_room_from_others_while_it_is_refused(core: Core) -> None:
    limited(core, assistant=Limit(tokens=150), tenant_north=Limit(tokens=TOO_FEW), tenant=PLENTY)
    async with core.working():
        refused = core.world.start(tenant_id="north")
        await core.until(lambda: refused.has_incident or core.redis.scripts > 3)
        other = core.world.start(tenant_id="south")
        await core.until(lambda: refused.has_incident and (other.gone or other.has_incident))

    assert other.gone


@pytest.mark.usefixtures("slowly")
async def test_a_call_that_a_wider_budget_refuses_takes_no_room_of_a_narrower_one(core: Core) -> None:
    limited(core, assistant=PLENTY, assistant_analyst=Limit(tokens=TOO_FEW), tenant=Limit(tokens=150))
    core.assistants.add("critic", max_output_tokens=OUTPUT)
    core.world.activity("review", properties={"service.type": "assistant", "service.name": "critic"})
    async with core.working():
        refused = core.world.start(tenant_id="north")
        await core.until(lambda: refused.has_incident or core.redis.scripts > 3)
        other = core.world.start("review", tenant_id="north")
        await core.until(lambda: refused.has_incident and (other.gone or other.has_incident))

    assert other.gone


@pytest.mark.usefixtures("slowly")
async def test_of_calls_that_want_the_last_room_of_a_tenant_the_refused_take_none_from_another(core: Core) -> None:
    limited(core, assistant=Limit(tokens=250), tenant_north=Limit(tokens=150), tenant=PLENTY)
    assert core.budgets is not None
    charging = Charging(core.book, core.budgets, core.prices)
    north = await charging.counters({"assistant": "analyst", "tenant": "north"})
    south = await charging.counters({"assistant": "analyst", "tenant": "south"})
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_refused(charging.charge(name, north, Usage(120, 0)))) for name in ("a", "b")]
        await asyncio.sleep(1)
        await charging.charge("c", south, Usage(120, 0))
    assert sorted([each.result() for each in calls]) == [False, True]


async def _refused(charging: Awaitable[object]) -> bool:
    try:
        await charging
    except OverBudget:
        return True
    return False


async def test_one_instances_budget_is_nobody_elses(core: Core) -> None:
    limited(core, instance=Limit(tokens=150))
    async with core.working():
        first = core.world.start(instance="a")
        await core.until_over([first])
        second, other = core.world.start("next", instance="a"), core.world.start(instance="b")
        await core.until(lambda: second.has_incident and other.gone)

    assert len(core.provider.asked) == 2


async def test_a_budget_of_a_day_is_there_again_on_the_next(core: Core) -> None:
    limited(core, assistant=Limit(tokens=150))
    async with core.working():
        await core.until_over([core.world.start()])
        refused = core.world.start()
        await core.until(lambda: refused.has_incident)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.jump(timedelta(days=1).total_seconds())
        refused.retries = 1
        core.world.news.set()
        await core.until_over([refused])

    assert len(core.provider.asked) == 2


async def test_tasks_without_a_tenant_are_counted_together(core: Core) -> None:
    limited(core, tenant=Limit(tokens=TOO_FEW))
    said = await incident(core, core.world.start())
    assert "the budget of tasks without a tenant on" in said


@pytest.mark.parametrize("error", [ModelDown("429"), EngineDown("while it was asked")])
async def test_what_certainly_did_not_run_is_not_charged(core: Core, error: Exception) -> None:
    core.provider.script.next("ask", error if isinstance(error, ModelDown) else None)
    async with core.working():
        await core.until_over([core.world.start()])

    assert await used(core) == TOOK
    assert await open_calls(core) == 0


async def test_a_call_whose_hold_is_lost_behind_its_charge_is_not_charged(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge, charged = core.book.charge, 0

    async def charge_and_lose_the_hold(*args: Any) -> Any:
        nonlocal charged
        charged += 1
        if charged == len(SCOPES):
            await core.redis.delete(*await core.redis.keys("*:hold"))
        return await charge(*args)

    monkeypatch.setattr(core.book, "charge", charge_and_lose_the_hold)
    async with core.working():
        await core.until_over([core.world.start()])

    assert (charged, len(core.provider.asked)) == (2 * len(SCOPES), 1)
    assert await used(core) == TOOK
    assert await open_calls(core) == 0


async def test_a_call_that_may_have_run_stays_charged_in_full(core: Core) -> None:
    core.provider.script.next("ask", TIMEOUT)
    async with core.working():
        await core.until_over([core.world.start()])

    assert len(core.provider.asked) == 2
    assert (await used(core)).tokens > TOOK.tokens + OUTPUT
    assert await open_calls(core) == len(SCOPES)


async def test_an_answer_without_usage_stays_charged_in_full(core: Core) -> None:
    core.provider.answer = lambda _: Answer("Done.")
    async with core.working():
        await core.until_over([core.world.start()])

    assert (await used(core)).tokens > OUTPUT


async def test_only_tokens_are_corrected_where_the_answers_price_is_not_known(core: Core) -> None:
    core.provider.answer = lambda _: replace(ANSWER, input_tokens=10, output_tokens=1)
    core.prices["openai"] = Prices({"m": PRICE}, "EUR")
    async with core.working():
        await core.until_over([core.world.start()])

    spent = await used(core)
    assert spent.tokens == 11
    assert spent.billionths >= OUTPUT * 4000


async def test_a_repair_is_charged_as_well(core: Core) -> None:
    answers = iter(["no JSON", '{"choice": "a"}'])
    core.provider.answer = lambda _: replace(ANSWER, text=next(answers))
    properties = {"service.type": "assistant", "service.name": "analyst", "data.output.fields": "choice"}
    core.world.activity(properties=properties)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert await used(core, "task", job.task.id) == Usage(2 * TOOK.tokens, 2 * TOOK.billionths)


async def test_what_a_thread_has_grown_to_counts_for_its_next_call(core: Core) -> None:
    limited(core, task=Limit(tokens=3000))
    core.provider.answer = lambda _: replace(ANSWER, input_tokens=4000)
    async with core.working():
        await core.until_over([core.world.start(instance="a")])
        job = core.world.start("next", instance="a")
        await core.until(lambda: job.has_incident)
        await core.until_over([core.world.start(instance="b")])

    assert "this call may take 4" in job.message


async def test_a_budget_that_is_nearly_used_up_is_named(core: Core) -> None:
    limited(core, instance=Limit(tokens=280))
    async with core.working():
        first = core.world.start(instance="a")
        await core.until_over([first])
        second = core.world.start("next", instance="a")
        await core.until_over([second])

    assert '"budgets":[]' in str(first.results["frame_meta"].value)
    assert '"budgets":["instance a: 8' in str(second.results["next_meta"].value)


@pytest.mark.parametrize("method", ["charge", "correct"])
async def test_without_redis_nothing_is_asked_and_what_is_not_corrected_stays_charged(
    core: Core, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(core.book, method)
    failures = [StoreDown("away")] * 2

    async def failing(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await original(*args)

    monkeypatch.setattr(core.book, method, failing)
    async with core.working():
        await core.until_over([core.world.start()])

    assert len(core.provider.asked) == 1
    assert await open_calls(core) == (0 if method == "charge" else 2)
    assert (await used(core)).tokens >= TOOK.tokens


async def test_budgets_cost_nothing_without_any_and_one_script_each_for_charge_and_correction(core: Core) -> None:
    async def scripts() -> int:
        before = core.redis.scripts
        async with core.working():
            await core.until_over([core.world.start()])
        return core.redis.scripts - before

    await scripts()  # the server does not know them yet
    core.budgets = None
    without = await scripts()
    limited(core, task=PLENTY)
    assert await scripts() == without + 2


async def test_a_count_that_nobody_can_have_written_stops_neither_its_own_tasks_nor_those_of_others(core: Core) -> None:
    limited(core, tenant=PLENTY)
    async with core.working():
        await core.until_over([core.world.start(tenant_id="north")])
        [name] = [each for each in await core.redis.keys("*") if ":budget:" in each]
        await core.redis.set(name, "text")
        await core.until_over([core.world.start(tenant_id=each) for each in ("north", "south", "south")])

    assert await used(core, "tenant", "north") == TOOK


PLACES = [
    f"{when}:{port}"
    for when in ("before", "after")
    for port in (
        "threads.enter",
        "threads.bind",
        "budgets.charge",
        "threads.intend",
        "threads.keep_answer",
        "budgets.correct",
        "engine.complete",
        "threads.close",
    )
]


async def survived(core: Core, place: str) -> None:
    """One task, whose worker dies at this place, and which another one ends."""
    doomed = await core.worker(life=Life(place))
    doomed.start()
    job = core.world.start(instance="a")
    await core.until(lambda: doomed.life.is_over)
    await doomed.stop()
    async with core.working():
        await core.until_over([job])


@pytest.mark.parametrize("place", PLACES)
async def test_killed_anywhere_no_call_gets_away(core: Core, place: str) -> None:
    await survived(core, place)

    spent = await used(core)
    assert spent.tokens >= len(core.provider.asked) * TOOK.tokens
    assert spent.tokens <= TOOK.tokens + 120, "what a death leaves open is one call"
    assert len(core.provider.asked) == 1


async def test_an_answer_that_a_dead_worker_kept_is_charged_as_what_it_took(core: Core) -> None:
    await survived(core, "before:budgets.correct")

    assert await used(core) == TOOK
    assert await open_calls(core) == 0


async def test_a_run_in_the_background_that_outlives_its_worker_is_charged_as_what_it_took(core: Core) -> None:
    core.assistants.add("analyst", max_output_tokens=OUTPUT, background=True)
    await survived(core, "after:threads.note")

    assert await used(core) == TOOK
    assert await open_calls(core) == 0


async def test_a_summary_is_a_call_as_well(core: Core) -> None:
    core.several, core.window = True, 2000
    core.assistants.add("analyst", provider="local", max_output_tokens=OUTPUT)
    core.model.answer = lambda _: replace(ANSWER, text="Done. " * 500, input_tokens=1900)
    async with core.working():
        for number in range(4):
            await core.until_over([core.world.start(f"step_{number}", instance="a")])
        await core.until(lambda: len(core.model.told) > 4)

    summaries = len(core.model.told) - 4
    assert (await used(core)).tokens == (4 + summaries) * 1950
    assert await open_calls(core) == 0


LONG = "So much to say. " * 2000
"""Some 10 000 tokens."""


async def test_a_history_of_ours_counts_though_its_server_counts_nothing(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", provider="local", max_output_tokens=OUTPUT)
    core.model.answer = lambda _: Answer(LONG)
    limited(core, instance=Limit(tokens=25_000))
    async with core.working():
        for number in range(2):
            await core.until_over([core.world.start(f"step_{number}", instance="a")])
        third = core.world.start("third", instance="a")
        await core.until(lambda: third.has_incident)

    assert len(core.model.told) == 2


@pytest.mark.parametrize("odd", [{"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 2**31 - 1}])
async def test_what_cannot_have_been_taken_corrects_nothing(core: Core, odd: dict[str, int]) -> None:
    core.provider.answer = lambda _: replace(ANSWER, **odd)  # type: ignore[arg-type]  # fields by name
    async with core.working():
        await core.until_over([core.world.start(instance="a")])
        await core.until_over([core.world.start("next", instance="a")])

    assert OUTPUT < (await used(core, "instance", "a")).tokens < 4 * OUTPUT


async def test_a_schema_is_read_as_well(core: Core) -> None:
    schema = {"type": "object", "description": "x" * 3000}
    core.assistants.add("analyst", max_output_tokens=OUTPUT, output_schema=schema)
    limited(core, task=Limit(tokens=1000))
    assert "may take 11" in await incident(core, core.world.start())


@pytest.mark.parametrize("lost", [ModelUnknown("no answer in time"), ThreadGone("gone")])
async def test_what_a_new_thread_begins_with_counts_for_each_of_its_calls(core: Core, lost: Exception) -> None:
    core.history.told = Seed((Said("user", LONG),), turns=1)
    async with core.working():
        await core.until_over([core.world.start(instance="a")])
    limited(core, task=Limit(tokens=10_000))
    core.provider.script.next("ask", lost)
    core.provider.conversations.clear()
    async with core.working():
        job = core.world.start("next", instance="a")
        await core.until(lambda: job.has_incident)

    assert "may take 10" in job.message
    assert len(core.provider.asked) == 1


async def test_what_goes_along_with_a_question_is_charged_with_it(core: Core) -> None:
    core.takes = frozenset({"images"})
    limited(core, task=Limit(TOKENS_OF_A_PICTURE, None))
    core.world.activity(properties={**core.world.activity().properties, "data.input": "plan"})
    picture = b"\x89PNG\r\n\x1a\n"
    async with core.working():
        without = core.world.start(variables={"plan": Variable("A plan", "String")})
        await core.until_over([without])
        job = core.world.start(variables={"plan": Variable(b64encode(picture).decode(), "Bytes")})
        await core.until(lambda: job.has_incident)

    assert f"the budget of task {job.task.id} is {TOKENS_OF_A_PICTURE} tokens" in job.message
