"""Every checker finds what it is there for: workers that are broken on purpose, or a history that was tampered with."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from openai import AsyncOpenAI

from tests.faults import checkers, redis_proxy
from tests.faults.checkers import Explained
from tests.faults.evidence import Evidence, gather
from tests.faults.history import History
from tests.faults.world import World
from tests.waiting import wait_until
from worker.domain.threads import Answer, Hold, Intended, ThreadKey
from worker.engine import RestEngine
from worker.errors import ModelDown, ThreadGone
from worker.providers import OpenAIProvider
from worker.redis import RedisThreads
from worker.redis.keys import Keys
from worker.turn import request as requests
from worker.turn import task_turn as turn
from worker.turn import verdict


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken workers run inside of the test, so that what is tried again later need not take its time."""
    monkeypatch.setattr(verdict, "SHORTEST_DELAY", timedelta(seconds=0.2))


def complaining(seen: Evidence) -> set[str]:
    """The checkers that have something to say."""
    return {text.partition(":")[0] for text in checkers.complaints(seen)}


async def run(world: World, *steps: str) -> str:
    """An instance, from its start to its end."""
    instance = await world.start(await world.rig.deploy(*map(world.rig.step, steps)))
    await world.ended()
    return instance


async def test_a_sound_worker_gives_no_reason_to_complain(world: World) -> None:
    await world.start_worker()
    await run(world, "one", "two")
    await world.stop()
    seen = await gather(world)

    assert checkers.complaints(seen) == []
    assert len(seen.task_ids) == 2
    assert len(seen.workers()) == 1
    asked = [seen.asked()[ref] for ref, whose in seen.refs().items() if whose.endswith(", attempt 1")]
    assert [times for times in asked if times] == [1, 1]
    assert "Please do one." in seen.message_lines()
    assert '"turn"' in seen.worker_logs


async def test_an_instance_that_does_not_end_is_seen(world: World) -> None:
    instance = await world.start(await world.rig.deploy(world.rig.step("one")))
    seen = await gather(world)

    assert complaining(seen) == {"ended"}
    assert checkers.ended(seen, Explained(unfinished=frozenset({instance}))) == []


async def test_two_completions_of_a_task_are_seen(world: World) -> None:
    await world.rig.start_worker()
    await run(world, "one")
    seen = await gather(world)
    [accepted] = seen.history.of("engine", "/complete$")[-1:]
    assert accepted.outcome == "ok"

    twice = History()
    twice.exchanges = [*seen.history.exchanges, accepted]
    assert complaining(replace(seen, history=twice)) == {"completed_once"}
    remembered = [row for row in seen.log if row["successLog"]]
    assert complaining(replace(seen, log=[*seen.log, *remembered])) == {"completed_once"}


async def test_a_worker_that_asks_without_the_hold_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    enter, bind = RedisThreads.enter, RedisThreads.bind
    one = asyncio.Lock()

    async def barge_in(self: RedisThreads, key: ThreadKey, *args: Any, **named: Any) -> Any:
        async with one:  # otherwise both may find no hold to delete, and the second one waits like a sound worker
            await self._redis.delete(Keys.of(self._prefix, key).hold)
            return await enter(self, key, *args, **named)

    async def bind_all_the_same(self: RedisThreads, hold: Hold, *args: Any, **named: Any) -> bool:
        name = Keys.of(self._prefix, hold.key).hold
        await self._redis.hset(name, mapping={"task": hold.task_id, "token": hold.token})
        return await bind(self, hold, *args, **named)

    async def intend_all_the_same(*_: Any) -> Intended:
        return Intended()

    monkeypatch.setattr(RedisThreads, "enter", barge_in)
    monkeypatch.setattr(RedisThreads, "bind", bind_all_the_same)
    monkeypatch.setattr(RedisThreads, "intend", intend_all_the_same)
    world.model.latency = timedelta(seconds=0.5)
    await world.rig.start_worker()
    first, second = (world.rig.step(name) for name in ("left", "right"))
    await world.start(await world.rig.deploy(world.rig.step("before"), [first, second]))
    await world.ended()

    assert "turns_apart" in complaining(await gather(world))


def test_turns_side_by_side_are_seen_where_the_provider_refuses_none() -> None:
    history = History()
    for _ in range(2):
        body = {"conversation": "conv_1", "input": "x"}
        history.add("provider", "POST /responses", body, "").end("ok", {}, 200)
    first, second = history.exchanges
    first.began, first.ended, second.began, second.ended = 1.0, 3.0, 2.0, 4.0
    seen = Evidence(history, conversations={"conv_1": {"metadata": {}, "items": [], "turns": 2}})

    assert complaining(seen) == {"turns_apart"}
    second.began = 2.9  # as the proxy sees two that follow each other
    assert checkers.complaints(seen) == []


async def test_a_client_that_repeats_by_itself_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "worker.providers.client.AsyncOpenAI", lambda **options: AsyncOpenAI(**options | {"max_retries": 2})
    )
    world.model.fault("responses.create", times=1, cut=True)
    await world.rig.start_worker()
    await run(world, "one")

    assert "paid_once" in complaining(await gather(world))


async def test_a_question_without_a_ref_to_find_it_by_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "ref", lambda *_: uuid4().hex[:12])
    world.model.fault("responses.create", times=1, cut=True)
    await world.rig.start_worker()
    await run(world, "one")

    assert complaining(await gather(world)) == {"paid_once"}


async def test_a_worker_without_a_journal_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(_: RedisThreads, __: Hold, ___: int, answer: Answer, **____: Any) -> Answer:
        return answer

    monkeypatch.setattr(RedisThreads, "keep_answer", forget)
    monkeypatch.setattr(RedisThreads, "leave", forget)
    world.engine.spoil("/complete$", text="one", cut="before")
    world.rig.settings["thread_validation"] = "optimistic"  # otherwise the answer is found on the thread
    first = await world.rig.start_worker()
    instance = await world.start(await world.rig.deploy(world.rig.step("one")))
    await wait_until(lambda: world.history.of("engine", "/complete$", text="one"), what="the completion")
    await first.kill()
    await world.locks_run_out()
    async with world.rig.redis() as redis:
        for name in await redis.keys("*:turn:*"):
            await redis.delete(name)
    world.engine.heal()
    await world.rig.start_worker()
    await world.ended(instance)

    assert complaining(await gather(world)) == {"paid_once"}


async def test_a_thread_recreated_on_a_mere_failure_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    look = OpenAIProvider.look

    async def despair(self: OpenAIProvider, *args: Any, **kwargs: Any) -> Answer | None:
        try:
            return await look(self, *args, **kwargs)
        except ModelDown as exc:
            raise ThreadGone("probably") from exc

    monkeypatch.setattr(OpenAIProvider, "look", despair)
    world.model.fault("items.list", times=1, reply="server_error")
    await world.rig.start_worker()
    await run(world, "one", "two")
    seen = await gather(world)

    assert complaining(seen) == {"recreated_only_when_gone"}
    assert checkers.complaints(seen, Explained(threads=1)) == []


async def test_a_thread_that_was_gone_may_be_recreated(world: World) -> None:
    await world.rig.start_worker(topics=world.rig.topic)
    model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two", topic=world.rig.topic + "_two"))
    instance = await world.start(model)
    await world.until_open(instance, "two")
    [thread] = world.model.conversations()
    world.model.forget(thread)
    await world.rig.start_worker(topics=world.rig.topic + "_two")
    await world.ended()
    seen = await gather(world)

    assert checkers.recreated_only_when_gone(seen) == []
    assert len(seen.conversations) == 2
    blind = History()
    blind.exchanges = [each for each in seen.history.exchanges if each.status != 404]
    assert complaining(replace(seen, history=blind)) == {"recreated_only_when_gone"}


async def test_a_thread_bound_by_a_lost_hold_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = files("worker.redis").joinpath("scripts", "bind.lua").read_text()
    broken = re.sub(r"if redis.call\('HGET', KEYS\[1\].*?\nend\n|if \(bound.*?\nend\n", "", sound, flags=re.DOTALL)
    assert broken.count("return 0") == 2, "it still refuses a newer worker's map, and where an order came meanwhile"
    monkeypatch.setitem(redis_proxy.SCRIPTS, redis_proxy._digest(broken), "bind")
    run = RedisThreads._run

    async def run_broken(self: RedisThreads, name: str, keys: list[str], *args: str | int) -> Any:
        if name == "bind":
            return await self._redis.eval(broken, len(keys), *keys, *args)
        return await run(self, name, keys, *args)

    monkeypatch.setattr(RedisThreads, "_run", run_broken)
    world.model.fault("conversations.create", times=1, before=2.0)
    await world.rig.start_worker()
    await world.start(await world.rig.deploy([world.rig.step("left"), world.rig.step("right")]))
    await wait_until(lambda: world.rig.calls("conversations.create"), what="the first conversation")
    async with world.rig.redis() as redis:
        await redis.delete(*await redis.keys("*:hold"))
    await world.ended()

    assert "bound_under_hold" in complaining(await gather(world))


async def test_a_task_left_locked_by_a_stop_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(*_: Any) -> None:
        pass

    monkeypatch.setattr(RestEngine, "unlock", keep)
    world.model.fault("responses.create", hold="gate")
    worker = await world.rig.start_worker(grace_seconds=1)
    await world.start(await world.rig.deploy(world.rig.step("one")))
    await world.turn_runs()
    await worker.stop()

    assert complaining(await gather(world)) == {"ended", "unlocked"}


async def test_a_retry_spent_on_an_outage_is_seen(world: World) -> None:
    world.model.fault("responses.create", times=1, reply="overloaded")
    await world.rig.start_worker(trouble_for_seconds=0)
    await run(world, "one")
    seen = await gather(world)

    assert complaining(seen) == {"retries_kept"}
    assert checkers.complaints(seen, Explained(retries=2)) == []


async def test_an_incident_is_seen(world: World) -> None:
    step = replace(world.rig.step("one"), documentation="")
    await world.rig.start_worker()
    instance = await world.start(await world.rig.deploy(step))
    await world.until_failed(instance)

    assert complaining(await gather(world)) == {"ended", "no_incident", "retries_kept"}


async def test_message_text_in_a_failure_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell_all(answer: Answer, *args: Any) -> Any:
        failure = verdict.on_answer(answer, *args)
        assert isinstance(failure, verdict.Fail)
        return replace(failure, details=answer.text)

    monkeypatch.setattr(turn, "verdict", SimpleNamespace(**vars(verdict) | {"on_answer": tell_all}))
    world.model.fault("responses.create", times=1, outcome={"name": "incomplete"}, answer="secret words " * 10)
    await world.rig.start_worker()
    await run(world, "one")

    assert "silent" in complaining(await gather(world))


@pytest.mark.parametrize("words", ["sk-fault-key-never-logged", "Please do one."])
def test_secrets_and_message_text_in_a_log_are_seen(words: str) -> None:
    question = {"role": "user", "content": [{"type": "input_text", "text": "# One\n\nPlease do one.\n\n(ref 0)"}]}
    row = {"externalTaskId": "t", "activityId": "one", "successLog": False, "failureLog": False}
    seen = Evidence(
        History(),
        log=[row],
        conversations={"conv_1": {"metadata": {}, "items": [question], "turns": 1}},
        worker_logs=f'{{"event": "turn", "x": "{words}"}}',
    )
    assert "silent" in complaining(seen)
    assert checkers.silent(replace(seen, worker_logs="One")) == []


def test_every_checker_is_shown_to_find_something() -> None:
    source = files("tests.faults").joinpath("test_checkers.py").read_text()
    compared = [line for line in source.splitlines() if line.strip().startswith("assert") and "complaining(" in line]
    shown = {name for line in compared for name in re.findall(r'"(\w+)"', line)}

    assert shown >= {checker.__name__ for checker in checkers.ALL}
