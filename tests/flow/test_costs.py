"""What a process cost, from the provider's usage to whoever asks, whatever the API."""

from pathlib import Path
from typing import Any

import pytest

from tests.flow import command
from tests.flow.command import Ran, environment
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.domain.money import Money
from worker.domain.providers import Api

PROVIDERS = """
providers:
  openai:
    api: {api}
    base_url: {url}
    key: env:FLOW_KEY
    currency: EUR
    prices:
      gpt-5-mini: {{input: 0.4, cached: 0.1, output: 1.6}}
"""


async def cost(rig: Rig, *arguments: str) -> Ran:
    return await command.assistant_worker(
        environment(rig, flow_key="test-key-never-logged"), "transcript", "cost", *arguments
    )


def priced(tokens: dict[str, Any]) -> Money:
    """What an answer with these tokens costs, in billionths: 400, 100 and 1600 for a token of each kind."""
    read = 400 * (tokens["input"] - tokens["cached"]) + 100 * tokens["cached"]
    return Money.of(read + 1600 * tokens["output"], "EUR")


@pytest.mark.parametrize("api", ["conversations", "responses", "chat"])
async def test_what_an_instance_cost_is_told_by_its_meta_and_by_the_command(
    kept: Rig, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS.format(api=api, url=kept.provider.base_url))
    kept.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
    kept.provider.answer("Please do one", "A long beginning. " * 400)
    model = await kept.deploy(kept.step("one"), kept.step("two"), kept.step("three"))
    await kept.start_worker()
    instance = await kept.run(model)
    await kept.run(model)
    metas = [await kept.meta(instance, step) for step in ("one", "two", "three")]
    of_instance = Money.of(sum(priced(meta["tokens"]).billionths for meta in metas), "EUR")

    async def recorded() -> bool:
        return bool((found := (await cost(kept, "--json")).json) and found[0]["answers"] == 6)

    await wait_until(recorded, what="the transcript to have all answers")
    [whole] = (await cost(kept, instance, "--json")).json
    days = (await cost(kept, "--by", "day", "--json")).json
    table = await cost(kept, "--by", "definition", "--since", "2026-01-01")
    late = await cost(kept, "--by", "model", "--since", "2999-01-01T00:00+02:00")
    wrong = await cost(kept, "--since", "yesterday")

    assert [meta["cost"] for meta in metas] == [priced(meta["tokens"]).told for meta in metas]
    assert metas[2]["tokens"]["cached"] > 0
    assert (whole["answers"], whole["unpriced"], whole["cost"]) == (3, 0, [of_instance.told])
    assert whole["reasoning_tokens"] == 3 * 64
    assert sum(day["answers"] for day in days) == 6
    assert model.key in table.out
    assert "EUR" in table.out
    assert "There are no answers." in late.out
    assert (wrong.code, "must be a date such as" in wrong.err) == (2, True)


async def test_answers_without_a_price_are_counted_and_not_taken_for_free(kept: Rig) -> None:
    await kept.start_worker()
    instance = await kept.run(await kept.deploy(kept.step("one")))

    async def recorded() -> bool:
        return "1 of unknown cost" in (await cost(kept, instance)).out

    await wait_until(recorded, what="the answer in the transcript")
    assert (await kept.meta(instance, "one"))["cost"] is None
