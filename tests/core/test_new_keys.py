"""A secret that is replaced while workers run: nothing that was found by the old one holds any more."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.core.rig import Core, Worker
from tests.fakes.provider import FakeProvider
from worker.accounts.account import Account
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Answer
from worker.errors import EngineDenied, ProviderPaused, ThreadGone
from worker.loop.dependencies import DENIED_PAUSE_SECONDS, PROVIDER
from worker.redis import RedisAnchors, RedisOutages


def now() -> float:
    return asyncio.get_running_loop().time()


def outages(core: Core, worker: Worker, key: str) -> RedisOutages:
    return RedisOutages(core.redis, prefix="aw", spec=ProviderSpec("openai", key=key), worker=worker.engine.worker_id)


async def test_a_paused_provider_is_probed_at_once_by_its_new_key_and_hears_of_no_outage_of_the_old_one(
    core: Core,
) -> None:
    core.tells_outages = True
    workers = [await core.worker() for _ in range(2)]
    for each in workers:
        await each.dependencies.all_up()
        each.start()
    refused = True

    async def ping() -> None:
        if refused:
            raise ProviderPaused("no such key")

    core.provider.script.always("ping", ping)
    for each in workers:
        each.dependencies.down(PROVIDER, ProviderPaused("no such key"), "openai")
    await asyncio.sleep(600)
    assert all(each.dependencies.reasons() for each in workers)

    first, second = workers
    refused, since = False, now()
    first.dependencies.renew(PROVIDER, "openai", outages(core, first, "sk-new"))
    await first.dependencies.all_up()
    assert now() - since < 1
    refused = True
    await asyncio.sleep(60)
    assert (first.dependencies.reasons(), bool(second.dependencies.reasons())) == ([], True)


async def test_an_outage_of_the_old_key_that_is_heard_of_late_stops_nothing(core: Core) -> None:
    core.tells_outages = True
    worker, other = await core.worker(), await core.worker()
    await worker.dependencies.all_up()
    breaker = worker.dependencies._providers["openai"]._breaker
    assert breaker is not None
    await outages(core, other, "sk-test").note("paused", "no such key", 0)
    looking = asyncio.create_task(breaker.look())
    await asyncio.sleep(0)
    worker.dependencies.renew(PROVIDER, "openai", outages(core, worker, "sk-new"))
    assert await looking is None
    await asyncio.sleep(60)
    assert worker.dependencies.reasons() == []


async def test_an_engine_that_denied_the_old_password_is_asked_at_once_by_the_new_one(core: Core) -> None:
    worker = await core.worker()
    worker.engine.script.always("ping", EngineDenied("who?"))
    worker.dependencies.down("engine", EngineDenied("who?"))
    await asyncio.sleep(2 * DENIED_PAUSE_SECONDS)
    worker.engine.script.always("ping", None)
    since = now()
    worker.dependencies.renew("engine")
    await worker.dependencies.all_up()
    assert now() - since < 1


async def test_what_works_is_not_probed_because_its_secret_is_a_new_one(core: Core) -> None:
    worker = await core.worker()
    before = len(core.provider.script.named("ping"))
    worker.dependencies.renew(PROVIDER, "openai")
    worker.dependencies.renew("engine")
    await asyncio.sleep(60)
    assert len(core.provider.script.named("ping")) == before
    assert worker.dependencies.reasons() == []


async def test_the_account_of_a_new_key_is_found_by_its_own_anchor(core: Core) -> None:
    class Seen(FakeProvider):
        """Shows what the key in use may see."""

        hidden: frozenset[str] = frozenset()

        async def metadata(self, thread_id: str) -> Mapping[str, str]:
            if thread_id in self.hidden:
                raise ThreadGone(thread_id)
            return await super().metadata(thread_id)

    provider = Seen()
    anchors = RedisAnchors(core.redis, prefix="aw", engine="default", provider="openai")
    account = Account(provider, anchors, None, "default")
    first = await account.current()
    account.forget()
    assert await account.current() == first, "another key of the same account"
    provider.hidden = frozenset({first})
    assert await account.current() == first, "nobody asks again for the same key"
    account.forget()
    assert await account.current() != first


@pytest.mark.parametrize("changes", [{"instructions": "Be long."}, {"version": "2.0"}])
async def test_a_turn_keeps_its_assistant_through_its_repair(core: Core, changes: dict[str, str]) -> None:
    properties = {"service.type": "assistant", "service.name": "analyst", "data.output.fields": "choice"}
    core.world.activity(properties=properties)
    answers = iter([Answer("no JSON"), Answer('{"choice": "a"}')])

    def answer(_: object) -> Answer:
        core.assistants.add("analyst", **changes)
        return next(answers)

    core.provider.answer = answer
    async with core.working():
        await core.until_over([core.world.start()])
    spoken = [args[2] for args in core.provider.script.named("ask")]
    assert [(each.version, each.instructions) for each in spoken] == [("1.0", "Be brief.")] * 2
