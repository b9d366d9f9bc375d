"""Answers that somebody watches being written, over every API: the same process, and one call for each step."""

from typing import Any

import pytest

from tests.fakes.watcher import FakeWatchers
from tests.flow.rig import API_CALLS, Rig
from tests.waiting import wait_until

WORDS = "Take the cheap one, because the dear one is no better."


@pytest.fixture
def watchers(rig: Rig) -> FakeWatchers:
    """Somebody watches everything."""
    rig.watchers = FakeWatchers()
    return rig.watchers


def streamed(rig: Rig, api: str) -> list[bool]:
    """Of each question whether it wanted a stream."""
    bodies = filter(None, (request["body"] for request in rig.provider.requests(API_CALLS[api])))
    return [bool(body.get("stream")) for body in bodies]


async def test_what_a_watcher_hears_is_the_answer(rig: Rig, api: str, watchers: FakeWatchers) -> None:
    rig.provider.answer("Please do one", WORDS)
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker()
    instance = await rig.run(model)
    results = await rig.rest.variables(instance)

    assert streamed(rig, api) == [True, True]
    assert [watcher.text for watcher in watchers.watchers] == [results["one"], results["two"]]
    assert results["one"] == WORDS
    assert [len(watcher.requests) for watcher in watchers.watchers] == [1, 1]
    assert [key.scope for key, *_ in watchers.calls] == [instance, instance]
    one: dict[str, Any] = await rig.meta(instance, "one")
    assert one["tokens"]["input"] > 0
    assert one["tokens"]["output"] > 0


async def test_nothing_is_streamed_if_nobody_watches(rig: Rig, api: str) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    await rig.run(model)

    assert streamed(rig, api) == [False]


@pytest.mark.parametrize("then", ["cut", *(pytest.param(each, marks=pytest.mark.sweep) for each in ("end", "error"))])
async def test_a_stream_that_breaks_off_is_looked_for_before_it_is_asked_again(
    rig: Rig,
    api: str,
    watchers: FakeWatchers,
    then: str,
) -> None:
    rig.provider.answer("Please do one", WORDS)
    rig.provider.fault(API_CALLS[api], text="Please do one", stream={"after": 3, "then": then})
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.rest.wait_for_end(instance)

    assert (await rig.rest.variables(instance))["one"] == WORDS
    assert watchers.watchers[0].text == "Take the cheap"
    # Where the provider keeps nothing there is nothing to look for, see docs/providers.md.
    assert len(streamed(rig, api)) == (1 if api == "conversations" else 2)


async def test_a_worker_that_dies_in_the_middle_of_a_stream_leaves_one_paid_call(
    rig: Rig, watchers: FakeWatchers
) -> None:
    rig.provider.answer("Please do one", WORDS)
    rig.provider.fault("responses.create", stream={"after": 3, "then": "stall"})
    model = await rig.deploy(rig.step("one"))
    first = await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: watchers.watchers and watchers.watchers[0].text == "Take the cheap")
    await first.kill()
    await rig.start_worker()
    await rig.rest.wait_for_end(instance)

    assert (await rig.rest.variables(instance))["one"] == WORDS
    assert rig.calls("responses.create") == 1
