"""Fallback on real parts: who answers while a provider is away, with what was said on the thread, and back again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.domain.providers import Api

pytestmark = pytest.mark.timeout(120)

PROVIDERS = """\
providers:
  own: {{api: {own}, base_url: '{own_url}'}}
  other: {{api: {other}, base_url: '{other_url}'}}
"""
ASSISTANT = "provider: own\nfallback: [other/gpt-5-mini]\nafter_fallback: {after}"


@pytest.fixture
async def other() -> AsyncIterator[ModelServer]:
    """Who stands in."""
    async with ModelServer() as server:
        yield server


def placed(
    kept: Rig, other: ModelServer, folder: Path, apis: tuple[Api, Api], after: str = "return", url: str = ""
) -> None:
    """Name both providers, and the one assistant that asks them."""
    file = folder / "providers.yaml"
    own, second = apis
    own_url = url or kept.provider.base_url
    file.write_text(PROVIDERS.format(own=own, own_url=own_url, other=second, other_url=other.base_url))
    kept.assistant(more=ASSISTANT.format(after=after))
    kept.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}


def asked(server: ModelServer) -> list[Any]:
    """The bodies of all turns that were answered, in order."""
    turns = {"responses.create", "chat.completions.create"}
    return [each["body"] for each in server.requests() if each["status"] == 200 and each["call"] in turns]


def known(server: ModelServer, body: Any) -> str:
    """What the model was told before this turn, by its body or by the conversation that it is on."""
    conversation = body.get("conversation")
    items = server.conversations()[conversation]["items"] if conversation else ()
    return f"{body} {items}"


async def reached(kept: Rig, instance: str, activity: str) -> None:
    async def there() -> bool:
        return f"{activity}_meta" in await kept.rest.variables(instance)

    await wait_until(there, 60, f"the result of {activity}")


async def up(kept: Rig) -> bool:
    """Whether no worker knows of an outage."""
    async with kept.redis() as redis:
        return not await redis.keys("*outage*")


async def provider_of(kept: Rig, instance: str, activity: str) -> tuple[str, str | None, int]:
    """Who has answered, what the thread knew if it was made for that, and its generation."""
    meta = await kept.meta(instance, activity)
    return meta["provider"], meta["memory"], meta["generation"]


@pytest.mark.parametrize("apis", [("conversations", "chat"), ("chat", "responses"), ("responses", "conversations")])
@pytest.mark.parametrize("after", ["return", "stay"])
async def test_who_stands_in_knows_what_was_said_and_so_does_the_own_provider_afterwards(
    kept: Rig, other: ModelServer, tmp_path: Path, apis: tuple[Api, Api], after: str
) -> None:
    placed(kept, other, tmp_path, apis, after)
    later = f"{kept.topic}_later"
    model = await kept.deploy(kept.step("one"), kept.step("two"), kept.step("three", topic=later))
    kept.provider.fault("*", text="Please do two", times=None, reply="quota")
    await kept.start_worker()
    instance = await kept.rest.start(model)
    await reached(kept, instance, "two")
    kept.provider.clear_faults()
    await wait_until(lambda: up(kept), 60, "the end of the outage")
    await kept.start_worker(topics=later)
    await kept.rest.wait_for_end(instance, 60)

    found = [await provider_of(kept, instance, name) for name in ("one", "two", "three")]
    back = ("own", "whole", 3) if after == "return" else ("other", None, 2)
    assert found == [("own", "whole", 1), ("other", "whole", 2), back]
    assert "Please do one" in known(other, asked(other)[0])
    last, server = (asked(kept.provider)[-1], kept.provider) if after == "return" else (asked(other)[-1], other)
    assert [f"Please do {name}" in known(server, last) for name in ("one", "two", "three")] == [True] * 3


@pytest.mark.parametrize("apis", [("conversations", "chat"), ("chat", "conversations")])
async def test_a_provider_that_goes_away_under_many_instances_loses_and_mixes_nothing(
    kept: Rig, other: ModelServer, tmp_path: Path, apis: tuple[Api, Api]
) -> None:
    later = f"{kept.topic}_later"
    step = kept.step("two", topic=later, data_input="-")
    model = await kept.deploy(kept.step("one", data_input="name"), step)
    async with ModelServer() as own:
        placed(kept, other, tmp_path, apis, url=own.base_url)
        await kept.start_worker()
        instances = {name: await kept.rest.start(model, {"name": name}) for name in ("Ada", "Bob", "Cid", "Dee", "Eve")}
        for each in instances.values():
            await reached(kept, each, "one")
    for _ in range(2):
        await kept.start_worker(topics=later)
    for each in instances.values():
        await kept.rest.wait_for_end(each, 90)

    turns = [known(other, body) for body in asked(other)]
    assert len(turns) == len(instances)
    assert sorted([name for name in instances if name in each] for each in turns) == sorted(
        [name] for name in instances
    )
    assert [await provider_of(kept, each, "two") for each in instances.values()] == [("other", "whole", 2)] * 5
