"""Persons talk with an assistant beside all processes, over the API, on real parts."""

import aiohttp
import pytest

from tests.flow.command import Forked, assistant_worker, environment
from tests.flow.conftest import BOTH_DATABASES
from tests.flow.rig import Rig
from tests.flow.test_asks import Client, client, on
from tests.flow.test_record import arrived
from tests.waiting import wait_until
from worker.demo.processes import running
from worker.domain.people import Person


async def begun(person: Client, name: str = "1") -> str:
    """Begin a conversation, as soon as there is a worker; returns its session's id."""

    async def begin() -> str | None:
        try:
            status, talk = await person.call("assistants/analyst/conversations", "POST", json={"id": name})
        except aiohttp.ClientConnectionError:
            return None
        assert status == 201, talk
        return str(talk["id"])

    return await wait_until(begin, 30, "a conversation")


async def say(person: Client, talk: str, text: str, name: str) -> str:
    """Say something in a conversation; returns what is answered."""
    status, asked = await person.call(f"sessions/{talk}/asks", "POST", json={"id": name, "text": text})
    assert status == 202, asked
    over = await person.over(asked)
    assert (over["state"], over["failure"]) == ("answered", "")

    async def recorded() -> str | None:
        _, page = await person.call(f"sessions/{talk}/messages")
        return next((each["content"] for each in page["items"] if each["id"] == over["answer"]), None)

    return await wait_until(recorded, 30, "the answer in the record")


@BOTH_DATABASES
async def test_a_conversation_is_found_again_by_a_worker_whose_redis_was_lost_and_ends_by_its_person(
    kept: Rig,
) -> None:
    async with client(kept) as person:
        worker = await kept.start_worker()
        talk = await begun(person)
        assert await begun(person) == talk
        assert await say(person, talk, "Is it far?", "1")
        await worker.stop()
        async with kept.redis() as redis:
            await redis.delete(*[name async for name in redis.scan_iter("*:{task%3Aperson*")])
        await kept.start_worker()
        assert await begun(person) == talk
        assert await say(person, talk, "And back?", "2")
        assert [*on(kept).values()] == [["Is it far?", "And back?"]]

        _, listed = await person.call("sessions?free=true")
        assert [(each["id"], each["messages"], each["user"]) for each in listed["items"]] == [(talk, 4, "this machine")]
        _, instances = await person.call("instances")
        assert instances["items"] == []
        _, receipt = await person.call(f"sessions/{talk}", "DELETE")
        assert {step["store"]: step["status"] for step in receipt["steps"]} == dict.fromkeys(
            ("provider", "redis", "transcript", "asks"), "removed"
        )
        assert (await person.call(f"sessions/{talk}"))[0] == 404

    [conversation] = kept.provider.conversations().values()
    assert conversation["deleted"]


async def test_all_that_a_person_has_said_is_erased_by_a_command(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(model)
        await arrived(kept, instance, 2)
        talk = await begun(person)
        await say(person, talk, "Is it far?", "1")
        await person.answered(instance, "I am ill.", "2")
        await arrived(kept, instance, 4)
        whom = ("--person", "local", "--issuer", "local")
        done = await assistant_worker(environment(kept), "threads", "erase", *whom, "--yes", "--json")
        assert done.json["person"] == Person("local", "local", "").id, done.err
        if done.code == 3:  # the journal still had something for the record
            done = await assistant_worker(environment(kept), "threads", "erase", *whom, "--yes", "--json")
        assert (await person.call(f"sessions/{talk}"))[0] == 404
        said = [each.content for each in await arrived(kept, instance, 4)]

    steps = {step["what"]: step["status"] for step in done.json["steps"]}
    assert steps["words and feedback in conversations of processes"] == "removed"
    assert steps[f"{instance} analyst"] == "stays"
    assert said[2:] == ["[removed]", "[removed]"]
    assert sorted(each["deleted"] for each in kept.provider.conversations().values()) == [False, True]


@pytest.mark.parametrize("point", ["after:provider.ask", "before:asks.settle"])
async def test_a_worker_that_is_killed_under_it_costs_no_second_call_and_no_answer(kept: Rig, point: str) -> None:
    async with client(kept) as person:
        async with running(Forked(environment(kept) | {"WORKER_FAIL_POINT": point})) as dying:
            talk = await begun(person)
            status, asked = await person.call(f"sessions/{talk}/asks", "POST", json={"id": "1", "text": "Is it far?"})
            assert status == 202
            assert await dying.exit_code() == -9
        await kept.start_worker()
        over = await person.over(asked, 90)

        async def messages() -> list[str] | None:
            _, page = await person.call(f"sessions/{talk}/messages")
            return [each["content"] for each in page["items"]] or None

        said = await wait_until(messages, 60, "the record")

    assert (over["state"], over["failure"]) == ("answered", "")
    assert said[0] == "Is it far?"
    assert len(said) == 2
    assert kept.calls("responses.create") == 1
