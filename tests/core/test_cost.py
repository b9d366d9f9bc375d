"""What an answer cost: by the price of the day on which it came, and never nothing where nobody knows it."""

import json
from decimal import Decimal
from typing import Any

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.money import Money
from worker.domain.prices import Price, Prices
from worker.domain.threads import Answer
from worker.errors import EngineDown
from worker.redis import RedisOutbox

PRICES = Prices({"m": Price(Decimal("0.4"), Decimal("1.6"), Decimal("0.1"))})
ANSWER = Answer(
    "Done.",
    model="m-2026-01-01",
    input_tokens=1000,
    output_tokens=100,
    cached_tokens=500,
    cache_write_tokens=0,
    reasoning_tokens=64,
)
COST = Money("0.00041", "USD")
OURS = {"assistant": "analyst", "model": "m"}


def told(job: Job) -> dict[str, Any]:
    """The result's meta variable."""
    [meta] = [json.loads(each.value) for name, each in job.results.items() if name.endswith("_meta")]
    return dict(meta)


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"worker_{metric}_total", labels | OURS) or 0


async def one(core: Core) -> Job:
    async with core.working():
        job = core.world.start()
        await core.until_over([job])
    return job


async def test_meta_line_and_exchange_tell_what_an_answer_took_and_cost(core: Core) -> None:
    core.prices["openai"] = PRICES
    core.provider.answer = lambda _: ANSWER
    with capture_logs() as lines:
        meta = told(await one(core))

    assert meta["tokens"] == {"input": 1000, "cached": 500, "cache_write": 0, "output": 100, "reasoning": 64}
    assert meta["cost"] == {"amount": "0.00041", "currency": "USD"}
    [line] = [line for line in lines if line["event"] == "turn"]
    assert (line["cached_tokens"], line["reasoning_tokens"]) == (500, 64)
    assert (line["cost"], line["currency"]) == ("0.00041", "USD")
    [pending] = await RedisOutbox(core.redis, prefix="aw", engine="default").claim(TRANSCRIPT, 1)
    [exchange] = pending.exchanges.values()
    assert (exchange.cached_tokens, exchange.cache_write_tokens, exchange.reasoning_tokens) == (500, 0, 64)
    assert exchange.cost == COST


async def test_metrics_count_tokens_and_money_by_the_names_of_the_spec(core: Core) -> None:
    kinds = [("tokens", {"direction": "input"}, 1000), ("tokens", {"direction": "output"}, 100)]
    kinds += [("token_details", {"detail": "cached"}, 500), ("token_details", {"detail": "reasoning"}, 64)]
    before = [counted(name, **labels) for name, labels, _ in kinds]
    cost, unpriced = counted("cost", currency="USD"), counted("answers_unpriced")
    core.prices["openai"] = PRICES
    core.provider.answer = lambda _: ANSWER
    await one(core)

    assert [counted(name, **labels) for name, labels, _ in kinds] == [
        was + more for was, (*_, more) in zip(before, kinds, strict=True)
    ]
    assert round(counted("cost", currency="USD") - cost, 9) == 0.00041
    assert counted("answers_unpriced") == unpriced


async def test_the_price_of_its_day_stays_with_an_answer(core: Core) -> None:
    core.prices["openai"] = PRICES
    core.provider.answer = lambda _: ANSWER
    async with core.working() as worker:
        worker.engine.script.next("has_spin", EngineDown("away"))
        job = core.world.start()
        await core.until(worker.dependencies.reasons)
        core.prices["openai"] = Prices({"m": Price(Decimal(9), Decimal(9))}, "EUR")
        await core.until_over([job])

    assert told(job)["recovered"] == "journal"
    assert told(job)["cost"] == COST.told


async def test_an_answer_whose_tokens_nobody_knows_has_an_unknown_cost(core: Core) -> None:
    core.prices["openai"] = PRICES

    assert told(await one(core))["cost"] is None


async def test_questions_on_one_thread_have_one_cache_key_and_those_on_others_have_another(core: Core) -> None:
    async with core.working():
        jobs = [core.world.start(instance=name) for name in ("one", "one", "two")]
        await core.until_over(jobs)

    keys = [question.cache_key for _, question in core.provider.asked]
    assert sorted(map(keys.count, keys)) == [1, 2, 2]
    assert all(len(each) == 32 for each in keys)


async def test_what_has_no_price_has_no_cost(core: Core) -> None:
    unpriced = counted("answers_unpriced")
    core.provider.answer = lambda _: ANSWER

    assert told(await one(core))["cost"] is None
    assert counted("answers_unpriced") == unpriced + 1
