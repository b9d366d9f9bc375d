"""Same instance and assistant, same thread; anything else, another thread."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.flow.rig import Rig
from tests.models import unique
from tests.waiting import wait_until


async def test_four_steps_are_one_conversation_with_four_questions(rig: Rig) -> None:
    model = await rig.deploy(*(rig.step(name) for name in ("one", "two", "three", "four")))
    await rig.start_worker()

    instance = await rig.run(model)

    [(conversation, record)] = rig.provider.conversations().items()
    assert rig.provider.counts()["turns"] == {conversation: 4}
    assert rig.calls("conversations.create") == 1
    assert [text.splitlines()[0] for text in rig.questions()] == ["# One", "# Two", "# Three", "# Four"]
    assert len([item for item in record["items"] if item.get("role") == "user"]) == 4
    uses = [(await rig.meta(instance, name))["use"] for name in ("one", "two", "three", "four")]
    assert uses == ["created", "reused", "reused", "reused"]
    variables = await rig.rest.variables(instance)
    assert variables["assistant_thread_analyst"] == f"{conversation}#1"
    assert "3 earlier turn" in variables["four"]


async def test_instances_and_assistants_never_share_a_thread_nor_a_word(rig: Rig) -> None:
    rig.assistant("critic")
    model = await rig.deploy(
        rig.step("frame", data_input="secret"), rig.step("attack", "critic", data_input="-"), rig.step("close")
    )
    await rig.start_worker()
    words = [unique("word") for _ in range(3)]

    instances = await asyncio.gather(*(rig.run(model, {"secret": word}) for word in words))

    assert rig.calls("conversations.create") == 6
    assert sorted(rig.provider.counts()["turns"].values()) == [1, 1, 1, 2, 2, 2]
    for instance, word in zip(instances, words, strict=True):
        own = (await rig.rest.variables(instance))["assistant_thread_analyst"].partition("#")[0]
        for conversation in rig.provider.conversations():
            said = "\n".join(rig.questions(conversation))
            assert (word in said) is (conversation == own)


async def test_a_replaced_worker_goes_on_with_the_thread(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    first = await rig.start_worker()
    rig.provider.fault("responses.create", skip=1, hold="gate")
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.provider.counts()["running"], what="the second turn")
    first.stopping.set()
    rig.provider.release("gate")
    await first.stop()
    await rig.start_worker()
    await rig.rest.wait_for_end(instance)

    assert rig.calls("conversations.create") == 1
    assert list(rig.provider.counts()["turns"].values()) == [2]


async def two_steps_with_a_stop_between(rig: Rig) -> str:
    """Run step one, and leave the instance waiting at step two, whose topic nobody serves yet."""
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=rig.topic + "_two"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    return instance


async def test_a_thread_deleted_at_the_provider_is_made_anew_exactly_once(rig: Rig) -> None:
    instance = await two_steps_with_a_stop_between(rig)
    [old] = rig.provider.conversations()
    rig.provider.forget(old)
    await rig.start_worker(topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance)

    assert rig.calls("conversations.create") == 2
    meta = await rig.meta(instance, "two")
    assert (meta["use"], meta["generation"], meta["recreated"]) == ("recreated", 2, True)
    assert rig.provider.conversations()[meta["thread"]]["metadata"]["replaces"] == old
    assert (await rig.rest.variables(instance))["assistant_thread_analyst"] == f"{meta['thread']}#2"


async def test_optimistic_validation_finds_out_by_use_and_makes_exactly_one_new_thread(rig: Rig) -> None:
    rig.settings["thread_validation"] = "optimistic"
    instance = await two_steps_with_a_stop_between(rig)
    [old] = rig.provider.conversations()
    rig.provider.forget(old)
    await rig.start_worker(topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance)

    assert (rig.calls("conversations.create"), rig.calls("items.list")) == (2, 0)
    assert (await rig.meta(instance, "two"))["use"] == "recreated"


UNCLEAR: dict[str, dict[str, Any]] = {
    "401": {"reply": "unauthorized"},
    "403": {"reply": "forbidden"},
    "429": {"reply": "rate_limit"},
    "500": {"reply": "server_error"},
    "503": {"reply": "overloaded"},
    "gateway page": {"reply": "bad_gateway"},
    "HTML 404": {"reply": "html_404"},
    "404 of another server": {"reply": "detail_404"},
    "404 of a wrong path": {"reply": "route_404"},
    "model 404": {"reply": "model_404"},
    "reset": {"drop": True},
    "cut reply": {"broken": True},
}
THIS_ONE_ALONE = {"403", "HTML 404"}
"""The probe, which asks of another conversation, gets through: so these are the task's trouble and cost it retries."""


@pytest.mark.parametrize("fault", UNCLEAR)
async def test_a_validation_that_cannot_tell_makes_no_new_thread_and_leaves_the_map_alone(rig: Rig, fault: str) -> None:
    instance = await two_steps_with_a_stop_between(rig)
    async with rig.redis() as redis:
        [name] = await redis.keys("*:thread")
        before = await redis.hgetall(name)
        [conversation] = rig.provider.conversations()
        rig.provider.fault("*", times=None, conversation=conversation, **UNCLEAR[fault])
        await rig.start_worker(topics=rig.topic + "_two")
        await wait_until(lambda: rig.calls("items.list") >= 1, what="the validation")
        await wait_until(lambda: hold_is_free(redis), what="the turn's end")
        after = await redis.hgetall(name)

    assert (rig.calls("conversations.create"), rig.calls("responses.create")) == (1, 1)
    assert after == before
    if fault != "model 404":  # that one speaks of something only a person can put right
        assert await rig.rest.incidents(instance) == []
        [task] = await rig.rest.tasks(instance)
        assert task["retries"] in ({None, 2} if fault in THIS_ONE_ALONE else {None, 3})


async def hold_is_free(redis: Redis) -> bool:
    return not await redis.keys("*:hold")


async def test_after_an_unclear_validation_the_same_thread_goes_on(rig: Rig) -> None:
    instance = await two_steps_with_a_stop_between(rig)
    rig.provider.fault("items.list", times=1, reply="server_error")
    await rig.start_worker(topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance, 30)

    assert rig.calls("conversations.create") == 1
    assert (await rig.meta(instance, "two"))["use"] == "reused"


async def test_with_redis_emptied_the_thread_of_the_process_variable_is_adopted(rig: Rig) -> None:
    instance = await two_steps_with_a_stop_between(rig)
    async with rig.redis() as redis:
        await redis.flushdb()
    await rig.start_worker(topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance)

    assert rig.calls("conversations.create") == 1
    assert (await rig.meta(instance, "two"))["use"] == "adopted"
    assert list(rig.provider.counts()["turns"].values()) == [2]


async def test_a_thread_variable_of_another_instance_is_not_adopted(rig: Rig) -> None:
    instance = await two_steps_with_a_stop_between(rig)
    other = await two_steps_with_a_stop_between(rig)
    foreign = (await rig.rest.variables(other))["assistant_thread_analyst"]
    await rig.rest.put(f"process-instance/{instance}/variables/assistant_thread_analyst", {"value": foreign})
    async with rig.redis() as redis:
        await redis.flushdb()
    await rig.start_worker(topics=rig.topic + "_two")
    await asyncio.gather(*(rig.rest.wait_for_end(each) for each in (instance, other)))

    threads = [(await rig.meta(each, "two"))["thread"] for each in (instance, other)]
    assert threads[1] == foreign.partition("#")[0]
    assert threads[0] != threads[1]
    meta = await rig.meta(instance, "two")
    assert (meta["use"], meta["memory"]) == ("created", "unknown"), "without a transcript nobody knows its own"
    assert rig.provider.counts()["turns"][threads[1]] == 2


async def test_twenty_that_race_for_a_new_thread_make_one(rig: Rig) -> None:
    model = await rig.deploy([rig.step(f"branch_{number}") for number in range(20)])
    for _ in range(2):
        await rig.start_worker(max_tasks=20)
    instance = await rig.rest.start(model)
    await rig.rest.wait_for_end(instance, 60)

    assert (rig.calls("conversations.create"), rig.calls("responses.create")) == (1, 20)


async def test_ten_branches_on_one_thread_and_two_workers_take_turns_and_hold_nobody_up(rig: Rig) -> None:
    branches = await rig.deploy([rig.step(f"branch_{number}") for number in range(10)])
    single = await rig.deploy(rig.step("alone"))
    rig.provider.latency = timedelta(seconds=0.2)
    rig.provider.fault("responses.create", text="Please do branch", hold="gate")
    for _ in range(2):
        await rig.start_worker(max_tasks=3)
    shared = await rig.rest.start(branches)
    await wait_until(lambda: rig.provider.counts()["running"], what="the first turn")
    await asyncio.gather(*(rig.run(single) for _ in range(3)))  # they do not have to wait for the branches
    rig.provider.release("gate")
    await rig.rest.wait_for_end(shared, 60)

    own = (await rig.rest.variables(shared))["assistant_thread_analyst"].partition("#")[0]
    assert rig.provider.counts()["turns"][own] == 10
    assert rig.calls("responses.create") == 13, "no call was refused as locked, none was repeated"
    assert rig.calls("conversations.create") == 4
    earlier = sorted(
        int(re.findall(r"(\d+) earlier turn", text)[0])
        for name, text in (await rig.rest.variables(shared)).items()
        if re.fullmatch(r"branch_\d", name)
    )
    assert earlier == list(range(10)), "each turn saw all earlier ones"
