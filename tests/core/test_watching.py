"""Answers that somebody watches being written: who is told, of which call, and that nothing else is different."""

import asyncio
from datetime import timedelta

import pytest

from tests.core.operating import seen, stop, switched
from tests.core.rig import Core
from tests.fakes.watcher import FakeWatchers
from worker.domain.threads import Answer, Outcome, ThreadKey
from worker.errors import ContextFull, ModelUnknown, ThreadLocked


@pytest.fixture(params=["openai", "local"])
def watched(request: pytest.FixtureRequest, core: Core) -> Core:
    """Somebody watches every call, of a provider with a memory or of one without."""
    core.several = True
    core.assistants.add("analyst", provider=request.param)
    core.watchers = FakeWatchers()
    return core


def watchers(core: Core) -> FakeWatchers:
    assert isinstance(core.watchers, FakeWatchers)
    return core.watchers


async def test_a_watcher_is_told_the_answer_of_the_call_that_it_watches(watched: Core) -> None:
    async with watched.working():
        job = watched.world.start("frame", instance="a")
        await watched.until_over([job])

    assert watchers(watched).calls == [(ThreadKey("default", "a", "analyst"), job.task.id, 1)]
    [watcher] = watchers(watched).watchers
    assert watcher.text == job.results["frame"].value
    assert len(watcher.requests) == 1
    assert len(watcher.requests[0]) > 1


async def test_each_attempt_has_a_watcher_of_its_own(watched: Core) -> None:
    script = (
        watched.provider.script if watched.assistants.known["analyst"].provider == "openai" else watched.model.script
    )
    script.next("ask", ModelUnknown("cut"))
    async with watched.working():
        job = watched.world.start()
        await watched.until_over([job])

    assert [task for _, task, _ in watchers(watched).calls] == [job.task.id] * 2
    first, second = watchers(watched).watchers
    assert (first.text, second.text) == ("", job.results["frame"].value)


async def test_a_question_that_is_put_again_on_a_busy_thread_begins_again(core: Core) -> None:
    core.watchers = FakeWatchers()
    core.provider.script.next("ask", ThreadLocked("busy"), ThreadLocked("busy"))
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    [watcher] = core.watchers.watchers
    assert watcher.requests[:2] == [[], []]
    assert watcher.text == job.results["frame"].value


async def test_a_question_that_is_put_again_with_less_of_the_history_begins_again(core: Core) -> None:
    core.several = True
    core.assistants.add("analyst", provider="local")
    core.watchers = FakeWatchers()
    async with core.working():
        await core.until_over([core.world.start("first", instance="a")])
        core.model.script.next("ask", ContextFull("too long"))
        job = core.world.start("second", instance="a")
        await core.until_over([job])

    watcher = core.watchers.watchers[-1]
    assert len(watcher.requests) == 2
    assert watcher.text == job.results["second"].value


async def test_nobody_is_asked_about_an_answer_that_is_found(core: Core) -> None:
    core.watchers = FakeWatchers()
    core.provider.script.next("ask", ModelUnknown("cut"))
    async with core.working():
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        core.provider._land(*core.provider.asked[0])  # it ran on over there
        await core.until_over([job])

    assert len(core.watchers.calls) == 1
    assert len(core.provider.asked) == 1


async def test_nobody_watches_what_runs_in_the_background(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.watchers = FakeWatchers()
    async with core.working():
        await core.until_over([core.world.start()])

    assert core.watchers.calls == []


async def test_bad_answers_are_told_like_good_ones(watched: Core) -> None:
    answer = Answer("I can't.", Outcome.REFUSED)
    watched.provider.answer = lambda _: answer
    watched.model.answer = lambda _: answer
    async with watched.working():
        job = watched.world.start()
        await watched.until(lambda: watchers(watched).watchers and watchers(watched).watchers[0].text)
        assert job.results.get("frame") is None

    assert watchers(watched).watchers[0].text == "I can't."


async def test_a_stop_with_now_breaks_a_watched_call_off(core: Core) -> None:
    core.watchers = FakeWatchers()
    async with switched(core) as worker:
        core.provider.script.next("ask", 50)
        core.world.start()
        await core.until(lambda: core.provider.asked)
        await seen(core, worker, stop(now=True))
        await core.until(lambda: worker.slots.free == 4, within=timedelta(seconds=5))
        await asyncio.sleep(0)

    assert [watcher.requests for watcher in core.watchers.watchers] == [[[]]]
