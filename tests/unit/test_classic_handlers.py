"""Functions of camunda-external-task-client-python3: what they are given, and what becomes of what they return."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from camunda.external_task.external_task import ExternalTask, TaskResult
from structlog.testing import capture_logs

from tests.waiting import wait_until
from worker.domain.handled import Completed, Failed, Handled, Raised, Thrown
from worker.domain.tasks import Task, Variable
from worker.engine import classic
from worker.engine.classic import ClassicHandlers
from worker.errors import Permanent
from worker.loop.slots import Slots
from worker.operate.doctor import environment
from worker.operate.doctor.checks import Level
from worker.settings import Settings
from worker.telemetry import metrics


def fetched(**changes: Any) -> Task:
    usual: dict[str, Any] = {
        "id": "t1",
        "topic": "pay",
        "activity_id": "charge",
        "process_instance_id": "i1",
        "process_definition_id": "order:1:d",
        "process_definition_key": "order",
        "execution_id": "e1",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "fetched_at": 0.0,
        "business_key": "b1",
        "tenant_id": "acme",
        "variables": {"score": Variable(7, "Integer"), "note": Variable(None, "Null")},
    }
    return Task(**(usual | changes))


def no_keeping() -> Callable[[], None]:
    raise AssertionError("nothing is given up")


async def handled(function: Callable[[ExternalTask], Any], **changes: Any) -> Handled:
    return await ClassicHandlers({"pay": function}, "me", no_keeping).handle(fetched(**changes), {"account": "42"})


async def test_a_function_sees_what_the_client_shows_it_and_its_extension_properties() -> None:
    def see(task: ExternalTask) -> TaskResult:
        return task.complete(
            {
                "ids": [
                    task.get_task_id(),
                    task.get_process_instance_id(),
                    task.get_activity_id(),
                    task.get_worker_id(),
                ],
                "where": [task.get_topic_name(), task.get_tenant_id(), task.get_business_key()],
                "score": task.get_variable("score"),
                "meta": task.get_variable("score", with_meta=True)["type"],
                "note": task.get_variable("note"),
                "none": task.get_variable("none"),
                "all": task.get_variables(),
                "account": task.get_extension_property("account"),
            },
            {"local": {"value": "7", "type": "String"}},
        )

    done = await handled(see)
    assert isinstance(done, Completed)
    assert {name: each.value for name, each in done.variables.items()} == {
        "ids": ["t1", "i1", "charge", "me"],
        "where": ["pay", "acme", "b1"],
        "score": 7,
        "meta": "Integer",
        "note": None,
        "none": None,
        "all": {"score": 7, "note": None},
        "account": "42",
    }
    assert done.local == {"local": Variable("7", "String")}


async def charge(task: ExternalTask) -> TaskResult:
    await asyncio.sleep(0)
    return task.complete({"paid": True})


class Charging:
    async def __call__(self, task: ExternalTask) -> TaskResult:
        return await charge(task)


@pytest.mark.parametrize("function", [charge, Charging(), lambda task: charge(task)])  # noqa: PLW0108 - it is no coroutine function
async def test_functions_may_be_async(function: Callable[[ExternalTask], Any]) -> None:
    assert await handled(function) == Completed({"paid": Variable(value=True)})


@pytest.mark.parametrize(("retries", "left"), [(None, 3), (3, 2), (1, 0)])
async def test_a_failure_counts_retries_as_the_client_does(retries: int | None, left: int) -> None:
    done = await handled(lambda task: task.failure("no", "why", max_retries=3, retry_timeout=5000), retries=retries)
    assert done == Failed("no", "why", left, timedelta(seconds=5))


async def test_a_bpmn_error_brings_its_variables() -> None:
    done = await handled(lambda task: task.bpmn_error("BROKE", "no money", {"owed": 5}))
    assert done == Thrown("BROKE", "no money", {"owed": Variable(5)})


def raising(error: BaseException) -> Callable[[ExternalTask], Any]:
    def function(_: ExternalTask) -> TaskResult:
        raise error

    return function


async def cancelling(_: ExternalTask) -> TaskResult:
    raise asyncio.CancelledError


async def leaving(_: ExternalTask) -> TaskResult:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raising(ValueError("no account")), "raised ValueError: no account"),
        (raising(SystemExit(2)), "raised SystemExit: 2"),
        (raising(StopIteration()), "raised StopIteration"),
        (cancelling, "raised CancelledError"),
        (leaving, "raised SystemExit: 1"),
        (lambda _: None, "returned nothing; return what task.complete()"),
        (lambda _: {"paid": True}, "returned a dict"),
        (lambda task: task.get_task_result(), "returned an empty result"),
        (lambda task: task.complete({"at": datetime.now(UTC)}), "variable at: Object of type datetime"),
        (lambda task: task.complete({"sum": float("nan")}), "variable sum: Out of range float"),
        (lambda task: task.complete(["paid"]), "returned what cannot be told to the engine"),
        (lambda task: task.failure("no", "", "many", 5), "returned what cannot be told to the engine"),
    ],
)
async def test_whatever_else_a_function_does_is_its_failure(function: Callable[[ExternalTask], Any], said: str) -> None:
    done = await handled(function)
    assert isinstance(done, Raised)
    assert said in done.message


async def test_a_function_that_is_given_up_keeps_the_slot_of_its_turn_until_it_returns() -> None:
    going_on, began, slots = threading.Event(), threading.Semaphore(0), Slots(1, metrics.HANDLER_PLACES)

    def hang(task: ExternalTask) -> TaskResult:
        began.release()
        going_on.wait()
        return task.complete()

    handlers = ClassicHandlers({"pay": hang}, "me", slots.keep)

    async def turn() -> Handled:
        async with slots.turn():
            return await handlers.handle(fetched(), {})

    first = asyncio.create_task(turn())
    await asyncio.to_thread(began.acquire)
    with capture_logs() as lines:
        first.cancel()
        await asyncio.wait({first})
    second = asyncio.create_task(turn())
    await asyncio.sleep(0)
    assert (first.cancelled(), slots.welcome(backlog=True)) == (True, 0)
    assert not began.acquire(blocking=False), "there is one slot, and the first has it still"
    assert [(line["event"], line["topic"]) for line in lines] == [("function_given_up", "pay")]
    going_on.set()
    assert await second == Completed({})
    assert slots.free == 1


async def test_one_that_blocks_leaves_the_loop_to_others() -> None:
    going_on = threading.Event()

    def hang(task: ExternalTask) -> TaskResult:
        going_on.wait()
        return task.complete()

    handlers = ClassicHandlers({"pay": hang, "quick": charge}, "me", no_keeping)
    waiting = asyncio.create_task(handlers.handle(fetched(), {}))
    await wait_until(lambda: any("handler of pay" in each.name for each in threading.enumerate()), what="the thread")
    assert await handlers.handle(fetched(topic="quick"), {}) == Completed({"paid": Variable(value=True)})
    assert not waiting.done()
    going_on.set()
    assert await waiting == Completed({})


async def test_doctor_says_what_cannot_be_imported() -> None:
    chosen = Settings(_env_file=None, transcript_url="off", handlers="pay=shop_nowhere:pay")
    rows = [row for each in environment.checks(chosen) for row in await each.run()]
    assert [row.said for row in rows if row.level is Level.PROBLEM and "shop_nowhere cannot be imported" in row.said]


def test_what_cannot_be_imported_is_said_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_broken.py").write_text("raise SystemExit('not today')\n")
    (tmp_path / "shop_sound.py").write_text(
        "class Shop:\n    def pay(task):\n        return task.complete()\nNUMBER = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Permanent) as caught:
        classic.load(["a=shop_nowhere:pay", "b=shop_broken:pay", "c=shop_sound:Shop.buy", "d=shop_sound:NUMBER"])
    nowhere = (
        "ModuleNotFoundError: No module named 'shop_nowhere'; is its folder in PYTHONPATH, or its package installed?"
    )
    assert [line.partition(": ")[2] for line in str(caught.value).splitlines()] == [
        f"a=shop_nowhere:pay: the module shop_nowhere cannot be imported: {nowhere}",
        "b=shop_broken:pay: the module shop_broken cannot be imported: SystemExit: not today; correct it",
        "c=shop_sound:Shop.buy: the module shop_sound has no function Shop.buy",
        "d=shop_sound:NUMBER: the module shop_sound has no function NUMBER",
    ]
    assert [*classic.load([" pay = shop_sound:Shop.pay"])] == ["pay"]
