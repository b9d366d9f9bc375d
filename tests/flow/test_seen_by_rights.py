"""What a person sees, and may do, over HTTP who has rights in a real engine on one process alone."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.api.reading import event_stream
from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.flow.test_asks import Client, client, session
from tests.flow.test_handovers import CATCH
from tests.flow.test_record import arrived
from tests.models import Model, element, line, process, unique
from tests.waiting import wait_until
from worker.engine.info import DEFINITION, OF_PERSONS, TO_HAND_OVER

__all__ = ["strict", "user"]

ANN, BOSS = "ann-0123456789abcdef", "boss-0123456789abcdef"
SECRET = "xylophone"
"""A word of the process that Ann has no rights on: in its questions and answers, its names and keys."""
BODIES: dict[str, Any] = {
    "asks": {"id": "1", "text": "Why so?"},
    "remarks": {"id": "1", "role": "user", "text": "Said on the phone."},
    "handover": {"variable": "note", "message": "approved"},
    "feedback": {"rating": "right"},
    "rewind": {"before": "one"},
    "visits": {"id": "1"},
    "hold": {"reason": "a claim"},
    "release": {"reason": "no claim"},
    "what-ifs": {"name": "Other", "why": "To see.", "points": {"Cost": 1}},
}
"""What is sent along, by the last part of a path."""


@dataclass(slots=True)
class Ground:
    """A worker at an engine that checks rights, where one instance each of two processes waits for its message.

    Ann has the rights of docs/secure.md on the first one, the boss on both. `hidden` are, by the parameters of paths,
    things of the second process.
    """

    rig: Rig
    http: Client
    message: str
    seen: str
    hidden: dict[str, str]

    async def call(self, token: str, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        return await self.http.call(path, method, headers={"Authorization": f"Bearer {token}"}, **options)

    async def text(self, token: str, path: str) -> str:
        """What comes of a list, as text."""
        status, told = await self.call(token, path)
        assert status == 200, told
        return json.dumps(told)

    async def answered(self, token: str, instance: str, name: str, **more: Any) -> Any:
        """Ask, and wait for the answer."""
        self.http.http.headers["Authorization"] = f"Bearer {token}"
        over = await self.http.answered(instance, "Why so?", name, **more)
        del self.http.http.headers["Authorization"]
        return over


def waiting(rig: Rig, activity: str, message: str, **names: str) -> Model:
    """A step, and a message that is waited for."""
    made = process(line(element(rig.step(activity)), CATCH), **names)
    declared = f'<bpmn:message id="m" name="{message}"/><bpmn:process'
    return Model(made.key, made.xml.replace("<bpmn:process", declared, 1))


@pytest.fixture
async def ground(strict: Rig, kept: Rig, user: User) -> AsyncIterator[Ground]:
    await user.may_all_but()
    for choices in (*OF_PERSONS.values(), *TO_HAND_OVER.values()):
        await user.may(*choices[0])
    message = unique("approved")
    open_, closed = waiting(kept, "one", message), waiting(kept, SECRET, message, key=unique(SECRET))
    people = [User(strict.rest, unique(name).replace("_", "")) for name in ("ann", "boss")]
    for person, keys in zip(people, ([open_.key], [open_.key, closed.key]), strict=True):
        await person.create()
        for key in keys:
            for right in ("READ_INSTANCE", "READ_HISTORY"):
                await person.may(right, DEFINITION, key)
    tokens = {
        token: {"role": "operator", "name": name, "engine_user": person.name}
        for token, name, person in zip((ANN, BOSS), ("Ann", "Boss"), people, strict=True)
    }
    kept.settings |= {"api_tokens": json.dumps(tokens), "api_engine_rights": True}
    kept.provider.answer(f"Please do {SECRET}", f"It is a {SECRET}.")
    for model in (open_, closed):
        await kept.rest.deploy(model)
    async with client(kept) as http:
        await kept.start_worker()
        seen, hidden = [await kept.rest.start(model) for model in (open_, closed)]
        for instance in (seen, hidden):
            await arrived(kept, instance, 2)
        ground = Ground(kept, http, message, seen, {"instance_id": hidden, "session_id": session(hidden)})
        asked = await ground.answered(BOSS, hidden, "1")
        ground.hidden |= {"ask_id": asked["id"], "message_id": asked["answer"]}
        yield ground


async def test_who_has_rights_on_one_process_finds_nothing_of_another_and_cannot_tell_that_it_is_there(
    ground: Ground,
) -> None:
    kept = ground.rig
    # One more that has said nothing yet, and shows in the list of what runs.
    kept.provider.fault("responses.create", text=f"Please do {SECRET}", hold="gate")
    _, one = await ground.call(BOSS, f"instances/{ground.hidden['instance_id']}")
    begun = await kept.rest.start(one["definition_key"])
    await wait_until(lambda: kept.provider.counts()["running"], what="the model to be asked")
    lists = [
        *(
            "instances",
            "listed/instances",
            "sessions",
            "listed/sessions",
            "ongoing",
            "ongoing?failed=true",
            "decisions",
        ),
        *("counts", "assistants/analyst/summary", f"search?q={SECRET}", f"search?q={ground.hidden['instance_id']}"),
        *(f"listed/instances?definition_key={SECRET}&parts=true", f"sessions?instance={ground.hidden['instance_id']}"),
    ]
    told = {path: [await ground.text(token, path) for token in (ANN, BOSS)] for path in lists}
    for path, (ann, boss) in told.items():
        assert not [each for each in (SECRET, begun, *ground.hidden.values()) if each in ann], path
        assert ann != boss or path.startswith(("ongoing?", "decisions", "search?q=" + ground.hidden["instance_id"])), (
            path
        )
    assert ground.seen in told["instances"][0]
    assert begun in told["ongoing"][1]
    assert json.loads(told["counts"][0])["instances"] == 1
    assert "Please do one" in await ground.text(ANN, "search?q=please")
    assert SECRET not in await ground.text(ANN, "search?q=please")

    _, document = await ground.call(ANN, "openapi.json")
    nothing = {name: uuid4().hex if name != "instance_id" else str(uuid4()) for name in ground.hidden}
    ways = [(path, method) for path, methods in document["paths"].items() for method in methods if "{" in path]
    tried, told_apart = 0, list[Any]()
    for path, method in ways:
        if not any(f"{{{name}}}" in path for name in ground.hidden):
            continue
        body = BODIES.get(path.rsplit("/", 1)[1]) if method in ("post", "put", "patch") else None
        body = {"happened": True} if (path.rsplit("/", 1)[1], method) == ("handover", "patch") else body
        answers = []
        for ids in (ground.hidden, nothing):
            address = path.removeprefix("/api/")
            for name, value in ids.items():
                address = address.replace(f"{{{name}}}", value)
            status, said = await ground.call(ANN, address, method.upper(), json=body)
            text = json.dumps(said)
            for name, value in ids.items():
                text = text.replace(value, name)
            answers.append((status, text))
        told_apart += [(path, method, answers)] if answers[0] != answers[1] or answers[0][0] != 404 else []
        tried += 1
    assert told_apart == []
    assert tried > 20
    erased = [
        await ground.call(ANN, "erase", "POST", json={"instance": each["instance_id"]})
        for each in (ground.hidden, nothing)
    ]
    assert [status for status, _ in erased] == [404, 404]
    assert len(await arrived(kept, ground.hidden["instance_id"], 4)) == 4, "nothing was erased, and nothing asked"
    kept.provider.release("gate")


async def test_who_has_rights_on_one_process_reads_asks_sways_hands_over_and_judges_there(ground: Ground) -> None:
    seen = ground.seen
    asked = await ground.answered(ANN, seen, "1")
    swayed = await ground.answered(ANN, seen, "2", on_thread=True)
    assert (asked["answered_in"] != session(seen), swayed["answered_in"]) == (True, session(seen))
    status, said = await ground.call(ANN, f"messages/{swayed['answer']}/feedback", "PUT", json={"rating": "right"})
    assert (status, [each["person"] for each in said]) == (200, ["Ann"])
    status, offered = await ground.call(ANN, f"asks/{swayed['id']}/receivers")
    assert (status, offered["messages"]) == (200, [ground.message])
    body = {"variable": "note", "message": ground.message}
    status, handed = await ground.call(ANN, f"asks/{swayed['id']}/handover", "POST", json=body)
    assert (status, handed["state"]) == (200, "handed_over")
    assert "note" in await ground.rig.rest.variables(seen)
    for path in (
        f"instances/{seen}/thread",
        f"instances/{seen}/now",
        f"instances/{seen}/results",
        f"instances/{seen}/export",
    ):
        assert (await ground.call(ANN, path))[0] == 200, path


async def test_a_feed_and_a_socket_of_one_process_tell_nothing_of_another(ground: Ground) -> None:
    http, hidden = ground.http.http, ground.hidden["instance_id"]
    async with (
        event_stream(http, f"/api/instances/{ground.seen}/feed?after=now", ANN) as stream,
        http.ws_connect("/api/feeds", headers={"Authorization": f"Bearer {ANN}"}) as socket,
    ):
        heard: list[dict[str, Any]] = []

        async def until(*kinds: str) -> dict[str, Any]:
            while True:
                heard.append(await socket.receive_json(timeout=30))
                if heard[-1]["type"] in kinds:
                    return heard[-1]

        for name, wanted in (
            ("seen", {"instance": ground.seen}),
            ("instance", {"instance": hidden}),
            ("session", {"session": session(hidden)}),
        ):
            await socket.send_json({"type": "subscribe", "feed": name, "after": "now", **wanted})
            assert (await until("subscribed", "refused"))["type"] == ("subscribed" if name == "seen" else "refused")
        question = {"id": "9", "text": "Why so?"}
        await socket.send_json({"type": "ask", "session": session(hidden), "ask": question})
        assert (await until("asked", "problem"))["data"]["status"] == 404
        await ground.answered(BOSS, hidden, "2")
        await ground.answered(BOSS, ground.seen, "3")
        for event in [(await stream.next("message")).data for _ in range(2)]:
            assert event["process_instance_id"] == ground.seen
        assert (await until("message"))["data"]["process_instance_id"] == ground.seen
        told = json.dumps([heard, [each.data for each in stream.heard]])
    assert not [each for each in (SECRET, *ground.hidden.values()) if each in told]
