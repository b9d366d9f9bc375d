"""Erasing what several providers have: each thread at its own, and nothing where nothing is kept."""

import asyncio
from dataclasses import replace

import pytest

from tests.core.closing import Closing
from tests.fakes.provider import FakeProvider
from worker.accounts.account import Account
from worker.accounts.anchored import AnchoredEnding
from worker.accounts.every import EveryProvider
from worker.domain.conversations import Subject
from worker.domain.endings import Status, Store
from worker.domain.threads import Answer, Entered, Remembered, Said, Thread, ThreadKey
from worker.redis import RedisAnchors

KEY = ThreadKey("default", "instance", "analyst")
LOCAL = Thread("own_1", 2, provider="local")


@pytest.fixture
def azure(closing: Closing) -> FakeProvider:
    """A second provider with conversations, beside one that keeps nothing."""
    azure = FakeProvider()
    names = {"prefix": "aw", "engine": "default"}
    theirs = Account(azure, RedisAnchors(closing.redis, **names, provider="azure"), None, "default")
    providers = {"openai": AnchoredEnding(closing.provider, closing.account), "azure": AnchoredEnding(azure, theirs)}
    closing.ports = replace(closing.ports, provider=EveryProvider({**providers, "local": None}))
    return azure


async def move(closing: Closing, thread: Thread, former: Thread) -> None:
    """Have the instance's next turn on another thread, which takes the place of one that is still there."""
    entry = await closing.core.threads.enter(KEY, f"task on {thread.provider}")
    assert isinstance(entry, Entered)
    assert await closing.core.threads.bind(entry.hold, thread, former.generation, "instance", former=former)
    turn = Remembered((Said("user", "q"), Said("assistant", "a")))
    await closing.core.threads.keep_answer(entry.hold, 1, Answer("a", thread=thread), published=False, remembered=turn)


@pytest.mark.usefixtures("azure")
async def test_a_thread_that_was_left_for_another_provider_is_erased_too(closing: Closing) -> None:
    old = await closing.ran("instance")
    await move(closing, LOCAL, old)
    closing.finish("instance")
    receipt = await closing.eraser.erase(Subject("default", "instance"))

    assert receipt.open == ()
    assert closing.provider.conversations == {}
    at_provider = [step.what for step in receipt.steps if step.store is Store.PROVIDER]
    assert at_provider == [f"conversation {old.id}"], "what is kept nowhere else has no step"
    assert await closing.keys("instance") == []


async def test_each_conversation_is_erased_where_it_is(closing: Closing, azure: FakeProvider) -> None:
    old = await closing.ran("instance")
    moved = Thread(await azure.create_thread(KEY.metadata()), 2, provider="azure")
    twin = await azure.create_thread({"scope": "somebody else's"})
    await move(closing, moved, old)
    closing.finish("instance")
    receipt = await closing.eraser.erase(Subject("default", "instance"), absent=True)

    assert receipt.open == ()
    assert closing.provider.conversations == {}
    assert list(azure.conversations) == [twin]


async def test_what_is_at_a_provider_that_nobody_names_any_more_stays_open_and_says_so(
    closing: Closing, azure: FakeProvider
) -> None:
    old = await closing.ran("instance")
    moved = Thread(await azure.create_thread(KEY.metadata()), 2, provider="azure")
    await move(closing, moved, old)
    closing.finish("instance")
    closing.ports = replace(
        closing.ports, provider=EveryProvider({"openai": AnchoredEnding(closing.provider, closing.account)})
    )
    receipt = await closing.eraser.erase(Subject("default", "instance"))

    [step] = [step for step in receipt.open if step.store is Store.PROVIDER]
    assert step.what == f"conversation azure/{moved.id}"
    assert "no provider is called azure" in step.why
    assert [each.status for each in receipt.steps if each.what == f"conversation {old.id}"] == [Status.REMOVED]
    assert azure.conversations


async def test_threads_end_by_age_at_their_own_providers(closing: Closing, azure: FakeProvider) -> None:
    old = await closing.ran("instance")
    moved = Thread(await azure.create_thread(KEY.metadata()), 2, await anchor(closing, azure), "azure")
    await move(closing, moved, old)
    closing.finish("instance")
    await closing.sweep()

    assert (closing.provider.conversations, azure.conversations) == ({}, {})


async def anchor(closing: Closing, azure: FakeProvider) -> str:
    book = RedisAnchors(closing.redis, prefix="aw", engine="default", provider="azure")
    return await Account(azure, book, None, "default").current()


async def test_what_a_provider_has_that_is_asked_over_another_api_by_now_is_not_called_removed(
    closing: Closing,
) -> None:
    old = await closing.ran("instance")
    closing.finish("instance")
    asked_otherwise = EveryProvider({"openai": None})
    kept, closing.ports = closing.ports, replace(closing.ports, provider=asked_otherwise)
    receipt = await closing.eraser.erase(Subject("default", "instance"))

    [step] = [step for step in receipt.open if step.what == f"conversation {old.id}"]
    assert "is not asked over conversations any more" in step.why
    assert closing.provider.conversations
    closing.ports = kept
    await asyncio.sleep(60)  # its hold runs out
    again = await closing.eraser.erase(Subject("default", "instance"))
    assert (again.open, closing.provider.conversations) == ((), {})
