"""Orders to erase among forged variables, made up by the dozen, on a real engine and a real Redis."""

import json

import pytest

from tests.flow.rig import Rig
from tests.flow.test_ending import hands, recorded, thread_of
from tests.unit.test_hostile import Maker
from worker.domain.endings import Status

INSTANCES = 6
ORDERS = 12

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("seed", [1])
async def test_no_order_takes_what_another_instance_has_whatever_variables_name(kept: Rig, seed: int) -> None:
    rig, make = kept, Maker(seed)
    model = await rig.deploy(rig.step("frame", data_input="-"), rig.step("decide", topic=f"{rig.topic}_later"))
    worker = await rig.start_worker()
    instances = [await rig.rest.start(model) for _ in range(INSTANCES)]
    for each in instances:
        await rig.until_open(each, "decide")
        await recorded(rig, each, 1)
    await worker.stop()
    threads = {each: await thread_of(rig, each) for each in instances}
    responses = [(await rig.meta(each, "frame"))["response"] for each in instances]
    left = set(instances)

    async with hands(rig) as hand:
        for _ in range(ORDERS):
            attacker, ordered = make.choice(instances), make.choice(instances[:-2])
            await forge(rig, make, attacker, [*threads.values(), *responses])
            receipt = await hand.erase(ordered, force=True)
            left.discard(ordered)

            assert receipt.open == (), receipt
            assert {each for each in instances if hand.has_thread(threads[each])} == left
            assert await hand.keys(ordered) == []
            assert await hand.texts(ordered) == []
            for each in left:
                assert len(await hand.texts(each)) == 2
            removed = {step.what for step in receipt.steps if step.status is Status.REMOVED}
            assert not removed & {f"conversation {threads[each]}" for each in left}
    assert set(instances[-2:]) <= left < set(instances)


async def forge(rig: Rig, make: Maker, instance: str, ids: list[str]) -> None:
    """Have somebody write a variable that looks like ours and names anything."""
    facts = {"assistant": "analyst", "version": "1.0", "thread": make.choice(ids), "response": make.choice(ids)}
    said = make.choice([json.dumps(facts), make.changed(json.dumps(facts)), "[" * 3999])
    name, text = make.choice([("x_meta", said), ("assistant_thread_critic", f"{make.choice(ids)}#1")])
    text = "".join(each for each in text if each.isprintable())
    await rig.rest.put(f"process-instance/{instance}/variables/{name}", {"value": text[:3999], "type": "String"})
