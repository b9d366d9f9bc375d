"""What goes at the provider with a thread that ends, and what a key that sees another account leaves to be done."""

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing
from worker.errors import ModelDown


async def unnoted(closing: Closing, instance: str) -> str:
    """A thread of before anchors were noted, of an instance that is over."""
    thread = await closing.speak(instance, noted=False)
    await closing.redis.hdel(f"aw:default:{{{instance}:analyst}}:thread", "anchor")
    closing.finish(instance)
    return thread.id


async def test_stored_responses_go_with_their_thread(closing: Closing) -> None:
    await closing.speak("over", stored=True)
    await closing.speak("over", stored=True)
    stays = await closing.speak("runs", stored=True)
    closing.finish("over")
    await closing.sweep()
    assert list(closing.provider.responses.values()) == [stays.id]


async def test_a_response_that_is_gone_already_keeps_nothing(closing: Closing) -> None:
    await closing.speak("instance", stored=True)
    closing.finish("instance")
    closing.provider.responses.clear()
    done = await closing.sweep()
    assert (len(done.threads), done.delayed) == (1, [])


async def test_a_conversation_that_is_gone_already_keeps_nothing(closing: Closing) -> None:
    await closing.ran("instance")
    closing.provider.conversations.clear()
    done = await closing.sweep()
    assert (len(done.threads), done.delayed, await closing.keys()) == (1, [], [])


async def test_a_run_in_the_background_is_cancelled_and_its_response_erased(closing: Closing) -> None:
    await closing.running_call("background", "resp_run")
    await closing.running_call("at-once")
    closing.finish("background", "at-once")
    done = await closing.sweep()

    assert closing.provider.script.named("cancel") == [("resp_run",)]
    assert closing.provider.script.named("erase_response") == [("resp_run",)]
    assert (len(done.threads), await closing.keys()) == (2, [])


async def test_conversations_of_earlier_generations_go_as_well(closing: Closing) -> None:
    first = await closing.speak("instance")
    await closing.redis.flushall()
    second = await closing.speak("instance")
    closing.finish("instance")
    done = await closing.sweep()
    assert sorted(name for _, name in done.threads) == sorted([first.id, second.id])
    assert closing.provider.conversations == {}


async def test_what_this_key_cannot_see_is_not_called_erased(closing: Closing) -> None:
    names = [(await closing.ran(name)).id for name in ("a", "b")]
    await closing.redis.delete("aw:default:{b:analyst}:thread")
    with closing.provider.another_account():
        with capture_logs() as lines:
            done = await closing.sweep(kind="remove")
        assert (done.threads, done.unseen, len(done.delayed)) == ([], 2, 2)
        assert len([each for each in lines if each["event"] == "end_delayed"]) == 1, "one line says all"
        assert all("cannot be seen with this key" in why for _, why in done.delayed)
        assert [each.thread_erased_at for each in await closing.sessions()] == [None, None]

    done = await closing.sweep(kind="remove")
    assert sorted(name for _, name in done.threads) == names
    assert (closing.provider.conversations, await closing.keys(), await closing.sessions()) == ({}, [], [])


async def test_what_a_person_says_to_be_gone_is_done_with(closing: Closing) -> None:
    await closing.speak("a", stored=True)
    closing.finish("a")
    await unnoted(closing, "b")
    with closing.provider.another_account():
        done = await closing.sweep(absent=True)
        assert (len(done.threads), done.delayed, await closing.keys()) == (2, [], [])
    assert len(closing.provider.conversations) == 2


async def test_an_unseen_conversation_keeps_no_other_of_its_thread_at_the_provider(closing: Closing) -> None:
    first = await closing.speak("instance", stored=True)
    account = closing.provider.conversations.pop(first.id), dict(closing.provider.anchors)
    closing.provider.anchors.clear()
    closing.account._current = None
    await closing.redis.flushall()
    second = await closing.speak("instance", stored=True)
    assert second.anchor != first.anchor
    closing.provider.responses = {
        name: given_on for name, given_on in closing.provider.responses.items() if given_on == second.id
    }
    closing.finish("instance")
    done = await closing.sweep()

    assert (done.threads, done.unseen) == ([], 1)
    assert (closing.provider.conversations, closing.provider.responses) == ({}, {})
    assert len(await closing.keys("instance")) == 2, "the keys know of it until all is gone"
    closing.provider.conversations[first.id] = account[0]
    closing.provider.anchors.update(account[1])
    assert (len((await closing.sweep()).threads), closing.provider.conversations) == (2, {})


async def test_the_account_of_a_thread_is_noted_before_there_is_nothing_left_to_be_seen(closing: Closing) -> None:
    thread = await unnoted(closing, "instance")
    closing.provider.script.next("erase_thread", ModelDown("in the middle"))
    assert (await closing.sweep()).delayed == [(closing.of("instance"), "in the middle")]
    assert await closing.redis.hget("aw:default:{instance:analyst}:thread", "anchor") == "conv_anchor_1"

    del closing.provider.conversations[thread]
    done = await closing.sweep()
    assert ([name for _, name in done.threads], done.delayed) == ([thread], [])


async def test_a_thread_of_before_that_is_not_found_is_not_called_erased(closing: Closing) -> None:
    thread = await unnoted(closing, "instance")
    del closing.provider.conversations[thread]
    done = await closing.sweep()
    assert (done.threads, done.unseen) == ([], 1)
    assert "nobody noted which" in done.delayed[0][1]


@pytest.mark.parametrize("lost", [True, False])
async def test_an_account_that_only_the_transcript_noted_counts(closing: Closing, lost: bool) -> None:
    thread = await closing.ran("instance")
    if lost:
        await closing.redis.flushall()
    else:
        await closing.redis.hdel("aw:default:{instance:analyst}:thread", "anchor")
    with closing.provider.another_account():
        assert (await closing.sweep()).unseen == 1
    closing.provider.conversations.clear()
    done = await closing.sweep()
    assert ([name for _, name in done.threads], done.delayed) == ([thread.id], [])


async def test_a_thread_of_before_that_only_the_transcript_knows_is_erased(closing: Closing) -> None:
    thread = await unnoted(closing, "instance")
    await closing.redis.flushall()
    done = await closing.sweep()
    assert ([name for _, name in done.threads], closing.provider.conversations) == ([thread], {})


async def test_a_response_that_cannot_be_seen_keeps_the_keys(closing: Closing) -> None:
    thread = await closing.speak("instance", stored=True)
    closing.finish("instance")

    async def change_the_key() -> None:
        closing.provider.responses.clear()
        closing.provider.anchors.clear()

    closing.provider.script.next("erase_response", change_the_key)
    done = await closing.sweep()
    assert (done.threads, done.unseen, thread.id in closing.provider.conversations) == ([], 1, False)
    assert len(await closing.keys("instance")) == 2


async def test_a_turn_that_the_transcript_lacks_stays_in_redis_when_its_thread_ends(closing: Closing) -> None:
    await closing.speak("instance", recorded=False)
    closing.finish("instance")
    done = await closing.sweep()
    assert (len(done.threads), closing.provider.conversations) == (1, {})
    assert [name.rpartition("}")[2].split(":")[1] for name in await closing.keys("instance")] == ["turn"]
