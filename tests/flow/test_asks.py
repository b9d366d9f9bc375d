"""Persons ask assistants over the API, on a real engine, Redis and transcript."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.asks import ask
from tests.core.test_ask_crashes import Crash, crashes
from tests.flow.command import Forked, environment
from tests.flow.conftest import BOTH_DATABASES
from tests.flow.rig import Rig
from tests.flow.test_record import arrived
from tests.models import Model, bpmn, call, line, process
from tests.waiting import wait_until
from worker.demo.processes import HOST, free_port, running
from worker.domain.asks import Ask
from worker.domain.conversations import session_id
from worker.domain.threads import ThreadKey
from worker.transcript import SqlAsks, open_database

FINISHED = {"answered", "failed", "withdrawn", "gone"}


@dataclass(slots=True)
class Client:
    """A person with the API of a rig's workers."""

    rig: Rig
    http: aiohttp.ClientSession

    async def call(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        async with self.http.request(method, f"/api/{path}", **options) as reply:
            return reply.status, await reply.json(content_type=None)

    async def ask(self, instance: str, text: str, name: str = "1", **more: Any) -> Any:
        """Ask about an instance's thread; returns the ask that was accepted."""
        path = f"sessions/{session(instance)}/asks"
        status, asked = await self.call(path, "POST", json={"id": name, "text": text, **more})
        assert status == 202, asked
        return asked

    async def over(self, asked: Any, seconds: float = 30) -> Any:
        """Wait until an ask is over; returns how it stands."""

        async def is_over() -> Any:
            try:
                _, now = await self.call(f"asks/{asked['id']}")
            except aiohttp.ClientConnectionError:  # the worker is starting
                return None
            return now if now["state"] in FINISHED else None

        return await wait_until(is_over, seconds, f"the end of {asked}")

    async def answered(self, instance: str, text: str, name: str = "1", **more: Any) -> Any:
        over = await self.over(await self.ask(instance, text, name, **more))
        assert (over["state"], over["failure"]) == ("answered", "")
        return over


def key(instance: str) -> ThreadKey:
    return ThreadKey("default", instance, "analyst")


def session(instance: str) -> str:
    return session_id(key(instance))


@asynccontextmanager
async def client(rig: Rig) -> AsyncIterator[Client]:
    port = free_port()
    rig.settings |= {"api_port": port}
    async with aiohttp.ClientSession(f"http://{HOST}:{port}") as http:
        yield Client(rig, http)


def on(rig: Rig) -> dict[str, list[str]]:
    """The first lines of what the provider was asked, by conversation."""
    asked: dict[str, list[str]] = {}
    for each in rig.provider.requests("responses.create"):
        conversation = each["body"]["conversation"]
        name = conversation["id"] if isinstance(conversation, dict) else conversation
        text = each["body"]["input"]
        text = text if isinstance(text, str) else text[-1]["content"]
        text = text if isinstance(text, str) else "".join(part["text"] for part in text)
        asked.setdefault(name, []).append(re.split(r"\n", text)[0])
    return asked


TRAVELLER = '---\nname: traveller\nversion: "3"\nmodel: gpt-5-mini\nmax_output_tokens: 90\n---\nYou travel.\n'


async def deploy_with_traveller(rig: Rig, folder: Path, model: Model) -> None:
    """Deploy a model with the spec of its assistant, which workers are allowed to take."""
    spec = folder / "traveller.md"
    spec.write_text(TRAVELLER)
    await rig.rest.deploy(model, spec)
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=90"


async def asked_of(person: Client, its: ThreadKey) -> tuple[Any, Any]:
    """Ask about a thread when it is in the record: the session then, and how it stands with the ask when it is over."""
    path = f"sessions/{session_id(its)}"

    async def is_recorded() -> Any:
        status, shown = await person.call(path)
        return shown if status == 200 else None

    shown = await wait_until(is_recorded, what="the session")
    status, asked = await person.call(f"{path}/asks", "POST", json={"id": "1", "text": "Why so?"})
    assert status == 202, asked
    return shown, await person.over(asked)


@BOTH_DATABASES
async def test_a_follow_up_knows_the_steps_before_it_and_no_later_step_knows_of_it(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"), kept.step("three", topic=f"{kept.topic}_later"))
    async with client(kept) as person:
        worker = await kept.start_worker()
        instance = await kept.rest.start(model)
        await kept.until_open(instance, "three")
        await arrived(kept, instance, 2)
        asked = await person.answered(instance, "Why so?")
        assert asked["answered_in"] == session_id(key(instance).branch)
        await worker.stop()

        await kept.start_worker(topics=f"{kept.topic}_later")
        await kept.rest.wait_for_end(instance)
        said = await arrived(kept, instance, 6)

    trunk, branch = on(kept).items()
    assert (trunk[1], branch[1]) == (["# One", "# Three"], ["Why so?"])
    [created] = [each["body"] for each in kept.provider.requests("conversations.create") if each["body"].get("items")]
    assert "Please do one." in str(created["items"])
    by_person = [each for each in said if each.user]
    assert [(each.content, each.user) for each in by_person] == [("Why so?", "this machine")]
    assert [name for name in await kept.rest.variables(instance) if name.startswith("assistant_thread")] == [
        "assistant_thread_analyst"
    ]


async def test_a_follow_up_after_the_end_is_answered_on_the_thread_itself(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(model)
        await arrived(kept, instance, 2)
        asked = await person.answered(instance, "Why so?")

    assert asked["answered_in"] == session(instance)
    assert [*on(kept).values()] == [["# One", "Why so?"]]


async def test_a_restarted_instance_answers_on_its_own_thread_which_knows_what_was_said_before(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one", data_input="-"), kept.step("two", data_input="-"))
    async with client(kept) as person:
        await kept.start_worker()
        first = await kept.run(model)
        await arrived(kept, first, 4)
        second = await kept.restarted(model, first, "two")
        await arrived(kept, second, 2)
        asked = [await person.answered(first, "Why so?"), await person.answered(second, "And now?")]

    assert [each["answered_in"] for each in asked] == [session(first), session(second)]
    assert [*on(kept).values()] == [["# One", "# Two", "Why so?"], ["# Two", "And now?"]]
    [seeded] = [each["body"] for each in kept.provider.requests("conversations.create") if each["body"].get("items")]
    assert "Please do one." in str(seeded["items"])
    assert "Why so?" not in str(seeded["items"])


async def test_an_assistant_that_came_with_the_process_answers_persons_too_and_is_shown(
    kept: Rig, tmp_path: Path
) -> None:
    model = bpmn(kept.step("one", "deployment:traveller.md"))
    await deploy_with_traveller(kept, tmp_path, model)
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(model)
        its = ThreadKey("default", instance, f"deployment:{model.key}:traveller")
        shown, over = await asked_of(person, its)

    assert (shown["assistant"], shown["assistant_version"]) == (its.assistant, "3")
    assert (over["state"], over["failure"]) == ("answered", "")
    assert [each["body"]["instructions"] for each in kept.provider.requests("responses.create")] == ["You travel."] * 2


async def test_one_that_came_with_a_called_process_answers_on_the_thread_of_the_root(kept: Rig, tmp_path: Path) -> None:
    called = bpmn(kept.step("one", "deployment:traveller.md", service_thread="root"))
    await deploy_with_traveller(kept, tmp_path, called)
    await kept.rest.deploy(root := process(line(call("down", called))))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(root)
        its = ThreadKey("default", instance, f"deployment:{called.key}:traveller")
        _, over = await asked_of(person, its)

    assert (over["state"], over["failure"]) == ("answered", "")


async def test_a_step_waits_for_an_ask_and_an_ask_for_a_step(kept: Rig) -> None:
    later = f"{kept.topic}_later"
    model = await kept.deploy(kept.step("one"), kept.step("two", topic=later))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.rest.start(model)
        await kept.until_open(instance, "two")
        await arrived(kept, instance, 2)
        kept.provider.fault("responses.create", times=1, text="first", hold="gate")
        first = await person.ask(instance, "first", "1", on_thread=True)
        await wait_until(lambda: kept.provider.counts()["running"], what="the first call")
        second = await person.ask(instance, "second", "2", on_thread=True)
        await kept.start_worker(topics=later, api_port=0)
        async with kept.redis() as redis:

            async def is_refused() -> bool:
                return bool([name async for name in redis.scan_iter("*:refused")])

            await wait_until(is_refused, what="the step to find its thread busy")
        kept.provider.release("gate")
        await person.over(first)
        await person.over(second)
        await kept.rest.wait_for_end(instance)

    assert [*on(kept).values()] == [["# One", "first", "# Two", "second"]]
    assert (await kept.meta(instance, "two"))["heard"] == {"messages": 1, "of": ["this machine"]}


async def test_a_message_that_is_sent_again_and_again_is_answered_once(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(model)
        await arrived(kept, instance, 2)
        first = await person.ask(instance, "Why so?")
        again = await asyncio.gather(*(person.ask(instance, "Why so?") for _ in range(10)))
        over = await person.over(first)
        status, _ = await person.call(
            f"sessions/{session(instance)}/asks", "POST", json={"id": "1", "text": "Why not?"}
        )

    assert {each["id"] for each in again} == {first["id"]}
    assert (over["state"], status) == ("answered", 409)
    assert kept.calls("responses.create") == 2


async def test_two_workers_answer_the_asks_of_many_threads_once_each(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"))
    async with client(kept) as person:
        await kept.start_worker()
        instances = [await kept.run(model) for _ in range(3)]
        for instance in instances:
            await arrived(kept, instance, 2)
        await kept.start_worker(api_port=0)
        asks = [await person.ask(each, f"Why {n}?", str(n)) for each in instances for n in range(3)]
        assert {(await person.over(each))["state"] for each in asks} == {"answered"}

    assert all(texts == ["# One", "Why 0?", "Why 1?", "Why 2?"] for texts in on(kept).values())
    assert kept.calls("responses.create") == 12


ALWAYS = {"after:provider.ask", "after:threads.keep_answer"}
"""Where a worker is killed with every run of the tests, and not in the sweeps alone."""


@pytest.mark.parametrize(
    "crash",
    [pytest.param(each, marks=[] if each.point in ALWAYS else pytest.mark.sweep, id=str(each)) for each in crashes()],
)
async def test_a_death_at_any_step_of_an_ask_costs_no_second_call_and_no_answer(kept: Rig, crash: Crash) -> None:
    model = await kept.deploy(kept.step("one"), kept.step("two", topic=f"{kept.topic}_never"))
    before = [] if crash.is_first else ["Before?"]
    async with client(kept) as person:
        first = await kept.start_worker()
        instance = await kept.rest.start(model)
        await kept.until_open(instance, "two")
        await arrived(kept, instance, 2)
        for text in before:
            await person.answered(instance, text, "before")
        await first.stop()
        asked = await handed_in(kept, instance)
        settings = {"topics": f"{kept.topic}_never_either"}
        async with running(Forked(environment(kept, **settings) | {"WORKER_FAIL_POINT": crash.point})) as dying:
            assert await dying.exit_code() == -9
        await kept.start_worker(**settings)
        over = await person.over({"id": asked.id}, 90)
        # The dead one may have been about to write it: then that is due again half a minute later.
        said = await arrived(kept, instance, 4 + 2 * len(before), seconds=60)

    assert (over["state"], over["failure"]) == ("answered", "")
    assert [each.content for each in said if each.user] == [*before, "Why so?"]
    assert over["answer"] in {each.id for each in said}
    assert kept.calls("responses.create") == 2 + len(before)


async def handed_in(rig: Rig, instance: str) -> Ask:
    """Have an ask in the database before there is a worker that answers any."""
    async with open_database(str(rig.settings["transcript_url"])) as database:
        return await SqlAsks(database, engine="default").accept(ask(about=key(instance), text="Why so?"))


async def test_an_ask_about_what_is_erased_is_gone_and_its_receipt_covers_it(kept: Rig) -> None:
    model = await kept.deploy(kept.step("one"))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.run(model)
        await arrived(kept, instance, 2)
        asked = await person.answered(instance, "Why so?")
        status, receipt = await person.call("erase", "POST", json={"instance": instance})
        assert status in {200, 202}
        assert [step["count"] for step in receipt["steps"] if step["store"] == "asks"] == [1]
        assert (await person.call(f"asks/{asked['id']}"))[0] == 404
        path = f"sessions/{session(instance)}/asks"
        assert (await person.call(path, "POST", json={"id": "2", "text": "And?"}))[0] in {404, 410}


async def test_what_was_said_elsewhere_is_recorded_beside_the_process_and_no_model_hears_of_it(kept: Rig) -> None:
    later = f"{kept.topic}_later"
    model = await kept.deploy(kept.step("one"), kept.step("two", topic=later))
    async with client(kept) as person:
        await kept.start_worker()
        instance = await kept.rest.start(model)
        await arrived(kept, instance, 2)
        path = f"sessions/{session(instance)}/remarks"
        for role in ("user", "assistant", "system"):
            body = {"id": role, "role": role, "text": f"Said on the phone by {role}."}
            status, remark = await person.call(path, "POST", json=body)
            assert status == 201
        await person.answered(instance, "Why so?")
        await kept.start_worker(topics=later, api_port=0)
        await kept.rest.wait_for_end(instance)
        said = await arrived(kept, instance, 9)
        await person.answered(instance, "And now?", "2")

    beside = [each for each in said if each.session_id == remark["session_id"]]
    assert [each.content for each in beside[:3]] == [
        f"Said on the phone by {n}." for n in ("user", "assistant", "system")
    ]
    assert [each.role for each in beside] == ["user", "agent", "system", "user", "agent"]
    told = str(
        [each["body"] for call in ("conversations.create", "responses.create") for each in kept.provider.requests(call)]
    )
    assert "Why so?" in told
    assert "on the phone" not in told
