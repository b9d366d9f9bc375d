"""People read along while a process runs, at the worker that answers and at another one."""

import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.api.reading import EventStream, event_stream
from tests.api.test_sockets import Client
from tests.flow.command import started
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.processes import free_port

WORDS = "Take the cheap one, because the dear one is no better, as far as anybody knows by now."


class Reader:
    """The API of a worker."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.base = f"http://127.0.0.1:{port}"

    def feed(self, instance: str, last_id: str = "") -> AbstractAsyncContextManager[EventStream]:
        return event_stream(self._session, f"{self.base}/api/instances/{instance}/feed", None, last_id)

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Client]:
        """Open a socket for many feeds."""
        async with self._session.ws_connect(f"{self.base}/api/feeds") as socket:
            yield Client(socket)

    async def answers(self) -> bool:
        try:
            async with self._session.get(f"{self.base}/api/counts") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def reader_of(rig: Rig, token: str = "", **settings: object) -> AsyncIterator[Reader]:
    """Start a worker, and read at it, with a token if it wants one."""
    port = free_port()
    await rig.start_worker(api_port=port, **settings)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        reader = Reader(session, port)
        await wait_until(reader.answers, what="the API")
        yield reader


def slowly(rig: Rig, pause: float = 0.15) -> None:
    """Let the provider take its time for each word, and answer nothing before who reads along has been noticed."""
    rig.provider.fault("responses.create", text="Please do one", hold="noticed")
    rig.provider.answer("Please do two", WORDS)
    rig.provider.fault("responses.create", text="Please do two", stream={"pause": pause}, times=None)


async def noticed(rig: Rig) -> None:
    """Let the provider go on once whoever asks it can know that somebody reads along."""
    async with rig.redis() as redis:
        await wait_until(lambda: redis.keys("*:watched"), what="who reads along to be noticed")
    rig.provider.release("noticed")


async def until_landed(stream: EventStream, *answers: str) -> None:
    """Read until these answers have come whole."""
    for answer in answers:
        while (await stream.next("message")).data["content"] != answer:
            pass


def spoken(stream: EventStream) -> str:
    """What was heard of answers, put together; fails at a gap or a repetition."""
    return put_together([{"type": each.kind, "data": each.data} for each in stream.heard])


def put_together(heard: Iterable[Mapping[str, Any]]) -> str:
    """The same of what a socket was told."""
    text = ""
    for each in heard:
        if each["type"] == "delta":
            data = each["data"]
            text = text if data["offset"] else ""
            assert data["offset"] == len(text)
            text += data["text"]
    return text


def is_most(text: str) -> bool:
    """Whether this is the answer, but for the last words at most: the whole of it may be there before them."""
    return WORDS.startswith(text) and len(text) > len(WORDS) / 2


async def test_a_process_is_read_along_while_it_runs(kept: Rig) -> None:
    slowly(kept)
    model = await kept.deploy(kept.step("one"), kept.step("two"))
    async with reader_of(kept) as reader:
        instance = await kept.rest.start(model)
        async with reader.feed(instance) as stream:
            await noticed(kept)
            await until_landed(stream, WORDS)
        contents = [each.data["content"] for each in stream.heard if each.kind == "message"]
        states = [step["state"] for each in stream.heard if each.kind == "state" for step in each.data["steps"]]
    first = (await kept.rest.variables(instance))["one"]
    assert contents[1] == first
    assert contents[3] == WORDS
    assert len(contents) == 4
    assert is_most(spoken(stream))
    assert "asking" in states


async def test_a_reader_that_is_cut_off_in_the_middle_of_an_answer_goes_on_without_loss_or_repetition(
    kept: Rig,
) -> None:
    slowly(kept)
    model = await kept.deploy(kept.step("one"), kept.step("two"))
    async with reader_of(kept) as reader:
        instance = await kept.rest.start(model)
        async with reader.feed(instance) as first:
            await noticed(kept)
            while "cheap" not in spoken(first):
                await first.next("delta")
        async with reader.feed(instance, first.last_id) as second:
            await until_landed(second, WORDS)
    second.heard = first.heard + second.heard
    assert is_most(spoken(second))
    ids = [each.data["id"] for each in second.heard if each.kind == "message"]
    assert len(ids) == len(set(ids)) == 4


async def test_a_socket_that_is_cut_in_the_middle_of_an_answer_goes_on_without_loss_or_repetition(kept: Rig) -> None:
    slowly(kept)
    model = await kept.deploy(kept.step("one"), kept.step("two"))
    async with reader_of(kept) as reader:
        instance = await kept.rest.start(model)
        async with reader.socket() as cut:
            await cut.say(type="subscribe", feed="a", instance=instance)
            await noticed(kept)
            while "cheap" not in put_together(cut.heard):
                await cut.next("delta")
            cut.socket.get_extra_info("socket").shutdown(
                socket.SHUT_RDWR
            )  # nothing more goes either way, not even a farewell
        place = next(each["id"] for each in reversed(cut.heard) if each.get("id"))
        async with reader.socket() as again:
            await again.say(type="subscribe", feed="a", instance=instance, after=place)
            while (await again.next("message"))["data"]["content"] != WORDS:
                pass
    heard = cut.heard + again.heard
    assert is_most(put_together(heard))
    ids = [each["data"]["id"] for each in heard if each["type"] == "message"]
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_who_reads_at_another_worker_hears_the_same(kept: Rig) -> None:
    slowly(kept)
    model = await kept.deploy(kept.step("one"), kept.step("two"))
    async with reader_of(kept) as here, reader_of(kept, topics="another") as there:
        instance = await kept.rest.start(model)
        async with here.feed(instance) as one, there.feed(instance) as other:
            await noticed(kept)
            await until_landed(one, WORDS)
            await until_landed(other, WORDS)
    assert is_most(spoken(one))
    assert is_most(spoken(other))
    for stream in (one, other):
        assert len([each for each in stream.heard if each.kind == "message"]) == 4


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_what_a_worker_said_that_is_killed_is_lost_and_its_answer_comes_whole_from_the_next(kept: Rig) -> None:
    kept.provider.fault("responses.create", text="Please do one", hold="noticed")
    kept.provider.answer("Please do two", WORDS)
    kept.provider.fault("responses.create", text="Please do two", stream={"pause": 0.1, "after": 6, "then": "stall"})
    model = await kept.deploy(kept.step("one"), kept.step("two"))
    async with reader_of(kept, topics="nothing-of-this") as reader, started(kept) as speaking:
        instance = await kept.rest.start(model)
        async with reader.feed(instance) as stream:
            await noticed(kept)
            heard = ""
            while "cheap" not in heard:
                heard += (await stream.next("delta")).data["text"]
            speaking.kill()
            lost = await stream.next("lost", within=60)
            await kept.start_worker()
            await until_landed(stream, WORDS)
        await kept.rest.wait_for_end(instance)
    messages = [each.data["content"] for each in stream.heard if each.kind == "message"]
    assert WORDS.startswith(heard[heard.index(WORDS[:4]) :]), "whoever is noticed soon hears the first step, too"
    assert lost.data["attempt"] == 1
    assert len(messages) == 4
    assert messages.count(WORDS) == 1
    assert kept.calls("responses.create") == 2, "no step was paid for twice"


async def test_a_task_that_fails_shows_its_incident(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one", data_output_type="Prose"))
    async with reader_of(kept) as reader:
        instance = await kept.rest.start(model)
        async with reader.feed(instance) as stream:
            steps = (await stream.next("state")).data["steps"]
            while not steps or steps[0]["state"] != "incident":
                steps = (await stream.next("state")).data["steps"]
    assert steps[0]["activity_id"] == "one"
    assert "Prose" in steps[0]["text"]


async def test_a_repair_is_seen(kept: Rig) -> None:
    kept.provider.answer("Please do two", "No JSON at all, sorry about that.")
    kept.provider.fault("responses.create", text="Correction", hold="seen")
    model = await kept.deploy(kept.step("one"), kept.step("two", data_output_schema='{"type": "object"}'))
    async with reader_of(kept) as reader:
        instance = await kept.rest.start(model)
        async with reader.feed(instance) as stream:
            while "repairing" not in [step["state"] for step in (await stream.next("state")).data["steps"]]:
                pass
