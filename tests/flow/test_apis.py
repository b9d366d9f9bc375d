"""The same conversation over every API that a provider can have: with its own memory, or with the one that we keep."""

import asyncio
import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from tests import papers
from tests.contract.test_models_refusals import FILTERED
from tests.flow.rig import API_CALLS, Rig
from tests.flow.test_record import arrived
from tests.waiting import wait_until
from worker import bootstrap
from worker.domain.conversations import EVERYTHING, Subject, session_id
from worker.domain.endings import Store
from worker.domain.threads import ThreadKey
from worker.ending import Eraser, Rewinding, Wish
from worker.redis.keys import stem


def key(instance: str) -> ThreadKey:
    return ThreadKey("default", instance, "analyst")


def seen(rig: Rig, api: str) -> list[str]:
    """All that the model saw with each question, in order. A probe asks for nothing."""
    texts = []
    for body in filter(None, (request["body"] for request in rig.provider.requests(API_CALLS[api]))):
        said: list[Any] = body.get("messages") or body["input"]
        items = rig.provider.conversations().get(body.get("conversation") or "", {}).get("items", [])
        texts.append(" ".join(str(each.get("content")) for each in [*items, *said]))
    return texts


async def test_a_later_step_knows_what_was_said_and_another_instance_nothing(rig: Rig, api: str) -> None:
    rig.provider.answer("Please do one", "The cheap one is a pelican.")
    rig.provider.answer("Please do two", "Settled.")
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker()
    await rig.run(model)
    await rig.run(model)

    first, second, third, fourth = seen(rig, api)
    if api != "conversations":  # there the whole conversation is looked at, when all is over
        assert "pelican" not in first
        assert "pelican" not in third
    assert "pelican" in second
    assert "pelican" in fourth
    assert rig.calls("conversations.create") == (2 if api == "conversations" else 0)


async def test_a_picture_and_a_pdf_go_along_as_the_api_takes_them(rig: Rig, api: str) -> None:
    plan, offer = b"\x89PNG\r\n\x1a\n of the site", papers.pdf("", "")
    given = {
        name: {"type": "File", "value": b64encode(content).decode(), "valueInfo": {"filename": name}}
        for name, content in {"plan.png": plan, "offer.pdf": offer}.items()
    }
    model = await rig.deploy(rig.step("one", data_input="plan.png, offer.pdf"), rig.step("two", data_input="-"))
    await rig.start_worker()
    await rig.run(model, given)

    first, second = (request["body"] for request in rig.provider.requests(API_CALLS[api]) if request["body"])
    text, picture, paper = (first.get("messages") or first["input"])[-1]["content"]
    kinds = ["text", "image_url", "file"] if api == "chat" else ["input_text", "input_image", "input_file"]
    assert [each["type"] for each in (text, picture, paper)] == kinds
    assert b64encode(plan).decode() in str(picture)
    assert b64encode(offer).decode() in str(paper)
    assert text["text"].count("(attached to this question as it is)") == 2
    assert f"### plan.png (File)\n\nplan.png, sha256 {sha256(plan).hexdigest()}" in text["text"]
    if api != "conversations":
        assert "(attached to this question as it is)" in str(second)
        assert "base64" not in str(second)


async def test_the_meta_names_thread_and_use(rig: Rig, api: str) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker()
    instance = await rig.run(model)
    one, two = await rig.meta(instance, "one"), await rig.meta(instance, "two")

    assert (one["use"], two["use"]) == ("created", "reused")
    assert one["thread"] == two["thread"]
    assert one["thread"].startswith("conv_" if api == "conversations" else "own_")
    assert two["tokens"]["input"] > one["tokens"]["input"] > 0


async def test_a_new_worker_without_redis_goes_on_from_the_transcript(rig: Rig, api: str) -> None:
    rig.provider.answer("Please do one", "The cheap one is a pelican.")
    model = await rig.deploy(rig.step("one"), rig.step("wait", topic="held"), rig.step("two"))
    first = await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "wait")
    await arrived(rig, instance, 2)
    await first.stop()
    async with rig.redis() as redis:
        async for name in redis.scan_iter(f"{stem('assistant-worker', 'default')}:{{*{instance}*"):
            await redis.delete(name)
    await rig.start_worker(topics=f"{rig.topic},held")
    await rig.rest.wait_for_end(instance)

    assert "pelican" in seen(rig, api)[-1]
    used = (await rig.meta(instance, "wait"))["use"]
    assert used == ("adopted" if api == "conversations" else "recreated")


async def test_a_lost_worker_is_taken_over_and_its_step_is_said_once(rig: Rig, api: str) -> None:
    rig.provider.fault(API_CALLS[api], text="Please do two", hold="gate")
    model = await rig.deploy(rig.step("one"), rig.step("two"), rig.step("three"))
    first = await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: len(seen(rig, api)) == 2, what="the second call")
    await first.kill()
    rig.provider.release("gate")
    await rig.start_worker()
    await rig.rest.wait_for_end(instance, 40)

    asked = re.findall(r"# (One|Two|Three)(?:\\n|\n)", seen(rig, api)[-1])  # an answer quotes them in one line
    assert list(dict.fromkeys(asked)) == ["One", "Two", "Three"]
    assert asked.count("Two") == 1
    assert len(seen(rig, api)) == (3 if api == "conversations" else 4)


async def test_steps_at_once_take_turns(rig: Rig, api: str) -> None:
    # Two calls at the same moment would not know of each other.
    rig.provider.fault(API_CALLS[api], during=0.5, times=None)
    model = await rig.deploy([rig.step(f"branch_{number}") for number in range(4)], rig.step("last"))
    await asyncio.gather(*(rig.start_worker() for _ in range(2)))
    await rig.run(model)

    known = [sum(f"Please do branch_{number}" in each for number in range(4)) for each in seen(rig, api)]
    # On a conversation all is there that was said since.
    assert known == ([4] * 5 if api == "conversations" else [1, 2, 3, 4, 4])


@pytest.mark.usefixtures("api")
async def test_a_schema_holds_and_a_wrong_answer_is_put_right_once(rig: Rig) -> None:
    schema = '{"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}'
    rig.provider.answer("Correction", '{"score": 3}')
    rig.provider.answer("Please do one", "well, three")
    model = await rig.deploy(rig.step("one", data_output_schema=schema, data_output_fields="score"))
    await rig.start_worker()
    instance = await rig.run(model)

    assert (await rig.rest.variables(instance))["score"] == 3
    assert (await rig.meta(instance, "one"))["repaired"] is True


async def test_an_instance_that_is_moved_back_is_asked_on_a_thread_that_ends_before_that_step(
    rig: Rig, api: str
) -> None:
    rig.provider.answer("Please do one", "The cheap one is a pelican.")
    rig.provider.answer("Please do two", "Take the heron.")
    model = await rig.deploy(rig.step("one"), rig.step("two"), rig.step("wait", topic=f"{rig.topic}_held"))
    worker = await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "wait")
    await arrived(rig, instance, 4)
    await worker.stop()
    settings = rig.build_settings()
    async with bootstrap.connect(settings) as adapters:
        assert adapters.conversations is not None
        rewinding = Rewinding(adapters.index, adapters.conversations)
        [done] = await rewinding.rewind(Wish(instance, "two"), "ada", within=EVERYTHING)
    assert done.why == ""
    await moved(rig, instance, "wait", "two")
    await rig.start_worker()

    await wait_until(lambda: len(seen(rig, api)) == 3, what="the third call")

    await rig.until_open(instance, "wait")
    assert "pelican" in seen(rig, api)[-1]
    # Of a conversation all is seen that is there now: the same answer once more, behind the question.
    assert seen(rig, api)[-1].count("heron") == (api == "conversations")


async def moved(rig: Rig, instance: str, away: str, to: str) -> None:
    """What an operator does in Cockpit."""
    steps = [{"type": "cancel", "activityId": away}, {"type": "startBeforeActivity", "activityId": to}]
    await rig.rest.post(f"process-instance/{instance}/modification", {"instructions": steps})


@pytest.mark.parametrize("outcome", ["refused", "filtered", "incomplete", "empty"])
async def test_bad_outcomes_fire_their_errors(rig: Rig, api: str, outcome: str) -> None:
    rig.provider.fault(API_CALLS[api], outcome=outcome, times=None)
    step = rig.step("one", **{f"error_{outcome}": "BAD"})
    model = await rig.deploy(step)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    # Nothing catches it here, so that the path ends without an incident.
    await rig.rest.wait_for_end(instance)

    assert "one" not in await rig.rest.variables(instance)


@pytest.mark.parametrize(("status", "body", "_"), [FILTERED[0], FILTERED[-1]], ids=["400", "403"])
async def test_a_request_that_a_filter_refuses_is_filtered_too(
    rig: Rig, api: str, status: int, body: Any, _: str
) -> None:
    said = {"status": status, "text": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    rig.provider.fault(API_CALLS[api], reply=said, times=None)
    model = await rig.deploy(rig.step("one", error_filtered="BAD"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.rest.wait_for_end(instance)

    assert "one" not in await rig.rest.variables(instance)


async def test_what_was_said_is_erased_everywhere(rig: Rig, api: str) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    worker = await rig.start_worker()
    instance = await rig.run(model)
    await worker.stop()
    settings = rig.build_settings()
    async with bootstrap.connect(settings) as adapters:
        receipt = await Eraser(bootstrap.ending_ports(settings, adapters)).erase(Subject("default", instance))
        found = await adapters.conversations.session(session_id(key(instance)), within=EVERYTHING)  # type: ignore[union-attr]  # there is a transcript

    assert [step for step in receipt.open if step.store is not Store.TRANSCRIPT] == []
    assert found is None
    async with rig.redis() as redis:
        assert [name async for name in redis.scan_iter(f"*{instance}*:said")] == []
    assert all(each["deleted"] for each in rig.provider.conversations().values())
    assert len(rig.provider.conversations()) == (api == "conversations")
