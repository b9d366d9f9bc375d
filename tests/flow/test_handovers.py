"""Persons hand to a process what they were answered, on a real engine; seen in its history."""

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.flow.rig import Rig
from tests.flow.test_asks import Client, client
from tests.flow.test_record import arrived
from tests.models import Model, element, line, process, unique
from tests.waiting import wait_until

ADA, MARY = "ada-0123456789abcdef", "mary-0123456789abcdef"
TOKENS = json.dumps({ADA: {"name": "Ada", "role": "operator"}, MARY: {"name": "Mary", "role": "operator"}})
RECEIVES = '<bpmn:messageEventDefinition id="d" messageRef="m"/>'
CATCH = f'<bpmn:intermediateCatchEvent id="wait">{RECEIVES}</bpmn:intermediateCatchEvent>'


def model(rig: Rig, message: str) -> Model:
    """A step, a message that is waited for, and a user task for Ada."""
    sign = '<bpmn:userTask id="sign" camunda:assignee="Ada"/>'
    made = process(line(element(rig.step("one")), CATCH, sign))
    declared = f'<bpmn:message id="m" name="{message}"/><bpmn:process'
    return Model(made.key, made.xml.replace("<bpmn:process", declared, 1))


class Person:
    """Somebody with a token, and one answered ask of an instance."""

    def __init__(self, client: Client, asked: Any) -> None:
        self.client = client
        self.asked = asked
        self.marker = f"handover_{asked['id']}"

    async def offered(self, token: str = ADA) -> tuple[list[str], list[tuple[str, bool]]]:
        """Messages that the instance waits for, and its user tasks with whether this person may complete them."""
        headers = {"Authorization": f"Bearer {token}"}
        status, told = await self.client.call(f"asks/{self.asked['id']}/receivers", headers=headers)
        assert status == 200, told
        return told["messages"], [(each["name"], each["may_complete"]) for each in told["tasks"]]

    async def hand(self, token: str = ADA, **body: Any) -> tuple[int, Any]:
        return await self.client.call(
            f"asks/{self.asked['id']}/handover",
            "POST",
            json={"variable": "note"} | body,
            headers={"Authorization": f"Bearer {token}"},
        )


async def answered(person: Client, instance: str, name: str) -> Person:
    """Ask, and see it answered."""
    person.http.headers["Authorization"] = f"Bearer {ADA}"
    return Person(person, await person.answered(instance, "Why so?", name))


async def begun(rig: Rig, made: Model) -> str:
    """An instance that has made its first step, is recorded, and waits for its message."""
    rig.settings |= {"api_tokens": TOKENS}
    await rig.rest.deploy(made)
    await rig.start_worker()
    instance = await rig.rest.start(made)
    await arrived(rig, instance, 2)

    async def waits() -> bool:
        return bool(await rig.rest.get("event-subscription", processInstanceId=instance, maxResults=1))

    await wait_until(waits, what="the instance to wait for the message")
    return instance


async def test_an_answer_comes_to_the_process_by_a_message_and_by_a_user_task_each_once(kept: Rig) -> None:
    message = unique("approved")
    async with client(kept) as http:
        instance = await begun(kept, model(kept, message))
        first = await answered(http, instance, "1")
        assert await first.offered() == ([message], [])
        status, handed = await first.hand(message=message)
        assert (status, handed["state"]) == (200, "handed_over")
        assert await first.offered() == ([], [("sign", True)])
        assert await first.offered(MARY) == ([], [("sign", False)]), "it is Ada's"
        assert await first.hand(message=message) == (200, handed)
        assert (await first.hand(MARY, message=message))[0] == 409
        second = await answered(http, instance, "2")
        [task] = await kept.rest.get("task", processInstanceId=instance, maxResults=5)
        assert (await second.hand(MARY, task=task["id"]))[0] == 403, "it is Ada's"
        status, handed = await second.hand(task=task["id"], text="Signed.")
        assert (status, handed["state"]) == (200, "handed_over")
        assert await kept.rest.state(instance) == "COMPLETED"
        third = await answered(http, instance, "3")
        assert (await third.hand(message=message))[0] == 410
        assert await third.offered() == ([], [])
        assert await second.hand(task=task["id"], text="Signed.") == (200, handed)

    seen = await kept.rest.variables(instance)
    assert json.loads(seen[first.marker])["person"] == json.loads(seen[second.marker])["person"] == "Ada"
    assert seen["note"] == "Signed."
    assert third.marker not in seen
    asked = {"processInstanceId": instance, "variableName": "note", "maxResults": 50}
    [note] = await kept.rest.get("history/variable-instance", **asked)
    updates = await kept.rest.get("history/detail", variableInstanceId=note["id"], maxResults=50)
    assert len(updates) == 2


class Deaf:
    """A gateway that hands everything on to the engine, and loses its replies to what is handed over."""

    def __init__(self, engine_url: str) -> None:
        self.engine = engine_url.removesuffix("/engine-rest")
        self.loses = 0
        self.told = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name in {"Content-Type", "Authorization"}}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, URL(self.engine + request.raw_path, encoded=True), data=body or None, headers=headers
            ) as reply,
        ):
            content = await reply.read()
        if request.path.endswith("/trigger"):
            self.told += 1
            if self.loses:
                self.loses -= 1
                return web.Response(status=504)
        return web.Response(status=reply.status, body=content, content_type=reply.content_type)


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
async def test_the_same_hand_over_twice_with_a_lost_reply_acts_once(kept: Rig, ends: bool) -> None:
    message = unique("approved")
    made = model(kept, message)
    if ends:
        made = Model(made.key, made.xml.replace("userTask", "task"))
    deaf = Deaf(kept.rest.base_url)
    runner = web.ServerRunner(web.Server(deaf))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with client(kept) as http:
            kept.settings |= {"engine_url": f"http://127.0.0.1:{port}/engine-rest"}
            instance = await begun(kept, made)
            person = await answered(http, instance, "1")
            deaf.loses = 1
            first = await person.hand(message=message)
            assert await person.hand(message=message) == first
    finally:
        for worker in kept.workers:
            await worker.stop()
        await runner.cleanup()

    assert (first[0], first[1]["state"]) == (200, "handed_over")
    assert deaf.told == 1
    assert json.loads((await kept.rest.variables(instance))[person.marker])["hash"] == first[1]["hash"]
