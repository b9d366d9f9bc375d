"""The stand-in and the adapter as Zep's own SDKs judge them: both major versions, each in its environment."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.contract.zep.rig import ANN, DIALECTS, Rig, memo
from tests.fakes.known_ids import KnownIds
from tests.zep.install import python
from tests.zep.stand_in import KEY, Fault, ZepStandIn
from worker.zep import Dialect
from worker.zep.names import UserName

ANNS = UserName("assistant-worker", ANN)
Call = tuple[str, dict[str, Any]]


class Sdk:
    """The official client on the stand-in."""

    def __init__(self, zep: ZepStandIn, dialect: Dialect, process: Process) -> None:
        self.zep = zep
        self.dialect = dialect
        self.key = KEY
        self._process = process

    @classmethod
    @asynccontextmanager
    async def open(cls, zep: ZepStandIn, dialect: Dialect) -> AsyncIterator[Self]:
        """Start its Python, once for all calls."""
        command = [str(python(dialect)), str(Path(__file__).with_name("sdk.py"))]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=10_000_000)
        try:
            yield cls(zep, dialect, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def calls(self, *calls: Call) -> list[dict[str, Any]]:
        """What comes of them, one after the other."""
        wanted = {"key": self.key, "url": f"{self.zep.url}/api/{self.dialect}", "calls": calls}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(wanted)}\n".encode())
        line = await self._process.stdout.readline()
        assert line, "it has ended; stderr says why"
        found: list[dict[str, Any]] = json.loads(line)
        return found

    async def call(self, path: str, **arguments: Any) -> Any:
        """One call's answer, all of whose fields the SDK has to know."""
        [found] = await self.calls((path, arguments))
        assert found.get("unknown") == [], found
        return found["answer"]

    async def refused(self, path: str, **arguments: Any) -> tuple[str, int, str]:
        """The error that a call ends with."""
        [found] = await self.calls((path, arguments))
        return found["error"], found["status"], found["message"]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
async def sdk(zep: ZepStandIn, dialect: Dialect) -> AsyncIterator[Sdk]:
    async with Sdk.open(zep, dialect) as sdk:
        yield sdk


@pytest.fixture
async def rig(zep: ZepStandIn, dialect: Dialect) -> AsyncIterator[Rig]:
    async with Rig(zep, dialect, KnownIds()) as rig:
        yield rig


def said(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "name": "analyst", "content": content, "metadata": {"ref": "r1", "part": 1}, **more}


@pytest.mark.parametrize("dialect", ["v2"])
async def test_the_sdk_of_v2_makes_reads_and_deletes_everything_on_the_stand_in(zep: ZepStandIn, sdk: Sdk) -> None:
    user = await sdk.call("user.add", user_id="u1", metadata={"kept_by": "me"})
    assert (user["user_id"], user["metadata"]) == ("u1", {"kept_by": "me"})
    assert await sdk.call("user.get", user_id="u1") == user
    thread = await sdk.call("thread.create", thread_id="t1", user_id="u1")
    assert await sdk.call("user.get_threads", user_id="u1") == [thread]
    assert (await sdk.call("thread.list_all", page_number=1, page_size=1))["threads"] == [thread]
    added = await sdk.call("thread.add_messages", thread_id="t1", messages=[said("The pump is blue."), said("Sure?")])
    listed = await sdk.call("thread.get", thread_id="t1", lastn=1)
    assert listed["user_id"] == "u1"
    [message] = listed["messages"]
    assert (message["uuid"], message["content"], message["processed"]) == (added["message_uuids"][1], "Sure?", True)
    [edge] = (await sdk.call("graph.search", user_id="u1", query="pump", scope="edges", limit=5))["edges"]
    assert (edge["fact"], edge["episodes"]) == ("The pump is blue.", added["message_uuids"][:1])
    [episode] = (await sdk.call("graph.search", user_id="u1", query="pump", scope="episodes"))["episodes"]
    assert await sdk.call("graph.episode.get", uuid_=edge["episodes"][0]) == episode
    assert len((await sdk.call("thread.get_episodes", thread_id="t1"))["episodes"]) == 2
    await sdk.call("graph.episode.delete", uuid_=episode["uuid"])
    assert (await sdk.call("graph.search", user_id="u1", query="pump", scope="edges")).get("edges") == []
    await sdk.call("thread.delete", thread_id="t1")
    await sdk.call("user.delete", user_id="u1")

    assert (zep.users, zep.threads) == ([], [])


@pytest.mark.parametrize("dialect", ["v4"])
async def test_the_sdk_of_v4_makes_reads_and_deletes_everything_on_the_stand_in(zep: ZepStandIn, sdk: Sdk) -> None:
    user = await sdk.call("user.create", user_id="u1", metadata={"kept_by": "me"})
    assert await sdk.call("user.lookup", user_id="u1") == user
    assert await sdk.call("user.get", user_uuid=user["uuid"]) == user
    thread = await sdk.call("thread.create", user_uuid=user["uuid"], idempotency_key="k1")
    assert await sdk.call("thread.create", user_uuid=user["uuid"], idempotency_key="k1") == thread
    another = await sdk.call("thread.create", user_uuid=user["uuid"])
    assert await sdk.call("thread.list", user_uuid=user["uuid"], page_size=1) == [thread, another], "page by page"
    assert await sdk.call("thread.get", thread_uuid=thread["uuid"]) == thread
    own, graph = {"thread_uuid": thread["uuid"]}, {"graph_uuid": user["graph_uuid"]}
    added = await sdk.call("thread.add_messages", **own, messages=[said("The pump is blue."), said("Sure?")])
    newest = await sdk.call("thread.list_messages", **own, order="desc", page_size=1)
    assert [each["content"] for each in newest] == ["Sure?", "The pump is blue."]
    [edge] = await sdk.call("graph.search_edges", **graph, query="pump")
    assert edge["episode_uuids"] == [added["messages"][0]["uuid"]]
    [episode] = await sdk.call("graph.search_episodes", **graph, query="pump")
    assert await sdk.call("graph.episode.get", **graph, episode_uuid=edge["episode_uuids"][0]) == episode
    assert len(await sdk.call("thread.list_episodes", **own)) == 2
    gone = await sdk.call("graph.episode.delete", **graph, episode_uuid=episode["uuid"])
    assert gone["task"]["status"] == "pending"
    await sdk.call("thread.delete", **own)
    await sdk.call("user.delete", user_uuid=user["uuid"])

    assert (zep.users, zep.threads) == ([], [])


async def test_the_sdk_knows_the_stand_ins_errors_for_what_they_are(sdk: Sdk) -> None:
    is_v2 = sdk.dialect == "v2"
    add = "user.add" if is_v2 else "user.create"
    get: Call = ("user.get", {"user_id": "u1"}) if is_v2 else ("user.lookup", {"user_id": "u1"})
    assert (await sdk.refused(get[0], **get[1]))[:2] == ("NotFoundError", 404)
    await sdk.call(add, user_id="u1")
    taken = await sdk.refused(add, user_id="u1")
    assert taken[:2] == (("BadRequestError", 400) if is_v2 else ("ConflictError", 409))
    many = {str(each): 1 for each in range(11)}
    assert (await sdk.refused(add, user_id="u2", metadata=many))[:2] == ("BadRequestError", 400)
    for status, kind in ((500, "InternalServerError" if is_v2 else "ApiError"), (429, "ApiError")):
        sdk.zep.faults.append(Fault(".", status, {"message": "no", "error": {"message": "no"}}))
        assert await sdk.refused(get[0], **get[1]) == (kind, status, "no")
    sdk.key = "another"
    assert await sdk.refused(get[0], **get[1]) == ("ApiError" if is_v2 else "UnauthorizedError", 401, "unauthorized")


async def test_the_sdk_reads_what_the_adapter_has_written(rig: Rig, sdk: Sdk) -> None:
    await rig.memory.remember(memo("1" * 12))
    if rig.dialect == "v2":
        user = await sdk.call("user.get", user_id=str(ANNS))
        rows = (await sdk.call("thread.get", thread_id=ANNS.thread("i-1")))["messages"]
        when = "created_at"
    else:
        user = await sdk.call("user.lookup", user_id=str(ANNS))
        [thread] = await sdk.call("thread.list", user_uuid=user["uuid"])
        rows = await sdk.call("thread.list_messages", thread_uuid=thread["uuid"])
        when = "reference_time"

    assert user["metadata"] == ANNS.metadata
    assert [(each["role"], each.get("name"), each["metadata"]["ref"], each[when]) for each in rows] == [
        ("user", None, "1" * 12, "2026-03-01T12:00:00+00:00"),
        ("assistant", "analyst", "1" * 12, "2026-03-01T12:00:00+00:00"),
    ]


async def test_the_adapter_adopts_and_recalls_what_the_sdk_has_written(rig: Rig, sdk: Sdk) -> None:
    metadata = {"ref": "2" * 12, "instance": "i-1", "number": 1, "part": 1}
    messages = [said("The pump is blue.", metadata=metadata)]
    if rig.dialect == "v2":
        await sdk.call("user.add", user_id=str(ANNS), metadata=ANNS.metadata)
        await sdk.call("thread.create", thread_id=ANNS.thread("i-1"), user_id=str(ANNS))
        await sdk.call("thread.add_messages", thread_id=ANNS.thread("i-1"), messages=messages)
    else:
        user = await sdk.call("user.create", user_id=str(ANNS), metadata=ANNS.metadata)
        thread = await sdk.call("thread.create", user_uuid=user["uuid"])
        await sdk.call("thread.add_messages", thread_uuid=thread["uuid"], messages=messages)
    await rig.memory.remember(memo("1" * 12))

    assert (len(rig.zep.users), len(rig.zep.threads)) == (1, 1)
    assert {each.ref for each in await rig.memory.recall(ANN, "Which pump?", 5)} == {"1" * 12, "2" * 12}


def written(zep: ZepStandIn, begin: int, names: dict[str, str]) -> list[tuple[str, Any]]:
    """Requests from one on, as they stood on the wire; ids that the server gave by their place."""
    lines = [json.dumps(each) for each in zip(zep.requests[begin:], zep.bodies[begin:], strict=True)]
    for uuid, place in names.items():
        lines = [each.replace(uuid, place) for each in lines]
    return [(in_order(what), body) for what, body in map(json.loads, lines)]


def in_order(what: str) -> str:
    """A request with its parameters by their names."""
    path, mark, query = what.partition("?")
    return f"{path}{mark}{'&'.join(sorted(query.split('&')))}"


def places(zep: ZepStandIn) -> dict[str, str]:
    """Names for ids of the server's."""
    found = {each.uuid: f"user{number}" for number, each in enumerate(zep.users)}
    found |= {each.graph: f"graph{number}" for number, each in enumerate(zep.users)}
    found |= {each.uuid: f"thread{number}" for number, each in enumerate(zep.threads)}
    return found | {each.uuid: f"message{number}" for number, each in enumerate(zep.messages)}


async def test_the_adapter_sends_what_the_sdk_sends_for_the_same_calls(rig: Rig, sdk: Sdk) -> None:
    zep, name = rig.zep, str(ANNS)
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.recall(ANN, "Which pump?", 5)
    await rig.memory.check()
    names, of_one = places(zep), zep.threads[0]
    await rig.memory.forget_instance(ANN, "i-1")
    ours = written(zep, 0, names)

    zep.store.users, zep.store.threads = [], []
    zep.forget_keys()
    begin = len(zep.requests)
    rows = [
        {"role": each.role, "content": each.content, "metadata": each.metadata, "at": each.at, "name": each.name}
        for each in of_one.messages
    ]
    theirs = written(zep, begin, await (spoken_v2 if rig.dialect == "v2" else spoken_v4)(sdk, name, rows))
    # A user, a thread, its messages, two searches, a check, episodes and the ends of all of them.
    assert len(ours) >= 10
    assert {what.partition(" ")[0] for what, _ in ours} == {"GET", "POST", "DELETE"}
    assert [each for each in ours if each not in theirs] == []


async def spoken_v2(sdk: Sdk, name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """What the adapter does in v2, by the SDK; names for the ids of what was made."""
    thread = ANNS.thread("i-1")
    messages = [
        {**{key: each[key] for key in each if key != "at" and each[key]}, "created_at": each["at"]} for each in rows
    ]
    search = {"user_id": name, "query": "Which pump?", "limit": 5}
    await sdk.calls(
        ("user.get", {"user_id": name}),
        ("user.add", {"user_id": name, "metadata": ANNS.metadata}),
        ("thread.get", {"thread_id": thread, "lastn": 1}),
        ("thread.create", {"thread_id": thread, "user_id": name}),
        ("thread.get", {"thread_id": thread, "lastn": 100}),
        ("thread.add_messages", {"thread_id": thread, "messages": messages}),
        ("graph.search", {**search, "scope": "edges"}),
        ("graph.search", {**search, "scope": "episodes"}),
        ("thread.list_all", {"page_number": 1, "page_size": 1}),
        ("thread.get_episodes", {"thread_id": thread}),
    )
    names = places(sdk.zep)
    await sdk.calls(
        *(("graph.episode.delete", {"uuid_": each.uuid}) for each in sdk.zep.messages),
        ("thread.delete", {"thread_id": thread}),
    )
    return names


async def spoken_v4(sdk: Sdk, name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The same in v4."""
    messages = [
        {**{key: each[key] for key in each if key != "at" and each[key]}, "reference_time": each["at"]} for each in rows
    ]
    [_missing, made] = await sdk.calls(
        ("user.lookup", {"user_id": name}), ("user.create", {"user_id": name, "metadata": ANNS.metadata})
    )
    user, graph = made["answer"]["uuid"], {"graph_uuid": made["answer"]["graph_uuid"]}
    [_none, begun] = await sdk.calls(
        ("thread.list", {"user_uuid": user, "page_size": 100}), ("thread.create", {"user_uuid": user})
    )
    thread = {"thread_uuid": begun["answer"]["uuid"]}
    await sdk.calls(
        ("thread.list_messages", {**thread, "page_size": 100, "order": "desc"}),
        ("thread.add_messages", {**thread, "messages": messages}),
        ("thread.get", thread),
        ("thread.list", {"page_size": 1}),
        ("thread.list_messages", {**thread, "page_size": 1}),
        ("thread.list_messages", {**thread, "page_size": 1, "order": "desc"}),
        ("thread.list_episodes", {**thread, "page_size": 100}),
        # The pager of the SDK reads on to the end by itself: here there is one page.
        ("graph.search_edges", {**graph, "query": "Which pump?", "page_size": 5}),
        ("graph.search_episodes", {**graph, "query": "Which pump?", "page_size": 5}),
    )
    names = places(sdk.zep)
    await sdk.calls(
        *(("graph.episode.delete", {**graph, "episode_uuid": each.uuid}) for each in sdk.zep.messages),
        ("thread.delete", thread),
    )
    return names
