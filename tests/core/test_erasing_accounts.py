"""An order to erase, and a key that may see another account than the one that has the conversations."""

import pytest

from tests.core.closing import Closing
from worker.accounts.account import Account
from worker.domain.endings import Status, Store
from worker.domain.providers import Words
from worker.errors import AnotherAccount, ModelDown, ThreadObsolete, ThreadUnseen
from worker.redis import RedisAnchors


async def test_what_this_key_cannot_see_is_not_called_erased_but_on_a_persons_word(closing: Closing) -> None:
    thread = await closing.speak("instance", stored=True)
    closing.finish("instance")
    with closing.provider.another_account():
        receipt = await closing.erase("instance")
        assert {step.store for step in receipt.open} == {Store.PROVIDER, Store.REDIS, Store.ENGINE}
        assert all("cannot be seen with this key" in step.why for step in receipt.open if step.store is Store.PROVIDER)
        [still] = await closing.resume()
        assert still.open == receipt.open

        [final] = await closing.resume(absent=True)
        assert (final.completed_at is not None, final.absent) == (True, True)
        assert {step.status for step in final.steps if step.store is Store.PROVIDER} == {Status.ACCEPTED}
    assert (thread.id in closing.provider.conversations, await closing.keys()) == (True, [])


async def test_what_has_to_be_set_is_called_by_the_providers_own_names(closing: Closing) -> None:
    words = Words("base_url of the provider azure", "the key of the provider azure")
    book = RedisAnchors(closing.redis, prefix="aw", engine="default", provider="azure")
    account = Account(closing.provider, book, None, "default", words)
    anchor = await account.current()
    with closing.provider.another_account():
        with pytest.raises(AnotherAccount) as another:
            await account.check_gone("conv_1", anchor)
        with pytest.raises(ThreadUnseen) as unseen:
            await account.check_gone("conv_1", None)

    for caught in (another, unseen):
        assert "et the key of the provider azure and base_url of the provider azure to" in str(caught.value)
        assert "OPENAI" not in str(caught.value)


async def test_a_person_may_say_it_with_the_order(closing: Closing) -> None:
    await closing.ran("instance")
    with closing.provider.another_account():
        assert (await closing.erase("instance", absent=True)).completed_at is not None


async def test_a_response_waits_for_its_conversations_account(closing: Closing) -> None:
    await closing.speak("instance", stored=True)
    closing.finish("instance")
    with closing.provider.another_account():
        await closing.erase("instance")
    assert await closing.texts("instance") == [], "so that only the order knows it any more"
    closing.provider.responses.clear()
    [final] = await closing.resume()
    assert (final.completed_at is not None, closing.provider.conversations) == (True, {})


async def before(closing: Closing) -> str:
    """A thread of before anchors were noted, of an instance that is over."""
    thread = await closing.speak("instance", noted=False, stored=True)
    await closing.redis.hdel("aw:default:{instance:analyst}:thread", "anchor")
    closing.finish("instance")
    return thread.id


async def test_the_account_of_a_thread_is_noted_while_there_is_something_to_be_seen(closing: Closing) -> None:
    thread = await before(closing)
    closing.provider.script.next("erase_thread", ModelDown("in the middle"))
    receipt = await closing.erase("instance")
    assert receipt.named[Store.PROVIDER, f"conversation {thread}"].anchor == "conv_anchor_1"
    assert closing.provider.responses == {}
    del closing.provider.conversations[thread]
    [final] = await closing.resume()
    assert (final.completed_at is not None, final.open) == (True, ())


async def test_a_response_that_is_gone_is_so_in_the_account_that_its_conversation_was_found_in(
    closing: Closing,
) -> None:
    await before(closing)
    closing.provider.responses.clear()
    assert (await closing.erase("instance")).completed_at is not None


@pytest.mark.parametrize("absent", [False, True])
async def test_a_thread_of_before_that_is_not_found(closing: Closing, absent: bool) -> None:
    thread = await before(closing)
    del closing.provider.conversations[thread]
    receipt = await closing.erase("instance", absent=absent)
    step = receipt.named[Store.PROVIDER, f"conversation {thread}"]
    assert step.status is (Status.ACCEPTED if absent else Status.OPEN)
    assert (await closing.keys() == []) is absent


async def test_a_thread_that_the_provider_has_for_nobody_any_more_is_gone(closing: Closing) -> None:
    thread = await before(closing)
    del closing.provider.conversations[thread]
    closing.provider.script.always("metadata", ThreadObsolete("of the old kind"))
    closing.begin("instance").variables["assistant_thread_critic"] = "thread_old#1"
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, "thread_old" in str(receipt)) == (True, False)
