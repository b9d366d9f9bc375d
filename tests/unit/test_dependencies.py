"""What the worker waits for: probes with growing pauses, and no fetching meanwhile."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import repeat
from time import monotonic

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import LogCapture

from tests.waiting import wait_until
from worker.errors import EngineDenied, EngineDown, ProviderPaused, StoreDown
from worker.loop import dependencies
from worker.loop.dependencies import Dependencies
from worker.telemetry.logs import Event

REAL_SLEEP = asyncio.sleep


class Probe:
    """Answers in this order: None works, an exception does not; in the end it always works."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers: Iterator[Exception | None] = iter(answers)
        self.calls = 0

    def then(self, answers: Iterable[Exception | None]) -> None:
        """Answer so from now on."""
        self.answers = iter(answers)

    async def __call__(self) -> None:
        self.calls += 1
        answer = next(self.answers, None)
        if answer is not None:
            raise answer


def paused(name: str) -> float | None:
    """What the metric says."""
    return REGISTRY.get_sample_value("worker_dependency_paused", {"dependency": name})


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were made; none of them takes time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            made.append(seconds)
        await REAL_SLEEP(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What was logged."""
    capture = LogCapture()
    monkeypatch.setattr(dependencies, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture


async def up(given: Dependencies) -> None:
    async with asyncio.timeout(5):
        await given.all_up()


def probes_left() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("probe")]


async def test_nothing_is_taken_for_granted_at_the_start() -> None:
    engine, redis = Probe(), Probe()
    async with Dependencies({"engine": engine, "redis": redis}) as given:
        assert len(given.reasons()) == 2
        assert (paused("engine"), paused("redis")) == (1, 1)
        await up(given)

        assert (engine.calls, redis.calls) == (1, 1)
        assert given.reasons() == []
        assert (paused("engine"), paused("redis")) == (0, 0)


async def test_all_up_waits_for_the_last_of_several() -> None:
    slow = Probe(*[EngineDown("no answer")] * 5)
    async with Dependencies({"engine": slow, "redis": Probe(), "provider": Probe()}) as given:
        await wait_until(lambda: given.reasons() == ["engine: no answer"], what="the others to be up")
        await up(given)

        assert slow.calls == 6


async def test_all_up_waits_for_one_that_fails_while_another_recovers() -> None:
    engine, redis = Probe(), Probe()
    async with Dependencies({"engine": engine, "redis": redis}) as given:
        await up(given)
        engine.then([EngineDown("no answer")] * 3)
        given.down("engine", EngineDown("refused"))
        waiting = asyncio.create_task(given.all_up(), name="waiting")
        await wait_until(lambda: engine.calls == 3, what="two probes more")
        redis.then([EngineDown("no answer")] * 20)
        given.down("redis", EngineDown("refused"))
        async with asyncio.timeout(5):
            await waiting

        assert (engine.calls, redis.calls) == (5, 22)


async def test_pauses_between_probes_grow_to_thirty_seconds_and_are_spread(pauses: list[float]) -> None:
    async with Dependencies({"engine": Probe(*[EngineDown("no answer")] * 40)}) as given:
        await up(given)

    assert len(pauses) == 41
    for number, pause in enumerate(pauses):
        most = min(0.5 * 2**number, 30)
        assert most / 2 <= pause <= most
    assert len(set(pauses)) > 35


async def test_a_dependency_that_is_known_to_be_down_gets_no_second_probe(lines: LogCapture) -> None:
    engine = Probe()
    async with Dependencies({"engine": engine}) as given:
        await up(given)
        engine.then([EngineDown("refused")] * 3)
        for _ in range(10):
            given.down("engine", EngineDown("refused"))
        assert len(probes_left()) == 1
        await up(given)

    assert engine.calls == 5
    assert [line["event"] for line in lines.entries] == [
        Event.DEPENDENCY_UP,
        Event.DEPENDENCY_DOWN,
        Event.DEPENDENCY_UP,
    ]


async def test_the_end_of_an_outage_is_not_said_of_the_task_that_met_it(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = LogCapture()
    named = structlog.wrap_logger(None, processors=[structlog.contextvars.merge_contextvars, capture])
    monkeypatch.setattr(dependencies, "log", named)
    async with Dependencies({"redis": Probe()}) as given:
        await up(given)
        with structlog.contextvars.bound_contextvars(task_id="task-1"):
            given.down("redis", StoreDown("no"))
        await up(given)
    told = [(line["event"], line.get("task_id")) for line in capture.entries]
    assert told[-2:] == [(Event.DEPENDENCY_DOWN, "task-1"), (Event.DEPENDENCY_UP, None)]


async def test_reasons_say_what_the_last_probe_said() -> None:
    engine = Probe()
    async with Dependencies({"engine": engine}) as given:
        await up(given)
        given.down("engine", EngineDown("refused"))
        assert given.reasons() == ["engine: refused"]
        engine.then(repeat(EngineDown("401")))
        await wait_until(lambda: given.reasons() == ["engine: 401"], what="the new reason")


async def test_flapping_goes_on_with_the_longer_pauses(pauses: list[float]) -> None:
    async with Dependencies({"engine": Probe()}) as given:
        await up(given)
        for _ in range(5):
            given.down("engine", EngineDown("flapping"))
            await up(given)

    assert len(pauses) == 6
    assert all(0.5 * 2**number / 2 <= pause <= 0.5 * 2**number for number, pause in enumerate(pauses))


async def test_trouble_after_steady_times_starts_with_short_pauses(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "STEADY_SECONDS", -1.0)
    async with Dependencies({"engine": Probe(*[EngineDown("no answer")] * 8)}) as given:
        await up(given)
        given.passed(since=monotonic())
        pauses.clear()
        given.down("engine", EngineDown("refused"))
        await up(given)

    assert pauses[0] <= 0.5


async def test_first_probe_that_works_puts_nothing_on_trial() -> None:
    async with Dependencies({"engine": Probe(), "redis": Probe()}) as given:
        await up(given)

        assert not given.on_trial


async def test_what_was_away_at_the_start_is_on_trial_when_it_comes() -> None:
    async with Dependencies({"engine": Probe(EngineDown("no answer")), "redis": Probe()}) as given:
        await up(given)

        assert given.on_trial


async def test_trial_lasts_until_a_turn_has_brought_nothing_down() -> None:
    async with Dependencies({"provider": Probe()}) as given:
        await up(given)
        given.down("provider", ProviderPaused("quota"))
        await up(given)
        assert given.on_trial

        given.passed(since=monotonic())

        assert not given.on_trial


async def test_turn_that_brings_something_down_does_not_end_the_trial() -> None:
    async with Dependencies({"provider": Probe(), "redis": Probe()}) as given:
        await up(given)
        given.down("provider", ProviderPaused("quota"))
        await up(given)
        began = monotonic()
        given.down("redis", StoreDown("refused"))

        given.passed(began)
        assert given.on_trial

        await up(given)
        given.passed(began)
        assert given.on_trial, "that it is up again says nothing about the turn that had brought it down"


async def test_turn_from_before_the_trouble_does_not_end_the_trial() -> None:
    began = monotonic()
    async with Dependencies({"provider": Probe(ProviderPaused("quota"))}) as given:
        await up(given)

        given.passed(began)

        assert given.on_trial


async def test_failed_trial_goes_on_with_the_longer_pauses_however_long_it_took(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "STEADY_SECONDS", -1.0)
    async with Dependencies({"provider": Probe()}) as given:
        await up(given)
        given.down("provider", ProviderPaused("quota"))
        await up(given)
        pauses.clear()
        for _ in range(3):
            given.down("provider", ProviderPaused("quota"))
            await up(given)

    for number, pause in enumerate(pauses, start=1):
        assert 0.5 * 2**number / 2 <= pause <= 0.5 * 2**number


async def test_probe_that_breaks_in_an_unforeseen_way_is_trouble_and_is_repeated() -> None:
    engine = Probe(KeyError("secret text"), RuntimeError("secret text"))
    async with Dependencies({"engine": engine}) as given:
        await wait_until(lambda: engine.calls >= 1, what="the first probe")
        assert "secret" not in str(given.reasons())
        await up(given)
        assert given.reasons() == []

        given.down("engine", EngineDown("refused"))
        assert given.reasons() == ["engine: refused"]
        await up(given)

    assert engine.calls == 4


async def test_what_is_away_at_the_start_is_told_once_per_kind_of_trouble(lines: LogCapture) -> None:
    engine = Probe(*(EngineDown(f"refused, request {n}") for n in range(10)), *[EngineDenied("401")] * 10)
    async with Dependencies({"engine": engine}) as given:
        await up(given)

    assert [(line["event"], line["log_level"], line.get("reason")) for line in lines.entries] == [
        (Event.DEPENDENCY_DOWN, "error", "refused, request 0"),
        (Event.DEPENDENCY_DOWN, "error", "401"),
        (Event.DEPENDENCY_UP, "info", None),
    ]


async def test_what_is_said_of_a_dependency_later_names_no_task_that_met_its_trouble() -> None:
    seen = []

    async def probe() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    async with Dependencies({"redis": probe}) as all_of_them:
        await all_of_them.all_up()
        with structlog.contextvars.bound_contextvars(task_id="task-1"):
            all_of_them.down("redis", StoreDown("no connection"))
        await all_of_them.all_up()

    assert seen == [{}, {}]


async def test_leaving_ends_the_probes() -> None:
    async with Dependencies({"engine": Probe(*[EngineDown("no")] * 10**6), "redis": Probe()}) as given:
        await wait_until(lambda: len(given.reasons()) == 1, what="redis to be up")
        assert probes_left() == ["probe engine"]

    assert probes_left() == []


async def test_cancelling_who_waits_leaves_the_probes_alone() -> None:
    async with Dependencies({"engine": Probe(*[EngineDown("no")] * 10**6)}) as given:
        waiting = asyncio.create_task(given.all_up(), name="waiting")
        await REAL_SLEEP(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert probes_left() == ["probe engine"]
