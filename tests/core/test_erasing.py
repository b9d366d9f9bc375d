"""What an order to erase takes, what it leaves, and that it goes on until all is gone."""

from dataclasses import replace

import pytest

from tests.core.closing import Closing, open_in, step_of
from tests.fakes.clock import now
from tests.unit.decisions.examples import said
from worker.decisions import chain, record
from worker.decisions.verifying import verify
from worker.domain.conversations import EVERYTHING, MessageFilter, Subject
from worker.domain.decisions import DecisionKey
from worker.domain.endings import Receipt, Status, Step, Store, order_id
from worker.domain.feedback import Feedback
from worker.ending import StillRuns
from worker.ending.erasing import NAMES
from worker.ending.stores import SHARED, Messages
from worker.errors import EngineDown, ModelDown
from worker.telemetry import metrics
from worker.transcript import SqlFeedback

ORDER_7 = Subject("default", business_key="order 7")


async def test_everything_of_one_instance_goes_and_nothing_of_another(closing: Closing) -> None:
    for name in ("mine", "other"):
        await closing.speak(name, stored=True)
        closing.finish(name)
    closing.begin("mine").variables |= {"goal": "Fly", "own_meta": "mine", "other_meta": '{"thread": "sewing"}'}
    before = dict(closing.begin("other").variables)
    mine, other = closing.provider.conversations
    receipt = await closing.erase("mine")

    assert receipt.completed_at is not None
    others = {Store.ASKS, Store.MEMORY}
    assert {step.store for step in receipt.steps} == set(Store) - others, "nobody has asked, nothing is remembered"
    assert {(step.status, step.at is not None) for step in receipt.steps} == {(Status.REMOVED, True)}
    assert [step.count for step in receipt.steps] == [2, 1, 2, 2, 2], "items, a response, keys, messages, variables"
    assert closing.provider.conversations.keys() == {other}
    assert list(closing.provider.responses.values()) == [other]
    assert (await closing.keys("mine"), await closing.texts("mine")) == ([], [])
    assert closing.begin("mine").variables.keys() == {"frame", "goal", "own_meta", "other_meta"}
    assert (len(await closing.keys("other")), len(await closing.texts("other"))) == (2, 2)
    assert closing.begin("other").variables == before
    assert mine != other


async def test_what_people_say_of_an_answer_goes_with_it_and_is_counted_in_the_receipt(closing: Closing) -> None:
    await closing.ran("instance")
    page = await closing.conversations.messages(MessageFilter(), within=EVERYTHING)
    given = Feedback("wrong", "why", "Ann", "a" * 32, now())
    assert await SqlFeedback(closing.database).give(page.items[1].id, given)

    receipt = await closing.erase("instance")

    assert step_of(receipt, Store.TRANSCRIPT, Messages.what).count == 2 + 1
    assert await closing.conversations.rated(within=EVERYTHING) == []


async def test_an_order_of_an_older_worker_is_carried_on_by_the_name_that_it_gave(closing: Closing) -> None:
    await closing.ran("instance")
    left = Step(Store.TRANSCRIPT, "sessions and messages", why="the transcript is away")
    known = Receipt(order_id(closing.of("instance")), "default", "instance", None, ordered_at=now(), steps=(left,))
    await closing.orders.keep(known)

    [receipt] = await closing.resume()

    assert receipt.completed_at is not None
    assert step_of(receipt, left.store, left.what).status is Status.REMOVED
    assert await closing.texts("instance") == []


async def test_the_receipt_can_be_asked_for_and_a_second_order_keeps_it(closing: Closing) -> None:
    await closing.ran("instance")
    receipt = await closing.erase("instance")
    assert await closing.orders.receipt(receipt.id) == receipt
    assert await closing.orders.open_orders() == []

    again = await closing.erase("instance")
    assert (again.steps, again.ordered_at, again.id) == (receipt.steps, receipt.ordered_at, receipt.id)
    assert again.completed_at is not None
    assert receipt.completed_at is not None
    assert again.completed_at > receipt.completed_at, "looked into again"


async def test_results_go_too_where_that_is_wanted(closing: Closing) -> None:
    await closing.ran("instance")
    closing.begin("instance").variables["goal"] = "Fly"
    receipt = await closing.erase("instance", results=True)
    assert (receipt.completed_at is not None, receipt.results) == (True, True)
    assert closing.begin("instance").variables == {"goal": "Fly"}


async def test_a_running_instance_is_refused_unless_it_is_forced(closing: Closing) -> None:
    thread = await closing.speak("instance")
    with pytest.raises(StillRuns, match="was not forced"):
        await closing.erase("instance")
    assert (await closing.orders.open_orders(), thread.id in closing.provider.conversations) == ([], True)

    receipt = await closing.erase("instance", force=True)
    assert (receipt.completed_at is not None, receipt.forced) == (True, True)
    assert (thread.id in closing.provider.conversations, await closing.keys()) == (False, [])
    assert closing.begin("instance").variables.keys() == {"frame"}, "which the next steps need"


async def test_results_that_a_running_instance_needs_stay(closing: Closing) -> None:
    thread = await closing.speak("instance")
    with pytest.raises(StillRuns, match="needs its results"):
        await closing.erase("instance", force=True, results=True)
    assert thread.id in closing.provider.conversations


async def test_an_order_that_cannot_be_begun_leaves_everything_as_it_is(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.instances.script.next("running", EngineDown("away"))
    with pytest.raises(EngineDown):
        await closing.erase("instance")
    assert (await closing.orders.open_orders(), len(await closing.keys())) == ([], 2)
    assert thread.id in closing.provider.conversations


async def test_a_provider_that_is_away_is_said_and_tried_again_until_all_is_gone(closing: Closing) -> None:
    thread = await closing.speak("instance", stored=True)
    closing.finish("instance")
    closing.provider.script.always("erase_thread", ModelDown("HTTP 503"))
    receipt = await closing.erase("instance")

    assert receipt.completed_at is None
    assert open_in(receipt) == {
        (Store.PROVIDER, f"conversation {thread.id}"): "HTTP 503",
        (Store.REDIS, "instance analyst"): NAMES,
        (Store.ENGINE, "variables of instance"): NAMES,
    }
    assert (await closing.texts("instance"), closing.provider.responses) == ([], {}), "what can go goes at once"
    assert [each.open for each in await closing.resume()] == [receipt.open]
    assert metrics.ERASURES_OPEN._value.get() == 1

    closing.provider.script.always("erase_thread", None)
    [final] = await closing.resume()
    assert (final.completed_at is not None, {step.status for step in final.steps}) == (True, {Status.REMOVED})
    assert (await closing.keys(), closing.provider.conversations) == ([], {})
    assert closing.begin("instance").variables.keys() == {"frame"}
    assert (await closing.orders.open_orders(), metrics.ERASURES_OPEN._value.get()) == ([], 0)


async def test_an_order_that_is_given_again_goes_on_with_the_one_that_is_open(closing: Closing) -> None:
    await closing.speak("instance")
    closing.provider.script.next("erase_thread", ModelDown("busy"))
    first = await closing.erase("instance", force=True)
    closing.finish("instance")
    final = await closing.erase("instance", results=True)

    assert (final.ordered_at, final.forced, final.results) == (first.ordered_at, True, True)
    assert final.completed_at is not None
    assert closing.begin("instance").variables == {}


async def test_orders_of_two_subjects_with_one_name_are_kept_apart(closing: Closing) -> None:
    thread = await closing.ran("instance")
    name = order_id(closing.of("instance"))
    await closing.orders.keep(Receipt(name, "default", "another", None, ordered_at=now()))
    receipt = await closing.erase("instance")
    assert (receipt.instance, thread.id in closing.provider.conversations) == ("instance", False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ORDER_7, replace(ORDER_7, tenants=frozenset([None]))),
        (replace(ORDER_7, tenants=frozenset([None])), replace(ORDER_7, tenants=frozenset([""]))),
        (replace(ORDER_7, tenants=frozenset(["a", "b"])), Subject("default", business_key="order 7\na")),
        (Subject("default", instance="order 7"), ORDER_7),
        (Subject("default", instance="a"), Subject("default", instance="b")),
        (Subject("south", business_key="order 7"), ORDER_7),
    ],
)
def test_no_two_orders_go_by_one_name(one: Subject, other: Subject) -> None:
    assert order_id(one) != order_id(other)
    assert order_id(one) == order_id(replace(one))


# By business key


async def test_a_business_key_is_erased_with_all_its_instances_and_what_they_share(closing: Closing) -> None:
    for name, business_key in (("a", "order 7"), ("b", "order 7"), ("c", "order 70")):
        closing.begin(name, business_key=business_key)
        await closing.speak(name)
        await closing.speak(name, scope=f"business-key:{business_key}", assistant="critic")
        closing.finish(name)
    one = await closing.erase("a")
    assert {(step.store, step.why) for step in one.steps if step.status is not Status.REMOVED} == {
        (Store.PROVIDER, SHARED)
    }
    assert (one.completed_at is not None, len(closing.provider.conversations)) == (True, 5 - 1)

    await closing.rest()
    receipt = await closing.eraser.erase(ORDER_7)
    assert receipt.completed_at is not None
    left = [each.metadata["scope"] for each in closing.provider.conversations.values()]
    assert left == ["c", "business-key:order 70"]
    assert await closing.texts("a") + await closing.texts("b") == []
    assert len(await closing.texts("c")) == 4
    assert closing.begin("b").variables.keys() == {"frame"}


async def test_a_record_of_a_decision_stays_sound_without_its_texts(closing: Closing) -> None:
    await closing.speak("a")
    closing.finish("a")
    kept = DecisionKey("default", "a")
    made = record.build(kept.id, said(), "computed", samples=100)
    row = chain.row("change", None, made, now(), record.facts(made))
    await closing.decisions.keep(kept, made, row, definition_key="decision", business_key=None)
    receipt = await closing.eraser.erase(Subject("default", "a"))
    left = await closing.decisions.last(kept)

    assert receipt.completed_at is not None
    assert [(each.count > 0, each.status) for each in receipt.steps if each.what == "decisions' texts"] == [
        (True, Status.REMOVED)
    ]
    assert left is not None
    verified = verify(left.record, left.rows)
    assert (verified.problems, verified.erased > 0) == ([], True)
    assert left.record["content"]["computed"]["leader"] == "Y"


async def test_tenants_with_the_same_business_key_are_erased_each_for_itself(closing: Closing) -> None:
    for name in ("north", "south"):
        closing.begin(name, business_key="order 7", tenant=name)
        await closing.speak(name, scope="business-key:order 7")
    closing.finish("north")
    with pytest.raises(StillRuns):
        await closing.eraser.erase(ORDER_7)
    receipt = await closing.eraser.erase(replace(ORDER_7, tenants=frozenset(["north"])))

    assert (receipt.completed_at is not None, receipt.tenants) == (True, ("north",))
    assert [each.metadata["tenant"] for each in closing.provider.conversations.values()] == ["south"]
    assert (await closing.texts("north"), len(await closing.texts("south"))) == ([], 2)


async def test_tenants_with_the_same_business_key_are_erased_together_without_a_trace(closing: Closing) -> None:
    for name, tenant in (("1", None), ("2", "north"), ("3", "south")):
        closing.begin(name, business_key="order 7", tenant=tenant)
        await closing.speak(name, scope="business-key:order 7")
        closing.finish(name)
    await closing.rest()
    receipt = await closing.eraser.erase(ORDER_7)

    assert (receipt.completed_at is not None, closing.provider.conversations) == (True, {})
    assert await closing.keys() == []
    assert [step.count for step in receipt.steps if step.store is Store.REDIS] == [2, 2, 2]
