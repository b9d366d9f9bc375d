"""The worker on a model that really answers, and on servers that others wrote, with the memory that we keep for it."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.apis import asking
from tests.contract.questions import assistant
from tests.flow.command import assistant_worker, environment
from tests.models import unique
from tests.small_model.conftest import SECONDS, Place, only
from tests.small_model.servers import KEY, Litellm
from tests.waiting import wait_until
from worker.demo.small_model import MODEL, SmallModel
from worker.domain.providers import Api, ProviderSpec
from worker.providers import ChatModel, Client
from worker.redis.keys import stem
from worker.turn.remembering import SUMMARY_TASK

SCORE = {
    "type": "object",
    "required": ["score", "fit"],
    "additionalProperties": False,
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 9}, "fit": {"enum": ["good", "bad"]}},
}


def step(place: Place, activity: str, documentation: str = "", **properties: str) -> Any:
    return place.world.rig.step(activity, documentation=documentation, data_output=activity, **properties)


async def test_a_later_step_is_sent_what_was_said_and_another_instance_is_not(place: Place) -> None:
    world, word = place.world, unique("word")
    # The question names a variable, so that each instance's is its own.
    steps = [step(place, name, f"{name}: name a bird.", data_input="word") for name in ("one", "two")]
    model = await world.rig.deploy(*steps)
    await world.start_worker()
    first = await world.start(model, {"word": word})
    await world.ended(seconds=SECONDS)
    second = await world.start(model, {"word": "another"})
    await world.ended(seconds=SECONDS)

    answer = (await world.rest.variables(first))["one"]
    asked = place.asked()
    assert [word in each for each in asked] == [True, True, False, False]
    assert json.dumps(answer)[1:-1] in json.dumps(json.loads(asked[1]), ensure_ascii=True)
    one, two = await world.rig.meta(first, "one"), await world.rig.meta(first, "two")
    assert (one["use"], two["use"], one["thread"]) == ("created", "reused", two["thread"])
    assert two["tokens"]["input"] > one["tokens"]["input"] > 0
    assert (await world.rig.meta(second, "one"))["thread"] != one["thread"]
    await world.stop()


@only("llama-chat")
async def test_without_redis_the_next_step_is_sent_what_the_transcript_has(place: Place) -> None:
    world, word = place.world, unique("word")
    later = f"{world.rig.topic}_later"
    two = world.rig.step("two", topic=later, documentation="Name a bird.", data_output="two")
    model = await world.rig.deploy(step(place, "one", f"Name a bird, {word}."), two)
    instance = await world.start(model)
    first = await world.start_worker()
    await world.until_open(instance, "two")
    await first.stop()
    async with world.rig.redis() as redis:
        async for name in redis.scan_iter(f"{stem('assistant-worker', 'default')}:{{*{instance}*"):
            await redis.delete(name)
    await world.start_worker(topics=later)
    await world.ended(seconds=SECONDS)

    assert word in place.asked()[-1]
    assert (await world.rig.meta(instance, "two"))["use"] == "recreated"
    await world.stop()


@only("llama-chat", "litellm-chat")
async def test_an_answer_by_a_schema_is_json_of_that_schema_at_once(place: Place) -> None:
    world = place.world
    model = await world.rig.deploy(step(place, "rate", "Rate a bird.", data_output_schema=json.dumps(SCORE)))
    instance = await world.start(model)
    await world.start_worker()
    await world.ended(seconds=SECONDS)

    rated = json.loads((await world.rest.variables(instance))["rate"])
    assert 1 <= rated["score"] <= 9
    assert rated["fit"] in {"good", "bad"}
    assert len(place.asked()) == 1, "no repair"
    await world.stop()


async def test_a_history_that_the_server_finds_too_long_is_shortened_and_work_goes_on(place: Place) -> None:
    world = place.world
    words = [unique("word") for _ in range(3)]
    long = "A bird sits on a tree. " * 60  # some 430 tokens, and 1024 is what the model can read
    steps = [step(place, f"step_{number}", f"{word}: {long}Name a bird.") for number, word in enumerate(words)]
    instance = await world.start(await world.rig.deploy(*steps))
    await world.start_worker()
    await world.ended(seconds=SECONDS)

    sent = world.history.of(place.name, f"POST {place.path}", text=words[2])
    exchanges = [each for each in sent if SUMMARY_TASK[:20] not in each.text]  # the history is folded behind the answer
    assert [each.status for each in exchanges][-1] == 200
    assert 400 in [each.status for each in exchanges], "the server said so"
    assert words[0] in exchanges[0].text
    assert words[0] not in exchanges[-1].text
    assert await world.rest.incidents(instance) == []
    await world.stop()


@only("litellm-chat", "litellm-responses")
async def test_a_model_that_the_gateway_does_not_have_is_an_incident_that_names_it(place: Place) -> None:
    place.assistant(model="nonesuch", schema="")
    world = place.world
    instance = await world.start(await world.rig.deploy(step(place, "one", service_retries="1")))
    await world.start_worker()
    task = await world.until_failed(instance)

    assert "no model 'nonesuch' for this key: correct `model`" in task["errorMessage"]
    await world.stop()


async def test_models_that_the_server_has_are_told_from_others(llama: SmallModel) -> None:
    """It would answer to any name, so that nobody learns of a wrong one from a turn."""
    async with Client.open(ProviderSpec(api="chat", base_url=llama.base_url)) as client:
        model = ChatModel(client)
        await model.ping()
        assert [bool(await model.find_model(name)) for name in ("smollm2", "nonesuch")] == [True, False]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("gateway", [False, True], ids=["llama", "litellm"])
async def test_what_is_watched_is_the_same_answer(
    llama: SmallModel, litellm: Litellm, api: Api, *, gateway: bool
) -> None:
    spec = assistant(model=MODEL, temperature=0.0, max_output_tokens=20, timeout=timedelta(seconds=SECONDS))
    where = ProviderSpec(api=api, base_url=litellm.url if gateway else llama.base_url, key=KEY)
    async with asking(where) as turns:
        plain = await turns.ask("Name a bird.", spec)
        turns.streamed = True
        answer = await turns.ask("Name a bird.", spec)

    assert (answer.text, answer.outcome, answer.detail) == (plain.text, plain.outcome, plain.detail)
    assert (answer.input_tokens, answer.output_tokens) == (plain.input_tokens, plain.output_tokens)
    assert turns.watcher is not None
    assert len(turns.watcher.requests) == 1
    assert len(turns.watcher.requests[0]) > 1, "more than the whole of it at the end"


@only("llama-chat", "llama-responses")
async def test_a_server_that_is_away_costs_nothing_and_work_goes_on_when_it_is_back(
    place: Place, llama: SmallModel
) -> None:
    world = place.world
    model = await world.rig.deploy(step(place, "one", "Name a bird."), step(place, "two", "Name a bird."))
    worker = await world.start_worker()
    await place.proxy.down()
    await asyncio.to_thread(llama.kill)
    instance = await world.start(model)
    await wait_until(lambda: worker.lines("dependency_down"), 60, "the worker to notice")
    await asyncio.to_thread(llama.start)
    await place.proxy.up()
    await world.ended(seconds=SECONDS)

    assert len(place.asked()) == 2
    assert [(await world.rig.meta(instance, each)).get("calls", 1) for each in ("one", "two")] == [1, 1]
    assert [line for line in worker.lines("turn") if line.get("retries") not in {None, 3}] == []
    await world.stop()


@only("litellm-chat", "litellm-responses")
async def test_a_key_that_the_gateway_does_not_take_stops_the_work_and_no_task(place: Place) -> None:
    world = place.world
    instance = await world.start(await world.rig.deploy(step(place, "one", "Name a bird.")))
    worker = await world.start_worker(gateway="sk-wrong")
    await wait_until(lambda: worker.lines("dependency_down"), 60, "the worker to notice")

    [line, *_] = worker.lines("dependency_down")
    assert "does not accept the key: check the key of the provider litellm" in line["reason"]
    [task] = await world.rest.tasks(instance)
    assert task["retries"] in {None, 3}
    await world.stop()
    await world.rest.request("DELETE", f"process-instance/{instance}")


async def test_doctor_asks_each_server_what_it_has_and_says_what_it_lacks(place: Place) -> None:
    found = await examined(place)
    assert (found["key"], found[f"model {MODEL}"]) == ("ok", "ok")
    assert found[f"call of {MODEL}"] in {"ok", "unknown"}, "it may take longer than doctor waits"

    place.assistant(model="no-such-model", schema="")
    assert (await examined(place))["model no-such-model"] == "problem"


async def examined(place: Place) -> dict[str, str]:
    """How each thing is that doctor looks at at the provider."""
    ran = await assistant_worker(environment(place.world.rig) | {"GATEWAY": KEY}, "doctor", "--json")
    return {each["subject"]: each["level"] for each in ran.json if each["area"] == f"provider {place.name}"}
