"""The end of conversations, by order and by age: all that is theirs goes, nothing else does, whatever happens."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.flow.conftest import BOTH_DATABASES
from tests.flow.rig import Rig
from tests.models import Model, bpmn, call, element, line, process
from tests.waiting import wait_until
from worker import bootstrap
from worker.bootstrap import Adapters, working
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, Session, Subject
from worker.domain.endings import Kept, Receipt, Status, Store, TurnKept, order_id
from worker.ending import EndingPorts, Eraser, Keeper, Pace, Retention, StillRuns, stores
from worker.engine import RestInstances, instances
from worker.errors import EngineDown, StoreDown
from worker.failpoints import watched
from worker.redis import RedisThreadIndex
from worker.redis.formats import CorruptRecord
from worker.transcript import SqlTranscriptReader, open_database

ALL = {Store.PROVIDER, Store.REDIS, Store.TRANSCRIPT, Store.ENGINE}


@pytest.fixture
def kept(kept: Rig) -> Rig:
    kept.settings |= {"retention_threads_days": 0, "retention_transcript_days": 0}
    return kept


@dataclass(frozen=True, slots=True)
class Hands:
    """What ends conversations, connected to a rig's stores."""

    rig: Rig
    adapters: Adapters
    eraser: Eraser
    retention: Retention
    keeper: Keeper

    def of(self, instance: str) -> Subject:
        return Subject("default", instance=instance)

    async def erase(self, instance: str, **options: Any) -> Receipt:
        return await self.eraser.erase(self.of(instance), **options)

    async def keys(self, part: str = "") -> list[str]:
        async with self.rig.redis() as redis:
            found = [str(name) async for name in redis.scan_iter(f"*:{{*{part}*")]
            # A worker's, which is no thread's, and the mark of an erased one.
            return sorted(name for name in found if ":heartbeat:" not in name and not name.endswith(":erased"))

    async def session(self, instance: str) -> Session | None:
        assert self.adapters.conversations is not None
        page = await self.adapters.conversations.sessions(Filter(instance=instance), within=EVERYTHING)
        return page.items[0] if page.items else None

    async def texts(self, instance: str) -> list[str]:
        assert self.adapters.conversations is not None
        page = await self.adapters.conversations.messages(MessageFilter(instance=instance), within=EVERYTHING)
        return [message.content for message in page.items]

    def has_thread(self, thread: str) -> bool:
        """Whether anything of a conversation is left at the provider; all of it or nothing."""
        conversation = self.rig.provider.conversations()[thread]
        assert conversation["deleted"] == (not conversation["items"]), "half erased"
        return not conversation["deleted"]


@asynccontextmanager
async def hands(
    rig: Rig, reached: Any = None, ahead: timedelta = timedelta(0), **settings: Any
) -> AsyncIterator[Hands]:
    """Connect; the clock that ends and orders go by may be ahead."""
    chosen = rig.build_settings(**settings)
    async with bootstrap.connect(chosen) as connected:
        adapters = watched(connected, reached) if reached else connected
        ports, policy = bootstrap.ending_ports(chosen, adapters), bootstrap.policy(chosen)
        if ahead:
            _set_ahead(ports, ahead)
            ports = replace(ports, now=lambda: datetime.now(UTC) + ahead)
        yield Hands(rig, adapters, Eraser(ports), Retention(ports, policy), Keeper(ports, policy))


def _set_ahead(ports: EndingPorts, ahead: timedelta) -> None:
    """Have Redis and engine tell a later time."""

    async def later() -> datetime:
        return datetime.now(UTC) + ahead

    for store in (ports.index, ports.instances):
        store.now = later  # type: ignore[method-assign]  # nobody can set a server's clock


async def ran(rig: Rig, model: Model, turns: int = 2, **options: Any) -> tuple[str, str]:
    """An instance that ran to its end and is recorded, and its thread."""
    instance = await rig.run(model, **options)
    await recorded(rig, instance, turns)
    return instance, await thread_of(rig, instance)


async def recorded(rig: Rig, instance: str, turns: int) -> None:
    async with open_database(str(rig.settings["transcript_url"])) as database:
        reading = SqlTranscriptReader(database)

        async def arrived() -> bool:
            page = await reading.messages(MessageFilter(instance=instance), within=EVERYTHING)
            return len(page.items) >= 2 * turns

        await wait_until(arrived, 30, f"{turns} turns in the transcript")

    async def settled() -> bool:
        async with rig.redis() as redis:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

    await wait_until(settled, what="the outbox to be empty")


async def thread_of(rig: Rig, instance: str) -> str:
    return str((await rig.rest.variables(instance))["assistant_thread_analyst"]).partition("#")[0]


async def two_steps(rig: Rig) -> Model:
    return await rig.deploy(rig.step("frame", data_input="-"), rig.step("decide", data_input="-"))


async def at_second_step(rig: Rig) -> tuple[Model, str, str]:
    """A running instance that waits for a step that nobody serves, and its thread."""
    model = await rig.deploy(rig.step("frame", data_input="-"), rig.step("decide", topic=rig.topic + "_later"))
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "decide")
    await recorded(rig, instance, 1)
    return model, instance, await thread_of(rig, instance)


# By order


@BOTH_DATABASES
async def test_erasing_takes_everything_of_one_instance_and_nothing_of_another(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    own = {"own_meta": "mine", "other_meta": '{"thread": "sewing"}', "goal": "Fly"}
    instance, thread = await ran(kept, model, variables=own)
    other, other_thread = await ran(kept, model)
    before = await kept.rest.variables(other)
    async with hands(kept) as hand:
        receipt = await hand.erase(instance)

        assert receipt.completed_at is not None
        assert {step.store for step in receipt.steps} == ALL
        assert {step.status for step in receipt.steps} == {Status.REMOVED}
        assert all(step.at is not None and step.count > 0 for step in receipt.steps)
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []
        assert await hand.texts(instance) == []
        assert await hand.session(instance) is None
        left = await kept.rest.variables(instance)
        assert left.keys() == {"own_meta", "other_meta", "goal", "frame", "decide"}

        assert hand.has_thread(other_thread)
        assert len(await hand.keys(other)) == 3
        assert len(await hand.texts(other)) == 4
        assert await kept.rest.variables(other) == before
    stored = [each["conversation"]["id"] for each in await responses(kept)]
    assert stored == [other_thread, other_thread]


@BOTH_DATABASES
async def test_results_go_too_where_that_is_wanted_and_nothing_else_of_the_process(kept: Rig) -> None:
    model = await kept.deploy(
        kept.step("frame", data_input="-", data_output_type="Json", data_output_fields="answer"),
        kept.step("decide", data_input="-", data_output_type="File"),
    )
    await kept.start_worker()
    instance, _ = await ran(kept, model, variables={"goal": "Fly", "decide_later": "no"})
    assert (await kept.rest.variables(instance)).keys() >= {"frame", "answer", "decide", "frame_meta"}
    async with hands(kept) as hand:
        receipt = await hand.erase(instance, results=True)

        assert (receipt.completed_at is not None, receipt.results) == (True, True)
        assert (await kept.rest.variables(instance)).keys() == {"goal", "decide_later"}


async def test_results_that_a_running_instance_needs_stay(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, _ = await at_second_step(kept)
    async with hands(kept) as hand:
        with pytest.raises(StillRuns, match="needs its results"):
            await hand.erase(instance, force=True, results=True)
        assert "frame" in await kept.rest.variables(instance)


async def test_many_variables_are_found_page_by_page(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "AT_ONCE", 2)
    model = await kept.deploy(*(kept.step(f"step{number}", data_input="-") for number in range(5)))
    await kept.start_worker()
    instance, _ = await ran(kept, model, 5)
    async with hands(kept) as hand:
        [step] = [each for each in (await hand.erase(instance)).steps if each.store is Store.ENGINE]
    assert step.count == 6
    assert (await kept.rest.variables(instance)).keys() == {f"step{number}" for number in range(5)}


async def responses(rig: Rig) -> list[dict[str, Any]]:
    """Responses that the provider still stores."""
    return [turn.response for turn in rig.provider._store.turns.values()]


async def test_a_second_order_finds_nothing_more_and_keeps_the_receipt_of_the_first(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, _ = await ran(kept, model)
    async with hands(kept) as hand:
        first = await hand.erase(instance, force=True)
        again = await hand.erase(instance)

    assert first.steps
    assert (again.ordered_at, again.steps, again.forced) == (first.ordered_at, first.steps, False)
    assert again.completed_at is not None


async def test_a_running_instance_is_refused_unless_it_is_forced(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    async with hands(kept) as hand:
        with pytest.raises(StillRuns):
            await hand.erase(instance)
        assert hand.has_thread(thread)
        assert len(await hand.keys(instance)) == 2
        assert await hand.adapters.orders.open_orders() == []

        receipt = await hand.erase(instance, force=True)

        assert receipt.completed_at is not None
        assert not hand.has_thread(thread)
        assert (await kept.rest.variables(instance)).keys() == {"frame"}
        await kept.start_worker(topics=kept.topic + "_later")
        await kept.rest.wait_for_end(instance)
    assert (await kept.meta(instance, "decide"))["use"] == "created"
    assert await thread_of(kept, instance) != thread


async def test_an_engine_that_cannot_be_asked_keeps_everything_as_it_is(kept: Rig, unused_tcp_port: int) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    async with hands(kept, engine_url=f"http://127.0.0.1:{unused_tcp_port}/engine-rest") as hand:
        with pytest.raises(EngineDown):
            await hand.erase(instance)
        with pytest.raises(EngineDown):
            await hand.retention.sweep()

        assert hand.has_thread(thread)
        assert len(await hand.keys(instance)) == 3
        assert len(await hand.texts(instance)) == 4


async def test_a_provider_that_is_away_is_said_and_tried_again_until_all_is_gone(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    kept.provider.fault("items.*", times=None, reply="overloaded")
    async with hands(kept, retention_threads_days="never") as hand:
        receipt = await hand.erase(instance)

        assert receipt.completed_at is None
        assert {step.store for step in receipt.open} == {Store.PROVIDER, Store.REDIS, Store.ENGINE}
        assert all("503" in step.why or "the provider still has" in step.why for step in receipt.open)
        assert hand.has_thread(thread)
        assert await hand.texts(instance) == [], "what can be removed is removed at once"
        assert await hand.keeper.round()
        assert await hand.adapters.orders.open_orders() == [receipt.id]

        kept.provider.clear_faults()
        assert await hand.keeper.round()

        assert await hand.adapters.orders.open_orders() == []
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []
        assert (await kept.rest.variables(instance)).keys() == {"frame", "decide"}
        final = await hand.adapters.orders.receipt(receipt.id)
        assert final is not None
        assert final.completed_at is not None
        assert {step.status for step in final.steps} == {Status.REMOVED}


async def test_an_exchange_on_its_way_to_the_transcript_is_looked_for_once_more(kept: Rig, tmp_path: Path) -> None:
    (tmp_path / "away").write_text("a file where the store wants a folder")
    kept.settings["transcript_url"] = f"sqlite:///{tmp_path}/away/transcript.db"
    model = await kept.deploy(kept.step("frame", data_input="-"))
    worker = await kept.start_worker()
    instance = await kept.run(model)
    await worker.kill()
    (tmp_path / "away").unlink()
    async with hands(kept) as hand:
        receipt = await hand.erase(instance)

        assert receipt.open == ()
        assert receipt.completed_at is None
        assert await hand.keys(instance) == []
        await hand.adapters.orders.keep(replace(receipt, look_again_at=receipt.ordered_at))
        [final] = await hand.eraser.resume()
        assert final.completed_at is not None


@BOTH_DATABASES
async def test_a_business_key_is_erased_with_all_its_instances_and_what_they_share(kept: Rig) -> None:
    shared = kept.step("frame", data_input="-", service_thread="business-key")
    model = await kept.deploy(shared, kept.step("decide", data_input="-"))
    await kept.start_worker()
    ours = [await kept.run(model, business_key="order 7") for _ in range(2)]
    other = await kept.run(model, business_key="order 70")
    for instance in (*ours, other):
        await recorded(kept, instance, 2)
    assert len(kept.provider.conversations()) == 5
    async with hands(kept) as hand:
        one = await hand.erase(ours[0])
        assert {(step.store, step.status) for step in one.steps if step.status is not Status.REMOVED} == {
            (Store.PROVIDER, Status.STAYS)
        }
        assert one.completed_at is not None
        assert len([each for each in kept.provider.conversations().values() if not each["deleted"]]) == 4

        receipt = await hand.eraser.erase(Subject("default", business_key="order 7"))

        assert receipt.completed_at is not None
        alive = [each for each in kept.provider.conversations().values() if not each["deleted"]]
        assert sorted(each["metadata"]["scope"] for each in alive) == sorted([other, "business-key:order 70"])
        assert await hand.texts(ours[0]) + await hand.texts(ours[1]) == []
        assert len(await hand.texts(other)) == 4
        for instance in ours:
            assert (await kept.rest.variables(instance)).keys() == {"frame", "decide"}


async def test_a_thread_that_a_variable_was_copied_from_is_not_taken_for_the_childs_own(kept: Rig) -> None:
    kept.assistant("critic")
    child = await kept.deploy(kept.step("inner", "critic", data_input="-"))
    parent = process(line(step_xml(kept, "outer"), call("sub", child), step_xml(kept, "last")))
    await kept.rest.deploy(parent)
    await kept.start_worker()
    instance, thread = await ran(kept, parent)
    [row] = await kept.rest.get("history/process-instance", superProcessInstanceId=instance)
    await recorded(kept, row["id"], 1)
    assert await thread_of(kept, row["id"]) == thread, "the engine copied it"
    async with hands(kept) as hand:
        receipt = await hand.erase(row["id"])

        assert receipt.completed_at is not None
        assert hand.has_thread(thread)
        assert len(await hand.texts(instance)) == 4
        assert await hand.texts(row["id"]) == []


def step_xml(rig: Rig, activity: str) -> str:
    return element(rig.step(activity, data_input="-"))


async def test_a_thread_is_not_erased_under_a_turn(kept: Rig) -> None:
    model = await kept.deploy(kept.step("frame", data_input="-"))
    kept.provider.fault("responses.create", hold="gate")
    await kept.start_worker()
    instance = await kept.rest.start(model)
    await wait_until(lambda: kept.calls("responses.create") == 1, what="the call")
    [thread] = kept.provider.conversations()
    async with hands(kept) as hand:
        receipt = await hand.erase(instance, force=True)
        assert any("a turn runs" in step.why for step in receipt.open)
        assert not kept.provider.conversations()[thread]["deleted"]

        kept.provider.release("gate")
        await kept.rest.wait_for_end(instance)
        await recorded(kept, instance, 1)
        [final] = await hand.eraser.resume()
        assert final.open == ()
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []


async def test_a_run_in_the_background_is_cancelled_with_its_thread(kept: Rig) -> None:
    text = '---\nname: analyst\nversion: "1.0"\nmodel: gpt-5-mini\nbackground: true\n---\nYou think.\n'
    (kept.folder / "analyst@1.0.md").write_text(text)
    kept.provider.fault("responses.create", queued=600)
    worker = await kept.start_worker()
    instance = await kept.rest.start(await kept.deploy(kept.step("frame", data_input="-")))

    async def noted() -> bool:
        async with kept.redis() as redis:
            return any([await redis.hget(name, "response") async for name in redis.scan_iter("*:turn:*")])

    await wait_until(noted, what="the run to be noted")
    await worker.kill()
    await let_go(kept)
    await kept.rest.delete(f"process-instance/{instance}")
    async with hands(kept) as hand:
        receipt = await hand.erase(instance)

        # Complete a minute later: its answer might have come before it was cancelled.
        assert (receipt.open, receipt.look_again_at is None) == ((), False)
        assert kept.calls("responses.cancel") == 1
        assert await hand.keys() == []


def by_key(key: str, *tenants: str | None) -> Subject:
    return Subject("default", business_key=key, tenants=frozenset(tenants))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (by_key("K", "a", "b"), by_key("K\na", "b")),
        (by_key("K"), Subject("default", business_key="K")),
        (by_key("K", None), by_key("K", "")),
        (Subject("default", instance="K"), Subject("default", business_key="K")),
    ],
)
def test_no_two_orders_go_by_one_name(one: Subject, other: Subject) -> None:
    assert order_id(one) != order_id(other)
    assert order_id(one) == order_id(replace(one))


# Killed anywhere


class Killed(BaseException):
    """Stands for the death of the process: nothing of ours catches it."""


def dying(at: int) -> tuple[list[str], Any]:
    """Die at the so-manieth place; 0 never."""
    places: list[str] = []

    def reached(place: str) -> None:
        places.append(place)
        if len(places) == at:
            raise Killed(place)

    return places, reached


@pytest.mark.sweep
@pytest.mark.parametrize("way", ["erase", "sweep"])
async def test_killed_anywhere_it_goes_on_to_the_same_end(kept: Rig, way: str) -> None:
    kept.settings["retention_transcript"] = "remove"
    kept.settings["lock_seconds"] = 10
    model = await two_steps(kept)
    await kept.start_worker()
    bystander, its_thread = await at_bystander(kept)

    async def end(hand: Hands, instance: str) -> None:
        if way == "sweep":
            await hand.retention.sweep()
        else:
            await hand.erase(instance)

    for _ in range(2):  # the first round does more than the later ones
        places, reached = dying(0)
        instance, _ = await ran(kept, model)
        async with hands(kept, reached) as hand:
            await end(hand, instance)
    # Between the end of one call and the start of the next nothing outside changes.
    deaths = [at for at, place in enumerate(places, 1) if place.startswith("before:")]
    died = 0
    for at in deaths:
        instance, thread = await ran(kept, model)
        try:
            async with hands(kept, dying(at)[1]) as hand:
                await end(hand, instance)
        except Killed:
            died += 1
        await let_go(kept)
        async with hands(kept) as hand:
            assert await hand.keeper.round()
            if await hand.session(instance) and way == "erase":  # died before there was an order
                await hand.erase(instance)
            where = f"died at {places[at - 1]}"
            assert not hand.has_thread(thread), where
            assert await hand.keys(instance) == [], where
            assert await hand.texts(instance) == [], where
            assert await hand.adapters.orders.open_orders() == [], where
    assert died == len(deaths) > 20
    async with hands(kept) as hand:
        assert hand.has_thread(its_thread)
        assert len(await hand.keys(bystander)) == 2
        assert len(await hand.texts(bystander)) == 2


async def at_bystander(rig: Rig) -> tuple[str, str]:
    """A running instance, which nothing here may touch."""
    _, instance, thread = await at_second_step(rig)
    return instance, thread


async def let_go(rig: Rig) -> None:
    """Let the holds of the dead run out, as their leases do."""
    async with rig.redis() as redis:
        for name in [name async for name in redis.scan_iter("*:hold")] + ["assistant-worker:default:round"]:
            await redis.delete(name)


# By age


@BOTH_DATABASES
async def test_what_is_over_ends_and_what_runs_is_never_touched(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    _, running, running_thread = await at_second_step(kept)
    async with hands(kept) as hand:
        dry = await hand.retention.sweep(dry_run=True)
        assert [(key.scope, name) for key, name in dry.threads] == [(instance, thread)]
        assert hand.has_thread(thread)
        assert len(await hand.keys(instance)) == 3
        session = await hand.session(instance)
        assert session is not None
        assert session.is_active, "a dry run notes nothing"

        done = await hand.retention.sweep()

        assert [(key.scope, name) for key, name in done.threads] == [(instance, thread)]
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []
        session = await hand.session(instance)
        assert session is not None
        assert not session.is_active
        assert session.duration_seconds is not None
        [row] = await kept.rest.post("history/process-instance", {"processInstanceIds": [instance]})
        assert session.ended_at is not None
        assert session.ended_at.isoformat()[:19] >= row["endTime"][:19]
        assert all("frame" in text or "decide" in text or text for text in await hand.texts(instance))
        assert len(await hand.texts(instance)) == 4, "kept by default"
        assert hand.has_thread(running_thread)
        assert len(await hand.keys(running)) == 2
        running_session = await hand.session(running)
        assert running_session is not None
        assert running_session.is_active
        calls = kept.calls("conversations.delete")
        again = await hand.retention.sweep()
        assert (again.threads, kept.calls("conversations.delete")) == ([], calls), "once is enough"


@pytest.mark.parametrize("kind", ["anonymise", "remove"])
async def test_the_record_ends_by_its_own_age_as_the_policy_says(kept: Rig, kind: str) -> None:
    kept.settings |= {"retention_transcript": kind, "retention_threads_days": 5}
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    async with hands(kept, retention_transcript_days=5) as hand:
        await hand.retention.sweep()
        assert len(await hand.texts(instance)) == 4
        assert "[removed]" not in await hand.texts(instance)
    async with hands(kept) as hand:
        done = await hand.retention.sweep()
        assert done.records == {hand.of(instance): 1}
        assert await hand.texts(instance) == ["[removed]"] * 4
        assert hand.has_thread(thread), "its time has not come"
        assert (await hand.retention.sweep()).records == {}
    async with hands(kept, retention_threads_days=0) as hand:
        await hand.retention.sweep()
        assert not hand.has_thread(thread), "the transcript still knew it"
        assert await hand.texts(instance) == (["[removed]"] * 4 if kind == "anonymise" else [])


async def test_a_deleted_instance_is_over_too(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await kept.rest.delete(f"process-instance/{instance}")
    async with hands(kept) as hand:
        await hand.retention.sweep()
        assert not hand.has_thread(thread)


async def test_an_instance_that_is_in_no_history_is_watched_for_a_day_first(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await kept.rest.delete(f"process-instance/{instance}")
    await kept.rest.delete(f"history/process-instance/{instance}")
    async with hands(kept) as hand:
        await hand.retention.sweep()
        await hand.retention.sweep()
        assert hand.has_thread(thread)

    async with hands(kept, ahead=timedelta(days=1)) as hand:
        await hand.retention.sweep()
        assert not hand.has_thread(thread)


async def test_a_thread_by_business_key_ends_with_the_last_instance_that_has_it(kept: Rig) -> None:
    shared = kept.step("frame", data_input="-", service_thread="business-key")
    model = await kept.deploy(shared, kept.step("decide", topic=kept.topic + "_later", service_thread="business-key"))
    await kept.start_worker()
    instances = [await kept.rest.start(model, business_key="order 7") for _ in range(2)]
    for instance in instances:
        await kept.until_open(instance, "decide")
        await recorded(kept, instance, 1)
    [thread] = kept.provider.conversations()
    async with hands(kept) as hand:
        await kept.rest.delete(f"process-instance/{instances[0]}")
        await hand.retention.sweep()
        assert hand.has_thread(thread)

        await kept.rest.delete(f"process-instance/{instances[1]}")
        await hand.retention.sweep()
        assert not hand.has_thread(thread)
        assert await hand.keys() == []


async def test_an_end_that_waits_is_given_up_when_an_instance_with_the_key_runs_again(kept: Rig) -> None:
    shared = kept.step("frame", data_input="-", service_thread="business-key")
    model = await kept.deploy(shared, kept.step("decide", topic=kept.topic + "_later", service_thread="business-key"))
    await kept.start_worker()
    first = await kept.rest.start(model, business_key="order 7")
    await kept.until_open(first, "decide")
    await recorded(kept, first, 1)
    await kept.rest.delete(f"process-instance/{first}")
    [thread] = kept.provider.conversations()
    kept.provider.fault("items.list", times=None, reply="overloaded")
    async with hands(kept) as hand:
        assert (await hand.retention.sweep()).delayed
        kept.provider.clear_faults()
        second = await kept.rest.start(model, business_key="order 7")
        await kept.until_open(second, "decide")
        await recorded(kept, second, 1)

        await hand.retention.sweep()

        assert hand.has_thread(thread)
        assert len(await hand.texts(first)) == 2
    assert (await kept.meta(second, "frame"))["thread"] == thread


async def shared(rig: Rig, tenant: str | None = None) -> Model:
    """A process whose first step shares its conversation by business key, and whose second nobody serves."""
    first = rig.step("frame", data_input="-", service_thread="business-key")
    model = bpmn(first, rig.step("decide", topic=rig.topic + "_later"))
    await rig.rest.deploy(model, tenant=tenant)
    return model


async def at_decide(rig: Rig, model: Model, tenant: str | None = None) -> str:
    instance = await rig.rest.start(model, business_key="order 7", tenant=tenant)
    await rig.until_open(instance, "decide")
    await recorded(rig, instance, 1)
    return instance


async def long_ago(hand: Hands, instance: str) -> None:
    """Make the transcript say that the conversation ended a year ago."""
    assert hand.adapters.transcript is not None
    session = await hand.session(instance)
    assert session is not None
    await hand.adapters.transcript.end([session.id], session.started_at - timedelta(days=365))


@BOTH_DATABASES
async def test_a_shared_record_waits_from_the_end_of_the_last_instance_whether_it_spoke_or_not(kept: Rig) -> None:
    kept.settings |= {"retention_transcript": "remove", "retention_transcript_days": 1, "retention_threads_days": 1}
    model = await shared(kept)
    await kept.start_worker()
    first = await at_decide(kept, model)
    [thread] = kept.provider.conversations()
    silent = await kept.rest.start(model, business_key="order 7")
    await kept.rest.delete(f"process-instance/{first}")
    async with hands(kept) as hand:
        await long_ago(hand, first)
        async with kept.redis() as redis:
            await redis.flushdb()  # the transcript alone remembers
        assert (await hand.retention.sweep()).records == {}, "one runs"

        await kept.rest.delete(f"process-instance/{silent}")
        assert (await hand.retention.sweep()).records == {}, "it has just ended"
        assert len(await hand.texts(first)) == 2
        assert hand.has_thread(thread)
    async with hands(kept, retention_transcript_days=0) as hand:
        done = await hand.retention.sweep()
        assert {subject.business_key for subject in done.records} == {"order 7"}
        assert await hand.texts(first) == ["[removed]"] * 2


async def every_session(hand: Hands) -> list[Session]:
    assert hand.adapters.conversations is not None
    return [*(await hand.adapters.conversations.sessions(Filter(), within=EVERYTHING)).items]


@BOTH_DATABASES
async def test_tenants_with_the_same_business_key_end_each_for_itself(kept: Rig) -> None:
    kept.settings["retention_transcript"] = "remove"
    north, south = await shared(kept, "north"), await shared(kept, "south")
    await kept.start_worker()
    ours, theirs = await at_decide(kept, north, "north"), await at_decide(kept, south, "south")
    async with hands(kept) as hand:
        await kept.rest.delete(f"process-instance/{ours}")
        await hand.retention.sweep()
        assert await hand.texts(ours) == []
        assert len(await hand.texts(theirs)) == 2
        assert [each["metadata"]["tenant"] for each in alive(kept)] == ["south"]

        with pytest.raises(StillRuns):
            await hand.eraser.erase(Subject("default", business_key="order 7"))
        assert await hand.eraser.erase(Subject("default", business_key="order 7", tenants=frozenset(["north"])))
        await kept.rest.delete(f"process-instance/{theirs}")
        south_only = Subject("default", business_key="order 7", tenants=frozenset(["south"]))
        receipt = await hand.eraser.erase(south_only)
        assert receipt.completed_at is not None
        assert (receipt.tenants, await hand.adapters.orders.receipt(receipt.id)) == (("south",), receipt)
        assert alive(kept) == []


def alive(rig: Rig) -> list[dict[str, Any]]:
    """Conversations that the provider has."""
    return [each for each in rig.provider.conversations().values() if not each["deleted"]]


async def test_a_record_goes_after_what_it_knows_of_at_the_provider(kept: Rig) -> None:
    kept.settings["retention_transcript"] = "remove"
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    kept.provider.fault("items.*", times=None, reply="overloaded")
    async with hands(kept) as hand:
        assert (await hand.retention.sweep()).delayed
        assert await hand.texts(instance) == ["[removed]"] * 4, "what it says goes at its time all the same"
        kept.provider.clear_faults()
        assert (await hand.retention.sweep()).records == {hand.of(instance): 1}
        assert not hand.has_thread(thread)
    assert await responses(kept) == []


async def test_a_shared_record_stays_if_one_has_begun_to_run_in_the_middle_of_a_round(
    kept: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.settings |= {"retention_transcript": "remove", "retention_threads_days": "never"}
    model = await shared(kept)
    await kept.start_worker()
    first = await at_decide(kept, model)
    await kept.rest.delete(f"process-instance/{first}")
    asked = 0
    runs_with = RestInstances.runs_with

    async def late(self: RestInstances, *wanted: Any) -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:  # after it was seen to be over, and to be due
            await kept.rest.start(model, business_key="order 7")
        return await runs_with(self, *wanted)

    monkeypatch.setattr(RestInstances, "runs_with", late)
    async with hands(kept) as hand:
        done = await hand.retention.sweep()

        assert (done.records, [why for _, why in done.delayed]) == ({}, ["an instance of it runs"])
        assert len(await hand.texts(first)) == 2


async def test_one_record_that_cannot_end_holds_up_no_other(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.settings |= {"retention_transcript": "remove", "retention_threads_days": "never"}
    model = await two_steps(kept)
    await kept.start_worker()
    bad, _ = await ran(kept, model)
    good, _ = await ran(kept, model)
    turns = RedisThreadIndex.turns

    async def spoilt(self: RedisThreadIndex, each: Kept) -> list[TurnKept]:
        if each.key.scope == bad:
            raise CorruptRecord("what stands there")
        return await turns(self, each)

    monkeypatch.setattr(RedisThreadIndex, "turns", spoilt)
    async with hands(kept) as hand:
        done = await hand.retention.sweep()

        assert done.records == {hand.of(good): 1}
        assert [subject.instance for subject, _ in done.delayed] == [bad]


@BOTH_DATABASES
async def test_a_changed_policy_holds_for_what_ended_before(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, _ = await ran(kept, model)
    async with hands(kept) as hand:
        await hand.retention.sweep()
        assert len(await hand.texts(instance)) == 4
    async with hands(kept, retention_transcript="anonymise") as hand:
        await hand.retention.sweep()
        assert await hand.texts(instance) == ["[removed]"] * 4
    async with hands(kept, retention_transcript="remove") as hand:
        await hand.retention.sweep()
        assert await hand.session(instance) is None


async def test_what_is_over_is_seen_between_the_rounds_and_nothing_else_is_done(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    common = await kept.rest.start(await shared(kept), business_key="order 7")
    await kept.until_open(common, "decide")
    await recorded(kept, common, 1)
    async with hands(kept, retention_transcript="remove") as hand:
        assert await hand.keeper.look()
        [over] = [each for each in await every_session(hand) if not each.is_active]
        assert over.process_instance_id == instance
        assert hand.has_thread(thread)
        assert len(await hand.texts(instance)) == 4

        await kept.rest.delete(f"process-instance/{common}")
        assert await hand.keeper.look()
        assert [each.is_active for each in await every_session(hand)] == [False, False]


async def test_stored_responses_go_with_their_thread(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    await ran(kept, model)
    assert len(await responses(kept)) == 2
    async with hands(kept) as hand:
        await hand.retention.sweep()
    assert await responses(kept) == []


async def test_stored_responses_that_only_variables_name_are_erased_and_a_parents_are_not(kept: Rig) -> None:
    kept.assistant("critic")
    kept.settings["transcript_url"] = "off"
    child = await kept.deploy(kept.step("inner", "critic", data_input="-"))
    parent = process(line(step_xml(kept, "outer"), call("sub", child)))
    await kept.rest.deploy(parent)
    await kept.start_worker()
    instance = await kept.run(parent)
    [row] = await kept.rest.get("history/process-instance", superProcessInstanceId=instance)
    async with hands(kept) as hand:
        receipt = await hand.erase(row["id"])

        assert receipt.completed_at is not None
        thread = await thread_of(kept, instance)
        assert [each["conversation"]["id"] for each in await responses(kept)] == [thread]


async def test_an_order_that_nobody_can_read_holds_up_no_other(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    kept.provider.fault("items.*", times=None, reply="overloaded")
    async with hands(kept, retention_threads_days="never") as hand, kept.redis() as redis:
        receipt = await hand.erase(instance)
        await redis.hset("assistant-worker:default:erasures", "000000000000", "{}")
        kept.provider.clear_faults()

        assert await hand.keeper.round()

        assert await hand.adapters.orders.open_orders() == ["000000000000"]
        assert not hand.has_thread(thread)
        final = await hand.adapters.orders.receipt(receipt.id)
        assert final is not None
        assert final.completed_at is not None


HOSTILE_METAS = {
    "deep_meta": "[" * 3999,
    "cut_meta": '{"assistant": "analyst", "version": "1.0", "thread": ',
    "number_meta": '{"assistant": 1, "version": {}, "thread": [[]], "response": {}, "fields": 7}',
    "fields_meta": '{"thread": null, "too_long": 1e999, "fields": [1, null, {"a": []}, "goal_not", "goal_not"]}',
}
"""What somebody may have written into variables that are called like ours; the last two even look like ours."""


async def test_hostile_variables_that_are_called_like_ours_keep_nothing_from_being_erased(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    hostile, hostile_thread = await ran(kept, model, variables=HOSTILE_METAS)
    sound, sound_thread = await ran(kept, model)
    async with hands(kept) as hand:
        receipt = await hand.erase(hostile, results=True)
        await hand.erase(sound, results=True)

        assert receipt.completed_at is not None
        assert not hand.has_thread(hostile_thread)
        assert not hand.has_thread(sound_thread)
        assert (await kept.rest.variables(hostile)).keys() == {"deep_meta", "cut_meta"}


async def test_an_order_that_ends_in_an_unforeseen_error_holds_up_no_other(
    kept: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await kept.start_worker()
    instance, thread = await ran(kept, await two_steps(kept))
    async with hands(kept) as hand:
        order = Receipt(order_id(hand.of(instance)), "default", instance, None, ordered_at=datetime.now(UTC))
        unforeseen: Any = [{}]
        odd = replace(order, id="0" * 12, instance=unforeseen)
        await hand.eraser.resume()
        for each in (odd, order):
            await bootstrap.ending_ports(kept.build_settings(), hand.adapters).orders.keep(each)
        done = [each.id for each in await hand.eraser.resume() if each.completed_at is not None]

        assert done == [order.id]
        assert not hand.has_thread(thread)
        assert await hand.keeper.round(), "what is due by age comes after the orders"
    assert "order 000000000000" in capsys.readouterr().out


async def test_a_thread_of_one_task_ends_with_the_instance(kept: Rig) -> None:
    single = kept.step("frame", data_input="-", service_thread="activity")
    model = await kept.deploy(single, kept.step("decide", topic=kept.topic + "_later"))
    await kept.start_worker()
    instance = await kept.rest.start(model)
    await kept.until_open(instance, "decide")
    await recorded(kept, instance, 1)
    [thread] = kept.provider.conversations()
    async with hands(kept) as hand:
        await hand.retention.sweep()
        assert hand.has_thread(thread)

        await kept.rest.delete(f"process-instance/{instance}")
        await hand.retention.sweep()
        assert not hand.has_thread(thread)
        assert await hand.keys() == []


async def test_a_turn_that_the_transcript_lacks_is_kept_until_it_is_there(kept: Rig, tmp_path: Path) -> None:
    (tmp_path / "away").write_text("a file where the store wants a folder")
    kept.settings |= {"transcript_url": f"sqlite:///{tmp_path}/away/transcript.db", "retention_transcript": "remove"}
    model = await kept.deploy(kept.step("frame", data_input="-"))
    worker = await kept.start_worker()
    instance = await kept.run(model)
    await worker.kill()
    async with hands(kept) as hand:
        with pytest.raises(Exception, match=r"transcript|database"):
            await hand.retention.sweep()
    (tmp_path / "away").unlink()
    async with hands(kept) as hand:
        await hand.retention.sweep()
        assert [name.rpartition("}")[2].split(":")[1] for name in await hand.keys(instance)] == ["turn"]
        await kept.start_worker()
        await recorded(kept, instance, 1)
        await hand.retention.sweep()
        assert await hand.texts(instance) == []


async def test_what_redis_has_lost_is_ended_by_what_the_transcript_knows(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    async with kept.redis() as redis:
        await redis.flushdb()
    async with hands(kept) as hand:
        await hand.retention.sweep()
        assert not hand.has_thread(thread)
    async with kept.redis() as redis:
        await redis.flushdb()
    async with hands(kept, retention_transcript="remove") as hand:
        assert (await hand.session(instance)) is not None
        await hand.retention.sweep()
        assert (await hand.session(instance)) is None


async def test_a_provider_that_is_away_delays_the_end_and_nothing_is_lost(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    kept.provider.fault("*.delete", times=None, skip=1, reply="rate_limit")
    async with hands(kept) as hand:
        done = await hand.retention.sweep()
        assert [subject.instance for subject, _ in done.delayed] == [instance]
        assert any(name.endswith(":thread") for name in await hand.keys(instance))

        kept.provider.clear_faults()
        await hand.retention.sweep()
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []


async def test_a_thread_that_waits_for_its_end_is_not_forgotten_before(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, _ = await at_second_step(kept)
    async with hands(kept) as hand, kept.redis() as redis:
        [name] = [name for name in await hand.keys(instance) if name.endswith(":thread")]
        await redis.pexpire(name, 60_000)
        await hand.retention.sweep()
        assert await redis.pttl(name) > 60_000


async def test_the_worker_does_it_by_itself(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    often = partial(Keeper, pace=Pace(rounds=timedelta(seconds=0.3)))
    monkeypatch.setattr(working, "Keeper", often)
    model = await two_steps(kept)
    await kept.start_worker()
    await kept.start_worker()
    instance = await kept.run(model)
    thread = await thread_of(kept, instance)

    def deleted() -> bool:
        return bool(kept.provider.conversations()[thread]["deleted"])

    await wait_until(deleted, what="the thread to be erased")


async def test_a_round_without_redis_does_nothing_and_says_so(kept: Rig, unused_tcp_port: int) -> None:
    async with hands(kept, redis_url=f"redis://127.0.0.1:{unused_tcp_port}/0") as hand:
        assert await hand.keeper.round() is False
        with pytest.raises(StoreDown):
            await hand.erase("instance")


# What only a variable says


@pytest.mark.parametrize("transcript", ["kept", "off"])
async def test_a_forged_variable_leads_no_order_to_what_another_instance_has(kept: Rig, transcript: str) -> None:
    kept.assistant("critic")
    model = await kept.deploy(kept.step("frame", data_input="-"), kept.step("decide", topic=kept.topic + "_later"))
    if transcript == "off":
        kept.settings["transcript_url"] = "off"
    await kept.start_worker()
    victim, attacker = await kept.rest.start(model), await kept.rest.start(model)
    for each in (victim, attacker):
        await kept.until_open(each, "decide")
        if transcript == "kept":
            await recorded(kept, each, 1)
    thread, response = await thread_of(kept, victim), (await kept.meta(victim, "frame"))["response"]
    own = await thread_of(kept, attacker)
    facts = {"assistant": "analyst", "version": "1.0", "thread": own, "response": response}
    for name, value in (("x_meta", json.dumps(facts)), ("assistant_thread_critic", f"{thread}#1")):
        await kept.rest.put(f"process-instance/{attacker}/variables/{name}", {"value": value, "type": "String"})
    async with hands(kept) as hand:
        receipt = await hand.erase(attacker, force=True)

        assert receipt.open == ()
        stays = [step for step in receipt.steps if step.status is Status.STAYS]
        assert {step.what for step in stays} == {f"response {response}", f"conversation {thread}"}
        assert {step.why for step in stays} == {stores.FOREIGN}
        assert hand.has_thread(thread)
        assert not hand.has_thread(own)
    assert [each["id"] for each in await responses(kept)] == [response]


async def test_what_a_called_process_copied_is_said_to_stay(kept: Rig) -> None:
    kept.assistant("critic")
    child = await kept.deploy(kept.step("inner", "critic", data_input="-"))
    parent = process(line(step_xml(kept, "outer"), call("sub", child)))
    await kept.rest.deploy(parent)
    await kept.start_worker()
    instance, thread = await ran(kept, parent, turns=1)
    response = (await kept.meta(instance, "outer"))["response"]
    [row] = await kept.rest.get("history/process-instance", superProcessInstanceId=instance)
    await recorded(kept, row["id"], 1)
    async with hands(kept) as hand:
        receipt = await hand.erase(row["id"])

        stays = {step.what for step in receipt.steps if step.status is Status.STAYS}
        assert stays == {f"conversation {thread}", f"response {response}"}
        assert hand.has_thread(thread)
        assert response in [each["id"] for each in await responses(kept)]


@BOTH_DATABASES
async def test_two_engines_on_one_database_and_one_redis_end_only_what_is_theirs(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker(engine_name="north")
    instance, thread = await ran(kept, model)
    async with hands(kept, engine_name="south") as hand:
        assert hand.adapters.conversations is not None
        assert await hand.adapters.conversations.instance(instance, within=EVERYTHING) is None
        assert await hand.texts(instance) == []
        receipt = await hand.eraser.erase(Subject("south", instance=instance))
        assert {step.status for step in receipt.steps if step.store is not Store.ENGINE} == {Status.STAYS}
        assert (await hand.retention.sweep()).threads == []
    async with hands(kept, engine_name="north") as hand:
        assert hand.has_thread(thread)
        assert len(await hand.texts(instance)) == 4
        assert len(await responses(kept)) == 2
        assert await hand.keys(instance) != []
